//! Operations on one file and its bytes: create, write, truncate, allocate, punch.

use scenario::{Name, Op};

use crate::blocks::BLOCK_LEN;
use crate::material;
use crate::pair;
use crate::shadow::File;
use crate::swarm::Swarm;

/// Files up to this size can lie inline.
const INLINE_LEN_MAX: u64 = 2048;
/// The shortest of the long writes, blocks: long enough for a dedupe to cut it.
const LONG_BLOCKS_MIN: u64 = 4;

/// Returns how many blocks of a file lie wholly below EOF.
pub(crate) fn nr_whole_blocks(file: &File) -> usize {
    (file.size / BLOCK_LEN) as usize
}

impl Swarm {
    /// Returns the creation of a file, which is mostly written next.
    pub(crate) fn draw_create(&mut self) -> Op {
        let name = self.unused_file_name();
        if self.dice.is(8) {
            // Small and alone in its block.
            let len = self.dice.between(1, INLINE_LEN_MAX);
            let content = material::unaligned(&mut self.dice, len);
            self.plan.push_back(Op::Write {
                name: name.clone(),
                offset: 0,
                content,
            });
        } else if self.dice.is(90) {
            let nr_blocks = self.long_blocks();
            let shadow = &self.shadow;
            let content = material::aligned(&mut self.dice, &self.weights, shadow, 0, nr_blocks);
            self.remember(&name, 0, content.len().div_ceil(BLOCK_LEN));
            self.plan.push_back(Op::Write {
                name: name.clone(),
                offset: 0,
                content,
            });
        }
        Op::File {
            name,
            is_nocow: self.dice.is(10),
        }
    }

    /// Returns a write to some file.
    pub(crate) fn draw_write(&mut self) -> Option<Op> {
        let idx = self.pick_writable()?;
        let (name, size) = (
            self.shadow.files()[idx].name.clone(),
            self.shadow.files()[idx].size,
        );
        let limit = self.weights.file_size_max;
        let (offset, len) = match self.dice.weighted(&self.weights.shapes) {
            0 => {
                let nr_blocks = self.long_blocks();
                return Some(self.write_blocks(name, size, nr_blocks));
            }
            1 => {
                let nr_blocks = self.dice.between(1, LONG_BLOCKS_MIN - 1);
                return Some(self.write_blocks(name, size, nr_blocks));
            }
            2 => (
                self.dice.below(size + 1),
                self.dice.between(1, 2 * BLOCK_LEN),
            ),
            3 => (size, self.dice.between(1, 5 * BLOCK_LEN)),
            _ => (
                size + self.dice.below(16 * BLOCK_LEN),
                self.dice.between(1, 2 * BLOCK_LEN),
            ),
        };
        let len = match limit.checked_sub(offset) {
            Some(room) if 0 < room => len.min(room),
            Some(_) | None => return Some(self.write_blocks(name, size, LONG_BLOCKS_MIN)),
        };
        let content = material::unaligned(&mut self.dice, len);
        Some(Op::Write {
            name,
            offset,
            content,
        })
    }

    /// Returns a write of bytes that some other place has.
    pub(crate) fn draw_copy(&mut self) -> Option<Op> {
        let idx = self.pick_writable()?;
        let (name, size) = (
            self.shadow.files()[idx].name.clone(),
            self.shadow.files()[idx].size,
        );
        let len = self.long_blocks() * BLOCK_LEN;
        let content = material::copied(&mut self.dice, &self.shadow, len)?;
        let nr_blocks = content.len() / BLOCK_LEN;
        let first_block = self.room_for(size, nr_blocks);
        self.remember(&name, first_block, nr_blocks);
        Some(Op::Write {
            name,
            offset: first_block * BLOCK_LEN,
            content,
        })
    }

    fn write_blocks(&mut self, name: Name, size: u64, nr_blocks: u64) -> Op {
        let first_block = self.room_for(size, nr_blocks);
        let offset = first_block * BLOCK_LEN;
        let content = material::aligned(
            &mut self.dice,
            &self.weights,
            &self.shadow,
            offset,
            nr_blocks,
        );
        if LONG_BLOCKS_MIN <= nr_blocks {
            self.remember(&name, first_block, content.len() / BLOCK_LEN);
        }
        Op::Write {
            name,
            offset,
            content,
        }
    }

