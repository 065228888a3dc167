//! Request numbers of the ioctls that tools and tests use, and the flags some of them carry.
//!
//! Numbers are computed the way the kernel's `_IOC` does, so the size of an argument is written
//! once. This file knows no argument layouts beyond their sizes.
//!
//! Cite: `include/uapi/asm-generic/ioctl.h`, `include/uapi/linux/{fs,fiemap,btrfs}.h`.

use crate::clone_range::CloneRange;
use crate::dedupe::DedupeHeader;
use crate::fiemap::FiemapHeader;

/// Deduplicate ranges; the argument is a [`DedupeHeader`] and its elements.
pub const FIDEDUPERANGE: u32 = iowr(BTRFS, 54, size_of::<DedupeHeader>());
/// The name that `FIDEDUPERANGE` had when only btrfs had it (3.12).
pub const BTRFS_IOC_FILE_EXTENT_SAME: u32 = FIDEDUPERANGE;
/// Clone a whole file; the argument is the source descriptor itself, an `int`.
pub const FICLONE: u32 = iow(BTRFS, 9, size_of::<i32>());
/// Clone a range; the argument is a [`CloneRange`].
pub const FICLONERANGE: u32 = iow(BTRFS, 13, size_of::<CloneRange>());
/// List the extents of a file; the argument is a [`FiemapHeader`] and room for extents.
pub const FS_IOC_FIEMAP: u32 = iowr(b'f', 11, size_of::<FiemapHeader>());

/// Read the inode flags (`FS_*_FL`). Numbered for a `long`, yet only an `int` is written.
pub const FS_IOC_GETFLAGS: u32 = ior(b'f', 1, size_of::<i64>());
/// Set the inode flags (`FS_*_FL`). Numbered for a `long`, yet only an `int` is read.
pub const FS_IOC_SETFLAGS: u32 = iow(b'f', 2, size_of::<i64>());
/// Ask for the UUID of a filesystem; the answer is a `struct fsuuid2`, 17 bytes.
pub const FS_IOC_GETFSUUID: u32 = ior(0x15, 0, 17);

/// Commit the running transaction and wait; no argument.
pub const BTRFS_IOC_SYNC: u32 = io(BTRFS, 8);
/// Start committing the running transaction, without writing dirty data back first; the argument
/// is a `u64` that receives its transid.
pub const BTRFS_IOC_START_SYNC: u32 = ior(BTRFS, 24, 8);
/// Wait until the transaction whose transid is the `u64` argument is committed.
pub const BTRFS_IOC_WAIT_SYNC: u32 = iow(BTRFS, 22, 8);
/// Create a subvolume; the argument is a `btrfs_ioctl_vol_args`.
pub const BTRFS_IOC_SUBVOL_CREATE: u32 = iow(BTRFS, 14, VOL_ARGS_LEN);
/// Delete a subvolume or snapshot; the argument is a `btrfs_ioctl_vol_args`.
pub const BTRFS_IOC_SNAP_DESTROY: u32 = iow(BTRFS, 15, VOL_ARGS_LEN);
/// Defragment a range; the argument is a `btrfs_ioctl_defrag_range_args`, 48 bytes.
pub const BTRFS_IOC_DEFRAG_RANGE: u32 = iow(BTRFS, 16, 48);
/// Search a tree; the argument is a 112-byte `btrfs_ioctl_search_args_v2` and its buffer.
pub const BTRFS_IOC_TREE_SEARCH_V2: u32 = iowr(BTRFS, 17, 112);
/// How many bytes of each kind are allocated and used (`struct btrfs_ioctl_space_args`).
pub const BTRFS_IOC_SPACE_INFO: u32 = iowr(BTRFS, 20, 16);
/// Resolve an inode number to a path; the argument is a `btrfs_ioctl_ino_lookup_args`.
pub const BTRFS_IOC_INO_LOOKUP: u32 = iowr(BTRFS, 18, VOL_ARGS_LEN);
/// Resolve an address to inodes; the argument is a `btrfs_ioctl_logical_ino_args`, 56 bytes.
pub const BTRFS_IOC_LOGICAL_INO_V2: u32 = iowr(BTRFS, 59, 56);
/// Create a snapshot; the argument is a `btrfs_ioctl_vol_args_v2`.
pub const BTRFS_IOC_SNAP_CREATE_V2: u32 = iow(BTRFS, 23, VOL_ARGS_LEN);
/// Read the flags of a subvolume, a `u64` of `BTRFS_SUBVOL_*`.
pub const BTRFS_IOC_SUBVOL_GETFLAGS: u32 = ior(BTRFS, 25, size_of::<u64>());
/// Set the flags of a subvolume, a `u64` of `BTRFS_SUBVOL_*`.
pub const BTRFS_IOC_SUBVOL_SETFLAGS: u32 = iow(BTRFS, 26, size_of::<u64>());
/// Scrub a device; the argument is a `btrfs_ioctl_scrub_args`, 1024 bytes.
pub const BTRFS_IOC_SCRUB: u32 = iowr(BTRFS, 27, 1024);
/// What a filesystem is made of; the answer is a `btrfs_ioctl_fs_info_args`, 1024 bytes.
pub const BTRFS_IOC_FS_INFO: u32 = ior(BTRFS, 31, 1024);
/// Begin or end counting quota groups; the argument is a `btrfs_ioctl_quota_ctl_args`, 16 bytes.
pub const BTRFS_IOC_QUOTA_CTL: u32 = iowr(BTRFS, 40, 16);
/// Count quota groups anew; the argument is a `btrfs_ioctl_quota_rescan_args`, 64 bytes.
pub const BTRFS_IOC_QUOTA_RESCAN: u32 = iow(BTRFS, 44, 64);
/// Wait until quota groups are counted; no argument.
pub const BTRFS_IOC_QUOTA_RESCAN_WAIT: u32 = io(BTRFS, 46);
/// Send a read-only snapshot; the argument is a `btrfs_ioctl_send_args`, 72 bytes.
pub const BTRFS_IOC_SEND: u32 = iow(BTRFS, 38, 72);

