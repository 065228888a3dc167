//! One line read as an operation.
//!
//! Nothing here knows what an operation needs: whatever has the right form is an operation.

use super::cursor::{Cursor, Word};
use super::error::{Found, ParseError};
use super::size::Size;
use super::{ELEMENTS_MAX, content, fd};
use crate::{Attribute, CallMemory, Caller, CloneCall, DedupeCall, DedupeTarget, Name, Op};

/// The verbs, for the error about an unknown one.
const VERBS: &str = "one of file, dir, fifo, subvol, snapshot, delete, link, rename, unlink, close, \
                     pwrite, dwrite, mwrite, truncate, falloc, fpunch, fzero, flush, fiemap, fsync, \
                     sync, remount, tick, tree, chattr, chmod, chown, clone, dedupe, observe";

const MEMORY: &str =
    "memory=unmapped-after:N, memory=readonly-after:N, memory=half-header or memory=pointer:N";

/// How many elements one text may still have: `x65535` is cheap to write and not to keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(pub(super) usize);

/// Returns the operation of a line, of which nothing may be left.
pub(super) fn parse(cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<Op, ParseError> {
    let verb = cursor.expect(VERBS)?;
    let op = match verb.text {
        "file" => Op::File {
            name: name(cursor)?,
            is_nocow: cursor.flag("nocow")?,
        },
        "dir" => Op::Dir {
            name: name(cursor)?,
        },
        "fifo" => Op::Fifo {
            name: name(cursor)?,
        },
        "subvol" => Op::Subvol {
            name: name(cursor)?,
        },
        "snapshot" => Op::Snapshot {
            source: name(cursor)?,
            target: name(cursor)?,
            is_readonly: cursor.flag("ro")?,
        },
        "delete" => Op::Delete {
            name: name(cursor)?,
        },
        "link" => Op::Link {
            source: name(cursor)?,
            target: name(cursor)?,
        },
        "rename" => Op::Rename {
            source: name(cursor)?,
            target: name(cursor)?,
        },
        "unlink" => Op::Unlink {
            name: name(cursor)?,
            is_held: cursor.flag("held")?,
        },
        "close" => Op::Close {
            name: name(cursor)?,
        },
        "pwrite" => Op::Write {
            name: name(cursor)?,
            offset: size(cursor, "an offset")?,
            content: content::parse(cursor)?,
        },
        "dwrite" => Op::DirectWrite {
            name: name(cursor)?,
            offset: size(cursor, "an offset")?,
            content: content::parse(cursor)?,
        },
        "mwrite" => Op::MappedWrite {
            name: name(cursor)?,
            offset: size(cursor, "an offset")?,
            content: content::parse(cursor)?,
        },
        "truncate" => Op::Truncate {
            name: name(cursor)?,
            size: size(cursor, "a size")?,
        },
        "falloc" => Op::Fallocate {
            name: name(cursor)?,
            offset: size(cursor, "an offset")?,
            len: size(cursor, "a length")?,
            keeps_size: cursor.flag("keep-size")?,
        },
        "fpunch" => Op::Punch {
            name: name(cursor)?,
            offset: size(cursor, "an offset")?,
            len: size(cursor, "a length")?,
        },
        "fzero" => Op::Zero {
            name: name(cursor)?,
            offset: size(cursor, "an offset")?,
            len: size(cursor, "a length")?,
            keeps_size: cursor.flag("keep-size")?,
        },
        "flush" => Op::Flush {
            name: name(cursor)?,
        },
        "fiemap" => Op::Fiemap {
            name: name(cursor)?,
        },
        "fsync" => Op::Fsync {
            name: name(cursor)?,
        },
        "sync" => Op::Sync,
        "remount" => Op::Remount {
            is_readonly: cursor.read("ro or rw", |word| match word {
                "ro" => Some(true),
                "rw" => Some(false),
                _ => None,
            })?,
        },
        "tick" => Op::Tick,
        "tree" => Op::Tree,
        "chattr" => parse_chattr(cursor)?,
        "chmod" => Op::Chmod {
            name: name(cursor)?,
            mode: cursor.read(MODE, parse_mode)?,
        },
        "chown" => Op::Chown {
            name: name(cursor)?,
            uid: number(cursor, "a uid")?,
        },
        "clone" => Op::Clone(parse_clone(cursor)?),
        "dedupe" => Op::Dedupe(parse_dedupe(cursor, budget)?),
        "observe" => Op::Observe {
            names: parse_names(cursor)?,
        },
        _ => return Err(cursor.wrong(verb, VERBS)),
    };
    cursor.end()?;
    Ok(op)
}

/// What a mode has to be, for errors.
pub(super) const MODE: &str = "a mode in octal, at most 7777";

/// Returns the mode that octal digits say.
pub(super) fn parse_mode(text: &str) -> Option<u16> {
    let is_octal = text.bytes().all(|b| b.is_ascii_digit());
    let mode = if is_octal {
        u16::from_str_radix(text, 8).ok()?
    } else {
        return None;
    };
    (mode <= 0o7777).then_some(mode)
}

/// Reads the name of a file.
pub(super) fn name(cursor: &mut Cursor<'_>) -> Result<Name, ParseError> {
    cursor.read("a name ([A-Za-z0-9_-], joined by \"/\")", Name::new)
}

/// Reads a number of bytes.
pub(super) fn size(cursor: &mut Cursor<'_>, expected: &'static str) -> Result<u64, ParseError> {
    cursor.read(expected, Size::parse)
}

/// Reads a number that has to fit into `T`.
fn number<T: TryFrom<u64>>(
    cursor: &mut Cursor<'_>,
    expected: &'static str,
) -> Result<T, ParseError> {
    cursor.read(expected, parse_number)
}

/// Returns the number that `text` says, if it fits into `T`.
pub(super) fn parse_number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    T::try_from(Size::parse(text)?).ok()
}

