//! Numbers by block in little memory: [`Chunks`].
//!
//! Blocks are taken by 256. Those of copied data have numbers that follow each other, equal
//! ones the same number: few runs tell all of a chunk. Otherwise it has a bit for each block
//! and a number for each that has one: 4.2 bytes for a block at most, nothing where there is none.

/// Blocks of a chunk, by their bits.
const CHUNK_BITS: u32 = 8;
const CHUNK_LEN: u64 = 1 << CHUNK_BITS;
/// Words of a bit for each block of a chunk.
const MASK_WORDS: usize = (CHUNK_LEN / 32) as usize;
/// Words of a run: its number, and what [`Run::packed`] makes of the rest.
const RUN_WORDS: usize = 2;
/// Words that have memory together, so that there is no more than is needed.
const SEGMENT_BITS: u32 = 18;
const SEGMENT_WORDS: usize = 1 << SEGMENT_BITS;

/// Numbers by block, filled in the order of blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks {
    chunks: Vec<Chunk>,
    segments: Vec<Vec<u32>>,
    /// The chunk that is being filled, and what it has: place, number.
    filling: u64,
    filled: Vec<(u32, u32)>,
}

/// Where the numbers of a chunk are.
#[derive(Clone, Copy, Debug, Default)]
struct Chunk {
    segment: u32,
    /// First word in the segment, behind the number of runs, or [`Chunk::BY_BLOCK`].
    packed: u32,
}

/// Blocks that follow each other, with one number or with numbers that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u32,
    len: u32,
    number: u32,
    /// By how much the number grows from block to block.
    step: u32,
}

impl Chunk {
    const COUNT_BITS: u32 = 8;
    /// More runs than are ever there: it has a number for each block.
    const BY_BLOCK: u32 = (1 << Chunk::COUNT_BITS) - 1;

    /// Returns the number of runs or [`Chunk::BY_BLOCK`]; 0 if no block has a number.
    #[inline]
    fn nr_runs(self) -> u32 {
        self.packed & Chunk::BY_BLOCK
    }

    #[inline]
    fn first_word(self) -> usize {
        (self.packed >> Chunk::COUNT_BITS) as usize
    }
}

impl Run {
    /// Returns the place, the length and the step in one word.
    fn packed(self) -> u32 {
        self.start << 16 | (self.len - 1) << 8 | self.step
    }

    #[inline]
    fn unpacked(words: &[u32]) -> Run {
        Run {
            start: words[1] >> 16,
            len: (words[1] >> 8 & 0xff) + 1,
            number: words[0],
            step: words[1] & 0xff,
        }
    }

    /// Returns the first place behind it.
    #[inline]
    fn end(self) -> u32 {
        self.start + self.len
    }

    #[inline]
    fn get(self, place: u32) -> Option<u32> {
        let skip = place.checked_sub(self.start)?;
        (skip < self.len).then(|| self.number + skip * self.step)
    }
}

impl Chunks {
    /// Gives a block behind all so far its number.
    pub(super) fn push(&mut self, block: u64, number: u32) {
        let chunk = block >> CHUNK_BITS;
        if self.filling != chunk {
            self.end();
            self.filling = chunk;
        }
        let place = (block & (CHUNK_LEN - 1)) as u32;
        self.filled.push((place, number));
    }

    /// Puts away what the last pushes brought.
    pub(super) fn end(&mut self) {
        if self.filled.is_empty() {
            return;
        }
        let filling = self.filling as usize;
        if self.chunks.len() <= filling {
            let nr_more = filling + 1 - self.chunks.len();
            let is_full = self.chunks.capacity() <= filling;
            let nr_spare = if is_full { filling / 8 } else { 0 };
            self.chunks.reserve_exact(nr_more + nr_spare);
            self.chunks.resize(filling + 1, Chunk::default());
        }
        let runs = runs(&self.filled);
        let is_by_block = MASK_WORDS + self.filled.len() <= runs.len() * RUN_WORDS
            || Chunk::BY_BLOCK as usize <= runs.len();
        let has_room = |words: &Vec<u32>| words.len() + MASK_WORDS + 256 <= SEGMENT_WORDS;
        if !self.segments.last().is_some_and(has_room) {
            self.segments.push(Vec::new());
        }
        let segment = self.segments.len() as u32 - 1;
        let words = &mut self.segments[segment as usize];
        let first_word = words.len() as u32;
        let nr_runs = if is_by_block {
            let mut mask = [0; MASK_WORDS];
            for (place, _) in &self.filled {
                mask[(place / 32) as usize] |= 1 << (place % 32);
            }
            words.extend(mask);
            words.extend(self.filled.iter().map(|(_, number)| *number));
            Chunk::BY_BLOCK
        } else {
            words.extend(runs.iter().flat_map(|run| [run.number, run.packed()]));
            runs.len() as u32
        };
        self.chunks[filling] = Chunk {
            segment,
            packed: first_word << Chunk::COUNT_BITS | nr_runs,
        };
        self.filled.clear();
    }

