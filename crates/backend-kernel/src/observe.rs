//! Looking at a file without changing it: contents through the page cache, `fstat(2)`, FIEMAP
//! without sync. Nothing here flushes.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use data::{Digest, Digester};
use rustc_hash::FxHashMap;
use rustix::fs::{AtFlags, FileType, SeekFrom, fstat, seek, statat};
use rustix::io::pread;
use scenario::{BackendError, FileKind, MapRun, Name, Observation, Probe, Stat, map_shape};
use uapi::Errno;

use crate::descriptors::{Descriptors, NoFd};
use crate::errno_of;
use crate::map::FileMap;
use crate::place::Tops;
use crate::settle;

/// Bytes read at once.
const PIECE_LEN: usize = 256 << 10;
/// Up to this size a file is simply read; holes of larger ones are skipped.
const READ_WHOLE_LEN_MAX: u64 = 64 << 20;
/// How long to wait for a map to take its expected shape; once that was in vain, the shapes of the
/// run are no longer to be relied on.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait from then on.
const PATIENCE_LOST: Duration = Duration::from_millis(5);
/// The first and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(2));

/// The eyes of a run: what was seen of each name before, and buffers.
#[derive(Debug)]
pub(crate) struct Observer {
    stamps: FxHashMap<Name, Stamps>,
    piece: Vec<u8>,
    map: FileMap,
    /// How long to wait for an expected shape.
    patience: Duration,
    /// Our own uid where we are not root: reported as 0, for files are "owned by root".
    own_uid: Option<u32>,
    /// Whether the filesystem compresses, which workers do behind everybody's back.
    compresses: bool,
}

/// What a name's inode was stamped with, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamps {
    mtime: i128,
    ctime: i128,
}

impl Observer {
    /// Returns the eyes for runs on a filesystem that compresses or not.
    pub(crate) fn new(compresses: bool) -> Observer {
        let uid = rustix::process::geteuid();
        Observer {
            stamps: FxHashMap::default(),
            piece: vec![0; PIECE_LEN],
            map: FileMap::new(),
            patience: PATIENCE,
            own_uid: (!uid.is_root()).then(|| uid.as_raw()),
            compresses,
        }
    }

    /// Forgets what was seen of `name`.
    pub(crate) fn forget(&mut self, name: &Name) {
        self.stamps.remove(name);
    }

    /// Forgets what was seen of `top` and below it.
    pub(crate) fn forget_below(&mut self, top: &Name) {
        self.stamps.retain(|name, _| !name.is_within(top));
    }

    /// Lets what was seen of `from` and below it count for `to`.
    pub(crate) fn rename(&mut self, from: &Name, to: &Name) {
        self.forget_below(to);
        let seen = std::mem::take(&mut self.stamps).into_iter();
        self.stamps = seen
            .map(|(name, stamps)| (name.moved(from, to).unwrap_or(name), stamps))
            .collect();
    }

    /// Forgets what was seen of every name.
    pub(crate) fn forget_all(&mut self) {
        self.stamps.clear();
        self.patience = PATIENCE;
    }

    /// Looks at one name.
    pub(crate) fn observe(
        &mut self,
        fds: &mut Descriptors,
        tops: &Tops,
        probe: &Probe,
    ) -> Result<Observation, BackendError> {
        let kind = match fds.kind(tops, &probe.name) {
            Ok(kind) => kind,
            Err(Errno::ENOENT | Errno::ENOTDIR) => {
                self.forget(&probe.name);
                return Ok(Observation::Absent);
            }
            Err(errno) => return Ok(Observation::Unreadable(errno)),
        };
        if kind != FileType::RegularFile {
            return Ok(self.other(tops, &probe.name));
        }
        let fd = match fds.readable(tops, &probe.name) {
            Ok(fd) => fd,
            Err(NoFd::Refused(errno)) => return Ok(Observation::Unreadable(errno)),
            Err(NoFd::Backend(error)) => return Err(error),
        };
        Ok(self.file(fd, probe).unwrap_or_else(Observation::Unreadable))
    }

    fn file(&mut self, fd: BorrowedFd<'_>, probe: &Probe) -> Result<Observation, Errno> {
        if self.compresses {
            settle::wait_for_workers(fd)?;
        }
        let map = self.settled_map(fd, probe.expected_shape)?;
        let raw = fstat(fd).map_err(errno_of)?;
        let content = self.content(fd, raw.st_size as u64)?;
        let stat = self.stat(&probe.name, &raw, FileKind::Regular);
        Ok(Observation::File { stat, content, map })
    }

    /// Looks at what is no regular file, without opening it.
    fn other(&mut self, tops: &Tops, name: &Name) -> Observation {
        let raw = match statat(tops.first(), name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(raw) => raw,
            Err(errno) => return Observation::Unreadable(errno_of(errno)),
        };
        let kind = match FileType::from_raw_mode(raw.st_mode) {
            FileType::Fifo => FileKind::Fifo,
            _ => FileKind::Directory,
        };
        let stat = Stat {
            size: 0,
            blocks: 0,
            ..self.stat(name, &raw, kind)
        };
        Observation::Other { stat }
    }

