//! Deleting a subvolume, and waiting for the cleaner to drop what it refers to, as
//! `btrfs subvolume sync` does.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use ondisk::{Key, KeyRange, TreeId};
use rustix::fs::{Mode, openat};
use scenario::{BackendError, Name, Outcome};
use uapi::Errno;

use crate::operations::{FOLDER_FLAGS, commit, outcome, sync};
use crate::search::TreeSearch;
use crate::session::{Session, split};
use crate::{errno_of, ioctl, ioctl_trees};

/// How long the cleaner is waited for before everything is written back: an ordered extent that
/// nobody submitted keeps it from beginning.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long it is waited for then.
const PATIENCE_BEHIND_SYNC: Duration = Duration::from_secs(8);
/// The cleaner is woken anew this often.
const NR_LOOKS_BETWEEN_COMMITS: u32 = 20;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_micros(500);

impl Session {
    /// Deletes a subvolume through a descriptor of its folder.
    pub(crate) fn delete(&mut self, name: &Name) -> Result<Outcome, BackendError> {
        let held = self.run_mut()?.0.fds.held_below(name);
        held.iter().for_each(|name| self.observer.forget(name));
        let (run, _) = self.run_mut()?;
        // A deleted subvolume with an open descriptor in it is never cleaned.
        run.fds.close_below(name);
        let Some((parent, last)) = split(name) else {
            return Ok(Outcome::Failed(Errno::EBUSY));
        };
        let top = run.tops.first();
        let folder = match openat(top, parent, FOLDER_FLAGS, Mode::empty()) {
            Ok(folder) => folder,
            Err(errno) => return Ok(Outcome::NotOpened(errno_of(errno))),
        };
        let tree = openat(top, name.as_str(), FOLDER_FLAGS, Mode::empty());
        let tree = tree
            .map_err(errno_of)
            .and_then(|subvolume| ioctl_trees::tree_of(&subvolume));
        let result = ioctl::destroy_subvolume(&folder, last);
        if let (Ok(()), Ok(tree)) = (result, tree) {
            run.subvolumes.retain(|subvolume| subvolume != name);
            wait_for_cleaner(top, tree)?;
            self.observer.forget_below(name);
        }
        Ok(outcome(result))
    }
}

/// Waits until the tree is no more, then commits.
fn wait_for_cleaner(top: BorrowedFd<'_>, tree: TreeId) -> Result<(), BackendError> {
    let is_clean = waited(top, tree, PATIENCE)? || {
        sync(top)?;
        waited(top, tree, PATIENCE_BEHIND_SYNC)?
    };
    if !is_clean {
        return Err(BackendError::Channel(format!(
            "{tree} was deleted and is still there after {PATIENCE_BEHIND_SYNC:?}: something has it open"
        )));
    }
    commit(top)
}

/// Returns whether the tree is no more within that time. A commit wakes the cleaner.
fn waited(top: BorrowedFd<'_>, tree: TreeId, limit: Duration) -> Result<bool, BackendError> {
    let start = Instant::now();
    while start.elapsed() < limit {
        commit(top)?;
        for _ in 0..NR_LOOKS_BETWEEN_COMMITS {
            if !is_there(top, tree)? {
                return Ok(true);
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(false)
}

fn is_there(top: BorrowedFd<'_>, tree: TreeId) -> Result<bool, BackendError> {
    let mut is_there = false;
    let items = KeyRange::of(tree.0, Key::ROOT_ITEM);
    TreeSearch::new(top).each(TreeId::ROOT, items, |_| {
        is_there = true;
        Ok(())
    })?;
    Ok(is_there)
}
