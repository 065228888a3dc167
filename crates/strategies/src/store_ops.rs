//! Writes that are no plain `pwrite(2)`: with `O_DIRECT`, and through a mapping.

use scenario::Op;

use crate::blocks::BLOCK_LEN;
use crate::material;
use crate::swarm::Swarm;

/// The longest of these writes, blocks: direct writes of more than 1 MiB are cut as the pages of
/// memory lie.
const NR_BLOCKS_MAX: u64 = 16;

impl Swarm {
    /// Returns a direct write, mostly of whole blocks. Of these it overwrites one extent, or a
    /// hole, at a time, as far as the shadow guesses right: what reaches into another extent is
    /// left out of a run (`scenario::Backend::settled`).
    pub(crate) fn draw_direct_write(&mut self) -> Option<Op> {
        let idx = self.pick_writable()?;
        let file = &self.shadow.files()[idx];
        let (name, size) = (file.name.clone(), file.size);
        let room = self.weights.file_size_max;
        if self.dice.is(25) {
            let offset = self.dice.below(size + BLOCK_LEN).min(room - BLOCK_LEN);
            let len = self.dice.between(1, 2 * BLOCK_LEN).min(room - offset);
            let content = material::unaligned(&mut self.dice, len);
            return Some(Op::DirectWrite {
                name,
                offset,
                content,
            });
        }
        let last_block = (room / BLOCK_LEN).checked_sub(1)?;
        let block = match self.dice.below(4) {
            0 => size.div_ceil(BLOCK_LEN),
            1 => size / BLOCK_LEN + self.dice.below(4),
            _ => self.dice.below(size / BLOCK_LEN + 1),
        };
        let block = block.min(last_block);
        let nr_max = self
            .dice
            .between(1, NR_BLOCKS_MAX)
            .min(last_block + 1 - block);
        let blocks = &self.shadow.files()[idx].blocks;
        let nr_blocks = blocks.nr_alike(block as usize, nr_max as usize) as u64;
        let offset = block * BLOCK_LEN;
        let content = material::aligned(
            &mut self.dice,
            &self.weights,
            &self.shadow,
            offset,
            nr_blocks,
        );
        Some(Op::DirectWrite {
            name,
            offset,
            content,
        })
    }

    /// Returns a store through a mapping, now and then behind the last page.
    pub(crate) fn draw_mapped_write(&mut self) -> Option<Op> {
        let idx = self.pick_writable()?;
        let file = &self.shadow.files()[idx];
        let (name, size) = (file.name.clone(), file.size);
        let pages_end = size.next_multiple_of(BLOCK_LEN);
        let (offset, content) = if self.dice.is(50) && BLOCK_LEN <= size {
            let nr_in_file = size / BLOCK_LEN;
            let block = self.dice.below(nr_in_file);
            let nr_blocks = self.dice.between(1, NR_BLOCKS_MAX).min(nr_in_file - block);
            let offset = block * BLOCK_LEN;
            let content = material::aligned(
                &mut self.dice,
                &self.weights,
                &self.shadow,
                offset,
                nr_blocks,
            );
            (offset, content)
        } else {
            // Behind EOF in its page, too: what is stored there is lost, or, where a kernel
            // compresses, written.
            let offset = self.dice.below(pages_end.max(1));
            let len = match self.dice.is(5) {
                true => pages_end - offset + 1,
                false => self.dice.between(1, 2 * BLOCK_LEN).min(pages_end - offset),
            };
            (offset, material::unaligned(&mut self.dice, len.max(1)))
        };
        Some(Op::MappedWrite {
            name,
            offset,
            content,
        })
    }
}
