//! Stores through a shared mapping (`btrfs_page_mkwrite`, fs/btrfs/file.c).

use data::Content;
use uapi::Errno;

use crate::write::WRITE_LEN_MAX;
use crate::{BLOCK, FsState, InodeId, align_down, align_up};

impl FsState {
    /// Stores `content` at `pos`, bytes, through a mapping, then writes the file back as an fsync
    /// does; returns how many bytes were stored. The size stays.
    ///
    /// # Errors
    /// `EFAULT` if not all of it lies in pages of the file, or if a page has no space: those before
    /// it are stored then, and not written back. And what `mmap(2)` answers: `EINVAL` for no bytes,
    /// `EACCES` for an append-only inode.
    pub fn mapped_write(&mut self, id: InodeId, pos: u64, content: &Content) -> Result<u64, Errno> {
        let len = content.len().min(WRITE_LEN_MAX);
        let end = pos.checked_add(len).ok_or(Errno::EFAULT)?;
        let inode = self.inode(id);
        let size = inode.size;
        if align_up(size) < end {
            return Err(Errno::EFAULT);
        }
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        if inode.is_append {
            return Err(Errno::EACCES);
        }
        let (start, pages_end) = (align_down(pos), align_up(end));
        let (mut stored, mut at) = (Content::zeros(0), start);
        while at < pages_end {
            // Each page faults by itself, is read if it is not there, and then reserves.
            self.read_pages(id, at, at + BLOCK);
            let to = self
                .reserve_pages(at, pages_end)
                .map_err(|_| Errno::EFAULT)?;
            self.touch(id);
            for page in (at + BLOCK..to).step_by(BLOCK as usize) {
                self.read_pages(id, page, page + BLOCK);
            }
            let (from, until) = (pos.max(at), end.min(to));
            let mut pages = self.page_range(id, at, to);
            pages.overwrite(from - at, content.slice(from - pos..until - pos));
            stored.append(pages.clone());
            if size < to {
                // What lies behind EOF is zeroed when the page is written.
                pages.truncate(size.max(at) - at);
                pages.append(Content::zeros(to - size.max(at)));
            }
            self.dirty_pages(id, at, pages);
            self.inode_mut(id).digest = None;
            at = to;
        }
        let last = pages_end - BLOCK;
        if size < pages_end && self.is_left_to_worker(id, last) {
            let page = stored.slice(last - start..stored.len());
            self.dirty_pages(id, last, page);
        }
        self.fsync(id);
        Ok(len)
    }

    /// Returns whether a dirty page is written by a worker that compresses what begins before it.
    /// Only the page with which writeback begins is zeroed behind EOF then.
    fn is_left_to_worker(&self, id: InodeId, page: u64) -> bool {
        let inode = self.inode(id);
        let before = inode.dirty_ranges().filter(|(start, _)| *start < page);
        let is_compressed = |(start, len)| {
            page < start + len && !inode.has_prealloc && self.needs_compress(id, start, len)
        };
        before.last().is_some_and(is_compressed)
    }
}
