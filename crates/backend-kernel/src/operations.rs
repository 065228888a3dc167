//! Each operation as the system call that it stands for.
//!
//! Dedupe and clone live in `calls.rs`. Nothing here checks what a kernel would check.

use std::time::Duration;

use rustix::fs::{FallocateFlags, Gid, Mode, OFlags, Uid, openat};
use rustix::time::{ClockId, clock_gettime};
use scenario::{Attribute, BackendError, Name, Op, Outcome};
use uapi::{Errno, request};

use crate::descriptors::NoFd;
use crate::map;
use crate::session::{Run, Session, refused, split};
use crate::wait::wait_while;
use crate::{errno_of, ioctl};

/// The most that one `write(2)` takes, in bytes (`MAX_RW_COUNT` with pages of 4 KiB).
pub(crate) const WRITE_LEN_MAX: u64 = 0x7fff_f000;
/// The longest that a clock may stand still.
const TICK_TIME_MAX: Duration = Duration::from_secs(2);
/// How soon it is asked again.
const TICK_PAUSE: Duration = Duration::from_micros(500);
/// A directory or subvolume to make something in or of.
pub(crate) const FOLDER_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// What a call that returns nothing comes to.
type Called = Result<(), Errno>;

impl Session {
    /// Carries out one operation.
    pub(crate) fn carry_out(&mut self, op: &Op) -> Result<Outcome, BackendError> {
        if let Some(name) = op.made_name() {
            for name in self.run_mut()?.0.fds.held_below(name) {
                self.close(&name)?;
            }
        }
        match op {
            Op::File { name, is_nocow } => self.file(name, *is_nocow),
            Op::Dir { name } => self.named(name, |run, name| {
                let mode = Mode::from_raw_mode(0o755);
                refused(rustix::fs::mkdirat(run.tops.first(), name.as_str(), mode))
            }),
            Op::Fifo { name } => self.named(name, |run, name| {
                let mode = Mode::from_raw_mode(0o644);
                let kind = rustix::fs::FileType::Fifo;
                refused(rustix::fs::mknodat(
                    run.tops.first(),
                    name.as_str(),
                    kind,
                    mode,
                    0,
                ))
            }),
            Op::Subvol { name } => self.subvol(name),
            Op::Snapshot {
                source,
                target,
                is_readonly,
            } => self.snapshot(source, target, *is_readonly),
            Op::Delete { name } => self.delete(name),
            Op::Link { source, target } => self.link(source, target),
            Op::Rename { source, target } => self.rename(source, target),
            Op::Unlink { name, is_held } => self.unlink(name, *is_held),
            Op::Close { name } => {
                self.close(name)?;
                Ok(Outcome::Done)
            }
            Op::Write {
                name,
                offset,
                content,
            } => self.write(name, *offset, content),
            Op::DirectWrite {
                name,
                offset,
                content,
            } => self.write_directly(name, *offset, content),
            Op::MappedWrite {
                name,
                offset,
                content,
            } => self.write_mapped(name, *offset, content),
            Op::Truncate { .. } | Op::Fallocate { .. } | Op::Punch { .. } | Op::Zero { .. } => {
                self.resize(op)
            }
            Op::Flush { .. }
            | Op::Fiemap { .. }
            | Op::Fsync { .. }
            | Op::Chattr { .. }
            | Op::Chmod { .. }
            | Op::Chown { .. } => self.touch(op),
            Op::Sync => {
                let (run, _) = self.run_mut()?;
                Ok(outcome(ioctl::sync_filesystem(run.tops.first())))
            }
            Op::Remount { is_readonly } => self.remount(*is_readonly),
            Op::Tree => self.tree(),
            Op::Tick => {
                wait_for_tick();
                Ok(Outcome::Done)
            }
            Op::Clone(call) => self.clone_range(call),
            Op::Dedupe(call) => self.dedupe(call),
            Op::Observe { .. } => Ok(Outcome::Done),
        }
    }

