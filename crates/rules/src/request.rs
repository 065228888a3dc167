//! Stages 1 to 3: the request as a whole. What fires here ends the call, elements untouched.

use uapi::Errno;

use crate::check::{Check, Cite, End, Reach, Rule};
use crate::view::{
    BLOCK_BYTES, CallView, CountView, EntryView, FileKind, is_negative_or_overflowing,
};

/// Before anything is copied: the btrfs ioctl looks at the file first.
pub const IOCTL_ENTRY: &[Check<EntryView>] = &[
    Check::new(&SOURCE_WITHOUT_IOCTL, |view| !view.file.has_btrfs_ioctl),
    Check::new(&SOURCE_NOT_READABLE, |view| !view.file.is_readable),
    Check::new(&SOURCE_MOUNT_READONLY, |view| view.file.is_mount_readonly),
];

/// When the count is known.
pub const VFS_COUNT: &[Check<CountView>] = &[Check::new(&REQUEST_OVER_A_PAGE, |view| {
    BLOCK_BYTES < view.request_bytes
})];

/// The btrfs ioctl's view of a copied request.
pub const IOCTL_CALL: &[Check<CallView>] = &[
    Check::new(&BLOCK_SMALLER_THAN_PAGE, |view| {
        view.block_bytes < BLOCK_BYTES
    }),
    Check::new(&SOURCE_DIRECTORY, |view| {
        view.source.kind == FileKind::Directory
    }),
    Check::new(&SOURCE_NOT_A_FILE, |view| {
        view.source.kind != FileKind::Regular
    }),
];

/// The VFS's view of a copied request.
pub const VFS_CALL: &[Check<CallView>] = &[
    Check::new(&SOURCE_NOT_READABLE, |view| !view.source.is_readable),
    Check::new(&HEADER_RESERVED, |view| {
        view.reserved1 != 0 || view.reserved2 != 0
    }),
    Check::new(&SOURCE_DIRECTORY, |view| {
        view.source.kind == FileKind::Directory
    }),
    Check::new(&SOURCE_IRREGULAR, |view| {
        view.source.kind != FileKind::Regular
    }),
    Check::new(&SOURCE_WITHOUT_REMAP, |view| !view.source.has_remap),
    Check::new(&SOURCE_RANGE_NEGATIVE, |view| {
        is_negative_or_overflowing(view.source_offset, view.len)
    }),
    // The sum cannot wrap: the check before saw to that. Saturating keeps this one pure anyway.
    Check::new(&SOURCE_PAST_EOF, |view| {
        view.source.size < view.source_offset.saturating_add(view.len)
    }),
];

/// Where the ioctl of 3.12 to 4.4 lives.
const IOCTL: Cite = Cite::new("fs/btrfs/ioctl.c", "btrfs_ioctl_file_extent_same", "v3.12");
/// Where the VFS looks at a request.
const VFS: Cite = Cite::new("fs/remap_range.c", "vfs_dedupe_file_range", "v6.1");

/// No `unlocked_ioctl` of btrfs behind the descriptor.
pub static SOURCE_WITHOUT_IOCTL: Rule = Rule {
    id: "source-without-ioctl",
    end: End::Refuses(Errno::ENOTTY),
    cite: Cite::new("fs/ioctl.c", "vfs_ioctl", "v3.12"),
    sentence: "the file of the ioctl is not a file or directory of btrfs, \
               so nobody knows the request",
    reach: Reach::ModelOnly("kernels of that age are not among the backends"),
};

/// Source without `FMODE_READ`.
pub static SOURCE_NOT_READABLE: Rule = Rule {
    id: "source-not-readable",
    end: End::Refuses(Errno::EINVAL),
    cite: VFS,
    sentence: "the source is not open for reading",
    reach: Reach::Mount,
};

/// `mnt_want_write_file` of the source.
pub static SOURCE_MOUNT_READONLY: Rule = Rule {
    id: "source-mount-readonly",
    end: End::Refuses(Errno::EROFS),
    cite: IOCTL,
    sentence: "write access is wanted on the mount of the source, and that mount is read-only",
    reach: Reach::ModelOnly("kernels of that age are not among the backends"),
};

/// More than a page of arguments.
pub static REQUEST_OVER_A_PAGE: Rule = Rule {
    id: "request-over-a-page",
    end: End::Refuses(Errno::ENOMEM),
    cite: Cite::new("fs/ioctl.c", "ioctl_file_dedupe_range", "v6.1"),
    sentence: "header and elements by dest_count are longer than a page: \
               more than 127 elements",
    reach: Reach::Mount,
};

/// The page compare of 2013 could not handle it.
pub static BLOCK_SMALLER_THAN_PAGE: Rule = Rule {
    id: "block-smaller-than-page",
    end: End::Refuses(Errno::EINVAL),
    cite: IOCTL,
    sentence: "the filesystem's block is smaller than a page",
    reach: Reach::ModelOnly("the only block size of the model is that of a page"),
};

/// Source is a directory.
pub static SOURCE_DIRECTORY: Rule = Rule {
    id: "source-directory",
    end: End::Refuses(Errno::EISDIR),
    cite: VFS,
    sentence: "the source is a directory",
    reach: Reach::Mount,
};

/// Source is no regular file, in the words of 2013.
pub static SOURCE_NOT_A_FILE: Rule = Rule {
    id: "source-not-a-file",
    end: End::Refuses(Errno::EACCES),
    cite: IOCTL,
    sentence: "the source is not a regular file",
    reach: Reach::ModelOnly("such files have no btrfs ioctl, so the call never gets here"),
};

/// Reserved fields of the header.
pub static HEADER_RESERVED: Rule = Rule {
    id: "header-reserved",
    end: End::Refuses(Errno::EINVAL),
    cite: VFS,
    sentence: "reserved1 or reserved2 is not zero",
    reach: Reach::Mount,
};

/// Source is no regular file.
pub static SOURCE_IRREGULAR: Rule = Rule {
    id: "source-irregular",
    end: End::Refuses(Errno::EINVAL),
    cite: VFS,
    sentence: "the source is not a regular file",
    reach: Reach::Mount,
};

/// Source's filesystem cannot remap.
pub static SOURCE_WITHOUT_REMAP: Rule = Rule {
    id: "source-without-remap",
    end: End::Refuses(Errno::EOPNOTSUPP),
    cite: VFS,
    sentence: "the source's filesystem cannot share ranges",
    reach: Reach::Mount,
};

/// `remap_verify_area` of the source.
pub static SOURCE_RANGE_NEGATIVE: Rule = Rule {
    id: "source-range-negative",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/remap_range.c", "remap_verify_area", "v6.1"),
    sentence: "the source's offset, length or end does not fit a signed 64-bit position",
    reach: Reach::Mount,
};

/// The source's EOF, for the whole call.
pub static SOURCE_PAST_EOF: Rule = Rule {
    id: "source-past-eof",
    end: End::Refuses(Errno::EINVAL),
    cite: VFS,
    sentence: "the source's range, not yet clamped, ends past the source's EOF",
    reach: Reach::Mount,
};
