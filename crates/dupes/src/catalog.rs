//! What a scan found: every extent in scope once, with one file that shows each part of it.
//!
//! [`Catalog`] is the key type. It is in memory, so it has extents and not references, in 60 bytes
//! each and 28 for each part more than one: twenty snapshots of a file take no more of it than the
//! file. It does not know what is equal.

use volume::{Compression, Extent, FileId, FileRange};

use crate::radix;

/// Index of an extent in the catalog.
pub(crate) type ExtentIdx = u32;

/// A block in storage: extents in the order of their addresses, blocks numbered through. Of a
/// compressed extent the blocks are those of the decompressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BlockId(pub(crate) u64);

/// An extent in scope, as the catalog tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// The extent.
    pub(crate) extent: Extent,
    /// Its first block.
    pub(crate) first: BlockId,
    /// Blocks.
    pub(crate) nr_blocks: u32,
    /// What else is known of it.
    pub(crate) facts: Facts,
    /// The parts that files in scope refer to, by place, not overlapping.
    pub(crate) parts: &'a [Part],
}

/// What is known of an extent besides where it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// How many file extents in scope refer to it.
    pub(crate) nr_references: u32,
    /// Whether its data has no checksums.
    pub(crate) is_nodatasum: bool,
    /// Whether a file refers to it as preallocated.
    pub(crate) has_prealloc: bool,
}

/// A part of an extent with a file that shows it.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub(crate) struct Part {
    /// File offset of the first block, bytes.
    pub(crate) offset: u64,
    /// First block within the extent.
    pub(crate) first: u32,
    /// Blocks.
    pub(crate) nr_blocks: u32,
    /// Index of the file.
    pub(crate) file: u32,
}

/// A file that shows a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shower {
    /// Which file it is.
    pub(crate) id: FileId,
    /// `i_size`, bytes.
    pub(crate) size: u64,
}

/// Everything in scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    /// Bytes of a block.
    pub(crate) block: u64,
    /// The files that show a part, in order.
    pub(crate) files: Vec<Shower>,
    /// The extents, by address.
    extents: Vec<Kept>,
    /// Blocks of all extents.
    nr_blocks: u64,
    /// The parts of all extents, in order.
    parts: Vec<Part>,
    /// Parts by file and offset, as (extent, index among all parts).
    by_file: Vec<(ExtentIdx, u32)>,
}

/// An extent as it is kept. It ends where the next one begins, in blocks and in parts.
#[derive(Clone, Copy, Debug)]
struct Kept {
    address: u64,
    first: BlockId,
    first_part: u32,
    nr_disk_blocks: u32,
    nr_references: u32,
    compression: Compression,
    is_nodatasum: bool,
    has_prealloc: bool,
}

impl Part {
    /// Returns the first block behind the part.
    pub(crate) fn end(&self) -> u32 {
        self.first + self.nr_blocks
    }
}

impl Known<'_> {
    /// Returns a block of the extent.
    #[inline]
    pub(crate) fn block(&self, within: u32) -> BlockId {
        BlockId(self.first.0 + u64::from(within))
    }

    /// Returns how many blocks files in scope refer to.
    pub(crate) fn nr_live(&self) -> u32 {
        self.parts.iter().map(|part| part.nr_blocks).sum()
    }

    /// Returns the part that shows a block of the extent.
    pub(crate) fn part_at(&self, within: u32) -> Option<&Part> {
        let behind = self.parts.partition_point(|part| part.first <= within);
        let part = &self.parts[behind.checked_sub(1)?];
        (within < part.end()).then_some(part)
    }
}

impl Catalog {
    /// Returns a catalog of these files, without extents.
    pub(crate) fn new(block: u64, files: Vec<Shower>) -> Catalog {
        Catalog {
            block,
            files,
            ..Catalog::default()
        }
    }

    /// Adds an extent; they come in the order of their addresses. Then [`Catalog::index`] it.
    pub(crate) fn push(
        &mut self,
        extent: &Extent,
        facts: Facts,
        parts: impl IntoIterator<Item = Part>,
    ) {
        let kept = Kept {
            address: extent.address,
            first: BlockId(self.nr_blocks),
            first_part: self.parts.len() as u32,
            nr_disk_blocks: self.nr_blocks_of(extent.disk_bytes),
            nr_references: facts.nr_references,
            compression: extent.compression,
            is_nodatasum: facts.is_nodatasum,
            has_prealloc: facts.has_prealloc,
        };
        push_tightly(&mut self.extents, kept);
        for part in parts {
            push_tightly(&mut self.parts, part);
        }
        self.nr_blocks += u64::from(self.nr_blocks_of(extent.ram_bytes));
    }

    /// Adds a file.
    pub(crate) fn push_file(&mut self, file: Shower) {
        push_tightly(&mut self.files, file);
    }

    /// Calls `visit` with every part.
    pub(crate) fn each_part(&mut self, visit: impl FnMut(&mut Part)) {
        self.parts.iter_mut().for_each(visit);
    }

