//! What btrfs writes into its trees: keys, items, inode flags, checksums, and how a tree search
//! hands them out.
//!
//! Vocabulary, not behaviour: every witness and every tool reads trees with it, and nothing here
//! says what ought to be in them. No I/O. Bytes are untrusted: what is too short or speaks of more
//! than there is gets an [`ItemError`], never a panic.
//!
//! Cite: `include/uapi/linux/btrfs_tree.h`.
#![forbid(unsafe_code)]

pub mod checksum;
pub mod dir_item;
pub mod flags;
pub mod item;
pub mod key;
pub mod node;
pub mod search;
pub mod volume_item;

pub use checksum::ChecksumKind;
pub use dir_item::DirItem;
pub use flags::InodeFlags;
pub use item::{
    Compression, ExtentItem, FileExtentItem, FileExtentPlace, InodeItem, ItemError, NameItem,
    RootItem,
};
pub use key::{Key, KeyRange, TreeId};
pub use node::{BlockPointer, TreeBlock};
pub use search::{SearchItem, SearchItems};
pub use volume_item::{ChunkItem, QgroupInfo, QgroupStatus};
