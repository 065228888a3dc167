//! Stages 6 to 8: both inodes locked, and (after 5.0) their ranges flushed. A refusal from here
//! on changes no file, but what was flushed stays flushed.

use uapi::Errno;

use crate::check::{Check, Cite, End, Reach, Rule};
use crate::step::Rounding;
use crate::view::{BLOCK_BYTES, RangeView, is_aligned};

/// 3.x, before the locks: locking a range that wraps kills the kernel.
pub const IOCTL_UNLOCKED: &[Check<RangeView>] = &[
    Check::new(&SOURCE_LOCK_WRAPS, |view| {
        view.source_offset.checked_add(view.len).is_none()
    }),
    Check::new(&TARGET_LOCK_WRAPS, |view| {
        view.target_offset.checked_add(view.len).is_none()
    }),
];

/// 3.x, locks held and ranges flushed: source first, its EOF before its alignment.
pub const IOCTL_RANGE: &[Check<RangeView>] = &[
    Check::new(&SOURCE_END_PAST_EOF, |view| {
        is_past(view.source_offset, view.len, view.source.size)
    }),
    Check::new(&SOURCE_UNALIGNED, |view| {
        !is_whole_blocks(view.source_offset, view.len)
    }),
    Check::new(&TARGET_END_PAST_EOF, |view| {
        is_past(view.target_offset, view.len, view.target.size)
    }),
    Check::new(&TARGET_UNALIGNED, |view| {
        !is_whole_blocks(view.target_offset, view.len)
    }),
];

/// 3.x, bytes equal: what the clone of an empty range does.
pub const IOCTL_REMAP: &[Check<RangeView>] = &[
    Check::new(&ZERO_LENGTH_OF_NOTHING, |view| {
        view.len == 0 && view.source.size == 0
    }),
    Check::new(&ZERO_LENGTH_AT_EOF, |view| {
        view.len == 0 && view.source_offset == view.source.size
    }),
    Check::new(&ZERO_LENGTH_HANGS, |view| {
        view.len == 0 && view.source_offset != 0
    }),
    Check::new(&ZERO_LENGTH_EXISTS, |view| view.len == 0),
];

/// 5.0 and later, the generic part.
pub const GENERIC_RANGE: &[Check<RangeView>] = &[
    Check::new(&TARGET_IMMUTABLE, |view| view.target.is_immutable),
    Check::new(&ACTIVE_SWAPFILE, |view| {
        view.source.is_swapfile || view.target.is_swapfile
    }),
    Check::new(&OFFSET_UNALIGNED, |view| {
        !is_aligned(view.source_offset) || !is_aligned(view.target_offset)
    }),
    Check::new(&SOURCE_SHRANK, |view| {
        is_past(view.source_offset, view.len, view.source.size)
    }),
    Check::new(&TARGET_PAST_EOF, |view| {
        is_past(view.target_offset, view.len, view.target.size)
    }),
];

/// 5.0 and later, lengths rounded.
pub const GENERIC_SHORTENED: &[Check<RangeView>] = &[
    Check::new(&OVERLAP, |view| {
        view.is_same_inode
            && view.source_offset < view.target_offset.saturating_add(view.aligned_len)
            && view.target_offset < view.source_offset.saturating_add(view.aligned_len)
    }),
    Check::new(&SHORTENED_TO_NOTHING, |view| view.len == 0),
];

/// 5.0 and later, bytes equal and the length shortened again.
pub const BTRFS_REMAP: &[Check<RangeView>] = &[
    Check::new(&SHORTENED_TO_NOTHING, |view| view.len == 0),
    Check::new(&SEND_IN_PROGRESS, |view| view.target.is_root_sending),
];

