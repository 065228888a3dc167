//! What quota groups count of the data of a run's subvolumes.
//!
//! The kernel counts tree blocks, too. They are counted here as well, from the blocks themselves,
//! and taken off, so that what is left is a matter of data alone.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use ondisk::{Key, KeyRange, QgroupInfo, QgroupStatus, TreeId};
use scenario::{BackendError, Name, TreeRoot, TreeUsage, Trees};
use uapi::Errno;

use crate::operations::sync;
use crate::search::{TreeSearch, damaged};
use crate::tree_blocks::TreeBlocks;
use crate::{ioctl_quota, ioctl_trees, missing, system_errno};

/// How long quota groups that are being counted anew are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Begins or ends counting quota groups; in the end they are counted.
pub(crate) fn turn(top: BorrowedFd<'_>, is_on: bool) -> Result<(), BackendError> {
    match ioctl_quota::count_quota(top, is_on) {
        Ok(()) => {}
        Err(Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::EPERM) => {
            return Err(missing(
                "quota groups cannot be turned on here",
                "leave quota=on out, or run as root on a kernel that has them",
            ));
        }
        Err(errno) => return Err(system_errno("turn quota groups on or off", errno)),
    }
    match is_on {
        // They begin uncounted.
        true => settle(top).map(drop),
        false => sync(top),
    }
}

/// Adds what quota groups count. All that could still change the trees has come to its end. Returns
/// whether the kernel had lost count: then it has counted anew, and what it says is no longer what
/// it had come to.
pub(crate) fn add_usages(
    top: BorrowedFd<'_>,
    device: &Path,
    ids: &BTreeMap<TreeId, Name>,
    trees: &mut Trees,
) -> Result<bool, BackendError> {
    let tree_ids: Vec<TreeId> = ids.keys().copied().collect();
    let (usages, had_lost_count) = usages(top, device, &tree_ids)?;
    for (id, usage) in usages {
        let is_it = |root: &&mut TreeRoot| ids.get(&id) == Some(&root.name);
        if let Some(root) = trees.roots.iter_mut().find(is_it) {
            root.usage = Some(usage);
        }
    }
    Ok(had_lost_count)
}

/// Returns what the quota groups of the trees count, less the trees' own blocks, and whether the
/// kernel had lost count. Nothing may be under way in them but what a commit brings to its end.
fn usages(
    top: BorrowedFd<'_>,
    device: &Path,
    trees: &[TreeId],
) -> Result<(BTreeMap<TreeId, TreeUsage>, bool), BackendError> {
    let start = Instant::now();
    let mut had_lost_count = false;
    loop {
        had_lost_count |= settle(top)?;
        match read_usages(top, device, trees) {
            // Something in the background was at work.
            Err(BackendError::Damaged { .. }) if start.elapsed() < PATIENCE => {}
            result => return result.map(|usages| (usages, had_lost_count)),
        }
    }
}

/// Commits, and has the groups counted anew if the kernel says that they may be wrong. Returns
/// whether it said so.
fn settle(top: BorrowedFd<'_>) -> Result<bool, BackendError> {
    let start = Instant::now();
    let mut had_lost_count = false;
    loop {
        sync(top)?;
        let status = status(top)?;
        if !status.is_unsettled() {
            return Ok(had_lost_count);
        }
        had_lost_count |= status.flags & QgroupStatus::INCONSISTENT != 0;
        if PATIENCE <= start.elapsed() {
            return Err(BackendError::Channel(format!(
                "quota groups are still not counted after {PATIENCE:?} (flags {:#x})",
                status.flags
            )));
        }
        match ioctl_quota::rescan_quota(top) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(system_errno("count quota groups anew", errno)),
        }
        ioctl_quota::wait_for_rescan(top)
            .map_err(|errno| system_errno("wait for quota groups", errno))?;
    }
}

fn status(top: BorrowedFd<'_>) -> Result<QgroupStatus, BackendError> {
    let items = KeyRange::of(0, Key::QGROUP_STATUS);
    let mut status = None;
    TreeSearch::new(top).each(TreeId::QUOTA, items, |item| {
        status = Some(QgroupStatus::decode(item.bytes)?);
        Ok(())
    })?;
    status.ok_or_else(|| damaged(TreeId::QUOTA, items.first, &"there is no status"))
}

fn read_usages(
    top: BorrowedFd<'_>,
    device: &Path,
    trees: &[TreeId],
) -> Result<BTreeMap<TreeId, TreeUsage>, BackendError> {
    let node_bytes = ioctl_trees::fs_info(top)
        .map_err(|errno| system_errno("ask for the size of tree blocks", errno))?
        .node_bytes;
    let mut search = TreeSearch::new(top);
    let mut blocks = TreeBlocks::open(&mut search, device, node_bytes as usize)?;
    let mut of_trees = Vec::with_capacity(trees.len());
    let mut nr_owners: HashMap<u64, u32> = HashMap::new();
    for &tree in trees {
        let of_tree = blocks.of_tree(&mut search, tree)?;
        for &block in &of_tree {
            *nr_owners.entry(block).or_default() += 1;
        }
        of_trees.push(of_tree);
    }
    let counted = read_counted(&mut search)?;
    let mut usages = BTreeMap::new();
    for (&tree, of_tree) in trees.iter().zip(&of_trees) {
        let Some(info) = counted.get(&tree) else {
            let key = KeyRange::of(0, Key::QGROUP_INFO).first;
            return Err(damaged(TreeId::QUOTA, key, &format!("no group of {tree}")));
        };
        let node_bytes = u64::from(node_bytes);
        let nr_alone = of_tree
            .iter()
            .filter(|block| nr_owners[*block] == 1)
            .count();
        let usage = TreeUsage {
            referenced: (info.referenced).wrapping_sub(of_tree.len() as u64 * node_bytes),
            exclusive: (info.exclusive).wrapping_sub(nr_alone as u64 * node_bytes),
        };
        usages.insert(tree, usage);
    }
    Ok(usages)
}

/// Reads what the group of each tree counts.
fn read_counted(search: &mut TreeSearch<'_>) -> Result<BTreeMap<TreeId, QgroupInfo>, BackendError> {
    let mut counted = BTreeMap::new();
    search.each(TreeId::QUOTA, KeyRange::of(0, Key::QGROUP_INFO), |item| {
        counted.insert(TreeId(item.key.offset), QgroupInfo::decode(item.bytes)?);
        Ok(())
    })?;
    Ok(counted)
}
