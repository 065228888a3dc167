//! The ioctls about quota groups.
#![expect(unsafe_code, reason = "one of the files that talk to the kernel raw")]

use std::os::fd::{AsFd, AsRawFd};

use uapi::{Errno, request};

use crate::ioctl::call;

/// `BTRFS_QUOTA_CTL_ENABLE`: full accounting, not simple quotas.
const ENABLE: u64 = 1;
/// `BTRFS_QUOTA_CTL_DISABLE`.
const DISABLE: u64 = 2;

/// `struct btrfs_ioctl_quota_ctl_args`.
#[repr(C)]
struct QuotaCtlArgs {
    command: u64,
    status: u64,
}

/// `struct btrfs_ioctl_quota_rescan_args`.
#[repr(C)]
struct QuotaRescanArgs {
    flags: u64,
    progress: u64,
    reserved: [u64; 6],
}

/// Begins or ends counting quota groups on the filesystem that `fd` is on.
pub(crate) fn count_quota(fd: impl AsFd, is_on: bool) -> Result<(), Errno> {
    let mut arguments = QuotaCtlArgs {
        command: if is_on { ENABLE } else { DISABLE },
        status: 0,
    };
    let fd = fd.as_fd().as_raw_fd();
    let number = request::BTRFS_IOC_QUOTA_CTL;
    // SAFETY: the kernel reads and writes 16 bytes, which is what `arguments` has.
    unsafe { call(fd, number, (&raw mut arguments).cast()) }.map(drop)
}

/// Has all quota groups counted anew in the background.
///
/// # Errors
///
/// The errno of the call: `EINPROGRESS` if that is under way.
pub(crate) fn rescan_quota(fd: impl AsFd) -> Result<(), Errno> {
    let mut arguments = QuotaRescanArgs {
        flags: 0,
        progress: 0,
        reserved: [0; 6],
    };
    let fd = fd.as_fd().as_raw_fd();
    let number = request::BTRFS_IOC_QUOTA_RESCAN;
    // SAFETY: the kernel reads 64 bytes, which is what `arguments` has.
    unsafe { call(fd, number, (&raw mut arguments).cast()) }.map(drop)
}

/// Waits until no quota group is being counted anew.
pub(crate) fn wait_for_rescan(fd: impl AsFd) -> Result<(), Errno> {
    let fd = fd.as_fd().as_raw_fd();
    let number = request::BTRFS_IOC_QUOTA_RESCAN_WAIT;
    // SAFETY: the request has no argument.
    unsafe { call(fd, number, std::ptr::null_mut()) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_sizes_of_the_kernel() {
        assert_eq!(size_of::<QuotaCtlArgs>(), 16);
        assert_eq!(size_of::<QuotaRescanArgs>(), 64);
    }
}
