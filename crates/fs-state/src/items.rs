//! The file extent items of an inode: how they are found and changed.
//!
//! Nothing else in this crate knows where items are stored. What changes here is the tree alone:
//! whoever puts or removes an item counts its reference ([`crate::extent`]), after the change, for
//! only then do the items that it touches belong to the root alone.

use std::ops::Bound;

use data::Content;

use crate::{ExtentSlice, FileExtent, FsState, InodeId};

/// A file extent item as it is stored.
#[derive(Clone, Debug)]
pub(crate) enum StoredItem {
    Inline(Box<Content>),
    Regular(ExtentSlice),
}

impl StoredItem {
    fn view(&self) -> FileExtent<'_> {
        match self {
            StoredItem::Inline(content) => FileExtent::Inline(content),
            StoredItem::Regular(slice) => FileExtent::Regular(*slice),
        }
    }
}

impl FsState {
    /// Returns the file extent items of an inode in file order, with their offsets in bytes.
    pub fn items(&self, id: InodeId) -> impl Iterator<Item = (u64, FileExtent<'_>)> {
        let items = self.inode(id).items.iter();
        items.map(|(&key, item)| (key, item.view()))
    }

    /// Returns whether the inode has no items.
    pub(crate) fn has_no_items(&self, id: InodeId) -> bool {
        self.inode(id).items.is_empty()
    }

    /// Returns the item whose file offset is `key`.
    pub(crate) fn item_at(&self, id: InodeId, key: u64) -> Option<FileExtent<'_>> {
        self.inode(id).items.get(&key).map(StoredItem::view)
    }

    /// Returns the last item that begins before `offset`.
    pub(crate) fn item_before(&self, id: InodeId, offset: u64) -> Option<(u64, FileExtent<'_>)> {
        let items = self.inode(id).items.range(..offset);
        items.map(|(&key, item)| (key, item.view())).next_back()
    }

    /// Returns the first item that begins at `offset` or behind it.
    pub(crate) fn item_from(&self, id: InodeId, offset: u64) -> Option<(u64, FileExtent<'_>)> {
        let items = self.inode(id).items.range(offset..);
        items.map(|(&key, item)| (key, item.view())).next()
    }

    /// Returns the item that covers `offset`, or else the next one behind it. An inline item
    /// covers its whole block.
    pub(crate) fn item_at_or_behind(
        &self,
        id: InodeId,
        offset: u64,
    ) -> Option<(u64, FileExtent<'_>)> {
        // Most look-ups are for where an item begins, and this costs half of what a range does.
        if let Some(item) = self.item_at(id, offset) {
            return Some((offset, item));
        }
        let covering = self
            .item_before(id, offset)
            .filter(|(key, item)| crate::align_up(item.end(*key)) > offset);
        covering.or_else(|| {
            let behind = (Bound::Excluded(offset), Bound::Unbounded);
            let mut items = self.inode(id).items.range(behind);
            items.next().map(|(&key, item)| (key, item.view()))
        })
    }

    /// Puts a slice at `key`, in place of the item that begins there.
    pub(crate) fn put_slice(&mut self, id: InodeId, key: u64, slice: ExtentSlice) {
        self.put_item(id, key, StoredItem::Regular(slice));
    }

    /// Puts an inline item at 0, in place of the item that begins there.
    pub(crate) fn put_inline(&mut self, id: InodeId, content: Content) {
        self.put_item(id, 0, StoredItem::Inline(Box::new(content)));
    }

    /// Removes the item at `key`; returns whether there was one.
    pub(crate) fn remove_item(&mut self, id: InodeId, key: u64) -> bool {
        let inode = self.inode_mut(id);
        let removed = inode.items.remove(&key);
        if let Some(item) = &removed {
            inode.nbytes -= item.view().end(0);
        }
        removed.is_some()
    }

    fn put_item(&mut self, id: InodeId, key: u64, item: StoredItem) {
        let inode = self.inode_mut(id);
        inode.nbytes += item.view().end(0);
        if let Some(before) = inode.items.insert(key, item) {
            inode.nbytes -= before.view().end(0);
        }
    }
}