    fn named(
        &mut self,
        name: &Name,
        call: impl FnOnce(&mut Run, &Name) -> Called,
    ) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        Ok(outcome(call(run, name)))
    }

    fn file(&mut self, name: &Name, is_nocow: bool) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let fd = match openat(run.tops.first(), name.as_str(), flags, mode) {
            Ok(fd) => fd,
            Err(errno) => return Ok(Outcome::Failed(errno_of(errno))),
        };
        let result = match is_nocow {
            true => set_attribute(&fd, request::FS_NOCOW_FL, true),
            false => Ok(()),
        };
        run.fds.adopt(name, fd);
        Ok(outcome(result))
    }

    fn subvol(&mut self, name: &Name) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        let Some((parent, last)) = split(name) else {
            return Ok(Outcome::Failed(Errno::EEXIST));
        };
        let parent = match openat(run.tops.first(), parent, FOLDER_FLAGS, Mode::empty()) {
            Ok(parent) => parent,
            Err(errno) => return Ok(Outcome::NotOpened(errno_of(errno))),
        };
        let result = ioctl::create_subvolume(&parent, last);
        if result.is_ok() {
            run.subvolumes.push(name.clone());
            commit(&parent)?;
        }
        Ok(outcome(result))
    }

    fn snapshot(
        &mut self,
        source: &Name,
        target: &Name,
        is_readonly: bool,
    ) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        let Some((parent, last)) = split(target) else {
            return Ok(Outcome::Failed(Errno::EEXIST));
        };
        let top = run.tops.first();
        let opened = openat(top, source.as_str(), FOLDER_FLAGS, Mode::empty())
            .and_then(|source| Ok((source, openat(top, parent, FOLDER_FLAGS, Mode::empty())?)));
        let (source, parent) = match opened {
            Ok(opened) => opened,
            Err(errno) => return Ok(Outcome::NotOpened(errno_of(errno))),
        };
        let flags = if is_readonly {
            request::BTRFS_SUBVOL_RDONLY
        } else {
            0
        };
        let result = ioctl::create_snapshot(&parent, &source, last, flags);
        if result.is_ok() {
            run.subvolumes.push(target.clone());
            commit(&parent)?;
        }
        Ok(outcome(result))
    }

    fn write(
        &mut self,
        name: &Name,
        offset: u64,
        content: &data::Content,
    ) -> Result<Outcome, BackendError> {
        let (run, buffers) = self.run_mut()?;
        let fd = match run.fds.writable(&run.tops, name) {
            Ok(fd) => fd,
            Err(no_fd) => return not_opened(no_fd),
        };
        let bytes = buffers.bytes_of(content, WRITE_LEN_MAX);
        Ok(written(
            refused(rustix::io::pwrite(fd, bytes, offset)),
            content,
        ))
    }

    /// Operations that need a descriptor open for writing.
    fn resize(&mut self, op: &Op) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        let (Op::Truncate { name, .. }
        | Op::Fallocate { name, .. }
        | Op::Punch { name, .. }
        | Op::Zero { name, .. }) = op
        else {
            unreachable!("carry_out() hands no other operation over")
        };
        let fd = match run.fds.writable(&run.tops, name) {
            Ok(fd) => fd,
            Err(no_fd) => return not_opened(no_fd),
        };
        let keeps_size_flag = FallocateFlags::KEEP_SIZE;
        let result = match op {
            Op::Truncate { size, .. } => rustix::fs::ftruncate(fd, *size),
            Op::Fallocate {
                offset,
                len,
                keeps_size,
                ..
            } => {
                let flags = if *keeps_size {
                    keeps_size_flag
                } else {
                    FallocateFlags::empty()
                };
                rustix::fs::fallocate(fd, flags, *offset, *len)
            }
            Op::Zero {
                offset,
                len,
                keeps_size,
                ..
            } => {
                let flags = if *keeps_size {
                    FallocateFlags::ZERO_RANGE | keeps_size_flag
                } else {
                    FallocateFlags::ZERO_RANGE
                };
                rustix::fs::fallocate(fd, flags, *offset, *len)
            }
            Op::Punch { offset, len, .. } => {
                let flags = FallocateFlags::PUNCH_HOLE | keeps_size_flag;
                rustix::fs::fallocate(fd, flags, *offset, *len)
            }
            _ => unreachable!("carry_out() hands no other operation over"),
        };
        Ok(outcome(refused(result)))
    }

    /// Operations for which a descriptor open for reading will do.
    fn touch(&mut self, op: &Op) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        let (Op::Flush { name }
        | Op::Fiemap { name }
        | Op::Fsync { name }
        | Op::Chattr { name, .. }
        | Op::Chmod { name, .. }
        | Op::Chown { name, .. }) = op
        else {
            unreachable!("carry_out() hands no other operation over")
        };
        let fd = match run.fds.any(&run.tops, name) {
            Ok(fd) => fd,
            Err(no_fd) => return not_opened(no_fd),
        };
        let result = match op {
            Op::Flush { .. } => map::flush(fd),
            Op::Fiemap { .. } => map::FileMap::new().read_synced(fd),
            Op::Fsync { .. } => refused(rustix::fs::fsync(fd)).and_then(|()| settle_and_commit(fd)),
            Op::Chattr {
                attribute, is_set, ..
            } => set_attribute(fd, attribute_flag(*attribute), *is_set),
            Op::Chmod { mode, .. } => refused(rustix::fs::fchmod(
                fd,
                Mode::from_raw_mode((*mode & 0o7777).into()),
            )),
            Op::Chown { uid, .. } => {
                let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*uid));
                refused(rustix::fs::fchown(fd, Some(uid), Some(gid)))
            }
            _ => unreachable!("carry_out() hands no other operation over"),
        };
        Ok(outcome(result))
    }
}

