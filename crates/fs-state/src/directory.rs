//! The entries of a directory: how they are found and changed.
//!
//! Errnos are [`crate::namespace`]'s.

use crate::tree_item::{Child, Entry, Key, TreeItem};
use crate::{FsState, InodeId, RootId};

impl FsState {
    /// Returns the inode that the directory `dir` calls `name`.
    pub(crate) fn child(&mut self, dir: InodeId, name: &str) -> Option<InodeId> {
        let child = self.find_entry(dir, name)?.child;
        let root = self.inode(dir).root;
        match child {
            Child::Inode(ino) => self.load_inode(root, ino),
            Child::Root(below) => match self.is_linked_in(below, root) {
                true => Some(self.root(below).top),
                false => Some(self.stub(root, below)),
            },
        }
    }

    /// Returns whether the directory `dir` calls anything `name`.
    pub(crate) fn has_child(&self, dir: InodeId, name: &str) -> bool {
        self.find_entry(dir, name).is_some()
    }

    /// Returns the names in the directory `dir`, sorted.
    pub fn names(&self, dir: InodeId) -> Vec<Box<str>> {
        let (root, ino) = self.place(dir);
        let top = self.root(root).tree;
        let items = self.nodes.range_from(top, Key::first_entries(ino));
        let entries = items.map_while(|(key, item)| match item {
            TreeItem::Entries(entries) if key.ino() == ino => Some(entries),
            _ => None,
        });
        let names = entries.flat_map(|entries| entries.iter().map(|entry| entry.name.clone()));
        let mut names: Vec<Box<str>> = names.collect();
        names.sort_unstable();
        names
    }

    /// Makes `name` in the directory `dir` mean `child`, whatever it meant before.
    pub(crate) fn set_child(&mut self, dir: InodeId, name: &str, child: InodeId) {
        let (root, ino) = self.place(dir);
        let (child_root, child_ino) = self.place(child);
        let child = match child_root == root {
            true => Child::Inode(child_ino),
            false => {
                self.root_mut(child_root).parent = Some(root);
                Child::Root(child_root)
            }
        };
        let mut entries = self.entries_but(dir, name);
        entries.push(Entry {
            name: name.into(),
            child,
        });
        let item = TreeItem::Entries(entries.into_boxed_slice());
        self.put_tree_item(root, Key::entries(ino, name), item);
    }

    /// Makes `name` in the directory `dir` mean nothing.
    pub(crate) fn remove_child(&mut self, dir: InodeId, name: &str) {
        let (root, ino) = self.place(dir);
        let entries = self.entries_but(dir, name);
        let key = Key::entries(ino, name);
        if entries.is_empty() {
            self.remove_tree_item(root, key);
        } else {
            let item = TreeItem::Entries(entries.into_boxed_slice());
            self.put_tree_item(root, key, item);
        }
    }

    /// Returns whether the top of `below` has its name in `root`. The entry of a subvolume that a
    /// snapshot of its parent took along leads nowhere.
    fn is_linked_in(&self, below: RootId, root: RootId) -> bool {
        let below = self.roots[below.0 as usize].as_ref();
        below.is_some_and(|below| below.parent == Some(root))
    }

    fn find_entry(&self, dir: InodeId, name: &str) -> Option<&Entry> {
        let (root, ino) = self.place(dir);
        let top = self.root(root).tree;
        match self.nodes.get(top, Key::entries(ino, name))? {
            TreeItem::Entries(entries) => entries.iter().find(|entry| *entry.name == *name),
            TreeItem::Inode(_) | TreeItem::Inline(_) | TreeItem::Slice(_) => None,
        }
    }

    /// Returns the entries that share the hash of `name` and have another name.
    fn entries_but(&self, dir: InodeId, name: &str) -> Vec<Entry> {
        let (root, ino) = self.place(dir);
        let top = self.root(root).tree;
        match self.nodes.get(top, Key::entries(ino, name)) {
            Some(TreeItem::Entries(entries)) => entries
                .iter()
                .filter(|entry| *entry.name != *name)
                .cloned()
                .collect(),
            _ => Vec::new(),
        }
    }
}
