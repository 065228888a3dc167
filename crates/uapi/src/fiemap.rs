//! The argument of `FS_IOC_FIEMAP`: [`FiemapHeader`], [`FiemapExtent`] and their flags.
//!
//! It does not know what a file system reports, only how the report is laid out.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `struct fiemap` without its extents, 32 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct FiemapHeader {
    /// Start of the range asked for, in bytes.
    pub start: U64,
    /// Length of the range asked for, in bytes; `u64::MAX` for all.
    pub length: U64,
    /// `FIEMAP_FLAG_*`; out: those that were not understood.
    pub flags: U32,
    /// Out: how many extents were filled in, or exist if `extent_count` is 0.
    pub mapped_extents: U32,
    /// Room for extents after the header.
    pub extent_count: U32,
    /// Unused.
    pub reserved: U32,
}

/// `struct fiemap_extent`, 56 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct FiemapExtent {
    /// Offset in the file, in bytes.
    pub logical: U64,
    /// Offset on the device, or in the logical address space of btrfs, in bytes.
    pub physical: U64,
    /// Length in the file, in bytes.
    pub length: U64,
    /// Unused.
    pub reserved64: [U64; 2],
    /// `FIEMAP_EXTENT_*`.
    pub flags: U32,
    /// Unused.
    pub reserved: [U32; 3],
}

/// Write back dirty data before mapping.
pub const FIEMAP_FLAG_SYNC: u32 = 0x1;
/// Map extended attributes instead of data.
pub const FIEMAP_FLAG_XATTR: u32 = 0x2;
/// Read the extents into the cache.
pub const FIEMAP_FLAG_CACHE: u32 = 0x4;

/// The last extent of the file.
pub const FIEMAP_EXTENT_LAST: u32 = 0x1;
/// Its place is not known.
pub const FIEMAP_EXTENT_UNKNOWN: u32 = 0x2;
/// It has not been allocated yet.
pub const FIEMAP_EXTENT_DELALLOC: u32 = 0x4;
/// It cannot be read from the device as it is; for btrfs, it is compressed.
pub const FIEMAP_EXTENT_ENCODED: u32 = 0x8;
/// It is encrypted.
pub const FIEMAP_EXTENT_DATA_ENCRYPTED: u32 = 0x80;
/// Its place or length is not block-aligned.
pub const FIEMAP_EXTENT_NOT_ALIGNED: u32 = 0x100;
/// It is stored among metadata.
pub const FIEMAP_EXTENT_DATA_INLINE: u32 = 0x200;
/// It is stored together with other files' data.
pub const FIEMAP_EXTENT_DATA_TAIL: u32 = 0x400;
/// It is allocated and reads as zeros.
pub const FIEMAP_EXTENT_UNWRITTEN: u32 = 0x800;
/// It was merged for the report from blocks that are not extents.
pub const FIEMAP_EXTENT_MERGED: u32 = 0x1000;
/// It is used by other files too.
pub const FIEMAP_EXTENT_SHARED: u32 = 0x2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_kernel() {
        assert_eq!(size_of::<FiemapHeader>(), 32);
        assert_eq!(size_of::<FiemapExtent>(), 56);
    }

    #[test]
    fn flags_of_an_extent_follow_five_words() {
        let extent = FiemapExtent {
            flags: U32::new(FIEMAP_EXTENT_SHARED),
            ..Default::default()
        };
        assert_eq!(extent.as_bytes()[40..44], [0, 0x20, 0, 0]);
    }
}
