//! Opening files by number instead of by name: `open_by_handle_at(2)` with a handle that btrfs
//! would have made.
//!
//! It does not know why a file is opened.
#![expect(unsafe_code, reason = "one of the files that talk to the kernel raw")]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::OFlags;
use uapi::Errno;

/// `FILEID_BTRFS_WITHOUT_PARENT`.
const BTRFS_WITHOUT_PARENT: i32 = 0x4d;
/// Bytes of a handle of that type: inode, subvolume, generation.
const HANDLE_LEN: u32 = 20;

/// `struct file_handle` with `struct btrfs_fid` behind it.
#[repr(C)]
struct Handle {
    handle_bytes: u32,
    handle_type: i32,
    fid: [u8; HANDLE_LEN as usize],
}

/// Opens an inode of a subvolume of the btrfs that `mount` is on, whatever its name is and even
/// if that is not below any mount. `generation` is that of the inode's creation.
///
/// # Errors
///
/// `ESTALE` if there is no such inode any more; `EPERM` without `CAP_DAC_READ_SEARCH`; what
/// `open(2)` says.
pub(crate) fn open_inode(
    mount: impl AsFd,
    root: u64,
    inode: u64,
    generation: u64,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let mut fid = [0; HANDLE_LEN as usize];
    fid[..8].copy_from_slice(&inode.to_ne_bytes());
    fid[8..16].copy_from_slice(&root.to_ne_bytes());
    // The handle has the low half of it, as `i_generation` has.
    fid[16..].copy_from_slice(&(generation as u32).to_ne_bytes());
    let mut handle = Handle {
        handle_bytes: HANDLE_LEN,
        handle_type: BTRFS_WITHOUT_PARENT,
        fid,
    };
    let mount = mount.as_fd().as_raw_fd();
    let flags = (flags | OFlags::CLOEXEC).bits() as libc::c_int;
    // SAFETY: the kernel reads the header and `handle_bytes` bytes behind it, which is all of
    // `handle`.
    let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount, &raw mut handle, flags) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just opened it for us.
        Ok(fd) if 0 <= fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(crate::ioctl::last_errno()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_has_the_size_that_the_kernel_reads() {
        assert_eq!(size_of::<Handle>(), 8 + 20);
    }
}
