//! Writes that are not plain `pwrite(2)` calls: with `O_DIRECT`, and through a mapping.
//!
//! Both end with everything of the file written back: what a direct write and an fsync have
//! started completes behind the caller's back.

use data::Content;
use rustix::fs::{FileType, MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, fstat, memfd_create};
use scenario::{BackendError, Name, Outcome};
use uapi::Errno;

use crate::map;
use crate::mmap::FileMemory;
use crate::operations::{WRITE_LEN_MAX, not_opened, outcome, settle_and_commit, written};
use crate::session::{Session, refused};
use crate::{errno_of, system};

/// Length of a page of a file in bytes.
const PAGE: u64 = 4096;

impl Session {
    pub(crate) fn write_directly(
        &mut self,
        name: &Name,
        offset: u64,
        content: &Content,
    ) -> Result<Outcome, BackendError> {
        let (run, buffers) = self.run_mut()?;
        let fd = match run.fds.writable(&run.tops, name) {
            Ok(fd) => fd,
            Err(no_fd) => return not_opened(no_fd),
        };
        let bytes = buffers.aligned_bytes_of(content, WRITE_LEN_MAX);
        let flags =
            fcntl_getfl(fd).map_err(|error| system("ask for a descriptor's flags", error))?;
        // Refused by what has no map and no direct I/O: a fifo, a folder. So is the write itself.
        let _ = map::flush(fd);
        let is_direct = fcntl_setfl(fd, flags | OFlags::DIRECT).is_ok();
        let result = refused(rustix::io::pwrite(fd, bytes, offset));
        if is_direct {
            fcntl_setfl(fd, flags).map_err(|error| system("end direct I/O", error))?;
        }
        let _ = map::flush(fd);
        Ok(written(result, content))
    }

    pub(crate) fn write_mapped(
        &mut self,
        name: &Name,
        offset: u64,
        content: &Content,
    ) -> Result<Outcome, BackendError> {
        let (run, buffers) = self.run_mut()?;
        let fd = match run.fds.writable(&run.tops, name) {
            Ok(fd) => fd,
            Err(no_fd) => return not_opened(no_fd),
        };
        let stat = fstat(fd).map_err(|error| system("look at a file", error))?;
        let len = content.len().min(WRITE_LEN_MAX);
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        // Elsewhere nothing can be mapped; where does not matter.
        let start = if is_regular {
            offset - offset % PAGE
        } else {
            0
        };
        if is_regular {
            let pages_end = (stat.st_size as u64).next_multiple_of(PAGE);
            if offset.checked_add(len).is_none_or(|end| pages_end < end) {
                return Ok(Outcome::Failed(Errno::EFAULT));
            }
        }
        let bytes = buffers.bytes_of(content, WRITE_LEN_MAX);
        let mapped_len = match bytes.len() {
            0 => 0,
            len => len + (offset % PAGE) as usize,
        };
        let mut memory = match FileMemory::new(fd, start, mapped_len) {
            Ok(memory) => memory,
            Err(errno) => return Ok(Outcome::Failed(errno_of(errno))),
        };
        // Read from a file into the mapping: a page that cannot be had is then an errno, where a
        // store of our own would be a signal.
        let source = memfd_create("xsame-stored", MemfdFlags::CLOEXEC)
            .map_err(|error| system("make a file in memory", error))?;
        let mut done = 0;
        while done < bytes.len() {
            done += rustix::io::write(&source, &bytes[done..])
                .map_err(|error| system("write a file in memory", error))?;
        }
        let stored = match memory.read_into(&source, (offset - start) as usize) {
            Ok(stored) => stored,
            Err(errno) => return Ok(Outcome::Failed(errno_of(errno))),
        };
        if let Err(errno) = memory.sync() {
            return Ok(Outcome::Failed(errno_of(errno)));
        }
        drop(memory);
        Ok(match settle_and_commit(fd) {
            Ok(()) => written(Ok(stored), content),
            Err(errno) => outcome(Err(errno)),
        })
    }
}
