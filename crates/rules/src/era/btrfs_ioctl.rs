//! The era of `BTRFS_IOC_FILE_EXTENT_SAME`, written out as its fourth revision was posted on
//! 2013-08-06: btrfs checks everything itself, copies element by element, locks an inode and its
//! range before it looks at the range, walks the range in steps of 1 MiB, and stamps the target.
//! [`crate::series`] has what was different when it was merged.
//!
//! Cite: `fs/btrfs/ioctl.c`, `btrfs_ioctl_file_extent_same`, `btrfs_extent_same`,
//! `btrfs_double_lock`; patches 1 to 4 of the series "btrfs: out-of-band (aka offline) dedupe v4".

use uapi::Release;

use crate::profile::{Limits, Profile, Tables};
use crate::step::{Bytes, Comparison, CopyIn, LockClass, Rounding, Side, Stage, Step, Times};
use crate::{clone_ioctl, locked, pair, range, request};

/// From the ioctl to its return value.
pub const CALL: &[Step] = &[
    Step::ResolveSource,
    Step::Check(Stage::Entry),
    Step::CopyIn(CopyIn::Header),
    Step::ClampLen,
    Step::Check(Stage::Call),
    Step::EachElement,
];

/// From an element's descriptor to its status.
pub const ELEMENT: &[Step] = &[
    Step::CopyIn(CopyIn::Element),
    Step::ResolveTarget,
    Step::Check(Stage::Pair),
    Step::Check(Stage::Unlocked),
    // btrfs_double_lock: the higher address first, its range before the other inode.
    Step::Lock(LockClass::Inode, Side::Higher),
    Step::Lock(LockClass::Range, Side::Higher),
    Step::WaitLocked(Side::Higher),
    Step::Lock(LockClass::Inode, Side::Lower),
    Step::Lock(LockClass::Range, Side::Lower),
    Step::WaitLocked(Side::Lower),
    Step::Check(Stage::Range),
    Step::Check(Stage::Locked),
    Step::CompareChunk(Comparison::Bytes),
    Step::Check(Stage::Remap),
    Step::RemapChunk(Times::Now),
    Step::Repeat(3),
    Step::Unlock,
    Step::Report(Bytes::Achieved),
    Step::CopyElementOut,
];

/// `BTRFS_IOC_CLONE_RANGE`: `btrfs_ioctl_clone`.
pub const CLONE: &[Step] = &[
    Step::ResolveTarget,
    Step::Check(Stage::CloneEntry),
    Step::ResolveSource,
    Step::Check(Stage::ClonePair),
    // The lower address first, unlike dedupe: the two can deadlock.
    Step::Lock(LockClass::Inode, Side::Lower),
    Step::Lock(LockClass::Inode, Side::Higher),
    Step::Check(Stage::CloneKind),
    Step::ToSourceEof,
    Step::Shorten(Rounding::CloneTail),
    Step::Check(Stage::CloneRange),
    Step::Expand,
    // The kernel drops the target's dirty pages of the range. Writing them back first comes to the
    // same: their extents are dropped with the rest of the range.
    Step::WaitLocked(Side::Target),
    Step::Lock(LockClass::Range, Side::Source),
    Step::WaitLocked(Side::Source),
    Step::RemapWhole(Times::Now),
    Step::Unlock,
];

/// Returns the era as it was posted.
#[must_use]
pub fn profile() -> Profile {
    Profile {
        name: "v4".to_owned(),
        release: Some(Release::new(3, 11, 0)),
        call_plan: CALL.to_vec(),
        element_plan: ELEMENT.to_vec(),
        clone_plan: CLONE.to_vec(),
        tables: Tables {
            entry: request::IOCTL_ENTRY.to_vec(),
            call: request::IOCTL_CALL.to_vec(),
            pair: pair::IOCTL_PAIR.to_vec(),
            unlocked: range::IOCTL_UNLOCKED.to_vec(),
            locked: locked::LOCKED.to_vec(),
            range: range::IOCTL_RANGE.to_vec(),
            remap: range::IOCTL_REMAP.to_vec(),
            clone_entry: clone_ioctl::ENTRY.to_vec(),
            clone_pair: clone_ioctl::PAIR.to_vec(),
            clone_kind: clone_ioctl::KIND.to_vec(),
            clone_range: clone_ioctl::RANGE.to_vec(),
            ..Tables::default()
        },
        limits: Limits {
            request_len: 16 << 20,
            chunk_len: 1 << 20,
            ..Limits::NONE
        },
        behaviour: crate::profile::OLDEST_BEHAVIOUR,
        patches: Vec::new(),
    }
}
