//! Which pages of a file are in the page cache.
//!
//! Only reading a page that is not there looks its extent up, which is what [`crate::hole_maps`]
//! remembers. What the pages contain is told by items and dirty pages.

use std::collections::BTreeMap;

use crate::inline_map::InlineMap;
use crate::{BLOCK, FsState, InodeId, align_down, align_up};

/// More than is read of a hole page by page, bytes.
const READ_BY_PAGE_LEN_MAX: u64 = 64 << 20;

/// Cached pages by first byte: disjoint, not touching ranges of bytes, start to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct CachedPages(BTreeMap<u64, u64>);

impl CachedPages {
    /// Adds `start..end`.
    pub(crate) fn add(&mut self, start: u64, end: u64) {
        let mut merged = (start, end);
        while let Some((&from, &to)) = self.0.range(..=merged.1).next_back()
            && to >= merged.0
        {
            self.0.remove(&from);
            merged = (merged.0.min(from), merged.1.max(to));
        }
        if merged.0 < merged.1 {
            self.0.insert(merged.0, merged.1);
        }
    }

    /// Drops `start..end`.
    pub(crate) fn drop(&mut self, start: u64, end: u64) {
        while let Some((&from, &to)) = self.0.range(..end).next_back()
            && to > start
        {
            self.0.remove(&from);
            if to > end {
                self.0.insert(end, to);
            }
            if from < start {
                self.0.insert(from, start);
                return;
            }
        }
    }

    /// Returns the cached pages of `start..end`.
    fn within(&self, start: u64, end: u64) -> CachedPages {
        let mut pages = self.clone();
        pages.drop(0, start);
        pages.drop(end, u64::MAX);
        pages
    }

    /// Returns whether no page is cached.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the page at `offset` is cached.
    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.covers(offset, offset + 1)
    }

    /// Returns whether all of `start..end` is cached.
    fn covers(&self, start: u64, end: u64) -> bool {
        self.0
            .range(..=start)
            .next_back()
            .is_some_and(|(_, &to)| end <= to)
    }

    /// Returns what of `start..end` is not cached.
    fn gaps(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut at = start;
        let before = self.0.range(..=start).next_back();
        let inside = self
            .0
            .range(start.saturating_add(1)..end.max(start.saturating_add(1)));
        for (&from, &to) in before.into_iter().chain(inside) {
            if from > at {
                gaps.push((at, from));
            }
            at = at.max(to);
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }
}

impl FsState {
    /// Reads the pages of `start..end` into the page cache, as far as the file reaches.
    pub fn read_pages(&mut self, id: InodeId, start: u64, end: u64) {
        let end = align_up(end.min(self.inode(id).size));
        let start = align_down(start);
        if self.inode(id).cached.covers(start, end) {
            return;
        }
        for (from, to) in self.inode(id).cached.gaps(start, end) {
            self.look_up_inline(id, from, InlineMap::Full);
            // One look-up for each page.
            if self.behaviour.keeps_merged_apart && to - from <= READ_BY_PAGE_LEN_MAX {
                (from..to)
                    .step_by(BLOCK as usize)
                    .for_each(|page| self.look_up_holes(id, page, page + BLOCK));
            } else {
                self.look_up_holes(id, from, to);
            }
        }
        if start < end {
            self.inode_mut(id).cached.add(start, end);
        }
    }

    /// Drops the clean pages of `start..end` from the page cache as `posix_fadvise(2)` and a direct
    /// write do: extent maps go with them.
    pub(crate) fn release_pages(&mut self, id: InodeId, start: u64, end: u64) {
        let transid = self.transid;
        let releases_maps = self.behaviour.releases_maps;
        let inode = self.inode_mut(id);
        let pages = inode.cached.within(align_down(start), align_up(end));
        if releases_maps && !pages.is_empty() {
            inode.hole_maps.release(&pages, transid);
            inode.needs_full_sync = true;
        }
        self.drop_pages(id, start, end);
    }

    /// Drops the clean pages of `start..end` from the page cache, as a clone does to its target.
    pub fn drop_pages(&mut self, id: InodeId, start: u64, end: u64) {
        self.inode_mut(id)
            .cached
            .drop(align_down(start), align_up(end));
    }
}
