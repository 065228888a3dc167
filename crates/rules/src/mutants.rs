//! What was broken once, as patches without a release: each re-introduces a historical bug (or a
//! made-up one), so that a differential run can prove that it would be found.

use uapi::Errno;

use crate::check::{Check, Cite, End, Reach, Rule};
use crate::patch::{AnyCheck, Hunk, Limit, Patch};
use crate::step::{Bytes, Comparison, Plan, Rounding, Stage, Step, Times};

/// Every mutant.
pub const MUTANTS: &[Patch] = &[
    DST_PAST_EOF_SELF,
    SILENT_SHORT,
    EOF_BLOCK_INTO_MIDDLE,
    BYTES_TRUE,
    NODATASUM_MIX,
    UPDATES_MTIME,
    IMMUTABLE_EINVAL,
    SPLIT_NOT_COUNTED,
    BACKREF_UNDERFLOW_OFFSET,
    CLONE_INLINE_NONZERO_OFF,
    TRUNCATED_INLINE_LEAK,
    CLONE_QGROUP_EXCL,
    CANARY,
];

/// Returns the ids of all mutants.
#[must_use]
pub fn ids() -> Vec<&'static str> {
    MUTANTS.iter().map(|mutant| mutant.id).collect()
}

/// No EOF check within one inode.
pub const DST_PAST_EOF_SELF: Patch = Patch {
    id: "dedupe-dst-past-eof-self",
    subject: "Within one inode, accept a target range past EOF",
    cite: Cite::new(
        "fs/btrfs/ioctl.c",
        "btrfs_extent_same",
        "reverts f4dfe6871006",
    ),
    since: None,
    hunks: &[Hunk::SwapCheck(
        "target-past-eof",
        AnyCheck::Range(Check::new(&TARGET_PAST_EOF_OF_OTHER, |view| {
            !view.is_same_inode && view.target.size < view.target_offset.saturating_add(view.len)
        })),
    )],
};

/// Only the first 16 MiB.
pub const SILENT_SHORT: Patch = Patch {
    id: "dedupe-16m-silent-short",
    subject: "Remap at most 16 MiB of an element and report all of it",
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_extent_same", "v4.17"),
    since: None,
    hunks: &[Hunk::SetLimit(Limit::ElementLen, 16 << 20)],
};

/// The tail goes anywhere.
pub const EOF_BLOCK_INTO_MIDDLE: Patch = Patch {
    id: "dedupe-eof-block-into-middle",
    subject: "Where the source's range ends at its EOF, share its last block whole",
    cite: Cite::new(
        "fs/remap_range.c",
        "generic_remap_check_len",
        "reverts de02b9f6bb65",
    ),
    since: None,
    hunks: &[Hunk::SwapStep(
        Plan::Element,
        Step::Shorten(Rounding::DownUnlessBothEof),
        Step::Shorten(Rounding::UpAtSourceEof),
    )],
};

/// The true number.
pub const BYTES_TRUE: Patch = Patch {
    id: "dedupe-bytes-true",
    subject: "Report the bytes that were shared, not those that were asked for",
    cite: Cite::new(
        "fs/remap_range.c",
        "vfs_dedupe_file_range",
        "reverts b926f2adb044",
    ),
    since: None,
    hunks: &[Hunk::SwapStep(
        Plan::Element,
        Step::Report(Bytes::Requested),
        Step::Report(Bytes::Achieved),
    )],
};

/// Checksums on one side only.
pub const NODATASUM_MIX: Patch = Patch {
    id: "nodatasum-mix",
    subject: "Share data between a file with checksums and one without",
    cite: Cite::new(
        "fs/btrfs/reflink.c",
        "btrfs_remap_file_range_prep",
        "reverts 0e7b824c4ef9",
    ),
    since: None,
    hunks: &[Hunk::DropCheck(Stage::Locked, "nodatasum-mismatch")],
};

/// Times of a clone.
pub const UPDATES_MTIME: Patch = Patch {
    id: "dedupe-updates-mtime",
    subject: "Stamp the target's mtime and ctime when a reference moves",
    cite: Cite::new(
        "fs/btrfs/ioctl.c",
        "clone_finish_inode_update",
        "reverts 1c919a5e1370",
    ),
    since: None,
    hunks: &[Hunk::SwapStep(
        Plan::Element,
        Step::RemapChunk(Times::Keep),
        Step::RemapChunk(Times::Now),
    )],
};

