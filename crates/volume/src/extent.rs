//! Extents, file extents, references: the two directions between files and storage.

use crate::FileId;

/// An extent: a stretch of the device that is allocated at once.
///
/// Where the volume's rule is `SpaceRule::Blocks` extents mean nothing; there an extent is what
/// one file extent maps, and extents may overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extent {
    /// Address of its first byte, block aligned. It names the extent as long as that lives.
    pub address: u64,
    /// Bytes on disk, a block multiple: what is freed with it.
    pub disk_bytes: u64,
    /// Bytes once decompressed, a block multiple; `disk_bytes` if it is not compressed.
    pub ram_bytes: u64,
    /// How it is compressed.
    pub compression: Compression,
}

/// How an extent is compressed (`BTRFS_COMPRESS_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all: `within` bytes from the extent's begin are at `address + within`.
    #[default]
    None,
    /// With the algorithm of this number.
    Algorithm(u8),
}

/// A file extent: what a range of a file refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileExtent {
    /// File offset, bytes; block aligned.
    pub offset: u64,
    /// Bytes; block aligned but for inline data. It may reach behind the end of the file.
    pub len: u64,
    /// The transaction that wrote the item; 0 where filesystems do not tell.
    pub generation: u64,
    /// Where the bytes are.
    pub place: Place,
}

/// Where the bytes of a file extent are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it reads as zeros. A volume may as well leave holes out.
    Hole,
    /// In the tree itself: there is no storage to share.
    Inline,
    /// In an extent that was not written there yet: it reads as zeros.
    Preallocated {
        /// The extent.
        extent: Extent,
        /// First byte within it.
        within: u64,
    },
    /// In an extent.
    Data {
        /// The extent.
        extent: Extent,
        /// First byte within it, once decompressed; block aligned.
        within: u64,
    },
}

/// A file extent as it is seen from the extent that it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The file, in scope or not.
    pub file: FileId,
    /// File offset, bytes.
    pub offset: u64,
    /// First byte within the extent, once decompressed.
    pub within: u64,
    /// Bytes.
    pub len: u64,
    /// What the item says.
    pub kind: ReferenceKind,
}

/// The type of a file extent item that refers to an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReferenceKind {
    /// `BTRFS_FILE_EXTENT_REG`.
    Data,
    /// `BTRFS_FILE_EXTENT_PREALLOC`.
    Preallocated,
}

/// Everything that refers to an extent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentReferences {
    /// `Extent::address`.
    pub address: u64,
    /// The references, in every subvolume.
    pub references: Vec<Reference>,
    /// Whether these are all. A caller that cannot see into every subvolume, a filesystem that
    /// does not tell, a list too long to be read: then the extent must be taken as one that
    /// others refer to, too.
    pub is_complete: bool,
}
