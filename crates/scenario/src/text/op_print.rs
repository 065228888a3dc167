//! Operations as canonical text: one line each.
//!
//! Nothing here bounds the length of a line: see [`super::LINE_LEN_MAX`].

use std::fmt;

use super::content;
use super::size::Size;
use crate::{Attribute, CallMemory, Caller, CloneCall, DedupeCall, DedupeTarget, Op};

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::File { name, is_nocow } => write!(f, "file {name}{}", flag(*is_nocow, " nocow")),
            Op::Dir { name } => write!(f, "dir {name}"),
            Op::Fifo { name } => write!(f, "fifo {name}"),
            Op::Subvol { name } => write!(f, "subvol {name}"),
            Op::Snapshot {
                source,
                target,
                is_readonly,
            } => {
                write!(f, "snapshot {source} {target}{}", flag(*is_readonly, " ro"))
            }
            Op::Delete { name } => write!(f, "delete {name}"),
            Op::Link { source, target } => write!(f, "link {source} {target}"),
            Op::Rename { source, target } => write!(f, "rename {source} {target}"),
            Op::Unlink { name, is_held } => write!(f, "unlink {name}{}", flag(*is_held, " held")),
            Op::Close { name } => write!(f, "close {name}"),
            Op::Write {
                name,
                offset,
                content,
            } => {
                write!(f, "pwrite {name} {} ", Size(*offset))?;
                content::print(f, content)
            }
            Op::DirectWrite {
                name,
                offset,
                content,
            } => {
                write!(f, "dwrite {name} {} ", Size(*offset))?;
                content::print(f, content)
            }
            Op::MappedWrite {
                name,
                offset,
                content,
            } => {
                write!(f, "mwrite {name} {} ", Size(*offset))?;
                content::print(f, content)
            }
            Op::Truncate { name, size } => write!(f, "truncate {name} {}", Size(*size)),
            Op::Fallocate {
                name,
                offset,
                len,
                keeps_size,
            } => {
                let keep_size = flag(*keeps_size, " keep-size");
                write!(
                    f,
                    "falloc {name} {} {}{keep_size}",
                    Size(*offset),
                    Size(*len)
                )
            }
            Op::Punch { name, offset, len } => {
                write!(f, "fpunch {name} {} {}", Size(*offset), Size(*len))
            }
            Op::Zero {
                name,
                offset,
                len,
                keeps_size,
            } => {
                let keep_size = flag(*keeps_size, " keep-size");
                write!(
                    f,
                    "fzero {name} {} {}{keep_size}",
                    Size(*offset),
                    Size(*len)
                )
            }
            Op::Flush { name } => write!(f, "flush {name}"),
            Op::Fiemap { name } => write!(f, "fiemap {name}"),
            Op::Fsync { name } => write!(f, "fsync {name}"),
            Op::Sync => f.write_str("sync"),
            Op::Remount { is_readonly } => {
                write!(f, "remount {}", if *is_readonly { "ro" } else { "rw" })
            }
            Op::Tick => f.write_str("tick"),
            Op::Tree => f.write_str("tree"),
            Op::Chattr {
                name,
                attribute,
                is_set,
            } => {
                let sign = if *is_set { '+' } else { '-' };
                write!(f, "chattr {name} {sign}{}", attribute.letter())
            }
            Op::Chmod { name, mode } => write!(f, "chmod {name} {mode:04o}"),
            Op::Chown { name, uid } => write!(f, "chown {name} {uid}"),
            Op::Clone(call) => print_clone(f, call),
            Op::Dedupe(call) => print_dedupe(f, call),
            Op::Observe { names } => {
                f.write_str("observe")?;
                names.iter().try_for_each(|name| write!(f, " {name}"))
            }
        }
    }
}

impl Attribute {
    /// Returns the letter by which `chattr(1)` knows it.
    pub fn letter(self) -> char {
        match self {
            Attribute::Nocow => 'C',
            Attribute::Immutable => 'i',
            Attribute::Append => 'a',
        }
    }
}

/// Returns a word for a fact that holds, nothing otherwise.
fn flag(holds: bool, word: &'static str) -> &'static str {
    if holds { word } else { "" }
}

fn print_clone(f: &mut fmt::Formatter<'_>, call: &CloneCall) -> fmt::Result {
    let CloneCall {
        source,
        source_offset,
        len,
        target,
        target_offset,
    } = call;
    write!(f, "clone {source} {} {}", Size(*source_offset), Size(*len))?;
    write!(f, " => {target} {}", Size(*target_offset))
}

fn print_dedupe(f: &mut fmt::Formatter<'_>, call: &DedupeCall) -> fmt::Result {
    write!(
        f,
        "dedupe {} {} {} =>",
        call.source,
        Size(call.source_offset),
        Size(call.len)
    )?;
    for run in call.targets.chunk_by(|one, next| one == next) {
        print_elements(f, run)?;
    }
    if let Some(count) = call.count {
        write!(f, " count={count}")?;
    }
    if call.reserved1 != 0 {
        write!(f, " reserved1={}", call.reserved1)?;
    }
    if call.reserved2 != 0 {
        write!(f, " reserved2={}", call.reserved2)?;
    }
    match call.caller {
        Caller::Root => {}
        Caller::User => f.write_str(" as=user")?,
    }
    match call.memory {
        CallMemory::Whole => Ok(()),
        CallMemory::UnmappedAfter(nr_elements) => write!(f, " memory=unmapped-after:{nr_elements}"),
        CallMemory::ReadonlyAfter(nr_elements) => write!(f, " memory=readonly-after:{nr_elements}"),
        CallMemory::HalfHeader => f.write_str(" memory=half-header"),
        CallMemory::Pointer(value) => write!(f, " memory=pointer:{value}"),
    }
}

/// Prints a run of equal elements.
fn print_elements(f: &mut fmt::Formatter<'_>, run: &[DedupeTarget]) -> fmt::Result {
    let Some(DedupeTarget {
        fd,
        offset,
        reserved,
    }) = run.first()
    else {
        return Ok(());
    };
    write!(f, " {fd} {}", Size(*offset))?;
    if *reserved != 0 {
        write!(f, " reserved={reserved}")?;
    }
    if 1 < run.len() {
        write!(f, " x{}", run.len())?;
    }
    Ok(())
}
