//! Names: directories, files, subvolumes and snapshots, with the errnos of their system calls.

use uapi::Errno;

use crate::{AttributeKind, FsState, Inode, InodeId, Kind, RootId};

impl FsState {
    /// Resolves a path of components joined by `/`; `.` is the top.
    ///
    /// # Errors
    /// `ENOENT` or `ENOTDIR`, as a path walk.
    pub fn lookup(&mut self, path: &str) -> Result<InodeId, Errno> {
        let mut at = self.root(RootId(0)).top;
        for part in path.split('/').filter(|part| *part != ".") {
            if self.inode(at).kind != Kind::Directory {
                return Err(Errno::ENOTDIR);
            }
            at = self.child(at, part).ok_or(Errno::ENOENT)?;
        }
        Ok(at)
    }

    /// Creates an empty regular file of mode 0644, with `FS_NOCOW_FL` if `is_nocow`. Mount options
    /// mark regular files only (`btrfs_create_new_inode`).
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`, `ENOTDIR`, `EROFS`.
    pub fn create_file(&mut self, path: &str, is_nocow: bool) -> Result<InodeId, Errno> {
        let id = self.create(path, Kind::Regular, 0o644)?;
        let options = self.mount_options;
        let inode = self.inode_mut(id);
        inode.is_nodatacow |= options.is_nodatacow;
        inode.is_nodatasum = inode.is_nodatacow || options.is_nodatasum;
        if is_nocow {
            inode.is_nodatacow = true;
            inode.is_nodatasum = true;
        }
        Ok(id)
    }

    /// Creates a directory of mode 0755.
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`, `ENOTDIR`, `EROFS`.
    pub fn create_dir(&mut self, path: &str) -> Result<InodeId, Errno> {
        self.create(path, Kind::Directory, 0o755)
    }

    /// Creates a fifo of mode 0644.
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`, `ENOTDIR`, `EROFS`.
    pub fn create_fifo(&mut self, path: &str) -> Result<InodeId, Errno> {
        self.create(path, Kind::Fifo, 0o644)
    }

    /// Creates a subvolume; commits.
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`, `ENOTDIR`, `EROFS`.
    pub fn create_subvol(&mut self, path: &str) -> Result<InodeId, Errno> {
        self.not_in_stub(path, Errno::ENOTTY)?;
        let (parent, name) = self.parent_of(path)?;
        let root = self.add_root();
        let top = self.root(root).top;
        self.add_entry(parent, name, top);
        self.commit();
        Ok(top)
    }

    /// Snapshots the subvolume whose top is `source`: flushes its dirty data, commits.
    ///
    /// # Errors
    /// `EINVAL` if `source` is not the top of a subvolume, and those of a creation.
    pub fn snapshot(
        &mut self,
        source: &str,
        target: &str,
        is_readonly: bool,
    ) -> Result<InodeId, Errno> {
        let source_top = self.lookup(source)?;
        self.not_in_stub(target, Errno::ENOTTY)?;
        let source_root = self.inode(source_top).root;
        if self.root(source_root).top != source_top {
            return Err(Errno::EINVAL);
        }
        let mut dirty: Vec<InodeId> = self.dirty_inodes.iter().copied().collect();
        dirty.retain(|&id| self.inode(id).root == source_root);
        // The source is written back before anybody looks whether the new name is taken.
        self.flush_all(&dirty);
        self.evict_orphans();
        let (parent, name) = self.parent_of(target)?;
        self.root_mut(source_root).last_snapshot = self.transid;
        let root = self.share_root(source_root, is_readonly);
        let top = self.root(root).top;
        self.add_entry(parent, name, top);
        self.commit();
        self.evict_nameless(source_root, root);
        Ok(top)
    }

