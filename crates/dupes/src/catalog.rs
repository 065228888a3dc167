//! What a scan found: every extent in scope once, with one file that shows each part of it.
//!
//! [`Catalog`] is the key type. It is in memory, so it has extents and not references: twenty
//! snapshots of a file take no more of it than the file. It does not know what is equal.

use smallvec::SmallVec;
use volume::{Extent, File, FileId, FileRange};

/// Index of an extent in the catalog.
pub(crate) type ExtentIdx = u32;

/// A block in storage: extents in the order of their addresses, blocks numbered through. Of a
/// compressed extent the blocks are those of the decompressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BlockId(pub(crate) u64);

/// An extent in scope.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The extent.
    pub(crate) extent: Extent,
    /// Its first block.
    pub(crate) first: BlockId,
    /// Whether its data has no checksums.
    pub(crate) is_nodatasum: bool,
    /// Whether a file refers to it as preallocated.
    pub(crate) has_prealloc: bool,
    /// How many file extents in scope refer to it.
    pub(crate) nr_references: u32,
    /// The parts that files in scope refer to, by place, not overlapping.
    pub(crate) parts: SmallVec<[Part; 1]>,
}

/// A part of an extent with a file that shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// First block within the extent.
    pub(crate) first: u32,
    /// Blocks.
    pub(crate) nr_blocks: u32,
    /// Index of the file.
    pub(crate) file: u32,
    /// File offset of the first block, bytes.
    pub(crate) offset: u64,
}

/// Everything in scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    /// Bytes of a block.
    pub(crate) block: u64,
    /// The files that show a part.
    pub(crate) files: Vec<File>,
    /// The extents, by address.
    pub(crate) extents: Vec<Known>,
    /// Parts by file and offset, as (extent, part).
    by_file: Vec<(ExtentIdx, u32)>,
}

impl Part {
    /// Returns the first block behind the part.
    pub(crate) fn end(&self) -> u32 {
        self.first + self.nr_blocks
    }
}

impl Known {
    /// Returns how many blocks files in scope refer to.
    pub(crate) fn nr_live(&self) -> u32 {
        self.parts.iter().map(|part| part.nr_blocks).sum()
    }

    /// Returns the part that shows a block of the extent.
    pub(crate) fn part_at(&self, within: u32) -> Option<(u32, &Part)> {
        let behind = self.parts.partition_point(|part| part.first <= within);
        let part_idx = behind.checked_sub(1)?;
        let part = &self.parts[part_idx];
        (within < part.end()).then_some((part_idx as u32, part))
    }

    /// Returns the blocks within the extent that files in scope refer to.
    pub(crate) fn live_blocks(&self) -> impl Iterator<Item = u32> {
        self.parts.iter().flat_map(|part| part.first..part.end())
    }
}

impl Catalog {
    /// Orders what a scan found.
    pub(crate) fn new(block: u64, files: Vec<File>, mut extents: Vec<Known>) -> Catalog {
        extents.sort_by_key(|known| known.extent.address);
        let mut next = 0;
        for known in &mut extents {
            known.first = BlockId(next);
            next += known.extent.ram_bytes / block;
        }
        let mut catalog = Catalog {
            block,
            files,
            extents,
            by_file: Vec::new(),
        };
        let mut by_file: Vec<(ExtentIdx, u32)> = Vec::new();
        for (known, extent_idx) in catalog.extents.iter().zip(0..) {
            by_file.extend((0..known.parts.len() as u32).map(|part_idx| (extent_idx, part_idx)));
        }
        by_file.sort_by_key(|&at| catalog.file_place(at));
        catalog.by_file = by_file;
        catalog
    }

    /// Returns the parts in the order of files and then of offsets.
    pub(crate) fn parts_in_files(&self) -> impl Iterator<Item = (ExtentIdx, &Part)> {
        self.by_file.iter().map(|&at| (at.0, self.part(at)))
    }

    /// Returns how many blocks the extents have.
    pub(crate) fn nr_blocks(&self) -> u64 {
        let last = self.extents.last();
        last.map_or(0, |known| {
            known.first.0 + known.extent.ram_bytes / self.block
        })
    }

    /// Returns the extent of a block, and the block's place within it.
    pub(crate) fn locate(&self, id: BlockId) -> (ExtentIdx, u32) {
        let behind = self.extents.partition_point(|known| known.first <= id);
        let extent_idx = behind.saturating_sub(1);
        let within = id.0 - self.extents[extent_idx].first.0;
        (extent_idx as ExtentIdx, within as u32)
    }

    /// Returns the extent of a block that is none before `from`; fast if it is near there.
    pub(crate) fn locate_from(&self, from: ExtentIdx, id: BlockId) -> ExtentIdx {
        let rest = &self.extents[from as usize..];
        let mut reach = 1;
        while rest.get(reach).is_some_and(|known| known.first <= id) {
            reach *= 2;
        }
        let near = &rest[reach / 2..rest.len().min(reach)];
        let nr_before = near.partition_point(|known| known.first <= id);
        from + (reach / 2 + nr_before).saturating_sub(1) as ExtentIdx
    }

    /// Returns an extent.
    pub(crate) fn known(&self, extent_idx: ExtentIdx) -> &Known {
        &self.extents[extent_idx as usize]
    }

    /// Returns the block behind another one in the file that shows that.
    pub(crate) fn next_in_file(
        &self,
        extent_idx: ExtentIdx,
        within: u32,
    ) -> Option<(ExtentIdx, u32)> {
        let (part_idx, part) = self.known(extent_idx).part_at(within)?;
        if within + 1 < part.end() {
            return Some((extent_idx, within + 1));
        }
        let end = part.offset + u64::from(part.nr_blocks) * self.block;
        let next = (self.files[part.file as usize].id, end);
        let found = self
            .by_file
            .binary_search_by_key(&next, |&at| self.file_place(at))
            .ok()?;
        let at = self.by_file[found];
        debug_assert_ne!(at, (extent_idx, part_idx));
        Some((at.0, self.part(at).first))
    }

    /// Returns the file range that shows a block, as long as the file has bytes of it.
    pub(crate) fn shown(&self, extent_idx: ExtentIdx, within: u32) -> Option<FileRange> {
        let (_, part) = self.known(extent_idx).part_at(within)?;
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

    fn part(&self, (extent_idx, part_idx): (ExtentIdx, u32)) -> &Part {
        &self.known(extent_idx).parts[part_idx as usize]
    }
}

/// Returns which of `nr_blocks` blocks at `offset` of a file of `size` bytes is its last one and
/// not whole, and how many bytes of it there are.
pub(crate) fn tail(size: u64, offset: u64, nr_blocks: u32, block: u64) -> Option<(u32, u32)> {
    let tail_len = size % block;
    let at = (size - tail_len).checked_sub(offset)? / block;
    (tail_len > 0 && at < u64::from(nr_blocks)).then_some((at as u32, tail_len as u32))
}
