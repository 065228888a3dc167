//! What changed between releases, in release order. Each is one patch of an era.

use uapi::Release;

use crate::check::Cite;
use crate::pair;
use crate::patch::{AnyCheck, Hunk, Patch, Place};
use crate::step::{Bytes, Comparison, CopyIn, LockClass, Plan, Rounding, Side, Stage, Step, Times};

/// Every patch, oldest first.
pub const SERIES: &[Patch] = &[
    COPY_LIST_AT_ONCE,
    RANGE_AT_ONCE,
    CLONE_WITHIN_FILE,
    ACROSS_MOUNTS,
    FALLOCATE_MODIFIES,
    TAIL_AT_BOTH_EOFS,
    DELAYED_REFS_CANCEL,
    MAP_FROM_ITEMS,
    COMMIT_WAKES_CLEANER,
    MERGED_MAPS_APART,
    MAP_ORDERED_APART,
    EMPTY_RANGE_WRITES_NOTHING,
    NOCOW_NOT_INLINE,
    NOCOW_BEHIND_GAP,
    VERIFY_AREA_FIRST,
    LOCK_TARGET_RANGE_ONLY,
    CUT_KEEPS_RAM_BYTES,
    HOLES_READ_AS_ONE,
    RELEASE_MAPS_WITH_PAGES,
    CHECKED_THROUGH_CACHE,
    INLINE_BEFORE_NOCOW,
    CHATTR_KEEPS_NODATASUM,
];

/// Patches of later releases that the stable kernels of a release have too.
pub const BACKPORTS: &[(&str, Release)] = &[
    (CHATTR_KEEPS_NODATASUM.id, Release::new(6, 12, 0)),
    (CHECKED_THROUGH_CACHE.id, Release::new(6, 12, 0)),
];

/// The merged form copies the whole list in and out.
pub const COPY_LIST_AT_ONCE: Patch = Patch {
    id: "copy-list-at-once",
    subject: "Copy header and elements in one piece, and all results back at the end",
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_ioctl_file_extent_same", "v3.12"),
    since: Some(Release::new(3, 12, 0)),
    hunks: &[
        Hunk::SwapStep(
            Plan::Call,
            Step::CopyIn(CopyIn::Header),
            Step::CopyIn(CopyIn::Count),
        ),
        Hunk::AddStep(
            Plan::Call,
            Step::CopyIn(CopyIn::Count),
            Step::CopyIn(CopyIn::Request),
        ),
        Hunk::AddStep(Plan::Call, Step::Check(Stage::Call), Step::PresetResults),
        Hunk::AddStep(Plan::Call, Step::EachElement, Step::CopyOut),
        Hunk::DropStep(Plan::Element, Step::CopyIn(CopyIn::Element)),
        Hunk::DropStep(Plan::Element, Step::CopyElementOut),
    ],
};

/// The merged form compares and clones up to 16 MiB at once.
pub const RANGE_AT_ONCE: Patch = Patch {
    id: "range-at-once",
    subject: "Compare and clone the whole range at once: no partial bytes any more",
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_extent_same", "v3.12"),
    since: Some(Release::new(3, 12, 0)),
    hunks: &[
        Hunk::SwapStep(
            Plan::Element,
            Step::CompareChunk(Comparison::Bytes),
            Step::Compare(Comparison::Bytes),
        ),
        Hunk::SwapStep(
            Plan::Element,
            Step::RemapChunk(Times::Now),
            Step::RemapWhole(Times::Now),
        ),
        Hunk::DropStep(Plan::Element, Step::Repeat(3)),
        Hunk::SwapStep(
            Plan::Element,
            Step::Report(Bytes::Achieved),
            Step::Report(Bytes::Requested),
        ),
    ],
};

/// Clone within one file.
pub const CLONE_WITHIN_FILE: Patch = Patch {
    id: "clone-within-file",
    subject: "Allow clone between ranges of one file that do not overlap",
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_ioctl_clone", "v3.12"),
    since: Some(Release::new(3, 12, 0)),
    hunks: &[Hunk::DropCheck(Stage::ClonePair, "clone-same-inode")],
};

/// Only the superblock counts.
pub const ACROSS_MOUNTS: Patch = Patch {
    id: "across-mounts",
    subject: "Allow clone and dedupe between two mounts of one filesystem",
    cite: Cite::new(
        "fs/remap_range.c",
        "vfs_dedupe_file_range_one",
        "9f5710bbfd30",
    ),
    since: Some(Release::new(5, 18, 0)),
    hunks: &[
        Hunk::SwapCheck("other-mount", AnyCheck::Pair(pair::CHECK_OTHER_SUPERBLOCK)),
        Hunk::DropCheck(Stage::ClonePair, "clone-other-mount"),
    ],
};

