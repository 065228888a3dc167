//! Open files, whoever opens them: [`Descriptors`], and what is done with them: reading, hashing,
//! deduping, writing temporaries.
//!
//! It does not know how a file is found.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};

use rustc_hash::FxHashMap;
use rustix::fs::{Advice, CWD, Mode, OFlags, fadvise, fstat, openat};
use rustix::io::{Errno as Io, fcntl_dupfd_cloexec};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use uapi::dedupe::{DIFFERS, RequestBuilder, SAME};
use uapi::fiemap::{FIEMAP_FLAG_SYNC, FiemapHeader};
use uapi::{Errno, request};
use volume::{DedupeRequest, DedupeStatus, File, FileId, FileRange, NR_TARGETS_MAX, VolumeError};
use zerocopy::IntoBytes;

use crate::{errno_of, ioctl};

/// Most files held open, if the limit of the process allows.
const NR_OPEN_MAX: usize = 4096;
/// Bytes read at a time for hashing: a multiple of every block size.
const PIECE: usize = 1 << 20;
/// Bytes that are read ahead by one call: kernels leave out what is more than a device reads ahead
/// (`force_page_cache_ra`, mm/readahead.c; 4 MiB on btrfs, less elsewhere).
const AHEAD_LEN: u64 = 128 << 10;
/// Ranges hashed in one go, so that their files can be open at once.
const NR_RANGES: usize = 256;

/// Files that are open, and the temporaries, which stay open.
#[derive(Debug)]
pub(super) struct Descriptors {
    open: FxHashMap<FileId, Arc<OwnedFd>>,
    /// The order in which they were opened.
    order: VecDeque<FileId>,
    nr_max: usize,
    /// Files opened so far.
    pub(super) nr_opened: u64,
    temporaries: FxHashMap<FileId, Temporary>,
}

/// A file of our own.
#[derive(Debug)]
struct Temporary {
    fd: Arc<OwnedFd>,
    /// Who waits for its extents.
    flush: Option<JoinHandle<Result<(), Errno>>>,
}

/// Lets this process open as many files as it may.
pub(super) fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    // If not, fewer are held open.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Has the kernel make a table for so many descriptors. A table that is too small grows to twice
/// its length each time, and where there are threads whoever opens then waits for all processors
/// (`synchronize_rcu` in `expand_fdtable`, fs/file.c): some 20 ms.
fn make_table(nr_descriptors: usize) {
    let least = i32::try_from(nr_descriptors).unwrap_or(i32::MAX);
    // If it does not, opening takes longer.
    if let Ok(any) = openat(
        CWD,
        "/dev/null",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        let _ = fcntl_dupfd_cloexec(any, least);
    }
}

impl Descriptors {
    pub(super) fn new() -> Descriptors {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let half = usize::try_from(limit / 2).unwrap_or(usize::MAX);
        let nr_max = half.clamp(2 * NR_TARGETS_MAX, NR_OPEN_MAX);
        // Not waited for, nor needed.
        let builder = Builder::new().name("descriptors".to_owned());
        let _ = builder.spawn(move || make_table(nr_max));
        Descriptors {
            open: FxHashMap::default(),
            order: VecDeque::new(),
            nr_max,
            nr_opened: 0,
            temporaries: FxHashMap::default(),
        }
    }

