//! Searches of trees, of one item or of all: [`Trees`].

use std::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use ondisk::{InodeItem, Key, KeyRange, NameItem, RootItem, SearchItem, SearchItems, TreeId};
use volume::VolumeError;

use super::ahead::Ahead;
use super::searcher::{Found, LARGE, OfTree, Search, Searcher, damaged};
use crate::ioctl_trees::SearchBuffer;

/// No more parts of a tree are searched at once: each takes the memory of a search.
const NR_SEARCHES_MAX: usize = 8;
/// What a part should bring, bytes: so little that nearly always one search is enough.
const PART_BYTES: u64 = (LARGE / 4 * 3) as u64;

/// How much is likely to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// One item, the first: the kernel does not look at the rest of the leaf for others.
    One,
    /// Items of one inode or extent.
    Small,
    /// A tree.
    Large,
}

/// The trees of a btrfs.
#[derive(Debug)]
pub(super) struct Trees {
    searcher: Searcher,
    small: SearchBuffer,
    large: Option<SearchBuffer>,
    /// Items that searches brought so far.
    pub(super) nr_items: u64,
    /// So many parts of a tree are searched at once; 0 if it is searched whole.
    nr_parts: usize,
}

impl Trees {
    /// Returns the trees of the filesystem that `fd` is on, for who may read with so many threads.
    pub(super) fn new(fd: OwnedFd, node_bytes: u32, nr_threads: usize) -> Trees {
        let searcher = Searcher::new(fd, node_bytes);
        Trees {
            small: SearchBuffer::new(searcher.small_bytes()),
            searcher,
            large: None,
            nr_items: 0,
            nr_parts: match nr_threads {
                ..=1 => 0,
                // Who waits for the device leaves its processor to another one.
                nr_threads => nr_threads.saturating_mul(2).min(NR_SEARCHES_MAX),
            },
        }
    }

