//! Waiting for pages of a file that somebody has locked: [`wait_for_locked`].
//!
//! A kernel that compresses hands dirty pages to workers, which keep them locked until they are
//! sent off; until then the pages count as dirty. Reading a file does not wait for them, a page
//! fault does.
#![expect(
    unsafe_code,
    reason = "one of the files that talk to the kernel raw: mappings of files"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Has every page of `offset..offset + len` mapped for reading, so that none of them is locked any
/// more; `offset` is the begin of a page. Nothing becomes dirty.
///
/// # Errors
///
/// What `mmap(2)` or `madvise(2)` say: `EINVAL` before 5.14, which cannot be asked for that.
pub(crate) fn wait_for_locked(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<()> {
    let offset =
        libc::off_t::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: a new mapping at a place that the kernel chooses; nobody gets to read through it.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            offset,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is ours and has `len` bytes. What lies behind EOF is told by an errno.
    let result = unsafe { libc::madvise(base, len, libc::MADV_POPULATE_READ) };
    let populated = match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: the mapping is ours and no reference into it was made.
    unsafe { libc::munmap(base, len) };
    populated
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    #[test]
    fn pages_behind_the_end_of_a_file_are_an_error_and_no_signal() {
        let file = memfd_create("pages", MemfdFlags::CLOEXEC).expect("a file");
        rustix::io::write(&file, &[1; 100]).expect("bytes in it");
        assert!(wait_for_locked(file.as_fd(), 0, 100).is_ok());
        assert!(wait_for_locked(file.as_fd(), 0, 1 << 20).is_err());
        assert!(wait_for_locked(file.as_fd(), u64::MAX, 1).is_err());
    }
}
