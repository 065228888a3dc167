//! Names and what they stand for: creating, removing, snapshotting. Key type [`Tree`].
//!
//! It does not know descriptors, nor what is in a file.

use rustc_hash::FxHashMap;
use scenario::{DataMode, Name, Outcome};
use uapi::Errno;

use crate::inode::{Inode, InodeIdx, Kind};

/// Every name of the run with its inode. Parents are always there.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) inodes: Vec<Inode>,
    pub(crate) names: FxHashMap<Name, InodeIdx>,
    /// What is open on each name.
    pub(crate) open: FxHashMap<Name, OpenName>,
    /// Slots of `inodes` that are free.
    pub(crate) free: Vec<InodeIdx>,
    /// What the mount options say of new files.
    pub(crate) data: DataMode,
    /// Whether the filesystem is mounted read-only.
    pub(crate) is_readonly: bool,
}

/// The descriptors on a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenName {
    pub(crate) idx: InodeIdx,
    /// One bit for each way in which it is open, see `descriptor.rs`.
    pub(crate) ways: u16,
    /// Whether the name was unlinked since.
    pub(crate) is_held: bool,
}

/// Mode of new directories, subvolumes and stubs.
const DIRECTORY_MODE: u16 = 0o755;
/// Mode of new files and fifos.
const FILE_MODE: u16 = 0o644;

impl Tree {
    /// Returns an empty filesystem: the top and nothing else.
    pub(crate) fn new(data: DataMode) -> Tree {
        let mut tree = Tree {
            inodes: Vec::new(),
            names: FxHashMap::default(),
            open: FxHashMap::default(),
            free: Vec::new(),
            data,
            is_readonly: false,
        };
        tree.insert(
            Name::top(),
            Inode::new(Kind::SubvolumeTop, DIRECTORY_MODE, 0),
        );
        tree
    }

    /// Returns the inode that `name` stands for, or the errno of the walk to it.
    pub(crate) fn lookup(&self, name: &Name) -> Result<InodeIdx, Errno> {
        match self.names.get(name) {
            Some(&idx) => Ok(idx),
            None => Err(self.walk_error(name)),
        }
    }

    pub(crate) fn inode(&self, idx: InodeIdx) -> &Inode {
        &self.inodes[idx]
    }

    pub(crate) fn inode_mut(&mut self, idx: InodeIdx) -> &mut Inode {
        &mut self.inodes[idx]
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&Name, &Inode)> {
        self.names
            .iter()
            .map(|(name, &idx)| (name, &self.inodes[idx]))
    }

    /// Creates an inode of `kind`; it inherits from its parent what `chattr +C` set there.
    pub(crate) fn create(&mut self, name: &Name, kind: Kind, now: u64) -> Result<InodeIdx, Errno> {
        let parent = self.parent_of_new(name, kind)?;
        let mode = if kind.is_directory() {
            DIRECTORY_MODE
        } else {
            FILE_MODE
        };
        let mut inode = Inode::new(kind, mode, now);
        inode.is_nocow = match kind {
            Kind::Regular | Kind::Directory => self.inodes[parent].is_nocow,
            Kind::SubvolumeTop | Kind::Stub | Kind::Fifo => false,
        };
        if kind == Kind::Regular {
            inode.is_nocow |= self.data == DataMode::NoCow;
            inode.is_unchecked = inode.is_nocow || self.data == DataMode::NoSum;
        }
        self.touch_directory(parent, now);
        Ok(self.insert(name.clone(), inode))
    }

    /// Creates a subvolume, as an ioctl on its parent directory.
    pub(crate) fn create_subvolume(&mut self, name: &Name, now: u64) -> Outcome {
        let parent = match parent_name(name) {
            None => return Outcome::Failed(Errno::EEXIST),
            Some(parent) => self.lookup(&parent),
        };
        match parent.map(|_| self.create(name, Kind::SubvolumeTop, now)) {
            Err(errno) => Outcome::NotOpened(errno),
            Ok(Err(errno)) => Outcome::Failed(errno),
            Ok(Ok(_)) => Outcome::Done,
        }
    }

    /// Snapshots a subvolume, as an ioctl on the parent directory of `target`.
    pub(crate) fn snapshot(
        &mut self,
        source: &Name,
        target: &Name,
        is_readonly: bool,
        now: u64,
    ) -> Outcome {
        let Some(parent) = parent_name(target) else {
            return Outcome::Failed(Errno::EEXIST);
        };
        let opened = self
            .lookup(source)
            .and_then(|idx| self.lookup(&parent).map(|_| idx));
        match opened.map(|idx| self.copy_subvolume(idx, source, target, is_readonly, now)) {
            Err(errno) => Outcome::NotOpened(errno),
            Ok(Err(errno)) => Outcome::Failed(errno),
            Ok(Ok(())) => Outcome::Done,
        }
    }

    /// Copies the subvolume `source` to the new name `target`. Subvolumes below become stubs.
    fn copy_subvolume(
        &mut self,
        source_idx: InodeIdx,
        source: &Name,
        target: &Name,
        is_readonly: bool,
        now: u64,
    ) -> Result<(), Errno> {
        if self.inodes[source_idx].kind != Kind::SubvolumeTop {
            return Err(Errno::EINVAL);
        }
        let parent = self.parent_of_new(target, Kind::SubvolumeTop)?;
        for (name, inode) in self.below(source, is_readonly, now) {
            match inode {
                Copied::Inode(inode) => drop(self.insert(target.join(&name), *inode)),
                Copied::Again(first) => self.insert_again(target.join(&name), &target.join(&first)),
            }
        }
        let mut top = self.inodes[source_idx].clone();
        top.is_readonly = is_readonly;
        self.insert(target.clone(), top);
        self.touch_directory(parent, now);
        Ok(())
    }

