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
        let inode = self.inodes[id.0 as usize]
            .as_deref_mut()
            .expect("a live inode");
        let (root, ino) = (inode.root, inode.ino);
        inode.hole_maps.remove(start, end);

        // The item that begins before the range may reach into it, or over it.
        let mut behind = None;
        if let Some((&key, FileExtent::Regular(slice))) = inode.items.range_mut(..start).next_back()
            && key + slice.len > start
        {
            report.cut_item = true;
            if key + slice.len > end {
                let part = slice.part(end - key, key + slice.len - end);
                self.extents
                    .add_ref(part.extent, root, ino, part.backref_offset(end));
                behind = Some(part);
            }
            slice.len = start - key;
        }
        if let Some(part) = behind {
            inode.items.insert(end, FileExtent::Regular(part));
            return report;
        }

        while let Some((&key, _)) = inode.items.range(start..end).next() {
            match inode.items.remove(&key).expect("just found") {
                FileExtent::Inline(_) => {}
                FileExtent::Regular(slice) if key + slice.len > end => {
                    report.cut_item = true;
                    let part = slice.part(end - key, key + slice.len - end);
                    inode.items.insert(end, FileExtent::Regular(part));
                }
                FileExtent::Regular(slice) => {
                    self.extents
                        .drop_ref(slice.extent, root, ino, slice.backref_offset(key));
                }
            }
        }
        report
    }
}
