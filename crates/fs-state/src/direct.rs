//! Direct writes: extents made without the page cache (fs/btrfs/direct-io.c).
//!
//! A direct write goes by the extent maps that it meets: each is overwritten by an ordered extent
//! of its own. What it cannot do is left to a buffered write whose range is written back at once.

use data::Content;
use uapi::Errno;

use crate::ordered::{OrderedExtent, OrderedKind};
use crate::write::{SIZE_MAX, WRITE_LEN_MAX};
use crate::{FileExtent, FsState, InodeId, SliceKind, align_down, align_up, is_aligned};

impl FsState {
    /// Writes back the file, writes `content` at `pos`, bytes, with `O_DIRECT`, and writes back the
    /// file again; returns how many bytes were written.
    ///
    /// # Errors
    /// Those of [`FsState::write`].
    pub fn direct_write(&mut self, id: InodeId, pos: u64, content: &Content) -> Result<u64, Errno> {
        self.flush(id);
        let written = match content.len().min(WRITE_LEN_MAX) {
            len if self.may_write_directly(id, pos, len) => {
                let direct_len = self.compressed_from(id, pos, pos + len) - pos;
                self.begin_write(id, pos, len)?;
                if 0 < direct_len {
                    self.write_around_cache(id, pos, &content.slice(0..direct_len));
                }
                let rest = content.slice(direct_len..len);
                self.write_through_cache(id, pos + direct_len, &rest)?;
                Ok(len)
            }
            0 => self.write(id, pos, content),
            _ => self
                .expand_tail(id, pos)
                .and_then(|()| self.write_through_cache(id, pos, content)),
        };
        self.flush(id);
        written
    }

    /// Returns how many of `len` bytes from `pos` on a direct write brings to disk in a way that
    /// can be known without knowing where extents lie: all of them, or those before the first
    /// place where one file extent ends and another begins. The extent maps of two that touch on
    /// disk can be one (`try_merge_map`), and then one extent overwrites both.
    #[must_use]
    pub fn direct_len_known(&self, id: InodeId, pos: u64, len: u64) -> u64 {
        let mut fs = self.clone();
        fs.flush(id);
        if !fs.may_write_directly(id, pos, len) {
            return len;
        }
        let end = pos + len;
        let (mut at, mut kind_before) = (pos, None);
        while at < end {
            let kind = match fs.hole_end(id, at, end - at) {
                Some(_) => None,
                None => fs
                    .item_at_or_behind(id, at)
                    .and_then(|(_, item)| item.slice())
                    .map(|slice| slice.kind),
            };
            if kind.is_some() && kind == kind_before {
                return at - pos;
            }
            (at, _) = fs.next_direct_piece(id, at, end);
            kind_before = kind;
        }
        len
    }

    /// What a direct write does before it turns to the page cache, which does the same once more.
    fn expand_tail(&mut self, id: InodeId, pos: u64) -> Result<(), Errno> {
        let size = self.inode(id).size;
        if align_down(pos) <= size || SIZE_MAX <= pos {
            return Ok(());
        }
        self.touch(id);
        self.truncate_block(id, size)
    }

    /// Returns whether nothing forces a write into the page cache (`check_direct_IO`,
    /// `btrfs_dio_iomap_begin`).
    fn may_write_directly(&self, id: InodeId, pos: u64, len: u64) -> bool {
        let inode = self.inode(id);
        let is_whole = 0 < len && is_aligned(pos) && is_aligned(len) && pos <= SIZE_MAX - len;
        let begins_inline = pos == 0 && matches!(self.item_at(id, 0), Some(FileExtent::Inline(_)));
        is_whole && !begins_inline && (inode.is_nodatasum || self.behaviour.writes_checked_directly)
    }

