//! The open descriptors of a run: [`Descriptors`], opened at first use and kept until the name is
//! unlinked or closed or the run ends, because on btrfs a close can start writeback.
//!
//! It knows how names are opened, not what is done with the descriptors.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fs::{AtFlags, FileType, MemfdFlags, Mode, OFlags, memfd_create, open, openat, statat};
use scenario::fd::{Access, Fd, Mount, Target};
use scenario::{BackendError, Name};
use uapi::Errno;

use crate::place::Tops;
use crate::{errno_of, system};

/// A number that no process with sane limits has open.
const CLOSED_NUMBER: i32 = 900_000;
/// The bit that the kernel does not look at in a `dest_fd`.
const HIGH_BIT: i64 = 1 << 32;
/// Size of the file that stands for [`Target::Tmpfs`], in bytes.
const TMPFS_FILE_LEN: u64 = 64 << 10;

/// Why there is no descriptor.
#[derive(Debug)]
pub(crate) enum NoFd {
    /// `open(2)` refused.
    Refused(Errno),
    /// The harness could not ask.
    Backend(BackendError),
}

impl From<Errno> for NoFd {
    fn from(errno: Errno) -> NoFd {
        NoFd::Refused(errno)
    }
}

impl From<rustix::io::Errno> for NoFd {
    fn from(errno: rustix::io::Errno) -> NoFd {
        NoFd::Refused(errno_of(errno))
    }
}

/// What is open in one run.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    named: FxHashMap<Name, Opened>,
    /// Names that were unlinked and stand for the one descriptor that is still open.
    held: FxHashSet<Name>,
    special: FxHashMap<Target, OwnedFd>,
}

/// What is open on one name: at most a dozen, most often one.
#[derive(Debug)]
struct Opened {
    kind: FileType,
    fds: Vec<(Access, Mount, OwnedFd)>,
}

impl Opened {
    fn get(&self, access: Access, mount: Mount) -> Option<&OwnedFd> {
        self.fds
            .iter()
            .find(|fd| fd.0 == access && fd.1 == mount)
            .map(|fd| &fd.2)
    }
}

impl Descriptors {
    /// Takes over the read-write descriptor of a file that has just been created.
    pub(crate) fn adopt(&mut self, name: &Name, fd: OwnedFd) {
        let fds = vec![(Access::ReadWrite, Mount::First, fd)];
        self.named.insert(
            name.clone(),
            Opened {
                kind: FileType::RegularFile,
                fds,
            },
        );
    }

    /// Closes everything that is open on `name`.
    pub(crate) fn close(&mut self, name: &Name) {
        self.held.remove(name);
        self.named.remove(name);
    }

