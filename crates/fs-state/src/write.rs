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
            at = self.next_page(to);
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
            let inode = self.inode_mut(id);
            (inode.size, inode.disk_size) = (size, size);
            return Ok(());
        }
        self.inode_mut(id).size = size;
        self.inode_mut(id).flushes_on_close |= size == 0;
        self.truncate_pagecache(id, size);
        if size != old_size {
            self.wait_ordered_range(id, align_down(size), u64::MAX);
        }
        let found_space = self
            .reserve(Reservation::Trees)
            .and_then(|()| self.drop_last_items(id, align_up(size)));
        if let Err(errno) = found_space {
            self.restore_size(id);
            return Err(errno);
        }
        self.touch(id);
        self.inode_mut(id).disk_size = size;
        self.truncate_items(id, size)
    }

    /// Where space is short, drops the items from `start` on one by one, the last one first. Behind
    /// each a kernel may lack space for what its reference needs, and begin another transaction
    /// (`btrfs_truncate_inode_items`, fs/btrfs/inode-item.c).
    ///
    /// # Errors
    /// `ENOSPC` if there is none for that; on disk the file ends then where the last item that was
    /// dropped began.
    fn drop_last_items(&mut self, id: InodeId, start: u64) -> Result<(), Errno> {
        while self.short.is_some()
            && let Some((key, FileExtent::Regular(_))) = self.item_before(id, u64::MAX)
            && start <= key
        {
            self.drop_extents(id, key, u64::MAX);
            let inode = self.inode_mut(id);
            inode.needs_full_sync = true;
            inode.disk_size = key;
            self.reserve(Reservation::Trees)?;
        }
        Ok(())
    }

    /// What is left of a truncation that found no space: the pages are gone, items may not be.
    /// What is still dirty is written back with the new size, which is that on disk then, and the
    /// size on disk is the size again. A file without a name keeps the new size, and what is
    /// dirty (`btrfs_setsize`, fs/btrfs/inode.c).
    fn restore_size(&mut self, id: InodeId) {
        if 0 < self.inode(id).nr_links {
            self.flush(id);
            let inode = self.inode_mut(id);
            inode.size = inode.disk_size;
        }
        let end = align_up(self.inode(id).size);
        let last = self.item_before(id, u64::MAX);
        self.has_left_tails |= last.is_some_and(|(key, _)| end <= key);
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