/// Returns the outcome of a call that returns nothing.
pub(crate) fn outcome(result: Called) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(errno) => Outcome::Failed(errno),
    }
}

/// Returns the outcome of a write of `content`.
pub(crate) fn written(result: Result<usize, Errno>, content: &data::Content) -> Outcome {
    match result {
        Ok(written) if written as u64 == content.len() => Outcome::Done,
        Ok(written) => Outcome::Short(written as u64),
        Err(errno) => Outcome::Failed(errno),
    }
}

/// Waits for what an fsync has started, and commits: whether it did so is not said.
pub(crate) fn settle_and_commit(fd: std::os::fd::BorrowedFd<'_>) -> Called {
    map::flush(fd)?;
    ioctl::commit_filesystem(fd).map(drop)
}

/// Returns the outcome of an operation whose descriptor there is not.
pub(crate) fn not_opened(no_fd: NoFd) -> Result<Outcome, BackendError> {
    match no_fd {
        NoFd::Refused(errno) => Ok(Outcome::NotOpened(errno)),
        NoFd::Backend(error) => Err(error),
    }
}

/// Returns the `FS_*_FL` of an attribute.
fn attribute_flag(attribute: Attribute) -> u32 {
    match attribute {
        Attribute::Nocow => request::FS_NOCOW_FL,
        Attribute::Immutable => request::FS_IMMUTABLE_FL,
        Attribute::Append => request::FS_APPEND_FL,
    }
}

fn set_attribute(fd: impl std::os::fd::AsFd, flag: u32, is_set: bool) -> Called {
    let flags = ioctl::inode_flags(&fd)?;
    let wanted = if is_set { flags | flag } else { flags & !flag };
    ioctl::set_inode_flags(&fd, wanted)
}

/// Waits until the clock that stamps inodes has moved; where stamps tell every change it has.
/// (7.2 under User Mode Linux has a vDSO without the function that reads the coarse clock.)
fn wait_for_tick() {
    if crate::session::capabilities().has_fine_times {
        return;
    }
    let now = || clock_gettime(ClockId::RealtimeCoarse);
    let before = now();
    wait_while(TICK_TIME_MAX, TICK_PAUSE, || now() == before);
}

/// Writes back everything and commits.
pub(crate) fn sync(fd: impl std::os::fd::AsFd) -> Result<(), BackendError> {
    ioctl::sync_filesystem(fd).map_err(|errno| crate::system_errno("commit the filesystem", errno))
}

/// Ends the transaction of a new subvolume: until its end, an fsync would commit everything.
pub(crate) fn commit(parent: impl std::os::fd::AsFd) -> Result<(), BackendError> {
    ioctl::commit_filesystem(parent)
        .map(drop)
        .map_err(|errno| crate::system_errno("commit the filesystem", errno))
}
