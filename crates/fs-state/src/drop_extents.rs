//! Dropping file extent items of a range: deleted inside it, trimmed or split at its ends.
//!
//! The reference of a trimmed item stays, since file offset and extent offset move together; a
//! split adds one. (`btrfs_drop_extents`, fs/btrfs/file.c.)

use crate::{FileExtent, FsState, InodeId};

/// What a drop met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DropReport {
    /// An item reached over an end of the range and was trimmed or split.
    pub(crate) cut_item: bool,
}

impl FsState {
    /// Drops what the items of the inode say about `start..end` (block-aligned bytes).
    pub(crate) fn drop_extents(&mut self, id: InodeId, start: u64, end: u64) -> DropReport {
        let mut report = DropReport::default();
        if start >= end {
            return report;
        }
        let inode = self.inode_mut(id);
        let (root, ino) = (inode.root, inode.ino);
        inode.hole_maps.remove(start, end);

        // The item that begins before the range may reach into it, or over it.
        if let Some((key, FileExtent::Regular(slice))) = self.item_before(id, start)
            && key + slice.len > start
        {
            report.cut_item = true;
            self.put_slice(id, key, slice.part(0, start - key));
            if key + slice.len > end {
                let part = slice.part(end - key, key + slice.len - end);
                self.put_slice(id, end, part);
                if self.behaviour.counts_splits {
                    self.extents
                        .add_ref(part.extent, root, ino, part.backref_offset(end));
                }
                return report;
            }
        }

        while let Some((key, item)) = self.item_from(id, start)
            && key < end
        {
            let slice = item.slice();
            self.remove_item(id, key);
            let Some(slice) = slice else { continue };
            if key + slice.len > end {
                report.cut_item = true;
                self.put_slice(id, end, slice.part(end - key, key + slice.len - end));
            } else {
                self.extents
                    .drop_ref(slice.extent, root, ino, slice.backref_offset(key));
            }
        }
        report
    }
}
