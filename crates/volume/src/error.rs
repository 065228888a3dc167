//! What a volume could not do: [`VolumeError`].
//!
//! A status of the kernel's compare is no error; see `DedupeStatus`.

use thiserror::Error;
use uapi::Errno;

use crate::FileId;

/// Why a volume did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VolumeError {
    /// One file is the trouble: it is gone, unreadable, immutable, in use. Whoever asked reports
    /// it, leaves the file out and goes on.
    #[error("cannot {action} {file}: {errno:?}")]
    File {
        /// The file.
        file: FileId,
        /// What was tried, as a verb: "read", "open", "dedupe from".
        action: &'static str,
        /// What the system answered.
        errno: Errno,
    },
    /// There is no room for what was to be written. What is there stays as it is; whoever asked
    /// gives up the rewrite and goes on.
    #[error(
        "cannot {action}: no space left on the filesystem\n  remedy: free some, or rewrite less"
    )]
    Full {
        /// What was tried, as a verb.
        action: &'static str,
    },
    /// Nothing more can be asked of this volume.
    #[error("{0}")]
    Fatal(String),
}

impl VolumeError {
    /// Returns whether the rest of the run can go on without what failed.
    #[must_use]
    pub fn is_of_one_file(&self) -> bool {
        match self {
            VolumeError::File { .. } | VolumeError::Full { .. } => true,
            VolumeError::Fatal(_) => false,
        }
    }
}
