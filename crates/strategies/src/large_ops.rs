//! Short plans with large files: around the lengths at which kernels have cut requests.
//!
//! Large files are costly to read, so they are made, used and removed in one go. Those of the
//! swarm's draws are mostly a few MiB long; a pair of more than 16 MiB comes by a count of
//! operations, so that runs of a few hundred meet one.

use data::Content;
use scenario::{CloneCall, DedupeCall, Fd, Name, Op};

use crate::blocks::BLOCK_LEN;
use crate::swarm::Swarm;

const MIB: u64 = 1 << 20;
/// The sizes of large files, bytes; the first ones are drawn most.
const SIZES: [u64; 7] = [
    MIB + BLOCK_LEN,
    2 * MIB,
    2 * MIB + BLOCK_LEN + 1,
    3 * MIB,
    16 * MIB + BLOCK_LEN,
    17 * MIB,
    40 * MIB,
];
/// How likely each of them is.
const SIZE_WEIGHTS: [u32; SIZES.len()] = [30, 20, 20, 10, 3, 3, 4];

/// Returns the removal of a file.
fn unlink(name: Name) -> Op {
    let is_held = false;
    Op::Unlink { name, is_held }
}

impl Swarm {
    /// Returns the first step of a plan with two large files.
    pub(crate) fn draw_large(&mut self) -> Option<Op> {
        let len = SIZES[self.dice.weighted(&SIZE_WEIGHTS)];
        let (one, two) = (Name::new("Z1")?, Name::new("Z2")?);
        let is_free = |name: &Name| self.shadow.view(name).is_none();
        if self.options.max_file_bytes < len || !is_free(&one) || !is_free(&two) {
            return None;
        }
        let seed = self.dice.any() % (1 << 40);
        let is_sparse = self.dice.is(25);
        for name in [&one, &two] {
            if name == &two {
                self.plan.push_back(Op::File {
                    name: two.clone(),
                    is_nocow: false,
                });
            }
            self.plan.push_back(if is_sparse {
                Op::Truncate {
                    name: name.clone(),
                    size: len,
                }
            } else {
                Op::Write {
                    name: name.clone(),
                    offset: 0,
                    content: Content::pattern(seed, 0, len),
                }
            });
        }
        if self.dice.is(30) {
            let offset = self.dice.one_of(&[len - 1, MIB, len - BLOCK_LEN - 1]);
            let content = Content::byte(1, 1);
            self.plan.push_back(Op::Write {
                name: two.clone(),
                offset,
                content,
            });
        }
        if self.dice.is(30) {
            self.plan.push_back(Op::Sync);
        }
        self.plan_calls(&one, &two, len);
        self.plan.extend([one.clone(), two].map(unlink));
        Some(Op::File {
            name: one,
            is_nocow: false,
        })
    }

    /// Returns the first step of a plan with two files of equal bytes that are deduped whole, over
    /// more than 16 MiB. Now and then the last of these bytes differ.
    pub(crate) fn draw_giants(&mut self) -> Option<Op> {
        let rest = self.dice.between(1, MIB / BLOCK_LEN) * BLOCK_LEN + self.dice.below(2);
        let len = 16 * MIB + rest;
        let (one, two) = (Name::new("Z1")?, Name::new("Z2")?);
        let is_free = |name: &Name| self.shadow.view(name).is_none();
        if self.options.max_file_bytes < len || !is_free(&one) || !is_free(&two) {
            return None;
        }
        // Written data costs a kernel several times as much, and can be damaged in more ways.
        let is_written = self.dice.is(20);
        let content = Content::pattern(self.dice.any() % (1 << 40), 0, len);
        let file = |name: &Name| Op::File {
            name: name.clone(),
            is_nocow: false,
        };
        let fill = |name: &Name| match is_written {
            true => Op::Write {
                name: name.clone(),
                offset: 0,
                content: content.clone(),
            },
            false => Op::Fallocate {
                name: name.clone(),
                offset: 0,
                len,
                keeps_size: false,
            },
        };
        let (source, target) = (Fd::file(one.clone()), Fd::file(two.clone()));
        let call = DedupeCall::new(source, 0, len, target, 0);
        self.plan.extend([fill(&one), file(&two), fill(&two)]);
        if self.dice.is(25) {
            self.plan.push_back(Op::Write {
                name: two.clone(),
                offset: len - 1,
                content: Content::byte(self.dice.below(256) as u8, 1),
            });
        }
        self.plan.push_back(Op::Dedupe(call));
        self.plan.extend([one.clone(), two].map(unlink));
        Some(file(&one))
    }

    fn plan_calls(&mut self, one: &Name, two: &Name, len: u64) {
        let lengths = [
            len,
            len - BLOCK_LEN,
            MIB,
            MIB - BLOCK_LEN,
            MIB + BLOCK_LEN,
            16 * MIB,
            16 * MIB - BLOCK_LEN,
            16 * MIB + BLOCK_LEN,
        ];
        let (source, target) = (Fd::file(one.clone()), Fd::file(two.clone()));
        let inner = self.dice.below(4) * BLOCK_LEN;
        for offset in [inner, 0] {
            let wanted = self.dice.one_of(&lengths);
            let call_len = if wanted <= len - offset {
                wanted
            } else {
                len - offset
            };
            if offset == 0 && self.dice.is(30) {
                self.plan.push_back(Op::Clone(CloneCall {
                    source: source.clone(),
                    source_offset: 0,
                    len: call_len - call_len % BLOCK_LEN,
                    target: target.clone(),
                    target_offset: 0,
                }));
            } else {
                let (source, target) = (source.clone(), target.clone());
                let call = DedupeCall::new(source, offset, call_len, target, offset);
                self.plan.push_back(Op::Dedupe(call));
            }
        }
    }
}
