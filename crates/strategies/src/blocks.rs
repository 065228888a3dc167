//! What the shadow knows of the blocks of one file: [`BlockMap`].
//!
//! Each block has a key (equal keys mean equal bytes) and a place: where its bytes would lie if
//! every flushed stretch got storage of its own. Places are a guess that guides generation; they
//! do not know how a kernel allocates.

use std::ops::Range;

use data::{Content, Fill};

/// Length of a block in bytes.
pub(crate) const BLOCK_LEN: u64 = 4096;

/// Where the bytes of a block lie.
pub(crate) type Place = u64;
/// The place of a hole.
pub(crate) const HOLE: Place = 0;
/// The place of a block that was not flushed yet.
pub(crate) const DIRTY: Place = u64::MAX;

/// Hands out storage.
#[derive(Debug)]
pub(crate) struct Allocator {
    next: Place,
}

impl Allocator {
    pub(crate) fn new() -> Allocator {
        Allocator { next: 1 }
    }

    /// Returns the first place of a new extent that follows no other.
    fn extent(&mut self, nr_blocks: usize) -> Place {
        let first = self.next;
        self.next += nr_blocks as u64 + 1;
        first
    }
}

/// Keys and places of the blocks below EOF, the last one possibly partial.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockMap {
    keys: Vec<u64>,
    places: Vec<Place>,
    /// No block outside is dirty.
    dirty: Range<usize>,
    /// No block outside is preallocated and not written yet; those behind EOF count.
    prealloc: Vec<Range<usize>>,
}

/// Where blocks lie, to be shared.
#[derive(Debug)]
pub(crate) struct Piece {
    places: Vec<Place>,
    /// Which of them may be preallocated, the first one being 0.
    prealloc: Vec<Range<usize>>,
}

