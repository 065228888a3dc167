//! Described bytes as commands that print them.

use data::{Content, Fill, Run};
use scenario::Op;

/// Returns the `xfs_io` command that writes a content by itself, if it can: one byte repeated.
pub(super) fn pwrite(offset: u64, content: &Content) -> Option<String> {
    let (byte, len) = (byte(content)?, content.len());
    // The buffer as long as the range makes it one pwrite(2).
    Some(format!("pwrite -q -b {len} -S {byte:#04x} {offset} {len}"))
}

/// Returns the byte that a content repeats, if it is nothing else.
pub(super) fn byte(content: &Content) -> Option<u8> {
    let [run] = content.runs() else { return None };
    match run.fill() {
        Fill::Byte(byte) => Some(*byte),
        Fill::Pattern { .. } | Fill::Literal { .. } => None,
    }
}

/// Returns whether an operation writes bytes that only the pattern program prints.
pub(super) fn needs_pattern(op: &Op) -> bool {
    let (Op::Write { content, .. }
    | Op::DirectWrite { content, .. }
    | Op::MappedWrite { content, .. }) = op
    else {
        return false;
    };
    content
        .runs()
        .iter()
        .any(|run| matches!(run.fill(), Fill::Pattern { .. }))
}

/// Returns a command that prints the bytes of a run.
pub(super) fn producer(run: &Run) -> String {
    let len = run.len();
    match run.fill() {
        Fill::Byte(0) => format!("head -c {len} /dev/zero"),
        Fill::Byte(byte) => format!("head -c {len} /dev/zero | tr '\\0' '\\{byte:03o}'"),
        Fill::Pattern { seed, at } => format!("python3 \"$work/pattern.py\" {seed} {at} {len}"),
        Fill::Literal { .. } => {
            let bytes = run.as_literal().unwrap_or_default();
            let escaped: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
            format!("printf '{escaped}'")
        }
    }
}
