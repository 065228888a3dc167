//! Eras: whole plans and tables, because patching across a rewrite is unreadable.
//!
//! [`btrfs_ioctl`] is the private ioctl of btrfs, [`remap`] what came with `remap_file_range`.
//! The VFS hook between them (4.5 to 4.20) is not written out.

pub mod btrfs_ioctl;
pub mod remap;
