//! Simpler operations in the place of one, and simpler lists in the place of a list.
//!
//! Every candidate is smaller in some sense that cannot shrink for ever: fewer elements, smaller
//! or rounder numbers, plainer bytes, fewer adornments.

use std::collections::BTreeMap;

use data::{Content, Fill};
use scenario::{Access, CallMemory, Caller, CloneCall, DedupeCall, Fd, Mount, Op};

const BLOCK: u64 = 4096;
/// The bytes that patterns become.
const LETTERS: std::ops::Range<u8> = 0x61..0x7b;

/// Returns candidates for the whole list, the simplest first.
pub(super) fn lists(ops: &[Op]) -> Vec<Vec<Op>> {
    let contents = |change: &mut dyn FnMut(&Content) -> Content| -> Vec<Op> {
        let change_op = |op: &Op| match op {
            Op::Write {
                name,
                offset,
                content,
            } => Op::Write {
                name: name.clone(),
                offset: *offset,
                content: change(content),
            },
            op => op.clone(),
        };
        ops.iter().map(change_op).collect()
    };
    let one_byte = contents(&mut |content| Content::byte(LETTERS.start, content.len()));
    let mut letters = Letters::default();
    let byte_each = contents(&mut |content| letters.spell(content));
    let mut candidates = vec![one_byte, byte_each];
    candidates.retain(|candidate| !is_plain(ops) && candidate != ops);
    candidates
}

/// Returns whether all written bytes are bytes repeated already.
fn is_plain(ops: &[Op]) -> bool {
    let is_plain = |content: &Content| {
        let mut fills = content.runs().iter().map(|run| run.fill());
        content.runs().len() <= 1 && fills.all(|fill| matches!(fill, Fill::Byte(_)))
    };
    ops.iter().all(|op| match op {
        Op::Write { content, .. } => is_plain(content),
        _ => true,
    })
}

/// Which letter stands for which bytes.
#[derive(Default)]
struct Letters {
    of: BTreeMap<String, u8>,
}

impl Letters {
    /// Returns a content with the same cuts in which equal runs are equal letters.
    fn spell(&mut self, content: &Content) -> Content {
        let mut spelled = Content::new();
        for run in content.runs() {
            let key = match run.fill() {
                Fill::Byte(byte) => format!("byte {byte}"),
                Fill::Pattern { seed, at } => format!("seed {seed} {at}"),
                Fill::Literal { .. } => format!("{:?}", run.as_literal()),
            };
            let nr_known = u8::try_from(self.of.len()).unwrap_or(u8::MAX);
            let nr_letters = LETTERS.end - LETTERS.start;
            let letter = *self
                .of
                .entry(key)
                .or_insert(LETTERS.start + nr_known % nr_letters);
            spelled.append(Content::byte(letter, run.len()));
        }
        spelled
    }
}

/// Returns candidates for one operation, the simplest first.
pub(super) fn ops(op: &Op) -> Vec<Op> {
    match op {
        Op::Write {
            name,
            offset,
            content,
        } => writes(*offset, content)
            .into_iter()
            .map(|(offset, content)| Op::Write {
                name: name.clone(),
                offset,
                content,
            })
            .collect(),
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

fn writes(offset: u64, content: &Content) -> Vec<(u64, Content)> {
    let mut candidates = Vec::new();
    for len in smaller(content.len()) {
        if 0 < len {
            candidates.push((offset, content.slice(0..len)));
        }
    }
    for offset in smaller(offset) {
        candidates.push((offset, content.clone()));
    }
    candidates
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

/// Returns numbers of bytes that are simpler than this: 0, a block, half, whole blocks.
fn smaller(number: u64) -> Vec<u64> {
    let aligned = number - number % BLOCK;
    let half = number / 2;
    let mut candidates = vec![0, BLOCK, half - half % BLOCK, aligned];
    if BLOCK < aligned {
        candidates.push(aligned - BLOCK);
    }
    candidates.retain(|candidate| *candidate < number);
    candidates.dedup();
    candidates
}
