//! Volumes that can tell what has changed: [`History`] by the transactions of their trees,
//! [`Stamps`] file by file.
//!
//! Who remembers a volume asks these. They tell of whole subvolumes, in scope or not, for what is
//! remembered are facts and no selections.

use std::hash::Hasher;
use std::os::fd::BorrowedFd;

use crate::{Extent, File, FileExtent, FileId, Volume, VolumeError};

/// A state of the filesystem that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The last transaction that is part of it: everything done before is, everything done later
    /// carries a larger number. So two moments with the same are of one state.
    pub transid: u64,
    /// The subvolumes that there are, by their numbers.
    pub subvolumes: Vec<Subvolume>,
}

/// A subvolume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subvolume {
    /// Its number.
    pub root: u64,
    /// What tells it from one that had its number before: its UUID.
    pub uuid: [u8; 16],
}

/// What a walk tells, in the order of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A regular file; its file extents follow.
    File {
        /// It.
        file: File,
        /// Whether it has a name. One that has none goes with its last descriptor.
        is_named: bool,
    },
    /// A file extent of the file that was told last.
    Extent(FileExtent),
    /// A folder; what is in it follows.
    Folder {
        /// Its inode number.
        inode: u64,
    },
    /// An inode of the same subvolume in the folder that was told last.
    Child {
        /// Its number.
        inode: u64,
    },
}

/// What lies in leaves that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// An inode, changed last by this transaction.
    Inode {
        /// Its number.
        inode: u64,
        /// `btrfs_inode_item::transid`.
        transid: u64,
    },
    /// A file extent. Extents are moved (balanced) without a change of the inode.
    Extent {
        /// The inode's number.
        inode: u64,
        /// It.
        extent: FileExtent,
    },
}

/// A volume whose trees tell what a transaction changed.
pub trait History: Volume {
    /// Returns the filesystem's UUID.
    fn filesystem(&self) -> [u8; 16];

    /// Returns a number for the kind of checksums that the filesystem keeps.
    fn checksum_kind(&self) -> u64;

    /// Writes back, commits, and returns when that was.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn moment(&mut self) -> Result<Moment, VolumeError>;

    /// Returns whether a file with a name is in scope.
    fn is_in_scope(&self, file: &File) -> bool;

    /// Returns the subvolumes in which something may be in scope.
    fn roots_in_scope(&self) -> Vec<u64>;

    /// Feeds everything that decides on what is in scope.
    fn hash_scope(&self, hasher: &mut dyn Hasher);

    /// Takes a file of somebody who stands before the volume out of scope if it is on this
    /// filesystem; returns whether it is.
    fn leave_out(&mut self, _file: BorrowedFd<'_>) -> bool {
        false
    }

    /// Tells everything in a subvolume from an inode on. Returns the inode at which to go on once
    /// about `nr_items_max` items were told, `None` at the end.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`], or what `tell` answers.
    fn walk(
        &mut self,
        root: u64,
        from_inode: u64,
        nr_items_max: u64,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Option<u64>, VolumeError>;

    /// Tells what lies in leaves of a subvolume that a transaction behind `since` changed; among
    /// it is what did not change itself. What is gone is not told.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn newer(
        &mut self,
        root: u64,
        since: u64,
        tell: &mut dyn FnMut(Newer),
    ) -> Result<(), VolumeError>;

    /// Tells everything of one inode; returns whether it is there.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn inode(
        &mut self,
        root: u64,
        inode: u64,
        tell: &mut dyn FnMut(Told),
    ) -> Result<bool, VolumeError>;

    /// Returns the transaction that allocated an extent; `None` if it is not (yet) known.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn extent_generation(&mut self, extent: &Extent) -> Result<Option<u64>, VolumeError>;

    /// Begins to take over, instead of a walk, what somebody remembers.
    fn begin_replay(&mut self) {}

    /// Takes over a file, in scope or not, with all of its file extents.
    fn replay(&mut self, _file: &File, _file_extents: &[FileExtent]) {}

    /// Notes that everything in these subvolumes has been taken over.
    fn end_replay(&mut self, _roots: &[u64]) {}
}

/// When a file was changed last, as far as `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// `i_size`, bytes.
    pub size: u64,
    /// `mtime`, nanoseconds.
    pub mtime: i64,
    /// `ctime`, nanoseconds.
    pub ctime: i64,
    /// Whether the last change is so long ago that another one would have another time.
    pub is_settled: bool,
}

/// A volume whose files have to be looked at one by one.
pub trait Stamps: Volume {
    /// Returns what identifies the filesystem: its UUID, or what the system has instead.
    fn filesystem(&self) -> [u8; 16];

    /// Returns when a file was changed last; `None` if it cannot be told.
    fn stamp(&mut self, file: FileId) -> Option<Stamp>;

    /// Takes a file of somebody who stands before the volume out of scope if it is on this
    /// filesystem.
    fn leave_out(&mut self, _file: BorrowedFd<'_>) {}
}
