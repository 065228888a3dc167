//! `FIEMAP` as it was before 6.1: drawn from the extent map cache, not from the items.
//!
//! It looked for delalloc only where it met a hole or a preallocated extent, but then took all of
//! the delalloc, over whatever items lie behind the hole. Maps of the same kind that touch on disk
//! are merged in the cache once an fsync has logged them; that is not modelled.

use super::{MapPiece, push};
use crate::inline_map::InlineMap;
use crate::{ExtentId, FileExtent, FsState, InodeId, Sharing, SliceKind, align_up};

/// An extent map: what a range of a file is.
#[derive(Clone, Copy)]
struct ExtentMap {
    start: u64,
    end: u64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Hole,
    Delalloc,
    Inline { is_encoded: bool },
    Data(Storage),
}

/// Where the first byte of a map is on disk.
#[derive(Clone, Copy)]
struct Storage {
    extent: ExtentId,
    /// Bytes into the extent.
    offset: u64,
    is_unwritten: bool,
    /// Whether the map knows where its extent begins.
    knows_extent: bool,
}

impl FsState {
    /// Returns the map of a file in file order, holes left out.
    ///
    /// Cite: `extent_fiemap`, fs/btrfs/extent_io.c, before 6.1.
    pub(super) fn fiemap_from_maps(&mut self, id: InodeId) -> Vec<MapPiece> {
        let size = self.inode(id).size;
        // Behind EOF only preallocated extents can be: the last one that begins there.
        let last_item = self.item_before(id, u64::MAX).map(|(key, _)| key);
        let last = last_item.filter(|&key| key >= size);
        let search_end = last.map_or(size, |key| key + 1);
        let mut has_walked = false;
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(map) = self.next_map(id, at, search_end) {
            let start = map.start.max(at);
            at = map.end;
            if matches!(map.what, What::Data(_)) && !std::mem::replace(&mut has_walked, true) {
                self.extents.begin_walk();
            }
            push(self.piece(id, map, start), &mut pieces);
            if last.map_or(size <= map.end, |last| last <= start) {
                break;
            }
        }
        pieces
    }

    /// Returns the first map at `at` or behind it that is no hole (`get_extent_skip_holes`).
    fn next_map(&mut self, id: InodeId, mut at: u64, end: u64) -> Option<ExtentMap> {
        while at < end {
            let map = self.map_or_delalloc(id, at, align_up(end - at));
            if !matches!(map.what, What::Hole) {
                return Some(map);
            }
            at = map.end;
        }
        None
    }

    /// Returns the map at `at`, or the delalloc that begins there if nothing written is there
    /// (`btrfs_get_extent_fiemap`).
    fn map_or_delalloc(&mut self, id: InodeId, at: u64, len: u64) -> ExtentMap {
        let map = self.extent_map(id, at, len);
        let what = match map.what {
            What::Hole => What::Hole,
            // The storage stays that of the whole map, wherever the part of it begins.
            What::Data(storage) if storage.is_unwritten => What::Data(Storage {
                knows_extent: storage.offset == 0,
                ..storage
            }),
            _ => return map,
        };
        let end = at + len;
        let mut dirty = self.inode(id).dirty_ranges();
        let next = dirty.find(|(start, len)| start + len > at);
        let Some((from, dirty_len)) = next.filter(|(start, _)| *start < end) else {
            return map;
        };
        let start = map.start.max(at);
        if from > start {
            return ExtentMap {
                start,
                end: map.end.min(from),
                what,
            };
        }
        ExtentMap {
            start: at,
            end: end.min(from + dirty_len),
            what: What::Delalloc,
        }
    }

    /// Returns the map that covers `at`, looked up within `len` bytes (`btrfs_get_extent`). Data
    /// under way has a map already.
    fn extent_map(&mut self, id: InodeId, at: u64, len: u64) -> ExtentMap {
        self.look_up_inline(id, at, InlineMap::Bare);
        let ordered = &self.inode(id).ordered;
        let ordered_end = |(&start, ordered): (&u64, &crate::ordered::OrderedExtent)| {
            start + ordered.content.len()
        };
        let before = ordered.range(..=at).next_back();
        let from = before.map_or(0, ordered_end);
        if let Some((&start, ordered)) = before
            && from > at
        {
            return ExtentMap {
                start,
                end: from,
                what: What::Data(Storage {
                    extent: ordered.extent,
                    offset: ordered.offset,
                    is_unwritten: false,
                    knows_extent: true,
                }),
            };
        }
        let to = ordered.range(at..).next().map_or(u64::MAX, |(&key, _)| key);
        let (start, end, what) = match self.item_at_or_behind(id, at) {
            Some((key, FileExtent::Inline(inline))) if key <= at => {
                let is_told = self.inode(id).inline_map == Some(InlineMap::Full);
                let is_encoded = is_told && inline.compressed.is_some();
                (0, crate::BLOCK, What::Inline { is_encoded })
            }
            Some((key, FileExtent::Regular(slice))) if key <= at => {
                let start = key.max(from);
                let storage = Storage {
                    extent: slice.extent,
                    offset: slice.offset + (start - key),
                    is_unwritten: slice.kind == SliceKind::Prealloc,
                    knows_extent: true,
                };
                (start, key + slice.len, What::Data(storage))
            }
            _ => {
                let end = self.hole_end(id, at, len).expect("no item covers it");
                (at, end, What::Hole)
            }
        };
        let end = end.min(to);
        ExtentMap { start, end, what }
    }

    /// Returns what is told of a map from `start` on.
    fn piece(&self, id: InodeId, map: ExtentMap, start: u64) -> MapPiece {
        let piece = MapPiece {
            offset: start,
            len: map.end - start,
            bytenr: None,
            is_delalloc: matches!(map.what, What::Delalloc),
            is_unwritten: false,
            sharing: Sharing::default(),
            is_inline: matches!(map.what, What::Inline { .. }),
            is_encoded: matches!(map.what, What::Inline { is_encoded: true }),
        };
        let What::Data(storage) = map.what else {
            return piece;
        };
        let extent = self.extents.get(storage.extent);
        let mut sharing = self.sharing(storage.extent);
        sharing.is_shared |= self.behaviour.shares_by_delayed
            && self
                .extents
                .has_delayed_ref_of_other(storage.extent, self.inode(id).ino);
        if !storage.knows_extent {
            sharing = Sharing::default();
        }
        if extent.is_compressed() && 0 < storage.offset {
            // What is asked about lies so many bytes before the extent: nothing begins there, or
            // another extent does, where the allocator put it there.
            sharing = Sharing {
                is_shared: false,
                is_open: true,
            };
        }
        MapPiece {
            bytenr: Some(extent.bytenr() + storage.offset + (start - map.start)),
            is_unwritten: storage.is_unwritten,
            sharing,
            is_encoded: extent.is_compressed(),
            ..piece
        }
    }
}
