//! What a run tells: [`Report`] of what was looked at, [`Stopped`] for why it ended early.

use thiserror::Error;
use volume::VolumeError;

/// What was looked at, and what could not be.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Files walked.
    pub nr_files: u64,
    /// Bytes of data that they refer to; what is shared counts each time.
    pub scanned_bytes: u64,
    /// Extents that they refer to.
    pub nr_extents: u64,
    /// Blocks of those extents with a key.
    pub nr_blocks: u64,
    /// Bytes read for hashing.
    pub read_bytes: u64,
    /// Files that were left out, or some of them.
    pub errors: Vec<VolumeError>,
}

/// Why a run ended before its end. Every file is whole nevertheless; a run from the begin goes on
/// where this one ended.
#[derive(Debug, Error)]
pub enum Stopped {
    /// Nothing more can be asked of the volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Scratch space cannot be written or read.
    #[error("cannot use scratch space: {0}\n  remedy: free space there, or allow more memory")]
    Scratch(std::io::Error),
    /// A plan takes more memory than this, bytes.
    #[error("a plan for all of this would take more than {} KiB of memory", .0 >> 10)]
    TooLarge(u64),
    /// Whoever watches said so: time or gain is used up.
    #[error("stopped on request")]
    ByWatch,
}

impl Stopped {
    /// Returns why a run ends if scratch space fails.
    pub(crate) fn scratch(error: std::io::Error) -> Stopped {
        Stopped::Scratch(error)
    }
}