/// Subvolume flag: it is read-only.
pub const BTRFS_SUBVOL_RDONLY: u64 = 1 << 1;

/// Inode flag: compress.
pub const FS_COMPR_FL: u32 = 0x0000_0004;
/// Inode flag: immutable.
pub const FS_IMMUTABLE_FL: u32 = 0x0000_0010;
/// Inode flag: append only.
pub const FS_APPEND_FL: u32 = 0x0000_0020;
/// Inode flag: do not compress.
pub const FS_NOCOMP_FL: u32 = 0x0000_0400;
/// Inode flag: no copy on write, hence no checksums on btrfs.
pub const FS_NOCOW_FL: u32 = 0x0080_0000;

/// The ioctl type that btrfs uses, and that the VFS kept for clone and dedupe.
const BTRFS: u8 = 0x94;
/// `btrfs_ioctl_vol_args`, its second version and `btrfs_ioctl_ino_lookup_args`, in bytes.
const VOL_ARGS_LEN: usize = 4096;

const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;
const NR_SIZE_BITS: u32 = 14;

/// Returns the number of a request without argument.
#[must_use]
pub const fn io(kind: u8, nr: u8) -> u32 {
    ioc(NONE, kind, nr, 0)
}

/// Returns the number of a request that the kernel answers with `len_bytes` bytes.
#[must_use]
pub const fn ior(kind: u8, nr: u8, len_bytes: usize) -> u32 {
    ioc(READ, kind, nr, len_bytes)
}

/// Returns the number of a request that the kernel reads `len_bytes` bytes of.
#[must_use]
pub const fn iow(kind: u8, nr: u8, len_bytes: usize) -> u32 {
    ioc(WRITE, kind, nr, len_bytes)
}

/// Returns the number of a request that the kernel reads and answers in `len_bytes` bytes.
#[must_use]
pub const fn iowr(kind: u8, nr: u8, len_bytes: usize) -> u32 {
    ioc(READ | WRITE, kind, nr, len_bytes)
}

const fn ioc(direction: u32, kind: u8, nr: u8, len_bytes: usize) -> u32 {
    // Evaluated in constants, where this stops the build.
    assert!(len_bytes < 1 << NR_SIZE_BITS);
    direction << 30 | (len_bytes as u32) << 16 | (kind as u32) << 8 | nr as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel_headers() {
        assert_eq!(FIDEDUPERANGE, 0xC018_9436);
        assert_eq!(BTRFS_IOC_FILE_EXTENT_SAME, 0xC018_9436);
        assert_eq!(FICLONE, 0x4004_9409);
        assert_eq!(FICLONERANGE, 0x4020_940D);
        assert_eq!(FS_IOC_FIEMAP, 0xC020_660B);
        assert_eq!(FS_IOC_GETFLAGS, 0x8008_6601);
        assert_eq!(FS_IOC_SETFLAGS, 0x4008_6602);
        assert_eq!(FS_IOC_GETFSUUID, 0x8011_1500);
        assert_eq!(BTRFS_IOC_SYNC, 0x9408);
        assert_eq!(BTRFS_IOC_START_SYNC, 0x8008_9418);
        assert_eq!(BTRFS_IOC_WAIT_SYNC, 0x4008_9416);
        assert_eq!(BTRFS_IOC_SUBVOL_CREATE, 0x5000_940E);
        assert_eq!(BTRFS_IOC_SNAP_DESTROY, 0x5000_940F);
        assert_eq!(BTRFS_IOC_DEFRAG_RANGE, 0x4030_9410);
        assert_eq!(BTRFS_IOC_TREE_SEARCH_V2, 0xC070_9411);
        assert_eq!(BTRFS_IOC_INO_LOOKUP, 0xD000_9412);
        assert_eq!(BTRFS_IOC_LOGICAL_INO_V2, 0xC038_943B);
        assert_eq!(BTRFS_IOC_SNAP_CREATE_V2, 0x5000_9417);
        assert_eq!(BTRFS_IOC_SUBVOL_GETFLAGS, 0x8008_9419);
        assert_eq!(BTRFS_IOC_SUBVOL_SETFLAGS, 0x4008_941A);
        assert_eq!(BTRFS_IOC_SCRUB, 0xC400_941B);
        assert_eq!(BTRFS_IOC_FS_INFO, 0x8400_941F);
        assert_eq!(BTRFS_IOC_SEND, 0x4048_9426);
        assert_eq!(BTRFS_IOC_QUOTA_CTL, 0xC010_9428);
        assert_eq!(BTRFS_IOC_QUOTA_RESCAN, 0x4040_942C);
        assert_eq!(BTRFS_IOC_QUOTA_RESCAN_WAIT, 0x942E);
    }
}