    /// Returns the names on which something is open.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.named.keys().cloned().collect()
    }

    /// Returns the held names that are `top` or below it.
    pub(crate) fn held_below(&self, top: &Name) -> Vec<Name> {
        let held = self.held.iter().filter(|name| name.is_within(top));
        held.cloned().collect()
    }

    /// Returns the descriptors that the held names stand for.
    pub(crate) fn held_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let opened = self.held.iter().filter_map(|name| self.named.get(name));
        opened.flat_map(|opened| opened.fds.iter().map(|(_, _, fd)| fd.as_fd()))
    }

    /// Closes everything that is open on `top` and below it.
    pub(crate) fn close_below(&mut self, top: &Name) {
        self.held.retain(|name| !name.is_within(top));
        self.named.retain(|name, _| !name.is_within(top));
    }

    /// Closes everything that is open on `name` but its read-write descriptor, opening that one
    /// if need be.
    pub(crate) fn keep_one(&mut self, tops: &Tops, name: &Name) -> Result<(), NoFd> {
        let kept = self.any(tops, name)?.as_raw_fd();
        if let Some(opened) = self.named.get_mut(name) {
            opened.fds.retain(|(_, _, fd)| fd.as_raw_fd() == kept);
        }
        Ok(())
    }

    /// Notes that `name` is none any more but for what is open.
    pub(crate) fn hold(&mut self, name: &Name) {
        self.held.insert(name.clone());
    }

    /// Closes what is open on `to` and below it; lets what is open on `from` and below it go on
    /// under that name.
    pub(crate) fn rename(&mut self, from: &Name, to: &Name) {
        self.close_below(to);
        let named = std::mem::take(&mut self.named).into_iter();
        self.named = named
            .map(|(name, opened)| (name.moved(from, to).unwrap_or(name), opened))
            .collect();
        let held = std::mem::take(&mut self.held).into_iter();
        self.held = held
            .map(|name| name.moved(from, to).unwrap_or(name))
            .collect();
    }

    /// Returns the number that the kernel is handed for `fd`.
    pub(crate) fn number(&mut self, tops: &Tops, fd: &Fd) -> Result<i64, NoFd> {
        let number = match &fd.target {
            Target::Name(name) => {
                i64::from(self.open(tops, name, fd.access, fd.mount)?.as_raw_fd())
            }
            Target::Closed => i64::from(CLOSED_NUMBER),
            Target::MinusOne => -1,
            special => i64::from(self.special(special)?.as_raw_fd()),
        };
        Ok(if fd.has_high_bit {
            number | HIGH_BIT
        } else {
            number
        })
    }

    /// Returns a read-write descriptor (directories: the read-only one that there is).
    pub(crate) fn writable(&mut self, tops: &Tops, name: &Name) -> Result<BorrowedFd<'_>, NoFd> {
        self.open(tops, name, Access::ReadWrite, Mount::First)
    }

    /// Returns a read-write descriptor if there can be one, else a read-only one.
    pub(crate) fn any(&mut self, tops: &Tops, name: &Name) -> Result<BorrowedFd<'_>, NoFd> {
        match self
            .open(tops, name, Access::ReadWrite, Mount::First)
            .map(drop)
        {
            Ok(()) => self.open(tops, name, Access::ReadWrite, Mount::First),
            Err(_) => self.open(tops, name, Access::ReadOnly, Mount::First),
        }
    }

    /// Returns a descriptor to look through: the read-write one if it is open already.
    pub(crate) fn readable(&mut self, tops: &Tops, name: &Name) -> Result<BorrowedFd<'_>, NoFd> {
        let is_open = |opened: &Opened| opened.get(Access::ReadWrite, Mount::First).is_some();
        let access = match self.named.get(name) {
            Some(opened) if is_open(opened) => Access::ReadWrite,
            Some(_) | None => Access::ReadOnly,
        };
        self.open(tops, name, access, Mount::First)
    }

    /// Returns the kind of what has this name.
    pub(crate) fn kind(&mut self, tops: &Tops, name: &Name) -> Result<FileType, Errno> {
        if let Some(opened) = self.named.get(name) {
            return Ok(opened.kind);
        }
        let top = tops.first();
        let stat = statat(top, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(errno_of)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        self.named.insert(
            name.clone(),
            Opened {
                kind,
                fds: Vec::new(),
            },
        );
        Ok(kind)
    }

    /// Returns the descriptor for this name, access and mount, opening it if it is not open.
    fn open(
        &mut self,
        tops: &Tops,
        name: &Name,
        access: Access,
        mount: Mount,
    ) -> Result<BorrowedFd<'_>, NoFd> {
        let is_open = self
            .named
            .get(name)
            .is_some_and(|opened| opened.get(access, mount).is_some());
        if !is_open {
            let top = tops.get(mount).map_err(NoFd::Backend)?;
            let kind = self.kind(tops, name)?;
            // Without a reader, opening the writing end of a fifo alone is refused.
            if kind == FileType::Fifo && access == Access::WriteOnly {
                self.open(tops, name, Access::ReadWrite, Mount::First)?;
            }
            let fd = openat(top, name.as_str(), flags(kind, access), Mode::empty())?;
            let opened = self
                .named
                .get_mut(name)
                .expect("kind() has put the name in");
            opened.fds.push((access, mount, fd));
        }
        let opened = self
            .named
            .get(name)
            .expect("it is open or has just been opened");
        Ok(opened
            .get(access, mount)
            .expect("it is open or has just been opened")
            .as_fd())
    }

    /// Returns the descriptor of something that has no name in the run's filesystem.
    fn special(&mut self, target: &Target) -> Result<BorrowedFd<'_>, NoFd> {
        if !self.special.contains_key(target) {
            self.open_special(target)
                .map_err(|errno| NoFd::Backend(system(format!("open {target:?}"), errno)))?;
        }
        Ok(self
            .special
            .get(target)
            .expect("it has just been opened")
            .as_fd())
    }

    fn open_special(&mut self, target: &Target) -> rustix::io::Result<()> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let mode = Mode::empty();
        let fd = match target {
            Target::Null => open_null()?,
            Target::PipeRead | Target::PipeWrite => {
                let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
                self.special.insert(Target::PipeRead, reading);
                self.special.insert(Target::PipeWrite, writing);
                return Ok(());
            }
            Target::Socket => {
                socketpair(
                    AddressFamily::UNIX,
                    SocketType::STREAM,
                    SocketFlags::CLOEXEC,
                    None,
                )?
                .0
            }
            Target::Tmpfs => {
                let fd = memfd_create("xsame", MemfdFlags::CLOEXEC)?;
                rustix::fs::ftruncate(&fd, TMPFS_FILE_LEN)?;
                fd
            }
            Target::Proc => open("/proc/self/status", OFlags::RDWR | OFlags::CLOEXEC, mode)
                .or_else(|_| open("/proc/self/status", OFlags::RDONLY | OFlags::CLOEXEC, mode))?,
            Target::Name(_) | Target::Closed | Target::MinusOne => {
                unreachable!("these are no special files")
            }
        };
        self.special.insert(target.clone(), fd);
        Ok(())
    }
}

/// Opens `/dev/null`; `ENODEV` if something else has taken its place, as tools that replace their
/// output file do when root asks them for no output.
fn open_null() -> rustix::io::Result<OwnedFd> {
    let fd = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
        FileType::CharacterDevice => Ok(fd),
        _ => Err(rustix::io::Errno::NODEV),
    }
}

/// Returns the flags of `open(2)` for an access to a file of this kind.
fn flags(kind: FileType, access: Access) -> OFlags {
    let is_directory = kind == FileType::Directory;
    let mode = match access {
        Access::ReadWrite if is_directory => OFlags::RDONLY,
        Access::ReadWrite => OFlags::RDWR,
        Access::ReadOnly => OFlags::RDONLY,
        Access::WriteOnly => OFlags::WRONLY,
        Access::Append => OFlags::RDWR | OFlags::APPEND,
        Access::Path => OFlags::PATH,
    };
    // Non-blocking for fifos; files and directories do not care.
    mode | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK
}
