//! Plans around EOF and around checksums: equal tails, ranges past EOF, data without checksums.

use data::Content;
use scenario::{DedupeCall, Fd, Name, Op};

use crate::blocks::BLOCK_LEN;
use crate::pair::Pair;
use crate::swarm::Swarm;

/// How many files are looked at for one whose last block is partial.
const NR_TRIES: usize = 4;
/// The longest equal tail, whole blocks.
const TAIL_BLOCKS_MAX: u64 = 8;

impl Swarm {
    /// Returns the first step of giving a file the tail of another, which is then deduped. The
    /// target ends with that tail or goes on within the tail's last block and behind it.
    pub(crate) fn draw_tail(&mut self) -> Option<Op> {
        let (source_idx, target_idx) = (self.pick_with_tail()?, self.pick_writable()?);
        let (source, target) = (
            &self.shadow.files()[source_idx],
            &self.shadow.files()[target_idx],
        );
        if source_idx == target_idx || source.size == 0 {
            return None;
        }
        let (mut source_size, target_size) = (source.size, target.size);
        // The last block has to be partial for anything to happen to the rest of it.
        let is_cut = source_size.is_multiple_of(BLOCK_LEN) && !source.is_readonly;
        let (source_name, name) = (source.name.clone(), target.name.clone());
        if is_cut {
            source_size -= self.dice.between(1, BLOCK_LEN - 1);
        }
        let nr_blocks = self.dice.between(0, TAIL_BLOCKS_MAX);
        let offset = (source_size / BLOCK_LEN).saturating_sub(nr_blocks) * BLOCK_LEN;
        let len = source_size - offset;
        let mut content = self
            .shadow
            .view(&source_name)?
            .content
            .slice(offset..source_size);
        let goes_on = self.dice.is(60);
        if goes_on {
            // Not zeros: those are what lies behind EOF in the source's last block.
            let nr_more = self.dice.between(1, 2 * BLOCK_LEN);
            let byte = self.dice.between(1, 255) as u8;
            content.append(Content::byte(byte, nr_more));
        }
        let limit = self.weights.file_size_max.saturating_sub(content.len()) / BLOCK_LEN;
        let target_offset = (target_size / BLOCK_LEN).min(limit) * BLOCK_LEN;
        let source_fd = self.plain_fd(source_idx);
        let target_fd = Fd::file(name.clone());
        let write = Op::Write {
            name: name.clone(),
            offset: target_offset,
            content,
        };
        let dedupe = DedupeCall::new(source_fd, offset, len, target_fd, target_offset);
        if is_cut {
            self.plan.push_back(Op::Truncate {
                name: source_name,
                size: source_size,
            });
        }
        if !goes_on {
            self.plan.push_back(Op::Truncate {
                name,
                size: target_offset,
            });
        }
        self.plan.push_back(write);
        if self.dice.is(30) {
            self.plan.push_back(Op::Sync);
        }
        self.plan.push_back(Op::Dedupe(dedupe));
        self.plan.pop_front()
    }

    /// Returns a file, mostly one whose last block is partial.
    fn pick_with_tail(&mut self) -> Option<usize> {
        let mut idx = self.pick_any()?;
        for _ in 1..NR_TRIES {
            if !self.shadow.files()[idx].size.is_multiple_of(BLOCK_LEN) {
                break;
            }
            idx = self.pick_any()?;
        }
        Some(idx)
    }

    /// Returns a dedupe within one file whose target range ends past EOF, mostly after a hole came
    /// to lie below EOF: what is past EOF reads as the zeros that are in the hole.
    pub(crate) fn draw_past_own_eof(&mut self) -> Option<Op> {
        let idx = self.pick_writable()?;
        let file = &self.shadow.files()[idx];
        let (name, size) = (file.name.clone(), file.size);
        let fd = Fd::file(name.clone());
        let nr_blocks = self.dice.between(1, TAIL_BLOCKS_MAX);
        let hole = size.next_multiple_of(BLOCK_LEN);
        let end = hole + nr_blocks * BLOCK_LEN;
        let nr_past = self.dice.between(1, nr_blocks);
        let grows = end <= self.weights.file_size_max && self.dice.is(70);
        let (source, eof) = if grows { (hole, end) } else { (0, hole) };
        let len = nr_past * BLOCK_LEN;
        let call = DedupeCall::new(fd.clone(), source, len, fd, eof);
        if !grows {
            return Some(Op::Dedupe(call));
        }
        self.plan.push_back(Op::Dedupe(call));
        Some(Op::Truncate { name, size: end })
    }

    /// Returns the first step of a plan that copies a range into a new file which has checksums if
    /// the range's file has none, then dedupes the copy.
    pub(crate) fn draw_checksum_mix(&mut self, pair: Pair) -> Option<Op> {
        let file = &self.shadow.files()[pair.source.file_idx];
        let is_nocow = !file.is_nocow;
        let copy = Name::new("N1")?;
        if self.shadow.view(&copy).is_some() {
            return None;
        }
        let offset = pair.source.offset();
        let len = pair.nr_blocks as u64 * BLOCK_LEN;
        let content = self
            .shadow
            .view(&file.name)?
            .content
            .slice(offset..offset + len);
        let source = self.plain_fd(pair.source.file_idx);
        let call = DedupeCall::new(source, offset, len, Fd::file(copy.clone()), 0);
        self.plan.push_back(Op::Write {
            name: copy.clone(),
            offset: 0,
            content,
        });
        self.plan.push_back(Op::Dedupe(call));
        self.plan.push_back(Op::Unlink {
            name: copy.clone(),
            is_held: false,
        });
        Some(Op::File {
            name: copy,
            is_nocow,
        })
    }
}