/// Returns the length to compare and the length whose extents move, bytes.
///
/// The only place where a length is rounded; steps and views take both from here.
#[must_use]
pub fn rounded(rounding: Rounding, view: &RangeView) -> (u64, u64) {
    let len = view.len;
    let down = len - len % BLOCK_BYTES;
    let up = len.next_multiple_of(BLOCK_BYTES);
    let is_source_eof = view.source_offset.saturating_add(len) == view.source.size;
    let is_target_eof = view.target_offset.saturating_add(len) == view.target.size;
    match rounding {
        Rounding::DownUnlessBothEof if is_source_eof && is_target_eof => (len, up),
        Rounding::DownUnlessBothEof => (down, down),
        Rounding::DownUnlessTargetEof if is_target_eof => (len, up),
        Rounding::DownUnlessTargetEof => (down, down),
        Rounding::UpAtSourceEof if is_source_eof => (len, up),
        Rounding::UpAtSourceEof => (down, down),
        Rounding::CloneTail if is_source_eof => (len, up),
        Rounding::CloneTail => (len, len),
    }
}

/// Returns whether the range ends behind `size`.
fn is_past(offset: u64, len: u64, size: u64) -> bool {
    size < offset.saturating_add(len)
}

/// Returns whether start and end lie at blocks' starts.
fn is_whole_blocks(offset: u64, len: u64) -> bool {
    is_aligned(offset) && is_aligned(offset.saturating_add(len))
}

/// The inner function of 3.12.
const SAME: Cite = Cite::new("fs/btrfs/ioctl.c", "btrfs_extent_same", "v3.12");
/// Its range checks.
const OFFSETS: Cite = Cite::new("fs/btrfs/ioctl.c", "extent_same_check_offsets", "v3.12");
/// Its lock.
const LOCK_RANGE: Cite = Cite::new("fs/btrfs/ioctl.c", "lock_extent_range", "v3.12");
/// The clone behind it.
const CLONE: Cite = Cite::new("fs/btrfs/ioctl.c", "btrfs_clone", "v3.12");
/// The generic preparation.
const PREP: Cite = Cite::new(
    "fs/remap_range.c",
    "__generic_remap_file_range_prep",
    "v6.1",
);
/// Its checks.
const GENERIC: Cite = Cite::new("fs/remap_range.c", "generic_remap_checks", "v6.1");
/// Why no backend shows a rule of 3.x.
const OLD: Reach = Reach::ModelOnly("kernels of that age are not among the backends");

/// The range is locked before it is checked.
pub static SOURCE_LOCK_WRAPS: Rule = Rule {
    id: "source-lock-wraps",
    end: End::Panics,
    cite: LOCK_RANGE,
    sentence: "the source's range wraps at 2^64 and is locked before it is checked",
    reach: OLD,
};

/// The same on the other side.
pub static TARGET_LOCK_WRAPS: Rule = Rule {
    id: "target-lock-wraps",
    end: End::Panics,
    cite: LOCK_RANGE,
    sentence: "the target's range wraps at 2^64 and is locked before it is checked",
    reach: OLD,
};

/// Source EOF, per element.
pub static SOURCE_END_PAST_EOF: Rule = Rule {
    id: "source-end-past-eof",
    end: End::Refuses(Errno::EINVAL),
    cite: OFFSETS,
    sentence: "the source's range, already clamped, ends past the source's EOF",
    reach: OLD,
};

/// Source alignment.
pub static SOURCE_UNALIGNED: Rule = Rule {
    id: "source-unaligned",
    end: End::Refuses(Errno::EINVAL),
    cite: OFFSETS,
    sentence: "the source's range does not start and end at blocks' starts",
    reach: OLD,
};

/// Target EOF.
pub static TARGET_END_PAST_EOF: Rule = Rule {
    id: "target-end-past-eof",
    end: End::Refuses(Errno::EINVAL),
    cite: OFFSETS,
    sentence: "the target's range, already clamped, ends past the target's EOF",
    reach: OLD,
};

