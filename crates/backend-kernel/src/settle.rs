//! Waiting for what a remap has started and does not wait for.
//!
//! A remap starts writeback of its whole source and waits for the range only. The rest completes
//! some time later: its references are dropped before or after the next look at a map, and a look
//! keeps delayed references apart, which a later NOCOW write can tell. So it is waited for here.

use std::os::fd::BorrowedFd;

use rustix::fs::fstat;
use scenario::Fd;
use uapi::Errno;

use crate::observe::{data_start, hole_start};
use crate::session::Session;
use crate::{errno_of, ioctl, map, mmap_pages};

impl Session {
    /// Waits for the ordered extents of the source of a remap, without flushing anything.
    pub(crate) fn settle(&mut self, source: &Fd) {
        let (Some(name), Ok((run, _))) = (source.name(), self.run_mut()) else {
            return;
        };
        let Ok(fd) = run.fds.readable(&run.tops, name) else {
            return;
        };
        match ioctl::dirty_pages(fd) {
            // With no dirty page, a sync of the map can only wait. What it answers is looked at
            // by the next observation.
            Ok(0) => drop(map::flush(fd)),
            // The call was refused before it started anything.
            Ok(_) => {}
            // Before 6.5: pages under writeback are waited for, what follows them is not.
            Err(Errno::ENOSYS) => drop(ioctl::wait_for_writeback(fd)),
            Err(_) => {}
        }
    }
}

/// The most that is mapped at once, bytes.
const MAPPED_LEN_MAX: u64 = 64 << 20;

/// Waits for what workers compress of a file, and for its ordered extents if nothing is dirty
/// besides; flushes nothing. Before a map is looked at, for where data was overwritten it tells
/// the old extents until the new ones are there.
pub(crate) fn wait_for_workers(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match ioctl::dirty_pages(fd) {
        Ok(0) => return map::flush(fd),
        Ok(_) | Err(Errno::ENOSYS) => {}
        Err(errno) => return Err(errno),
    }
    let size = fstat(fd).map_err(errno_of)?.st_size as u64;
    let mut at = 0;
    while at < size {
        let data = data_start(fd, at, size)?;
        let end = hole_start(fd, data, size)?.min(data + MAPPED_LEN_MAX);
        if data < end {
            // A kernel that cannot be asked leaves it to whoever looks again.
            let _ = mmap_pages::wait_for_locked(fd, data, (end - data) as usize);
        }
        at = end.max(data);
        if end <= data {
            break;
        }
    }
    ioctl::wait_for_writeback(fd)?;
    match ioctl::dirty_pages(fd) {
        Ok(0) => map::flush(fd),
        Ok(_) | Err(_) => Ok(()),
    }
}
