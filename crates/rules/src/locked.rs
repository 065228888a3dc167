//! Stage 5: both inodes locked, nothing flushed yet.

use uapi::Errno;

use crate::check::{Check, Cite, End, Reach, Rule};
use crate::view::LockedView;

/// The same in every era; what differs is whether the ranges are looked at before or after.
pub const LOCKED: &[Check<LockedView>] = &[Check::new(&NODATASUM_MISMATCH, |view| {
    view.source.is_nodatasum != view.target.is_nodatasum
})];

/// A checksummed file must not refer to data without checksums, nor the other way round.
pub static NODATASUM_MISMATCH: Rule = Rule {
    id: "nodatasum-mismatch",
    end: End::Refuses(Errno::EINVAL),
    cite: Cite::new("fs/btrfs/reflink.c", "btrfs_remap_file_range_prep", "v6.1"),
    sentence: "one of the two inodes has checksums and the other has none",
    reach: Reach::Mount,
};