/// Target alignment.
pub static TARGET_UNALIGNED: Rule = Rule {
    id: "target-unaligned",
    end: End::Refuses(Errno::EINVAL),
    cite: OFFSETS,
    sentence: "the target's range does not start and end at blocks' starts",
    reach: OLD,
};

/// No item, no work.
pub static ZERO_LENGTH_OF_NOTHING: Rule = Rule {
    id: "zero-length-of-nothing",
    end: End::Succeeds,
    cite: CLONE,
    sentence: "the length is zero and so is the source: there is no extent to clone",
    reach: OLD,
};

/// Inverted range at EOF.
pub static ZERO_LENGTH_AT_EOF: Rule = Rule {
    id: "zero-length-at-eof",
    end: End::Panics,
    cite: SAME,
    sentence: "the length is zero at the source's EOF",
    reach: OLD,
};

/// Inverted range.
pub static ZERO_LENGTH_HANGS: Rule = Rule {
    id: "zero-length-hangs",
    end: End::Hangs,
    cite: SAME,
    sentence: "the length is zero at an offset: the locked range ends before it starts",
    reach: OLD,
};

/// An item of zero bytes.
pub static ZERO_LENGTH_EXISTS: Rule = Rule {
    id: "zero-length-exists",
    end: End::Refuses(Errno::EEXIST),
    cite: CLONE,
    sentence: "the length is zero at offset zero: an item of no bytes is inserted where one is",
    reach: OLD,
};

/// Immutable target.
pub static TARGET_IMMUTABLE: Rule = Rule {
    id: "target-immutable",
    end: End::Refuses(Errno::EPERM),
    cite: PREP,
    sentence: "the target is immutable",
    reach: Reach::Mount,
};

/// Swap file.
pub static ACTIVE_SWAPFILE: Rule = Rule {
    id: "active-swapfile",
    end: End::Refuses(Errno::ETXTBSY),
    cite: PREP,
    sentence: "one of the two files is an active swap file",
    reach: Reach::ModelOnly("no operation activates a swap file yet"),
};

/// Start of a block.
pub static OFFSET_UNALIGNED: Rule = Rule {
    id: "offset-unaligned",
    end: End::Refuses(Errno::EINVAL),
    cite: GENERIC,
    sentence: "one of the two ranges does not start at a block's start",
    reach: Reach::Mount,
};

/// The source's EOF again, now under the lock.
pub static SOURCE_SHRANK: Rule = Rule {
    id: "source-shrank",
    end: End::Refuses(Errno::EINVAL),
    cite: GENERIC,
    sentence: "the source's range ends past its EOF although it did not when the call began",
    reach: Reach::ModelOnly("needs a truncate between the call's checks and the element's locks"),
};

/// Target EOF.
pub static TARGET_PAST_EOF: Rule = Rule {
    id: "target-past-eof",
    end: End::Refuses(Errno::EINVAL),
    cite: GENERIC,
    sentence: "the target's range ends past the target's EOF",
    reach: Reach::Mount,
};

/// Overlap.
pub static OVERLAP: Rule = Rule {
    id: "overlap",
    end: End::Refuses(Errno::EINVAL),
    cite: GENERIC,
    sentence: "source and target are one inode and the ranges overlap, lengths rounded",
    reach: Reach::Mount,
};

/// Nothing left.
pub static SHORTENED_TO_NOTHING: Rule = Rule {
    id: "shortened-to-nothing",
    end: End::Succeeds,
    cite: PREP,
    sentence: "no whole block is left after rounding: success, nothing shared",
    reach: Reach::Mount,
};

/// A send of the target's subvolume.
pub static SEND_IN_PROGRESS: Rule = Rule {
    id: "send-in-progress",
    end: End::Refuses(Errno::EAGAIN),
    cite: Cite::new("fs/btrfs/reflink.c", "btrfs_extent_same", "v6.1"),
    sentence: "a send of the target's subvolume is under way",
    reach: Reach::ModelOnly("no operation sends yet"),
};
