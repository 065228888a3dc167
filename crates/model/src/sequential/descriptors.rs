//! The open descriptors of a run: opened at first use, kept until the name is unlinked or closed.
//!
//! It knows what `open(2)` refuses, not what is done with the descriptors.

use std::collections::{BTreeMap, BTreeSet};

use fs_state::{FsState, InodeId, Kind};
use scenario::Name;
use scenario::fd::{Access, Fd, Mount, Target};
use uapi::Errno;

use crate::machine::Machine;
use crate::open_file::{OpenAt, OpenFile};

/// What is open in one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Descriptors {
    named: BTreeMap<Name, Vec<(Access, Mount, i32)>>,
    /// Names that were unlinked and stand for the one descriptor that is still open.
    held: BTreeSet<Name>,
    special: BTreeMap<Target, i32>,
}

/// A number that was never given to anybody.
const CLOSED_NUMBER: i32 = 900_000;
/// The bit that no kernel looks at in a descriptor of an element.
const HIGH_BIT: i64 = 1 << 32;

impl Descriptors {
    /// Returns the number that a request carries for `fd`.
    ///
    /// # Errors
    /// What `open(2)` answers.
    pub(super) fn number(&mut self, machine: &mut Machine, fd: &Fd) -> Result<i64, Errno> {
        let number = match &fd.target {
            Target::Name(name) => self.open(machine, name, fd.access, fd.mount)?,
            Target::Closed => CLOSED_NUMBER,
            Target::MinusOne => -1,
            target => self.special(machine, target),
        };
        let number = i64::from(number);
        Ok(if fd.has_high_bit {
            number | HIGH_BIT
        } else {
            number
        })
    }

    /// Opens `name` read-write through the first mount.
    ///
    /// # Errors
    /// What `open(2)` answers.
    pub(super) fn writable(&mut self, machine: &mut Machine, name: &Name) -> Result<i32, Errno> {
        self.open(machine, name, Access::ReadWrite, Mount::First)
    }

    /// Opens `name` read-write, or if that is refused, read-only.
    ///
    /// # Errors
    /// What `open(2)` answers.
    pub(super) fn any(&mut self, machine: &mut Machine, name: &Name) -> Result<i32, Errno> {
        self.writable(machine, name)
            .or_else(|_| self.open(machine, name, Access::ReadOnly, Mount::First))
    }

