//! One search of a tree, from any thread: [`Searcher`], and what it brings: [`Found`].

use std::fmt::Debug;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use ondisk::{ItemError, Key, KeyRange, SearchItem, SearchItems, TreeId};
use uapi::Errno;
use volume::VolumeError;

use super::fatal;
use crate::ioctl_trees::{self, SearchBuffer};

/// Enough for so many items that the call does not matter, bytes: 2 MiB with the arguments. (The
/// kernel fills up to 16 MiB at once, `btrfs_ioctl_tree_search_v2`, and touches all of it before.)
pub(super) const LARGE: usize = (2 << 20) - SearchBuffer::ARGS_BYTES;

/// Who searches the trees of a btrfs.
#[derive(Clone, Debug)]
pub(super) struct Searcher {
    fd: Arc<OwnedFd>,
    /// Bytes of a node: no item is longer.
    node_bytes: usize,
    /// Large buffers that are not in use: the kernel does not have to find and clear memory again.
    spare: Spare,
}

/// Buffers that are not in use.
pub(super) type Spare = Arc<Mutex<Vec<SearchBuffer>>>;

/// What can be searched by several threads at once.
pub(super) trait Search: Debug + Send + Sync + 'static {
    /// Returns the first items of a range, as many as one search brings.
    fn search(&self, range: KeyRange) -> Result<Found, VolumeError>;
}

/// What a search with a buffer of its own brought.
#[derive(Debug)]
pub(super) struct Found {
    buffer: SearchBuffer,
    /// Where the buffer goes when it has been looked at.
    spare: Spare,
    pub(super) nr_items: u32,
    /// The first key and the last; `None` if there are no items.
    pub(super) keys: Option<(Key, Key)>,
    /// Bytes of the items with their headers.
    pub(super) len_bytes: usize,
    /// Whether it is all that there is in the range.
    is_all: bool,
}

/// A tree, and who searches it.
#[derive(Debug)]
pub(super) struct OfTree {
    pub(super) searcher: Searcher,
    pub(super) tree: TreeId,
}

impl Searcher {
    /// Returns one for the filesystem that `fd` is on.
    pub(super) fn new(fd: OwnedFd, node_bytes: u32) -> Searcher {
        Searcher {
            fd: Arc::new(fd),
            node_bytes: node_bytes as usize,
            spare: Arc::default(),
        }
    }

    /// Returns the descriptor on the filesystem.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the length of a buffer in which any item fits behind a few of one inode, bytes, so
    /// that one search is enough.
    pub(super) fn small_bytes(&self) -> usize {
        2 * self.node_bytes
    }

    /// Searches once; returns how many items are in the buffer. A tree that is no more has none.
    pub(super) fn fill(
        &self,
        tree: TreeId,
        range: KeyRange,
        nr_items_max: u32,
        min_transid: u64,
        buffer: &mut SearchBuffer,
    ) -> Result<u32, VolumeError> {
        match ioctl_trees::tree_search(&*self.fd, tree, range, nr_items_max, min_transid, buffer) {
            Err(Errno::ENOENT) => Ok(0),
            result => result.map_err(|errno| fatal(&format!("search the {tree}"), errno)),
        }
    }

    /// Returns a large buffer.
    fn buffer(&self) -> SearchBuffer {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_else(|| SearchBuffer::new(LARGE))
    }

    /// Returns whether a search that found so many bytes of items with their headers found all:
    /// another item would have fitted.
    pub(super) fn is_all(&self, found_bytes: usize, buffer_bytes: usize) -> bool {
        found_bytes + SearchItem::HEADER_BYTES + self.node_bytes <= buffer_bytes
    }
}

impl Search for OfTree {
    fn search(&self, range: KeyRange) -> Result<Found, VolumeError> {
        let mut buffer = self.searcher.buffer();
        let nr_items = self
            .searcher
            .fill(self.tree, range, u32::MAX, 0, &mut buffer)?;
        let is_all = |len_bytes| self.searcher.is_all(len_bytes, LARGE);
        let spare = Arc::clone(&self.searcher.spare);
        Found::new(buffer, spare, nr_items, is_all).map_err(|(last, error)| {
            let last = last.unwrap_or(range.first);
            damaged(self.tree, last, &error)
        })
    }
}

impl Found {
    /// Returns what is in a buffer; `is_all` tells by the bytes of the items whether nothing is
    /// left.
    ///
    /// # Errors
    ///
    /// If an item makes no sense, that and the key before it.
    pub(super) fn new(
        buffer: SearchBuffer,
        spare: Spare,
        nr_items: u32,
        is_all: impl Fn(usize) -> bool,
    ) -> Result<Found, (Option<Key>, ItemError)> {
        let (mut keys, mut len_bytes) = (None, 0);
        for item in SearchItems::new(buffer.items(), nr_items) {
            let item = item.map_err(|error| (keys.map(|(_, last)| last), error))?;
            let first = keys.map_or(item.key, |(first, _)| first);
            keys = Some((first, item.key));
            len_bytes += item.len_bytes();
        }
        Ok(Found {
            buffer,
            spare,
            nr_items,
            keys,
            len_bytes,
            is_all: is_all(len_bytes),
        })
    }

    /// Calls `visit` with every item in order.
    ///
    /// # Errors
    ///
    /// That the item of `tree` makes no sense of which `visit` says so.
    pub(super) fn each(
        &self,
        tree: TreeId,
        mut visit: impl FnMut(&SearchItem<'_>) -> Result<(), ItemError>,
    ) -> Result<(), VolumeError> {
        let Some((mut at, _)) = self.keys else {
            return Ok(());
        };
        for item in SearchItems::new(self.buffer.items(), self.nr_items) {
            let visited = item.and_then(|item| {
                at = item.key;
                visit(&item)
            });
            visited.map_err(|error| damaged(tree, at, &error))?;
        }
        Ok(())
    }

    /// Returns the bytes that the items are in, one behind the other.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.items()
    }

    /// Returns what of the range that was searched is behind the items.
    pub(super) fn left(&self, range: KeyRange) -> Option<KeyRange> {
        let (_, last) = self.keys.filter(|_| !self.is_all)?;
        range.behind(last)
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(std::mem::take(&mut self.buffer));
    }
}

/// Returns the error for an item that makes no sense.
pub(super) fn damaged(tree: TreeId, key: Key, error: &ItemError) -> VolumeError {
    VolumeError::Fatal(format!("the {tree} is damaged at {key}: {error}"))
}
