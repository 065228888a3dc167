//! Why a hashfile cannot be used: [`HashfileError`]. Whatever it is, the file is left as it is.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a hashfile cannot be used.
#[derive(Debug, Error)]
pub enum HashfileError {
    /// Another run has it open.
    #[error(
        "another run uses the hashfile {0}\n  remedy: wait until it is done, or name another file"
    )]
    Busy(PathBuf),
    /// It is none: something else is there.
    #[error("{path} is no hashfile: {what}\n  remedy: name another file")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// It is of another version of the format.
    #[error(
        "the hashfile {path} has version {found} of the format, this program knows {known}\n  \
         remedy: use the program that wrote it, or name another file"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// What this program writes.
        known: u64,
    },
    /// It remembers another filesystem, or in another way.
    #[error("the hashfile {path} remembers {found}, this is {wanted}\n  remedy: name another file")]
    Other {
        /// The file.
        path: PathBuf,
        /// What it remembers.
        found: String,
        /// What it is to be used for.
        wanted: String,
    },
    /// It is damaged.
    #[error(
        "the hashfile {path} is damaged: {what}\n  \
         remedy: restore it, or remove it; the next run then reads everything again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The system does not let it be used.
    #[error("cannot {action} the hashfile {path}: {source}\n  remedy: {remedy}")]
    System {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
        /// What may help.
        remedy: &'static str,
    },
}

/// Returns the error of a system call.
pub(crate) fn system(action: &'static str, path: &Path, source: io::Error) -> HashfileError {
    let remedy = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "free space there and run again: what it has is kept, and the run goes on from there"
        }
        io::ErrorKind::NotFound => "name a file in a folder that exists",
        _ => "name a file that may be read and written",
    };
    HashfileError::System {
        action,
        path: path.to_owned(),
        source,
        remedy,
    }
}
