//! Simpler operations in the place of one: [`ops`]. Other operations stay as they are.
//!
//! Every candidate is smaller in some sense that cannot shrink for ever: fewer elements, smaller
//! or rounder numbers, plainer bytes, fewer adornments.

use data::{Content, Fill};
use scenario::{Access, CallMemory, Caller, CloneCall, DedupeCall, Fd, Mount, Name, Op};

/// Length of a block in bytes.
pub(super) const BLOCK: u64 = 4096;
/// The plainest byte that is none of a hole's.
pub(super) const FIRST_LETTER: u8 = 0x61;

/// Returns candidates for one operation, the simplest first.
pub(super) fn ops(op: &Op) -> Vec<Op> {
    match op {
        Op::Write {
            name,
            offset,
            content,
        } => writes(*offset, content, write(name)),
        Op::DirectWrite {
            name,
            offset,
            content,
        } => {
            let direct = |offset, content| Op::DirectWrite {
                name: name.clone(),
                offset,
                content,
            };
            let buffered = write(name)(*offset, content.clone());
            [vec![buffered], writes(*offset, content, direct)].concat()
        }
        Op::MappedWrite {
            name,
            offset,
            content,
        } => {
            let mapped = |offset, content| Op::MappedWrite {
                name: name.clone(),
                offset,
                content,
            };
            let buffered = write(name)(*offset, content.clone());
            [vec![buffered], writes(*offset, content, mapped)].concat()
        }
        Op::Fiemap { name } => vec![Op::Flush { name: name.clone() }],
        Op::Truncate { name, size } => smaller(*size)
            .into_iter()
            .map(|size| Op::Truncate {
                name: name.clone(),
                size,
            })
            .collect(),
        Op::Fallocate {
            name,
            offset,
            len,
            keeps_size,
        } => ranges(*offset, *len)
            .into_iter()
            .map(|(offset, len)| Op::Fallocate {
                name: name.clone(),
                offset,
                len,
                keeps_size: *keeps_size,
            })
            .collect(),
        Op::Punch { name, offset, len } => ranges(*offset, *len)
            .into_iter()
            .map(|(offset, len)| Op::Punch {
                name: name.clone(),
                offset,
                len,
            })
            .collect(),
        // A punch does less: no size, nothing preallocated.
        Op::Zero {
            name,
            offset,
            len,
            keeps_size,
        } => ranges(*offset, *len)
            .into_iter()
            .map(|(offset, len)| Op::Zero {
                name: name.clone(),
                offset,
                len,
                keeps_size: *keeps_size,
            })
            .chain([Op::Punch {
                name: name.clone(),
                offset: *offset,
                len: *len,
            }])
            .collect(),
        Op::Unlink {
            name,
            is_held: true,
        } => vec![Op::Unlink {
            name: name.clone(),
            is_held: false,
        }],
        Op::File {
            name,
            is_nocow: true,
        } => vec![Op::File {
            name: name.clone(),
            is_nocow: false,
        }],
        Op::Clone(call) => clones(call).into_iter().map(Op::Clone).collect(),
        Op::Dedupe(call) => dedupes(call).into_iter().map(Op::Dedupe).collect(),
        _ => Vec::new(),
    }
}

fn writes(offset: u64, content: &Content, make: impl Fn(u64, Content) -> Op) -> Vec<Op> {
    let mut candidates = Vec::new();
    for len in smaller(content.len()) {
        if 0 < len {
            candidates.push(make(offset, content.slice(0..len)));
        }
    }
    if !is_plain(content) {
        candidates.push(make(offset, Content::byte(FIRST_LETTER, content.len())));
    }
    for offset in smaller(offset) {
        candidates.push(make(offset, content.clone()));
    }
    candidates
}

/// Returns what makes buffered writes to a file.
fn write(name: &Name) -> impl Fn(u64, Content) -> Op {
    |offset, content| Op::Write {
        name: name.clone(),
        offset,
        content,
    }
}