    /// Returns copies of what is below a subvolume's top, by names relative to it, with a stub in
    /// the place of each subvolume. Names of one inode are names of one copy.
    fn below(&self, source: &Name, is_readonly: bool, now: u64) -> Vec<(Name, Copied)> {
        let mut relatives: Vec<(Name, InodeIdx)> = self
            .names
            .iter()
            .filter_map(|(name, &idx)| Some((relative_to(name, source)?, idx)))
            .collect();
        // A map's order is no order: slots must not depend on it.
        relatives.sort_by(|(left, _), (right, _)| left.cmp(right));
        let subvolumes: Vec<Name> = relatives
            .iter()
            .filter(|(_, idx)| self.inodes[*idx].kind == Kind::SubvolumeTop)
            .map(|(name, _)| name.clone())
            .collect();
        let is_hidden = |name: &Name| {
            subvolumes
                .iter()
                .any(|top| relative_to(name, top).is_some())
        };
        relatives.retain(|(name, _)| !is_hidden(name));
        let mut firsts: FxHashMap<InodeIdx, Name> = FxHashMap::default();
        let mut copies = Vec::with_capacity(relatives.len());
        for (name, idx) in relatives {
            let mut copy = match self.inodes[idx].kind {
                Kind::SubvolumeTop | Kind::Stub => Inode::new(Kind::Stub, DIRECTORY_MODE, now),
                Kind::Regular | Kind::Directory | Kind::Fifo => self.inodes[idx].clone(),
            };
            if let Some(first) = firsts.get(&idx) {
                copies.push((name, Copied::Again(first.clone())));
                continue;
            }
            firsts.insert(idx, name.clone());
            copy.is_readonly = is_readonly;
            copies.push((name, Copied::Inode(Box::new(copy))));
        }
        copies
    }

    /// Returns the directory in which `name` can be created, or the errno of trying.
    fn parent_of_new(&self, name: &Name, kind: Kind) -> Result<InodeIdx, Errno> {
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let parent = parent_name(name).ok_or(Errno::EEXIST)?;
        let parent = self.lookup(&parent)?;
        match self.inodes[parent].kind {
            Kind::Regular | Kind::Fifo => return Err(Errno::ENOTDIR),
            // Its operations have no way to create: the caller's errno depends on the call.
            Kind::Stub if kind == Kind::Regular => return Err(Errno::EACCES),
            Kind::Stub if kind == Kind::SubvolumeTop => return Err(Errno::ENOTTY),
            Kind::Stub => return Err(Errno::EPERM),
            Kind::Directory | Kind::SubvolumeTop => {}
        }
        self.may_change_directory(parent)?;
        Ok(parent)
    }

    pub(crate) fn may_change_directory(&self, idx: InodeIdx) -> Result<(), Errno> {
        let directory = &self.inodes[idx];
        if directory.is_immutable {
            return Err(Errno::EPERM);
        }
        if directory.is_readonly && directory.kind != Kind::Stub {
            Err(Errno::EROFS)
        } else {
            Ok(())
        }
    }

    pub(crate) fn touch_directory(&mut self, idx: InodeIdx, now: u64) {
        let stamps = &mut self.inodes[idx].stamps;
        stamps.mtime = now;
        stamps.ctime = now;
    }

    /// Makes `name` a further name of the inode that has the name `first`.
    fn insert_again(&mut self, name: Name, first: &Name) {
        if let Some(&idx) = self.names.get(first) {
            self.names.insert(name, idx);
        }
    }

    fn insert(&mut self, name: Name, inode: Inode) -> InodeIdx {
        let idx = match self.free.pop() {
            Some(idx) => {
                self.inodes[idx] = inode;
                idx
            }
            None => {
                self.inodes.push(inode);
                self.inodes.len() - 1
            }
        };
        self.names.insert(name, idx);
        idx
    }

    /// Returns why the walk to a name that is not there fails.
    fn walk_error(&self, name: &Name) -> Errno {
        let mut ancestor = parent_name(name);
        while let Some(name) = ancestor {
            if let Some(&idx) = self.names.get(&name) {
                let is_directory = self.inodes[idx].kind.is_directory();
                return if is_directory {
                    Errno::ENOENT
                } else {
                    Errno::ENOTDIR
                };
            }
            ancestor = parent_name(&name);
        }
        Errno::ENOENT
    }
}

/// What a snapshot has of a name.
enum Copied {
    /// An inode of its own.
    Inode(Box<Inode>),
    /// The inode that another name has already.
    Again(Name),
}

/// Returns the name of the directory that `name` lies in; `None` for the top.
pub(crate) fn parent_name(name: &Name) -> Option<Name> {
    if name.is_top() {
        return None;
    }
    match name.as_str().rsplit_once('/') {
        Some((parent, _)) => Name::new(parent),
        None => Some(Name::top()),
    }
}

/// Returns `name` as seen from `top`, if it is below it.
fn relative_to(name: &Name, top: &Name) -> Option<Name> {
    if name.is_top() {
        return None;
    }
    if top.is_top() {
        return Some(name.clone());
    }
    let rest = name
        .as_str()
        .strip_prefix(top.as_str())?
        .strip_prefix('/')?;
    Name::new(rest)
}
