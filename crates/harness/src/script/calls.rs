//! Clones and dedupes as commands.

use scenario::{Access, CallMemory, Caller, CloneCall, DedupeCall, Fd, Mount, Name, Op, Target};

/// A line of a script.
pub(super) enum Call {
    /// A remark.
    Comment(String),
    /// A command.
    Command(String),
}

/// Returns whether an operation needs the raw program.
pub(super) fn needs_raw(op: &Op) -> bool {
    match op {
        Op::Clone(call) => !is_plain_clone(call),
        Op::Dedupe(call) => !is_plain_dedupe(call),
        _ => false,
    }
}

/// Returns the commands of a clone.
pub(super) fn clone(call: &CloneCall) -> Vec<Call> {
    let CloneCall {
        source,
        source_offset,
        len,
        target,
        target_offset,
    } = call;
    let (Some(from), Some(to), true) = (source.name(), target.name(), is_plain_clone(call)) else {
        return vec![Call::Command(format!(
            "python3 \"$work/raw.py\" clone {source} {source_offset} {len} {target} {target_offset}"
        ))];
    };
    let flag = readonly_flag(target);
    vec![Call::Command(format!(
        "xfs_io{flag} -c 'reflink ./{from} {source_offset} {target_offset} {len}' ./{to}"
    ))]
}

/// Returns the commands of a dedupe.
pub(super) fn dedupe(call: &DedupeCall) -> Vec<Call> {
    let mut calls = Vec::new();
    let from = match call.source.name() {
        Some(from) if is_plain_dedupe(call) => from,
        _ => return vec![Call::Command(raw_dedupe(call))],
    };
    if 1 < call.targets.len() {
        let nr_targets = call.targets.len();
        calls.push(Call::Comment(format!(
            "One request of {nr_targets} elements, here a request for each."
        )));
    }
    for target in &call.targets {
        let Some(to) = target.fd.name() else { continue };
        let (flag, start, len) = (readonly_flag(&target.fd), call.source_offset, call.len);
        let offset = target.offset;
        calls.push(Call::Command(format!(
            "xfs_io{flag} -c 'dedupe ./{from} {start} {offset} {len}' ./{to}"
        )));
    }
    calls
}

/// Returns the command that compares the bytes of the ranges of a call, for its first target.
pub(super) fn comparison(op: &Op) -> Option<String> {
    let (source, source_offset, len, target, offset) = match op {
        Op::Clone(call) => (
            &call.source,
            call.source_offset,
            call.len,
            &call.target,
            call.target_offset,
        ),
        Op::Dedupe(call) => {
            let target = call.targets.first()?;
            (
                &call.source,
                call.source_offset,
                call.len,
                &target.fd,
                target.offset,
            )
        }
        _ => return None,
    };
    let (from, to): (&Name, &Name) = (source.name()?, target.name()?);
    Some(format!(
        "cmp -n {len} -i {source_offset}:{offset} ./{from} ./{to}"
    ))
}

fn raw_dedupe(call: &DedupeCall) -> String {
    let DedupeCall {
        source,
        source_offset,
        len,
        targets,
        reserved1,
        reserved2,
        ..
    } = call;
    let count = call.dest_count();
    let caller = match call.caller {
        Caller::Root => "root",
        Caller::User => "user",
    };
    let memory = match call.memory {
        CallMemory::Whole => "whole".to_owned(),
        CallMemory::UnmappedAfter(nr_elements) => format!("unmapped-after:{nr_elements}"),
        CallMemory::ReadonlyAfter(nr_elements) => format!("readonly-after:{nr_elements}"),
        CallMemory::HalfHeader => "half-header".to_owned(),
        CallMemory::Pointer(value) => format!("pointer:{value}"),
    };
    let mut command = format!(
        "python3 \"$work/raw.py\" dedupe {source} {source_offset} {len} {count} {reserved1} \
         {reserved2} {caller} {memory}"
    );
    for target in targets {
        let (fd, offset, reserved) = (&target.fd, target.offset, target.reserved);
        command.push_str(&format!(" \\\n  {fd} {offset} {reserved}"));
    }
    command
}

fn is_plain_clone(call: &CloneCall) -> bool {
    is_plain(&call.source) && is_plain(&call.target)
}

fn is_plain_dedupe(call: &DedupeCall) -> bool {
    let has_plain_targets = call
        .targets
        .iter()
        .all(|target| target.reserved == 0 && is_plain(&target.fd));
    let has_count =
        usize::from(call.dest_count()) == call.targets.len() && !call.targets.is_empty();
    let has_reserved = call.reserved1 != 0 || call.reserved2 != 0;
    is_plain(&call.source)
        && has_plain_targets
        && has_count
        && !has_reserved
        && call.caller == Caller::Root
        && call.memory == CallMemory::Whole
        // xfs_io reads its numbers as signed and goes on where a call stopped.
        && call.len <= 16 << 20
        && i64::try_from(call.source_offset).is_ok()
        && call.targets.iter().all(|target| i64::try_from(target.offset).is_ok())
}

/// Returns whether `xfs_io` can open a descriptor like this.
fn is_plain(fd: &Fd) -> bool {
    matches!(fd.target, Target::Name(_))
        && matches!(fd.access, Access::ReadWrite | Access::ReadOnly)
        && fd.mount == Mount::First
        && !fd.has_high_bit
}

fn readonly_flag(fd: &Fd) -> &'static str {
    if fd.access == Access::ReadOnly {
        " -r"
    } else {
        ""
    }
}