    fn stat(&mut self, name: &Name, raw: &rustix::fs::Stat, kind: FileKind) -> Stat {
        let nanoseconds =
            |seconds: i64, part: u64| i128::from(seconds) * 1_000_000_000 + i128::from(part);
        let seen = Stamps {
            mtime: nanoseconds(raw.st_mtime, raw.st_mtime_nsec),
            ctime: nanoseconds(raw.st_ctime, raw.st_ctime_nsec),
        };
        let before = match self.stamps.get_mut(name) {
            Some(stamps) => std::mem::replace(stamps, seen),
            None => {
                self.stamps.insert(name.clone(), seen);
                seen
            }
        };
        Stat {
            kind,
            size: raw.st_size as u64,
            blocks: raw.st_blocks as u64,
            mode: (raw.st_mode & 0o7777) as u16,
            uid: if self.own_uid == Some(raw.st_uid) {
                0
            } else {
                raw.st_uid
            },
            mtime_changed: before.mtime != seen.mtime,
            ctime_changed: before.ctime != seen.ctime,
        }
    }

    /// Returns the map, looked at again for a while as long as its shape is not the expected one.
    fn settled_map(
        &mut self,
        fd: BorrowedFd<'_>,
        expected_shape: Option<u64>,
    ) -> Result<Vec<MapRun>, Errno> {
        let mut map = self.map.read(fd)?;
        let Some(expected) = expected_shape else {
            return Ok(map);
        };
        let start = Instant::now();
        let mut pause = PAUSES.0;
        while map_shape(&map) != expected {
            if start.elapsed() >= self.patience {
                self.patience = PATIENCE_LOST;
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSES.1);
            map = self.map.read(fd)?;
        }
        Ok(map)
    }

    /// Returns the digest of the file's `size` bytes.
    fn content(&mut self, fd: BorrowedFd<'_>, size: u64) -> Result<Digest, Errno> {
        // The whole of a small file in one read and one call of the hash.
        if size <= PIECE_LEN as u64 {
            let len = self.read_full(fd, 0, size as usize)?;
            return Ok(Digest::of(&self.piece[..len]));
        }
        let mut digester = Digester::new();
        if size <= READ_WHOLE_LEN_MAX {
            self.feed(fd, 0, size, &mut digester)?;
            return Ok(digester.finish());
        }
        let mut at = 0;
        while at < size {
            let data = data_start(fd, at, size)?;
            self.feed_zeros(data - at, &mut digester);
            let hole = hole_start(fd, data, size)?;
            self.feed(fd, data, hole, &mut digester)?;
            at = hole;
        }
        Ok(digester.finish())
    }

    /// Feeds the bytes from `start` to `end`, or to where reading them ends.
    fn feed(
        &mut self,
        fd: BorrowedFd<'_>,
        start: u64,
        end: u64,
        digester: &mut Digester,
    ) -> Result<(), Errno> {
        let mut at = start;
        while at < end {
            let len = self.read_full(fd, at, (end - at).min(PIECE_LEN as u64) as usize)?;
            if len == 0 {
                break;
            }
            digester.update(&self.piece[..len]);
            at += len as u64;
        }
        Ok(())
    }

    fn feed_zeros(&mut self, len: u64, digester: &mut Digester) {
        let mut left = len;
        if 0 < left {
            self.piece.fill(0);
        }
        while 0 < left {
            let len = left.min(PIECE_LEN as u64);
            digester.update(&self.piece[..len as usize]);
            left -= len;
        }
    }

    /// Reads `len` bytes into the piece; returns how many there were.
    fn read_full(&mut self, fd: BorrowedFd<'_>, at: u64, len: usize) -> Result<usize, Errno> {
        let mut done = 0;
        while done < len {
            match pread(fd, &mut self.piece[done..len], at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno_of(errno)),
            }
        }
        Ok(done)
    }
}

/// Returns where the next data at or after `at` begins, `size` if there is none.
pub(crate) fn data_start(fd: impl AsFd, at: u64, size: u64) -> Result<u64, Errno> {
    match seek(fd, SeekFrom::Data(at)) {
        Ok(data) => Ok(data.clamp(at, size)),
        Err(rustix::io::Errno::NXIO) => Ok(size),
        Err(errno) => Err(errno_of(errno)),
    }
}

/// Returns where the next hole at or after `at` begins, `size` if there is none.
pub(crate) fn hole_start(fd: impl AsFd, at: u64, size: u64) -> Result<u64, Errno> {
    if size <= at {
        return Ok(size);
    }
    let hole = seek(fd, SeekFrom::Hole(at)).map_err(errno_of)?;
    Ok(hole.clamp(at, size))
}
