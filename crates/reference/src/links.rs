//! Names of what exists already: `link(2)`, `rename(2)`, `unlink(2)`, closes. What the kernel asks
//! stands in its order.

use scenario::{Name, Outcome};
use uapi::Errno;

use crate::descriptor;
use crate::inode::{Inode, InodeIdx, Kind};
use crate::tree::{Tree, parent_name};

impl Tree {
    /// `link(2)`.
    pub(crate) fn link(&mut self, source: &Name, target: &Name, now: u64) -> Result<(), Errno> {
        let idx = self.lookup(source)?;
        let parent = self.folder_of(target, Errno::EEXIST)?;
        if self.names.contains_key(target) {
            return Err(Errno::EEXIST);
        }
        self.may_change_directory(parent)?;
        let inode = self.inode(idx);
        let is_movable = !inode.is_append && !inode.is_immutable && !inode.kind.is_directory();
        if !is_movable || self.inode(parent).kind == Kind::Stub {
            return Err(Errno::EPERM);
        }
        if self.subvolume_of(source) != self.subvolume_of(target) {
            return Err(Errno::EXDEV);
        }
        self.names.insert(target.clone(), idx);
        let inode = self.inode_mut(idx);
        inode.nr_links += 1;
        inode.stamps.ctime = now;
        self.touch_directory(parent, now);
        Ok(())
    }

    /// `rename(2)`. Returns whether a name has moved.
    pub(crate) fn rename(&mut self, source: &Name, target: &Name, now: u64) -> Result<bool, Errno> {
        let (old, new) = (
            self.folder_of(source, Errno::EBUSY),
            self.folder_of(target, Errno::EBUSY),
        );
        // Both walks come before either last component is looked at.
        let is_walk_error = |errno: &Errno| *errno != Errno::EBUSY;
        for walk in [&old, &new] {
            if let Some(errno) = walk.as_ref().err().filter(|errno| is_walk_error(errno)) {
                return Err(*errno);
            }
        }
        let (old, new) = (old?, new?);
        let idx = self.lookup(source)?;
        let folder = |name: &Name| parent_name(name).unwrap_or_else(Name::top);
        if folder(target).is_within(source) {
            return Err(Errno::EINVAL);
        }
        if folder(source).is_within(target) {
            return Err(Errno::ENOTEMPTY);
        }
        let victim = self.names.get(target).copied();
        if victim == Some(idx) {
            return Ok(false);
        }
        self.may_rename((source, idx, old), (target, victim, new))?;
        if victim.is_some() {
            self.remove_name(target, now);
        }
        let moved: Vec<(Name, Name)> = self
            .names
            .keys()
            .filter_map(|name| Some((name.clone(), name.moved(source, target)?)))
            .collect();
        for (from, to) in moved {
            if let Some(idx) = self.names.remove(&from) {
                self.names.insert(to, idx);
            }
        }
        self.open.retain(|name, _| !name.is_within(target));
        let open = std::mem::take(&mut self.open).into_iter();
        self.open = open
            .map(|(name, open)| (name.moved(source, target).unwrap_or(name), open))
            .collect();
        if let Some(victim) = victim {
            self.put(victim, now);
        }
        self.inode_mut(idx).stamps.ctime = now;
        self.touch_directory(old, now);
        self.touch_directory(new, now);
        Ok(true)
    }

