//! Ordered extents: data on its way to disk, its place decided, its items not changed yet.
//!
//! Most complete within the operation that started them. One that lies behind the range that was
//! flushed waits: its pages are still dirty, nobody has submitted them (fs/btrfs/ordered-data.c).

use data::Content;

use crate::writeback::Stretch;
use crate::{ExtentId, FsState, InodeId, SliceKind, align_up};

/// An ordered extent; its file offset is its key.
#[derive(Clone, Debug)]
pub(crate) struct OrderedExtent {
    /// Where it goes.
    pub(crate) extent: ExtentId,
    /// First byte within the extent.
    pub(crate) offset: u64,
    /// What is written.
    pub(crate) content: Content,
    pub(crate) kind: OrderedKind,
    /// Whether it was sent off by itself, as a worker does that compresses: it completes though
    /// nobody waits for it.
    pub(crate) is_submitted: bool,
}

/// What completion does to the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderedKind {
    /// A fresh extent takes the place of what was there.
    Cow,
    /// The bytes go where a preallocated or NOCOW item says already.
    Nocow,
}

impl FsState {
    /// Completes the ordered extents that overlap `start..end`, in file order.
    pub(crate) fn finish_ordered_range(&mut self, id: InodeId, start: u64, end: u64) {
        for key in self.ordered_within(id, start, end) {
            if let Some(ordered) = self.inode_mut(id).ordered.remove(&key) {
                self.finish_ordered(id, key, ordered);
            }
        }
        self.forget_if_clean(id);
    }

    /// Completes what was sent off, in file order.
    pub(crate) fn finish_submitted(&mut self, id: InodeId) {
        let is_submitted =
            |(&key, ordered): (&u64, &OrderedExtent)| ordered.is_submitted.then_some(key);
        let keys: Vec<u64> = self
            .inode(id)
            .ordered
            .iter()
            .filter_map(is_submitted)
            .collect();
        for key in keys {
            if let Some(ordered) = self.inode_mut(id).ordered.remove(&key) {
                self.finish_ordered(id, key, ordered);
            }
        }
        self.forget_if_clean(id);
    }

    /// Cuts off what ordered extents hold behind `size` (`btrfs_invalidate_folio`): what lies
    /// wholly behind it never completes. The rest of its block is zeroed in the page, which nobody
    /// has submitted yet.
    pub(crate) fn truncate_ordered(&mut self, id: InodeId, size: u64) {
        let end = align_up(size);
        let before = self.inode_mut(id).ordered.range_mut(..end).next_back();
        if let Some((key, ordered)) = before
            && end <= key + ordered.content.len()
        {
            let (skip, zeros) = (size - key, Content::zeros(end - size));
            ordered.content.overwrite(skip, zeros.clone());
            // A fresh extent has its bytes from the beginning on.
            if ordered.kind == OrderedKind::Cow {
                let (extent, at) = (ordered.extent, ordered.offset + skip);
                self.extents.overwrite(extent, at, zeros);
            }
        }
        for key in self.ordered_within(id, end, u64::MAX) {
            let Some(mut ordered) = self.inode_mut(id).ordered.remove(&key) else {
                continue;
            };
            if key < end {
                let len = end - key;
                let is_cut = len < ordered.content.len();
                if is_cut && ordered.kind == OrderedKind::Cow && self.behaviour.cuts_ram_bytes {
                    self.extents.cut_ram_bytes(ordered.extent, len);
                }
                ordered.content.truncate(len);
                self.finish_ordered(id, key, ordered);
            } else if ordered.kind == OrderedKind::Cow {
                self.extents.discard(ordered.extent);
            }
        }
    }

    /// Cuts an ordered extent of fresh data into several.
    pub(crate) fn cut_ordered_into(&mut self, id: InodeId, start: u64, pieces: &[Stretch]) {
        let Some(whole) = self.inode_mut(id).ordered.remove(&start) else {
            return;
        };
        let generation = self.extents.get(whole.extent).generation();
        self.extents.discard(whole.extent);
        for piece in pieces {
            let content = whole.content.slice(piece.start - start..piece.end - start);
            let (extent, offset, kind) = match piece.in_place {
                Some((extent, offset)) => (extent, offset, OrderedKind::Nocow),
                None => {
                    let extent = self.extents.allocate(content.clone(), generation);
                    (extent, 0, OrderedKind::Cow)
                }
            };
            let ordered = OrderedExtent {
                extent,
                offset,
                content,
                kind,
                is_submitted: whole.is_submitted,
            };
            self.inode_mut(id).ordered.insert(piece.start, ordered);
        }
    }

    fn ordered_within(&self, id: InodeId, start: u64, end: u64) -> Vec<u64> {
        let overlaps = |(key, ordered): (&u64, &OrderedExtent)| {
            (*key + ordered.content.len() > start).then_some(*key)
        };
        self.inode(id)
            .ordered
            .range(..end)
            .filter_map(overlaps)
            .collect()
    }

    fn finish_ordered(&mut self, id: InodeId, start: u64, ordered: OrderedExtent) {
        let transid = self.transid;
        let inode = self.inode_mut(id);
        inode.last_trans = transid;
        inode.disk_size = inode.size;
        let OrderedExtent {
            extent,
            offset,
            content,
            kind,
            is_submitted: _,
        } = ordered;
        let len = content.len();
        match kind {
            OrderedKind::Cow => {
                self.drop_extents(id, start, start + len);
                let slice = self.whole_slice(extent, SliceKind::Written);
                self.insert_slice(id, start, slice.part(0, len));
            }
            OrderedKind::Nocow => {
                self.extents.overwrite(extent, offset, content);
                self.mark_extent_written(id, start, start + len);
            }
        }
        if !self.inode(id).is_nodatasum {
            self.extents.add_csums(extent, offset, offset + len);
        }
    }
}
