//! Where space is short: what a kernel did there is told by whoever saw it, for it cannot be
//! computed from operations.
//!
//! An operation reserves space at certain places, in the kernel's order. At each of them a kernel
//! that finds none writes back all dirty data and commits, which makes room, or gives up with
//! `ENOSPC` (`btrfs_reserve_data_bytes` and `btrfs_reserve_metadata_bytes`, fs/btrfs/space-info.c).
//! Where free space is in pieces, so are the extents that are allocated.

use std::collections::{BTreeMap, BTreeSet};

use uapi::Errno;

use crate::{BLOCK, FsState, InodeId};

/// What a kernel did in one operation where space was short. Reservations are numbered from 0 in
/// their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// The reservations before which dirty data was written back.
    pub reclaims: BTreeSet<u32>,
    /// Whose data that was; `None` is everybody's.
    pub reclaims_of: Option<BTreeSet<InodeId>>,
    /// The reservations that found no space.
    pub fails: BTreeSet<u32>,
    /// Offsets at which extents of a file begin or end, bytes: where the allocator cut.
    pub cuts: BTreeMap<InodeId, BTreeSet<u64>>,
}

/// What a reservation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// For changing trees.
    Trees,
    /// For the page at this file offset, bytes.
    Page(u64),
}

/// A shortage on its way through an operation.
#[derive(Clone, Debug)]
pub(crate) struct Short {
    shortage: Shortage,
    /// The reservations so far.
    made: Vec<Reservation>,
}

impl FsState {
    /// From here on space is short as told, until [`FsState::end_shortage`].
    pub fn begin_shortage(&mut self, shortage: Shortage) {
        let made = Vec::new();
        self.short = Some(Box::new(Short { shortage, made }));
    }

    /// Returns the reservations since the shortage began; there is space again.
    pub fn end_shortage(&mut self) -> Vec<Reservation> {
        self.short.take().map_or_else(Vec::new, |short| short.made)
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
        let nth = u32::try_from(short.made.len()).expect("fewer than 2^32 reservations");
        short.made.push(what);
        let fails = short.shortage.fails.contains(&nth);
        if short.shortage.reclaims.contains(&nth) {
            let of = short.shortage.reclaims_of.clone();
            self.reclaim(of.as_ref());
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
        while at < end && !self.is_short_next() {
            self.reserve(Reservation::Page(at))?;
            at += BLOCK;
        }
        Ok(at.min(end))
    }

    /// Returns whether the next reservation meets a shortage.
    fn is_short_next(&self) -> bool {
        self.short.as_ref().is_some_and(|short| {
            let next = u32::try_from(short.made.len()).expect("fewer than 2^32 reservations");
            short.shortage.reclaims.contains(&next) || short.shortage.fails.contains(&next)
        })
    }

    /// Writes back dirty data, of everybody or of some, and commits.
    fn reclaim(&mut self, of: Option<&BTreeSet<InodeId>>) {
        let is_meant = |id: &InodeId| of.is_none_or(|of| of.contains(id));
        let dirty: Vec<InodeId> = self.dirty_inodes.iter().copied().filter(is_meant).collect();
        self.flush_all(&dirty);
        self.evict_orphans();
        self.commit();
    }

    /// Returns the ranges of a file that no item has yet, (start, end) in bytes, touching ones
    /// joined: its dirty pages, as a kernel counts them.
    pub fn unwritten(&self, id: InodeId) -> Vec<(u64, u64)> {
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for range in self.inode(id).unwritten_ranges() {
            match joined.last_mut() {
                Some(last) if last.1 == range.start => last.1 = range.end,
                _ => joined.push((range.start, range.end)),
            }
        }
        joined
    }

    /// Returns the pieces into which the allocator cuts `start..end` of a file, in order.
    pub(crate) fn allocated_pieces(&self, id: InodeId, start: u64, end: u64) -> Vec<(u64, u64)> {
        let cuts = self
            .short
            .as_ref()
            .and_then(|short| short.shortage.cuts.get(&id));
        let inside = cuts.into_iter().flat_map(|cuts| cuts.range(start + 1..end));
        let mut pieces = Vec::new();
        let mut from = start;
        for &cut in inside {
            pieces.push((from, cut));
            from = cut;
        }
        pieces.push((from, end));
        pieces
    }
}
