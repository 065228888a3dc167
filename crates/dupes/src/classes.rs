//! Match: records in the order of their keys become classes of equal blocks.
//!
//! [`Classes`] is the key type. One pass over sorted records, whatever the data: a million equal
//! blocks are one class of a million. Runs of equal blocks are not looked for here; they come by
//! themselves where references are moved to where their equals lie ([`Classes::nr_equal`]).

mod chunks;

use rustc_hash::FxHashSet;
use volume::{ChecksumStrength, Volume};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::bits::{Bits, Ranked};
use crate::catalog::{BlockId, Catalog, Known};
use crate::hash::Keyed;
use crate::report::{Report, Stopped};
use crate::sort::{Record, Room, Sorted, Sorter};
use crate::watch::{Phase, Watch};
use crate::weak;
use chunks::Chunks;

/// The number of a class of equal blocks.
pub(crate) type ClassId = u32;

/// After how many blocks the watch is told.
const WATCHED_EVERY: u64 = 1 << 20;

/// Which blocks are equal. Classes have numbers by first appearance, so that those of copies
/// follow each other as their blocks do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    nr_classes: usize,
    of_block: Chunks,
}

/// A block with the one that stands for its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Equal {
    block: u64,
    leader: u64,
}

impl Record for Equal {
    fn number(&self) -> u64 {
        self.block
    }
}

/// Classes on their way: what is equal comes in any order.
pub(crate) struct Equals<'r, 's> {
    sorter: Sorter<'r, 's, Equal>,
    is_leader: Bits,
}

/// Groups blocks with equal keys. Keys that are weak, and those of blocks in `distrusted`, are
/// held against their neighbours or what is read ([`weak`]).
///
/// # Errors
/// If records cannot be sorted, the volume fails as a whole, or the watch says stop.
pub(crate) fn group(
    catalog: &Catalog,
    mut sorted: Sorted<Keyed>,
    distrusted: &FxHashSet<BlockId>,
    room: &Room<'_>,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Classes, Stopped> {
    let total = Some(catalog.nr_blocks());
    let mut equals = Equals::new(catalog, room);
    let mut distrusted_leaders = FxHashSet::default();
    // The first one of its key, and whether it is known that there are more.
    let mut group: Option<(Keyed, bool)> = None;
    while let Some(next) = sorted.next()? {
        report.nr_blocks += 1;
        if report.nr_blocks.is_multiple_of(WATCHED_EVERY) {
            watch.at(Phase::Match, report.nr_blocks, total)?;
        }
        let leader = match &mut group {
            Some((first, has_more)) if first.key == next.key => {
                if !std::mem::replace(has_more, true) {
                    equals.push(first.block(), first.block())?;
                }
                equals.push(next.block(), first.block())?;
                first.block()
            }
            other => {
                *other = Some((next, false));
                next.block()
            }
        };
        if distrusted.contains(&next.block()) {
            distrusted_leaders.insert(leader);
        }
    }
    drop(sorted);
    let (classes, leaders) = equals.into_classes(Classes::default())?;
    if volume.checksum_strength() != Some(ChecksumStrength::Weak) && distrusted.is_empty() {
        return Ok(classes);
    }
    let distrusted = distrusted_leaders.into_iter();
    let distrusted: FxHashSet<ClassId> = distrusted
        .filter(|leader| leaders.has(leader.0))
        .map(|leader| class_id(leaders.rank(leader.0)))
        .collect();
    drop(leaders);
    weak::settle(catalog, classes, &distrusted, room, volume, watch, report)
}

/// Returns the number of the next class.
fn class_id(nr_classes: u64) -> ClassId {
    // 2^32 classes of two blocks are 32 TiB of duplicates.
    ClassId::try_from(nr_classes).unwrap_or(ClassId::MAX - 1)
}

impl<'r, 's> Equals<'r, 's> {
    pub(crate) fn new(catalog: &Catalog, room: &'r Room<'s>) -> Equals<'r, 's> {
        Equals {
            sorter: room.sorter(1),
            is_leader: Bits::new(catalog.nr_blocks()),
        }
    }

    /// Adds a block to those that are equal to `leader`, which is one of them and added, too.
    pub(crate) fn push(&mut self, block: BlockId, leader: BlockId) -> Result<(), Stopped> {
        self.is_leader.set(leader.0);
        self.sorter.push(Equal {
            block: block.0,
            leader: leader.0,
        })
    }

    /// Returns these classes beside others, which have other blocks; and the blocks that stand for
    /// them: they have numbers as these have, behind those of the others.
    pub(crate) fn into_classes(self, others: Classes) -> Result<(Classes, Ranked), Stopped> {
        let leaders = self.is_leader.ranked();
        let nr_before = match others.of_block.is_empty() {
            true => 0,
            false => others.nr_classes as u64,
        };
        let class_of = |leader| class_id(nr_before + leaders.rank(leader));
        let mut sorted = self.sorter.finish()?;
        let mut next = sorted.next();
        let mut of_block = Chunks::default();
        others.of_block.drain(|block, class| {
            while let Ok(Some(equal)) = &next
                && equal.block < block
            {
                of_block.push(equal.block, class_of(equal.leader));
                next = sorted.next();
            }
            of_block.push(block, class);
        });
        while let Some(equal) = next? {
            of_block.push(equal.block, class_of(equal.leader));
            next = sorted.next();
        }
        of_block.end();
        let nr_classes = (nr_before + leaders.nr_set()) as usize;
        let classes = Classes {
            nr_classes,
            of_block,
        };
        Ok((classes, leaders))
    }
}

