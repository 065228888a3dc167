//! Writeback: how dirty pages become extents.
//!
//! A flush looks for dirty pages of a range; from the first it finds, it takes the whole contiguous
//! delalloc behind it, even past the range (`find_lock_delalloc_range`, fs/btrfs/extent_io.c). What
//! it takes is one extent, an inline item, or, where something was preallocated or COW is off, a
//! mixture in which only the rest is COWed (`run_delalloc_range`, fs/btrfs/inode.c).

use data::Content;

use crate::ordered::{OrderedExtent, OrderedKind};
use crate::{
    ExtentId, ExtentSlice, FileExtent, FsState, InlineExtent, InlineId, InodeId, SliceKind,
    align_down, align_up,
};

/// A part of a dirty range that goes to one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The extent, and where in it, if it is written in place; otherwise to extents of its own.
    pub(crate) in_place: Option<(ExtentId, u64)>,
}

impl Stretch {
    /// Returns a stretch (start, end) that goes to extents of its own.
    pub(crate) fn fresh((start, end): (u64, u64)) -> Stretch {
        Stretch {
            start,
            end,
            in_place: None,
        }
    }
}

impl FsState {
    /// Writes back the whole file and waits for its ordered extents, as FIEMAP with
    /// `FIEMAP_FLAG_SYNC` does. Asked for no extents, it walks no back references.
    pub fn flush(&mut self, id: InodeId) {
        self.filemap_flush(id);
    }

    /// What the operation `fsync` does: a flush, the log, a commit. Nothing of the log is modelled
    /// but that extent maps may merge behind it.
    pub fn fsync(&mut self, id: InodeId) {
        self.flush(id);
        // An inode without a name is not logged.
        if self.inode(id).nr_links > 0 {
            self.log_hole_maps(id);
        }
        self.commit();
    }

    /// Starts writeback of the whole mapping, as `filemap_flush`: ordered extents complete at once
    /// here, some time later in a kernel.
    #[inline]
    pub fn filemap_flush(&mut self, id: InodeId) {
        self.write_range(id, 0, u64::MAX);
    }

    /// Writes back `start..start + len` and waits for the ordered extents that touch it
    /// (`btrfs_wait_ordered_range`, fs/btrfs/ordered-data.c).
    #[inline]
    pub fn wait_ordered_range(&mut self, id: InodeId, start: u64, len: u64) {
        if len > 0 {
            self.write_range(id, start, start.saturating_add(len));
        }
    }

    /// Returns whether a page of `start..start + len` is dirty.
    pub fn has_dirty(&self, id: InodeId, start: u64, len: u64) -> bool {
        let (from, to) = (align_down(start), align_up(start.saturating_add(len)));
        let inode = self.inode(id);
        let reaches_in = |(at, content): (&u64, &Content)| at + content.len() > from && from < to;
        inode.dirty.range(..to).next_back().is_some_and(reaches_in)
            || inode
                .ordered
                .range(..to)
                .any(|(at, ordered)| reaches_in((at, &ordered.content)))
    }

    #[inline]
    pub(crate) fn write_range(&mut self, id: InodeId, start: u64, end: u64) {
        if self.dirty_inodes.contains(&id) {
            self.write_dirty_range(id, start, end);
        }
    }

    fn write_dirty_range(&mut self, id: InodeId, start: u64, end: u64) {
        self.start_writeback(id, start, end);
        self.finish_ordered_range(id, align_down(start), end);
        self.finish_submitted(id);
    }

    /// Writes back several files at once. As within one file, every decision is taken before the
    /// first ordered extent completes.
    pub(crate) fn flush_all(&mut self, ids: &[InodeId]) {
        for &id in ids {
            self.start_writeback(id, 0, u64::MAX);
        }
        for &id in ids {
            self.finish_ordered_range(id, 0, u64::MAX);
        }
    }

    /// Forgets that the inode has dirty pages once it has none.
    pub(crate) fn forget_if_clean(&mut self, id: InodeId) {
        let inode = self.inode(id);
        if inode.dirty.is_empty() && inode.ordered.is_empty() {
            self.dirty_inodes.remove(&id);
        }
    }

    /// Decides where the dirty pages of a range go, and those behind it that make one range with
    /// them.
    pub(crate) fn start_writeback(&mut self, id: InodeId, start: u64, end: u64) {
        self.start_writeback_up_to(id, start, end, u64::MAX);
    }

    /// Decides where the dirty pages of a range go, as if there were none behind it.
    pub(crate) fn start_writeback_within(&mut self, id: InodeId, start: u64, end: u64) {
        self.start_writeback_up_to(id, start, end, end);
    }

