//! What the extent map cache says of an inline item, where maps are drawn from it.
//!
//! Before 6.1 a map that is made to read a page says whether the item is compressed, and takes the
//! place of one that is cached; one that is made for anything else does not say it, and stays until
//! a page is read or the item is written anew (`btrfs_extent_item_to_extent_map`,
//! fs/btrfs/file-item.c: `new_inline`).

use crate::{BLOCK, FileExtent, FsState, InodeId};

/// What a cached map says of an inline item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InlineMap {
    /// That it is inline.
    Bare,
    /// How it is compressed, too.
    Full,
}

impl FsState {
    /// Caches the map of the item at `at`, if that is inline: made without a page, none that is
    /// cached gives way to it.
    pub(crate) fn look_up_inline(&mut self, id: InodeId, at: u64, made: InlineMap) {
        let is_asked = self.behaviour.maps_from_cache && at < BLOCK;
        if !is_asked || !matches!(self.item_at(id, 0), Some(FileExtent::Inline(_))) {
            return;
        }
        let cached = &mut self.inode_mut(id).inline_map;
        match made {
            InlineMap::Full => *cached = Some(made),
            InlineMap::Bare => _ = cached.get_or_insert(made),
        }
    }
}
