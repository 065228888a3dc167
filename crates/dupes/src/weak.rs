//! Weak checksums: which of the blocks with one checksum are taken for equal.
//!
//! A crc32c of one block is only a hint: among a hundred million blocks there are pairs that have
//! it in common and nothing else. Two blocks whose neighbours in their files are equal by checksum
//! too have twice the bits to witness for them, and that is enough. What stands alone is read and
//! hashed: one block of each group, so that the reading is little however often something is
//! there.
//!
//! Classes are looked at one by one, as many at a time as there is memory for: that many blocks
//! are read in the order of storage.

use rustc_hash::{FxHashMap, FxHashSet};
use volume::Volume;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::bits::Bits;
use crate::catalog::{BlockId, Catalog};
use crate::classes::{ClassId, Classes, Equals};
use crate::hash;
use crate::report::{Report, Stopped};
use crate::runs::each_place;
use crate::sort::{Record, Room, Sorted};
use crate::watch::Watch;

/// No class.
const NONE: ClassId = ClassId::MAX;
/// The part of the memory for sorting that sorting by class takes: beside it are all classes.
const SORTED_PART: usize = 4;
/// The part of the memory for sorting that the classes take that are looked at at a time, and
/// bytes for each of their blocks: with a group, a range to be read and a hash.
const WINDOW_PART: usize = 2;
const WINDOW_LEN: usize = 128;

/// A block with its class, and those of the blocks beside it in the file that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Member {
    class: ClassId,
    behind: ClassId,
    before: ClassId,
    /// The upper and the lower half of the block's number.
    block: [u32; 2],
}

impl Record for Member {
    fn number(&self) -> u64 {
        u64::from(self.class)
    }
}

impl Member {
    fn block(&self) -> BlockId {
        let [upper, lower] = self.block;
        BlockId(u64::from(upper) << 32 | u64::from(lower))
    }
}

/// Splits classes into groups that are equal with enough evidence.
///
/// # Errors
/// If members cannot be sorted, the volume fails as a whole, or the watch says stop.
pub(crate) fn settle(
    catalog: &Catalog,
    classes: Classes,
    distrusted: &FxHashSet<ClassId>,
    room: &Room<'_>,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Classes, Stopped> {
    let settled = settled(catalog, &classes, distrusted, room)?;
    let is_settled = |class: ClassId| settled.as_ref().is_some_and(|it| it.has(class.into()));
    let mut sorter = room.sorter(SORTED_PART);
    each_member(catalog, &classes, distrusted, |member| {
        match is_settled(member.class) {
            true => Ok(()),
            false => sorter.push(member),
        }
    })?;
    let mut sorted = sorter.finish()?;
    let mut equals = Equals::new(catalog, room);
    // What is not told again is not equal to anything.
    let kept = classes.retain(|_, class| is_settled(class));
    let nr_max = room.nr_items(WINDOW_PART, WINDOW_LEN).max(2);
    let mut window = Window::default();
    loop {
        let is_last = window.fill(&mut sorted, nr_max)?;
        let to_read = window.group();
        let blocks: Vec<BlockId> = to_read.iter().map(|(block, _)| *block).collect();
        let hashes = hash::strong(catalog, &blocks, volume, watch, report)?;
        drop(blocks);
        window.join_equals(&to_read, &hashes);
        window.tell(&mut equals)?;
        if is_last {
            break;
        }
    }
    Ok(equals.into_classes(kept)?.0)
}