impl Classes {
    /// Returns how many classes there are.
    pub(crate) fn len(&self) -> usize {
        self.nr_classes
    }

    /// Returns how many blocks have an equal.
    pub(crate) fn nr_blocks(&self) -> u64 {
        self.of_block.iter().count() as u64
    }

    /// Returns the class of a block; `None` if it has no equal.
    #[inline]
    pub(crate) fn of(&self, block: BlockId) -> Option<ClassId> {
        self.of_block.get(block.0)
    }

    /// Returns the blocks within an extent that files in scope refer to and that have equals, with
    /// their classes.
    pub(crate) fn within<'a>(
        &'a self,
        known: &Known<'a>,
    ) -> impl Iterator<Item = (u32, ClassId)> + use<'a> {
        let first = known.first.0;
        known.parts.iter().flat_map(move |part| {
            let begin = first + u64::from(part.first);
            let own = self.of_block.within(begin, part.nr_blocks.into());
            own.map(move |(block, class)| ((block - first) as u32, class))
        })
    }

    /// Returns the blocks from one on that have equals, with their classes.
    pub(crate) fn from(
        &self,
        first: BlockId,
        nr_blocks: u32,
    ) -> impl Iterator<Item = (BlockId, ClassId)> {
        let found = self.of_block.within(first.0, nr_blocks.into());
        found.map(|(block, class)| (BlockId(block), class))
    }

    /// Returns how many of `nr_blocks` blocks from one on are equal to those from another on, up to
    /// the first that is not or has no equal.
    pub(crate) fn nr_equal(&self, one: BlockId, other: BlockId, nr_blocks: u32) -> u32 {
        let classes = |first: BlockId| {
            let found = self.from(first, nr_blocks).zip(0_u64..);
            let without_gap = found.take_while(move |((block, _), nr)| block.0 == first.0 + nr);
            without_gap.map(|((_, class), _)| class)
        };
        let pairs = classes(one).zip(classes(other));
        pairs.take_while(|(one, other)| one == other).count() as u32
    }

    /// Returns how many blocks of an extent have an equal.
    pub(crate) fn nr_within(&self, known: &Known<'_>) -> u32 {
        self.within(known).count() as u32
    }

    /// Returns the same classes for the blocks that are kept, of those that have one.
    pub(crate) fn retain(self, mut is_kept: impl FnMut(BlockId, ClassId) -> bool) -> Classes {
        let mut kept = Chunks::default();
        self.of_block.drain(|block, class| {
            if is_kept(BlockId(block), class) {
                kept.push(block, class);
            }
        });
        kept.end();
        Classes {
            of_block: kept,
            ..self
        }
    }

    /// Returns other classes for the blocks that have one here; `class_of` is asked in their order
    /// and may make up numbers behind those of [`Classes::len`].
    pub(crate) fn map(
        &self,
        mut class_of: impl FnMut(BlockId, ClassId) -> Option<ClassId>,
    ) -> Classes {
        let mut mapped = Classes {
            nr_classes: self.nr_classes,
            of_block: Chunks::default(),
        };
        for (block, class) in self.of_block.iter() {
            if let Some(class) = class_of(BlockId(block), class) {
                mapped.of_block.push(block, class);
                mapped.nr_classes = mapped.nr_classes.max(class as usize + 1);
            }
        }
        mapped.of_block.end();
        mapped
    }

    /// Returns all blocks that have equals, with their classes, in the order of storage.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (BlockId, ClassId)> {
        let all = self.of_block.iter();
        all.map(|(block, class)| (BlockId(block), class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the classes of blocks; 0 for none.
    fn classes(of_block: &[ClassId]) -> Classes {
        let mut chunks = Chunks::default();
        for (class, block) in of_block.iter().zip(0..) {
            if *class != 0 {
                chunks.push(block, *class);
            }
        }
        chunks.end();
        Classes {
            nr_classes: 1 << 10,
            of_block: chunks,
        }
    }

    #[test]
    fn blocks_are_equal_up_to_the_first_that_differs_or_is_like_no_other() {
        // Two copies, of which the second crosses the border of a chunk; a block of the first
        // differs, one is like no other in both, and before that classes are the same.
        let pattern: Vec<ClassId> = (0..40)
            .map(|n| if n == 30 { 0 } else { 100 + n / 3 })
            .collect();
        let mut of_block = vec![0; 300];
        of_block[10..50].copy_from_slice(&pattern);
        of_block[240..280].copy_from_slice(&pattern);
        of_block[20] = 7;
        let classes = classes(&of_block);
        for (one, other) in (0..300).flat_map(|one| (0..300).map(move |other| (one, other))) {
            for nr_blocks in [0, 1, 5, 64] {
                let of = |first: usize| of_block[first..].iter().take(nr_blocks as usize);
                let pairs = of(one).zip(of(other));
                let expected = pairs.take_while(|(one, other)| one == other && **one != 0);
                let (one, other) = (BlockId(one as u64), BlockId(other as u64));
                let found = classes.nr_equal(one, other, nr_blocks);
                assert_eq!(
                    found as usize,
                    expected.count(),
                    "{one:?} {other:?} {nr_blocks}"
                );
            }
        }
    }
}