    /// Sets or clears an attribute as `FS_IOC_SETFLAGS` does for a privileged caller.
    ///
    /// # Errors
    /// `EROFS` in a read-only root.
    pub fn set_attribute(
        &mut self,
        id: InodeId,
        attribute: AttributeKind,
        is_set: bool,
    ) -> Result<(), Errno> {
        if self.is_root_readonly(id) {
            return Err(Errno::EROFS);
        }
        let inode = self.inode_mut(id);
        let mut is_nocow = inode.is_nodatacow;
        match attribute {
            AttributeKind::Immutable => inode.is_immutable = is_set,
            AttributeKind::Append => inode.is_append = is_set,
            AttributeKind::Nocow => is_nocow = is_set,
        }
        // The call carries all flags, so this happens whichever of them changes.
        let keeps_nodatasum =
            self.behaviour.keeps_mounted_nodatasum && self.mount_options.is_nodatasum;
        let inode = self.inode_mut(id);
        if inode.kind != Kind::Regular {
            inode.is_nodatacow = is_nocow;
        } else if inode.size == 0 {
            inode.is_nodatacow = is_nocow;
            inode.is_nodatasum = is_nocow || keeps_nodatasum;
        }
        self.touch_ctime(id);
        Ok(())
    }

    /// Sets the low twelve bits of the mode.
    ///
    /// # Errors
    /// `EPERM` for an immutable or append-only inode, `EROFS` in a read-only root.
    pub fn chmod(&mut self, id: InodeId, mode: u16) -> Result<(), Errno> {
        self.check_setattr(id)?;
        self.inode_mut(id).mode = mode & 0o7777;
        self.touch_ctime(id);
        Ok(())
    }

    /// Sets the owner; drops set-user-ID and set-group-ID as `chown(2)` does for regular files.
    ///
    /// # Errors
    /// `EPERM` for an immutable or append-only inode, `EROFS` in a read-only root.
    pub fn chown(&mut self, id: InodeId, uid: u32) -> Result<(), Errno> {
        self.check_setattr(id)?;
        let inode = self.inode_mut(id);
        inode.uid = uid;
        if inode.kind != Kind::Directory {
            inode.mode &= !0o4000;
            if inode.mode & 0o010 != 0 {
                inode.mode &= !0o2000;
            }
        }
        self.touch_ctime(id);
        Ok(())
    }

    fn check_setattr(&self, id: InodeId) -> Result<(), Errno> {
        let inode = self.inode(id);
        if inode.is_immutable || inode.is_append {
            return Err(Errno::EPERM);
        }
        if self.is_root_readonly(id) {
            return Err(Errno::EROFS);
        }
        Ok(())
    }

    fn create(&mut self, path: &str, kind: Kind, mode: u16) -> Result<InodeId, Errno> {
        self.not_in_stub(
            path,
            match kind {
                Kind::Regular => Errno::EACCES,
                Kind::Directory | Kind::Fifo => Errno::EPERM,
            },
        )?;
        let (parent, name) = self.parent_of(path)?;
        let root = self.inode(parent).root;
        let ino = self.root(root).next_ino;
        self.root_mut(root).next_ino += 1;
        let stamp = self.stamp();
        let mut inode = Inode::new(root, ino, kind, mode, stamp);
        inode.is_nodatacow = self.inode(parent).is_nodatacow;
        let id = self.add_inode(inode);
        self.add_entry(parent, name, id);
        Ok(id)
    }

    /// Returns the directory in which `path` is to be created, and its last component.
    fn parent_of<'p>(&mut self, path: &'p str) -> Result<(InodeId, &'p str), Errno> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let parent = self.lookup(parent)?;
        if self.inode(parent).kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if name == "." || self.has_child(parent, name) {
            return Err(Errno::EEXIST);
        }
        if self.inode(parent).is_immutable {
            return Err(Errno::EPERM);
        }
        if self.is_root_readonly(parent) {
            return Err(Errno::EROFS);
        }
        Ok((parent, name))
    }

    /// Answers `errno` if `path` is to be created in the empty directory of a subvolume: that has
    /// neither operations that create (`btrfs_dir_ro_inode_operations`) nor ioctls.
    fn not_in_stub(&mut self, path: &str, errno: Errno) -> Result<(), Errno> {
        let parent = self.lookup(path.rsplit_once('/').map_or(".", |(parent, _)| parent))?;
        match self.is_stub(parent) {
            true => Err(errno),
            false => Ok(()),
        }
    }

    pub(crate) fn add_entry(&mut self, parent: InodeId, name: &str, child: InodeId) {
        self.set_child(parent, name, child);
        self.touch(parent);
    }
}