    /// Returns where the first compressed extent of `start..end` begins, from which on nothing is
    /// written directly; `end` if there is none.
    fn compressed_from(&self, id: InodeId, start: u64, end: u64) -> u64 {
        let mut at = start;
        while let Some((key, item)) = self.item_at_or_behind(id, at).filter(|(key, _)| *key < end) {
            let extent = item.slice().map(|slice| self.extents.get(slice.extent));
            if extent.is_some_and(|extent| extent.is_compressed()) {
                return key.max(start);
            }
            at = align_up(item.end(key));
        }
        end
    }

    /// A buffered write, written back and dropped from the page cache.
    fn write_through_cache(
        &mut self,
        id: InodeId,
        pos: u64,
        content: &Content,
    ) -> Result<u64, Errno> {
        let written = self.write(id, pos, content)?;
        if 0 < written {
            self.write_range(id, pos, pos + written);
            self.release_pages(id, pos, pos + written);
        }
        Ok(written)
    }

    /// Writes whole blocks to where the items say, or to extents of their own.
    fn write_around_cache(&mut self, id: InodeId, pos: u64, content: &Content) {
        let end = pos + content.len();
        self.release_pages(id, pos, end);
        let mut at = pos;
        while at < end {
            let (piece_end, in_place) = self.next_direct_piece(id, at, end);
            let piece = content.slice(at - pos..piece_end - pos);
            let (extent, offset, kind) = match in_place {
                Some((extent, offset)) => (extent, offset, OrderedKind::Nocow),
                None => {
                    let extent = self.extents.allocate(piece.clone(), self.transid);
                    (extent, 0, OrderedKind::Cow)
                }
            };
            let ordered = OrderedExtent {
                extent,
                offset,
                content: piece,
                kind,
                is_submitted: false,
            };
            self.inode_mut(id).ordered.insert(at, ordered);
            at = piece_end;
        }
        self.dirty_inodes.insert(id);
        let inode = self.inode_mut(id);
        inode.size = inode.size.max(end);
        inode.digest = None;
        self.finish_ordered_range(id, pos, end);
        self.release_pages(id, pos, end);
    }

    /// Returns the end of the extent map at `at`, at most `end`, and where the bytes go if they may
    /// be written in place.
    fn next_direct_piece(
        &mut self,
        id: InodeId,
        at: u64,
        end: u64,
    ) -> (u64, Option<(crate::ExtentId, u64)>) {
        if let Some(hole_end) = self.hole_end(id, at, end - at) {
            return (hole_end.min(end), None);
        }
        let Some((key, item)) = self.item_at_or_behind(id, at) else {
            return (end, None);
        };
        let piece_end = align_up(item.end(key)).min(end);
        let Some(slice) = item.slice() else {
            return (piece_end, None);
        };
        let may_stay = slice.kind == SliceKind::Prealloc || self.inode(id).is_nodatacow;
        let in_place = (may_stay && self.can_nocow(id, key, &slice, at, piece_end))
            .then(|| (slice.extent, slice.offset + (at - key)));
        (piece_end, in_place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Behaviour;

    const K: u64 = 1024;

    #[test]
    fn a_direct_write_is_known_up_to_where_an_extent_follows_an_extent() {
        let mut fs = FsState::new(Behaviour {
            writes_checked_directly: true,
            ..Behaviour::LATEST
        });
        let id = fs.create_file("A", false).expect("a fresh name");
        for (at, len) in [(0, 16 * K), (16 * K, 8 * K), (32 * K, 8 * K)] {
            let written = fs.write(id, at, &Content::byte(1, len));
            assert_eq!(written, Ok(len));
            fs.flush(id);
        }
        assert_eq!(fs.direct_len_known(id, 4 * K, 12 * K), 12 * K);
        assert_eq!(fs.direct_len_known(id, 4 * K, 20 * K), 12 * K);
        // A hole never makes one map with an extent.
        assert_eq!(fs.direct_len_known(id, 16 * K, 32 * K), 32 * K);
        // What goes through the page cache is written back as one.
        assert_eq!(fs.direct_len_known(id, 100, 20 * K), 20 * K);
    }
}
