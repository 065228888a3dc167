//! Write, truncate, fallocate and punch: what changes bytes and sizes through one descriptor.
//!
//! Nothing here knows whether bytes are dirty, allocated or a hole.

use data::Content;
use scenario::{Fd, Name, Outcome};
use uapi::Errno;

use crate::descriptor::{self, Object};
use crate::inode::{Inode, InodeIdx, Kind};
use crate::tree::Tree;

/// The largest offset of a file, and the largest size.
const OFFSET_MAX: u64 = i64::MAX as u64;
/// Length of a page in bytes.
const PAGE_LEN: u64 = 4096;
/// The most bytes that one `write(2)` takes.
const WRITE_LEN_MAX: u64 = 0x7fff_f000;

/// Returns the outcome of a `pwrite(2)`.
pub(crate) fn write(
    tree: &mut Tree,
    name: &Name,
    offset: u64,
    content: &Content,
    now: u64,
) -> Outcome {
    let inode = match open_for_write(tree, name) {
        Ok(inode) => inode,
        Err(errno) => return Outcome::NotOpened(errno),
    };
    let len = content.len();
    if OFFSET_MAX < offset {
        return Outcome::Failed(Errno::EINVAL);
    }
    match inode.kind {
        Kind::Fifo => return Outcome::Failed(Errno::ESPIPE),
        Kind::Directory | Kind::SubvolumeTop | Kind::Stub => return Outcome::Failed(Errno::EBADF),
        Kind::Regular => {}
    }
    if OFFSET_MAX - offset < len {
        return Outcome::Failed(Errno::EINVAL);
    }
    if len == 0 {
        return Outcome::Done;
    }
    let written = len.min(WRITE_LEN_MAX);
    inode
        .change_content(now)
        .overwrite(offset, content.slice(0..written));
    if written < len {
        Outcome::Short(written)
    } else {
        Outcome::Done
    }
}

/// Returns the outcome of a store through a mapping: nothing can be stored behind the page of EOF.
pub(crate) fn mapped_write(
    tree: &mut Tree,
    name: &Name,
    offset: u64,
    content: &Content,
    now: u64,
) -> Outcome {
    let inode = match open_for_write(tree, name) {
        Ok(inode) => inode,
        Err(errno) => return Outcome::NotOpened(errno),
    };
    let stored = content.len().min(WRITE_LEN_MAX);
    let size = inode.size();
    let errno = match inode.kind {
        Kind::Regular if offset.saturating_add(stored) > size.next_multiple_of(PAGE_LEN) => {
            Some(Errno::EFAULT)
        }
        _ if stored == 0 => Some(Errno::EINVAL),
        Kind::Regular if inode.is_append => Some(Errno::EACCES),
        Kind::Regular => None,
        Kind::Directory | Kind::SubvolumeTop | Kind::Stub => Some(Errno::EACCES),
        Kind::Fifo => Some(Errno::ENODEV),
    };
    if let Some(errno) = errno {
        return Outcome::Failed(errno);
    }
    let inside = stored.min(size.saturating_sub(offset));
    let bytes = inode.change_content(now);
    if 0 < inside {
        bytes.overwrite(offset, content.slice(0..inside));
    }
    if stored < content.len() {
        Outcome::Short(stored)
    } else {
        Outcome::Done
    }
}

/// Returns the outcome of an `ftruncate(2)`. It stamps both times even if the size stays.
pub(crate) fn truncate(tree: &mut Tree, name: &Name, size: u64, now: u64) -> Outcome {
    let inode = match open_for_write(tree, name) {
        Ok(inode) => inode,
        Err(errno) => return Outcome::NotOpened(errno),
    };
    if OFFSET_MAX < size || inode.kind != Kind::Regular {
        return Outcome::Failed(Errno::EINVAL);
    }
    if inode.is_append {
        return Outcome::Failed(Errno::EPERM);
    }
    inode.change_content(now).truncate(size);
    Outcome::Done
}

/// What a `fallocate(2)` is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allocation {
    Extend,
    KeepSize,
    PunchHole,
    ZeroExtend,
    ZeroKeepSize,
}

impl Allocation {
    /// Returns whether bytes may be lost, which an append-only file forbids.
    fn overwrites(self) -> bool {
        match self {
            Allocation::Extend | Allocation::KeepSize => false,
            Allocation::PunchHole | Allocation::ZeroExtend | Allocation::ZeroKeepSize => true,
        }
    }
}

/// Returns the outcome of a `fallocate(2)`.
pub(crate) fn fallocate(
    tree: &mut Tree,
    name: &Name,
    offset: u64,
    len: u64,
    allocation: Allocation,
    now: u64,
) -> Outcome {
    let inode = match open_for_write(tree, name) {
        Ok(inode) => inode,
        Err(errno) => return Outcome::NotOpened(errno),
    };
    match may_fallocate(inode, offset, len, allocation) {
        Ok(end) => allocate(inode, offset, end, allocation, now),
        Err(errno) => return Outcome::Failed(errno),
    }
    Outcome::Done
}

/// Returns the end of the range, or the errno, in the kernel's order.
fn may_fallocate(
    inode: &Inode,
    offset: u64,
    len: u64,
    allocation: Allocation,
) -> Result<u64, Errno> {
    if OFFSET_MAX < offset || OFFSET_MAX < len || len == 0 {
        return Err(Errno::EINVAL);
    }
    if inode.kind.is_directory() {
        return Err(Errno::EBADF);
    }
    if inode.is_append && allocation.overwrites() {
        return Err(Errno::EPERM);
    }
    if inode.is_immutable {
        return Err(Errno::EPERM);
    }
    if inode.kind == Kind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if OFFSET_MAX - offset < len {
        return Err(Errno::EFBIG);
    }
    Ok(offset + len)
}

fn allocate(inode: &mut Inode, offset: u64, end: u64, allocation: Allocation, now: u64) {
    let size = inode.size();
    match allocation {
        Allocation::Extend => inode.change_content(now).truncate(size.max(end)),
        Allocation::ZeroExtend | Allocation::ZeroKeepSize => {
            let content = inode.change_content(now);
            if allocation == Allocation::ZeroExtend {
                content.truncate(size.max(end));
            }
            let end = end.min(content.len());
            if offset < end {
                content.overwrite(offset, Content::zeros(end - offset));
            }
        }
        Allocation::KeepSize => {
            inode.stamps = crate::inode::Stamps {
                mtime: now,
                ctime: now,
            }
        }
        Allocation::PunchHole => {
            let end = end.min(size);
            if end <= offset {
                return;
            }
            let zeros = Content::zeros(end - offset);
            // Punching what is a hole already changes no time. Zeros may be written zeros: only
            // of other bytes it is sure that they were there.
            if inode.content.slice(offset..end) != zeros {
                inode.change_content(now).overwrite(offset, zeros);
            }
        }
    }
}

/// Returns what the read-write descriptor of `name` is open on.
fn open_for_write<'t>(tree: &'t mut Tree, name: &Name) -> Result<&'t mut Inode, Errno> {
    let idx = inode_of(tree, &Fd::file(name.clone()))?;
    Ok(tree.inode_mut(idx))
}

/// Returns the inode on which the descriptor of a name is open.
pub(crate) fn inode_of(tree: &mut Tree, fd: &Fd) -> Result<InodeIdx, Errno> {
    match descriptor::open(tree, fd)?.object {
        Object::Inode(idx) => Ok(idx),
        Object::Nothing
        | Object::Null
        | Object::Pipe
        | Object::Socket
        | Object::Tmpfs
        | Object::Proc => Err(Errno::EBADF),
    }
}
