//! Dedupe requests: most of them move a reference, some find a difference, some are at an edge.

use data::Content;
use scenario::{Access, CallMemory, Caller, DedupeCall, DedupeTarget, Fd, Mount, Name, Op, Target};

use crate::blocks::BLOCK_LEN;
use crate::edges;
use crate::pair::Pair;
use crate::swarm::Swarm;

/// How many elements fit the page into which a kernel copies a request.
const NR_ELEMENTS_MAX: u16 = 127;

impl Swarm {
    /// Returns a dedupe, or what prepares one.
    pub(crate) fn draw_dedupe(&mut self) -> Option<Op> {
        match self.dice.weighted(&self.weights.purposes) {
            0 => match self.draw_useful() {
                Some(call) => Some(Op::Dedupe(call)),
                // Nothing is equal any more: make it.
                None => self.draw_copy(),
            },
            1 => self.draw_differing(),
            _ => self.draw_at_edge(),
        }
    }

    /// Returns a request whose first element has the same bytes elsewhere.
    pub(crate) fn draw_useful(&mut self) -> Option<DedupeCall> {
        let pair = self.find_pair()?;
        Some(self.call_for(pair))
    }

    /// Returns a request that finds a difference: at once, late, or in a byte written just before.
    fn draw_differing(&mut self) -> Option<Op> {
        let Some(mut pair) = self.find_pair() else {
            return self.draw_copy();
        };
        let files = self.shadow.files();
        let target = &files[pair.target.file_idx];
        let nr_target_blocks = (target.size / BLOCK_LEN) as usize;
        let nr_source_blocks = (files[pair.source.file_idx].size / BLOCK_LEN) as usize;
        let target_end = pair.target.block + pair.nr_blocks;
        let source_end = pair.source.block + pair.nr_blocks;
        let roll = self.dice.below(10);
        if roll < 4 && target_end < nr_target_blocks {
            pair.target.block += 1;
            return Some(Op::Dedupe(self.call_for(pair)));
        }
        if roll < 7 && target_end < nr_target_blocks && source_end < nr_source_blocks {
            pair.nr_blocks += 1;
            return Some(Op::Dedupe(self.call_for(pair)));
        }
        if target.is_readonly {
            return Some(Op::Dedupe(self.call_for(pair)));
        }
        let name = target.name.clone();
        let offset = pair.target.offset() + self.dice.below(pair.nr_blocks as u64 * BLOCK_LEN);
        let content = Content::byte(self.dice.below(256) as u8, 1);
        let call = self.call_for(pair);
        self.plan.push_back(Op::Dedupe(call));
        Some(Op::Write {
            name,
            offset,
            content,
        })
    }

    /// Returns a request with one thing about it that few requests have.
    fn draw_at_edge(&mut self) -> Option<Op> {
        let Some(pair) = self.find_pair() else {
            return self.draw_copy();
        };
        let mut call = self.call_for(pair);
        match self.dice.below(26) {
            0..=4 => self.put_edge(&mut call, pair),
            5 => {
                call.source = match self.dice.below(10) {
                    0..3 => Fd::special(Target::Tmpfs),
                    3 => Fd::special(Target::PipeRead),
                    4 => Fd::file(Name::top()),
                    _ => self.wrong_fd(),
                };
            }
            6 => {
                let element = self.dice.idx(call.targets.len());
                call.targets[element].fd = match self.a_fifo() {
                    Some(fifo) if self.dice.is(60) => Fd::file(fifo),
                    _ => self.wrong_fd(),
                };
            }
            7 => self.set_reserved(&mut call),
            8 | 9 => self.move_memory(&mut call),
            10 => self.change_count(&mut call),
            11 => self.change_caller(&mut call, pair),
            12 => {
                let name = self.shadow.files()[pair.target.file_idx].name.clone();
                let file = &self.shadow.files()[pair.target.file_idx];
                if self.options.is_root && file.was_written && !file.is_readonly {
                    open_plainly(&mut call, &name);
                    self.plan.push_back(Op::Dedupe(call));
                    return Some(self.immutable_for_a_while(name));
                }
            }
            13 => self.mix_checksums(&mut call),
            15 => return self.draw_checksum_mix(pair),
            16 => return self.draw_past_own_eof(),
            14 if self.options.has_mounts => {
                let fd = &mut call.targets[0].fd;
                fd.access = Access::ReadOnly;
                fd.mount = Mount::ReadOnly;
            }
            14 => call.source.access = Access::WriteOnly,
            17 => call.len = 0,
            18 => call.source.access = Access::WriteOnly,
            19 => call.source_offset = self.dice.one_of(&edges::NEGATIVE),
            20 => call.targets[0].offset = self.dice.one_of(&edges::NEGATIVE),
            _ => return self.draw_tail(),
        }
        Some(Op::Dedupe(call))
    }

