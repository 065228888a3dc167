//! The file extent items of an inode: how they are found and changed.
//!
//! What changes here is the tree alone: whoever puts or removes an item counts its reference
//! ([`crate::extent`]), after the change, for only then does its leaf belong to the root alone.

use crate::tree_item::{Key, TreeItem};
use crate::{ExtentSlice, FileExtent, FsState, InlineExtent, InodeId, RootId};

/// Returns the item with its file offset if it is one of the inode's.
#[inline]
fn of_inode(ino: u64, found: Option<(Key, &TreeItem)>) -> Option<(u64, FileExtent<'_>)> {
    let (key, item) = found.filter(|(key, _)| key.ino() == ino)?;
    Some((key.file_offset(), item.file_extent()?))
}

impl FsState {
    /// Returns the file extent items of an inode in file order, with their offsets in bytes.
    pub fn items(&self, id: InodeId) -> impl Iterator<Item = (u64, FileExtent<'_>)> {
        let inode = self.inode(id);
        self.items_from(inode.root, inode.ino, 0)
    }

    /// Returns the file extent items of inode `ino` of a root that begin at `offset` or behind it,
    /// in file order, with their offsets in bytes.
    pub(crate) fn items_from(
        &self,
        root: RootId,
        ino: u64,
        offset: u64,
    ) -> impl Iterator<Item = (u64, FileExtent<'_>)> {
        let top = self.root(root).tree;
        let range = self.nodes.range_from(top, Key::extent_from(ino, offset));
        range.map_while(move |found| of_inode(ino, Some(found)))
    }

    /// Returns whether the inode has no items.
    pub(crate) fn has_no_items(&self, id: InodeId) -> bool {
        self.item_from(id, 0).is_none()
    }

    /// Returns the item whose file offset is `key`.
    #[inline]
    pub(crate) fn item_at(&self, id: InodeId, key: u64) -> Option<FileExtent<'_>> {
        let found = self.item_to(id, key);
        found.filter(|(at, _)| *at == key).map(|(_, item)| item)
    }

    /// Returns the last item that begins before `offset`.
    pub(crate) fn item_before(&self, id: InodeId, offset: u64) -> Option<(u64, FileExtent<'_>)> {
        self.item_to(id, offset.checked_sub(1)?)
    }

    /// Returns the first item that begins at `offset` or behind it.
    pub(crate) fn item_from(&self, id: InodeId, offset: u64) -> Option<(u64, FileExtent<'_>)> {
        let inode = self.inode(id);
        let top = self.root(inode.root).tree;
        let key = Key::extent_from(inode.ino, offset);
        of_inode(inode.ino, self.nodes.at_or_behind(top, key))
    }

    /// Returns the item that covers `offset`, or else the next one behind it. An inline item
    /// covers its whole block.
    #[inline]
    pub(crate) fn item_at_or_behind(
        &self,
        id: InodeId,
        offset: u64,
    ) -> Option<(u64, FileExtent<'_>)> {
        let covering = self
            .item_to(id, offset)
            .filter(|(key, item)| crate::align_up(item.end(*key)) > offset);
        covering.or_else(|| self.item_from(id, offset))
    }

    /// Returns the last item that begins at `offset` or before it.
    #[inline]
    fn item_to(&self, id: InodeId, offset: u64) -> Option<(u64, FileExtent<'_>)> {
        let inode = self.inode(id);
        let top = self.root(inode.root).tree;
        let key = Key::extent_to(inode.ino, offset);
        of_inode(inode.ino, self.nodes.at_or_before(top, key))
    }

    /// Puts a slice at `key`, in place of the item that begins there.
    pub(crate) fn put_slice(&mut self, id: InodeId, key: u64, slice: ExtentSlice) {
        self.put_item(id, key, TreeItem::slice(slice));
    }

    /// Puts a slice in the place of the one at `key` if that is as long, and returns that one.
    pub(crate) fn replace_slice(
        &mut self,
        id: InodeId,
        key: u64,
        slice: ExtentSlice,
    ) -> Option<ExtentSlice> {
        let (root, ino) = self.place(id);
        let top = &mut self.roots[root.0 as usize]
            .as_mut()
            .expect("a live root")
            .tree;
        let key = Key::extent_to(ino, key);
        let (tree, extents) = (root.tree_id(), &mut self.extents);
        let item = self.nodes.get_mut(tree, top, key, extents)?;
        let old = item.file_extent()?.slice()?;
        (old.len == slice.len).then(|| {
            *item = TreeItem::slice(slice);
            old
        })
    }

    /// Puts an inline item at `key`, in place of the item that begins there.
    pub(crate) fn put_inline(&mut self, id: InodeId, key: u64, inline: InlineExtent) {
        self.inode_mut(id).inline_map = None;
        self.put_item(id, key, TreeItem::Inline(Box::new(inline)));
    }

    /// Removes the item at `key`; returns whether there was one.
    pub(crate) fn remove_item(&mut self, id: InodeId, key: u64) -> bool {
        let (root, ino) = self.place(id);
        let removed = self.remove_tree_item(root, Key::extent_to(ino, key));
        if let Some(item) = &removed {
            self.inode_mut(id).nbytes -= nbytes(item);
        }
        removed.is_some()
    }

    fn put_item(&mut self, id: InodeId, key: u64, item: TreeItem) {
        let (root, ino) = self.place(id);
        let added = nbytes(&item);
        let before = self.put_tree_item(root, Key::extent_to(ino, key), item);
        let dropped = before.as_ref().map_or(0, nbytes);
        if added != dropped {
            let inode = self.inode_mut(id);
            inode.nbytes = inode.nbytes + added - dropped;
        }
    }

    /// Puts an item into the tree of a root; returns the one that was there.
    pub(crate) fn put_tree_item(
        &mut self,
        root: RootId,
        key: Key,
        item: TreeItem,
    ) -> Option<TreeItem> {
        let top = &mut self.roots[root.0 as usize]
            .as_mut()
            .expect("a live root")
            .tree;
        let (tree, extents) = (root.tree_id(), &mut self.extents);
        self.nodes.insert(tree, top, key, item, extents)
    }

    /// Takes an item out of the tree of a root.
    pub(crate) fn remove_tree_item(&mut self, root: RootId, key: Key) -> Option<TreeItem> {
        let top = &mut self.roots[root.0 as usize]
            .as_mut()
            .expect("a live root")
            .tree;
        let (tree, extents) = (root.tree_id(), &mut self.extents);
        self.nodes.remove(tree, top, key, extents)
    }

    /// Returns the root and the number of an inode.
    #[inline]
    pub(crate) fn place(&self, id: InodeId) -> (RootId, u64) {
        let inode = self.inode(id);
        (inode.root, inode.ino)
    }
}

/// Returns how many bytes a file extent item counts for its inode.
fn nbytes(item: &TreeItem) -> u64 {
    item.file_extent().map_or(0, |item| item.end(0))
}
