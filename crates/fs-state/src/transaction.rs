//! Transactions: a commit runs the delayed references and begins the next transaction.

use crate::{FsState, InodeId};

impl FsState {
    /// Writes back all dirty data and commits.
    pub fn sync(&mut self) {
        let dirty: Vec<InodeId> = self.dirty_inodes.iter().copied().collect();
        self.flush_all(&dirty);
        self.evict_orphans();
        self.commit();
    }

    /// Drops an inode that has no name and that nobody has open, with its dirty pages.
    pub(crate) fn evict(&mut self, id: InodeId) {
        self.drop_extents(id, 0, u64::MAX);
        self.remove_inode(id);
    }

    /// Evicts the unlinked inodes that no ordered extent holds any more.
    pub(crate) fn evict_orphans(&mut self) {
        let (held, free): (Vec<InodeId>, Vec<InodeId>) = std::mem::take(&mut self.orphans)
            .into_iter()
            .partition(|&id| !self.inode(id).ordered.is_empty());
        self.orphans = held;
        for id in free {
            self.evict(id);
        }
    }

    /// Commits the running transaction; dirty pages stay dirty.
    pub(crate) fn commit(&mut self) {
        self.account_quota();
        self.extents.commit();
        self.transid += 1;
    }
}
