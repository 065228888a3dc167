//! Real filesystems as volumes: [`open`].
//!
//! Two ways to see one. `tree.rs` asks the trees of a btrfs (root only): no file is opened to look
//! at it, and the checksums that btrfs keeps are handed out. `map.rs` asks every file for its
//! extents (any user, any filesystem that can share blocks). Which files are in scope is decided in
//! `scope.rs`. None of them knows what duplicates are.

mod ahead;
mod csums;
mod files;
mod items;
mod map;
mod memo;
mod pages;
mod references;
mod scope;
mod searcher;
mod seen;
mod sharing;
mod tree;
mod trees;

use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use scenario::BackendError;
use uapi::Errno;
use volume::{History, Stamps, Volume, VolumeError};

use crate::process;

/// How data is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scan {
    /// By the filesystem's checksums if this is root on btrfs, else by reading.
    #[default]
    Auto,
    /// By the filesystem's checksums; root and btrfs only.
    Csum,
    /// By reading.
    Read,
}

/// Which files are in scope, and how they are looked at.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Files and folders on one filesystem.
    pub paths: &'a [PathBuf],
    /// Whether folders in folders are in scope too. Those on other filesystems never are.
    pub is_recursive: bool,
    /// Which paths are not, with everything below them; `None` for no such.
    pub is_excluded: Option<&'a dyn Fn(&Path) -> bool>,
    /// Smaller files are not in scope, bytes.
    pub min_bytes: u64,
    /// How data is told apart.
    pub scan: Scan,
    /// How many files are read at a time; from 2 on, twice as many parts of a tree are searched at
    /// once, up to 8.
    pub nr_io_threads: usize,
    /// Is called for each file that is found where folders have to be listed, which may take long.
    pub on_found: &'a dyn Fn(),
}

/// A volume, by the way in which it is seen.
pub enum Sight {
    /// Through the trees of a btrfs.
    Trees(Box<dyn History>),
    /// Through the maps of files.
    Maps(Box<dyn Stamps>),
}

impl Sight {
    /// Returns it, however it is seen.
    #[must_use]
    pub fn into_volume(self) -> Box<dyn Volume> {
        match self {
            Sight::Trees(volume) => volume,
            Sight::Maps(volume) => volume,
        }
    }
}

/// An opened volume.
pub struct Opened {
    /// It.
    pub volume: Sight,
    /// Whether its checksums are handed out.
    pub has_checksums: bool,
    /// What was named or found and cannot be in scope.
    pub skipped: Vec<Skipped>,
}

/// A path that is not in scope though it was named or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The path.
    pub path: PathBuf,
    /// Why.
    pub why: SkipReason,
}

/// Why a path is not in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// A symbolic link: it is not followed.
    Symlink,
    /// A device, a fifo or a socket.
    NotAFile,
    /// It lies on another filesystem than the first path.
    OtherFilesystem,
    /// A folder in a folder, and folders in folders are not asked for.
    Folder,
    /// The system would not have it looked at.
    Refused(Errno),
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::Symlink => f.write_str("a symbolic link"),
            SkipReason::NotAFile => f.write_str("neither a file nor a folder"),
            SkipReason::OtherFilesystem => f.write_str("on another filesystem"),
            SkipReason::Folder => f.write_str("a folder, and -r was not given"),
            SkipReason::Refused(errno) => write!(f, "{errno}"),
        }
    }
}

/// Opens the filesystem of the paths.
///
/// # Errors
///
/// [`BackendError::Missing`] if there is no file or folder among the paths, or if checksums are
/// asked for and there are none to be had.
pub fn open(options: &Options<'_>) -> Result<Opened, BackendError> {
    files::raise_limit();
    let scope = scope::Scope::new(options)?;
    let reads_trees = scope.is_btrfs() && process::is_root();
    if options.scan == Scan::Csum && !reads_trees {
        let what = match scope.is_btrfs() {
            true => "only root may read the checksums of a btrfs",
            false => "only btrfs keeps checksums of data",
        };
        return Err(crate::missing(what, "say --scan=read, or --scan=auto"));
    }
    if reads_trees {
        return tree::TreeVolume::open(options, scope);
    }
    map::MapVolume::open(options, scope)
}

/// Returns the error after which nothing can be asked any more.
fn fatal(action: &str, errno: Errno) -> VolumeError {
    VolumeError::Fatal(format!("cannot {action}: {errno}"))
}

/// Writes back and commits.
fn commit(fd: impl AsFd) -> Result<(), VolumeError> {
    crate::ioctl::sync_filesystem(fd).map_err(|errno| fatal("commit the filesystem", errno))
}
