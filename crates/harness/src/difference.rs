//! What two witnesses can disagree about: [`Difference`], and coarser, its [`Field`].

use std::fmt;
use std::ops::Range;

use data::Digest;
use scenario::text::Size;
use scenario::{ElementAnswer, MapFlags, Name, Observation, Outcome};

/// One of the two witnesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that is expected to be right.
    Left,
    /// The one that is compared with it.
    Right,
}

/// A single fact on which the witnesses disagree.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// The operation ended in another way.
    Return {
        /// The expected outcome.
        left: Outcome,
        /// The observed outcome.
        right: Outcome,
    },
    /// An element of a dedupe has other out fields, or is there on one side only.
    Element {
        /// The element's index.
        element_idx: usize,
        /// What is expected.
        left: Option<ElementAnswer>,
        /// What is observed.
        right: Option<ElementAnswer>,
    },
    /// The reply differs where no element's out fields do.
    ReplyBytes {
        /// Index of the first byte that differs.
        at: usize,
        /// The byte expected there; `None` behind the end.
        left: Option<u8>,
        /// The byte observed there.
        right: Option<u8>,
    },
    /// A name is not the same kind of thing on both sides.
    Existence {
        /// The name.
        name: Name,
        /// What is expected.
        left: &'static str,
        /// What is observed.
        right: &'static str,
    },
    /// An attribute differs.
    Stat {
        /// The name.
        name: Name,
        /// Which attribute.
        field: StatField,
        /// Its expected value; for times 1 means changed.
        left: u64,
        /// Its observed value.
        right: u64,
    },
    /// The bytes of a file differ.
    Content {
        /// The name.
        name: Name,
        /// Digest of the expected bytes.
        left: Digest,
        /// Digest of the observed bytes.
        right: Digest,
    },
    /// A part of a file's map has other flags, or is a hole on one side only.
    Map {
        /// The name.
        name: Name,
        /// The part, in bytes.
        range: Range<u64>,
        /// The expected flags and whether there is storage; `None` is a hole.
        left: Option<(MapFlags, bool)>,
        /// What is observed.
        right: Option<(MapFlags, bool)>,
    },
    /// A block shares storage with another on one side and not on the other.
    Sharing {
        /// The name.
        name: Name,
        /// Offset of the block in bytes.
        offset: u64,
        /// On which side it shares.
        shared_on: Side,
        /// The block that it shares with there, if it is known.
        other: Option<(Name, u64)>,
    },
    /// What lies below the map of a file differs, where a witness is to adopt it.
    Layout {
        /// The name.
        name: Name,
        /// The dirty pages or the item expected there.
        left: Option<String>,
        /// What is observed.
        right: Option<String>,
    },
    /// A line about the trees differs, or is there on one side only.
    Tree {
        /// What is expected.
        left: Option<String>,
        /// What is observed.
        right: Option<String>,
    },
    /// The kernel's log complained.
    Complaint {
        /// On which side.
        side: Side,
        /// The line.
        text: String,
    },
}

/// What a difference is about, without its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// How the operation ended.
    Return,
    /// The out fields of an element.
    Element,
    /// The rest of the reply.
    ReplyBytes,
    /// What a name stands for.
    Existence,
    /// An attribute.
    Stat(StatField),
    /// Bytes of a file.
    Content,
    /// Flags of a map.
    Map,
    /// Which blocks share storage.
    Sharing,
    /// What lies below a map.
    Layout,
    /// What the trees say.
    Tree,
    /// The kernel's log.
    Log,
}

/// A compared attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatField {
    /// `st_size`.
    Size,
    /// `st_blocks`.
    Blocks,
    /// The low twelve bits of `st_mode`.
    Mode,
    /// `st_uid`.
    Uid,
    /// Whether `st_mtime` changed.
    Mtime,
    /// Whether `st_ctime` changed.
    Ctime,
}

impl Difference {
    /// Returns whether it is about where data lies: what a kernel may still be busy with after a
    /// call has returned.
    pub(crate) fn is_about_map(&self) -> bool {
        matches!(
            self.field(),
            Field::Map | Field::Sharing | Field::Layout | Field::Stat(StatField::Blocks)
        )
    }

