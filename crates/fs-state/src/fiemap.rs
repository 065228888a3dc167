//! `FIEMAP` without a sync: items as they are, delalloc shown where no written item lies.

use crate::inode::Unwritten;
use crate::{BLOCK, FileExtent, FsState, InodeId, Sharing, SliceKind, align_up};

mod from_maps;

/// A piece of a file's map. Offsets and lengths are bytes, block multiples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPiece {
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Virtual address of its first byte; `None` for delalloc and inline pieces.
    pub bytenr: Option<u64>,
    /// Not allocated yet.
    pub is_delalloc: bool,
    /// Preallocated.
    pub is_unwritten: bool,
    /// Whether it has more than one back reference.
    pub sharing: Sharing,
    /// In the tree.
    pub is_inline: bool,
    /// Compressed: the address counts unpacked bytes from where the extent begins.
    pub is_encoded: bool,
}

/// What is shown as delalloc where no written item lies.
#[derive(Clone, Copy)]
struct Delalloc<'a> {
    ranges: &'a [Unwritten],
    joins_ordered: bool,
}

impl<'a> Delalloc<'a> {
    /// Returns the ranges within `start..end`, in file order.
    fn within(self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + 'a {
        let first = self.ranges.partition_point(|range| range.end <= start);
        let mut ranges = self.ranges[first..]
            .iter()
            .take_while(move |range| range.start < end);
        std::iter::from_fn(move || {
            let first = ranges.next()?;
            let mut last = first;
            if self.joins_ordered && first.is_ordered {
                let next_dirty = ranges.clone().position(|range| !range.is_ordered);
                last = next_dirty.and_then(|idx| ranges.nth(idx)).unwrap_or(first);
            }
            let (from, to) = (first.start.max(start), last.end.min(end));
            // Between two items that touch there is no hole.
            (from < to).then_some((from, to))
        })
    }
}

impl FsState {
    /// Returns the map of a file in file order, holes left out.
    ///
    /// Cite: `extent_fiemap`, fs/btrfs/fiemap.c.
    pub fn fiemap(&mut self, id: InodeId) -> Vec<MapPiece> {
        if self.behaviour.maps_from_cache {
            return self.fiemap_from_maps(id);
        }
        self.walk_for_fiemap(id);
        let inode = self.inode(id);
        let unwritten = Delalloc {
            ranges: &inode.unwritten_ranges(),
            joins_ordered: self.behaviour.joins_ordered,
        };
        let mut map = Vec::new();
        let mut at = 0;
        for (key, item) in self.items(id) {
            push_delalloc(unwritten, at, key, &mut map);
            at = align_up(item.end(key));
            match item {
                FileExtent::Inline(inline) => map.push(MapPiece {
                    offset: key,
                    len: BLOCK,
                    bytenr: None,
                    is_delalloc: false,
                    is_unwritten: false,
                    sharing: Sharing::default(),
                    is_inline: true,
                    is_encoded: inline.compressed.is_some(),
                }),
                FileExtent::Regular(slice) => {
                    let extent = self.extents.get(slice.extent);
                    let piece = MapPiece {
                        offset: key,
                        len: slice.len,
                        bytenr: Some(extent.bytenr() + slice.offset),
                        is_delalloc: false,
                        is_unwritten: slice.kind == SliceKind::Prealloc,
                        sharing: self.sharing(slice.extent),
                        is_inline: false,
                        is_encoded: extent.is_compressed(),
                    };
                    if piece.is_unwritten {
                        push_prealloc(unwritten, piece, &mut map);
                    } else {
                        push(piece, &mut map);
                    }
                }
            }
        }
        push_delalloc(unwritten, at, u64::MAX, &mut map);
        map
    }
}

impl FsState {
    /// Asking whether extents are shared walks their back references.
    pub(crate) fn walk_for_fiemap(&mut self, id: InodeId) {
        let has_slices = self.items(id).any(|(_, item)| item.slice().is_some());
        if has_slices {
            self.extents.begin_walk();
        }
    }
}

/// Appends a piece, merged with the last one if it continues it.
fn push(piece: MapPiece, map: &mut Vec<MapPiece>) {
    debug_assert!(piece.len > 0, "a piece of a map has a length");
    if let Some(last) = map.last_mut() {
        let continues = last.offset + last.len == piece.offset
            && last.bytenr.map(|bytenr| bytenr + last.len) == piece.bytenr
            && last.is_delalloc == piece.is_delalloc
            && last.is_unwritten == piece.is_unwritten
            && last.sharing == piece.sharing
            && last.is_encoded == piece.is_encoded
            && !last.is_inline;
        if continues {
            last.len += piece.len;
            return;
        }
    }
    map.push(piece);
}

/// Appends the dirty ranges of a hole.
fn push_delalloc(unwritten: Delalloc<'_>, start: u64, end: u64, map: &mut Vec<MapPiece>) {
    for (from, to) in unwritten.within(start, end) {
        push(
            MapPiece {
                offset: from,
                len: to - from,
                bytenr: None,
                is_delalloc: true,
                is_unwritten: false,
                sharing: Sharing::default(),
                is_inline: false,
                is_encoded: false,
            },
            map,
        );
    }
}

/// Appends a preallocated piece with the dirty ranges over it shown as delalloc.
fn push_prealloc(unwritten: Delalloc<'_>, piece: MapPiece, map: &mut Vec<MapPiece>) {
    let end = piece.offset + piece.len;
    let bytenr = piece.bytenr.unwrap_or_default();
    let part = |from: u64, to: u64| MapPiece {
        offset: from,
        len: to - from,
        bytenr: Some(bytenr + (from - piece.offset)),
        ..piece
    };
    let mut at = piece.offset;
    for (from, to) in unwritten.within(piece.offset, end) {
        if from > at {
            push(part(at, from), map);
        }
        push_delalloc(unwritten, from, to, map);
        at = to;
    }
    if at < end {
        push(part(at, end), map);
    }
}
