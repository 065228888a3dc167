//! The tables of `FICLONERANGE`, which shares the plan's middle with dedupe.

use uapi::Errno;

use crate::check::{Check, Cite, End, Reach, Rule};
use crate::locked::NODATASUM_MISMATCH;
use crate::range::{ACTIVE_SWAPFILE, OFFSET_UNALIGNED, OVERLAP, TARGET_IMMUTABLE};
use crate::view::{
    BLOCK_BYTES, FileKind, LockedView, PairView, RangeView, is_aligned, is_negative_or_overflowing,
};

/// The VFS's order in 5.0; 6.18 has the same but for the mounts.
pub const PAIR: &[Check<PairView>] = &[
    Check::new(&CLONE_OTHER_MOUNT, |view| {
        view.source.mount != view.target.mount
    }),
    Check::new(&CLONE_OTHER_SUPERBLOCK, |view| {
        view.source.superblock != view.target.superblock
    }),
    Check::new(&CLONE_DIRECTORY, |view| {
        view.source.kind == FileKind::Directory || view.target.kind == FileKind::Directory
    }),
    Check::new(&CLONE_IRREGULAR, |view| {
        view.source.kind != FileKind::Regular || view.target.kind != FileKind::Regular
    }),
    Check::new(&CLONE_ACCESS, |view| {
        !view.source.is_readable || !view.target.is_writable || view.target.is_appending
    }),
    Check::new(&CLONE_WITHOUT_REMAP, |view| !view.source.has_remap),
    Check::new(&CLONE_SOURCE_NEGATIVE, |view| {
        is_negative_or_overflowing(view.source_offset, view.len)
    }),
    Check::new(&CLONE_TARGET_NEGATIVE, |view| {
        is_negative_or_overflowing(view.target_offset, view.len)
    }),
];

/// Inodes locked, nothing flushed.
pub const LOCKED: &[Check<LockedView>] = &[
    Check::new(&CLONE_ROOT_READONLY, |view| view.is_target_root_readonly),
    Check::new(&NODATASUM_MISMATCH, |view| {
        view.source.is_nodatasum != view.target.is_nodatasum
    }),
];

/// Ranges flushed, length as asked for.
pub const KIND: &[Check<RangeView>] = &[
    Check::new(&TARGET_IMMUTABLE, |view| view.target.is_immutable),
    Check::new(&ACTIVE_SWAPFILE, |view| {
        view.source.is_swapfile || view.target.is_swapfile
    }),
    Check::new(&CLONE_OF_NOTHING, |view| {
        view.len == 0 && view.source_offset == view.source.size
    }),
    Check::new(&CLONE_FROM_PAST_EOF, |view| {
        view.len == 0 && view.source.size < view.source_offset
    }),
];

/// Length 0 replaced by what it stands for, tail rounded.
pub const RANGE: &[Check<RangeView>] = &[
    Check::new(&OFFSET_UNALIGNED, |view| {
        !is_aligned(view.source_offset) || !is_aligned(view.target_offset)
    }),
    Check::new(&CLONE_SOURCE_PAST_EOF, |view| {
        view.source.size < view.source_offset.saturating_add(view.len)
    }),
    Check::new(&CLONE_OVER_LIMIT, |view| {
        is_negative_or_overflowing(view.target_offset, view.len)
    }),
    Check::new(&OVERLAP, |view| {
        view.is_same_inode
            && view.source_offset < view.target_offset.saturating_add(view.aligned_len)
            && view.target_offset < view.source_offset.saturating_add(view.aligned_len)
    }),
    Check::new(&CLONE_LENGTH_UNALIGNED, |view| {
        !view.aligned_len.is_multiple_of(BLOCK_BYTES)
    }),
    Check::new(&CLONE_TAIL_INTO_MIDDLE, |view| {
        view.aligned_len != view.len
            && view.target_offset.saturating_add(view.len) < view.target.size
    }),
];

/// Where the VFS looks at a clone.
const VFS: Cite = Cite::new("fs/remap_range.c", "do_clone_file_range", "v6.1");
/// What it has in common with copies.
const RW: Cite = Cite::new("fs/read_write.c", "generic_file_rw_checks", "v6.1");
/// Signs and sums.
const AREA: Cite = Cite::new("fs/remap_range.c", "remap_verify_area", "v6.1");
/// The generic preparation.
const PREP: Cite = Cite::new(
    "fs/remap_range.c",
    "__generic_remap_file_range_prep",
    "v6.1",
);
/// Its checks.
const GENERIC: Cite = Cite::new("fs/remap_range.c", "generic_remap_checks", "v6.1");

