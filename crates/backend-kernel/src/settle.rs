//! Waiting for what a remap has started and does not wait for.
//!
//! A remap starts writeback of its whole source and waits for the range only. The rest completes
//! some time later: its references are dropped before or after the next look at a map, and a look
//! keeps delayed references apart, which a later NOCOW write can tell. So it is waited for here.

use scenario::Fd;
use uapi::Errno;

use crate::session::Session;
use crate::{ioctl, map};

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