    fn put_edge(&mut self, call: &mut DedupeCall, pair: Pair) {
        let files = self.shadow.files();
        let source_size = files[pair.source.file_idx].size;
        let target_size = files[pair.target.file_idx].size;
        match self.dice.below(5) {
            0 => call.source_offset = edges::number(&mut self.dice, source_size),
            1 => call.len = edges::number(&mut self.dice, source_size),
            // Up to the source's end, give or take.
            2 => {
                call.len = source_size - call.source_offset + 1 - self.dice.below(3).min(1);
            }
            3 => {
                let offset = target_size - target_size % BLOCK_LEN;
                call.targets[0].offset = offset.saturating_sub(self.dice.below(2) * BLOCK_LEN);
            }
            _ => {
                let element = self.dice.idx(call.targets.len());
                call.targets[element].offset = edges::number(&mut self.dice, target_size);
            }
        }
    }

    fn set_reserved(&mut self, call: &mut DedupeCall) {
        let number = self.dice.one_of(&[1, 0x80, 0xffff]);
        match self.dice.below(4) {
            0 => call.reserved1 = number,
            1 => call.reserved2 = u32::from(number) << 16,
            _ => {
                let element = self.dice.idx(call.targets.len());
                call.targets[element].reserved = u32::from(number);
            }
        }
    }

    fn move_memory(&mut self, call: &mut DedupeCall) {
        let nr_elements = call.targets.len() as u64;
        let after = self.dice.between(0, nr_elements) as u16;
        call.memory = match self.dice.below(10) {
            0..=3 => CallMemory::UnmappedAfter(after),
            4..=7 => CallMemory::ReadonlyAfter(after),
            8 => CallMemory::HalfHeader,
            _ => CallMemory::Pointer(self.dice.one_of(&[0, 1, 4095])),
        };
    }

    fn change_count(&mut self, call: &mut DedupeCall) {
        let nr_elements = call.targets.len() as u16;
        match self.dice.below(6) {
            0 => call.targets.clear(),
            1 => call.count = Some(nr_elements - 1),
            2 => call.count = Some(0),
            3 => call.count = Some(self.dice.one_of(&[NR_ELEMENTS_MAX + 1, u16::MAX])),
            4 => {
                let last = call.targets[0].clone();
                let nr_elements = self.dice.one_of(&[127, 128, 128, 129, 130]);
                call.targets.resize(nr_elements, last);
            }
            _ => {
                // The kernel reads past the list, into nothing.
                call.count = Some(nr_elements + 1);
                call.memory = CallMemory::UnmappedAfter(nr_elements);
            }
        }
    }

    fn change_caller(&mut self, call: &mut DedupeCall, pair: Pair) {
        if !self.options.is_root {
            return;
        }
        call.caller = Caller::User;
        if self.dice.is(70) {
            call.targets[0].fd.access = Access::ReadOnly;
        }
        let target = &self.shadow.files()[pair.target.file_idx];
        if target.is_readonly || self.dice.is(50) {
            return;
        }
        let name = target.name.clone();
        self.plan.push_back(Op::Dedupe(call.clone()));
        self.plan.push_back(if self.dice.is(50) {
            Op::Chmod {
                name,
                mode: self.dice.one_of(&[0o666, 0o646, 0o664]),
            }
        } else {
            Op::Chown {
                name,
                uid: Caller::USER_UID,
            }
        });
    }

    /// Makes one of the elements a file without checksums, or the only one with them.
    fn mix_checksums(&mut self, call: &mut DedupeCall) {
        let files = self.shadow.files();
        let Some(first) = call.source.name().and_then(|name| self.shadow.idx_of(name)) else {
            return;
        };
        let other = files
            .iter()
            .position(|file| file.is_nocow != files[first].is_nocow);
        if let Some(file_idx) = other {
            let fd = self.plain_fd(file_idx);
            call.targets.push(DedupeTarget {
                fd,
                offset: 0,
                reserved: 0,
            });
        }
    }
}

/// Makes every descriptor on a file the read-write one, which is open already. Another one might
/// have to be opened now, and an immutable file could not be.
pub(crate) fn open_plainly(call: &mut DedupeCall, name: &Name) {
    let fds = call.targets.iter_mut().map(|target| &mut target.fd);
    for fd in fds.chain(std::iter::once(&mut call.source)) {
        if fd.name() == Some(name) {
            *fd = Fd::file(name.clone());
        }
    }
}
