//! Memory that ends, or turns read-only, in the middle of a request: [`EdgeMemory`]; and memory
//! that is a file's: [`FileMemory`].
//!
//! It knows bytes and pages, not what a request is. What lies behind the edge is really unmapped:
//! `PROT_NONE` would not do, a User Mode Linux kernel reads such pages.
#![expect(unsafe_code, reason = "a file that talks to the kernel raw")]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// What follows the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// Nothing is mapped there.
    Unmapped,
    /// It can be read but not written.
    ReadOnly,
}

/// A mapping with some bytes in it, placed so that a given one of them begins a page.
#[derive(Debug)]
pub(crate) struct EdgeMemory {
    base: NonNull<c_void>,
    mapped_len: usize,
    request_at: usize,
    readable_len: usize,
}

/// A range of a file, mapped shared.
#[derive(Debug)]
pub(crate) struct FileMemory {
    base: NonNull<c_void>,
    len: usize,
}

impl FileMemory {
    /// Maps `len` bytes of a file from `start`, a page's, on. No page is read before it is touched.
    ///
    /// # Errors
    ///
    /// What `mmap(2)` and `madvise(2)` say.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        start: u64,
        len: usize,
    ) -> rustix::io::Result<FileMemory> {
        use rustix::mm::{Advice, MapFlags, ProtFlags};
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let nowhere = std::ptr::null_mut();
        // SAFETY: a new mapping, at an address that the kernel chooses, replaces none.
        let base = unsafe { rustix::mm::mmap(nowhere, len, prot, MapFlags::SHARED, fd, start)? };
        let base = NonNull::new(base).ok_or(rustix::io::Errno::NOMEM)?;
        let memory = FileMemory { base, len };
        // SAFETY: the mapping is ours, and this advice changes no byte of it.
        unsafe { rustix::mm::madvise(base.as_ptr(), len, Advice::Random)? };
        Ok(memory)
    }

    /// Reads the whole of `source` into the mapping from byte `at` on, as far as it reaches;
    /// returns how many bytes that were.
    ///
    /// # Errors
    ///
    /// What `pread(2)` says: `EFAULT` for a page that is behind EOF or that cannot be dirtied.
    pub(crate) fn read_into(&mut self, source: impl AsFd, at: usize) -> rustix::io::Result<usize> {
        let mut done = 0;
        while let room = self.len.saturating_sub(at + done)
            && 0 < room
        {
            // SAFETY: `at + done` lies within the mapping.
            let target = unsafe { self.base.as_ptr().byte_add(at + done) };
            let fd = source.as_fd().as_raw_fd();
            // SAFETY: `room` bytes from `target` on are mapped and writable, and no reference into
            // them exists.
            let read = unsafe { libc::pread(fd, target, room, done as libc::off_t) };
            match usize::try_from(read) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(_) => return Err(last_errno()),
            }
        }
        Ok(done)
    }

    /// Writes back what was stored, `msync(2)` with `MS_SYNC`.
    ///
    /// # Errors
    ///
    /// What `msync(2)` says.
    pub(crate) fn sync(&mut self) -> rustix::io::Result<()> {
        // SAFETY: the mapping is ours.
        unsafe { rustix::mm::msync(self.base.as_ptr(), self.len, rustix::mm::MsyncFlags::SYNC) }
    }
}

impl Drop for FileMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr(), self.len) };
    }
}

fn last_errno() -> rustix::io::Errno {
    let error = io::Error::last_os_error();
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
}

/// Where the mapping is asked for. Far from where other threads' mappings go, so that none of them
/// comes to lie in the hole behind the edge, and low enough for a User Mode Linux process.
const HINT: usize = 0x10_0000_0000;

impl EdgeMemory {
    /// Returns memory that holds `bytes`, with `bytes[edge]` at the start of a page and `beyond`
    /// from there on. Bytes in an unmapped part are dropped.
    ///
    /// # Errors
    ///
    /// What `mmap(2)`, `munmap(2)` or `mprotect(2)` say; `InvalidInput` if `edge` is past the end.
    pub(crate) fn new(bytes: &[u8], edge: usize, beyond: Beyond) -> io::Result<EdgeMemory> {
        if bytes.len() < edge {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let page = rustix::param::page_size();
        let before_len = edge.next_multiple_of(page).max(page);
        // At least a page, so that there always is something to unmap or protect.
        let after_len = (bytes.len() - edge).next_multiple_of(page).max(page);
        let base = map(before_len + after_len)?;
        let request_at = before_len - edge;
        let mut memory = EdgeMemory {
            base,
            mapped_len: before_len + after_len,
            request_at,
            readable_len: bytes.len(),
        };
        // SAFETY: the mapping is writable, ours alone, and `bytes` fit: `edge` of them lie before
        // the edge and the others in `after_len`.
        unsafe {
            let target = base.as_ptr().cast::<u8>().add(request_at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        // SAFETY: `before_len` is within the mapping.
        let edge_ptr = unsafe { base.as_ptr().byte_add(before_len) };
        // SAFETY: this is the tail of our own mapping; no reference into it exists.
        let result = unsafe {
            match beyond {
                Beyond::Unmapped => libc::munmap(edge_ptr, after_len),
                Beyond::ReadOnly => libc::mprotect(edge_ptr, after_len, libc::PROT_READ),
            }
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        if beyond == Beyond::Unmapped {
            memory.mapped_len = before_len;
            memory.readable_len = edge;
        }
        Ok(memory)
    }

    /// Returns where the request begins.
    pub(crate) fn request_ptr(&mut self) -> *mut c_void {
        // SAFETY: `request_at` is at most `mapped_len`, one past the end at the furthest.
        unsafe { self.base.as_ptr().byte_add(self.request_at) }
    }

    /// Returns the bytes of the request that can be read, as they are now.
    pub(crate) fn readable(&self) -> &[u8] {
        // SAFETY: these bytes were written by `new`, lie in the mapping, and are changed only by a
        // call that has `&mut self`.
        unsafe {
            let start = self.base.as_ptr().cast::<u8>().add(self.request_at);
            std::slice::from_raw_parts(start, self.readable_len)
        }
    }
}

impl Drop for EdgeMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr(), self.mapped_len) };
    }
}

fn map(len: usize) -> io::Result<NonNull<c_void>> {
    // SAFETY: a new private anonymous mapping; the address is a hint and replaces nothing.
    let base = unsafe {
        libc::mmap(
            HINT as *mut c_void,
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unmapped_edge_keeps_what_is_before_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        for edge in [0, 1, 12, 24, 255, 256] {
            let memory = EdgeMemory::new(&bytes, edge, Beyond::Unmapped).expect("memory");
            assert_eq!(memory.readable(), &bytes[..edge]);
        }
    }

    #[test]
    fn a_read_only_edge_keeps_everything() {
        let bytes = vec![7; 3 * 4096];
        let mut memory = EdgeMemory::new(&bytes, 56, Beyond::ReadOnly).expect("memory");
        assert_eq!(memory.readable(), &bytes[..]);
        assert_eq!((memory.request_ptr() as usize + 56) % 4096, 0);
    }

    #[test]
    fn an_edge_past_the_bytes_is_refused() {
        assert!(EdgeMemory::new(&[0; 8], 9, Beyond::Unmapped).is_err());
    }
}
