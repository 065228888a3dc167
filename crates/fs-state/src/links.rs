//! Names of what exists already: hard links, renames, unlinks, and the end of an inode that has no
//! name any more (fs/namei.c, fs/btrfs/inode.c).
//!
//! Whether somebody has an inode open is not known here: the caller says when nobody has.

use uapi::Errno;

use crate::{FsState, InodeId, Kind, RootId};

/// The inode number of the empty directory that a snapshot has where its source has a subvolume.
pub(crate) const STUB_INO: u64 = 2;

/// What a rename did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Whether a name moved; not if both names were those of one inode.
    pub has_moved: bool,
    /// The inode that lost the new name.
    pub replaced: Option<InodeId>,
}

/// An entry that an operation names: its directory, its last component, what has it.
pub(crate) struct Entry<'p> {
    dir: InodeId,
    pub(crate) name: &'p str,
    pub(crate) id: Option<InodeId>,
}

impl FsState {
    /// Makes `target` another name of what is called `source`.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EEXIST`, `EROFS`; `EPERM` for a directory and for what is protected;
    /// `EXDEV` from one root to another.
    pub fn link(&mut self, source: &str, target: &str) -> Result<InodeId, Errno> {
        let id = self.lookup(source)?;
        let entry = self.entry(target)?;
        if entry.name == "." || entry.id.is_some() {
            return Err(Errno::EEXIST);
        }
        self.may_write_dir(entry.dir)?;
        let inode = self.inode(id);
        if inode.is_append || inode.is_immutable || inode.kind == Kind::Directory {
            return Err(Errno::EPERM);
        }
        if self.is_stub(entry.dir) {
            return Err(Errno::EPERM);
        }
        if inode.root != self.inode(entry.dir).root {
            return Err(Errno::EXDEV);
        }
        self.inode_mut(id).nr_links += 1;
        self.touch_ctime(id);
        self.add_entry(entry.dir, entry.name, id);
        Ok(id)
    }

    /// Gives what is called `source` the name `target`. What had that name loses it and stays
    /// until [`FsState::put`].
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EISDIR`, `EBUSY` for the top, `EINVAL` into itself, `ENOTEMPTY`,
    /// `EPERM`, `EROFS`, `EXDEV`.
    pub fn rename(&mut self, source: &str, target: &str) -> Result<Renamed, Errno> {
        let (old, new) = (self.entry(source)?, self.entry(target)?);
        if old.name == "." || new.name == "." {
            return Err(Errno::EBUSY);
        }
        let id = old.id.ok_or(Errno::ENOENT)?;
        if is_at_or_below(parent_of(target), source) {
            return Err(Errno::EINVAL);
        }
        if is_at_or_below(parent_of(source), target) {
            return Err(Errno::ENOTEMPTY);
        }
        if new.id == Some(id) {
            let has_moved = false;
            return Ok(Renamed {
                has_moved,
                replaced: None,
            });
        }
        self.may_rename(id, &old, &new)?;
        // So that the end of the transaction has less to do.
        if let Some(victim) = new.id
            && self.inode(id).kind == Kind::Regular
            && self.inode(victim).size > 0
        {
            self.filemap_flush(id);
        }
        if let Some(victim) = new.id {
            self.remove_entry(new.dir, new.name);
            self.drop_link(victim);
        }
        self.remove_entry(old.dir, old.name);
        self.touch_ctime(id);
        self.add_entry(new.dir, new.name, id);
        Ok(Renamed {
            has_moved: true,
            replaced: new.id,
        })
    }

    /// What `vfs_rename` and `btrfs_rename` ask, in their order.
    fn may_rename(&self, id: InodeId, old: &Entry<'_>, new: &Entry<'_>) -> Result<(), Errno> {
        let inode = self.inode(id);
        let is_dir = inode.kind == Kind::Directory;
        self.may_delete(old.dir, id)?;
        match new.id {
            None => self.may_write_dir(new.dir)?,
            Some(victim) => {
                self.may_delete(new.dir, victim)?;
                match (is_dir, self.inode(victim).kind == Kind::Directory) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    _ => {}
                }
            }
        }
        // The entry `..` of a directory is written.
        if is_dir && old.dir != new.dir && self.is_root_readonly(id) {
            return Err(Errno::EROFS);
        }
        if self.is_stub(new.dir) {
            return Err(Errno::EPERM);
        }
        if !self.is_top(id) && self.inode(old.dir).root != self.inode(new.dir).root {
            return Err(Errno::EXDEV);
        }
        let is_full =
            |id: InodeId| self.inode(id).kind == Kind::Directory && !self.names(id).is_empty();
        if self.is_stub(id) || new.id.is_some_and(|id| self.is_top(id) || is_full(id)) {
            return Err(Errno::ENOTEMPTY);
        }
        Ok(())
    }

    /// Removes a name of a regular file or a fifo; the inode stays until [`FsState::put`].
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EISDIR`, `EROFS`, `EPERM`.
    pub fn unlink(&mut self, path: &str) -> Result<InodeId, Errno> {
        let entry = self.entry(path)?;
        if entry.name == "." {
            return Err(Errno::EISDIR);
        }
        let id = entry.id.ok_or(Errno::ENOENT)?;
        self.may_delete(entry.dir, id)?;
        if self.inode(id).kind == Kind::Directory {
            return Err(Errno::EISDIR);
        }
        self.remove_entry(entry.dir, entry.name);
        self.drop_link(id);
        Ok(id)
    }