impl BlockMap {
    pub(crate) fn keys(&self) -> &[u64] {
        &self.keys
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Returns how many blocks have storage or will have.
    pub(crate) fn nr_allocated(&self) -> usize {
        self.places.iter().filter(|place| **place != HOLE).count()
    }

    /// Returns whether a block of the range is dirty.
    pub(crate) fn is_dirty(&self, range: Range<usize>) -> bool {
        let start = range.start.max(self.dirty.start);
        let end = range.end.min(self.dirty.end).min(self.places.len());
        start < end && self.places[start..end].contains(&DIRTY)
    }

    /// Returns whether a dirty block of the range may lie in preallocated space.
    pub(crate) fn may_write_in_place(&self, range: Range<usize>) -> bool {
        let prealloc = self.prealloc.iter().map(|blocks| common(blocks, &range));
        prealloc
            .filter(|blocks| !blocks.is_empty())
            .any(|blocks| self.is_dirty(blocks))
    }

    /// Returns where the blocks of the range lie that are below EOF.
    pub(crate) fn piece(&self, range: Range<usize>) -> Piece {
        let end = range.end.min(self.places.len());
        let prealloc = self.prealloc.iter().map(|blocks| common(blocks, &range));
        let within = prealloc.filter(|blocks| !blocks.is_empty());
        Piece {
            places: self.places[range.start.min(end)..end].to_vec(),
            prealloc: within
                .map(|blocks| blocks.start - range.start..blocks.end - range.start)
                .collect(),
        }
    }

    /// Returns whether an extent goes on across the start of a block.
    pub(crate) fn is_inside_extent(&self, block: usize) -> bool {
        if block == 0 || self.places.len() <= block {
            return false;
        }
        let (before, after) = (self.places[block - 1], self.places[block]);
        before != HOLE && before != DIRTY && before + 1 == after
    }

    /// Returns how many blocks from `block` on, at most `nr_max`, lie in one extent, are all holes,
    /// or are all dirty. Behind EOF everything is a hole.
    pub(crate) fn nr_alike(&self, block: usize, nr_max: usize) -> usize {
        let place = |block: usize| self.places.get(block).copied().unwrap_or(HOLE);
        let first = place(block);
        let is_alike = |nth: &usize| match first {
            HOLE | DIRTY => place(block + nth) == first,
            _ => place(block + nth) == first + *nth as Place,
        };
        (1..nr_max).take_while(is_alike).count() + 1
    }

    /// Follows a change of the file's size from `old_size` to that of `content`, in bytes.
    pub(crate) fn resize(&mut self, old_size: u64, content: &Content) {
        let nr_blocks = nr_blocks_of(content.len());
        let zero_key = key_of_zeros();
        self.keys.resize(nr_blocks, zero_key);
        self.places.resize(nr_blocks, HOLE);
        let edge = old_size.min(content.len());
        if !edge.is_multiple_of(BLOCK_LEN) {
            let block = (edge / BLOCK_LEN) as usize;
            if self.places[block] != HOLE {
                self.make_dirty(block..block + 1);
            }
            self.rekey(block..block + 1, content);
        }
    }

    /// Follows a write of a byte range; `content` is the file's after it.
    pub(crate) fn write(&mut self, offset: u64, len: u64, old_size: u64, content: &Content) {
        if old_size < content.len() {
            self.resize(old_size, content);
        }
        let blocks = touched(offset, len);
        self.make_dirty(blocks.clone());
        self.rekey(blocks, content);
    }

    /// Follows an allocation: holes become extents of zeros.
    pub(crate) fn allocate(&mut self, offset: u64, len: u64, allocator: &mut Allocator) {
        let blocks = touched(offset, len);
        self.unmark_prealloc(&blocks);
        self.prealloc.push(blocks.clone());
        let end = blocks.end.min(self.places.len());
        let start = blocks.start.min(end);
        let first = allocator.extent(end - start);
        for (place, fresh) in self.places[start..end].iter_mut().zip(first..) {
            if *place == HOLE {
                *place = fresh;
            }
        }
    }

    /// Follows a punch of a byte range below EOF; `content` is the file's after it.
    pub(crate) fn punch(&mut self, offset: u64, len: u64, content: &Content) {
        let blocks = touched(offset, len);
        let end = blocks.end.min(self.places.len());
        for block in blocks.start.min(end)..end {
            let start = block as u64 * BLOCK_LEN;
            let is_whole = offset <= start && start + BLOCK_LEN <= offset + len;
            if is_whole {
                self.places[block] = HOLE;
            } else if self.places[block] != HOLE {
                self.make_dirty(block..block + 1);
            }
        }
        self.rekey(blocks.start.min(end)..end, content);
    }

    /// Follows a zeroed range; `content` is the file's after it. The whole blocks of it become one
    /// new extent, those at its ends dirty unless they are holes.
    pub(crate) fn zero(
        &mut self,
        offset: u64,
        len: u64,
        content: &Content,
        allocator: &mut Allocator,
    ) {
        self.punch(offset, len, content);
        self.allocate(offset, len, allocator);
    }

    /// Gives storage to dirty blocks as writing back `range` does: each dirty stretch that it
    /// meets, from the range's start on to the end of the stretch, becomes one extent.
    pub(crate) fn flush(&mut self, range: Range<usize>, allocator: &mut Allocator) {
        let end = self.dirty.end.min(self.places.len());
        let mut block = self.dirty.start.max(range.start);
        while block < end.min(range.end) {
            let nr_dirty = self.places[block..end]
                .iter()
                .take_while(|place| **place == DIRTY)
                .count();
            let first = allocator.extent(nr_dirty);
            for (place, fresh) in self.places[block..block + nr_dirty].iter_mut().zip(first..) {
                *place = fresh;
            }
            self.unmark_prealloc(&(block..block + nr_dirty));
            block += nr_dirty.max(1);
        }
        if end <= block {
            self.dirty.end = self.dirty.end.min(range.start);
        }
        if self.dirty.end <= self.dirty.start {
            self.dirty = 0..0;
        }
    }

    /// Gives storage to all dirty blocks.
    pub(crate) fn flush_all(&mut self, allocator: &mut Allocator) {
        self.flush(0..usize::MAX, allocator);
    }

    /// Lets the blocks from `first_block` on lie where the piece does; returns whether that moved
    /// any.
    pub(crate) fn share(&mut self, first_block: usize, piece: &Piece) -> bool {
        let Piece { places, prealloc } = piece;
        self.unmark_prealloc(&(first_block..first_block + places.len()));
        let shared = prealloc.iter();
        let shared = shared.map(|blocks| first_block + blocks.start..first_block + blocks.end);
        self.prealloc.extend(shared);
        let end = (first_block + places.len()).min(self.places.len());
        let first_block = first_block.min(end);
        let own = &mut self.places[first_block..end];
        let moved = own.iter().zip(places).any(|(own, place)| own != place);
        own.copy_from_slice(&places[..own.len()]);
        moved
    }

    /// Computes the keys of blocks again.
    pub(crate) fn rekey(&mut self, blocks: Range<usize>, content: &Content) {
        let end = blocks.end.min(self.keys.len());
        if end <= blocks.start {
            return;
        }
        let start_byte = blocks.start as u64 * BLOCK_LEN;
        let end_byte = (end as u64 * BLOCK_LEN).min(content.len());
        let bytes = content.slice(start_byte..end_byte);
        write_keys(&bytes, &mut self.keys[blocks.start..end]);
    }

    /// Takes blocks out of what is preallocated and not written yet.
    fn unmark_prealloc(&mut self, gone: &Range<usize>) {
        let rest = self.prealloc.iter().flat_map(|blocks| {
            let before = blocks.start..blocks.end.min(gone.start);
            let behind = blocks.start.max(gone.end)..blocks.end;
            [before, behind]
        });
        self.prealloc = rest.filter(|blocks| !blocks.is_empty()).collect();
    }

    fn make_dirty(&mut self, blocks: Range<usize>) {
        self.places[blocks.clone()].fill(DIRTY);
        self.dirty = if self.dirty.is_empty() {
            blocks
        } else {
            self.dirty.start.min(blocks.start)..self.dirty.end.max(blocks.end)
        };
    }
}

/// Returns the blocks that two ranges have in common.
fn common(one: &Range<usize>, two: &Range<usize>) -> Range<usize> {
    one.start.max(two.start)..one.end.min(two.end)
}

/// Returns the blocks that a byte range touches.
pub(crate) fn touched(offset: u64, len: u64) -> Range<usize> {
    let end = nr_blocks_of(offset.saturating_add(len));
    let start = (offset / BLOCK_LEN) as usize;
    start.min(end)..end
}

/// Returns how many blocks a file of `size` bytes has, the partial one included.
pub(crate) fn nr_blocks_of(size: u64) -> usize {
    size.div_ceil(BLOCK_LEN) as usize
}

/// Writes the key of each block of `bytes`, the last one possibly partial.
fn write_keys(bytes: &Content, keys: &mut [u64]) {
    let mut block = 0;
    let mut key = Key::new();
    for run in bytes.runs() {
        let mut skip = 0;
        while skip < run.len() {
            let len = (run.len() - skip).min(BLOCK_LEN - key.len);
            key.add(run.fill(), skip, len);
            skip += len;
            if key.len == BLOCK_LEN {
                keys[block] = key.finish();
                key = Key::new();
                block += 1;
            }
        }
    }
    if 0 < key.len {
        keys[block] = key.finish();
    }
}

fn key_of_zeros() -> u64 {
    let mut key = Key::new();
    key.add(&Fill::Byte(0), 0, BLOCK_LEN);
    key.finish()
}

/// A number for the description of a block. Bytes described alike have one key.
struct Key {
    number: u64,
    len: u64,
}

impl Key {
    fn new() -> Key {
        Key { number: 0, len: 0 }
    }