    /// Opens `name` for looking: the read-write descriptor if it is open already.
    ///
    /// # Errors
    /// What `open(2)` answers.
    pub(super) fn readable(&mut self, machine: &mut Machine, name: &Name) -> Result<i32, Errno> {
        let mut open = self.named.get(name).into_iter().flatten();
        let is_writable = open.any(|open| open.0 == Access::ReadWrite && open.1 == Mount::First);
        let access = if is_writable {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        self.open(machine, name, access, Mount::First)
    }

    /// Closes everything that is open on `name`.
    pub(super) fn close(&mut self, machine: &mut Machine, name: &Name) {
        self.held.remove(name);
        for (_, _, fd) in self.named.remove(name).unwrap_or_default() {
            machine.close(fd);
        }
    }

    /// Closes everything that is open on `top` or below it.
    pub(super) fn close_below(&mut self, machine: &mut Machine, top: &Name) {
        let names = self.named.keys().filter(|name| name.is_within(top));
        for name in names.cloned().collect::<Vec<Name>>() {
            self.close(machine, &name);
        }
    }

    /// Returns the names on which something is open.
    pub(super) fn names(&self) -> Vec<Name> {
        self.named.keys().cloned().collect()
    }

    /// Returns the held names that are `top` or below it.
    pub(super) fn held_below(&self, top: &Name) -> Vec<Name> {
        let held = self.held.iter().filter(|name| name.is_within(top));
        held.cloned().collect()
    }

    /// Closes everything that is open on `name` but its read-write descriptor, opening that one
    /// if need be.
    ///
    /// # Errors
    /// What `open(2)` answers.
    pub(super) fn keep_one(&mut self, machine: &mut Machine, name: &Name) -> Result<(), Errno> {
        let kept = self.any(machine, name)?;
        let open = self.named.get_mut(name).map(std::mem::take);
        for (access, mount, fd) in open.unwrap_or_default() {
            if fd == kept {
                let open = self.named.entry(name.clone()).or_default();
                open.push((access, mount, fd));
            } else {
                machine.close(fd);
            }
        }
        Ok(())
    }

    /// Notes that `name` is none any more but for what is open.
    pub(super) fn hold(&mut self, name: &Name) {
        self.held.insert(name.clone());
    }

    /// Returns the inode that a held name stands for.
    pub(super) fn held(&self, machine: &Machine, name: &Name) -> Option<InodeId> {
        if !self.held.contains(name) {
            return None;
        }
        let (_, _, fd) = self.named.get(name)?.first()?;
        machine.file(*fd).and_then(OpenFile::inode)
    }

    /// Lets what is open on `from` and below it go on under the name `to`.
    pub(super) fn rename(&mut self, from: &Name, to: &Name) {
        for (name, open) in std::mem::take(&mut self.named) {
            let name = name.moved(from, to).unwrap_or(name);
            self.named.insert(name, open);
        }
        let held = std::mem::take(&mut self.held).into_iter();
        self.held = held
            .map(|name| name.moved(from, to).unwrap_or(name))
            .collect();
    }

    /// Returns the descriptor for this name, access and mount, opening it if it is not open.
    fn open(
        &mut self,
        machine: &mut Machine,
        name: &Name,
        access: Access,
        mount: Mount,
    ) -> Result<i32, Errno> {
        let is_it = |open: &&(Access, Mount, i32)| open.0 == access && open.1 == mount;
        if let Some(open) = self
            .named
            .get(name)
            .and_then(|open| open.iter().find(is_it))
        {
            return Ok(open.2);
        }
        let id = machine.fs_mut().lookup(name.as_str())?;
        may_open(machine.fs(), id, access, mount)?;
        let fd = machine.open(OpenFile {
            at: OpenAt::Inode(id),
            access,
            mount,
        });
        self.named
            .entry(name.clone())
            .or_default()
            .push((access, mount, fd));
        Ok(fd)
    }

    /// Returns the descriptor of something that has no name in the run's filesystem.
    fn special(&mut self, machine: &mut Machine, target: &Target) -> i32 {
        if let Some(fd) = self.special.get(target) {
            return *fd;
        }
        let Some(at) = OpenAt::special(target) else {
            return CLOSED_NUMBER;
        };
        let fd = machine.open(OpenFile {
            at,
            access: Access::ReadWrite,
            mount: Mount::First,
        });
        self.special.insert(target.clone(), fd);
        fd
    }
}

/// Returns what `open(2)` says to root.
///
/// Cite: `fs/namei.c`, `may_open`, `inode_permission`; `fs/open.c`, `do_dentry_open`.
fn may_open(fs: &FsState, id: InodeId, access: Access, mount: Mount) -> Result<(), Errno> {
    let inode = fs.inode(id);
    let is_writing = match access {
        Access::Path | Access::ReadOnly => false,
        // The only way to open a directory is read-only, and that is what the language means.
        Access::ReadWrite => inode.kind() != Kind::Directory,
        Access::WriteOnly | Access::Append => true,
    };
    if !is_writing {
        return Ok(());
    }
    if inode.kind() == Kind::Directory {
        return Err(Errno::EISDIR);
    }
    if fs.is_mounted_readonly() && inode.kind() == Kind::Regular {
        return Err(Errno::EROFS);
    }
    if inode.is_immutable() {
        return Err(Errno::EPERM);
    }
    // Neither subvolume nor mount keeps anybody from writing into a fifo.
    let is_fifo = inode.kind() == Kind::Fifo;
    if !is_fifo && fs.is_root_readonly(id) {
        return Err(Errno::EROFS);
    }
    if inode.is_append() && access != Access::Append {
        return Err(Errno::EPERM);
    }
    if !is_fifo && mount == Mount::ReadOnly {
        return Err(Errno::EROFS);
    }
    Ok(())
}
