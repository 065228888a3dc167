//! A btrfs for whoever makes raw calls: [`on_loopback`], [`on_checked_loopback`], [`in_directory`].
//! Beside [`crate::same`], what measuring the call itself needs.
//!
//! No time limit here, and no session: if the kernel hangs, so does the caller.

use std::os::fd::AsFd;
use std::path::Path;
use std::thread;

use scenario::{BackendError, Geometry, Verified};
use uapi::fiemap::FiemapHeader;
use zerocopy::IntoBytes;

use crate::directory::Directory;
use crate::loopback::Loopback;
use crate::{ioctl, ioctl_space, leftovers, missing, process, system_errno};

/// Makes a btrfs on a loop device and runs `work` in a thread that sees it, with its folder; the
/// filesystem is gone afterwards.
///
/// # Errors
///
/// [`BackendError::Missing`] as [`crate::Mount::loopback`]; [`BackendError::Channel`] if `work`
/// panicked.
pub fn on_loopback<T: Send>(work: impl FnOnce(&Path) -> T + Send) -> Result<T, BackendError> {
    if !process::is_root() {
        return Err(missing(
            "a btrfs on a loop device can be made by root only",
            "run as root, or name a folder on btrfs: mount=DIR",
        ));
    }
    in_thread(move || {
        let loopback = Loopback::new(&Geometry::default(), None, false)?;
        Ok(work(&loopback.place().first))
    })
}

/// Does the same as [`on_loopback`]; then unmounts the filesystem, checks it and scrubs it. Returns
/// what was found wrong, too. Nothing may be open on the filesystem when `work` is done.
///
/// # Errors
///
/// As [`on_loopback`], and [`BackendError::System`] if it cannot be checked.
pub fn on_checked_loopback<T: Send>(
    work: impl FnOnce(&Path) -> T + Send,
) -> Result<(T, Verified), BackendError> {
    if !process::is_root() {
        return on_loopback(work).map(|done| (done, Verified::default()));
    }
    in_thread(move || {
        let mut loopback = Loopback::new(&Geometry::default(), None, false)?;
        let done = work(&loopback.place().first);
        Ok((done, loopback.verify()?))
    })
}

/// Runs `work` with a folder of our own in a directory on a mounted btrfs.
///
/// # Errors
///
/// [`BackendError::Missing`] if `path` is no directory on btrfs.
pub fn in_directory<T: Send>(
    path: &Path,
    work: impl FnOnce(&Path) -> T + Send,
) -> Result<T, BackendError> {
    in_thread(move || {
        let directory = Directory::new(path)?;
        Ok(work(&directory.place().first))
    })
}

/// Writes everything back and commits the filesystem that `fd` is on.
///
/// # Errors
///
/// [`BackendError::System`] with what the kernel says.
pub fn commit(fd: impl AsFd) -> Result<(), BackendError> {
    crate::operations::sync(fd)
}

/// Returns how many bytes of metadata the filesystem that `fd` is on uses; commit before.
///
/// # Errors
///
/// [`BackendError::System`] with what the kernel says.
pub fn metadata_bytes(fd: impl AsFd) -> Result<u64, BackendError> {
    ioctl_space::metadata_bytes(fd).map_err(|errno| system_errno("ask for the used space", errno))
}

/// Returns how many extents FIEMAP tells of a file: physically adjacent ones count as one.
///
/// # Errors
///
/// [`BackendError::System`] with what the kernel says.
pub fn nr_extents(fd: impl AsFd) -> Result<u32, BackendError> {
    let mut header = FiemapHeader::default();
    ioctl::write_fiemap_header(header.as_mut_bytes(), 0, 0, 0);
    ioctl::fiemap(fd, header.as_mut_bytes())
        .map_err(|errno| system_errno("count the extents of a file", errno))?;
    Ok(header.mapped_extents.get())
}

/// Runs `work` in a thread with mounts of its own, as far as it may have some.
pub(crate) fn in_thread<T: Send>(
    work: impl FnOnce() -> Result<T, BackendError> + Send,
) -> Result<T, BackendError> {
    leftovers::remove_leftovers();
    let alone = || {
        if process::is_root() {
            process::unshare_mounts().map_err(|error| {
                missing(
                    format!("this process may not have mounts of its own: {error}"),
                    "run with CAP_SYS_ADMIN, or as an ordinary user with mount=DIR",
                )
            })?;
        }
        work()
    };
    let result = thread::scope(|scope| scope.spawn(alone).join());
    result.unwrap_or_else(|_| {
        let text = "the thread that asked the kernel died";
        Err(BackendError::Channel(text.to_owned()))
    })
}