fn parse_names(cursor: &mut Cursor<'_>) -> Result<Vec<Name>, ParseError> {
    let mut names = Vec::new();
    while cursor.peek().is_some() {
        names.push(name(cursor)?);
    }
    Ok(names)
}

fn parse_chattr(cursor: &mut Cursor<'_>) -> Result<Op, ParseError> {
    let name = name(cursor)?;
    let (attribute, is_set) = cursor.read("one of +C, -C, +i, -i, +a, -a", |word| match word {
        "+C" => Some((Attribute::Nocow, true)),
        "-C" => Some((Attribute::Nocow, false)),
        "+i" => Some((Attribute::Immutable, true)),
        "-i" => Some((Attribute::Immutable, false)),
        "+a" => Some((Attribute::Append, true)),
        "-a" => Some((Attribute::Append, false)),
        _ => None,
    })?;
    Ok(Op::Chattr {
        name,
        attribute,
        is_set,
    })
}

fn parse_clone(cursor: &mut Cursor<'_>) -> Result<CloneCall, ParseError> {
    let source = fd::parse(cursor)?;
    let source_offset = size(cursor, "an offset")?;
    let len = size(cursor, "a length")?;
    cursor.literal("=>", "\"=>\"")?;
    let target = fd::parse(cursor)?;
    let target_offset = size(cursor, "an offset")?;
    Ok(CloneCall {
        source,
        source_offset,
        len,
        target,
        target_offset,
    })
}

