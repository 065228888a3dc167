//! Inodes in memory: how they come from the tree (`btrfs_iget`) and go back into it
//! (`btrfs_update_inode`), both in fs/btrfs/inode.c.
//!
//! What an inode in memory says holds; its item in the tree may be older until a snapshot needs it.

use crate::links::STUB_INO;
use crate::tree_item::{InodeItem, Key, TreeItem};
use crate::{FsState, Inode, InodeId, Kind, RootId};

impl FsState {
    /// Returns the inode.
    ///
    /// # Panics
    /// If `id` does not name a live inode.
    #[inline]
    pub fn inode(&self, id: InodeId) -> &Inode {
        self.inodes[id.0 as usize]
            .as_deref()
            .expect("an InodeId names a live inode")
    }

    /// Returns whether `id` names a live inode.
    pub fn is_live(&self, id: InodeId) -> bool {
        self.inodes.get(id.0 as usize).is_some_and(Option::is_some)
    }

    /// Returns all inodes that are in memory.
    pub fn inodes(&self) -> impl Iterator<Item = (InodeId, &Inode)> {
        let with_id = |(idx, slot): (usize, &'_ Option<Box<Inode>>)| {
            let id = InodeId(u32::try_from(idx).expect("ids are u32"));
            slot.is_some().then(|| (id, self.inode(id)))
        };
        self.inodes.iter().enumerate().filter_map(with_id)
    }

    /// Brings all inodes of a root into memory and returns them by inode number.
    pub fn load_inodes(&mut self, root: RootId) -> Vec<InodeId> {
        let items = self.nodes.range_from(self.root(root).tree, Key::FIRST);
        let inos: Vec<u64> = items
            .filter(|(_, item)| matches!(item, TreeItem::Inode(_)))
            .map(|(key, _)| key.ino())
            .collect();
        let load = |ino| self.load_inode(root, ino);
        inos.into_iter().filter_map(load).collect()
    }

    /// Returns inode `ino` of a root, brought into memory if it is not there.
    pub(crate) fn load_inode(&mut self, root: RootId, ino: u64) -> Option<InodeId> {
        if let Some(&id) = self.inode_ids.get(&(root, ino)) {
            return Some(id);
        }
        match self.nodes.get(self.root(root).tree, Key::inode(ino))? {
            TreeItem::Inode(item) => {
                let inode = item.inode(root, ino);
                Some(self.cache_inode(inode))
            }
            TreeItem::Entries(_) | TreeItem::Inline(_) | TreeItem::Slice(_) => None,
        }
    }

    /// Returns the empty directory of a root that stands in the place of the subvolume `below`
    /// (`new_simple_dir`). It is in no tree.
    pub(crate) fn stub(&mut self, root: RootId, below: RootId) -> InodeId {
        if let Some(&id) = self.stub_ids.get(&(root, below)) {
            return id;
        }
        let stamp = self.stamp();
        let stub = Inode::new(root, STUB_INO, Kind::Directory, 0o755, stamp);
        let id = self.cache_inode(stub);
        self.stub_ids.insert((root, below), id);
        id
    }

    /// Adds a new inode to its root.
    pub(crate) fn add_inode(&mut self, inode: Inode) -> InodeId {
        let item = TreeItem::Inode(Box::new(InodeItem::of(&inode)));
        self.put_tree_item(inode.root, Key::inode(inode.ino), item);
        self.cache_inode(inode)
    }

    /// Returns the inode, to be changed: its item is no longer true.
    pub(crate) fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        let inode = self.inodes[id.0 as usize]
            .as_deref_mut()
            .expect("an InodeId names a live inode");
        if !inode.is_item_old {
            inode.is_item_old = true;
            self.old_items.push(id);
        }
        inode
    }

    /// Writes every inode whose item is no longer true into its tree.
    pub(crate) fn update_inode_items(&mut self) {
        for id in std::mem::take(&mut self.old_items) {
            let Some(inode) = self.inodes[id.0 as usize].as_deref_mut() else {
                continue;
            };
            inode.is_item_old = false;
            let (root, ino) = (inode.root, inode.ino);
            let item = TreeItem::Inode(Box::new(InodeItem::of(inode)));
            if ino != STUB_INO {
                self.put_tree_item(root, Key::inode(ino), item);
            }
        }
    }

    /// Forgets an inode and removes its item. It has no file extent items any more.
    pub(crate) fn remove_inode(&mut self, id: InodeId) {
        let (root, ino) = self.place(id);
        self.remove_tree_item(root, Key::inode(ino));
        self.forget_inode(id);
    }

    /// Forgets an inode whose root goes with it.
    pub(crate) fn forget_inode(&mut self, id: InodeId) {
        self.dirty_inodes.remove(&id);
        self.nameless.remove(&id);
        self.inode_ids.remove(&self.place(id));
        self.inodes[id.0 as usize] = None;
    }

    fn cache_inode(&mut self, inode: Inode) -> InodeId {
        let id = InodeId(u32::try_from(self.inodes.len()).expect("fewer than 2^32 inodes"));
        if inode.ino != STUB_INO {
            self.inode_ids.insert((inode.root, inode.ino), id);
        }
        self.inodes.push(Some(Box::new(inode)));
        id
    }
}
