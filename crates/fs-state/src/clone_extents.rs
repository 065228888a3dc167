//! Cloning: making a range of one file refer to the extents of another (`btrfs_clone`,
//! fs/btrfs/reflink.c). Dedupe and clone both end here.

use uapi::Errno;

use crate::{
    BLOCK, ExtentSlice, FileExtent, FsState, InlineExtent, InodeId, Reservation, align_down,
    align_up,
};

/// Whether a clone stamps its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimesUpdate {
    /// Leave mtime and ctime alone (dedupe since 4.2).
    Keep,
    /// Set both to now.
    Now,
}

/// What a clone did below the surface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneReport {
    /// A range of the target came to refer to another place.
    pub moved_reference: bool,
    /// An item of the target was cut at an end of the range.
    pub cut_extent: bool,
    /// There was no space; what came before it stays.
    pub is_out_of_space: bool,
}

impl FsState {
    /// Makes `target_offset..` refer to what `offset..offset + len` of the source refers to.
    /// Offsets and `len` are block-aligned bytes; `unrounded_len` is the length asked for, to which
    /// the target grows at most.
    #[expect(
        clippy::too_many_arguments,
        reason = "the kernel's own parameters, in its order"
    )]
    pub fn clone_extents(
        &mut self,
        source: InodeId,
        offset: u64,
        len: u64,
        unrounded_len: u64,
        target: InodeId,
        target_offset: u64,
        times: TimesUpdate,
    ) -> CloneReport {
        let mut report = CloneReport::default();
        let end = offset + len;
        let target_end = target_offset + len;
        let mut done_to = target_offset;
        let mut search = offset;
        self.inode_mut(target).digest = None;
        // Every step looks the source up again: cloning within one file changes what follows.
        while search < end {
            if self.reserve(Reservation::Trees).is_err() {
                report.is_out_of_space = true;
                return report;
            }
            let Some((key, item)) = self.item_at_or_behind(source, search) else {
                break;
            };
            if end <= key {
                break;
            }
            let item_end = item.end(key);
            if item_end <= search {
                search = align_up(item_end);
                continue;
            }
            let skip = offset.saturating_sub(key);
            let new_key = target_offset + key.saturating_sub(offset);
            let covered_to = match item {
                FileExtent::Regular(slice) => {
                    let part = slice.part(skip, item_end.min(end) - key - skip);
                    self.replace_extents(target, done_to, new_key, part, &mut report);
                    new_key + part.len
                }
                FileExtent::Inline(inline) => {
                    let inline = inline.clone();
                    self.clone_inline(target, done_to, new_key, inline, &mut report);
                    new_key + item_end
                }
            };
            done_to = align_up(covered_to);
            self.update_clone_size(target, done_to, target_offset + unrounded_len);
            search = item_end;
        }
        if done_to < target_end {
            if self.reserve(Reservation::Trees).is_err() {
                report.is_out_of_space = true;
                return report;
            }
            let dropped = self.drop_extents(target, done_to, target_end);
            report.cut_extent |= dropped.cut_item;
            self.modify_holes(
                target,
                done_to,
                target_end.min(align_up(self.inode(target).size)),
            );
            self.update_clone_size(target, target_end, target_offset + unrounded_len);
        }
        if times == TimesUpdate::Now {
            self.touch(target);
        }
        report
    }

    /// Expands the target to the offset of a clone past its EOF and writes the old last block.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn expand_for_clone(&mut self, id: InodeId, target_offset: u64) -> Result<(), Errno> {
        let size = self.inode(id).size;
        if target_offset > size {
            self.truncate_block(id, size)?;
            self.modify_holes(id, align_up(size), target_offset);
            let from = align_down(size);
            self.wait_ordered_range(id, from, target_offset - from);
        }
        Ok(())
    }

    fn update_clone_size(&mut self, target: InodeId, done_to: u64, size_max: u64) {
        let inode = self.inode_mut(target);
        inode.size = inode.size.max(done_to.min(size_max));
        inode.disk_size = inode.size;
    }

    /// Drops `drop_start..` up to the end of the new item and inserts it.
    fn replace_extents(
        &mut self,
        target: InodeId,
        drop_start: u64,
        key: u64,
        part: ExtentSlice,
        report: &mut CloneReport,
    ) {
        if drop_start == key && self.replace_whole_item(target, key, part, report) {
            return;
        }
        let before = self.item_at_or_behind(target, key);
        let refers_there = before.is_some_and(|(at, item)| {
            item.slice().is_some_and(|slice| {
                at <= key
                    && slice.extent == part.extent
                    && slice.backref_offset(at) == part.backref_offset(key)
                    && at + slice.len >= key + part.len
            })
        });
        report.moved_reference |= !refers_there;
        // The new reference is counted first: dropping the old item may drop the last one.
        let inode = self.inode(target);
        let (root, ino) = (inode.root, inode.ino);
        self.extents
            .add_ref(part.extent, root, ino, part.backref_offset(key));
        report.cut_extent |= self
            .drop_extents(target, drop_start, key + part.len)
            .cut_item;
        let generation = self.transid;
        self.put_slice(target, key, ExtentSlice { generation, ..part });
    }

    /// Puts `part` in the place of the item at `key` if that is as long; returns whether it was.
    fn replace_whole_item(
        &mut self,
        target: InodeId,
        key: u64,
        part: ExtentSlice,
        report: &mut CloneReport,
    ) -> bool {
        let generation = self.transid;
        let part = ExtentSlice { generation, ..part };
        let Some(old) = self.replace_slice(target, key, part) else {
            return false;
        };
        let inode = self.inode_mut(target);
        let (root, ino) = (inode.root, inode.ino);
        inode.hole_maps.remove(key, key + part.len);
        report.moved_reference |= (old.extent, old.offset) != (part.extent, part.offset);
        self.extents
            .add_ref(part.extent, root, ino, part.backref_offset(key));
        self.extents
            .drop_ref(old.extent, root, ino, old.backref_offset(key));
        true
    }

    /// Clones an inline extent: as an item if it becomes the whole target file, else by copying
    /// its bytes into a page of the target (`clone_copy_inline_extent`).
    fn clone_inline(
        &mut self,
        target: InodeId,
        drop_start: u64,
        key: u64,
        inline: InlineExtent,
        report: &mut CloneReport,
    ) {
        let at_zero = self.item_at(target, 0);
        let has_implicit_hole = at_zero.is_none() && !self.has_no_items(target);
        let has_regular = matches!(at_zero, Some(FileExtent::Regular(_)));
        let is_whole_file = self.inode(target).size <= inline.content.len();
        if key > 0 && self.behaviour.clones_inline_anywhere {
            report.cut_extent |= self.drop_extents(target, key, key + BLOCK).cut_item;
            self.put_inline(target, key, inline);
            return;
        }
        if key > 0 || has_implicit_hole || has_regular || !is_whole_file {
            let mut page = inline.content;
            page.truncate(BLOCK);
            self.dirty_pages(target, key, page);
            return;
        }
        report.cut_extent |= self.drop_extents(target, drop_start, BLOCK).cut_item;
        self.put_inline(target, 0, inline);
    }
}
