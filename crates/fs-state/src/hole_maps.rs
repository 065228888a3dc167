//! Which holes of a file the kernel has in its extent map cache.
//!
//! A hole is looked up block range by block range, cached, and merged with cached neighbours
//! (`btrfs_get_extent`, fs/btrfs/inode.c; `try_merge_map`, fs/btrfs/extent_map.c). It shows:
//! punching a hole skips what it takes for one hole, and that is as long as the cache says. Items
//! need no cache here, since they are looked up exactly.

use std::collections::BTreeMap;

use crate::inline_map::InlineMap;
use crate::page_cache::CachedPages;
use crate::{FsState, InodeId, align_down, align_up};

/// Cached holes by first byte: disjoint ranges of bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct HoleMaps(BTreeMap<u64, HoleMap>);

#[derive(Clone, Copy, Debug)]
struct HoleMap {
    end: u64,
    /// The transaction in which it was made, if it waits for an fsync to log it; until then it is
    /// not merged with its neighbours.
    modified_in: Option<u64>,
    /// Came of a merge (`EXTENT_FLAG_MERGED`).
    is_merged: bool,
}

impl HoleMap {
    fn new(end: u64) -> HoleMap {
        HoleMap {
            end,
            modified_in: None,
            is_merged: false,
        }
    }
}

impl HoleMaps {
    fn covering(&self, offset: u64) -> Option<HoleMap> {
        self.0
            .range(..=offset)
            .next_back()
            .map(|(_, &map)| map)
            .filter(|map| map.end > offset)
    }

    /// Caches a map that is not modified, no byte of which is cached, merged with what it touches
    /// on both sides; returns the merged range's end. With `keeps_merged_apart` only maps with
    /// equal flags merge, and having been merged is a flag.
    fn insert(&mut self, start: u64, map: HoleMap, keeps_merged_apart: bool) -> u64 {
        let (mut from, mut map) = (start, map);
        let may_merge = |one: HoleMap, two: HoleMap| {
            one.modified_in.is_none() && (!keeps_merged_apart || one.is_merged == two.is_merged)
        };
        if let Some((&before, &other)) = self.0.range(..start).next_back()
            && other.end == start
            && may_merge(other, map)
        {
            from = before;
            map.is_merged = true;
        }
        if let Some(&other) = self.0.get(&map.end)
            && may_merge(other, map)
        {
            self.0.remove(&map.end);
            map.end = other.end;
            map.is_merged = true;
        }
        self.0.insert(from, map);
        map.end
    }

    /// Caches `start..end` as modified in the transaction, in place of what was cached there.
    fn replace(&mut self, start: u64, end: u64, transid: u64) {
        self.remove(start, end);
        self.0.insert(
            start,
            HoleMap {
                modified_in: Some(transid),
                ..HoleMap::new(end)
            },
        );
    }

    /// Forgets `start..end`; parts outside stay.
    pub(crate) fn remove(&mut self, start: u64, end: u64) {
        while let Some((&from, &map)) = self.0.range(..end).next_back()
            && map.end > start
        {
            self.0.remove(&from);
            if map.end > end {
                self.0.insert(end, map);
            }
            if from < start {
                self.0.insert(from, HoleMap { end: start, ..map });
                return;
            }
        }
    }

    /// Forgets the maps that begin in one of these pages, as releasing a page does in the
    /// transaction (`try_release_extent_mapping`); not those that were modified in it.
    pub(crate) fn release(&mut self, pages: &CachedPages, transid: u64) {
        self.0.retain(|&start, map| {
            let is_new = map.modified_in.is_some_and(|made_in| transid <= made_in);
            is_new || !pages.contains(start)
        });
    }

    /// Lets every map merge with what is cached next to it later.
    fn clear_modified(&mut self) {
        for map in self.0.values_mut() {
            map.modified_in = None;
        }
    }

    /// Merges what an fsync has logged.
    fn merge_logged(&mut self, keeps_merged_apart: bool) {
        for (start, map) in std::mem::take(&mut self.0) {
            let modified_in = None;
            self.insert(start, HoleMap { modified_in, ..map }, keeps_merged_apart);
        }
    }
}

impl FsState {
    /// Looks up the hole at the block-aligned `start` within `len` bytes, as `btrfs_get_extent`:
    /// returns where the cached hole ends, or `None` if an item covers `start`.
    pub(crate) fn hole_end(&mut self, id: InodeId, start: u64, len: u64) -> Option<u64> {
        let next_item = match self.item_at_or_behind(id, start) {
            Some((key, _)) if key <= start => {
                self.look_up_inline(id, start, InlineMap::Bare);
                return None;
            }
            Some((key, _)) => key,
            None => u64::MAX,
        };
        let keeps_merged_apart = self.behaviour.keeps_merged_apart;
        let inode = self.inode_mut(id);
        if let Some(map) = inode.hole_maps.covering(start) {
            return Some(map.end);
        }
        let next_map = inode
            .hole_maps
            .0
            .range(start..)
            .next()
            .map_or(u64::MAX, |(&from, _)| from);
        let end = start.saturating_add(len).min(next_item).min(next_map);
        Some(
            inode
                .hole_maps
                .insert(start, HoleMap::new(end), keeps_merged_apart),
        )
    }

    /// Looks up every hole of `start..end`, as reading pages or counting new delalloc does.
    pub fn look_up_holes(&mut self, id: InodeId, start: u64, end: u64) {
        self.walk_holes(id, start, end, |_, _, _| {});
    }

    /// Makes every hole of `start..end` a modified map, as an expanding truncate and a punch do.
    pub(crate) fn modify_holes(&mut self, id: InodeId, start: u64, end: u64) {
        let transid = self.transid;
        self.walk_holes(id, start, end, |maps, start, end| {
            maps.replace(start, end, transid);
        });
    }

    /// What an fsync does to the maps of an inode that is not committed: a fast one logs them and
    /// merges them, a full one logs items and only forgets which maps are new.
    pub(crate) fn log_hole_maps(&mut self, id: InodeId) {
        let transid = self.transid;
        let keeps_merged_apart = self.behaviour.keeps_merged_apart;
        let inode = self.inode_mut(id);
        if inode.last_trans != transid {
            return;
        }
        match std::mem::take(&mut inode.needs_full_sync) {
            true => inode.hole_maps.clear_modified(),
            false => inode.hole_maps.merge_logged(keeps_merged_apart),
        }
    }

    fn walk_holes(
        &mut self,
        id: InodeId,
        start: u64,
        end: u64,
        found: impl Fn(&mut HoleMaps, u64, u64),
    ) {
        let end = align_up(end);
        let mut at = align_down(start);
        while at < end {
            let covering = self.item_at_or_behind(id, at).filter(|(key, _)| *key <= at);
            if let Some((key, item)) = covering {
                let end = align_up(item.end(key));
                self.look_up_inline(id, at, InlineMap::Bare);
                at = end;
                continue;
            }
            let hole_end = self.hole_end(id, at, end - at).expect("no item covers it");
            found(&mut self.inode_mut(id).hole_maps, at, hole_end.min(end));
            at = hole_end;
        }
    }
}