    fn start_writeback_up_to(&mut self, id: InodeId, start: u64, end: u64, end_max: u64) {
        let mut at = align_down(start);
        while at < end {
            let inode = self.inode(id);
            let covering = inode.dirty.range(..=at).next_back();
            let covering = covering.filter(|(key, content)| **key + content.len() > at);
            let next = covering.or_else(|| inode.dirty.range(at..).next());
            let Some((&key, content)) = next else { break };
            if key >= end {
                break;
            }
            let page = key.max(at);
            let run_end = (key + content.len())
                .min(page.saturating_add(self.behaviour.extent_len_max))
                .min(end_max);
            for (run_start, run) in self.inode_mut(id).take_dirty(page, run_end) {
                self.run_delalloc_range(id, run_start, run);
            }
            at = run_end;
        }
    }

    fn run_delalloc_range(&mut self, id: InodeId, start: u64, content: Content) {
        if self.behaviour.inlines_first && self.write_inline_first(id, start, &content) {
            return;
        }
        let inode = self.inode(id);
        if inode.is_nodatacow || inode.has_prealloc {
            self.run_delalloc_nocow(id, start, &content);
            self.note_not_inline(id, start, &content);
        } else if self.needs_compress(id, start, content.len()) {
            self.run_delalloc_compressed(id, start, &content);
        } else {
            self.cow_file_range(id, start, content, true);
        }
    }

    /// Writes what can be written in place, COWs the stretches in between.
    fn run_delalloc_nocow(&mut self, id: InodeId, start: u64, content: &Content) {
        let may_inline = self.behaviour.inlines_nocow;
        for stretch in self.nocow_stretches(id, start, start + content.len()) {
            let piece = content.slice(stretch.start - start..stretch.end - start);
            let Some((extent, offset)) = stretch.in_place else {
                self.cow_file_range(id, stretch.start, piece, may_inline);
                continue;
            };
            let ordered = OrderedExtent {
                extent,
                offset,
                content: piece,
                kind: OrderedKind::Nocow,
                is_submitted: false,
            };
            self.inode_mut(id).ordered.insert(stretch.start, ordered);
        }
    }

    /// Returns into which stretches writeback divides a dirty range that it does not compress.
    pub(crate) fn stretches(&self, id: InodeId, start: u64, end: u64) -> Vec<Stretch> {
        let inode = self.inode(id);
        if inode.is_nodatacow || inode.has_prealloc {
            return self.nocow_stretches(id, start, end);
        }
        vec![Stretch::fresh((start, end))]
    }

