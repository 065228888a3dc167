//! A volume of any size that takes no memory: what is in it is computed when it is asked for.

use dupes::{Scratch, Spill};
use volume::{
    Compression, Extent, ExtentReferences, File, FileExtent, FileId, FileRange, Page, Place,
    Position, Reference, ReferenceKind, Volume, VolumeError,
};

use crate::inert::{BLOCK, Inert};

const EXTENT_BLOCKS: u64 = 32;
const FILE_EXTENTS: u64 = 8;
pub(crate) const FILE_BLOCKS: u64 = EXTENT_BLOCKS * FILE_EXTENTS;
/// Files come by so many, of each kind some.
const FILES_OF_CYCLE: u64 = 20;
/// How often a copied file is there.
const NR_COPIES: u64 = 4;
/// The subvolume, and the first one of its snapshots.
const ROOT: u64 = 5;
const FIRST_SNAPSHOT: u64 = 256;
const NR_SNAPSHOTS: u64 = 3;
/// Files of a page.
const PAGE_FILES: u64 = 4096;

/// Where the numbers for contents of a kind begin; 0 is what equal blocks have.
const UNIQUE: u64 = 1 << 40;
const COPIED: u64 = 2 << 40;
const SHUFFLED: u64 = 3 << 40;
const ALONE: u64 = 4 << 40;

/// Files of 1 MiB in extents of 128 KiB: of twenty, nine are like no other, five are one of four
/// copies, four have blocks that are there twice in no order, one has equal blocks only, and in one
/// every other block is such a one. Three snapshots refer to all of it.
pub(crate) struct Mixture {
    pub(crate) nr_files: u64,
    /// Whether all blocks are there twice in no order instead.
    pub(crate) is_shuffled: bool,
    /// How far blocks are from each other that are shuffled and were neighbours.
    step: u64,
    inert: Inert,
}

impl Mixture {
    pub(crate) fn new(nr_files: u64, is_shuffled: bool) -> Mixture {
        let mut mixture = Mixture {
            nr_files,
            is_shuffled,
            step: 0,
            inert: Inert,
        };
        mixture.step = step_for(mixture.nr_shuffled_blocks());
        mixture
    }

    fn nr_shuffled_blocks(&self) -> u64 {
        match self.is_shuffled {
            true => self.nr_files * FILE_BLOCKS,
            false => self.nr_files / FILES_OF_CYCLE * 4 * FILE_BLOCKS,
        }
    }

    /// Returns how many blocks have an equal, and how many different ones there are of these.
    pub(crate) fn expected(&self) -> (u64, u64) {
        if self.is_shuffled {
            let nr_blocks = self.nr_shuffled_blocks();
            return (nr_blocks, nr_blocks / 2);
        }
        let nr_cycles = self.nr_files / FILES_OF_CYCLE;
        let nr_copied = nr_cycles * 5 * FILE_BLOCKS;
        let nr_equal = nr_cycles * (FILE_BLOCKS + FILE_BLOCKS / 2);
        let nr_shuffled = self.nr_shuffled_blocks();
        let nr_different = nr_copied / NR_COPIES + nr_shuffled / 2 + 1;
        (nr_copied + nr_equal + nr_shuffled, nr_different)
    }

    /// Returns the checksum of a block in storage: of 32 bits, so that some are equal by chance.
    fn checksum(&self, block: u64) -> u64 {
        match self.content(block) {
            // Equal neighbours witness for these, so that chance would be believed.
            content if content >> 40 == ALONE >> 40 => (block * 0x9e37_79b1) & 0xffff_ffff,
            content => mixed(content) >> 32,
        }
    }

    /// Returns a number for the contents of a block in storage.
    fn content(&self, block: u64) -> u64 {
        let (file, within) = (block / FILE_BLOCKS, block % FILE_BLOCKS);
        let (cycle, kind) = (file / FILES_OF_CYCLE, file % FILES_OF_CYCLE);
        if self.is_shuffled {
            return self.shuffled(block);
        }
        match kind {
            0..9 => UNIQUE + block,
            9..14 => {
                let copied = cycle * 5 + kind - 9;
                COPIED + copied / NR_COPIES * FILE_BLOCKS + within
            }
            14..18 => self.shuffled((cycle * 4 + kind - 14) * FILE_BLOCKS + within),
            18 => 0,
            _ if within.is_multiple_of(2) => 0,
            _ => ALONE + block,
        }
    }