    /// Makes the parts be found by file, once all extents are there.
    pub(crate) fn index(&mut self) {
        let mut by_file = Vec::with_capacity(self.parts.len());
        for (kept, extent_idx) in self.extents.iter().zip(0..) {
            let end = self.end_of_parts(extent_idx);
            by_file.extend((kept.first_part..end).map(|part_idx| (extent_idx, part_idx)));
        }
        let part = |at: &(ExtentIdx, u32)| self.parts[at.1 as usize];
        radix::sort_by_bits(&mut by_file, 0, |at| part(at).file.into());
        let is_of_file = |one: &(_, _), other: &(_, _)| part(one).file == part(other).file;
        for of_file in by_file.chunk_by_mut(is_of_file) {
            of_file.sort_unstable_by_key(|at| part(at).offset);
        }
        self.by_file = by_file;
    }

    /// Returns how many extents there are.
    pub(crate) fn len(&self) -> usize {
        self.extents.len()
    }

    /// Returns the extents with their indexes, by address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ExtentIdx, Known<'_>)> {
        (0..self.extents.len() as u32).map(|extent_idx| (extent_idx, self.known(extent_idx)))
    }

    /// Returns an extent.
    #[inline]
    pub(crate) fn known(&self, extent_idx: ExtentIdx) -> Known<'_> {
        let kept = &self.extents[extent_idx as usize];
        let next = self.extents.get(extent_idx as usize + 1);
        let end = next.map_or(self.nr_blocks, |next| next.first.0);
        let nr_blocks = (end - kept.first.0) as u32;
        let parts = kept.first_part as usize..self.end_of_parts(extent_idx) as usize;
        Known {
            extent: Extent {
                address: kept.address,
                disk_bytes: u64::from(kept.nr_disk_blocks) * self.block,
                ram_bytes: u64::from(nr_blocks) * self.block,
                compression: kept.compression,
            },
            first: kept.first,
            nr_blocks,
            facts: Facts {
                nr_references: kept.nr_references,
                is_nodatasum: kept.is_nodatasum,
                has_prealloc: kept.has_prealloc,
            },
            parts: &self.parts[parts],
        }
    }

    /// Returns the extent at an address.
    pub(crate) fn at(&self, address: u64) -> Option<ExtentIdx> {
        let found = self.extents.binary_search_by_key(&address, |it| it.address);
        found.ok().map(|extent_idx| extent_idx as ExtentIdx)
    }

    /// Returns the parts in the order of files and then of offsets.
    pub(crate) fn parts_in_files(&self) -> impl Iterator<Item = (ExtentIdx, &Part)> {
        self.by_file.iter().map(|&at| (at.0, self.part(at)))
    }

    /// Returns a block of an extent.
    #[inline]
    pub(crate) fn block_of(&self, extent_idx: ExtentIdx, within: u32) -> BlockId {
        let first = self.extents[extent_idx as usize].first;
        BlockId(first.0 + u64::from(within))
    }

    /// Returns how many blocks the extents have.
    pub(crate) fn nr_blocks(&self) -> u64 {
        self.nr_blocks
    }

    /// Returns the extent of a block, and the block's place within it.
    pub(crate) fn locate(&self, id: BlockId) -> (ExtentIdx, u32) {
        let behind = self.extents.partition_point(|kept| kept.first <= id);
        let extent_idx = behind.saturating_sub(1);
        let within = id.0 - self.extents[extent_idx].first.0;
        (extent_idx as ExtentIdx, within as u32)
    }

    /// Returns the extent of a block that is none before `from`; fast if it is near there.
    pub(crate) fn locate_from(&self, from: ExtentIdx, id: BlockId) -> ExtentIdx {
        let rest = &self.extents[from as usize..];
        let mut reach = 1;
        while rest.get(reach).is_some_and(|kept| kept.first <= id) {
            reach *= 2;
        }
        let near = &rest[reach / 2..rest.len().min(reach)];
        let nr_before = near.partition_point(|kept| kept.first <= id);
        from + (reach / 2 + nr_before).saturating_sub(1) as ExtentIdx
    }

    /// Returns the blocks from one on as the file that shows it has them: where they begin in an
    /// extent, and how many follow each other there.
    pub(crate) fn shown_from(
        &self,
        first: (ExtentIdx, u32),
    ) -> impl Iterator<Item = ((ExtentIdx, u32), u32)> {
        let mut before: Option<Part> = None;
        std::iter::from_fn(move || {
            let (extent_idx, within, part) = match before {
                None => (first.0, first.1, *self.known(first.0).part_at(first.1)?),
                Some(part) => {
                    let (extent_idx, next) = self.behind(part)?;
                    (extent_idx, next.first, next)
                }
            };
            before = Some(part);
            Some(((extent_idx, within), part.end() - within))
        })
    }

    /// Returns the part that follows another in its file, with its extent.
    fn behind(&self, part: Part) -> Option<(ExtentIdx, Part)> {
        let end = part.offset + u64::from(part.nr_blocks) * self.block;
        let place = (self.files[part.file as usize].id, end);
        let places = |&at: &(ExtentIdx, u32)| self.file_place(at);
        let found = self.by_file.binary_search_by_key(&place, places).ok()?;
        let at = self.by_file[found];
        Some((at.0, *self.part(at)))
    }

    /// Returns the file range that shows a block, as long as the file has bytes of it.
    pub(crate) fn shown(&self, extent_idx: ExtentIdx, within: u32) -> Option<FileRange> {
        let known = self.known(extent_idx);
        let part = known.part_at(within)?;
        let file = &self.files[part.file as usize];
        let offset = part.offset + u64::from(within - part.first) * self.block;
        Some(FileRange {
            file: file.id,
            offset,
            len: self.block.min(file.size.saturating_sub(offset)),
        })
    }

    /// Returns how many parts a range of a file shows, whose blocks are all shown by that file.
    pub(crate) fn nr_parts(&self, file: FileId, offset: u64, len: u64) -> usize {
        let by_file = &self.by_file;
        let first = by_file.partition_point(|&at| self.file_place(at) <= (file, offset));
        let behind = by_file.partition_point(|&at| self.file_place(at) < (file, offset + len));
        1 + behind.saturating_sub(first)
    }

    /// Returns the extents that a range of a file meets, whose blocks are all shown by that file.
    pub(crate) fn extents_in(
        &self,
        file: FileId,
        offset: u64,
        len: u64,
    ) -> impl Iterator<Item = ExtentIdx> {
        let behind = self
            .by_file
            .partition_point(|&at| self.file_place(at) < (file, offset + len));
        let first = behind.saturating_sub(self.nr_parts(file, offset, len));
        self.by_file[first..behind]
            .iter()
            .map(|(extent_idx, _)| *extent_idx)
    }

    /// Returns how many bytes of its last block a part has, if that is the file's last and not
    /// whole; with the block within the extent.
    pub(crate) fn tail_of(&self, part: &Part) -> Option<(u32, u32)> {
        let size = self.files[part.file as usize].size;
        tail(size, part.offset, part.nr_blocks, self.block).map(|(at, len)| (part.first + at, len))
    }

    fn file_place(&self, at: (ExtentIdx, u32)) -> (FileId, u64) {
        let part = self.part(at);
        (self.files[part.file as usize].id, part.offset)
    }

    fn part(&self, (_, part_idx): (ExtentIdx, u32)) -> &Part {
        &self.parts[part_idx as usize]
    }

    /// Returns the index behind that of the last part of an extent.
    fn end_of_parts(&self, extent_idx: ExtentIdx) -> u32 {
        let next = self.extents.get(extent_idx as usize + 1);
        next.map_or(self.parts.len() as u32, |next| next.first_part)
    }

    fn nr_blocks_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes / self.block).unwrap_or(u32::MAX)
    }
}

