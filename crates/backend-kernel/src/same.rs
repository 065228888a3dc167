//! One raw extent-same call on files of the user's: what `xsame same` does, without harness.
//!
//! Request bytes in, reply bytes out. What they mean is `uapi`'s business.

use std::os::fd::{AsFd, AsRawFd};

use uapi::{Errno, Release};

use crate::ioctl;

/// Calls `FIDEDUPERANGE` on `source` with the request in `bytes`; the reply takes its place.
///
/// # Errors
///
/// The errno of the call, or `EFAULT` without a call if `bytes` are fewer than their header
/// counts. `ENOTTY` comes from a kernel without the request (before 3.12, or not btrfs before
/// 4.5).
pub fn dedupe(source: impl AsFd, bytes: &mut [u8]) -> Result<(), Errno> {
    ioctl::dedupe(source.as_fd().as_raw_fd(), bytes)
}

/// Returns whether the filesystem that the directory `fd` is on knows the request at all.
pub(crate) fn is_known_by(fd: impl AsFd) -> bool {
    let mut nothing = uapi::dedupe::encode(&uapi::DedupeHeader::new(0, 0, 0), &[]);
    // A directory is refused in any case, but not like this.
    dedupe(fd, &mut nothing) != Err(Errno::ENOTTY)
}

/// Returns the release of the running kernel, if its name begins with one.
pub fn kernel_release() -> Option<Release> {
    rustix::system::uname()
        .release()
        .to_str()
        .ok()?
        .parse()
        .ok()
}
