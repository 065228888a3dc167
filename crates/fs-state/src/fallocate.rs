//! `fallocate(2)`: preallocation and holes (fs/btrfs/file.c).

use data::Content;
use uapi::Errno;

use crate::{BLOCK, FsState, InodeId, Reservation, SliceKind, align_down, align_up};

/// What a block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockKind {
    Hole,
    Prealloc,
    Written,
}

impl FsState {
    /// Preallocates `offset..offset + len` bytes, without changing the size if `keeps_size`.
    ///
    /// # Errors
    /// What `vfs_fallocate` refuses: `EINVAL`, `EPERM`, `EFBIG`; and `ENOSPC`, which may come after
    /// a part of it was allocated.
    pub fn fallocate(
        &mut self,
        id: InodeId,
        offset: u64,
        len: u64,
        keeps_size: bool,
    ) -> Result<(), Errno> {
        self.check_fallocate(id, offset, len, false)?;
        let (alloc_start, alloc_end) = (align_down(offset), align_up(offset + len));
        self.begin_fallocate(id, offset, offset + len)?;
        self.look_up_holes(id, alloc_start, alloc_end);
        let ranges = self.unallocated(id, alloc_start, alloc_end);
        if self.behaviour.fallocate_stamps_late && !ranges.is_empty() {
            self.touch_ctime(id);
        }
        if !ranges.is_empty() {
            // For all of it at once.
            self.reserve(Reservation::Trees)?;
        }
        let grows = !keeps_size && offset + len > self.inode(id).size;
        for (start, end) in ranges {
            let grow_to = grows.then_some(offset + len);
            self.preallocate(id, start, end, grow_to)?;
        }
        self.grow_for_fallocate(id, grows, offset + len)
    }