    fn may_rename(
        &self,
        (source, idx, old): (&Name, InodeIdx, InodeIdx),
        (target, victim, new): (&Name, Option<InodeIdx>, InodeIdx),
    ) -> Result<(), Errno> {
        let inode = self.inode(idx);
        self.may_remove(idx, old)?;
        if let Some(victim) = victim {
            self.may_remove(victim, new)?;
            let is_directory = self.inode(victim).kind.is_directory();
            match (inode.kind.is_directory(), is_directory) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                _ => {}
            }
        } else {
            self.may_change_directory(new)?;
        }
        if inode.kind.is_directory() && inode.is_readonly && old != new {
            return Err(Errno::EROFS);
        }
        if self.inode(new).kind == Kind::Stub {
            return Err(Errno::EPERM);
        }
        let folder = |name: &Name| parent_name(name).map(|parent| self.subvolume_of(&parent));
        if inode.kind != Kind::SubvolumeTop && folder(source) != folder(target) {
            return Err(Errno::EXDEV);
        }
        let is_full = |idx: InodeIdx| {
            self.inode(idx).kind == Kind::SubvolumeTop
                || self
                    .names
                    .keys()
                    .any(|name| name != target && name.is_within(target))
        };
        if inode.kind == Kind::Stub || victim.is_some_and(is_full) {
            return Err(Errno::ENOTEMPTY);
        }
        Ok(())
    }

    /// `unlink(2)` behind the closes that the language asks for.
    pub(crate) fn unlink(&mut self, name: &Name, is_held: bool, now: u64) -> Outcome {
        if is_held && let Err(errno) = descriptor::keep_one(self, name) {
            return Outcome::NotOpened(errno);
        }
        let unlinked = self.may_unlink(name);
        if let Err(errno) = unlinked {
            return Outcome::Failed(errno);
        }
        if let (true, Some(open)) = (is_held, self.open.get_mut(name)) {
            open.is_held = true;
        }
        if let Some(idx) = self.remove_name(name, now) {
            self.put(idx, now);
        }
        Outcome::Done
    }

    fn may_unlink(&self, name: &Name) -> Result<(), Errno> {
        let parent = self.folder_of(name, Errno::EISDIR)?;
        let idx = self.lookup(name)?;
        self.may_remove(idx, parent)?;
        match self.inode(idx).kind.is_directory() {
            true => Err(Errno::EISDIR),
            false => Ok(()),
        }
    }

    /// Deletes a subvolume, as an ioctl on its parent directory.
    pub(crate) fn delete(&mut self, name: &Name, now: u64) -> Outcome {
        self.open.retain(|open, _| !open.is_within(name));
        let Some(parent) = parent_name(name) else {
            return Outcome::Failed(Errno::EBUSY);
        };
        let parent = match self.lookup(&parent) {
            Ok(parent) => parent,
            Err(errno) => return Outcome::NotOpened(errno),
        };
        if let Err(errno) = self.may_delete(name, parent) {
            return Outcome::Failed(errno);
        }
        let gone = self.names.keys().filter(|gone| gone.is_within(name));
        for gone in gone.cloned().collect::<Vec<Name>>() {
            if let Some(idx) = self.names.remove(&gone) {
                self.inode_mut(idx).nr_links -= 1;
                self.put(idx, now);
            }
        }
        self.touch_directory(parent, now);
        Outcome::Done
    }

    fn may_delete(&self, name: &Name, parent: InodeIdx) -> Result<(), Errno> {
        match self.inode(parent).kind {
            Kind::Regular => return Err(Errno::ENOTDIR),
            Kind::Fifo | Kind::Stub => return Err(Errno::ENOTTY),
            Kind::Directory | Kind::SubvolumeTop => {}
        }
        let idx = self.names.get(name).copied().ok_or(Errno::ENOENT)?;
        self.may_remove(idx, parent)?;
        match self.inode(idx).kind {
            Kind::Regular | Kind::Fifo => return Err(Errno::ENOTDIR),
            Kind::Directory | Kind::Stub => return Err(Errno::EINVAL),
            Kind::SubvolumeTop => {}
        }
        let is_nested = |(other, idx): (&Name, &InodeIdx)| {
            other != name && other.is_within(name) && self.inode(*idx).kind == Kind::SubvolumeTop
        };
        match self.names.iter().any(is_nested) {
            true => Err(Errno::ENOTEMPTY),
            false => Ok(()),
        }
    }

    /// Closes every descriptor on a name.
    pub(crate) fn close(&mut self, name: &Name, now: u64) {
        if let Some(open) = self.open.remove(name) {
            self.put(open.idx, now);
        }
    }

    /// Returns the held names that are `top` or below it.
    pub(crate) fn held_below(&self, top: &Name) -> Vec<Name> {
        let open = self.open.iter();
        let held = open.filter(|(name, open)| open.is_held && name.is_within(top));
        held.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the inode that a held name stands for.
    pub(crate) fn held(&self, name: &Name) -> Option<InodeIdx> {
        let open = self.open.get(name)?;
        open.is_held.then_some(open.idx)
    }

    fn remove_name(&mut self, name: &Name, now: u64) -> Option<InodeIdx> {
        let idx = self.names.remove(name)?;
        let inode = self.inode_mut(idx);
        inode.nr_links -= 1;
        inode.stamps.ctime = now;
        if let Some(parent) = parent_name(name).and_then(|parent| self.lookup(&parent).ok()) {
            self.touch_directory(parent, now);
        }
        Some(idx)
    }

    /// Frees an inode that has neither a name nor a descriptor.
    fn put(&mut self, idx: InodeIdx, now: u64) {
        let is_open = self.open.values().any(|open| open.idx == idx);
        if self.inode(idx).nr_links == 0 && !is_open && !self.free.contains(&idx) {
            let mut empty = Inode::new(Kind::Fifo, 0, now);
            empty.nr_links = 0;
            self.inodes[idx] = empty;
            self.free.push(idx);
        }
    }

    /// Returns the directory that a name lies in; the top lies in none.
    fn folder_of(&self, name: &Name, errno_of_top: Errno) -> Result<InodeIdx, Errno> {
        let Some(parent) = parent_name(name) else {
            return Err(errno_of_top);
        };
        let idx = self.lookup(&parent)?;
        match self.inode(idx).kind.is_directory() {
            true => Ok(idx),
            false => Err(Errno::ENOTDIR),
        }
    }

    fn may_remove(&self, idx: InodeIdx, parent: InodeIdx) -> Result<(), Errno> {
        self.may_change_directory(parent)?;
        let inode = self.inode(idx);
        if self.inode(parent).is_append || inode.is_append || inode.is_immutable {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Returns the name of the subvolume that a name lies in: a subvolume's top in itself.
    fn subvolume_of(&self, name: &Name) -> Name {
        let mut at = name.clone();
        loop {
            let kind = self.names.get(&at).map(|&idx| self.inode(idx).kind);
            match parent_name(&at) {
                Some(parent) if kind != Some(Kind::SubvolumeTop) => at = parent,
                _ => return at,
            }
        }
    }
}
