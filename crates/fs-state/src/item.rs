//! File extent items: what the tree of a root says about a range of a file.
//!
//! Filesystems here have `no-holes`: a hole is the absence of an item.

use data::Content;

use crate::{ExtentId, InlineId};

/// A file extent item as it is seen in the tree; its file offset is its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FileExtent<'a> {
    /// The bytes themselves, in the tree. Only ever at file offset 0.
    Inline(&'a InlineExtent),
    /// A slice of a data extent.
    Regular(ExtentSlice),
}

/// The bytes of a file in the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct InlineExtent {
    /// The bytes as they are read.
    pub content: Content,
    /// What they are in the tree if they are compressed there.
    pub compressed: Option<InlineId>,
}

/// A block-aligned part of a data extent, as a file extent item refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentSlice {
    /// The extent.
    pub extent: ExtentId,
    /// Whether the item says preallocated (reads as zeros) or written.
    pub kind: SliceKind,
    /// First byte within the extent.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// The transaction that wrote the item.
    pub generation: u64,
}

/// The type of a regular file extent item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceKind {
    /// `BTRFS_FILE_EXTENT_REG`.
    Written,
    /// `BTRFS_FILE_EXTENT_PREALLOC`.
    Prealloc,
}

impl FileExtent<'_> {
    /// Returns the first byte behind an item at `key`: exact for inline items (not aligned).
    pub fn end(self, key: u64) -> u64 {
        match self {
            FileExtent::Inline(inline) => key + inline.content.len(),
            FileExtent::Regular(slice) => key + slice.len,
        }
    }

    /// Returns the slice, if the item is not inline.
    pub fn slice(self) -> Option<ExtentSlice> {
        match self {
            FileExtent::Regular(slice) => Some(slice),
            FileExtent::Inline(_) => None,
        }
    }
}

impl ExtentSlice {
    /// Returns the offset that the back reference of an item at `key` carries: where the extent
    /// would begin in the file, which may wrap below zero.
    pub fn backref_offset(&self, key: u64) -> u64 {
        key.wrapping_sub(self.offset)
    }

    /// Returns the part of the slice that lies behind `skip` bytes, at most `len` bytes of it.
    pub fn part(&self, skip: u64, len: u64) -> ExtentSlice {
        debug_assert!(skip + len <= self.len);
        ExtentSlice {
            offset: self.offset + skip,
            len,
            ..*self
        }
    }
}