/// A wrong errno.
pub const IMMUTABLE_EINVAL: Patch = Patch {
    id: "immutable-einval",
    subject: "Refuse an immutable target with the wrong errno",
    cite: Cite::new(
        "fs/remap_range.c",
        "__generic_remap_file_range_prep",
        "made up",
    ),
    since: None,
    hunks: &[Hunk::SwapCheck(
        "target-immutable",
        AnyCheck::Range(Check::new(&TARGET_IMMUTABLE_EINVAL, |view| {
            view.target.is_immutable
        })),
    )],
};

/// A reference too few.
pub const SPLIT_NOT_COUNTED: Patch = Patch {
    id: "split-not-counted",
    subject: "Do not raise the count when an item is cut in two",
    cite: Cite::new("fs/btrfs/file.c", "btrfs_drop_extents", "made up"),
    since: None,
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.counts_splits = false
    })],
};

/// A reference that is there and not found.
pub const BACKREF_UNDERFLOW_OFFSET: Patch = Patch {
    id: "backref-underflow-offset",
    subject: "Overlook back references whose offset is below zero",
    cite: Cite::new(
        "fs/btrfs/backref.c",
        "add_all_parents",
        "reverts b06c4bf5c874",
    ),
    since: None,
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.finds_negative_backrefs = false
    })],
};

/// An inline item where none may be.
pub const CLONE_INLINE_NONZERO_OFF: Patch = Patch {
    id: "clone-inline-nonzero-off",
    subject: "Clone an inline item to any offset as it is",
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_clone", "reverts ed958762644b"),
    since: None,
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.clones_inline_anywhere = true
    })],
};

/// Bytes that were truncated away and are still there.
pub const TRUNCATED_INLINE_LEAK: Patch = Patch {
    id: "clone-truncated-inline-leak",
    subject: "Leave a compressed inline item whole when its file is truncated",
    cite: Cite::new(
        "fs/btrfs/inode.c",
        "btrfs_truncate_inode_items",
        "reverts 0305cd5f7fca",
    ),
    since: None,
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.truncates_compressed_inline = false
    })],
};

/// An owner that is alone for ever.
pub const CLONE_QGROUP_EXCL: Patch = Patch {
    id: "clone-qgroup-excl",
    subject: "Count what several subvolumes refer to as exclusive to the first of them",
    cite: Cite::new(
        "fs/btrfs/qgroup.c",
        "btrfs_delayed_qgroup_accounting",
        "v4.1",
    ),
    since: None,
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.recounts_owners = false
    })],
};

/// Proves that differences are noticed at all.
pub const CANARY: Patch = Patch {
    id: "canary",
    subject: "Call all bytes the same",
    cite: Cite::new(
        "fs/remap_range.c",
        "vfs_dedupe_file_range_compare",
        "made up",
    ),
    since: None,
    hunks: &[Hunk::SwapStep(
        Plan::Element,
        Step::Compare(Comparison::Bytes),
        Step::Compare(Comparison::AlwaysSame),
    )],
};

/// Why no kernel shows a mutant's rule.
const MUTANT: Reach = Reach::ModelOnly("a mutant");

/// `target-past-eof` with the hole of 4.2 to 4.4.
pub static TARGET_PAST_EOF_OF_OTHER: Rule = Rule {
    id: "target-past-eof-of-other",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_extent_same", "v4.2"),
    sentence: "the target is another inode than the source and its range ends past its EOF",
    reach: MUTANT,
};

/// `target-immutable` with the wrong errno.
pub static TARGET_IMMUTABLE_EINVAL: Rule = Rule {
    id: "target-immutable-einval",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new(
        "fs/remap_range.c",
        "__generic_remap_file_range_prep",
        "made up",
    ),
    sentence: "the target is immutable, and the errno is wrong",
    reach: MUTANT,
};

/// The rules that only mutants have.
pub static MUTANT_RULES: &[&Rule] = &[&TARGET_PAST_EOF_OF_OTHER, &TARGET_IMMUTABLE_EINVAL];
