//! Stage 4: one element whose descriptor is resolved. What fires here ends the element; no lock
//! is held and nothing was flushed.

use uapi::Errno;

use crate::check::{Check, Cite, End, Reach, Rule};
use crate::view::{FileKind, PairView, is_negative_or_overflowing};

/// The btrfs ioctl's order.
pub const IOCTL_PAIR: &[Check<PairView>] = &[
    Check::new(&TARGET_NOT_WRITABLE, |view| {
        !view.caller.is_admin && !view.target.is_writable
    }),
    Check::new(&OTHER_MOUNT, |view| view.source.mount != view.target.mount),
    Check::new(&OTHER_SUPERBLOCK, |view| {
        view.source.superblock != view.target.superblock
    }),
    Check::new(&TARGET_DIRECTORY, |view| {
        view.target.kind == FileKind::Directory
    }),
    Check::new(&TARGET_NOT_A_FILE, |view| {
        view.target.kind != FileKind::Regular
    }),
    Check::new(&SAME_INODE, |view| view.source.is_same_inode(&view.target)),
];

/// The VFS's order in 5.0. [`crate::series`] says what moved since.
pub const VFS_PAIR: &[Check<PairView>] = &[
    Check::new(&ELEMENT_RESERVED, |view| view.reserved != 0),
    Check::new(&TARGET_MOUNT_READONLY, |view| view.target.is_mount_readonly),
    Check::new(&TARGET_RANGE_NEGATIVE, |view| {
        is_negative_or_overflowing(view.target_offset, view.len)
    }),
    Check::new(&TARGET_NOT_PERMITTED, |view| !is_permitted(view)),
    Check::new(&OTHER_MOUNT, |view| view.source.mount != view.target.mount),
    Check::new(&TARGET_DIRECTORY, |view| {
        view.target.kind == FileKind::Directory
    }),
    Check::new(&TARGET_WITHOUT_REMAP, |view| !view.target.has_remap),
    Check::new(&ZERO_LENGTH, |view| view.len == 0),
];

/// What replaced [`OTHER_MOUNT`] in 5.18.
pub const CHECK_OTHER_SUPERBLOCK: Check<PairView> = Check::new(&OTHER_SUPERBLOCK, |view| {
    view.source.superblock != view.target.superblock
});

/// Returns whether the caller may dedupe into the target: an administrator, who opened it for
/// writing, its owner, who has write permission.
fn is_permitted(view: &PairView) -> bool {
    view.caller.is_admin
        || view.target.is_writable
        || view.target.uid == view.caller.uid
        || view.target.permits_write(view.caller)
}

/// Where the ioctl of 3.12 to 4.4 lives.
const IOCTL: Cite = Cite::new("fs/btrfs/ioctl.c", "btrfs_ioctl_file_extent_same", "v3.12");
/// Where the VFS looks at one element.
const VFS: Cite = Cite::new("fs/remap_range.c", "vfs_dedupe_file_range_one", "v6.1");

/// Rights in the words of 2013.
pub static TARGET_NOT_WRITABLE: Rule = Rule {
    id: "target-not-writable",
    end: End::Refuses(Errno::EINVAL),
    cite: IOCTL,
    sentence: "the caller is no administrator and the target is not open for writing",
    reach: Reach::ModelOnly("kernels of that age are not among the backends"),
};

/// Another vfsmount.
pub static OTHER_MOUNT: Rule = Rule {
    id: "other-mount",
    end: End::Refuses(Errno::EXDEV),
    cite: VFS,
    sentence: "source and target were opened through different mounts",
    reach: Reach::Uml("only kernels before 5.18 refuse it"),
};

/// Another superblock.
pub static OTHER_SUPERBLOCK: Rule = Rule {
    id: "other-superblock",
    end: End::Refuses(Errno::EXDEV),
    cite: VFS,
    sentence: "source and target lie on different filesystems",
    reach: Reach::Mount,
};

/// Target is a directory.
pub static TARGET_DIRECTORY: Rule = Rule {
    id: "target-directory",
    end: End::Refuses(Errno::EISDIR),
    cite: VFS,
    sentence: "the target is a directory",
    reach: Reach::Mount,
};

/// Target is no regular file, in the words of 2013.
pub static TARGET_NOT_A_FILE: Rule = Rule {
    id: "target-not-a-file",
    end: End::Refuses(Errno::EACCES),
    cite: IOCTL,
    sentence: "the target is not a regular file",
    reach: Reach::ModelOnly("kernels of that age are not among the backends"),
};

/// Dedupe within one file was not there yet.
pub static SAME_INODE: Rule = Rule {
    id: "same-inode",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_extent_same", "v3.12"),
    sentence: "source and target are one inode",
    reach: Reach::ModelOnly("kernels of that age are not among the backends"),
};

/// Reserved field of the element.
pub static ELEMENT_RESERVED: Rule = Rule {
    id: "element-reserved",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/remap_range.c", "vfs_dedupe_file_range", "v6.1"),
    sentence: "the element's reserved field is not zero",
    reach: Reach::Mount,
};

/// `mnt_want_write_file` of the target.
pub static TARGET_MOUNT_READONLY: Rule = Rule {
    id: "target-mount-readonly",
    end: End::Refuses(Errno::EROFS),
    cite: VFS,
    sentence: "the target was opened through a read-only mount",
    reach: Reach::Mount,
};

/// `remap_verify_area` of the target.
pub static TARGET_RANGE_NEGATIVE: Rule = Rule {
    id: "target-range-negative",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/remap_range.c", "remap_verify_area", "v6.1"),
    sentence: "the target's offset or end does not fit a signed 64-bit position",
    reach: Reach::Mount,
};

/// `allow_file_dedupe`, `may_dedupe_file` since 6.8.
pub static TARGET_NOT_PERMITTED: Rule = Rule {
    id: "target-not-permitted",
    end: End::Refuses(Errno::EPERM),
    cite: Cite::new("fs/remap_range.c", "allow_file_dedupe", "v6.1"),
    sentence: "the caller is no administrator, did not open the target for writing, \
               does not own it and has no write permission",
    reach: Reach::Mount,
};

/// Target's operations cannot remap.
pub static TARGET_WITHOUT_REMAP: Rule = Rule {
    id: "target-without-remap",
    end: End::Refuses(Errno::EINVAL),
    cite: VFS,
    sentence: "the target is a fifo of the same filesystem: its operations cannot share ranges",
    reach: Reach::Mount,
};

/// Nothing to do.
pub static ZERO_LENGTH: Rule = Rule {
    id: "zero-length",
    end: End::Succeeds,
    cite: VFS,
    sentence: "the length is zero: success, whatever the offsets are",
    reach: Reach::Mount,
};
