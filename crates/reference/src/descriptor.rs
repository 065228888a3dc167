//! What an [`Fd`] of an operation is, once opened: [`Opened`].
//!
//! A descriptor stays open until its name is closed or an unlink of it is tried, so an attribute
//! that was set after the first use does not take away what the descriptor could do. Opening is by
//! root. A fifo always has a reader.

use scenario::{Access, Fd, Mount, Name, Target};
use uapi::Errno;

use crate::inode::{InodeIdx, Kind};
use crate::tree::{OpenName, Tree};

/// An open file, or a number that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) object: Object,
    pub(crate) can_read: bool,
    pub(crate) can_write: bool,
    /// Whether it has `O_APPEND`.
    pub(crate) is_append: bool,
    /// Whether the mount that it was opened through is read-only.
    pub(crate) is_mount_readonly: bool,
}

/// What a descriptor is open on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// A name of the run's filesystem.
    Inode(InodeIdx),
    /// No open file: closed, -1, or `O_PATH`, which ioctls do not take.
    Nothing,
    /// `/dev/null`.
    Null,
    /// One of the ends of the pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A regular file on a tmpfs.
    Tmpfs,
    /// A regular file of procfs.
    Proc,
}

impl Opened {
    fn on(object: Object) -> Opened {
        Opened {
            object,
            can_read: true,
            can_write: true,
            is_append: false,
            is_mount_readonly: false,
        }
    }
}

/// Returns the open file for `fd`, opening it if this is its first use.
pub(crate) fn open(tree: &mut Tree, fd: &Fd) -> Result<Opened, Errno> {
    let name = match &fd.target {
        Target::Name(name) => name,
        Target::Closed | Target::MinusOne => return Ok(Opened::on(Object::Nothing)),
        Target::Null => return Ok(Opened::on(Object::Null)),
        Target::Socket => return Ok(Opened::on(Object::Socket)),
        Target::Tmpfs => return Ok(Opened::on(Object::Tmpfs)),
        Target::Proc => return Ok(Opened::on(Object::Proc)),
        Target::PipeRead => {
            return Ok(Opened {
                can_write: false,
                ..Opened::on(Object::Pipe)
            });
        }
        Target::PipeWrite => {
            return Ok(Opened {
                can_read: false,
                ..Opened::on(Object::Pipe)
            });
        }
    };
    let way = way(fd.access, fd.mount);
    let open = tree.open.get(name).filter(|open| open.ways & way != 0);
    let idx = match open {
        Some(open) => open.idx,
        None => {
            let idx = tree.lookup(name)?;
            may_open(tree, idx, fd.access, fd.mount)?;
            note(tree, name, idx, way);
            idx
        }
    };
    let inode = tree.inode(idx);
    if fd.access == Access::Path {
        return Ok(Opened::on(Object::Nothing));
    }
    let is_directory = inode.kind.is_directory();
    Ok(Opened {
        object: Object::Inode(idx),
        can_read: fd.access != Access::WriteOnly,
        can_write: fd.access != Access::ReadOnly && !is_directory,
        is_append: fd.access == Access::Append,
        is_mount_readonly: fd.mount == Mount::ReadOnly || tree.is_readonly,
    })
}

/// Returns the inode of a name through its read-write descriptor if it can be opened, else through
/// the read-only one: enough for what changes no bytes.
pub(crate) fn open_any(tree: &mut Tree, name: &Name) -> Result<InodeIdx, Errno> {
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let opened = open(tree, &Fd::with_access(name.clone(), access));
        if let Ok(Opened {
            object: Object::Inode(idx),
            ..
        }) = opened
        {
            return Ok(idx);
        }
    }
    tree.lookup(name)
}

/// Notes that the creation of a file has opened its read-write descriptor.
pub(crate) fn adopt(tree: &mut Tree, name: &Name, idx: InodeIdx) {
    note(tree, name, idx, way(Access::ReadWrite, Mount::First));
}

/// Closes all descriptors on a name but the one that [`open_any`] opens.
pub(crate) fn keep_one(tree: &mut Tree, name: &Name) -> Result<(), Errno> {
    open_any(tree, name)?;
    let writable = way(Access::ReadWrite, Mount::First);
    if let Some(open) = tree.open.get_mut(name) {
        open.ways = match open.ways & writable {
            0 => way(Access::ReadOnly, Mount::First),
            _ => writable,
        };
    }
    Ok(())
}

fn note(tree: &mut Tree, name: &Name, idx: InodeIdx, way: u16) {
    let closed = OpenName {
        idx,
        ways: 0,
        is_held: false,
    };
    tree.open.entry(name.clone()).or_insert(closed).ways |= way;
}

/// Returns the errno of `open(2)` by root, if it would fail.
fn may_open(tree: &Tree, idx: InodeIdx, access: Access, mount: Mount) -> Result<(), Errno> {
    let inode = tree.inode(idx);
    let wants_write = match access {
        Access::ReadWrite | Access::WriteOnly | Access::Append => true,
        Access::ReadOnly | Access::Path => false,
    };
    if !wants_write {
        return Ok(());
    }
    match inode.kind {
        Kind::Directory | Kind::SubvolumeTop | Kind::Stub => match access {
            // Opened O_RDONLY instead.
            Access::ReadWrite => Ok(()),
            _ => Err(Errno::EISDIR),
        },
        Kind::Fifo => Ok(()),
        Kind::Regular if tree.is_readonly => Err(Errno::EROFS),
        Kind::Regular if inode.is_immutable => Err(Errno::EPERM),
        Kind::Regular if inode.is_readonly => Err(Errno::EROFS),
        Kind::Regular if inode.is_append && access != Access::Append => Err(Errno::EPERM),
        // The mount is asked last, when the open file is made.
        Kind::Regular if mount == Mount::ReadOnly => Err(Errno::EROFS),
        Kind::Regular => Ok(()),
    }
}

/// Returns the bit of [`OpenName::ways`] for a way to open.
fn way(access: Access, mount: Mount) -> u16 {
    1 << (access_idx(access) * 3 + mount_idx(mount))
}

fn access_idx(access: Access) -> u32 {
    match access {
        Access::ReadWrite => 0,
        Access::ReadOnly => 1,
        Access::WriteOnly => 2,
        Access::Append => 3,
        Access::Path => 4,
    }
}

fn mount_idx(mount: Mount) -> u32 {
    match mount {
        Mount::First => 0,
        Mount::Second => 1,
        Mount::ReadOnly => 2,
    }
}
