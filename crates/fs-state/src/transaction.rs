//! Transactions: a commit runs the delayed references and begins the next transaction.

use crate::{FsState, InodeId};

impl FsState {
    /// Writes back all dirty data and commits.
    pub fn sync(&mut self) {
        let dirty: Vec<InodeId> = self.dirty_inodes.iter().copied().collect();
        self.flush_all(&dirty);
        self.commit();
    }

    /// Commits the running transaction; dirty pages stay dirty.
    pub(crate) fn commit(&mut self) {
        self.extents.commit();
        self.transid += 1;
    }
}
