//! The state of a btrfs filesystem as the ioctls see it: roots, inodes, file extent items, data
//! extents with their back references, checksum coverage, dirty page cache, transactions.
//!
//! [`FsState`] is the key type; its operations are what the kernel does below its own checks:
//! delalloc and writeback, dropping and cutting file extent items, cloning them. It does not know
//! system calls, descriptors, locks, or which kernel it is: an era differs only in a [`Behaviour`],
//! which is data. Rules that refuse live above.
//!
//! Reading order: [`item`] and [`extent`] (what is stored), `inode`, then [`writeback`] (how
//! dirty pages become extents), [`drop_extents`] (how items are cut) and [`clone_extents`] (how a
//! reference moves).
#![forbid(unsafe_code)]

pub mod behaviour;
pub mod clone_extents;
pub mod compress;
pub mod deletion;
pub mod direct;
pub mod directory;
pub mod drop_extents;
pub mod extent;
pub mod fallocate;
pub mod fiemap;
pub mod fsck;
pub mod hole_maps;
pub mod inline_map;
mod inode;
pub mod inode_cache;
pub mod item;
pub mod items;
pub mod links;
pub mod mapped;
pub mod namespace;
pub mod ordered;
pub mod page_cache;
pub mod quota;
pub mod read;
pub mod readonly;
pub mod references;
pub mod roots;
pub mod shortage;
pub mod state;
pub mod transaction;
mod tree_item;
pub mod trees;
pub mod write;
pub mod writeback;

#[cfg(test)]
mod tests;

pub use behaviour::Behaviour;
pub use clone_extents::{CloneReport, TimesUpdate};
pub use compress::{InlineId, Unit};
pub use extent::{Extent, ExtentId};
pub use fiemap::MapPiece;
pub use fsck::Violation;
pub use inode::{AttributeKind, Inode, InodeId, InodeStat, Kind};
pub use item::{ExtentSlice, FileExtent, InlineExtent, SliceKind};
pub use links::Renamed;
pub use quota::Usage;
pub use references::{DataRef, Sharing};
pub use roots::RootId;
pub use shortage::{Course, Reservation, Shortage, Shown, joined};
pub use state::{FsState, MountOptions};
pub use trees::ResolvedRef;

/// Bytes of a block (the sector size of the filesystem).
pub const BLOCK: u64 = 4096;

/// Returns `offset` rounded down to a block.
pub const fn align_down(offset: u64) -> u64 {
    offset & !(BLOCK - 1)
}

/// Returns `offset` rounded up to a block, saturating at the last aligned offset.
pub const fn align_up(offset: u64) -> u64 {
    align_down(offset.saturating_add(BLOCK - 1))
}

/// Returns whether `offset` is a block multiple.
pub const fn is_aligned(offset: u64) -> bool {
    offset.is_multiple_of(BLOCK)
}