    fn add(&mut self, fill: &Fill, skip: u64, len: u64) {
        let (kind, number) = match fill {
            Fill::Byte(byte) => (1, u64::from(*byte)),
            Fill::Pattern { seed, at } => (2, mix(*seed, at.wrapping_add(skip))),
            Fill::Literal { bytes, at } => {
                let start = at + skip as usize;
                let number = bytes[start..start + len as usize]
                    .iter()
                    .fold(0, |number, byte| mix(number, u64::from(*byte)));
                (3, number)
            }
        };
        self.number = mix(mix(self.number, kind), mix(number, len));
        self.len += len;
    }

    fn finish(&self) -> u64 {
        mix(self.number, self.len)
    }
}

fn mix(number: u64, more: u64) -> u64 {
    let wide = u128::from(number ^ 0x9e37_79b9_7f4a_7c15)
        * u128::from(more.wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1);
    (wide as u64) ^ ((wide >> 64) as u64) ^ more.rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_blocks_have_equal_keys_wherever_they_lie() {
        let mut content = Content::pattern(1, 0, 8192);
        content.append(Content::byte(5, 4096));
        content.append(Content::pattern(1, 4096, 5000));
        let mut map = BlockMap::default();
        map.write(0, content.len(), 0, &content);
        assert_eq!(map.keys()[1], map.keys()[3]);
        assert_ne!(map.keys()[0], map.keys()[1]);
        assert_ne!(map.keys()[2], map.keys()[4]);
    }

    #[test]
    fn a_flush_gives_neighbours_one_extent_that_a_share_cuts() {
        let content = Content::pattern(1, 0, 65536);
        let mut allocator = Allocator::new();
        let mut map = BlockMap::default();
        map.write(0, content.len(), 0, &content);
        assert!(map.is_dirty(3..4) && !map.is_inside_extent(3));
        map.flush(8..9, &mut allocator);
        assert!(map.is_dirty(7..8) && !map.is_dirty(8..16) && map.is_inside_extent(9));
        map.flush_all(&mut allocator);
        assert!(!map.is_dirty(0..16) && !map.is_inside_extent(8));
        let piece = Piece {
            places: vec![1, 2],
            prealloc: Vec::new(),
        };
        assert!(map.share(10, &piece) && !map.share(10, &piece));
        assert!(!map.is_inside_extent(10) && map.is_inside_extent(11));
    }
}