    /// Returns the name that the difference is about, if it is about one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Difference::Existence { name, .. }
            | Difference::Stat { name, .. }
            | Difference::Content { name, .. }
            | Difference::Map { name, .. }
            | Difference::Sharing { name, .. }
            | Difference::Layout { name, .. } => Some(name),
            Difference::Return { .. }
            | Difference::Element { .. }
            | Difference::ReplyBytes { .. }
            | Difference::Tree { .. }
            | Difference::Complaint { .. } => None,
        }
    }

    /// Returns what the difference is about.
    pub fn field(&self) -> Field {
        match self {
            Difference::Return { .. } => Field::Return,
            Difference::Element { .. } => Field::Element,
            Difference::ReplyBytes { .. } => Field::ReplyBytes,
            Difference::Existence { .. } => Field::Existence,
            Difference::Stat { field, .. } => Field::Stat(*field),
            Difference::Content { .. } => Field::Content,
            Difference::Map { .. } => Field::Map,
            Difference::Sharing { .. } => Field::Sharing,
            Difference::Layout { .. } => Field::Layout,
            Difference::Tree { .. } => Field::Tree,
            Difference::Complaint { .. } => Field::Log,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Return { left, right } => {
                let (left, right) = (outcome_text(left), outcome_text(right));
                write!(f, "the call: expected {left}, observed {right}")
            }
            Difference::Element {
                element_idx,
                left,
                right,
            } => {
                let (left, right) = (element_text(*left), element_text(*right));
                write!(
                    f,
                    "element {element_idx}: expected {left}, observed {right}"
                )
            }
            Difference::ReplyBytes { at, left, right } => {
                let (left, right) = (byte_text(*left), byte_text(*right));
                write!(f, "reply byte {at}: expected {left}, observed {right}")
            }
            Difference::Existence { name, left, right } => {
                write!(f, "{name}: expected {left}, observed {right}")
            }
            Difference::Stat {
                name,
                field,
                left,
                right,
            } => {
                let (left, right) = (field.value_text(*left), field.value_text(*right));
                write!(f, "{name} {field}: expected {left}, observed {right}")
            }
            Difference::Content { name, left, right } => {
                write!(f, "{name} content: expected {left}, observed {right}")
            }
            Difference::Map {
                name,
                range,
                left,
                right,
            } => {
                let (start, end) = (Size(range.start), Size(range.end));
                let (left, right) = (map_text(*left), map_text(*right));
                write!(
                    f,
                    "{name} {start}..{end}: expected {left}, observed {right}"
                )
            }
            Difference::Sharing {
                name,
                offset,
                shared_on,
                other,
            } => {
                write!(f, "{name} block {} shares storage with ", Size(*offset))?;
                match other {
                    Some((name, offset)) => write!(f, "{name} block {}", Size(*offset))?,
                    None => f.write_str("another block")?,
                }
                write!(f, " on the {shared_on} side only")
            }
            Difference::Layout { name, left, right } => {
                let (left, right) = (line_text(left), line_text(right));
                write!(f, "{name} layout: expected {left}, observed {right}")
            }
            Difference::Tree { left, right } => {
                let (left, right) = (line_text(left), line_text(right));
                write!(f, "trees: expected {left}, observed {right}")
            }
            Difference::Complaint { side, text } => {
                write!(f, "the kernel's log on the {side} side: {text}")
            }
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Left => "expected",
            Side::Right => "observed",
        })
    }
}

impl fmt::Display for StatField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StatField::Size => "size",
            StatField::Blocks => "blocks",
            StatField::Mode => "mode",
            StatField::Uid => "uid",
            StatField::Mtime => "mtime",
            StatField::Ctime => "ctime",
        })
    }
}

impl StatField {
    fn value_text(self, value: u64) -> String {
        match self {
            StatField::Size => Size(value).to_string(),
            StatField::Blocks | StatField::Uid => value.to_string(),
            StatField::Mode => format!("{value:04o}"),
            StatField::Mtime | StatField::Ctime if value == 0 => "kept".to_owned(),
            StatField::Mtime | StatField::Ctime => "changed".to_owned(),
        }
    }
}

/// Returns a line, if there is one.
fn line_text(line: &Option<String>) -> &str {
    line.as_deref().unwrap_or("nothing")
}

/// Returns what kind of thing an observation tells of.
pub(crate) fn existence(observation: &Observation) -> &'static str {
    match observation {
        Observation::Absent => "absent",
        Observation::Unreadable(_) => "unreadable",
        Observation::File { .. } => "a file",
        Observation::Other { stat } => match stat.kind {
            scenario::FileKind::Regular => "a file",
            scenario::FileKind::Directory => "a directory",
            scenario::FileKind::Fifo => "a fifo",
        },
    }
}

/// Returns how a call ended, in the words of the scenario language.
pub(crate) fn outcome_text(outcome: &Outcome) -> String {
    use scenario::CallEnd;
    match outcome {
        Outcome::Done
        | Outcome::Dedupe {
            end: CallEnd::Returned,
            ..
        } => "ok".to_owned(),
        Outcome::Failed(errno)
        | Outcome::Dedupe {
            end: CallEnd::Failed(errno),
            ..
        } => errno.to_string(),
        Outcome::Short(len) => format!("short {}", Size(*len)),
        Outcome::NotOpened(errno) => format!("not-opened {errno}"),
        Outcome::Trees(_) => "trees".to_owned(),
        Outcome::Hangs => "hangs".to_owned(),
        Outcome::Panics => "panics".to_owned(),
    }
}

fn element_text(element: Option<ElementAnswer>) -> String {
    let Some(ElementAnswer {
        status,
        bytes_deduped,
    }) = element
    else {
        return "no element".to_owned();
    };
    let status = match uapi::Errno::from_status(status) {
        Some(errno) => errno.to_string(),
        None if status == uapi::dedupe::SAME => "same".to_owned(),
        None if status == uapi::dedupe::DIFFERS => "differs".to_owned(),
        None => format!("status {status}"),
    };
    format!("{status} {}", Size(bytes_deduped))
}

fn byte_text(byte: Option<u8>) -> String {
    byte.map_or_else(|| "no byte".to_owned(), |byte| format!("{byte:#04x}"))
}

fn map_text(run: Option<(MapFlags, bool)>) -> String {
    let Some((flags, has_storage)) = run else {
        return "a hole".to_owned();
    };
    let MapFlags {
        is_delalloc,
        is_unwritten,
        is_shared,
        is_share_open: _,
        is_inline,
        is_encoded,
    } = flags;
    let words = [
        (is_shared, "shared"),
        (is_unwritten, "unwritten"),
        (is_delalloc, "delalloc"),
        (is_inline, "inline"),
        (is_encoded, "encoded"),
    ];
    let words: Vec<&str> = words
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, word)| *word)
        .collect();
    let storage = if has_storage { "storage" } else { "no storage" };
    if words.is_empty() {
        format!("data, {storage}")
    } else {
        format!("{}, {storage}", words.join(" "))
    }
}