/// Allocating and punching are modifications whatever comes of them.
pub const FALLOCATE_MODIFIES: Patch = Patch {
    id: "fallocate-modifies",
    subject: "Stamp mtime and ctime for every fallocate, not only for what it changed",
    cite: Cite::new("fs/btrfs/file.c", "btrfs_fallocate", "05fd9564e9fa"),
    since: Some(Release::new(5, 18, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.fallocate_stamps_late = false
    })],
};

/// What is not shared is not compared either.
pub const TAIL_AT_BOTH_EOFS: Patch = Patch {
    id: "tail-at-both-eofs",
    subject: "Shorten a range that ends at the source's EOF only before it is compared",
    cite: Cite::new("fs/remap_range.c", "generic_remap_checks", "5750676b64a5"),
    since: Some(Release::new(5, 19, 0)),
    hunks: &[
        Hunk::SwapStep(
            Plan::Element,
            Step::Shorten(Rounding::UpAtSourceEof),
            Step::Shorten(Rounding::DownUnlessBothEof),
        ),
        Hunk::DropStep(Plan::Element, Step::Shorten(Rounding::DownUnlessTargetEof)),
        Hunk::DropCheck(Stage::Remap, "shortened-to-nothing"),
    ],
};

/// A map is what the tree says.
pub const MAP_FROM_ITEMS: Patch = Patch {
    id: "map-from-items",
    subject: "Draw the map of a file from its items, not from the extent map cache",
    cite: Cite::new("fs/btrfs/extent_io.c", "extent_fiemap", "ac3c0d36a2a2"),
    since: Some(Release::new(6, 1, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.maps_from_cache = false
    })],
};

/// What cancels out is not shared.
pub const DELAYED_REFS_CANCEL: Patch = Patch {
    id: "delayed-refs-cancel",
    subject: "Let delayed references of another inode cancel out before an extent counts as shared",
    cite: Cite::new("fs/btrfs/backref.c", "add_delayed_refs", "4fc7b5722824"),
    since: Some(Release::new(6, 1, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.shares_by_delayed = false
    })],
};

/// A map tells what is under way from what is dirty behind it.
pub const MAP_ORDERED_APART: Patch = Patch {
    id: "map-ordered-apart",
    subject: "Do not show an ordered extent, a hole and the dirty range behind it as one delalloc",
    cite: Cite::new("fs/btrfs/file.c", "find_delalloc_subrange", "v6.2"),
    since: Some(Release::new(6, 2, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.joins_ordered = false
    })],
};

/// A range that ends before it begins is no range.
pub const EMPTY_RANGE_WRITES_NOTHING: Patch = Patch {
    id: "empty-range-writes-nothing",
    subject: "Write nothing when the end of the range to write lies before its start",
    cite: Cite::new("mm/filemap.c", "filemap_write_and_wait_range", "v6.3"),
    since: Some(Release::new(6, 3, 0)),
    hunks: &[Hunk::DropStep(
        Plan::Element,
        Step::WriteShortened(Side::Target),
    )],
};

/// What lies behind a gap is looked at.
pub const NOCOW_BEHIND_GAP: Patch = Patch {
    id: "nocow-behind-gap",
    subject: "Look at the extent behind a gap when a NOCOW range is written back",
    cite: Cite::new("fs/btrfs/inode.c", "run_delalloc_nocow", "v6.5"),
    since: Some(Release::new(6, 5, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.cows_behind_gap = false
    })],
};

/// Small NOCOW files become extents.
pub const NOCOW_NOT_INLINE: Patch = Patch {
    id: "nocow-not-inline",
    subject: "Write back a small NODATACOW file as an extent, not inline",
    cite: Cite::new("fs/btrfs/inode.c", "run_delalloc_nocow", "v6.5"),
    since: Some(Release::new(6, 5, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.inlines_nocow = false
    })],
};

/// The range's sign is looked at before the mount.
pub const VERIFY_AREA_FIRST: Patch = Patch {
    id: "verify-area-first",
    subject: "Verify the ranges of a dedupe before write access to the mount is taken",
    cite: Cite::new("fs/remap_range.c", "vfs_dedupe_file_range_one", "v6.8"),
    since: Some(Release::new(6, 8, 0)),
    hunks: &[Hunk::MoveCheck(
        Stage::Pair,
        "target-range-negative",
        Place::Before("target-mount-readonly"),
    )],
};