/// Returns which classes need not be looked at: all of their members have neighbours of one class
/// on one side, as copies have. `None` if that takes too much memory, there being so many.
fn settled(
    catalog: &Catalog,
    classes: &Classes,
    distrusted: &FxHashSet<ClassId>,
    room: &Room<'_>,
) -> Result<Option<Bits>, Stopped> {
    const UNSEEN: ClassId = NONE;
    const DIFFERENT: ClassId = ClassId::MAX - 1;
    if room.nr_items(SORTED_PART, size_of::<[ClassId; 2]>()) < classes.len() {
        return Ok(None);
    }
    let mut neighbours = vec![[UNSEEN; 2]; classes.len()];
    each_member(catalog, classes, distrusted, |member| {
        let known = &mut neighbours[member.class as usize];
        for (known, next) in known.iter_mut().zip([member.behind, member.before]) {
            *known = match *known {
                _ if next == NONE => DIFFERENT,
                UNSEEN => next,
                known if known == next => known,
                _ => DIFFERENT,
            };
        }
        Ok(())
    })?;
    let mut settled = Bits::new(classes.len() as u64);
    for (known, class) in neighbours.iter().zip(0..) {
        if *known != [DIFFERENT; 2] {
            settled.set(class);
        }
    }
    Ok(Some(settled))
}

/// Calls `visit` with all blocks that have a class, in the order of files.
fn each_member(
    catalog: &Catalog,
    classes: &Classes,
    distrusted: &FxHashSet<ClassId>,
    mut visit: impl FnMut(Member) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut last: Option<Member> = None;
    let is_trusted = |member: &Member| !distrusted.contains(&member.class);
    each_place(catalog, classes, |place| {
        let mut next = Member {
            class: place.class,
            behind: NONE,
            before: NONE,
            block: [(place.block.0 >> 32) as u32, place.block.0 as u32],
        };
        if let Some(last) = &mut last
            && place.goes_on
            && is_trusted(last)
            && is_trusted(&next)
        {
            last.behind = next.class;
            next.before = last.class;
        }
        match last.replace(next) {
            Some(done) => visit(done),
            None => Ok(()),
        }
    })?;
    match last {
        Some(done) => visit(done),
        None => Ok(()),
    }
}

/// The classes that are looked at at a time.
#[derive(Default)]
struct Window {
    /// Their members in order, and behind them those of a class that is not whole yet.
    members: Vec<Member>,
    /// How many members belong to classes that are looked at now.
    nr_now: usize,
    /// By member, an earlier one or itself of the same group.
    parent: Vec<u32>,
    /// What there was of a class that does not fit.
    large: Large,
}

/// A class that is looked at piece by piece: each group of each piece has to be read.
#[derive(Default)]
struct Large {
    class: Option<ClassId>,
    /// By hash, the block that stands for the group, and whether it has been told.
    by_hash: FxHashMap<u64, (BlockId, bool)>,
    /// The hashes of groups of the window, by the member that stands for each.
    hashes: FxHashMap<u32, u64>,
}

impl Window {
    /// Takes the next classes; returns whether they are the last ones.
    fn fill(&mut self, sorted: &mut Sorted<Member>, nr_max: usize) -> Result<bool, Stopped> {
        self.members.drain(..self.nr_now);
        let mut is_last = false;
        while self.members.len() < nr_max && !is_last {
            match sorted.next()? {
                Some(member) => self.members.push(member),
                None => is_last = true,
            }
        }
        let [first, last] = [self.members.first(), self.members.last()];
        let [first, last] = [first, last].map(|member| member.map(|it| it.class));
        let nr_whole = self.members.partition_point(|it| Some(it.class) < last);
        let is_cut = !is_last && nr_whole == 0;
        self.nr_now = match is_last || is_cut {
            true => self.members.len(),
            false => nr_whole,
        };
        if self.large.class.is_none() || self.large.class != first {
            self.large = Large {
                class: first.filter(|_| is_cut),
                ..Large::default()
            };
        }
        Ok(is_last)
    }

