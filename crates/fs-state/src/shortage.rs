//! Where space is short: what a kernel did there is told by whoever saw it, for it cannot be
//! computed from operations.
//!
//! An operation reserves space at certain places, in the kernel's order. At each of them a kernel
//! that finds none writes back dirty data and commits, which makes room, or gives up with
//! `ENOSPC` (`btrfs_reserve_data_bytes` and `btrfs_reserve_metadata_bytes`, fs/btrfs/space-info.c).
//! Workers beside it write back, too. How much that is, and where extents are cut because free
//! space is in pieces, is read from what files look like afterwards: [`Shown`].

mod shown;

use std::collections::{BTreeMap, BTreeSet};

use uapi::Errno;

use crate::inode::Unwritten;
use crate::ordered::OrderedKind;
use crate::writeback::Stretch;
use crate::{BLOCK, FsState, InodeId, SliceKind, align_up};
use shown::Got;
pub use shown::Shown;

/// What a kernel did in one operation where space was short. Reservations are numbered from 0 in
/// their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// The reservations before which dirty data was written back.
    pub reclaims: BTreeSet<u32>,
    /// The reservations that found no space.
    pub fails: BTreeSet<u32>,
    /// The page of a write, by file offset, that was reserved and became dirty twice: copying stops
    /// where memory of the caller is not there, and then goes on (`copy_one_range`,
    /// fs/btrfs/file.c).
    pub again: Option<u64>,
    /// What files look like after the operation, which tells what was written back before those of
    /// `reclaims`, and where extents were cut. `None` is everything, and nowhere.
    pub shown: Option<BTreeMap<InodeId, Shown>>,
}

/// What a reservation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// For changing trees.
    Trees,
    /// For the page at this file offset, bytes.
    Page(u64),
}

/// How an operation went where space was short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// The reservations that were made.
    pub made: Vec<Reservation>,
    /// Whether anything was written back to make room.
    pub has_reclaimed: bool,
    /// Whether an extent was cut because free space is in pieces.
    pub has_cut: bool,
}

/// A shortage on its way through an operation. Of what is shown, the extents that were allocated
/// are no longer there.
#[derive(Clone, Debug)]
pub(crate) struct Short {
    shortage: Shortage,
    /// The extents that are shown, allocated or not.
    extents: BTreeMap<InodeId, BTreeSet<(u64, u64)>>,
    /// What was dirty when the operation began, (start, end), touching ranges joined.
    old_dirty: BTreeMap<InodeId, Vec<(u64, u64)>>,
    course: Course,
}