fn parse_dedupe(cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<DedupeCall, ParseError> {
    let source = fd::parse(cursor)?;
    let source_offset = size(cursor, "an offset")?;
    let len = size(cursor, "a length")?;
    cursor.literal("=>", "\"=>\"")?;
    let mut call = DedupeCall {
        source,
        source_offset,
        len,
        targets: Vec::new(),
        count: None,
        reserved1: 0,
        reserved2: 0,
        caller: Caller::Root,
        memory: CallMemory::Whole,
    };
    while cursor.peek().is_some_and(|word| !word.text.contains('=')) {
        parse_elements(cursor, &mut call.targets, budget)?;
    }
    parse_keys(cursor, &mut call)?;
    Ok(call)
}

/// Reads one element and how often it stands there.
fn parse_elements(
    cursor: &mut Cursor<'_>,
    targets: &mut Vec<DedupeTarget>,
    budget: &mut Budget,
) -> Result<(), ParseError> {
    let start = cursor.clone();
    let fd = fd::parse(cursor)?;
    let offset = size(cursor, "an offset")?;
    let mut reserved = 0;
    if let Some(word) = cursor.peek()
        && let Some(value) = word.text.strip_prefix("reserved=")
    {
        cursor.pass(word);
        reserved = value_of(cursor, word, value, "reserved= and a number below 2^32")?;
    }
    let nr_repeats = parse_repeat(cursor)?;
    let nr_elements = targets.len() + nr_repeats;
    if ELEMENTS_MAX < nr_elements || budget.0 < nr_repeats {
        let at = start.peek().map_or(0, |word| word.at);
        let found = if ELEMENTS_MAX < nr_elements {
            Found::Excess(format!("{nr_elements}").into())
        } else {
            Found::Excess("more in all lines together than a text may have".into())
        };
        return Err(cursor.error_at(at, format!("at most {ELEMENTS_MAX} elements"), found));
    }
    budget.0 -= nr_repeats;
    targets.resize(
        nr_elements,
        DedupeTarget {
            fd,
            offset,
            reserved,
        },
    );
    Ok(())
}

/// Reads `xN`, N from 1 to [`ELEMENTS_MAX`], if it stands there; otherwise it is 1.
pub(super) fn parse_repeat(cursor: &mut Cursor<'_>) -> Result<usize, ParseError> {
    let Some(word) = cursor.peek() else {
        return Ok(1);
    };
    let Some(digits) = fd::repeat_count(word.text) else {
        return Ok(1);
    };
    cursor.pass(word);
    match digits.parse() {
        Ok(nr_repeats) if 0 < nr_repeats && nr_repeats <= ELEMENTS_MAX => Ok(nr_repeats),
        _ => Err(cursor.wrong(word, format!("x1 to x{ELEMENTS_MAX}"))),
    }
}

/// Reads the keys behind the elements, in any order, each at most once.
fn parse_keys(cursor: &mut Cursor<'_>, call: &mut DedupeCall) -> Result<(), ParseError> {
    let mut seen: Vec<&str> = Vec::new();
    while let Some(word) = cursor.next() {
        let Some((key, value)) = word.text.split_once('=') else {
            return Err(cursor.wrong(word, "key=value (elements stand before the keys)"));
        };
        if seen.contains(&key) {
            let found = Found::Excess(format!("a second {key}=").into());
            return Err(cursor.error_at(word.at, "each key once", found));
        }
        seen.push(key);
        match key {
            "count" => {
                call.count = Some(value_of(
                    cursor,
                    word,
                    value,
                    "count= and a number below 2^16",
                )?);
            }
            "reserved1" => {
                let expected = "reserved1= and a number below 2^16";
                call.reserved1 = value_of(cursor, word, value, expected)?;
            }
            "reserved2" => {
                let expected = "reserved2= and a number below 2^32";
                call.reserved2 = value_of(cursor, word, value, expected)?;
            }
            "as" if value == "user" => call.caller = Caller::User,
            "as" if value == "root" => call.caller = Caller::Root,
            "as" => return Err(cursor.wrong(word, "as=user or as=root")),
            "memory" => {
                call.memory = parse_memory(value).ok_or_else(|| cursor.wrong(word, MEMORY))?;
            }
            _ => {
                return Err(
                    cursor.wrong(word, "one of count=, reserved1=, reserved2=, as=, memory=")
                );
            }
        }
    }
    Ok(())
}

/// Returns the number behind the `=` of a word.
fn value_of<T: TryFrom<u64>>(
    cursor: &Cursor<'_>,
    word: Word<'_>,
    value: &str,
    expected: &'static str,
) -> Result<T, ParseError> {
    parse_number(value).ok_or_else(|| cursor.wrong(word, expected))
}

fn parse_memory(value: &str) -> Option<CallMemory> {
    let (kind, number) = match value.split_once(':') {
        Some((kind, number)) => (kind, Some(parse_number(number)?)),
        None => (value, None),
    };
    match (kind, number) {
        ("whole", None) => Some(CallMemory::Whole),
        ("half-header", None) => Some(CallMemory::HalfHeader),
        ("unmapped-after", Some(nr_elements)) => Some(CallMemory::UnmappedAfter(nr_elements)),
        ("readonly-after", Some(nr_elements)) => Some(CallMemory::ReadonlyAfter(nr_elements)),
        ("pointer", Some(value)) => Some(CallMemory::Pointer(value)),
        _ => None,
    }
}