/// Returns whether the bytes are one byte repeated.
fn is_plain(content: &Content) -> bool {
    let mut fills = content.runs().iter().map(|run| run.fill());
    content.runs().len() <= 1 && fills.all(|fill| matches!(fill, Fill::Byte(_)))
}

fn ranges(offset: u64, len: u64) -> Vec<(u64, u64)> {
    let mut candidates: Vec<(u64, u64)> =
        smaller(len).into_iter().map(|len| (offset, len)).collect();
    candidates.extend(smaller(offset).into_iter().map(|offset| (offset, len)));
    candidates
}

fn clones(call: &CloneCall) -> Vec<CloneCall> {
    let mut candidates = Vec::new();
    for len in smaller(call.len) {
        candidates.push(CloneCall {
            len,
            ..call.clone()
        });
    }
    for source_offset in smaller(call.source_offset) {
        candidates.push(CloneCall {
            source_offset,
            ..call.clone()
        });
    }
    for target_offset in smaller(call.target_offset) {
        candidates.push(CloneCall {
            target_offset,
            ..call.clone()
        });
    }
    for source in plainer(&call.source) {
        candidates.push(CloneCall {
            source,
            ..call.clone()
        });
    }
    for target in plainer(&call.target) {
        candidates.push(CloneCall {
            target,
            ..call.clone()
        });
    }
    candidates
}

fn dedupes(call: &DedupeCall) -> Vec<DedupeCall> {
    let mut candidates = Vec::new();
    let mut add = |change: &dyn Fn(&mut DedupeCall)| {
        let mut changed = call.clone();
        change(&mut changed);
        if changed != *call {
            candidates.push(changed);
        }
    };
    add(&|call| call.memory = CallMemory::Whole);
    add(&|call| call.count = None);
    add(&|call| call.reserved1 = 0);
    add(&|call| call.reserved2 = 0);
    add(&|call| call.caller = Caller::Root);
    let nr_targets = call.targets.len();
    for nr_kept in [1, nr_targets / 2] {
        if 0 < nr_kept && nr_kept < nr_targets {
            add(&|call| call.targets.truncate(nr_kept));
            add(&|call| {
                call.targets.drain(..nr_targets - nr_kept);
            });
        }
    }
    if nr_targets <= 16 {
        (0..nr_targets)
            .rev()
            .for_each(|idx| add(&|call| drop(call.targets.remove(idx))));
    }
    for len in smaller(call.len) {
        add(&|call| call.len = len);
    }
    for offset in smaller(call.source_offset) {
        add(&|call| call.source_offset = offset);
    }
    for fd in plainer(&call.source) {
        add(&|call| call.source = fd.clone());
    }
    for (idx, target) in call.targets.iter().enumerate().take(4) {
        add(&|call| call.targets[idx].reserved = 0);
        for offset in smaller(target.offset) {
            add(&|call| call.targets[idx].offset = offset);
        }
        for fd in plainer(&target.fd) {
            add(&|call| call.targets[idx].fd = fd.clone());
        }
    }
    candidates
}

/// Returns the descriptor without adornments, one at a time.
fn plainer(fd: &Fd) -> Vec<Fd> {
    let mut candidates = vec![
        Fd {
            has_high_bit: false,
            ..fd.clone()
        },
        Fd {
            mount: Mount::First,
            ..fd.clone()
        },
        Fd {
            access: Access::ReadWrite,
            ..fd.clone()
        },
    ];
    candidates.retain(|candidate| candidate != fd);
    candidates
}

/// Returns numbers of bytes that are simpler than this: 0, a block, whole blocks, the smallest
/// first and the distances halving, so that any number is reached in few steps.
fn smaller(number: u64) -> Vec<u64> {
    let aligned = number - number % BLOCK;
    let mut candidates = vec![0, BLOCK];
    let mut distance = aligned / 2;
    while BLOCK <= distance {
        candidates.push(aligned - (distance - distance % BLOCK));
        distance /= 2;
    }
    candidates.push(aligned);
    candidates.retain(|candidate| *candidate < number);
    candidates.dedup();
    candidates
}
