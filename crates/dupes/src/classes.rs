//! Match: records in the order of their keys become classes of equal blocks.
//!
//! [`Classes`] is the key type. One pass over sorted records, whatever the data: a million equal
//! blocks are one class of a million. Runs of equal blocks are not looked for here; they come by
//! themselves where references are moved, block by block, to where their equals lie.

use rustc_hash::FxHashSet;
use volume::{ChecksumStrength, Volume};

use crate::catalog::{BlockId, Catalog, ExtentIdx, Known};
use crate::radix;
use crate::report::{Report, Stopped};
use crate::sort::Sorted;
use crate::watch::{Phase, Watch};
use crate::weak;

/// The number of a class of equal blocks.
pub(crate) type ClassId = u32;

/// A block that has the number of a class: no class.
const UNIQUE: ClassId = ClassId::MAX;
/// After how many classes the watch is told.
const WATCHED_EVERY: usize = 1 << 16;
/// An extent none of whose blocks has a class.
const NO_CLASSES: u64 = u64::MAX;

/// Which blocks are equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    /// By extent, where its blocks begin in `of_block`.
    starts: Vec<u64>,
    /// By block of the extents that have a duplicate, its class.
    of_block: Vec<ClassId>,
    /// By class, the key of its blocks.
    keys: Vec<u64>,
}

/// A block that has an equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    pub(crate) block: BlockId,
    pub(crate) class: ClassId,
}

/// Groups blocks with equal keys. Keys that are weak, and those in `distrusted`, are held against
/// their neighbours or what is read ([`weak`]).
///
/// # Errors
/// If records cannot be read, the volume fails as a whole, or the watch says stop.
pub(crate) fn group(
    catalog: &Catalog,
    mut sorted: Sorted,
    distrusted: &FxHashSet<u64>,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Classes, Stopped> {
    let mut members: Vec<Member> = Vec::new();
    let mut keys: Vec<u64> = Vec::new();
    let mut blocks = Vec::new();
    let total = Some(catalog.nr_blocks());
    while let Some(key) = sorted.next_group(&mut blocks)? {
        report.nr_blocks += blocks.len() as u64;
        if 1 < blocks.len() {
            let class = class_id(keys.len());
            members.extend(blocks.iter().map(|&block| Member { block, class }));
            keys.push(key);
            if keys.len().is_multiple_of(WATCHED_EVERY) {
                watch.at(Phase::Match, report.nr_blocks, total)?;
            }
        }
    }
    drop(sorted);
    radix::sort_by_bits(&mut members, 0, |member| member.block.0);
    if volume.checksum_strength() == Some(ChecksumStrength::Weak) || !distrusted.is_empty() {
        let classes = (&mut members, &mut keys);
        weak::settle(catalog, classes, distrusted, volume, watch, report)?;
    }
    Ok(Classes::new(catalog, &members, &keys))
}

/// Returns the number of the next class.
pub(crate) fn class_id(nr_classes: usize) -> ClassId {
    // 2^32 classes of two blocks are 32 TiB of duplicates.
    ClassId::try_from(nr_classes).unwrap_or(UNIQUE - 1)
}

impl Classes {
    /// Lays out members, which are in the order of blocks, by extent; numbers classes by first
    /// appearance.
    fn new(catalog: &Catalog, members: &[Member], keys: &[u64]) -> Classes {
        let mut classes = Classes::default();
        let mut numbers = vec![UNIQUE; keys.len()];
        let mut left = members;
        for known in &catalog.extents {
            let nr_blocks = known.extent.ram_bytes / catalog.block;
            let end = known.first.0 + nr_blocks;
            let nr_own = left.partition_point(|member| member.block.0 < end);
            let (own, rest) = left.split_at(nr_own);
            left = rest;
            if own.is_empty() {
                classes.starts.push(NO_CLASSES);
                continue;
            }
            let start = classes.of_block.len();
            classes.starts.push(start as u64);
            classes.of_block.resize(start + nr_blocks as usize, UNIQUE);
            for member in own {
                let number = &mut numbers[member.class as usize];
                if *number == UNIQUE {
                    *number = class_id(classes.keys.len());
                    classes.keys.push(keys[member.class as usize]);
                }
                classes.of_block[start + (member.block.0 - known.first.0) as usize] = *number;
            }
        }
        classes
    }

    /// Returns the same classes for extents that are cut otherwise, blocks having kept their
    /// numbers.
    pub(crate) fn recut(&self, old: &Catalog, new: &Catalog) -> Classes {
        let start = |known: &Known| {
            let (old_idx, within) = old.locate(known.first);
            match self.starts[old_idx as usize] {
                NO_CLASSES => NO_CLASSES,
                start => start + u64::from(within),
            }
        };
        Classes {
            starts: new.extents.iter().map(start).collect(),
            ..self.clone()
        }
    }

    /// Returns how many classes there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether a block of the extent has an equal.
    pub(crate) fn has_any(&self, extent_idx: ExtentIdx) -> bool {
        self.starts[extent_idx as usize] != NO_CLASSES
    }

    /// Returns the class of a block of an extent; `None` if it has no equal.
    #[inline]
    pub(crate) fn of(&self, extent_idx: ExtentIdx, within: u32) -> Option<ClassId> {
        let start = self.starts[extent_idx as usize];
        if start == NO_CLASSES {
            return None;
        }
        let class = self.of_block[start as usize + within as usize];
        (class != UNIQUE).then_some(class)
    }

    /// Adds a class with the key of another one, without blocks yet.
    pub(crate) fn add_like(&mut self, class: ClassId) -> ClassId {
        self.keys.push(self.key(class));
        class_id(self.keys.len() - 1)
    }

    /// Gives a block of an extent that has classes another one, or none.
    pub(crate) fn assign(&mut self, extent_idx: ExtentIdx, within: u32, class: Option<ClassId>) {
        let start = self.starts[extent_idx as usize];
        if start != NO_CLASSES {
            self.of_block[start as usize + within as usize] = class.unwrap_or(UNIQUE);
        }
    }

    /// Takes a block for one that has no equal.
    pub(crate) fn forget(&mut self, extent_idx: ExtentIdx, within: u32) {
        let start = self.starts[extent_idx as usize];
        if start != NO_CLASSES {
            self.of_block[start as usize + within as usize] = UNIQUE;
        }
    }

    /// Returns the key of the blocks of a class.
    pub(crate) fn key(&self, class: ClassId) -> u64 {
        self.keys[class as usize]
    }
}
