//! Clone requests: most of them move references, some end at EOF, some have one thing about them
//! that a kernel refuses.

use scenario::{Access, CloneCall, Fd, Mount, Name, Op, Target};

use crate::blocks::BLOCK_LEN;
use crate::edges;
use crate::swarm::Swarm;

/// Where the last block of the largest file would lie, whose last byte no file has.
const LAST_OFFSET: u64 = (1 << 63) - BLOCK_LEN;

impl Swarm {
    /// Returns a clone: mostly of whole blocks, sometimes up to EOF, within one file or past the
    /// target's EOF, sometimes one to be refused.
    pub(crate) fn draw_clone(&mut self) -> Option<Op> {
        let source_idx = self.pick_any()?;
        let is_within = self.dice.is(15) && !self.shadow.files()[source_idx].is_readonly;
        let target_idx = match is_within {
            true => source_idx,
            false => self.pick_writable()?,
        };
        let source = &self.shadow.files()[source_idx];
        let target = &self.shadow.files()[target_idx];
        let (source_size, target_size) = (source.size, target.size);
        let mut call = CloneCall {
            source: self.source_fd(source_idx),
            source_offset: self.dice.below(source_size / BLOCK_LEN + 1) * BLOCK_LEN,
            len: self.dice.between(1, 16) * BLOCK_LEN,
            target: Fd::file(self.shadow.files()[target_idx].name.clone()),
            target_offset: self.dice.below(target_size / BLOCK_LEN + 1) * BLOCK_LEN,
        };
        if self.dice.is(24) && !self.is_held(&call) {
            return Some(Op::Clone(self.draw_odd_clone(call, source_size)));
        }
        let room = source_size.saturating_sub(call.source_offset);
        match self.dice.below(10) {
            0 => call.len = 0,
            1 => call.len = room,
            2 => {
                let edge = edges::number(&mut self.dice, source_size);
                match self.dice.below(3) {
                    0 => call.source_offset = edge,
                    1 => call.len = edge,
                    _ => call.target_offset = edge,
                }
            }
            _ => call.len = call.len.min(room - room % BLOCK_LEN).max(BLOCK_LEN),
        }
        if self.dice.is(10) {
            // Between the target's EOF and what is cloned comes a hole.
            let nr_blocks = target_size / BLOCK_LEN + self.dice.between(1, 4);
            call.target_offset = nr_blocks * BLOCK_LEN;
        }
        // A clone far past EOF makes a file that is costly to read.
        let limit = self.weights.file_size_max;
        if call.target_offset < 1 << 62 {
            call.target_offset %= limit;
            let len = if call.len == 0 {
                source_size
            } else {
                call.len.min(source_size)
            };
            if limit < call.target_offset + len {
                call.target_offset = 0;
            }
        }
        Some(Op::Clone(call))
    }

    /// Returns whether a file of the call has no name any more, so that nothing else opens it.
    fn is_held(&self, call: &CloneCall) -> bool {
        let mut names = call.source.name().into_iter().chain(call.target.name());
        names.any(|name| self.shadow.is_held(name))
    }

    /// Returns a clone with one thing about it that few clones have.
    fn draw_odd_clone(&mut self, mut call: CloneCall, source_size: u64) -> CloneCall {
        match self.dice.below(26) {
            0 | 1 => call.source = self.wrong_fd(),
            2 | 3 => call.target = self.wrong_fd(),
            4 => call.source = Fd::special(Target::Closed),
            // Both on one filesystem that cannot remap.
            5 | 9 => {
                (call.source, call.target) =
                    (Fd::special(Target::Tmpfs), Fd::special(Target::Tmpfs));
            }
            6 => call.source.access = self.dice.one_of(&[Access::WriteOnly, Access::Path]),
            7 => {
                let modes = [Access::ReadOnly, Access::Append, Access::Path];
                call.target.access = self.dice.one_of(&modes);
            }
            8 if self.options.has_mounts => {
                call.target.access = Access::ReadOnly;
                call.target.mount = Mount::ReadOnly;
            }
            8 => call.target.access = Access::ReadOnly,
            // A shorter source would fit, and make a file that nobody can read.
            10 | 11 | 24 if BLOCK_LEN <= source_size => {
                call.source_offset = 0;
                call.len = 0;
                call.target_offset = LAST_OFFSET;
            }
            12 | 20 => {
                (call.source, call.target) = (
                    Fd::special(Target::PipeRead),
                    Fd::special(Target::PipeWrite),
                );
            }
            13 | 21 => call.target_offset = self.dice.one_of(&edges::NEGATIVE),
            14 | 25 => call.source_offset = self.dice.one_of(&edges::NEGATIVE),
            22 => call.target = Fd::file(Name::top()),
            // Ends within a block that is not the last.
            15 | 16 if 2 * BLOCK_LEN <= source_size => {
                call.source_offset = 0;
                call.len =
                    source_size / BLOCK_LEN * BLOCK_LEN - self.dice.between(1, BLOCK_LEN - 1);
            }
            17 | 18 => {
                call.source_offset = source_size;
                call.len = 0;
            }
            _ => {
                call.source_offset = source_size + self.dice.between(1, 2 * BLOCK_LEN);
                call.len = 0;
            }
        }
        call
    }
}
