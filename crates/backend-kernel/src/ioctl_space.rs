//! The ioctls that tell how much of a filesystem is used for what, and which one it is.
#![expect(unsafe_code, reason = "one of the files that talk to the kernel raw")]

use std::os::fd::{AsFd, AsRawFd};

use uapi::{Errno, request};

use crate::ioctl::call;

/// `BTRFS_BLOCK_GROUP_DATA`.
const DATA: u64 = 1 << 0;
/// `BTRFS_BLOCK_GROUP_METADATA`.
const METADATA: u64 = 1 << 2;
/// More kinds than there are: data, metadata, system, the reserve, each with a profile or two.
const NR_SPACES_MAX: usize = 32;

/// `struct btrfs_ioctl_space_args` with room behind it.
#[repr(C)]
struct SpaceArgs {
    nr_slots: u64,
    nr_spaces: u64,
    spaces: [Space; NR_SPACES_MAX],
}

/// `struct btrfs_ioctl_space_info`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Space {
    flags: u64,
    total_bytes: u64,
    used_bytes: u64,
}

/// Returns the filesystem's UUID, if the kernel (6.9 or later) and the filesystem tell.
pub(crate) fn filesystem_uuid(fd: impl AsFd) -> Option<[u8; 16]> {
    // `struct fsuuid2`: a length, and room for so many bytes.
    let mut arguments = [0_u8; 17];
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel writes 17 bytes.
    let told = unsafe { call(fd, request::FS_IOC_GETFSUUID, (&raw mut arguments).cast()) };
    let [16, uuid @ ..] = arguments else {
        return None;
    };
    told.ok().map(|_| uuid)
}

/// Returns how many bytes of metadata the filesystem of `fd` uses, each counted
/// once however often it is stored (`BTRFS_IOC_SPACE_INFO`).
pub(crate) fn metadata_bytes(fd: impl AsFd) -> Result<u64, Errno> {
    used_bytes(fd, METADATA)
}

/// Returns how many bytes of data the filesystem of `fd` uses, each counted once.
pub(crate) fn data_bytes(fd: impl AsFd) -> Result<u64, Errno> {
    used_bytes(fd, DATA)
}

fn used_bytes(fd: impl AsFd, kind: u64) -> Result<u64, Errno> {
    let empty = Space {
        flags: 0,
        total_bytes: 0,
        used_bytes: 0,
    };
    let mut arguments = SpaceArgs {
        nr_slots: NR_SPACES_MAX as u64,
        nr_spaces: 0,
        spaces: [empty; NR_SPACES_MAX],
    };
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `nr_slots` spaces behind the two counts, and so many there
    // is room for.
    unsafe {
        call(
            fd,
            request::BTRFS_IOC_SPACE_INFO,
            (&raw mut arguments).cast(),
        )
    }?;
    let spaces = arguments.spaces.iter().take(arguments.nr_spaces as usize);
    Ok(spaces
        .filter(|space| space.flags & kind != 0)
        .map(|space| space.used_bytes)
        .sum())
}
