//! What operations answer while the filesystem is mounted read-only.
//!
//! Those through descriptors for writing are refused by opening these.

use scenario::{Name, Op, Outcome};
use uapi::Errno;

use crate::descriptor;
use crate::inode::Kind;
use crate::tree::{Tree, parent_name};

/// Returns the outcome of an operation that changes names or attributes; `None` for all others.
pub(crate) fn refused(tree: &mut Tree, op: &Op) -> Option<Outcome> {
    if !tree.is_readonly {
        return None;
    }
    let errno = match op {
        Op::File { name, .. } | Op::Dir { name } | Op::Fifo { name } => creation(tree, name),
        Op::Link { source, target } => match tree.lookup(source) {
            Ok(_) => creation(tree, target),
            Err(errno) => errno,
        },
        Op::Rename { source, target } => match (folder(tree, source), folder(tree, target)) {
            (Err(errno), _) | (_, Err(errno)) => errno,
            (Ok(None), _) | (_, Ok(None)) => Errno::EBUSY,
            _ => Errno::EROFS,
        },
        Op::Unlink { name, is_held } => {
            if *is_held && let Err(errno) = descriptor::keep_one(tree, name) {
                return Some(Outcome::NotOpened(errno));
            }
            match folder(tree, name) {
                Err(errno) => errno,
                Ok(None) => Errno::EISDIR,
                Ok(Some(_)) => Errno::EROFS,
            }
        }
        Op::Subvol { name } | Op::Delete { name } => return ioctl(tree, &parent_name(name)?),
        Op::Snapshot { source, target, .. } => {
            let parent = parent_name(target)?;
            return match tree.lookup(source) {
                Ok(_) => ioctl(tree, &parent),
                Err(errno) => Some(Outcome::NotOpened(errno)),
            };
        }
        Op::Chattr { name, .. } | Op::Chmod { name, .. } | Op::Chown { name, .. } => {
            match descriptor::open_any(tree, name) {
                Err(errno) => return Some(Outcome::NotOpened(errno)),
                Ok(idx) => match (op, tree.inode(idx).kind) {
                    (Op::Chattr { .. }, Kind::Fifo) => Errno::ENOTTY,
                    _ => Errno::EROFS,
                },
            }
        }
        _ => return None,
    };
    Some(Outcome::Failed(errno))
}

/// Returns the errno of a creation: that the name is there comes first.
fn creation(tree: &Tree, name: &Name) -> Errno {
    match folder(tree, name) {
        _ if tree.lookup(name).is_ok() => Errno::EEXIST,
        Err(errno) => errno,
        Ok(None) => Errno::EEXIST,
        Ok(Some(())) => Errno::EROFS,
    }
}

/// Looks for the folder of a name; the top has none.
fn folder(tree: &Tree, name: &Name) -> Result<Option<()>, Errno> {
    let Some(parent) = parent_name(name) else {
        return Ok(None);
    };
    match tree.lookup(&parent).map(|idx| tree.inode(idx).kind) {
        Ok(kind) if kind.is_directory() => Ok(Some(())),
        Ok(_) => Err(Errno::ENOTDIR),
        Err(errno) => Err(errno),
    }
}

/// Returns the outcome of an ioctl about subvolumes on a folder.
fn ioctl(tree: &Tree, folder: &Name) -> Option<Outcome> {
    Some(match tree.lookup(folder).map(|idx| tree.inode(idx).kind) {
        Err(errno) => Outcome::NotOpened(errno),
        Ok(Kind::Regular) => Outcome::Failed(Errno::ENOTDIR),
        Ok(Kind::Stub | Kind::Fifo) => Outcome::Failed(Errno::ENOTTY),
        Ok(Kind::Directory | Kind::SubvolumeTop) => Outcome::Failed(Errno::EROFS),
    })
}
