//! Searches of a tree from its first item to its last: [`TreeSearch`].
//!
//! A buffer takes some items at a time, and grows for one that does not fit. It does not know what
//! is looked for.

use std::os::fd::BorrowedFd;

use ondisk::{ItemError, Key, KeyRange, SearchItem, SearchItems, TreeId};
use scenario::BackendError;
use uapi::Errno;

use crate::ioctl_trees::{self, SearchBuffer};
use crate::system_errno;

/// Bytes of items asked for at once: those of two leaves of the usual size.
const BUFFER_LEN: usize = 32 << 10;

/// A way into the trees of the filesystem that a descriptor is on.
#[derive(Debug)]
pub(crate) struct TreeSearch<'fd> {
    fd: BorrowedFd<'fd>,
    buffer: SearchBuffer,
}

impl<'fd> TreeSearch<'fd> {
    pub(crate) fn new(fd: BorrowedFd<'fd>) -> TreeSearch<'fd> {
        TreeSearch {
            fd,
            buffer: SearchBuffer::new(BUFFER_LEN),
        }
    }

    /// Calls `visit` with every item of `range`, in order.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the search, or an item makes no sense to `visit`.
    pub(crate) fn each(
        &mut self,
        tree: TreeId,
        range: KeyRange,
        mut visit: impl FnMut(&SearchItem<'_>) -> Result<(), ItemError>,
    ) -> Result<(), BackendError> {
        let mut left = Some(range);
        while let Some(range) = left {
            let nr_items = match self.some(tree, range, u32::MAX) {
                Ok(nr_items) => nr_items,
                Err(errno) => {
                    let from = self.last_readable(tree, range).unwrap_or(range.first);
                    let action = format!("search the {tree} from {from} on");
                    return Err(system_errno(&action, errno));
                }
            };
            if nr_items == 0 {
                return Ok(());
            }
            let mut last = range.first;
            for item in SearchItems::new(self.buffer.items(), nr_items) {
                let item = item.map_err(|error| damaged(tree, last, &error))?;
                last = item.key;
                visit(&item).map_err(|error| damaged(tree, last, &error))?;
            }
            left = range.behind(last);
        }
        Ok(())
    }

    /// Fills the buffer with the first items of `range`, at most `nr_items_max`; returns how many.
    fn some(&mut self, tree: TreeId, range: KeyRange, nr_items_max: u32) -> Result<u32, Errno> {
        ioctl_trees::tree_search(self.fd, tree, range, nr_items_max, 0, &mut self.buffer)
    }

    /// Returns the key of the last item of `range` before what cannot be read.
    fn last_readable(&mut self, tree: TreeId, range: KeyRange) -> Option<Key> {
        let mut last = None;
        let mut left = Some(range);
        while let Some(range) = left
            && self.some(tree, range, 1) == Ok(1)
        {
            let item = SearchItems::new(self.buffer.items(), 1).next()?.ok()?;
            last = Some(item.key);
            left = range.behind(item.key);
        }
        last
    }
}

/// Returns the error for an item that makes no sense.
pub(crate) fn damaged(tree: TreeId, key: Key, what: &dyn std::fmt::Display) -> BackendError {
    BackendError::Damaged {
        tree: tree.to_string(),
        key: key.to_string(),
        what: what.to_string(),
    }
}