    /// Returns whether no block has a number.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Returns the number of a block, if it has one.
    #[inline]
    pub(super) fn get(&self, block: u64) -> Option<u32> {
        let chunk = *self.chunks.get((block >> CHUNK_BITS) as usize)?;
        let place = (block & (CHUNK_LEN - 1)) as u32;
        match chunk.nr_runs() {
            0 => None,
            Chunk::BY_BLOCK => {
                let words = &self.segments[chunk.segment as usize][chunk.first_word()..];
                let (mask, numbers) = words.split_at(MASK_WORDS);
                let is_set = mask[(place / 32) as usize] >> (place % 32) & 1 == 1;
                is_set.then(|| numbers[rank(mask, place)])
            }
            nr_runs => {
                let words = &self.segments[chunk.segment as usize][chunk.first_word()..];
                first_run(words, nr_runs, place)?.get(place)
            }
        }
    }

    /// Returns the blocks in a range that have numbers, with these, in their order.
    pub(super) fn within(&self, first: u64, nr_blocks: u64) -> Within<'_> {
        Within {
            chunks: self,
            at: first,
            end: first + nr_blocks,
            stretch: Stretch::default(),
        }
    }

    /// Returns all blocks that have a number.
    pub(super) fn iter(&self) -> Within<'_> {
        self.within(0, (self.chunks.len() as u64) << CHUNK_BITS)
    }

    /// Calls `visit` with each block that has a number, in their order, and gives memory back.
    pub(super) fn drain(mut self, mut visit: impl FnMut(u64, u32)) {
        for chunk_idx in 0..self.chunks.len() {
            let before = self.chunks[chunk_idx].segment.checked_sub(1);
            if let Some(before) = before.and_then(|idx| self.segments.get_mut(idx as usize)) {
                *before = Vec::new();
            }
            let first = (chunk_idx as u64) << CHUNK_BITS;
            self.within(first, CHUNK_LEN)
                .for_each(|(block, number)| visit(block, number));
        }
    }

    /// Returns the first blocks of a chunk from a place on that follow each other and have numbers
    /// that can be told together.
    fn stretch(&self, chunk: Chunk, place: u32) -> Option<Stretch<'_>> {
        let words = || &self.segments[chunk.segment as usize][chunk.first_word()..];
        match chunk.nr_runs() {
            0 => None,
            Chunk::BY_BLOCK => {
                let (mask, numbers) = words().split_at(MASK_WORDS);
                let start = next_bit(mask, place, |word| word)?;
                let end = next_bit(mask, start, |word| !word).unwrap_or(CHUNK_LEN as u32);
                let (first, len) = (rank(mask, start), (end - start) as usize);
                Some(Stretch {
                    at: start.into(),
                    end: end.into(),
                    numbers: &numbers[first..first + len],
                    ..Stretch::default()
                })
            }
            nr_runs => {
                let run = first_run(words(), nr_runs, place)?;
                let skip = place.saturating_sub(run.start);
                Some(Stretch {
                    at: (run.start + skip).into(),
                    end: run.end().into(),
                    number: run.number + skip * run.step,
                    step: run.step,
                    numbers: &[],
                })
            }
        }
    }
}

/// The blocks in a range that have numbers.
pub(super) struct Within<'a> {
    chunks: &'a Chunks,
    /// Where to look for the next stretch.
    at: u64,
    end: u64,
    stretch: Stretch<'a>,
}

/// Blocks that follow each other and all have numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Stretch<'a> {
    at: u64,
    end: u64,
    /// The number of the first one, and by how much it grows.
    number: u32,
    step: u32,
    /// The numbers, if they have to be told one by one.
    numbers: &'a [u32],
}

impl Iterator for Within<'_> {
    type Item = (u64, u32);

    #[inline]
    fn next(&mut self) -> Option<(u64, u32)> {
        if self.stretch.at == self.stretch.end {
            self.advance()?;
        }
        let Stretch { at, number, .. } = self.stretch;
        self.stretch.at += 1;
        let number = match self.stretch.numbers.split_first() {
            Some((number, rest)) => {
                self.stretch.numbers = rest;
                *number
            }
            None => {
                self.stretch.number = number.wrapping_add(self.stretch.step);
                number
            }
        };
        Some((at, number))
    }
}