/// Readers of the source are not shut out any more.
pub const LOCK_TARGET_RANGE_ONLY: Patch = Patch {
    id: "lock-target-range-only",
    subject: "Lock the range of the target only while extents are cloned",
    cite: Cite::new(
        "fs/btrfs/reflink.c",
        "btrfs_extent_same_range",
        "5d6f0e9890ed",
    ),
    since: Some(Release::new(6, 10, 0)),
    hunks: &[
        Hunk::SwapStep(
            Plan::Element,
            Step::Lock(LockClass::Range, Side::Higher),
            Step::Lock(LockClass::Range, Side::Target),
        ),
        Hunk::DropStep(Plan::Element, Step::Lock(LockClass::Range, Side::Lower)),
        Hunk::SwapStep(Plan::Element, Step::Repeat(4), Step::Repeat(3)),
        Hunk::SwapStep(
            Plan::Clone,
            Step::Lock(LockClass::Range, Side::Higher),
            Step::Lock(LockClass::Range, Side::Target),
        ),
        Hunk::DropStep(Plan::Clone, Step::Lock(LockClass::Range, Side::Lower)),
    ],
};

/// An extent is as long as it is, whatever a truncate left of it.
pub const CUT_KEEPS_RAM_BYTES: Patch = Patch {
    id: "cut-keeps-ram-bytes",
    subject: "Keep ram_bytes whole where a truncate cut an ordered extent",
    cite: Cite::new(
        "fs/btrfs/inode.c",
        "insert_ordered_extent_file_extent",
        "v6.11",
    ),
    since: Some(Release::new(6, 11, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.cuts_ram_bytes = false
    })],
};

/// Dropped pages take their maps with them.
pub const RELEASE_MAPS_WITH_PAGES: Patch = Patch {
    id: "release-maps-with-pages",
    subject: "Drop the extent map that begins at a page together with the page, always",
    cite: Cite::new(
        "fs/btrfs/extent_io.c",
        "try_release_extent_mapping",
        "v6.12",
    ),
    since: Some(Release::new(6, 12, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.releases_maps = true
    })],
};

/// Pages can change while they are written directly, checksums cannot.
pub const CHECKED_THROUGH_CACHE: Patch = Patch {
    id: "checked-through-cache",
    subject: "Write through the page cache what is written directly and has checksums",
    cite: Cite::new("fs/btrfs/direct-io.c", "btrfs_direct_write", "968f19c5b1b7"),
    since: Some(Release::new(6, 15, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.writes_checked_directly = false
    })],
};

/// Small files go inline whatever their inode forbids.
pub const INLINE_BEFORE_NOCOW: Patch = Patch {
    id: "inline-before-nocow",
    subject: "Write back a small file inline before asking whether it may be written in place",
    cite: Cite::new("fs/btrfs/inode.c", "run_delalloc_inline", "3eaf5f082c4c"),
    since: Some(Release::new(7, 1, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.inlines_first = true
    })],
};

/// A mount option outlives attributes that say nothing of it.
pub const CHATTR_KEEPS_NODATASUM: Patch = Patch {
    id: "chattr-keeps-nodatasum",
    subject: "Leave an empty file without checksums, whichever attribute changes, if mounted so",
    cite: Cite::new("fs/btrfs/ioctl.c", "btrfs_fileattr_set", "v7.2"),
    since: Some(Release::new(7, 2, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.keeps_mounted_nodatasum = true
    })],
};

/// A deleted subvolume is cleaned behind the commit.
pub const COMMIT_WAKES_CLEANER: Patch = Patch {
    id: "commit-wakes-cleaner",
    subject: "Wake the cleaner of deleted subvolumes at the end of a commit",
    cite: Cite::new(
        "fs/btrfs/transaction.c",
        "btrfs_commit_transaction",
        "seen on 6.1.176, not on 5.10.46",
    ),
    since: Some(Release::new(6, 1, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.cleans_at_sync = false
    })],
};

/// Merged extent maps have a flag.
pub const MERGED_MAPS_APART: Patch = Patch {
    id: "merged-maps-apart",
    subject: "Mark merged extent maps, so that they merge with marked ones only",
    cite: Cite::new("fs/btrfs/extent_map.c", "mergable_maps", "v6.1"),
    since: Some(Release::new(6, 1, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.keeps_merged_apart = true
    })],
};

/// Extent maps merge whether they were merged before or not.
pub const HOLES_READ_AS_ONE: Patch = Patch {
    id: "holes-read-as-one",
    subject: "Merge extent maps whether they came of a merge or not",
    cite: Cite::new("fs/btrfs/extent_map.c", "mergeable_maps", "v6.12"),
    since: Some(Release::new(6, 12, 0)),
    hunks: &[Hunk::SetBehaviour(|behaviour| {
        behaviour.keeps_merged_apart = false
    })],
};