    /// Punches a hole into `offset..offset + len` bytes.
    ///
    /// # Errors
    /// What `vfs_fallocate` refuses: `EINVAL`, `EPERM`, `EFBIG`; and `ENOSPC`.
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
        let has_changed = self.punch_behind_hole(id, asked, offset, end)?;
        if stamps_late && has_changed {
            self.touch(id);
        }
        Ok(())
    }

    /// Punches `offset..end`, which begins with no hole; returns whether blocks were zeroed or
    /// items dropped. The caller asked for what begins at `asked`.
    fn punch_behind_hole(
        &mut self,
        id: InodeId,
        asked: u64,
        offset: u64,
        end: u64,
    ) -> Result<bool, Errno> {
        let size_end = align_up(self.inode(id).size);
        let is_in_file = offset < size_end;
        let is_one_block = align_down(offset) == align_down(end - 1);
        if is_one_block && end - offset < BLOCK {
            if is_in_file {
                self.zero_in_block(id, offset, end)?;
            }
            return Ok(is_in_file);
        }
        let (mut lock_start, lock_end) = (align_up(offset), align_down(end));
        if is_in_file {
            self.truncate_block(id, offset)?;
        }
        // Unless a hole was skipped already, look again behind the first block.
        if offset == asked {
            match self.behind_hole(id, lock_start, end - lock_start) {
                Some((_, 0)) => return Ok(is_in_file),
                Some((start, _)) => lock_start = start,
                None => {}
            }
        }
        // The tail block is zeroed unless a hole begins it.
        let has_tail = end > lock_end
            && self.behind_hole(id, lock_end, end - lock_end).is_none()
            && end < size_end;
        if has_tail {
            self.zero_in_block(id, lock_end, end)?;
        }
        if lock_start < lock_end {
            self.inode_mut(id).cached.drop(lock_start, lock_end);
            self.reserve(Reservation::Trees)?;
            self.drop_extents(id, lock_start, lock_end);
            if lock_start < size_end {
                self.modify_holes(id, lock_start, lock_end);
            }
        }
        Ok(is_in_file || has_tail || lock_start < lock_end)
    }

    /// Makes `offset..offset + len` bytes read as zeros, preallocated but for the blocks at its
    /// ends that have data (`btrfs_zero_range`); without changing the size if `keeps_size`.
    ///
    /// # Errors
    /// What `vfs_fallocate` refuses: `EINVAL`, `EPERM`, `EFBIG`.
    pub fn zero_range(
        &mut self,
        id: InodeId,
        offset: u64,
        len: u64,
        keeps_size: bool,
    ) -> Result<(), Errno> {
        self.check_fallocate(id, offset, len, true)?;
        let (mut offset, end) = (offset, offset + len);
        self.begin_fallocate(id, offset, end)?;
        self.inode_mut(id).digest = None;
        let alloc_start = align_down(offset);
        let grows = !keeps_size && end > self.inode(id).size;
        // What is preallocated at the begin stays.
        if let Some(prealloc_end) = self.prealloc_end(id, alloc_start, end) {
            if end <= prealloc_end {
                return self.grow_for_fallocate(id, grows, end);
            }
            offset = prealloc_end;
        }
        let allocated = if align_down(offset) == align_down(end - 1) {
            self.zero_in_one_block(id, offset, end)?
        } else {
            self.zero_ends(id, offset, end)?
        };
        if let Some((start, alloc_end)) = allocated.filter(|(start, end)| start < end) {
            // For all of it at once.
            self.reserve(Reservation::Trees)?;
            self.inode_mut(id).cached.drop(start, alloc_end);
            self.preallocate(id, start, alloc_end, grows.then_some(end))?;
            if self.behaviour.fallocate_stamps_late {
                self.touch_ctime(id);
            }
        }
        self.grow_for_fallocate(id, grows, end)
    }

    /// Zeroes a range within one block; returns the block if it is to be preallocated instead.
    fn zero_in_one_block(
        &mut self,
        id: InodeId,
        offset: u64,
        end: u64,
    ) -> Result<Option<(u64, u64)>, Errno> {
        let block = align_down(offset);
        let ending = self.block_kind(id, block);
        if ending == BlockKind::Prealloc {
            return Ok(None);
        }
        if end - offset < BLOCK && ending == BlockKind::Written {
            self.zero_in_block(id, offset, end)?;
            return Ok(None);
        }
        Ok(Some((block, block + BLOCK)))
    }

    /// Zeroes what `offset..end` has of the blocks at its ends, where they have data; returns the
    /// range that is to be preallocated: holes at the ends are in it.
    fn zero_ends(
        &mut self,
        id: InodeId,
        offset: u64,
        end: u64,
    ) -> Result<Option<(u64, u64)>, Errno> {
        let (mut start, mut alloc_end) = (align_up(offset), align_down(end));
        if start != offset {
            match self.block_kind(id, align_down(offset)) {
                BlockKind::Hole => start = align_down(offset),
                BlockKind::Written => self.zero_in_block(id, offset, start)?,
                BlockKind::Prealloc => {}
            }
        }
        if alloc_end != end {
            match self.block_kind(id, alloc_end) {
                BlockKind::Hole => alloc_end = align_up(end),
                BlockKind::Written => self.zero_in_block(id, alloc_end, end)?,
                BlockKind::Prealloc => {}
            }
        }
        Ok(Some((start, alloc_end)))
    }

    /// Looks a block up (`btrfs_zero_range_check_range_boundary`).
    fn block_kind(&mut self, id: InodeId, block: u64) -> BlockKind {
        if self.hole_end(id, block, BLOCK).is_some() {
            return BlockKind::Hole;
        }
        match self.prealloc_slice(id, block) {
            Some(_) => BlockKind::Prealloc,
            None => BlockKind::Written,
        }
    }

    /// Returns where the preallocated item ends that covers `start`, a block; looks up the hole
    /// that is there instead, as far as `end`.
    fn prealloc_end(&mut self, id: InodeId, start: u64, end: u64) -> Option<u64> {
        self.hole_end(id, start, align_up(end) - start);
        self.prealloc_slice(id, start)
    }

    /// Returns the end of the preallocated item that covers a block.
    fn prealloc_slice(&self, id: InodeId, block: u64) -> Option<u64> {
        let (key, item) = self.item_at_or_behind(id, block)?;
        let slice = item.slice()?;
        (key <= block && slice.kind == SliceKind::Prealloc).then(|| key + slice.len)
    }

    /// What every `fallocate` but a punch does first: stamps, the tail of the old size, and all
    /// that is dirty in the range.
    fn begin_fallocate(&mut self, id: InodeId, offset: u64, end: u64) -> Result<(), Errno> {
        let (alloc_start, alloc_end) = (align_down(offset), align_up(end));
        let size = self.inode(id).size;
        if !self.behaviour.fallocate_stamps_late {
            self.file_modified(id);
        }
        if alloc_start > size || end > size {
            self.truncate_block(id, size)?;
        }
        if alloc_start > size {
            self.modify_holes(id, align_up(size), alloc_start);
        }
        self.wait_ordered_range(id, alloc_start, alloc_end - alloc_start);
        Ok(())
    }

    /// Sets the size to `end` if the call `grows` the file (`btrfs_fallocate_update_isize`).
    fn grow_for_fallocate(&mut self, id: InodeId, grows: bool, end: u64) -> Result<(), Errno> {
        if grows {
            self.reserve(Reservation::Trees)?;
            if self.behaviour.fallocate_stamps_late {
                self.touch_ctime(id);
            }
            let inode = self.inode_mut(id);
            (inode.size, inode.disk_size) = (end, end);
            inode.digest = None;
        }
        Ok(())
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

    /// Preallocates a hole, piece by piece; the file grows with each
    /// (`__btrfs_prealloc_file_range`, fs/btrfs/inode.c).
    fn preallocate(
        &mut self,
        id: InodeId,
        start: u64,
        end: u64,
        grow_to: Option<u64>,
    ) -> Result<(), Errno> {
        for (from, to) in self.allocated_pieces(id, start, end) {
            let mut at = from;
            while at < to {
                self.reserve(Reservation::Trees)?;
                let len = (to - at).min(self.behaviour.prealloc_len_max);
                self.inode_mut(id).has_prealloc = true;
                self.drop_extents(id, at, at + len);
                let extent = self.extents.allocate(Content::zeros(len), self.transid);
                self.insert_slice(id, at, self.whole_slice(extent, SliceKind::Prealloc));
                at += len;
                if let Some(size) = grow_to.map(|size| size.min(at))
                    && self.inode(id).size < size
                {
                    let inode = self.inode_mut(id);
                    (inode.size, inode.disk_size) = (size, size);
                    inode.digest = None;
                }
            }
        }
        Ok(())
    }

    /// Skips a hole at the beginning of `start..start + len` as far as the extent map cache knows
    /// it, and returns what is left; `None` if no hole begins the range
    /// (`find_first_non_hole`: it looks at items, not at dirty pages).
    fn behind_hole(&mut self, id: InodeId, start: u64, len: u64) -> Option<(u64, u64)> {
        let hole_end = self.hole_end(id, align_down(start), align_up(len))?;
        Some((hole_end, (start + len).saturating_sub(hole_end)))
    }
}
