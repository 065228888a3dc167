//! Every other operation, as the system call that it stands for.
//!
//! What the VFS refuses before a filesystem is asked is here; the rest is `fs_state`'s.

use data::Content;
use fs_state::{AttributeKind, InodeId, Kind};
use scenario::{Answer, Attribute, Name, Op, Outcome};
use uapi::Errno;

use super::Sequential;

/// The largest file position (`OFFSET_MAX`).
const POSITION_MAX: u64 = i64::MAX as u64;

/// What a call that returns nothing comes to.
type Called = Result<(), Errno>;

impl Sequential {
    /// Shortens a direct write to what is cut as the model says wherever extents lie on disk.
    pub(super) fn with_known_cuts(&mut self, op: Op) -> Op {
        let Op::DirectWrite {
            name,
            offset,
            content,
        } = op
        else {
            return op;
        };
        let known_len = self.id_of(&name).map_or(content.len(), |id| {
            let fs = self.machine.fs();
            fs.direct_len_known(id, offset, content.len())
        });
        Op::DirectWrite {
            name,
            offset,
            content: content.slice(0..known_len),
        }
    }

    /// Closes what a caller closes before it asks: that is done whatever the answer is.
    pub(super) fn close_first(&mut self, op: &Op) {
        match op {
            Op::Unlink {
                name,
                is_held: false,
            } => self.close(name),
            Op::Delete { name } => self.close_below(name),
            op => {
                let held = op.made_name().map(|name| self.descriptors.held_below(name));
                held.iter().flatten().for_each(|name| self.close(name));
            }
        }
    }

    /// Carries out one operation.
    pub(super) fn carry_out(&mut self, op: &Op) -> Answer {
        self.close_first(op);
        if let Some(refused) = self.refuse_readonly(op) {
            return refused;
        }
        let answer = match op {
            Op::Dedupe(call) => self.dedupe(call),
            Op::Clone(call) => self.clone_range(call),
            Op::Tree => Ok(self.tree()),
            Op::Write { .. }
            | Op::DirectWrite { .. }
            | Op::MappedWrite { .. }
            | Op::Truncate { .. }
            | Op::Fallocate { .. }
            | Op::Punch { .. }
            | Op::Zero { .. } => self.write_through(op).map(Answer::plain),
            Op::Flush { .. }
            | Op::Fiemap { .. }
            | Op::Fsync { .. }
            | Op::Chattr { .. }
            | Op::Chmod { .. }
            | Op::Chown { .. } => self.touch(op).map(Answer::plain),
            Op::Unlink { name, is_held } => self.unlink(name, *is_held).map(Answer::plain),
            Op::Delete { name } => self.delete(name).map(Answer::plain),
            Op::Subvol { .. } | Op::Snapshot { .. } => self.make_subvolume(op).map(Answer::plain),
            Op::File { .. }
            | Op::Dir { .. }
            | Op::Fifo { .. }
            | Op::Link { .. }
            | Op::Rename { .. }
            | Op::Close { .. }
            | Op::Sync
            | Op::Remount { .. }
            | Op::Tick
            | Op::Observe { .. } => Ok(Answer::plain(outcome(self.by_name(op)))),
        };
        // Whatever could not be opened ends the operation before it begins.
        answer.unwrap_or_else(|errno| Answer::plain(Outcome::NotOpened(errno)))
    }