    /// Groups members by what their neighbours witness. Returns one block for each group that has
    /// to be read, in the order of blocks, with the member.
    fn group(&mut self) -> Vec<(BlockId, u32)> {
        self.parent.clear();
        self.parent.extend(0..self.nr_now as u32);
        let mut open = Vec::new();
        let mut by_before: Vec<(ClassId, u32)> = Vec::new();
        let mut first = 0;
        while first < self.nr_now {
            let class = self.members[first].class;
            let of_class = self.members[first..self.nr_now].iter();
            let nr_members = of_class.take_while(|it| it.class == class).count();
            let range = first..first + nr_members;
            for idx in range.start + 1..range.end {
                let [one, other] = [self.members[idx - 1].behind, self.members[idx].behind];
                if one == other && one != NONE {
                    self.join(idx as u32 - 1, idx as u32);
                }
            }
            // Most often that is enough.
            let mut nr_groups = self.leaders(range.clone()).count();
            if 1 < nr_groups {
                by_before.clear();
                let before = |idx: usize| (self.members[idx].before, idx as u32);
                by_before.extend(range.clone().map(before).filter(|it| it.0 != NONE));
                by_before.sort_unstable();
                for pair in by_before.windows(2) {
                    if pair[0].0 == pair[1].0 {
                        self.join(pair[0].1, pair[1].1);
                    }
                }
                nr_groups = self.leaders(range.clone()).count();
            }
            if 1 < nr_groups || self.large.class == Some(class) {
                let leaders = self.leaders(range.clone());
                open.extend(leaders.map(|idx| (self.members[idx as usize].block(), idx)));
            }
            first = range.end;
        }
        open.sort_unstable();
        open
    }

    /// Joins groups of a class that have the same hash.
    fn join_equals(&mut self, open: &[(BlockId, u32)], hashes: &[Option<u64>]) {
        let mut by_hash: FxHashMap<(ClassId, u64), u32> = FxHashMap::default();
        for ((_, idx), hash) in open.iter().zip(hashes) {
            if let Some(hash) = *hash {
                let class = self.members[*idx as usize].class;
                let first = *by_hash.entry((class, hash)).or_insert(*idx);
                self.join(first, *idx);
            }
        }
        for ((class, hash), idx) in by_hash {
            if self.large.class == Some(class) {
                let leader = self.leader(idx);
                self.large.hashes.insert(leader, hash);
            }
        }
    }

    /// Tells which members are equal.
    fn tell(&mut self, equals: &mut Equals<'_, '_>) -> Result<(), Stopped> {
        // By member that stands for a group, how many there are and the first block.
        let mut groups = vec![(0_u32, BlockId(u64::MAX)); self.nr_now];
        for idx in 0..self.nr_now {
            let block = self.members[idx].block();
            let (nr, first) = &mut groups[self.leader(idx as u32) as usize];
            *nr += 1;
            *first = block.min(*first);
        }
        // Groups of a large class go on with what was told of them.
        for (idx, hash) in std::mem::take(&mut self.large.hashes) {
            let (nr, first) = &mut groups[idx as usize];
            let (stands, is_told) = self.large.by_hash.entry(hash).or_insert((*first, false));
            if *stands != *first {
                if !std::mem::replace(is_told, true) {
                    equals.push(*stands, *stands)?;
                }
                (*nr, *first) = (nr.saturating_add(1), *stands);
            }
            *is_told |= 1 < *nr;
        }
        for idx in 0..self.nr_now {
            let (nr, first) = groups[self.leader(idx as u32) as usize];
            if 1 < nr {
                equals.push(self.members[idx].block(), first)?;
            }
        }
        Ok(())
    }

    /// Returns the members in a range that stand for their groups.
    fn leaders(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = u32> {
        let range = range.start as u32..range.end as u32;
        range.filter(|idx| self.parent[*idx as usize] == *idx)
    }

    /// Returns the member that stands for a member's group.
    fn leader(&mut self, idx: u32) -> u32 {
        let mut at = idx;
        while self.parent[at as usize] != at {
            let above = self.parent[at as usize];
            self.parent[at as usize] = self.parent[above as usize];
            at = above;
        }
        at
    }

    fn join(&mut self, one: u32, two: u32) {
        let (one, two) = (self.leader(one), self.leader(two));
        // The earlier one stands for both.
        self.parent[one.max(two) as usize] = one.min(two);
    }
}