    /// Returns a number for the contents of the nth block of those that are shuffled.
    fn shuffled(&self, nth: u64) -> u64 {
        // A step without a divisor in common with the number passes through all.
        let nr = self.nr_shuffled_blocks();
        SHUFFLED + nth * self.step % nr / 2
    }

    fn file_of(&self, id: FileId) -> File {
        File {
            id,
            size: FILE_BLOCKS * BLOCK,
            is_nodatasum: false,
            is_movable: true,
            generation: 0,
        }
    }

    fn roots(&self) -> impl Iterator<Item = u64> + use<> {
        let snapshots = FIRST_SNAPSHOT..FIRST_SNAPSHOT + NR_SNAPSHOTS;
        std::iter::once(ROOT).chain(snapshots)
    }
}

/// Returns a large number that has no divisor in common with another one.
fn step_for(nr: u64) -> u64 {
    let has_common = |step: u64| {
        let (mut one, mut other) = (nr, step);
        while other != 0 {
            (one, other) = (other, one % other);
        }
        one != 1
    };
    let mut step = nr / 8 * 5 + 1;
    while has_common(step) {
        step += 1;
    }
    step
}

fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

impl Volume for Mixture {
    volume::forward! { to (self.inert):
        block_bytes space_rule checksum_strength dedupe_len_max file_extents read read_ahead dedupe
        create write flush remove sync used_bytes path
    }

    fn next_page(
        &mut self,
        from: Position,
        _newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        let Some(root) = self.roots().find(|root| from.root <= *root) else {
            return Ok(None);
        };
        let first = if from.root == root { from.inode } else { 0 };
        let end = self.nr_files.min(first + PAGE_FILES);
        for inode in first..end {
            page.push_file(self.file_of(FileId { root, inode }));
            for extent in 0..FILE_EXTENTS {
                let len = EXTENT_BLOCKS * BLOCK;
                let extent_of = Extent {
                    address: (inode * FILE_EXTENTS + extent) * len,
                    disk_bytes: len,
                    ram_bytes: len,
                    compression: Compression::None,
                };
                page.push_extent(FileExtent {
                    offset: extent * len,
                    len,
                    generation: 0,
                    place: Place::Data {
                        extent: extent_of,
                        within: 0,
                    },
                });
            }
        }
        let next = match end == self.nr_files {
            true => FileId {
                root: root + 1,
                inode: 0,
            },
            false => FileId { root, inode: end },
        };
        Ok(Some(Position::of(next)))
    }

    fn file(&mut self, file: FileId) -> Result<Option<File>, VolumeError> {
        Ok(Some(self.file_of(file)))
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        let answer = |extent: &Extent| {
            let number = extent.address / extent.disk_bytes;
            let reference = |root| Reference {
                file: FileId {
                    root,
                    inode: number / FILE_EXTENTS,
                },
                offset: number % FILE_EXTENTS * extent.disk_bytes,
                within: 0,
                len: extent.ram_bytes,
                kind: ReferenceKind::Data,
            };
            ExtentReferences {
                address: extent.address,
                references: self.roots().map(reference).collect(),
                is_complete: true,
            }
        };
        Ok(extents.iter().map(answer).collect())
    }

    fn checksums(
        &mut self,
        address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        let blocks = address / BLOCK..(address + len) / BLOCK;
        found.extend(blocks.map(|block| Some(self.checksum(block))));
        Ok(())
    }

    fn hash_blocks(
        &mut self,
        ranges: &[FileRange],
        _: fn(&[u8]) -> u64,
        found: &mut Vec<Result<Vec<u64>, VolumeError>>,
    ) -> Result<(), VolumeError> {
        found.extend(ranges.iter().map(|range| {
            let first = range.file.inode * FILE_BLOCKS + range.offset / BLOCK;
            let blocks = first..first + range.len / BLOCK;
            Ok(blocks.map(|block| mixed(self.content(block))).collect())
        }));
        Ok(())
    }
}

/// Scratch space in files without names.
pub(crate) struct TemporaryFiles;

impl Scratch for TemporaryFiles {
    fn spill(&mut self) -> std::io::Result<Box<dyn Spill>> {
        Ok(Box::new(tempfile::tempfile()?))
    }
}
