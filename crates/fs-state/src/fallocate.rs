//! `fallocate(2)`: preallocation and holes (fs/btrfs/file.c).

use data::Content;
use uapi::Errno;

use crate::{BLOCK, FsState, InodeId, SliceKind, align_down, align_up};

impl FsState {
    /// Preallocates `offset..offset + len` bytes, without changing the size if `keeps_size`.
    ///
    /// # Errors
    /// What `vfs_fallocate` refuses: `EINVAL`, `EPERM`, `EFBIG`.
    pub fn fallocate(
        &mut self,
        id: InodeId,
        offset: u64,
        len: u64,
        keeps_size: bool,
    ) -> Result<(), Errno> {
        self.check_fallocate(id, offset, len, false)?;
        let (alloc_start, alloc_end) = (align_down(offset), align_up(offset + len));
        let size = self.inode(id).size;
        let stamps_late = self.behaviour.fallocate_stamps_late;
        if !stamps_late {
            self.file_modified(id);
        }
        if alloc_start > size || offset + len > size {
            self.truncate_block(id, size);
        }
        if alloc_start > size {
            self.modify_holes(id, align_up(size), alloc_start);
        }
        self.wait_ordered_range(id, alloc_start, alloc_end - alloc_start);
        self.look_up_holes(id, alloc_start, alloc_end);
        let ranges = self.unallocated(id, alloc_start, alloc_end);
        let grows = !keeps_size && offset + len > size;
        if stamps_late && (grows || !ranges.is_empty()) {
            self.touch_ctime(id);
        }
        for (start, end) in ranges {
            self.preallocate(id, start, end);
        }
        if grows {
            let inode = self.inode_mut(id);
            inode.size = offset + len;
            inode.digest = None;
        }
        Ok(())
    }

    /// Punches a hole into `offset..offset + len` bytes.
    ///
    /// # Errors
    /// What `vfs_fallocate` refuses: `EINVAL`, `EPERM`, `EFBIG`.
    pub fn punch_hole(&mut self, id: InodeId, offset: u64, len: u64) -> Result<(), Errno> {
        self.check_fallocate(id, offset, len, true)?;
        self.wait_ordered_range(id, offset, len);
        let (asked, end) = (offset, offset + len);
        let (offset, len) = self.behind_hole(id, offset, len).unwrap_or((offset, len));
        if len == 0 {
            return Ok(());
        }
        let stamps_late = self.behaviour.fallocate_stamps_late;
        if !stamps_late {
            self.file_modified(id);
        }
        self.inode_mut(id).digest = None;
        let has_changed = self.punch_behind_hole(id, asked, offset, end);
        if stamps_late && has_changed {
            self.touch(id);
        }
        Ok(())
    }

    /// Punches `offset..end`, which begins with no hole; returns whether blocks were zeroed or
    /// items dropped. The caller asked for what begins at `asked`.
    fn punch_behind_hole(&mut self, id: InodeId, asked: u64, offset: u64, end: u64) -> bool {
        let size_end = align_up(self.inode(id).size);
        let is_in_file = offset < size_end;
        let is_one_block = align_down(offset) == align_down(end - 1);
        if is_one_block && end - offset < BLOCK {
            if is_in_file {
                self.zero_in_block(id, offset, end);
            }
            return is_in_file;
        }
        let (mut lock_start, lock_end) = (align_up(offset), align_down(end));
        if is_in_file {
            self.truncate_block(id, offset);
        }
        // Unless a hole was skipped already, look again behind the first block.
        if offset == asked {
            match self.behind_hole(id, lock_start, end - lock_start) {
                Some((_, 0)) => return is_in_file,
                Some((start, _)) => lock_start = start,
                None => {}
            }
        }
        // The tail block is zeroed unless a hole begins it.
        let has_tail = end > lock_end
            && self.behind_hole(id, lock_end, end - lock_end).is_none()
            && end < size_end;
        if has_tail {
            self.zero_in_block(id, lock_end, end);
        }
        if lock_start < lock_end {
            self.inode_mut(id).cached.drop(lock_start, lock_end);
            self.drop_extents(id, lock_start, lock_end);
            if lock_start < size_end {
                self.modify_holes(id, lock_start, lock_end);
            }
        }
        is_in_file || has_tail || lock_start < lock_end
    }

    fn check_fallocate(&self, id: InodeId, offset: u64, len: u64, cuts: bool) -> Result<(), Errno> {
        let is_negative = |value: u64| value > i64::MAX as u64;
        if is_negative(offset) || is_negative(len) || len == 0 {
            return Err(Errno::EINVAL);
        }
        let inode = self.inode(id);
        if inode.is_append && cuts {
            return Err(Errno::EPERM);
        }
        if inode.is_immutable {
            return Err(Errno::EPERM);
        }
        if is_negative(offset.saturating_add(len)) {
            return Err(Errno::EFBIG);
        }
        Ok(())
    }

    /// Returns the ranges that `fallocate` has to fill: holes, and what is not preallocated behind
    /// EOF, adjacent ones joined.
    fn unallocated(&self, id: InodeId, start: u64, end: u64) -> Vec<(u64, u64)> {
        let inode = self.inode(id);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut add = |from: u64, to: u64| match ranges.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => ranges.push((from, to)),
        };
        let mut at = start;
        while at < end {
            match self.item_at_or_behind(id, at) {
                Some((key, item)) if key <= at => {
                    let to = align_up(item.end(key)).min(end);
                    let is_prealloc = item
                        .slice()
                        .is_some_and(|slice| slice.kind == SliceKind::Prealloc);
                    if at >= inode.size && !is_prealloc {
                        add(at, to);
                    }
                    at = to;
                }
                Some((key, _)) if key < end => {
                    add(at, key);
                    at = key;
                }
                _ => {
                    add(at, end);
                    at = end;
                }
            }
        }
        ranges
    }

    fn preallocate(&mut self, id: InodeId, start: u64, end: u64) {
        self.inode_mut(id).has_prealloc = true;
        self.drop_extents(id, start, end);
        let mut at = start;
        while at < end {
            let len = (end - at).min(self.behaviour.prealloc_len_max);
            let extent = self.extents.allocate(Content::zeros(len), self.transid);
            self.insert_slice(id, at, self.whole_slice(extent, SliceKind::Prealloc));
            at += len;
        }
    }

    /// Skips a hole at the beginning of `start..start + len` as far as the extent map cache knows
    /// it, and returns what is left; `None` if no hole begins the range
    /// (`find_first_non_hole`: it looks at items, not at dirty pages).
    fn behind_hole(&mut self, id: InodeId, start: u64, len: u64) -> Option<(u64, u64)> {
        let hole_end = self.hole_end(id, align_down(start), align_up(len))?;
        Some((hole_end, (start + len).saturating_sub(hole_end)))
    }
}
