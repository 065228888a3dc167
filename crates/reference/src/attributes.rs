//! `chattr(1)`, `fchmod(2)`, `fchown(2)` by root.

use scenario::{Attribute, DataMode, Name, Outcome};
use uapi::Errno;

use crate::descriptor;
use crate::inode::{Inode, Kind};
use crate::tree::Tree;

const SET_USER_ID: u16 = 0o4000;
const SET_GROUP_ID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o010;
/// The owner that means "leave it".
const UID_UNCHANGED: u32 = u32::MAX;

/// Returns the outcome of setting or clearing an attribute.
pub(crate) fn chattr(
    tree: &mut Tree,
    name: &Name,
    attribute: Attribute,
    is_set: bool,
    now: u64,
) -> Outcome {
    let is_mounted_unchecked = tree.data != DataMode::Checked;
    change(tree, name, |inode| {
        if inode.kind == Kind::Fifo {
            return Err(Errno::ENOTTY);
        }
        if inode.is_readonly {
            return Err(Errno::EROFS);
        }
        let mut is_nocow = inode.is_nocow;
        match attribute {
            Attribute::Nocow => is_nocow = is_set,
            Attribute::Immutable => inode.is_immutable = is_set,
            Attribute::Append => inode.is_append = is_set,
        }
        // With data there the flag would lie about it: the kernel leaves it and succeeds. Without,
        // every call that sets attributes sets checksums by this one and the mount option.
        if inode.kind != Kind::Regular {
            inode.is_nocow = is_nocow;
        } else if inode.size() == 0 {
            inode.is_nocow = is_nocow;
            inode.is_unchecked = is_nocow || is_mounted_unchecked;
        }
        inode.stamps.ctime = now;
        Ok(())
    })
}

/// Returns the outcome of an `fchmod(2)`.
pub(crate) fn chmod(tree: &mut Tree, name: &Name, mode: u16, now: u64) -> Outcome {
    change(tree, name, |inode| {
        may_set(inode)?;
        inode.mode = mode & 0o7777;
        inode.stamps.ctime = now;
        Ok(())
    })
}

/// Returns the outcome of an `fchown(2)` of owner and group.
pub(crate) fn chown(tree: &mut Tree, name: &Name, uid: u32, now: u64) -> Outcome {
    change(tree, name, |inode| {
        may_set(inode)?;
        if uid != UID_UNCHANGED {
            inode.uid = uid;
        }
        if !inode.kind.is_directory() {
            inode.mode &= !SET_USER_ID;
            if inode.mode & GROUP_EXECUTE != 0 {
                inode.mode &= !SET_GROUP_ID;
            }
        }
        inode.stamps.ctime = now;
        Ok(())
    })
}

fn may_set(inode: &Inode) -> Result<(), Errno> {
    if inode.is_immutable || inode.is_append {
        return Err(Errno::EPERM);
    }
    if inode.is_readonly {
        Err(Errno::EROFS)
    } else {
        Ok(())
    }
}

fn change(
    tree: &mut Tree,
    name: &Name,
    act: impl FnOnce(&mut Inode) -> Result<(), Errno>,
) -> Outcome {
    let idx = match descriptor::open_any(tree, name) {
        Ok(idx) => idx,
        Err(errno) => return Outcome::NotOpened(errno),
    };
    match act(tree.inode_mut(idx)) {
        Ok(()) => Outcome::Done,
        Err(errno) => Outcome::Failed(errno),
    }
}
