//! Files: who they are ([`FileId`]), what matters of their inodes ([`File`]), parts of them.

use std::fmt;

/// A file: an inode of a subvolume. Names do not matter here: a file with two names is one file.
///
/// The order is that of the trees: by subvolume, then by inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// The subvolume's tree; filesystems without subvolumes have one number for all.
    pub root: u64,
    /// The inode number in it.
    pub inode: u64,
}

/// What matters of an inode to whoever moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Which file it is.
    pub id: FileId,
    /// `i_size`, bytes.
    pub size: u64,
    /// Whether its data has no checksums (`BTRFS_INODE_NODATASUM`). Data with and without them
    /// never shares storage.
    pub is_nodatasum: bool,
    /// Whether this caller may have its references moved: a dedupe with it as target would not
    /// be refused for what the file or its subvolume is.
    pub is_movable: bool,
    /// The transaction that changed the inode last; 0 where filesystems do not tell.
    pub generation: u64,
}

/// A range of a file, bytes. It may end at an end of file that is not block aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileRange {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

impl FileRange {
    /// Returns the first byte behind the range.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inode {} of subvolume {}", self.inode, self.root)
    }
}