    /// Returns the file, opened with `open` if it is not yet.
    pub(super) fn get(
        &mut self,
        file: FileId,
        open: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Result<Arc<OwnedFd>, Errno> {
        let own = self.temporaries.get(&file).map(|own| &own.fd);
        let known = own.or_else(|| self.open.get(&file));
        if let Some(fd) = known {
            return Ok(Arc::clone(fd));
        }
        let fd = Arc::new(open()?);
        self.nr_opened += 1;
        while self.nr_max <= self.order.len() {
            if let Some(oldest) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
        self.order.push_back(file);
        self.open.insert(file, Arc::clone(&fd));
        Ok(fd)
    }

    /// Takes a file of our own.
    pub(super) fn keep_temporary(&mut self, file: FileId, fd: OwnedFd) {
        let fd = Arc::new(fd);
        self.temporaries.insert(file, Temporary { fd, flush: None });
    }

    /// Closes a file of our own; returns whether it was one.
    pub(super) fn remove_temporary(&mut self, file: FileId) -> bool {
        self.temporaries.remove(&file).is_some()
    }

    /// Returns a file of our own.
    pub(super) fn temporary(&self, file: FileId) -> Option<Arc<OwnedFd>> {
        self.temporaries.get(&file).map(|own| Arc::clone(&own.fd))
    }

    /// Begins to write back a file of our own.
    pub(super) fn begin_flush(&mut self, file: FileId) {
        if let Some(own) = self.temporaries.get_mut(&file) {
            let fd = Arc::clone(&own.fd);
            own.flush = Some(std::thread::spawn(move || flush(fd)));
        }
    }

    /// Writes all of the bytes into a file of our own.
    pub(super) fn write(&self, file: FileId, offset: u64, bytes: &[u8]) -> Result<(), VolumeError> {
        let fd = self.temporary(file).ok_or(Errno::EBADF);
        let written = fd.and_then(|fd| write(fd, offset, bytes));
        written.map_err(|errno| write_error(file, "write a copy", errno))
    }

    /// Waits until what was written into a file of our own has its extents.
    pub(super) fn flush(&mut self, file: FileId) -> Result<(), VolumeError> {
        let begun = self
            .temporaries
            .get_mut(&file)
            .and_then(|own| own.flush.take());
        let flushed = match begun.map(JoinHandle::join) {
            None => self.temporary(file).ok_or(Errno::EBADF).and_then(flush),
            Some(Ok(flushed)) => flushed,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        };
        flushed.map_err(|errno| write_error(file, "write back a copy", errno))
    }
}

/// Returns the error of one file.
pub(super) fn of_file(file: FileId, action: &'static str, errno: Errno) -> VolumeError {
    VolumeError::File {
        file,
        action,
        errno,
    }
}

/// Reads from a file until `bytes` are full or it ends; returns how many bytes.
pub(super) fn read(
    fd: Result<Arc<OwnedFd>, Errno>,
    file: FileId,
    offset: u64,
    bytes: &mut [u8],
) -> Result<usize, VolumeError> {
    let fd = fd.map_err(|errno| of_file(file, "open", errno))?;
    read_full(&fd, offset, bytes).map_err(|errno| of_file(file, "read", errno))
}

fn read_full(fd: &OwnedFd, offset: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
    let mut nr_read = 0;
    while nr_read < bytes.len() {
        match rustix::io::pread(fd, &mut bytes[nr_read..], offset + nr_read as u64) {
            Ok(0) => break,
            Ok(more) => nr_read += more,
            Err(Io::INTR) => {}
            Err(errno) => return Err(errno_of(errno)),
        }
    }
    Ok(nr_read)
}

/// Begins to bring ranges of files that `open` opens into the page cache.
pub(super) fn read_ahead(
    ranges: &[FileRange],
    mut open: impl FnMut(FileId) -> Result<Arc<OwnedFd>, Errno>,
) {
    for range in ranges {
        if let Ok(fd) = open(range.file) {
            for offset in (range.offset..range.end()).step_by(AHEAD_LEN as usize) {
                let len = NonZeroU64::new(AHEAD_LEN.min(range.end() - offset));
                let _ = fadvise(&fd, offset, len, Advice::WillNeed);
            }
        }
    }
}

/// Hashes ranges of files that `open` opens block by block with some threads; appends one result
/// for each.
pub(super) fn hash_blocks(
    ranges: &[FileRange],
    block_bytes: u64,
    nr_threads: usize,
    mut open: impl FnMut(FileId) -> Result<Arc<OwnedFd>, Errno>,
    hash: fn(&[u8]) -> u64,
    found: &mut Vec<Result<Vec<u64>, VolumeError>>,
) {
    for ranges in ranges.chunks(NR_RANGES) {
        let open = |range: &FileRange| (open(range.file), *range);
        let opened: Vec<_> = ranges.iter().map(open).collect();
        let buffer = || vec![0; PIECE];
        let hash = |buffer: &mut Vec<u8>, (fd, range): &(Result<Arc<OwnedFd>, Errno>, _)| match fd {
            Ok(fd) => hash_range(fd, *range, block_bytes as usize, hash, buffer),
            Err(errno) => Err(of_file(range.file, "open", *errno)),
        };
        found.extend(at_once(&opened, nr_threads, buffer, hash));
    }
}

fn hash_range(
    fd: &OwnedFd,
    range: FileRange,
    block_bytes: usize,
    hash: fn(&[u8]) -> u64,
    buffer: &mut [u8],
) -> Result<Vec<u64>, VolumeError> {
    let mut hashes = Vec::with_capacity(range.len.div_ceil(block_bytes as u64) as usize);
    let mut at = range.offset;
    while at < range.end() {
        let len = (range.end() - at).min(buffer.len() as u64) as usize;
        let nr_read = read_full(fd, at, &mut buffer[..len])
            .map_err(|errno| of_file(range.file, "read", errno))?;
        hashes.extend(buffer[..nr_read].chunks(block_bytes).map(hash));
        if nr_read < len {
            break;
        }
        at += len as u64;
    }
    Ok(hashes)
}

/// A call that can be made: the source with its descriptor, the targets with theirs.
struct Call {
    source: Result<Arc<OwnedFd>, Errno>,
    range: FileRange,
    targets: Vec<(Result<Arc<OwnedFd>, Errno>, u64)>,
}

impl Call {
    /// Returns the call of a request on files that `open` opens.
    fn new(
        request: &DedupeRequest<'_>,
        mut open: impl FnMut(FileId) -> Result<Arc<OwnedFd>, Errno>,
    ) -> Call {
        Call {
            source: open(request.source.file),
            range: request.source,
            targets: request
                .targets
                .iter()
                .map(|target| (open(target.file), target.offset))
                .collect(),
        }
    }

    /// Makes the call with those targets that could be opened.
    fn make(&self) -> Result<Vec<DedupeStatus>, VolumeError> {
        let Call { range, targets, .. } = self;
        let source = self.source.as_ref();
        let source = source.map_err(|errno| of_file(range.file, "open", *errno))?;
        let mut call = RequestBuilder::new(range.offset, range.len);
        for (fd, offset) in targets {
            if let Ok(fd) = fd {
                call = call.target(fd.as_raw_fd().into(), *offset);
            }
        }
        let mut bytes = call.build();
        if targets.iter().any(|(fd, _)| fd.is_ok()) {
            ioctl::dedupe(source.as_raw_fd(), &mut bytes)
                .map_err(|errno| of_file(range.file, "dedupe from", errno))?;
        }
        let mut element_idx = 0;
        let mut statuses = Vec::with_capacity(targets.len());
        for (fd, _) in targets {
            if let Err(errno) = fd {
                statuses.push(DedupeStatus::Refused(*errno));
                continue;
            }
            let element = uapi::dedupe::element(&bytes, element_idx)
                .map_err(|error| VolumeError::Fatal(error.to_string()))?;
            element_idx += 1;
            let status = element.status.get();
            statuses.push(match status {
                SAME => DedupeStatus::Same {
                    bytes: element.bytes_deduped.get(),
                },
                DIFFERS => DedupeStatus::Differs,
                status => DedupeStatus::Refused(Errno::from_status(status).unwrap_or(Errno::EIO)),
            });
        }
        Ok(statuses)
    }
}

/// Makes the call of a request on files that `open` opens.
pub(super) fn dedupe(
    request: &DedupeRequest<'_>,
    open: impl FnMut(FileId) -> Result<Arc<OwnedFd>, Errno>,
) -> Result<Vec<DedupeStatus>, VolumeError> {
    Call::new(request, open).make()
}

/// Makes the calls of requests on files that `open` opens, with some threads; appends one result
/// for each.
pub(super) fn dedupe_all(
    requests: &[DedupeRequest<'_>],
    nr_threads: usize,
    mut open: impl FnMut(FileId) -> Result<Arc<OwnedFd>, Errno>,
    found: &mut Vec<Result<Vec<DedupeStatus>, VolumeError>>,
) {
    let calls = requests.iter().map(|request| Call::new(request, &mut open));
    let calls: Vec<Call> = calls.collect();
    found.extend(at_once(&calls, nr_threads, || (), |(), call| call.make()));
}

/// Does something with each item, with some threads, each of which begins with `tools`; returns the
/// results in their order.
fn at_once<T: Sync, R: Send, Tools>(
    items: &[T],
    nr_threads: usize,
    tools: impl Fn() -> Tools + Sync,
    work: impl Fn(&mut Tools, &T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = || {
        let (mut tools, mut done) = (tools(), Vec::new());
        loop {
            let idx = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(idx) else {
                return done;
            };
            done.push((idx, work(&mut tools, item)));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let nr_others = nr_threads.min(items.len()).saturating_sub(1);
        let others: Vec<_> = (0..nr_others).map(|_| scope.spawn(take)).collect();
        let mut done = take();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(idx, _)| *idx);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Creates a file without a name in a folder, with checksums unless `is_nodatasum`.
pub(super) fn create(folder: impl AsFd, is_nodatasum: bool) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let fd = openat(folder, ".", flags, Mode::from_raw_mode(0o600)).map_err(errno_of)?;
    // A filesystem without flags has no checksums either.
    if let Ok(flags) = ioctl::inode_flags(&fd) {
        let wanted = match is_nodatasum {
            true => flags | request::FS_NOCOW_FL,
            false => flags & !request::FS_NOCOW_FL,
        };
        if wanted != flags {
            ioctl::set_inode_flags(&fd, wanted)?;
        }
    }
    Ok(fd)
}

/// Returns what a file of our own is like: its inode item may not have been written yet.
pub(super) fn look_at_temporary(file: FileId, fd: impl AsFd) -> Result<File, Errno> {
    let stat = fstat(&fd).map_err(errno_of)?;
    let flags = ioctl::inode_flags(&fd).unwrap_or(0);
    Ok(File {
        id: file,
        size: stat.st_size.unsigned_abs(),
        is_nodatasum: flags & request::FS_NOCOW_FL != 0,
        is_movable: true,
        generation: 0,
    })
}

/// Returns the inode number.
pub(super) fn inode_of(fd: impl AsFd) -> Result<u64, Errno> {
    fstat(fd).map(|stat| stat.st_ino).map_err(errno_of)
}

fn write(fd: impl AsFd, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    let mut nr_written = 0;
    while nr_written < bytes.len() {
        match rustix::io::pwrite(&fd, &bytes[nr_written..], offset + nr_written as u64) {
            Ok(0) => return Err(Errno::EIO),
            Ok(more) => nr_written += more,
            Err(Io::INTR) => {}
            Err(errno) => return Err(errno_of(errno)),
        }
    }
    Ok(())
}

/// Waits until what was written has its extents: a map of the file with that flag has to.
fn flush(fd: impl AsFd) -> Result<(), Errno> {
    let mut header = FiemapHeader::default();
    ioctl::write_fiemap_header(header.as_mut_bytes(), 0, FIEMAP_FLAG_SYNC, 0);
    ioctl::fiemap(fd, header.as_mut_bytes())
}

/// Returns what a refused write means.
pub(super) fn write_error(file: FileId, action: &'static str, errno: Errno) -> VolumeError {
    match errno {
        Errno::ENOSPC | Errno::EDQUOT => VolumeError::Full { action },
        errno => of_file(file, action, errno),
    }
}