/// Adds an item without making room for twice as many: there are as many as fit in memory.
fn push_tightly<T>(items: &mut Vec<T>, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 8 + 256);
    }
    items.push(item);
}

/// Returns which of `nr_blocks` blocks at `offset` of a file of `size` bytes is its last one and
/// not whole, and how many bytes of it there are.
pub(crate) fn tail(size: u64, offset: u64, nr_blocks: u32, block: u64) -> Option<(u32, u32)> {
    let tail_len = size % block;
    let at = (size - tail_len).checked_sub(offset)? / block;
    (tail_len > 0 && at < u64::from(nr_blocks)).then_some((at as u32, tail_len as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 4096;

    #[test]
    fn blocks_are_shown_on_through_the_extents_of_their_file_until_it_has_others_or_a_hole() {
        let shower = |inode| Shower {
            id: FileId { root: 5, inode },
            size: 64 * BLOCK,
        };
        let mut catalog = Catalog::new(BLOCK, vec![shower(257), shower(258)]);
        let part = |file, at: u64, first, nr_blocks| Part {
            offset: at * BLOCK,
            first,
            nr_blocks,
            file,
        };
        // The first file has the middle of extent 1, all of extent 0, a hole, and the end of extent
        // 1; the other one the begin of extent 1 where the first has its middle.
        let extents = [
            vec![part(0, 4, 0, 8)],
            vec![part(1, 0, 0, 3), part(0, 0, 3, 4), part(0, 20, 7, 1)],
        ];
        for (parts, address) in extents.into_iter().zip([1 << 20, 2 << 20]) {
            let extent = Extent {
                address,
                disk_bytes: 8 * BLOCK,
                ram_bytes: 8 * BLOCK,
                compression: Compression::None,
            };
            catalog.push(&extent, Facts::default(), parts);
        }
        catalog.index();
        let shown = |first| catalog.shown_from(first).collect::<Vec<_>>();
        assert_eq!(shown((1, 3)), [((1, 3), 4), ((0, 0), 8)]);
        assert_eq!(shown((1, 6)), [((1, 6), 1), ((0, 0), 8)]);
        assert_eq!(shown((0, 7)), [((0, 7), 1)]);
        assert_eq!(shown((1, 1)), [((1, 1), 2)]);
        assert_eq!(shown((1, 7)), [((1, 7), 1)]);
    }
}
