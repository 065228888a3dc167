//! The tables of `BTRFS_IOC_CLONE_RANGE` as it was when extent-same came: btrfs checks everything
//! itself, and takes the inodes in another order than extent-same does.
//!
//! Cite: `fs/btrfs/ioctl.c`, `btrfs_ioctl_clone`, v3.12.

use uapi::Errno;

use crate::check::{Check, Cite, End, Reach, Rule};
use crate::clone::{
    CLONE_DIRECTORY, CLONE_OF_NOTHING, CLONE_OTHER_MOUNT, CLONE_OVER_LIMIT, CLONE_ROOT_READONLY,
    CLONE_SOURCE_PAST_EOF,
};
use crate::locked::NODATASUM_MISMATCH;
use crate::range::OVERLAP;
use crate::view::{
    EntryView, FileKind, PairView, RangeView, is_aligned, is_negative_or_overflowing,
};

/// The file of the ioctl, which is the target; the source is not looked up yet.
pub const ENTRY: &[Check<EntryView>] = &[
    Check::new(&CLONE_WITHOUT_IOCTL, |view| !view.file.has_btrfs_ioctl),
    Check::new(&CLONE_TARGET_NOT_WRITABLE, |view| {
        !view.file.is_writable || view.file.is_appending
    }),
    Check::new(&CLONE_ROOT_READONLY, |view| view.file.is_root_readonly),
];

/// Both files, nothing locked.
pub const PAIR: &[Check<PairView>] = &[
    Check::new(&CLONE_OTHER_MOUNT, |view| {
        view.source.mount != view.target.mount
    }),
    Check::new(&CLONE_SAME_INODE, |view| {
        view.source.is_same_inode(&view.target)
    }),
    Check::new(&CLONE_SOURCE_NOT_READABLE, |view| !view.source.is_readable),
    Check::new(&NODATASUM_MISMATCH, |view| {
        view.source.is_nodatasum != view.target.is_nodatasum
    }),
    Check::new(&CLONE_DIRECTORY, |view| {
        view.source.kind == FileKind::Directory
    }),
];

/// Inodes locked, length as asked for.
pub const KIND: &[Check<RangeView>] = &[Check::new(&CLONE_SOURCE_PAST_EOF, |view| {
    view.source.size < view.source_offset.saturating_add(view.len)
})];

/// Length 0 replaced by what it stands for, tail rounded.
pub const RANGE: &[Check<RangeView>] = &[
    Check::new(&CLONE_UNALIGNED, |view| {
        !is_aligned(view.source_offset)
            || !is_aligned(view.aligned_len)
            || !is_aligned(view.target_offset)
    }),
    Check::new(&OVERLAP, |view| {
        view.is_same_inode
            && view.source_offset < view.target_offset.saturating_add(view.aligned_len)
            && view.target_offset < view.source_offset.saturating_add(view.aligned_len)
    }),
    Check::new(&CLONE_OF_NOTHING, |view| view.len == 0),
    // Kernels of that age had no such limit. What they did past it nobody measured.
    Check::new(&CLONE_OVER_LIMIT, |view| {
        is_negative_or_overflowing(view.target_offset, view.len)
    }),
];

/// Where it lives.
const CLONE: Cite = Cite::new("fs/btrfs/ioctl.c", "btrfs_ioctl_clone", "v3.12");
/// Why no backend shows these.
const OLD: Reach = Reach::ModelOnly("kernels of that age are not among the backends");

/// No `unlocked_ioctl` of btrfs behind the descriptor.
pub static CLONE_WITHOUT_IOCTL: Rule = Rule {
    id: "clone-without-ioctl",
    end: End::Refuses(Errno::ENOTTY),
    cite: Cite::new("fs/ioctl.c", "vfs_ioctl", "v3.12"),
    sentence: "the target of a clone is not a file or directory of btrfs, \
               so nobody knows the request",
    reach: OLD,
};

/// The target's open mode.
pub static CLONE_TARGET_NOT_WRITABLE: Rule = Rule {
    id: "clone-target-not-writable",
    end: End::Refuses(Errno::EINVAL),
    cite: CLONE,
    sentence: "the target of a clone is not open for writing, or open for appending",
    reach: OLD,
};

/// Clone within one file was not there yet.
pub static CLONE_SAME_INODE: Rule = Rule {
    id: "clone-same-inode",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_ioctl_clone", "v3.9"),
    sentence: "source and target of a clone are one inode",
    reach: OLD,
};

/// The source's open mode.
pub static CLONE_SOURCE_NOT_READABLE: Rule = Rule {
    id: "clone-source-not-readable",
    end: End::Refuses(Errno::EINVAL),
    cite: CLONE,
    sentence: "the source of a clone is not open for reading",
    reach: OLD,
};

/// Alignment of all three.
pub static CLONE_UNALIGNED: Rule = Rule {
    id: "clone-unaligned",
    end: End::Refuses(Errno::EINVAL),
    cite: CLONE,
    sentence: "an offset of a clone, or the end of the source's range that is not its EOF, \
               is not at a block's start",
    reach: OLD,
};
