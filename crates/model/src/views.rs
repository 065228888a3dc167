//! Filling the views that checks look at, from a frame and the state.

use fs_state::{FsState, InodeId};
use rules::view::{
    BLOCK_BYTES, CallView, CountView, EntryView, FileView, InodeView, LockedView, PairView,
    RangeView,
};
use uapi::dedupe;

use crate::frame::Frame;

impl Frame {
    /// Returns the source's view; its descriptor is resolved by the time checks are asked.
    pub(crate) fn source_view(&self) -> &FileView {
        &self
            .source
            .as_ref()
            .expect("every plan resolves the source first")
            .view
    }

    /// Returns the target's view, likewise.
    pub(crate) fn target_view(&self) -> &FileView {
        &self
            .element
            .target
            .as_ref()
            .expect("every plan resolves the target first")
            .view
    }

    /// Returns the source's and the target's inode.
    #[inline]
    pub(crate) fn pair(&self) -> (InodeId, InodeId) {
        self.element
            .pair
            .expect("the pair checks let only files of one filesystem through")
    }

    pub(crate) fn entry_view(&self) -> EntryView {
        EntryView {
            file: *self.source_view(),
        }
    }

    /// Returns the target as the file of the ioctl, which it is for a clone.
    pub(crate) fn clone_entry_view(&self) -> EntryView {
        EntryView {
            file: *self.target_view(),
        }
    }

    pub(crate) fn count_view(&self) -> CountView {
        CountView {
            request_bytes: dedupe::request_len(self.count) as u64,
        }
    }

    pub(crate) fn call_view(&self) -> CallView {
        CallView {
            source: *self.source_view(),
            source_offset: self.header.src_offset.get(),
            len: self.len,
            reserved1: self.header.reserved1.get(),
            reserved2: self.header.reserved2.get(),
            block_bytes: BLOCK_BYTES,
        }
    }

    pub(crate) fn pair_view(&self) -> PairView {
        PairView {
            caller: self.caller,
            source: *self.source_view(),
            target: *self.target_view(),
            source_offset: self.element.source_offset,
            target_offset: self.element.target_offset,
            len: self.len,
            reserved: self.element.reserved,
        }
    }

    pub(crate) fn locked_view(&self, fs: &FsState) -> LockedView {
        let (source, target) = self.pair();
        LockedView {
            source: inode_view(fs, source),
            target: inode_view(fs, target),
            is_target_root_readonly: self.target_view().is_root_readonly,
        }
    }

    pub(crate) fn range_view(&self, fs: &FsState) -> RangeView {
        let (source, target) = self.pair();
        RangeView {
            source: inode_view(fs, source),
            target: inode_view(fs, target),
            is_same_inode: source == target,
            source_offset: self.element.source_offset,
            target_offset: self.element.target_offset,
            len: self.element.len,
            aligned_len: self.element.aligned_len,
        }
    }
}

/// Returns how checks see an inode under its lock. Swap files and sends are not modelled yet.
fn inode_view(fs: &FsState, id: InodeId) -> InodeView {
    let inode = fs.inode(id);
    InodeView {
        size: inode.size(),
        is_nodatasum: inode.is_nodatasum(),
        is_immutable: inode.is_immutable(),
        is_swapfile: false,
        is_root_sending: false,
    }
}