/// Another vfsmount.
pub static CLONE_OTHER_MOUNT: Rule = Rule {
    id: "clone-other-mount",
    end: End::Refuses(Errno::EXDEV),
    cite: Cite::new("fs/ioctl.c", "ioctl_file_clone", "v5.17"),
    sentence: "source and target of a clone were opened through different mounts",
    reach: Reach::Uml("only kernels before 5.18 refuse it"),
};

/// Another superblock.
pub static CLONE_OTHER_SUPERBLOCK: Rule = Rule {
    id: "clone-other-superblock",
    end: End::Refuses(Errno::EXDEV),
    cite: VFS,
    sentence: "source and target of a clone lie on different filesystems",
    reach: Reach::Mount,
};

/// A directory.
pub static CLONE_DIRECTORY: Rule = Rule {
    id: "clone-directory",
    end: End::Refuses(Errno::EISDIR),
    cite: RW,
    sentence: "one of the two files of a clone is a directory",
    reach: Reach::Mount,
};

/// No regular file.
pub static CLONE_IRREGULAR: Rule = Rule {
    id: "clone-irregular",
    end: End::Refuses(Errno::EINVAL),
    cite: RW,
    sentence: "one of the two files of a clone is not regular",
    reach: Reach::Mount,
};

/// Open modes.
pub static CLONE_ACCESS: Rule = Rule {
    id: "clone-access",
    end: End::Refuses(Errno::EBADF),
    cite: RW,
    sentence: "the source of a clone is not open for reading, or its target is not open for \
               writing or open for appending",
    reach: Reach::Mount,
};

/// No operation.
pub static CLONE_WITHOUT_REMAP: Rule = Rule {
    id: "clone-without-remap",
    end: End::Refuses(Errno::EOPNOTSUPP),
    cite: VFS,
    sentence: "the source's filesystem cannot share ranges",
    reach: Reach::Mount,
};

/// Source position.
pub static CLONE_SOURCE_NEGATIVE: Rule = Rule {
    id: "clone-source-negative",
    end: End::Refuses(Errno::EINVAL),
    cite: AREA,
    sentence: "offset, length or end of a clone's source does not fit a signed 64-bit position",
    reach: Reach::Mount,
};

/// Target position.
pub static CLONE_TARGET_NEGATIVE: Rule = Rule {
    id: "clone-target-negative",
    end: End::Refuses(Errno::EINVAL),
    cite: AREA,
    sentence: "offset or end of a clone's target does not fit a signed 64-bit position",
    reach: Reach::Mount,
};

/// Read-only subvolume.
pub static CLONE_ROOT_READONLY: Rule = Rule {
    id: "clone-root-readonly",
    end: End::Refuses(Errno::EROFS),
    cite: Cite::new("fs/btrfs/reflink.c", "btrfs_remap_file_range_prep", "v6.1"),
    sentence: "the target of a clone lies in a read-only subvolume",
    reach: Reach::ModelOnly("no operation turns a subvolume with open files read-only"),
};

/// To EOF from EOF.
pub static CLONE_OF_NOTHING: Rule = Rule {
    id: "clone-of-nothing",
    end: End::Succeeds,
    cite: PREP,
    sentence: "a clone up to the source's EOF starts there: success, nothing done",
    reach: Reach::Mount,
};

/// To EOF from behind it.
pub static CLONE_FROM_PAST_EOF: Rule = Rule {
    id: "clone-from-past-eof",
    end: End::Refuses(Errno::EINVAL),
    cite: PREP,
    sentence: "a clone up to the source's EOF starts behind it",
    reach: Reach::Mount,
};

/// Source EOF.
pub static CLONE_SOURCE_PAST_EOF: Rule = Rule {
    id: "clone-source-past-eof",
    end: End::Refuses(Errno::EINVAL),
    cite: GENERIC,
    sentence: "the source's range of a clone ends past the source's EOF",
    reach: Reach::Mount,
};

/// Largest file.
pub static CLONE_OVER_LIMIT: Rule = Rule {
    id: "clone-over-limit",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/read_write.c", "generic_write_check_limits", "v6.1"),
    sentence: "a clone up to the source's EOF would end past the largest file size",
    reach: Reach::Mount,
};

/// Length alignment.
pub static CLONE_LENGTH_UNALIGNED: Rule = Rule {
    id: "clone-length-unaligned",
    end: End::Refuses(Errno::EINVAL),
    cite: GENERIC,
    sentence: "a clone's length is not a multiple of the block and does not end at the source's \
               EOF",
    reach: Reach::Mount,
};

/// The tail block must stay a tail.
pub static CLONE_TAIL_INTO_MIDDLE: Rule = Rule {
    id: "clone-tail-into-middle",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/remap_range.c", "generic_remap_check_len", "v6.1"),
    sentence: "a clone would put the source's partial last block into the middle of the target",
    reach: Reach::Mount,
};
