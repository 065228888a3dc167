//! The entries of a directory: how they are found and changed.
//!
//! Nothing else in this crate knows where entries are stored. Errnos are [`crate::namespace`]'s.

use crate::{FsState, InodeId};

impl FsState {
    /// Returns the inode that the directory `dir` calls `name`.
    pub(crate) fn child(&mut self, dir: InodeId, name: &str) -> Option<InodeId> {
        self.inode(dir).children.as_ref()?.get(name).copied()
    }

    /// Returns whether the directory `dir` calls anything `name`.
    pub(crate) fn has_child(&self, dir: InodeId, name: &str) -> bool {
        let children = self.inode(dir).children.as_ref();
        children.is_some_and(|children| children.contains_key(name))
    }

    /// Returns the names in the directory `dir`, sorted.
    pub fn names(&self, dir: InodeId) -> Vec<Box<str>> {
        let children = self.inode(dir).children.iter();
        children
            .flat_map(|children| children.keys().cloned())
            .collect()
    }

    /// Makes `name` in the directory `dir` mean `child`, whatever it meant before.
    pub(crate) fn set_child(&mut self, dir: InodeId, name: &str, child: InodeId) {
        if let Some(children) = self.inode_mut(dir).children.as_mut() {
            children.insert(name.into(), child);
        }
    }

    /// Makes `name` in the directory `dir` mean nothing.
    pub(crate) fn remove_child(&mut self, dir: InodeId, name: &str) {
        if let Some(children) = self.inode_mut(dir).children.as_mut() {
            children.remove(name);
        }
    }
}
