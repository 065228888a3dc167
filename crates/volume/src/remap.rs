//! The words of a dedupe: one source, some targets, a status for each.

use uapi::Errno;

use crate::{FileId, FileRange};

/// Most targets of one call: what fits a page behind the header (`ioctl_file_dedupe_range`,
/// fs/ioctl.c, refuses an argument larger than a page).
pub const NR_TARGETS_MAX: usize = (4096 - uapi::dedupe::HEADER_LEN) / uapi::dedupe::ELEMENT_LEN;

/// One call: a source, and what is to be compared with it.
#[derive(Clone, Copy, Debug)]
pub struct DedupeRequest<'a> {
    /// The range that stays where it is.
    pub source: FileRange,
    /// The targets; at most [`NR_TARGETS_MAX`].
    pub targets: &'a [DedupeTarget],
}

/// One target of a dedupe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupeTarget {
    /// The file.
    pub file: FileId,
    /// First byte, block aligned.
    pub offset: u64,
}

/// What the kernel said about one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupeStatus {
    /// The bytes are the same; so many are said to be shared now. Kernels may say more than they
    /// did: look at the file extents.
    Same {
        /// `bytes_deduped`.
        bytes: u64,
    },
    /// The bytes differ; nothing was changed.
    Differs,
    /// Refused; what came before the refusal within the range may be shared.
    Refused(Errno),
}
