//! What lies below the map of a file: its items in the running transaction, and its dirty pages.
//!
//! It flushes and commits nothing.

use std::os::fd::BorrowedFd;

use ondisk::{FileExtentItem, Key, KeyRange, TreeId};
use rustix::fs::fstat;
use scenario::{BackendError, Layout};
use uapi::Errno;

use crate::search::TreeSearch;
use crate::{ioctl, system, system_errno, trees};

/// The tree of the subvolume that a descriptor is in.
const OWN_TREE: TreeId = TreeId(0);
/// Length of a page in bytes.
const PAGE_LEN: u64 = 4096;

/// Returns the layout of the file that is open there.
pub(crate) fn of(fd: BorrowedFd<'_>) -> Result<Layout, BackendError> {
    let stat = fstat(fd).map_err(|errno| system("look at a file of the run", errno))?;
    let all = KeyRange::of(stat.st_ino, Key::EXTENT_DATA);
    let mut layout = Layout::default();
    TreeSearch::new(fd).each(OWN_TREE, all, |item| {
        let extent = FileExtentItem::decode(item.bytes)?;
        layout
            .items
            .push(trees::tree_item(item.key.offset, &extent));
        Ok(())
    })?;
    let len = (stat.st_size as u64).next_multiple_of(PAGE_LEN);
    add_dirty(fd, 0, len, &mut layout.dirty)
        .map_err(|errno| system_errno("count the dirty pages of a file of the run", errno))?;
    Ok(layout)
}

/// Adds the dirty ranges of `start..end`, halving what is dirty in parts.
fn add_dirty(
    fd: BorrowedFd<'_>,
    start: u64,
    end: u64,
    ranges: &mut Vec<(u64, u64)>,
) -> Result<(), Errno> {
    let nr_pages = (end - start) / PAGE_LEN;
    if nr_pages == 0 {
        return Ok(());
    }
    let nr_dirty = ioctl::dirty_pages_within(fd, start, end - start)?;
    if nr_dirty == 0 {
        return Ok(());
    }
    if nr_dirty < nr_pages {
        let middle = start + nr_pages / 2 * PAGE_LEN;
        add_dirty(fd, start, middle, ranges)?;
        return add_dirty(fd, middle, end, ranges);
    }
    match ranges.last_mut() {
        Some(last) if last.1 == start => last.1 = end,
        _ => ranges.push((start, end)),
    }
    Ok(())
}