    /// Returns where in a file of `size` bytes so many blocks can be written.
    fn room_for(&mut self, size: u64, nr_blocks: u64) -> u64 {
        let nr_blocks_max = self.weights.file_size_max / BLOCK_LEN;
        let last = (size / BLOCK_LEN).min(nr_blocks_max.saturating_sub(nr_blocks));
        self.dice.between(0, last)
    }

    fn long_blocks(&mut self) -> u64 {
        let nr_blocks_max = self.weights.file_size_max / BLOCK_LEN;
        let longest = self
            .weights
            .write_blocks_max
            .min(nr_blocks_max)
            .max(LONG_BLOCKS_MIN);
        self.dice.between(LONG_BLOCKS_MIN, longest)
    }

    /// Returns a truncation, up or down.
    pub(crate) fn draw_truncate(&mut self) -> Option<Op> {
        let idx = self.pick_writable()?;
        let File { name, size, .. } = &self.shadow.files()[idx];
        let (name, size, limit) = (name.clone(), *size, self.weights.file_size_max);
        let size = match self.dice.below(10) {
            0 => 0,
            1 => size,
            2 => size + 1,
            3 => size.saturating_sub(1),
            4 => size - size % BLOCK_LEN,
            5 => size.next_multiple_of(BLOCK_LEN),
            6 => size / 2 + self.dice.below(size / 2 + 1),
            _ => size + self.dice.below(8 * BLOCK_LEN),
        };
        Some(Op::Truncate {
            name,
            size: size.min(limit),
        })
    }

    /// Returns an allocation, below or past EOF.
    pub(crate) fn draw_fallocate(&mut self) -> Option<Op> {
        let (name, offset, len) = self.draw_range()?;
        Some(Op::Fallocate {
            name,
            offset,
            len,
            keeps_size: self.dice.is(40),
        })
    }

    /// Returns a punch.
    pub(crate) fn draw_punch(&mut self) -> Option<Op> {
        let (name, offset, len) = self.draw_range()?;
        Some(Op::Punch { name, offset, len })
    }

    /// Returns a range to be zeroed.
    pub(crate) fn draw_zero(&mut self) -> Option<Op> {
        let (name, offset, len) = self.draw_range()?;
        Some(Op::Zero {
            name,
            offset,
            len,
            keeps_size: self.dice.is(40),
        })
    }

    /// Returns a range of some file that keeps below the largest size.
    fn draw_range(&mut self) -> Option<(Name, u64, u64)> {
        let idx = self.pick_writable()?;
        let File { name, size, .. } = &self.shadow.files()[idx];
        let (name, size, limit) = (name.clone(), *size, self.weights.file_size_max);
        let (offset, len) = if self.dice.is(70) {
            let first_block = self.dice.below(size / BLOCK_LEN + 2);
            (first_block * BLOCK_LEN, self.dice.between(1, 8) * BLOCK_LEN)
        } else {
            (
                self.dice.below(size + BLOCK_LEN),
                self.dice.between(0, 4 * BLOCK_LEN),
            )
        };
        let offset = offset.min(limit.saturating_sub(BLOCK_LEN));
        Some((name, offset, len.min(limit - offset)))
    }

    /// Returns a name that no file has, sometimes within a directory or subvolume.
    pub(crate) fn unused_file_name(&mut self) -> Name {
        let parents: Vec<Name> = self.folders().cloned().collect();
        let parent = match parents.get(self.dice.idx(parents.len() * 3)) {
            Some(parent) => parent.clone(),
            None => Name::top(),
        };
        self.unused_name_in(&parent)
    }

    /// Returns a name in a folder that nothing has.
    pub(crate) fn unused_name_in(&mut self, parent: &Name) -> Name {
        let first = self.dice.below(26) as u8;
        let letters = (0..26u8).map(|nth| b'A' + (first + nth) % 26);
        for letter in letters {
            let name = Name::new(char::from(letter).encode_utf8(&mut [0; 4]));
            let name = parent.join(&name.expect("a letter is a name"));
            if self.shadow.view(&name).is_none() {
                return name;
            }
        }
        parent.join(&Name::new("A").expect("a letter is a name"))
    }

    /// Returns where the bytes of a range lie elsewhere, looking a few times.
    pub(crate) fn find_pair(&mut self) -> Option<pair::Pair> {
        const NR_TRIES: usize = 6;
        let nr_blocks_max = self.weights.dedupe_blocks_max;
        (0..NR_TRIES).find_map(|_| {
            let spot = self.pick_spot()?;
            pair::find(&mut self.dice, &self.shadow, spot, nr_blocks_max)
        })
    }
}