    /// Operations that open nothing first.
    fn by_name(&mut self, op: &Op) -> Called {
        let fs = self.machine.fs_mut();
        match op {
            Op::File { name, is_nocow } => {
                fs.create_file(name.as_str(), *is_nocow)?;
                // Creating it opens it; it would not open later if it became immutable.
                self.descriptors.writable(&mut self.machine, name).map(drop)
            }
            Op::Dir { name } => fs.create_dir(name.as_str()).map(drop),
            Op::Fifo { name } => fs.create_fifo(name.as_str()).map(drop),
            Op::Link { source, target } => fs.link(source.as_str(), target.as_str()).map(drop),
            Op::Rename { source, target } => self.rename(source, target),
            Op::Close { name } => {
                self.close(name);
                Ok(())
            }
            Op::Remount { is_readonly } => {
                self.remount(*is_readonly);
                Ok(())
            }
            Op::Sync => {
                fs.sync();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Closes what is open on a name; what is held is forgotten with it.
    pub(super) fn close(&mut self, name: &Name) {
        if self.descriptors.held(&self.machine, name).is_some() {
            self.stamps.forget(name);
        }
        self.descriptors.close(&mut self.machine, name);
    }

    fn unlink(&mut self, name: &Name, is_held: bool) -> Result<Outcome, Errno> {
        if is_held {
            self.descriptors.keep_one(&mut self.machine, name)?;
        }
        let id = match self.machine.fs_mut().unlink(name.as_str()) {
            Ok(id) => id,
            Err(errno) => return Ok(Outcome::Failed(errno)),
        };
        if is_held {
            self.descriptors.hold(name);
        } else {
            self.stamps.forget(name);
        }
        self.machine.put(id);
        Ok(Outcome::Done)
    }

    fn rename(&mut self, source: &Name, target: &Name) -> Called {
        let fs = self.machine.fs_mut();
        let renamed = fs.rename(source.as_str(), target.as_str())?;
        if renamed.has_moved {
            self.descriptors.close_below(&mut self.machine, target);
            if let Some(victim) = renamed.replaced {
                self.machine.put(victim);
            }
            self.descriptors.rename(source, target);
            self.stamps.rename(source, target);
        }
        Ok(())
    }

    /// Deletes a subvolume through a descriptor of its folder.
    fn delete(&mut self, name: &Name) -> Result<Outcome, Errno> {
        let Some(parent) = parent_of(name) else {
            return Ok(Outcome::Failed(Errno::EBUSY));
        };
        let fs = self.machine.fs_mut();
        fs.lookup(parent)?;
        let result = fs.delete_subvol(name.as_str());
        if result.is_ok() {
            self.stamps.forget_below(name);
        }
        Ok(outcome(result))
    }

    /// Closes what is open on a name and below it; what is held is forgotten with it.
    fn close_below(&mut self, top: &Name) {
        for held in self.descriptors.held_below(top) {
            self.close(&held);
        }
        self.descriptors.close_below(&mut self.machine, top);
    }

    /// Subvolumes and snapshots are made through descriptors of the folders.
    fn make_subvolume(&mut self, op: &Op) -> Result<Outcome, Errno> {
        let fs = self.machine.fs_mut();
        let result = match op {
            Op::Snapshot {
                source,
                target,
                is_readonly,
            } => {
                let Some(parent) = parent_of(target) else {
                    return Ok(Outcome::Failed(Errno::EEXIST));
                };
                fs.lookup(source.as_str())?;
                fs.lookup(parent)?;
                fs.snapshot(source.as_str(), target.as_str(), *is_readonly)
            }
            Op::Subvol { name } => {
                let Some(parent) = parent_of(name) else {
                    return Ok(Outcome::Failed(Errno::EEXIST));
                };
                fs.lookup(parent)?;
                fs.create_subvol(name.as_str())
            }
            _ => return Ok(Outcome::Done),
        };
        Ok(outcome(result.map(drop)))
    }

    /// Operations through a read-write descriptor (directories: the read-only one there is).
    fn write_through(&mut self, op: &Op) -> Result<Outcome, Errno> {
        let (Op::Write { name, .. }
        | Op::DirectWrite { name, .. }
        | Op::MappedWrite { name, .. }
        | Op::Truncate { name, .. }
        | Op::Fallocate { name, .. }
        | Op::Punch { name, .. }
        | Op::Zero { name, .. }) = op
        else {
            return Ok(Outcome::Done);
        };
        let fd = self.descriptors.writable(&mut self.machine, name)?;
        let Some(id) = self.inode_of(fd) else {
            return Ok(Outcome::Failed(Errno::EBADF));
        };
        let kind = self.machine.fs().inode(id).kind();
        let fs = self.machine.fs_mut();
        let result = match op {
            Op::Write {
                offset, content, ..
            } => {
                let result = may_write(kind, *offset).and_then(|()| fs.write(id, *offset, content));
                return Ok(written(result, content));
            }
            Op::DirectWrite {
                offset, content, ..
            } => {
                let result =
                    may_write(kind, *offset).and_then(|()| fs.direct_write(id, *offset, content));
                return Ok(written(result, content));
            }
            Op::MappedWrite {
                offset, content, ..
            } => {
                let result = match kind {
                    Kind::Regular => fs.mapped_write(id, *offset, content),
                    _ if content.is_empty() => Err(Errno::EINVAL),
                    Kind::Directory => Err(Errno::EACCES),
                    Kind::Fifo => Err(Errno::ENODEV),
                };
                return Ok(written(result, content));
            }
            Op::Truncate { size, .. } if kind == Kind::Regular => fs.truncate(id, *size),
            Op::Truncate { .. } => Err(Errno::EINVAL),
            Op::Fallocate {
                offset,
                len,
                keeps_size,
                ..
            } => may_fallocate(kind, *offset, *len)
                .and_then(|()| fs.fallocate(id, *offset, *len, *keeps_size)),
            Op::Punch { offset, len, .. } => {
                may_fallocate(kind, *offset, *len).and_then(|()| fs.punch_hole(id, *offset, *len))
            }
            Op::Zero {
                offset,
                len,
                keeps_size,
                ..
            } => may_fallocate(kind, *offset, *len)
                .and_then(|()| fs.zero_range(id, *offset, *len, *keeps_size)),
            _ => Ok(()),
        };
        Ok(outcome(result))
    }

    /// Operations for which a descriptor open for reading will do.
    fn touch(&mut self, op: &Op) -> Result<Outcome, Errno> {
        let (Op::Flush { name }
        | Op::Fiemap { name }
        | Op::Fsync { name }
        | Op::Chattr { name, .. }
        | Op::Chmod { name, .. }
        | Op::Chown { name, .. }) = op
        else {
            return Ok(Outcome::Done);
        };
        let fd = self.descriptors.any(&mut self.machine, name)?;
        let Some(id) = self.inode_of(fd) else {
            return Ok(Outcome::Failed(Errno::EBADF));
        };
        let kind = self.machine.fs().inode(id).kind();
        let fs = self.machine.fs_mut();
        let result = match op {
            Op::Flush { .. } if kind == Kind::Regular => {
                fs.flush(id);
                Ok(())
            }
            Op::Fiemap { .. } if kind == Kind::Regular => {
                fs.flush(id);
                fs.fiemap(id);
                Ok(())
            }
            Op::Fsync { .. } if kind == Kind::Regular => {
                fs.fsync(id);
                Ok(())
            }
            // A fifo cannot be synced: its file operations have no fsync.
            Op::Fsync { .. } if kind == Kind::Fifo => Err(Errno::EINVAL),
            // Waiting for ordered extents asks for the map, and these have none.
            Op::Flush { .. } | Op::Fiemap { .. } | Op::Fsync { .. } => Err(Errno::EOPNOTSUPP),
            Op::Chattr { .. } if kind == Kind::Fifo => Err(Errno::ENOTTY),
            Op::Chattr { .. } | Op::Chmod { .. } | Op::Chown { .. } if fs.is_mounted_readonly() => {
                Err(Errno::EROFS)
            }
            Op::Chattr {
                attribute, is_set, ..
            } => fs.set_attribute(id, attribute_kind(*attribute), *is_set),
            Op::Chmod { mode, .. } => fs.chmod(id, *mode),
            Op::Chown { uid, .. } => fs.chown(id, *uid),
            _ => Ok(()),
        };
        Ok(outcome(result))
    }

    fn inode_of(&self, fd: i32) -> Option<InodeId> {
        self.machine
            .file(fd)
            .and_then(crate::open_file::OpenFile::inode)
    }
}

/// Returns the outcome of a call that returns nothing.
fn outcome(result: Called) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(errno) => Outcome::Failed(errno),
    }
}

/// Returns the outcome of a write of `content`.
fn written(result: Result<u64, Errno>, content: &Content) -> Outcome {
    match result {
        Ok(written) if written == content.len() => Outcome::Done,
        Ok(written) => Outcome::Short(written),
        Err(errno) => Outcome::Failed(errno),
    }
}

/// Returns the folder of a name; the top has none.
pub(super) fn parent_of(name: &Name) -> Option<&str> {
    if name.is_top() {
        return None;
    }
    Some(
        name.as_str()
            .rsplit_once('/')
            .map_or(".", |(parent, _)| parent),
    )
}

/// Cite: `fs/read_write.c`, `ksys_pwrite64`, `vfs_write`.
fn may_write(kind: Kind, offset: u64) -> Called {
    match kind {
        _ if POSITION_MAX < offset => Err(Errno::EINVAL),
        Kind::Regular => Ok(()),
        Kind::Directory => Err(Errno::EBADF),
        Kind::Fifo => Err(Errno::ESPIPE),
    }
}

/// Cite: `fs/open.c`, `vfs_fallocate`.
fn may_fallocate(kind: Kind, offset: u64, len: u64) -> Called {
    let is_negative = POSITION_MAX < offset || POSITION_MAX < len || len == 0;
    match kind {
        _ if is_negative => Err(Errno::EINVAL),
        Kind::Regular => Ok(()),
        Kind::Directory => Err(Errno::EBADF),
        Kind::Fifo => Err(Errno::ESPIPE),
    }
}

/// Returns the attribute as the state names it.
fn attribute_kind(attribute: Attribute) -> AttributeKind {
    match attribute {
        Attribute::Nocow => AttributeKind::Nocow,
        Attribute::Immutable => AttributeKind::Immutable,
        Attribute::Append => AttributeKind::Append,
    }
}
