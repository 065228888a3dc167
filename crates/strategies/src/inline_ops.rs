//! Plans around inline extents: small files that are written back, cut, grown, cloned and deduped.
//!
//! Random sizes hardly ever give one, and what follows from one is special everywhere.

use data::Content;
use scenario::{CloneCall, Fd, Name, Op};

use crate::blocks::BLOCK_LEN;
use crate::swarm::Swarm;

/// The largest file that is written inline (`max_inline`), bytes.
const INLINE_LEN_MAX: u64 = 2048;
/// The small files of a run.
const NAMES: [&str; 2] = ["I1", "I2"];

/// Returns whether a file is one of those that are meant to stay small.
pub(crate) fn is_small(name: &Name) -> bool {
    NAMES.contains(&name.as_str())
}

impl Swarm {
    /// Returns the first step of a plan that writes a small file and then does something to it.
    pub(crate) fn draw_inline(&mut self) -> Option<Op> {
        let name = Name::new(self.dice.one_of(&NAMES))?;
        let is_new = self.shadow.view(&name).is_none();
        let file = self
            .shadow
            .idx_of(&name)
            .map(|idx| &self.shadow.files()[idx]);
        // What has no COW is not written inline.
        let is_useless = file.is_some_and(|file| file.is_nocow) && self.dice.is(60);
        let len = match self.dice.below(4) {
            // Around the limit on both sides.
            0 => INLINE_LEN_MAX - 1 + self.dice.below(3),
            _ => self.dice.between(1, INLINE_LEN_MAX),
        };
        let byte = self.dice.between(1, 255) as u8;
        if is_useless {
            let name = name.clone();
            let is_held = false;
            self.plan.push_back(Op::Unlink { name, is_held });
        }
        if is_new || is_useless {
            let (name, is_nocow) = (name.clone(), self.dice.is(10));
            self.plan.push_back(Op::File { name, is_nocow });
        } else {
            // Only a file without regular items can be written inline.
            let name = name.clone();
            self.plan.push_back(Op::Truncate { name, size: 0 });
        }
        self.plan.push_back(Op::Write {
            name: name.clone(),
            offset: 0,
            content: Content::byte(byte, len),
        });
        match self.dice.below(4) {
            0 => {}
            1 => self.plan.push_back(Op::Sync),
            _ => self.plan.push_back(Op::Flush { name: name.clone() }),
        }
        self.plan_for_inline(&name, len);
        self.plan.pop_front()
    }

    /// Adds what becomes of a small file of `len` bytes.
    fn plan_for_inline(&mut self, name: &Name, len: u64) {
        if self.dice.is(65) {
            let size = self.dice.below(len + 1);
            let name = name.clone();
            self.plan.push_back(Op::Truncate { name, size });
        }
        if self.dice.is(85)
            && let Some(op) = self.clone_of_inline(name)
        {
            self.plan.push_back(op);
        }
        if self.dice.is(15) {
            let offset = match self.dice.below(3) {
                0 => len,
                1 => self.dice.below(BLOCK_LEN),
                _ => self.dice.between(1, 4) * BLOCK_LEN,
            };
            let content = Content::byte(0x7e, self.dice.between(1, BLOCK_LEN));
            let name = name.clone();
            self.plan.push_back(Op::Write {
                name,
                offset,
                content,
            });
        }
    }

    /// Returns the clone of a whole small file to a block of some file.
    fn clone_of_inline(&mut self, name: &Name) -> Option<Op> {
        let target_idx = self.pick_writable()?;
        let target = &self.shadow.files()[target_idx];
        let (target, nr_blocks) = (target.name.clone(), target.size.div_ceil(BLOCK_LEN));
        // The tail of a file goes nowhere but to the end of another.
        let block = match self.dice.below(4) {
            0 => self.dice.below(nr_blocks + 1),
            1 => nr_blocks.saturating_sub(1),
            _ => nr_blocks + self.dice.below(3),
        };
        let target_offset = block * BLOCK_LEN;
        Some(Op::Clone(CloneCall {
            source: Fd::file(name.clone()),
            source_offset: 0,
            len: 0,
            target: Fd::file(target),
            target_offset,
        }))
    }
}