impl Within<'_> {
    /// Goes on to the next stretch.
    fn advance(&mut self) -> Option<()> {
        while self.at < self.end {
            let chunk = *self.chunks.chunks.get((self.at >> CHUNK_BITS) as usize)?;
            let first = self.at & !(CHUNK_LEN - 1);
            let place = (self.at - first) as u32;
            if let Some(mut stretch) = self.chunks.stretch(chunk, place) {
                stretch.at += first;
                stretch.end = self.end.min(stretch.end + first);
                if stretch.end <= stretch.at {
                    break;
                }
                self.at = stretch.end;
                self.stretch = stretch;
                return Some(());
            }
            self.at = first + CHUNK_LEN;
        }
        None
    }
}

/// Returns the first of the runs at the begin of `words` that ends behind a place.
#[inline]
fn first_run(words: &[u32], nr_runs: u32, place: u32) -> Option<Run> {
    let (runs, _) = words[..nr_runs as usize * RUN_WORDS].as_chunks::<RUN_WORDS>();
    let nr_before = runs.partition_point(|words| Run::unpacked(words).end() <= place);
    runs.get(nr_before).map(|words| Run::unpacked(words))
}

/// Returns the first bit from one on that is set in a mask of words as `of` makes them.
fn next_bit(mask: &[u32], from: u32, of: impl Fn(u32) -> u32) -> Option<u32> {
    let mut from = from;
    while let Some(word) = mask.get((from / 32) as usize) {
        let left = of(*word) >> (from % 32);
        if left != 0 {
            return Some(from + left.trailing_zeros());
        }
        from = (from / 32 + 1) * 32;
    }
    None
}

/// Returns how many bits of a mask are set before one.
#[inline]
fn rank(mask: &[u32], bit: u32) -> usize {
    let (word, bit) = ((bit / 32) as usize, bit % 32);
    let before: u32 = mask[..word].iter().map(|word| word.count_ones()).sum();
    (before + (mask[word] & ((1 << bit) - 1)).count_ones()) as usize
}

/// Returns what was filled as runs.
fn runs(filled: &[(u32, u32)]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &(place, number) in filled {
        if let Some(run) = runs.last_mut()
            && run.end() == place
        {
            let step = number.wrapping_sub(run.number + (run.len - 1) * run.step);
            if step < 2 && (run.len == 1 || run.step == step) {
                run.step = step;
                run.len += 1;
                continue;
            }
        }
        runs.push(Run {
            start: place,
            len: 1,
            number,
            step: 0,
        });
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nr_blocks: u64, number: impl Fn(u64) -> Option<u32>) -> usize {
        let mut chunks = Chunks::default();
        let numbered: Vec<(u64, u32)> = (0..nr_blocks)
            .filter_map(|block| Some((block, number(block)?)))
            .collect();
        for (block, number) in &numbered {
            chunks.push(*block, *number);
        }
        chunks.end();
        for block in 0..nr_blocks + 1000 {
            let expected = number(block).filter(|_| block < nr_blocks);
            assert_eq!(chunks.get(block), expected, "{block}");
        }
        let mut visited: Vec<(u64, u32)> = chunks.iter().collect();
        assert_eq!(visited, numbered);
        for (first, len) in [(0, 3), (5, 300), (254, 4), (256, 256), (4000, 1 << 20)] {
            let is_within = |(block, _): &&(u64, u32)| (first..first + len).contains(block);
            let expected: Vec<_> = numbered.iter().filter(is_within).copied().collect();
            assert_eq!(chunks.within(first, len).collect::<Vec<_>>(), expected);
        }
        let nr_words: usize = chunks.segments.iter().map(Vec::len).sum();
        visited.clear();
        chunks.drain(|block, number| visited.push((block, number)));
        assert_eq!(visited, numbered);
        nr_words * size_of::<u32>()
    }

    #[test]
    fn every_block_has_the_number_that_it_was_given() {
        let scattered = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
        for nr_blocks in [0, 1, 255, 256, 257, 5000, 300_000] {
            check(nr_blocks, |_| None);
            check(nr_blocks, |n| Some(scattered(n)));
            check(nr_blocks, |n| (n % 3 == 1).then(|| scattered(n)));
            check(nr_blocks, |n| (n % 1000 == 7).then_some(u32::MAX - 1));
            check(nr_blocks, |n| (n % 5 != 1).then_some(n as u32));
            check(nr_blocks, |n| Some((n / 2) as u32));
        }
    }

    #[test]
    fn numbers_take_four_bytes_and_runs_hardly_any() {
        let scattered = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
        assert!(check(1 << 16, |n| Some(scattered(n))) <= (1 << 16) * 17 / 4);
        assert!(check(1 << 16, |n| Some(n as u32)) <= 1 << 12);
        assert!(check(1 << 16, |_| Some(7)) <= 1 << 12);
        assert!(check(1 << 16, |n| (n % 16 == 0).then(|| scattered(n))) <= 1 << 15);
    }
}
