//! Observations as result lines, and back.

use std::fmt::{self, Write as _};

use data::Digest;
use uapi::Errno;

use super::cursor::{Cursor, Word};
use super::error::{Found, ParseError};
use super::labels::{LabelledRun, Labels};
use super::op_parse::{MODE, parse_mode, parse_number};
use super::size::Size;
use crate::{FileKind, MapFlags, MapRun, Name, Observation, Stat, Storage};

/// How storage is printed.
#[derive(Debug)]
pub enum Places<'a> {
    /// As the backend's own number, `@13631488`: can be read back.
    Raw,
    /// As a label, `x0`: can be compared between backends.
    Labelled(&'a mut Labels),
}

/// What an observation has to be, for errors.
const OBSERVATION: &str = "one of absent, unreadable ERRNO, file ..., dir ..., fifo ...";

/// The flags of a map run in the order of printing.
const FLAGS: [&str; 6] = [
    "shared",
    "share-open",
    "unwritten",
    "delalloc",
    "inline",
    "encoded",
];

/// Returns the result lines that tell what was seen of `name`, without `= `: one line for the
/// inode and one for each run of its map.
pub fn render_observation(
    name: &Name,
    observation: &Observation,
    places: Places<'_>,
) -> Vec<String> {
    render(name.as_str(), observation, places)
}

/// Returns the lines with `subject` in front of each.
pub(super) fn render(subject: &str, observation: &Observation, places: Places<'_>) -> Vec<String> {
    match observation {
        Observation::Absent => vec![format!("{subject} absent")],
        Observation::Unreadable(errno) => vec![format!("{subject} unreadable {errno}")],
        Observation::Other { stat } => vec![format!("{subject} {}", StatText(stat))],
        Observation::File { stat, content, map } => {
            let mut lines = vec![format!("{subject} {} content={content}", StatText(stat))];
            match places {
                Places::Raw => lines.extend(map.iter().map(|run| raw_run(subject, run))),
                Places::Labelled(labels) => {
                    lines.extend(
                        labels
                            .label(map)
                            .iter()
                            .map(|run| labelled_run(subject, run)),
                    );
                }
            }
            lines
        }
    }
}

/// The attributes of an inode as words.
struct StatText<'a>(&'a Stat);

impl fmt::Display for StatText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stat {
            kind,
            size,
            blocks,
            mode,
            uid,
            mtime_changed,
            ctime_changed,
        } = *self.0;
        f.write_str(match kind {
            FileKind::Regular => "file",
            FileKind::Directory => "dir",
            FileKind::Fifo => "fifo",
        })?;
        // Of a directory or fifo neither is compared, and backends leave them 0.
        if kind == FileKind::Regular || size != 0 {
            write!(f, " size={}", Size(size))?;
        }
        if kind == FileKind::Regular || blocks != 0 {
            write!(f, " blocks={blocks}")?;
        }
        let time = |is_changed| if is_changed { "changed" } else { "kept" };
        write!(f, " mode={mode:04o} uid={uid}")?;
        write!(
            f,
            " mtime={} ctime={}",
            time(mtime_changed),
            time(ctime_changed)
        )
    }
}

fn raw_run(subject: &str, run: &MapRun) -> String {
    let mut line = String::with_capacity(48);
    let storage = run.storage.map(|Storage(place)| place);
    let printed = print_run(&mut line, subject, run.offset, run.len, run.flags, |line| {
        storage.map_or(Ok(()), |place| write!(line, " @{place}"))
    });
    debug_assert!(printed.is_ok(), "a string takes everything");
    line
}

fn labelled_run(subject: &str, run: &LabelledRun) -> String {
    let mut line = String::with_capacity(48);
    let printed = print_run(&mut line, subject, run.offset, run.len, run.flags, |line| {
        run.place.map_or(Ok(()), |place| write!(line, " {place}"))
    });
    debug_assert!(printed.is_ok(), "a string takes everything");
    line
}

fn print_run(
    line: &mut String,
    subject: &str,
    offset: u64,
    len: u64,
    flags: MapFlags,
    print_place: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    // Wrapping, undone in parsing: what a broken kernel says must print too.
    write!(
        line,
        "{subject} {}..{}",
        Size(offset),
        Size(offset.wrapping_add(len))
    )?;
    print_place(line)?;
    let MapFlags {
        is_delalloc,
        is_unwritten,
        is_shared,
        is_share_open,
        is_inline,
        is_encoded,
    } = flags;
    let is_set = [
        is_shared,
        is_share_open,
        is_unwritten,
        is_delalloc,
        is_inline,
        is_encoded,
    ];
    for (word, _) in FLAGS.iter().zip(is_set).filter(|(_, is_set)| *is_set) {
        write!(line, " {word}")?;
    }
    Ok(())
}

