//! Buffered writes and size changes: what dirties pages.

use data::Content;
use uapi::Errno;

use crate::{BLOCK, FileExtent, FsState, InodeId, Reservation, align_down, align_up, is_aligned};

/// The largest file size, bytes (`s_maxbytes`).
pub(crate) const SIZE_MAX: u64 = i64::MAX as u64;

/// The most that one write call moves, bytes (`MAX_RW_COUNT`).
pub(crate) const WRITE_LEN_MAX: u64 = (1 << 31) - BLOCK;

impl FsState {
    /// Writes `content` at `pos`, bytes; returns how many bytes were written.
    ///
    /// # Errors
    /// `EINVAL` for a negative position, `EFBIG` for one past the largest size, `ENOSPC` if not
    /// one page has space.
    pub fn write(&mut self, id: InodeId, pos: u64, content: &Content) -> Result<u64, Errno> {
        if pos > SIZE_MAX {
            return Err(Errno::EINVAL);
        }
        if content.is_empty() {
            return Ok(0);
        }
        if pos == SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let len = content.len().min(WRITE_LEN_MAX).min(SIZE_MAX - pos);
        self.begin_write(id, pos, len)?;
        let (start, end) = (align_down(pos), align_up(pos + len));
        let mut pages = Content::zeros(0);
        pages.append(self.page_range(id, start, pos));
        pages.append(content.slice(0..len));
        pages.append(self.page_range(id, pos + len, end));
        let mut at = start;
        while at < end {
            let to = match self.reserve_pages(at, end) {
                Ok(to) => to,
                Err(errno) if at == start => return Err(errno),
                Err(_) => return Ok(at - pos),
            };
            self.dirty_pages(id, at, pages.slice(at - start..to - start));
            let inode = self.inode_mut(id);
            inode.size = inode.size.max((pos + len).min(to));
            inode.digest = None;
            at = to;
        }
        Ok(len)
    }

    /// What a write does first: stamps, and if it begins past the block of EOF it expands the file
    /// (`btrfs_write_check`).
    pub(crate) fn begin_write(&mut self, id: InodeId, pos: u64, len: u64) -> Result<(), Errno> {
        let size = self.inode(id).size;
        self.touch(id);
        if align_down(pos) > size {
            self.truncate_block(id, size)?;
            self.modify_holes(id, align_up(size), align_up(pos + len));
        }
        Ok(())
    }

    /// Sets the size of a file, bytes.
    ///
    /// # Errors
    /// `EINVAL` for a negative size, `EPERM` for an append-only inode, `ENOSPC`.
    pub fn truncate(&mut self, id: InodeId, size: u64) -> Result<(), Errno> {
        if size > SIZE_MAX {
            return Err(Errno::EINVAL);
        }
        if self.inode(id).is_append {
            return Err(Errno::EPERM);
        }
        let old_size = self.inode(id).size;
        self.inode_mut(id).digest = None;
        if size > old_size {
            self.truncate_block(id, old_size)?;
            self.modify_holes(id, align_up(old_size), size);
            self.reserve(Reservation::Trees)?;
            self.touch(id);
            self.inode_mut(id).size = size;
            return Ok(());
        }
        let was_dirty = self.dirty_inodes.contains(&id);
        self.inode_mut(id).size = size;
        self.inode_mut(id).flushes_on_close |= size == 0;
        self.truncate_pagecache(id, size);
        if size != old_size {
            self.wait_ordered_range(id, align_down(size), u64::MAX);
        }
        if let Err(errno) = self.reserve(Reservation::Trees) {
            self.restore_size(id, old_size, was_dirty);
            return Err(errno);
        }
        self.touch(id);
        self.truncate_items(id, size)
    }

    /// What is left of a truncation that found no space: the pages are gone, the items are not,
    /// and what is still dirty is written back, with the new size. Otherwise the size on disk comes
    /// back, which is that of the items if there was more to write (`btrfs_setsize`,
    /// fs/btrfs/inode.c).
    fn restore_size(&mut self, id: InodeId, old_size: u64, was_dirty: bool) {
        let is_dirty = self.dirty_inodes.contains(&id);
        self.flush(id);
        let items_end = self
            .item_before(id, u64::MAX)
            .map_or(0, |(key, item)| item.end(key));
        self.inode_mut(id).size = match (is_dirty, was_dirty) {
            (true, _) => {
                self.has_left_tails = true;
                return;
            }
            (false, true) => old_size.min(items_end),
            (false, false) => old_size,
        };
    }

    /// Zeroes the part of the block behind `offset` if that is inside a block, through the page
    /// cache: the block becomes dirty (`btrfs_truncate_block`, fs/btrfs/inode.c).
    pub(crate) fn truncate_block(&mut self, id: InodeId, offset: u64) -> Result<(), Errno> {
        match is_aligned(offset) {
            true => Ok(()),
            false => self.zero_in_block(id, offset, align_up(offset)),
        }
    }

    /// Zeroes `start..end` inside one block through the page cache.
    pub(crate) fn zero_in_block(&mut self, id: InodeId, start: u64, end: u64) -> Result<(), Errno> {
        let block = align_down(start);
        debug_assert!(end <= block + BLOCK);
        self.reserve(Reservation::Page(block))?;
        let mut page = self.page_range(id, block, block + BLOCK);
        page.overwrite(start - block, Content::zeros(end - start));
        self.dirty_pages(id, block, page);
        self.inode_mut(id).digest = None;
        Ok(())
    }

    pub(crate) fn dirty_pages(&mut self, id: InodeId, start: u64, pages: Content) {
        // A write to a page waits until its ordered extent is complete.
        let end = start + pages.len();
        self.finish_ordered_range(id, start, end);
        // Counting which of them are new looks up the holes, but for those behind EOF.
        if start < self.inode(id).size || self.inode(id).has_prealloc {
            self.look_up_holes(id, start, end);
        }
        let inode = self.inode_mut(id);
        inode.cached.add(start, end);
        inode.set_dirty(start, pages);
        self.dirty_inodes.insert(id);
    }

    /// Drops the dirty pages behind `size` and zeroes the rest of its block where it is dirty.
    fn truncate_pagecache(&mut self, id: InodeId, size: u64) {
        self.inode_mut(id).take_dirty(align_up(size), u64::MAX);
        self.inode_mut(id).cached.drop(align_up(size), u64::MAX);
        self.truncate_ordered(id, size);
        let block = align_down(size);
        if block != size {
            let taken = self.inode_mut(id).take_dirty(block, block + BLOCK);
            for (start, mut page) in taken {
                page.overwrite(size - block, Content::zeros(block + BLOCK - size));
                self.inode_mut(id).set_dirty(start, page);
            }
        }
        self.forget_if_clean(id);
    }

    /// Drops and trims the items behind `size` (`btrfs_truncate_inode_items`).
    fn truncate_items(&mut self, id: InodeId, size: u64) -> Result<(), Errno> {
        self.drop_extents(id, align_up(size), u64::MAX);
        self.inode_mut(id).needs_full_sync = true;
        if let Some(FileExtent::Inline(inline)) = self.item_at(id, 0)
            && inline.content.len() > size
        {
            let mut kept = inline.clone();
            if size == 0 {
                self.remove_item(id, 0);
            } else if kept.compressed.is_some() {
                // It cannot be cut where it is: the block is to be written anew.
                if self.behaviour.truncates_compressed_inline {
                    self.truncate_block(id, size)?;
                }
            } else {
                kept.content.truncate(size);
                self.put_inline(id, 0, kept);
            }
        }
        Ok(())
    }
}
