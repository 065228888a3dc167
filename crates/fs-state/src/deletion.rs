//! Subvolumes and snapshots deleted (`btrfs_ioctl_snap_destroy`, fs/btrfs/ioctl.c), and what the
//! cleaner does then.

use uapi::Errno;

use crate::{FsState, Inode, Kind};

impl FsState {
    /// Deletes the subvolume whose top is called `path`, lets the cleaner drop what its tree
    /// refers to, and commits. Nobody has anything in it open. If an ordered extent that nobody
    /// submitted holds an inode of it, everything is written back first.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EPERM`, `EROFS`; `EINVAL` for a directory that is no subvolume's top,
    /// `ENOTEMPTY` for a subvolume with another one in it.
    pub fn delete_subvol(&mut self, path: &str) -> Result<(), Errno> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let dir = self.lookup(parent)?;
        match self.inode(dir).kind {
            Kind::Regular => return Err(Errno::ENOTDIR),
            // What a pipe and the empty directory of a subvolume have for ioctls.
            Kind::Fifo => return Err(Errno::ENOTTY),
            Kind::Directory if self.is_stub(dir) => return Err(Errno::ENOTTY),
            Kind::Directory => {}
        }
        let id = self.child(dir, name).ok_or(Errno::ENOENT)?;
        self.may_delete(dir, id)?;
        if self.inode(id).kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if !self.is_top(id) {
            return Err(Errno::EINVAL);
        }
        let root = self.inode(id).root;
        if self
            .roots()
            .any(|other| self.root(other).parent == Some(root))
        {
            return Err(Errno::ENOTEMPTY);
        }
        self.remove_entry(dir, name);
        let is_held = |inode: &Inode| inode.root == root && !inode.ordered.is_empty();
        if self.behaviour.cleans_at_sync || self.inodes().any(|(_, inode)| is_held(inode)) {
            self.sync();
        }
        self.delete_root(root);
        self.commit();
        Ok(())
    }
}
