//! What calls on names answer while the filesystem is mounted read-only: the VFS looks some things
//! up before it asks for write access to the mount (fs/namei.c, `mnt_want_write`).

use uapi::Errno;

use crate::{FsState, Kind};

impl FsState {
    /// Returns the errno of creating `path` (`filename_create`): that it is there comes first.
    pub fn refused_creation(&mut self, path: &str) -> Errno {
        match self.entry(path) {
            Err(errno) => errno,
            Ok(entry) if entry.name == "." || entry.id.is_some() => Errno::EEXIST,
            Ok(_) => Errno::EROFS,
        }
    }

    /// Returns the errno of making `target` another name of `source`.
    pub fn refused_link(&mut self, source: &str, target: &str) -> Errno {
        match self.lookup(source) {
            Err(errno) => errno,
            Ok(_) => self.refused_creation(target),
        }
    }

    /// Returns the errno of a rename (`do_renameat2`): neither last component is looked up.
    pub fn refused_rename(&mut self, source: &str, target: &str) -> Errno {
        let old = self.entry(source).map(|entry| entry.name == ".");
        let new = self.entry(target).map(|entry| entry.name == ".");
        match (old, new) {
            (Err(errno), _) | (_, Err(errno)) => errno,
            (Ok(true), _) | (_, Ok(true)) => Errno::EBUSY,
            _ => Errno::EROFS,
        }
    }

    /// Returns the errno of an unlink (`do_unlinkat`), likewise.
    pub fn refused_unlink(&mut self, path: &str) -> Errno {
        match self.entry(path) {
            Err(errno) => errno,
            Ok(entry) if entry.name == "." => Errno::EISDIR,
            Ok(_) => Errno::EROFS,
        }
    }

    /// Returns the errno of the ioctls that make and delete subvolumes, called on the folder `dir`.
    ///
    /// # Errors
    /// What opening the folder answers.
    pub fn refused_subvolume(&mut self, dir: &str) -> Result<Errno, Errno> {
        let dir = self.lookup(dir)?;
        Ok(match self.inode(dir).kind {
            Kind::Directory if self.is_stub(dir) => Errno::ENOTTY,
            Kind::Directory => Errno::EROFS,
            Kind::Regular => Errno::ENOTDIR,
            Kind::Fifo => Errno::ENOTTY,
        })
    }
}