    /// Closes a descriptor: one on a file that was truncated to nothing starts writeback
    /// (`BTRFS_INODE_FLUSH_ON_CLOSE`, `btrfs_release_file`).
    pub fn release(&mut self, id: InodeId) {
        if std::mem::take(&mut self.inode_mut(id).flushes_on_close) {
            self.filemap_flush(id);
        }
    }

    /// Says that nobody has the inode open: without a name it is evicted, unless an ordered
    /// extent that nobody submitted holds it until the next sync.
    pub fn put(&mut self, id: InodeId) {
        if self.inode(id).nr_links > 0 {
            return;
        }
        if self.inode(id).ordered.is_empty() {
            self.evict(id);
        } else if !self.orphans.contains(&id) {
            self.orphans.push(id);
        }
    }

    /// Evicts from a fresh snapshot the inodes that lost their names while somebody had them open
    /// (`btrfs_orphan_cleanup`, fs/btrfs/inode.c).
    pub(crate) fn evict_nameless(&mut self, source: RootId, snapshot: RootId) {
        let nameless = self.nameless.iter().map(|&id| self.place(id));
        let inos: Vec<u64> = nameless
            .filter(|(root, _)| *root == source)
            .map(|(_, ino)| ino)
            .collect();
        for ino in inos {
            if let Some(id) = self.load_inode(snapshot, ino) {
                self.evict(id);
            }
        }
    }

    /// Returns whether the inode is the top of a subvolume.
    pub(crate) fn is_top(&self, id: InodeId) -> bool {
        self.root(self.inode(id).root).top == id
    }

    /// Returns whether the inode is the empty directory in the place of a subvolume.
    pub(crate) fn is_stub(&self, id: InodeId) -> bool {
        self.inode(id).ino == STUB_INO
    }

    /// Returns whether entries of the directory may change: `inode_permission`. The empty directory
    /// of a subvolume does not ask its root.
    fn may_write_dir(&self, dir: InodeId) -> Result<(), Errno> {
        if self.inode(dir).is_immutable {
            return Err(Errno::EPERM);
        }
        if self.is_root_readonly(dir) && !self.is_stub(dir) {
            return Err(Errno::EROFS);
        }
        Ok(())
    }

    /// `may_delete` but for what it says of kinds.
    pub(crate) fn may_delete(&self, dir: InodeId, id: InodeId) -> Result<(), Errno> {
        self.may_write_dir(dir)?;
        let inode = self.inode(id);
        if self.inode(dir).is_append || inode.is_append || inode.is_immutable {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Walks to the directory of `path` and looks its last component up.
    pub(crate) fn entry<'p>(&mut self, path: &'p str) -> Result<Entry<'p>, Errno> {
        let dir = self.lookup(parent_of(path))?;
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        if self.inode(dir).kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let id = self.child(dir, name);
        Ok(Entry { dir, name, id })
    }

    pub(crate) fn remove_entry(&mut self, dir: InodeId, name: &str) {
        self.remove_child(dir, name);
        self.touch(dir);
    }

    fn drop_link(&mut self, id: InodeId) {
        let inode = self.inode_mut(id);
        inode.nr_links -= 1;
        if inode.nr_links == 0 {
            self.nameless.insert(id);
        }
        self.touch_ctime(id);
    }
}

/// Returns the folder of a path.
fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(parent, _)| parent)
}

/// Returns whether `path` is `top` or below it. The top of all is below nothing.
fn is_at_or_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