    fn nocow_stretches(&self, id: InodeId, start: u64, end: u64) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let mut cow_start = None;
        let mut at = start;
        while at < end {
            let Some((key, item)) = self.item_at_or_behind(id, at) else {
                break;
            };
            if key >= end {
                break;
            }
            if key > at {
                cow_start.get_or_insert(at);
                at = key;
                if self.behaviour.cows_behind_gap {
                    break;
                }
                continue;
            }
            let item_end = align_up(item.end(key));
            let in_place = item
                .slice()
                .filter(|slice| self.can_nocow(id, key, slice, at, end));
            let Some(slice) = in_place else {
                cow_start.get_or_insert(at);
                at = item_end;
                continue;
            };
            stretches.extend(cow_start.take().map(|from| Stretch::fresh((from, at))));
            let piece_end = item_end.min(end);
            stretches.push(Stretch {
                start: at,
                end: piece_end,
                in_place: Some((slice.extent, slice.offset + (at - key))),
            });
            at = piece_end;
        }
        if at < end {
            cow_start.get_or_insert(at);
        }
        stretches.extend(cow_start.map(|from| Stretch::fresh((from, end))));
        stretches
    }

    /// Returns whether `at..end` of the item may be written in place (`can_nocow_file_extent`).
    pub(crate) fn can_nocow(
        &self,
        id: InodeId,
        key: u64,
        slice: &ExtentSlice,
        at: u64,
        end: u64,
    ) -> bool {
        if !self.may_nocow(id, key, slice, at, end) {
            return false;
        }
        let inode = self.inode(id);
        let (root, ino, offset) = (inode.root, inode.ino, slice.backref_offset(key));
        if !self.extents.has_cross_ref(slice.extent, root, ino, offset) {
            return true;
        }
        // Where space is short a kernel runs delayed references early.
        self.short.is_some()
            && !self.keeps_cross_ref(id, key, slice)
            && self.is_shown_in_place(id, at, end.min(key + slice.len))
    }

    /// Returns whether `at..end` of the item may be written in place if nothing else refers to its
    /// extent.
    pub(crate) fn may_nocow(
        &self,
        id: InodeId,
        key: u64,
        slice: &ExtentSlice,
        at: u64,
        end: u64,
    ) -> bool {
        let inode = self.inode(id);
        if slice.kind == SliceKind::Written && !inode.is_nodatacow {
            return false;
        }
        let last_snapshot = self.root(inode.root).last_snapshot;
        let extent = self.extents.get(slice.extent);
        if slice.generation <= last_snapshot || extent.generation() <= last_snapshot {
            return false;
        }
        let from = slice.offset + (at - key);
        let to = slice.offset + (end.min(key + slice.len) - key);
        !extent.has_any_csum(from, to)
    }

    /// Returns whether something else refers to the extent of the item even if all delayed
    /// references have run.
    pub(crate) fn keeps_cross_ref(&self, id: InodeId, key: u64, slice: &ExtentSlice) -> bool {
        let inode = self.inode(id);
        let (root, ino, offset) = (inode.root, inode.ino, slice.backref_offset(key));
        self.extents
            .keeps_cross_ref(slice.extent, root, ino, offset)
    }

    /// Turns `start..end` of a preallocated item into a written one and merges it with written
    /// neighbours of the same extent (`btrfs_mark_extent_written`, fs/btrfs/file.c).
    pub(crate) fn mark_extent_written(&mut self, id: InodeId, start: u64, end: u64) {
        let generation = self.transid;
        let inode = self.inode(id);
        let (root, ino) = (inode.root, inode.ino);
        let Some((key, FileExtent::Regular(slice))) = self.item_before(id, start + 1) else {
            return;
        };
        if slice.kind == SliceKind::Written {
            return;
        }
        let backref = slice.backref_offset(key);
        self.remove_item(id, key);
        let mut pieces = 0;
        if key < start {
            self.put_slice(id, key, slice.part(0, start - key));
            pieces += 1;
        }
        if end < key + slice.len {
            let tail = slice.part(end - key, key + slice.len - end);
            self.put_slice(id, end, tail);
            pieces += 1;
        }
        let mut written = slice.part(start - key, end - start);
        written.kind = SliceKind::Written;
        written.generation = generation;
        let mut written_key = start;
        let is_mergeable = |at: u64, item: FileExtent<'_>| {
            item.slice().is_some_and(|other| {
                other.extent == slice.extent
                    && other.kind == SliceKind::Written
                    && other.backref_offset(at) == backref
            })
        };
        if let Some(item) = self.item_at(id, end)
            && is_mergeable(end, item)
        {
            written.len += item.end(0);
            self.remove_item(id, end);
            pieces -= 1;
        }
        if let Some((before, item)) = self.item_before(id, start)
            && item.end(before) == start
            && is_mergeable(before, item)
        {
            let before_len = start - before;
            written.offset -= before_len;
            written.len += before_len;
            written_key = before;
            self.remove_item(id, before);
            pieces -= 1;
        }
        self.put_slice(id, written_key, written);
        for _ in 0..pieces {
            self.extents.add_ref(written.extent, root, ino, backref);
        }
        for _ in pieces..0 {
            self.extents.drop_ref(written.extent, root, ino, backref);
        }
    }

    /// Writes `content` to a fresh extent, or inline if the whole file fits, unless that was tried
    /// before (`cow_file_range`, fs/btrfs/inode.c).
    pub(crate) fn cow_file_range(
        &mut self,
        id: InodeId,
        start: u64,
        content: Content,
        may_inline: bool,
    ) {
        let may_inline = may_inline && !self.behaviour.inlines_first;
        if may_inline && self.goes_inline(id, start, content.len()) {
            self.write_inline(id, &content, None);
            return;
        }
        for (from, to) in self.allocated_pieces(id, start, start + content.len()) {
            let content = content.slice(from - start..to - start);
            let extent = self.extents.allocate(content.clone(), self.transid);
            let ordered = OrderedExtent {
                extent,
                offset: 0,
                content,
                kind: OrderedKind::Cow,
                is_submitted: false,
            };
            self.inode_mut(id).ordered.insert(from, ordered);
        }
    }

    /// Returns whether `len` bytes at `start` are a whole file that goes into the tree.
    pub(crate) fn goes_inline(&self, id: InodeId, start: u64, len: u64) -> bool {
        self.fits_inline(id, start, len) && !self.is_kept_out_of_tree(id)
    }

    /// Returns whether `len` bytes at `start` are a whole file that fits into the tree
    /// (`can_cow_file_range_inline`, fs/btrfs/inode.c).
    pub(crate) fn fits_inline(&self, id: InodeId, start: u64, len: u64) -> bool {
        let size = self.inode(id).size;
        start == 0 && size <= len && size <= self.behaviour.max_inline
    }

    /// Puts a whole file into the tree, in the place of all that it had.
    pub(crate) fn write_inline(
        &mut self,
        id: InodeId,
        content: &Content,
        compressed: Option<InlineId>,
    ) {
        let inode = self.inode_mut(id);
        let size = inode.size;
        inode.disk_size = size;
        self.drop_extents(id, 0, content.len());
        let inline = InlineExtent {
            content: content.slice(0..size),
            compressed,
        };
        self.put_inline(id, 0, inline);
    }
}