/// Reads the line about the inode, behind its subject.
pub(super) fn parse_head(cursor: &mut Cursor<'_>) -> Result<Observation, ParseError> {
    let word = cursor.expect(OBSERVATION)?;
    match word.text {
        "absent" => Ok(Observation::Absent),
        "unreadable" => cursor
            .read("an errno", |text| text.parse::<Errno>().ok())
            .map(Observation::Unreadable),
        "file" => parse_stat(cursor, FileKind::Regular),
        "dir" => parse_stat(cursor, FileKind::Directory),
        "fifo" => parse_stat(cursor, FileKind::Fifo),
        _ => Err(cursor.wrong(word, OBSERVATION)),
    }
}

/// Reads the attributes; those that are missing are 0 or kept.
fn parse_stat(cursor: &mut Cursor<'_>, kind: FileKind) -> Result<Observation, ParseError> {
    let mut stat = Stat {
        kind,
        size: 0,
        blocks: 0,
        mode: 0,
        uid: 0,
        mtime_changed: false,
        ctime_changed: false,
    };
    let mut content = None;
    while let Some(word) = cursor.next() {
        let (key, value) = word.text.split_once('=').unwrap_or((word.text, ""));
        match key {
            "size" => stat.size = value_of(cursor, word, "size=BYTES", parse_number(value))?,
            "blocks" => stat.blocks = value_of(cursor, word, "blocks=N", parse_number(value))?,
            "mode" => stat.mode = value_of(cursor, word, MODE, parse_mode(value))?,
            "uid" => stat.uid = value_of(cursor, word, "uid=N", parse_number(value))?,
            "mtime" => stat.mtime_changed = value_of(cursor, word, TIME, parse_time(value))?,
            "ctime" => stat.ctime_changed = value_of(cursor, word, TIME, parse_time(value))?,
            "content" if kind == FileKind::Regular => {
                let digest = value.parse::<Digest>().ok();
                content = Some(value_of(cursor, word, "content=DIGEST", digest)?);
            }
            _ => {
                let keys = "one of size=, blocks=, mode=, uid=, mtime=, ctime=, content=";
                return Err(cursor.wrong(word, keys));
            }
        }
    }
    match (kind, content) {
        (FileKind::Regular, Some(content)) => Ok(Observation::File {
            stat,
            content,
            map: Vec::new(),
        }),
        (FileKind::Regular, None) => Err(cursor.missing("content=DIGEST")),
        (FileKind::Directory | FileKind::Fifo, _) => Ok(Observation::Other { stat }),
    }
}

const TIME: &str = "kept or changed behind mtime= or ctime=";

fn parse_time(value: &str) -> Option<bool> {
    match value {
        "kept" => Some(false),
        "changed" => Some(true),
        _ => None,
    }
}

fn value_of<T>(
    cursor: &Cursor<'_>,
    word: Word<'_>,
    expected: &'static str,
    value: Option<T>,
) -> Result<T, ParseError> {
    value.ok_or_else(|| cursor.wrong(word, expected))
}

/// Returns whether a word, the first behind the subject, begins a run of a map.
pub(super) fn is_range(word: &str) -> bool {
    word.contains("..")
}

/// Reads a run of a map with raw storage, behind its subject.
pub(super) fn parse_run(cursor: &mut Cursor<'_>) -> Result<MapRun, ParseError> {
    let (offset, end) = cursor.read("a range START..END", |word| {
        let (start, end) = word.split_once("..")?;
        Some((Size::parse(start)?, Size::parse(end)?))
    })?;
    let mut run = MapRun {
        offset,
        len: end.wrapping_sub(offset),
        storage: None,
        flags: MapFlags::default(),
    };
    if let Some(word) = cursor.peek()
        && let Some(place) = word.text.strip_prefix('@')
    {
        cursor.pass(word);
        let place = value_of(cursor, word, "@ and a number", Size::parse(place))?;
        run.storage = Some(Storage(place));
    }
    while let Some(word) = cursor.next() {
        let flag = match word.text {
            "shared" => &mut run.flags.is_shared,
            "share-open" => &mut run.flags.is_share_open,
            "unwritten" => &mut run.flags.is_unwritten,
            "delalloc" => &mut run.flags.is_delalloc,
            "inline" => &mut run.flags.is_inline,
            "encoded" => &mut run.flags.is_encoded,
            _ => return Err(cursor.wrong(word, format!("one of {}", FLAGS.join(", ")))),
        };
        if *flag {
            let found = Found::Excess(format!("a second {}", word.text).into());
            return Err(cursor.error_at(word.at, "each flag once", found));
        }
        *flag = true;
    }
    Ok(run)
}
