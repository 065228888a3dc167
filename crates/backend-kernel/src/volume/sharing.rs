//! Whether a filesystem can share blocks at all: [`require`].
//!
//! Asked before anything is looked at: else every single file would be told to be refused.

use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, openat};
use scenario::BackendError;
use uapi::Errno;
use uapi::dedupe::RequestBuilder;

use crate::{ioctl, missing};

/// Has the first file that can be opened deduped with itself, which shares nothing: every
/// filesystem that can share blocks refuses a range that overlaps itself, the others the call.
///
/// # Errors
///
/// [`BackendError::Missing`] if it cannot.
pub(super) fn require<'a>(
    paths: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), BackendError> {
    let open = |path: &PathBuf| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(CWD, path.as_path(), flags, Mode::empty()).ok()
    };
    let Some((path, fd)) = paths.into_iter().find_map(|path| Some((path, open(path)?))) else {
        return Ok(());
    };
    let call = RequestBuilder::new(0, 1).target(fd.as_raw_fd().into(), 0);
    let mut bytes = call.build();
    let errno = match ioctl::dedupe(fd.as_raw_fd(), &mut bytes) {
        Err(errno) => Some(errno),
        Ok(()) => uapi::dedupe::element(&bytes, 0)
            .ok()
            .and_then(|element| Errno::from_status(element.status.get())),
    };
    match errno {
        Some(Errno::EOPNOTSUPP | Errno::ENOTTY) => Err(missing(
            format!("the filesystem of {} cannot share blocks", path.display()),
            "use btrfs, or an xfs that was made with reflink=1",
        )),
        _ => Ok(()),
    }
}