    /// Returns the descriptor on the filesystem.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.searcher.fd()
    }

    /// Searches once; returns how many items are in the buffer of that size. A tree that is no
    /// more has none.
    pub(super) fn search(
        &mut self,
        size: Size,
        tree: TreeId,
        range: KeyRange,
        min_transid: u64,
    ) -> Result<u32, VolumeError> {
        let (buffer, nr_max) = match size {
            Size::One => (&mut self.small, 1),
            Size::Small => (&mut self.small, u32::MAX),
            Size::Large => {
                let large = self.large.get_or_insert_with(|| SearchBuffer::new(LARGE));
                (large, u32::MAX)
            }
        };
        let nr_items = self
            .searcher
            .fill(tree, range, nr_max, min_transid, buffer)?;
        self.nr_items += u64::from(nr_items);
        Ok(nr_items)
    }

    /// Searches once, with as large a buffer as makes sense.
    pub(super) fn find(&mut self, tree: TreeId, range: KeyRange) -> Result<Found, VolumeError> {
        let searcher = self.searcher.clone();
        let found = OfTree { searcher, tree }.search(range)?;
        self.nr_items += u64::from(found.nr_items);
        Ok(found)
    }

    /// Begins to search a range of a tree, with the help of threads. Who takes the items counts
    /// them.
    pub(super) fn ahead(&self, tree: TreeId, range: KeyRange) -> Ahead {
        let searcher = self.searcher.clone();
        let search = Arc::new(OfTree { searcher, tree });
        Ahead::new(search, range, self.nr_parts, PART_BYTES)
    }

    /// Returns what the last search of that size found.
    pub(super) fn items(&self, size: Size, nr_items: u32) -> SearchItems<'_> {
        let buffer = match size {
            Size::One | Size::Small => self.small.items(),
            Size::Large => self.large.as_ref().map_or(&[][..], SearchBuffer::items),
        };
        SearchItems::new(buffer, nr_items)
    }

    /// Returns whether a search of that size that found so many bytes found all.
    fn is_all(&self, size: Size, found_bytes: usize) -> bool {
        let buffer_bytes = match size {
            Size::One => return true,
            Size::Small => self.searcher.small_bytes(),
            Size::Large => LARGE,
        };
        self.searcher.is_all(found_bytes, buffer_bytes)
    }

    /// Calls `visit` with every item of `range` in order, until it breaks.
    pub(super) fn each(
        &mut self,
        size: Size,
        tree: TreeId,
        range: KeyRange,
        min_transid: u64,
        mut visit: impl FnMut(&SearchItem<'_>) -> Result<ControlFlow<()>, ondisk::ItemError>,
    ) -> Result<(), VolumeError> {
        let mut left = Some(range);
        while let Some(range) = left {
            let nr_items = self.search(size, tree, range, min_transid)?;
            if nr_items == 0 {
                break;
            }
            let mut last = range.first;
            let mut found_bytes = 0;
            for item in self.items(size, nr_items) {
                let item = item.map_err(|error| damaged(tree, last, &error))?;
                last = item.key;
                found_bytes += item.len_bytes();
                match visit(&item).map_err(|error| damaged(tree, last, &error))? {
                    ControlFlow::Continue(()) => {}
                    ControlFlow::Break(()) => return Ok(()),
                }
            }
            if self.is_all(size, found_bytes) {
                break;
            }
            left = range.behind(last);
        }
        Ok(())
    }

    /// Returns the inode item, if the inode is there.
    pub(super) fn inode(
        &mut self,
        root: u64,
        inode: u64,
    ) -> Result<Option<InodeItem>, VolumeError> {
        let mut found = None;
        let range = KeyRange::of(inode, Key::INODE_ITEM);
        self.each(Size::One, TreeId(root), range, 0, |item| {
            found = Some(InodeItem::decode(item.bytes)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Returns the first name of an inode, with the directory that it is in.
    pub(super) fn name(
        &mut self,
        root: u64,
        inode: u64,
    ) -> Result<Option<(u64, Vec<u8>)>, VolumeError> {
        let mut found = None;
        let range = KeyRange::of(inode, Key::INODE_REF);
        self.each(Size::One, TreeId(root), range, 0, |item| {
            let name = NameItem::decode_inode_ref(item.bytes)?.name.to_vec();
            found = Some((item.key.offset, name));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Returns where a subvolume is: the subvolume and the directory that it is in, and its name.
    pub(super) fn name_of_root(
        &mut self,
        root: u64,
    ) -> Result<Option<(u64, u64, Vec<u8>)>, VolumeError> {
        let mut found = None;
        let range = KeyRange::of(root, Key::ROOT_BACKREF);
        self.each(Size::One, TreeId::ROOT, range, 0, |item| {
            let name = NameItem::decode_root_ref(item.bytes)?;
            let directory = name.directory.unwrap_or(0);
            found = Some((item.key.offset, directory, name.name.to_vec()));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Returns the subvolumes that are in a subvolume.
    pub(super) fn roots_in(&mut self, root: u64) -> Result<Vec<u64>, VolumeError> {
        let mut found = Vec::new();
        let range = KeyRange::of(root, Key::ROOT_REF);
        self.each(Size::Small, TreeId::ROOT, range, 0, |item| {
            found.push(item.key.offset);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Returns how many bytes the blocks of a subvolume's tree take.
    pub(super) fn bytes_of(&mut self, root: u64) -> Result<u64, VolumeError> {
        let mut found = 0;
        let range = KeyRange::of(root, Key::ROOT_ITEM);
        self.each(Size::One, TreeId::ROOT, range, 0, |item| {
            found = RootItem::decode(item.bytes)?.used_bytes;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Returns all subvolumes, and whether there are deleted ones whose trees still hold extents.
    pub(super) fn roots(&mut self) -> Result<(Vec<u64>, bool), VolumeError> {
        let mut roots = vec![FS_TREE];
        let mut has_dying = false;
        let key = |object| Key {
            object,
            kind: Key::ROOT_ITEM,
            offset: 0,
        };
        let range = KeyRange {
            first: key(Key::FIRST_FREE),
            last: key(Key::LAST_FREE),
        };
        self.each(Size::Small, TreeId::ROOT, range, 0, |item| {
            if item.key.kind == Key::ROOT_ITEM {
                match RootItem::decode(item.bytes)?.refs {
                    0 => has_dying = true,
                    _ => roots.push(item.key.object),
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((roots, has_dying))
    }
}

/// `BTRFS_FS_TREE_OBJECTID`: the subvolume that every btrfs has.
pub(super) const FS_TREE: u64 = 5;

/// Returns all keys of inodes from one on.
pub(super) fn inodes_from(inode: u64, kind: u8, offset: u64) -> KeyRange {
    KeyRange {
        first: Key {
            object: inode.max(Key::FIRST_FREE),
            kind,
            offset,
        },
        last: Key {
            object: Key::LAST_FREE,
            kind: u8::MAX,
            offset: u64::MAX,
        },
    }
}