/// Returns ranges that come in order, (start, end), with touching ones joined.
pub fn joined(ranges: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// Returns whether one of the ranges overlaps `start..end`.
fn overlaps(ranges: &[(u64, u64)], start: u64, end: u64) -> bool {
    ranges.iter().any(|(from, to)| *from < end && start < *to)
}

impl FsState {
    /// From here on space is short as told, until [`FsState::end_shortage`].
    pub fn begin_shortage(&mut self, shortage: Shortage) {
        let shown = shortage.shown.iter().flatten();
        let extents = shown.map(|(id, shown)| (*id, shown.extents.clone()));
        let dirty = self.dirty_inodes.iter();
        let old_dirty = dirty.map(|&id| (id, self.unwritten(id))).collect();
        self.short = Some(Box::new(Short {
            extents: extents.collect(),
            shortage,
            old_dirty,
            course: Course::default(),
        }));
        self.cut_ordered();
    }

    /// Returns how it went since the shortage began; there is space again. What else is shown to
    /// have been written back was so by now; of a range that was dirty before, what is not shown to
    /// be dirty, for a worker may have begun when there was less of it.
    pub fn end_shortage(&mut self) -> Course {
        let shown = self.short.as_ref().map(|short| &short.shortage.shown);
        if matches!(shown, Some(Some(_))) {
            let unwritten = self.all_unwritten().into_iter();
            let parts = unwritten.flat_map(|(id, range)| {
                let clean = self.clean_parts(id, range).into_iter();
                clean.map(move |part| (id, part))
            });
            let parts = parts.collect();
            self.write_shown_of(parts);
        }
        self.short
            .take()
            .map_or_else(Course::default, |short| short.course)
    }

    /// Reserves space. A kernel reserves at the begin of an operation before it asks what the
    /// operation is about, so the caller does.
    ///
    /// # Errors
    /// `ENOSPC` where a kernel found none.
    pub fn reserve(&mut self, what: Reservation) -> Result<(), Errno> {
        let Some(short) = &mut self.short else {
            return Ok(());
        };
        let nth = u32::try_from(short.course.made.len()).expect("fewer than 2^32 reservations");
        short.course.made.push(what);
        let fails = short.shortage.fails.contains(&nth);
        if short.shortage.reclaims.contains(&nth) {
            self.reclaim();
        }
        match fails {
            true => Err(Errno::ENOSPC),
            false => Ok(()),
        }
    }

    /// Reserves space for the pages of `start..end` as far as nothing else comes between them;
    /// returns to where.
    ///
    /// # Errors
    /// `ENOSPC` if there is none for the first page.
    pub(crate) fn reserve_pages(&mut self, start: u64, end: u64) -> Result<u64, Errno> {
        self.reserve(Reservation::Page(start))?;
        if self.short.is_none() {
            return Ok(end);
        }
        let mut at = start + BLOCK;
        while at < end && !self.is_short_next() && !self.is_page_again(at - BLOCK) {
            self.reserve(Reservation::Page(at))?;
            at += BLOCK;
        }
        Ok(at.min(end))
    }

    /// Returns whether a write reserves a page once more.
    fn is_page_again(&self, page: u64) -> bool {
        let short = self.short.as_ref();
        short.is_some_and(|short| short.shortage.again == Some(page))
    }

    /// Returns from where on a write goes on that came to `end`: from there, or once more from the
    /// page before it.
    pub(crate) fn next_page(&mut self, end: u64) -> u64 {
        match &mut self.short {
            Some(short) if end.checked_sub(BLOCK) == short.shortage.again => {
                short.shortage.again = None;
                end - BLOCK
            }
            _ => end,
        }
    }

    /// Returns whether the next reservation meets a shortage.
    fn is_short_next(&self) -> bool {
        self.short.as_ref().is_some_and(|short| {
            let next = u32::try_from(short.course.made.len()).expect("fewer than 2^32");
            short.shortage.reclaims.contains(&next) || short.shortage.fails.contains(&next)
        })
    }

    /// Makes room: writes back. A kernel that finds enough by that does not commit, and where one
    /// did, that shows: what delayed references were in the way of is written in place.
    fn reclaim(&mut self) {
        self.write_shown();
        self.evict_orphans();
    }

    /// Writes back the dirty data of which that is shown.
    fn write_shown(&mut self) {
        self.write_shown_of(self.all_unwritten());
    }

    /// Returns the unwritten ranges of all files.
    fn all_unwritten(&self) -> Vec<(InodeId, Unwritten)> {
        let unwritten = self.dirty_inodes.iter().flat_map(|&id| {
            let ranges = self.inode(id).unwritten_ranges().into_iter();
            ranges.map(move |range| (id, range))
        });
        unwritten.collect()
    }

    /// Returns the parts of an unwritten range that are not shown to be dirty, if it was dirty when
    /// the operation began and nothing decided yet where it goes; else the range.
    fn clean_parts(&self, id: InodeId, range: Unwritten) -> Vec<Unwritten> {
        let Some(shown) = self.shown(id).filter(|_| !range.is_ordered) else {
            return vec![range];
        };
        let mut parts = Vec::new();
        let mut at = range.start;
        let nothing = (range.end, range.end);
        for &(from, to) in shown.dirty.iter().chain([&nothing]) {
            let (start, end) = (at, from.min(range.end));
            if start < end {
                parts.push(Unwritten {
                    start,
                    end,
                    ..range
                });
            }
            at = at.max(to);
        }
        match parts.iter().all(|part| self.was_dirty(id, *part)) {
            true => parts,
            false => vec![range],
        }
    }

    /// Returns whether all of a range was dirty when the operation began.
    fn was_dirty(&self, id: InodeId, range: Unwritten) -> bool {
        let old_dirty = self
            .short
            .as_ref()
            .and_then(|short| short.old_dirty.get(&id));
        let is_around = |&(start, end): &(u64, u64)| start <= range.start && range.end <= end;
        old_dirty.is_some_and(|ranges| ranges.iter().any(is_around))
    }

    /// Writes back those of the unwritten ranges of which that is shown.
    fn write_shown_of(&mut self, unwritten: Vec<(InodeId, Unwritten)>) {
        let written: Vec<_> = unwritten
            .into_iter()
            .filter(|(id, range)| self.is_shown_written(*id, *range))
            .collect();
        // As in a sync, every decision is taken before the first ordered extent completes.
        for (id, range) in &written {
            self.start_writeback_within(*id, range.start, range.end);
        }
        for (id, range) in &written {
            self.finish_ordered_range(*id, range.start, range.end);
        }
        if let Some(short) = &mut self.short {
            short.course.has_reclaimed |= !written.is_empty();
        }
    }

    /// Returns whether what is shown of a file tells that an unwritten range was written back as it
    /// is now.
    fn is_shown_written(&self, id: InodeId, range: Unwritten) -> bool {
        let (start, end) = (range.start, range.end);
        let shown = self.short.as_ref().map(|short| &short.shortage.shown);
        let Some(Some(shown)) = shown else {
            return true;
        };
        let Some(shown) = shown.get(&id) else {
            return false;
        };
        if range.is_ordered {
            return !overlaps(&shown.dirty, start, end);
        }
        if shown.is_inline && self.fits_inline(id, start, end - start) {
            return true;
        }
        let mut is_written = false;
        for stretch in self.stretches(id, start, end) {
            let (from, to) = (stretch.start, stretch.end);
            match stretch.in_place {
                Some(_) if overlaps(&shown.prealloc, from, to) => return false,
                Some(_) => is_written |= !overlaps(&shown.dirty, from, to),
                None => match shown.got_within(from, to) {
                    Got::Across => return false,
                    Got::Inside => is_written = true,
                    // What was written back twice is seen once.
                    Got::None => {
                        is_written |=
                            !overlaps(&shown.dirty, from, to) && self.is_shown_to_get(id, from, to);
                    }
                },
            }
        }
        is_written
    }

    /// Returns whether extents of a file are shown within `start..end`, allocated or not.
    fn is_shown_to_get(&self, id: InodeId, start: u64, end: u64) -> bool {
        let extents = self.short.as_ref().and_then(|short| short.extents.get(&id));
        extents.is_some_and(|extents| {
            let mut within = extents.range((start, 0)..(end, 0));
            within.any(|(_, to)| *to <= end)
        })
    }

    /// Returns the ranges of a file that no item has yet, (start, end) in bytes, touching ones
    /// joined: its dirty pages, as a kernel counts them.
    pub fn unwritten(&self, id: InodeId) -> Vec<(u64, u64)> {
        let ranges = self.inode(id).unwritten_ranges();
        joined(ranges.into_iter().map(|range| (range.start, range.end)))
    }

    /// Returns the pieces into which the allocator cuts `start..end` of a file, in order.
    pub(crate) fn allocated_pieces(
        &mut self,
        id: InodeId,
        start: u64,
        end: u64,
    ) -> Vec<(u64, u64)> {
        let whole = vec![(start, end)];
        let Some(short) = &mut self.short else {
            return whole;
        };
        let shown = short.shortage.shown.as_mut();
        let Some(shown) = shown.and_then(|shown| shown.get_mut(&id)) else {
            return whole;
        };
        let mut pieces = Vec::new();
        let mut at = start;
        while at < end {
            let to = shown.take_from(at, end);
            // What is not seen any more ends where the next one begins, for all that matters.
            let to = to.or_else(|| shown.next_start(at, end)).unwrap_or(end);
            pieces.push((at, to));
            at = to;
        }
        short.course.has_cut |= 1 < pieces.len();
        pieces
    }

    /// Returns whether a part of a dirty range that could be written in place is seen to be. What
    /// was written over since does not show, so some of it is enough.
    pub(crate) fn is_shown_in_place(&self, id: InodeId, start: u64, end: u64) -> bool {
        self.shown(id).is_some_and(|shown| {
            !overlaps(&shown.dirty, start, end) && overlaps(&shown.in_place, start, end)
        })
    }

    /// Returns what a file looks like after the operation under way, as far as that is known.
    fn shown(&self, id: InodeId) -> Option<&Shown> {
        let shown = self.short.as_ref()?.shortage.shown.as_ref()?;
        shown.get(&id)
    }

    /// Returns whether a file that fits into the tree is seen to have got an extent instead,
    /// for want of space in the tree.
    pub(crate) fn is_kept_out_of_tree(&self, id: InodeId) -> bool {
        self.shown(id)
            .is_some_and(|shown| !shown.is_inline && shown.extents.contains(&(0, BLOCK)))
    }

    /// Cuts the ordered extents that nobody waited for yet where they are seen to have been cut.
    fn cut_ordered(&mut self) {
        let dirty: Vec<InodeId> = self.dirty_inodes.iter().copied().collect();
        for id in dirty {
            let ordered = self.inode(id).ordered.iter();
            let fresh = ordered.filter(|(_, ordered)| ordered.kind == OrderedKind::Cow);
            let ranges: Vec<(u64, u64)> = fresh
                .map(|(&start, ordered)| (start, start + ordered.content.len()))
                .collect();
            for (start, end) in ranges {
                let mut pieces = Vec::new();
                for stretch in self.shown_stretches(id, start, end) {
                    if stretch.in_place.is_some() {
                        pieces.push(stretch);
                        continue;
                    }
                    let allocated = self.allocated_pieces(id, stretch.start, stretch.end);
                    pieces.extend(allocated.into_iter().map(Stretch::fresh));
                }
                if 1 < pieces.len() || pieces[0].in_place.is_some() {
                    self.cut_ordered_into(id, start, &pieces);
                }
            }
        }
    }

    /// Returns the stretches of an ordered extent of fresh data, `start..end`. A part of it is in
    /// preallocated space if that is seen to have been used: a kernel may have run early the
    /// delayed references that were in the way when the extent was made.
    fn shown_stretches(&self, id: InodeId, start: u64, end: u64) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let (mut at, mut search) = (start, start);
        while search < end
            && let Some((key, item)) = self.item_at_or_behind(id, search)
            && key < end
        {
            let (from, to) = (key.max(start), align_up(item.end(key)).min(end));
            search = to;
            let used = item.slice().filter(|slice| {
                slice.kind == SliceKind::Prealloc
                    && self.may_nocow(id, key, slice, from, to)
                    && !self.keeps_cross_ref(id, key, slice)
                    && self.is_shown_in_place(id, from, to)
                    && (to == end || self.is_shown_to_begin(id, to))
            });
            if let Some(slice) = used {
                if at < from {
                    stretches.push(Stretch::fresh((at, from)));
                }
                stretches.push(Stretch {
                    start: from,
                    end: to,
                    in_place: Some((slice.extent, slice.offset + (from - key))),
                });
                at = to;
            }
        }
        if at < end {
            stretches.push(Stretch::fresh((at, end)));
        }
        stretches
    }

    /// Returns whether a new extent is seen to begin at `start`.
    fn is_shown_to_begin(&self, id: InodeId, start: u64) -> bool {
        self.shown(id).is_some_and(|shown| {
            let mut extents = shown.extents.range((start, 0)..=(start, u64::MAX));
            extents.next().is_some()
        })
    }
}
