//! The era of `remap_file_range`, written out as 5.0 has it: the VFS checks the request and each
//! pair, btrfs locks and flushes, the generic part checks the ranges and compares, btrfs remaps in
//! chunks.
//!
//! Cite: `fs/remap_range.c`, `fs/btrfs/reflink.c`. The mmap locks came in 5.13; before it the
//! plan has the same effect on a caller that is alone, so the plan has them from the start.

use uapi::Release;

use crate::profile::{Limits, Profile, Tables};
use crate::step::{Bytes, Comparison, CopyIn, LockClass, Rounding, Side, Stage, Step, Times};
use crate::{clone, locked, pair, range, request};

/// From the ioctl to its return value.
pub const CALL: &[Step] = &[
    Step::ResolveSource,
    Step::CopyIn(CopyIn::Count),
    Step::Check(Stage::Count),
    Step::CopyIn(CopyIn::Request),
    Step::Check(Stage::Call),
    Step::ClampLen,
    Step::PresetResults,
    Step::EachElement,
    Step::CopyOut,
];

/// From an element's descriptor to its status.
pub const ELEMENT: &[Step] = &[
    Step::ResolveTarget,
    Step::Check(Stage::Pair),
    // lock_two_nondirectories: ascending addresses.
    Step::Lock(LockClass::Inode, Side::Lower),
    Step::Lock(LockClass::Inode, Side::Higher),
    // btrfs_double_mmap_lock: descending addresses, unlike the inodes.
    Step::Lock(LockClass::Mmap, Side::Higher),
    Step::Lock(LockClass::Mmap, Side::Lower),
    Step::Check(Stage::Locked),
    // A refusal from here on has flushed; where extents are cut depends on this place.
    Step::StartWriteback(Side::Source),
    Step::WaitOrdered(Side::Source),
    Step::WaitOrdered(Side::Target),
    Step::Check(Stage::Range),
    Step::Shorten(Rounding::UpAtSourceEof),
    // Before or behind the check is the same: ranges of no length cannot overlap.
    Step::WriteShortened(Side::Target),
    Step::Check(Stage::Shortened),
    Step::Compare(Comparison::Bytes),
    Step::Shorten(Rounding::DownUnlessTargetEof),
    Step::Check(Stage::Remap),
    // btrfs_extent_same: 16 MiB at a time, both ranges locked, higher address first.
    Step::Lock(LockClass::Range, Side::Higher),
    Step::Lock(LockClass::Range, Side::Lower),
    Step::RemapChunk(Times::Keep),
    Step::UnlockRanges,
    Step::Repeat(4),
    Step::Unlock,
    Step::Report(Bytes::Requested),
];

/// `FICLONERANGE`.
pub const CLONE: &[Step] = &[
    Step::ResolveTarget,
    Step::ResolveSource,
    Step::Check(Stage::ClonePair),
    Step::Lock(LockClass::Inode, Side::Lower),
    Step::Lock(LockClass::Inode, Side::Higher),
    Step::Lock(LockClass::Mmap, Side::Higher),
    Step::Lock(LockClass::Mmap, Side::Lower),
    Step::Check(Stage::CloneLocked),
    Step::StartWriteback(Side::Source),
    Step::WaitOrdered(Side::Source),
    Step::WaitOrdered(Side::Target),
    Step::Check(Stage::CloneKind),
    Step::ToSourceEof,
    Step::Shorten(Rounding::CloneTail),
    Step::Check(Stage::CloneRange),
    Step::FileModified,
    Step::Expand,
    Step::Lock(LockClass::Range, Side::Higher),
    Step::Lock(LockClass::Range, Side::Lower),
    Step::RemapWhole(Times::Now),
    Step::UnlockRanges,
    // An inline extent may have been copied into a page.
    Step::WaitOrdered(Side::Target),
    Step::Unlock,
];

/// Returns the era as its first release has it.
#[must_use]
pub fn profile() -> Profile {
    Profile {
        name: "era remap".to_owned(),
        release: Some(Release::new(5, 0, 0)),
        call_plan: CALL.to_vec(),
        element_plan: ELEMENT.to_vec(),
        clone_plan: CLONE.to_vec(),
        tables: Tables {
            count: request::VFS_COUNT.to_vec(),
            call: request::VFS_CALL.to_vec(),
            pair: pair::VFS_PAIR.to_vec(),
            locked: locked::LOCKED.to_vec(),
            range: range::GENERIC_RANGE.to_vec(),
            shortened: range::GENERIC_SHORTENED.to_vec(),
            remap: range::BTRFS_REMAP.to_vec(),
            clone_pair: clone::PAIR.to_vec(),
            clone_locked: clone::LOCKED.to_vec(),
            clone_kind: clone::KIND.to_vec(),
            clone_range: clone::RANGE.to_vec(),
            ..Tables::default()
        },
        limits: Limits {
            request_len: 1 << 30,
            chunk_len: 16 << 20,
            ..Limits::NONE
        },
        behaviour: crate::profile::OLDEST_BEHAVIOUR,
        patches: Vec::new(),
    }
}
