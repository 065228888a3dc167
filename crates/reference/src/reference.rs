//! [`Reference`]: the flat oracle as a [`Backend`].

use rustc_hash::FxHashMap;
use scenario::{
    Answer, Backend, BackendError, Capabilities, DataMode, Geometry, Name, Observation, Op,
    Outcome, Probe, Stat,
};
use uapi::Errno;

use crate::inode::{FileView, InodeIdx, Kind, Stamps};
use crate::io::Allocation;
use crate::tree::Tree;
use crate::{attributes, descriptor, io, readonly, remap};

/// A filesystem of names, bytes and attributes that answers as current kernels do.
#[derive(Debug)]
pub struct Reference {
    tree: Tree,
    /// The times that the last look at a name saw.
    seen: FxHashMap<Name, Stamps>,
    /// Operations since the start of the run: the clock that stamps inodes.
    now: u64,
}

impl Default for Reference {
    fn default() -> Reference {
        Reference::new()
    }
}

impl Reference {
    /// Returns an empty filesystem.
    #[must_use]
    pub fn new() -> Reference {
        Reference::mounted(DataMode::default())
    }

    /// Returns an empty filesystem whose mount options say this of new files.
    #[must_use]
    pub fn mounted(data: DataMode) -> Reference {
        Reference {
            tree: Tree::new(data),
            seen: FxHashMap::default(),
            now: 0,
        }
    }

    /// Returns the outcome of an operation, and changes the state by it.
    pub fn act(&mut self, op: &Op) -> Outcome {
        self.now += 1;
        let (tree, now) = (&mut self.tree, self.now);
        if let Some(name) = op.made_name() {
            for name in tree.held_below(name) {
                self.seen.remove(&name);
                tree.close(&name, now);
            }
        }
        match op {
            Op::Unlink {
                name,
                is_held: false,
            } => self.close(name),
            Op::Delete { name } => self.close_held(name),
            _ => {}
        }
        let tree = &mut self.tree;
        if let Some(outcome) = readonly::refused(tree, op) {
            return outcome;
        }
        match op {
            Op::File { name, is_nocow } => match tree.create(name, Kind::Regular, now) {
                Ok(idx) => {
                    let inode = tree.inode_mut(idx);
                    inode.is_nocow |= is_nocow;
                    inode.is_unchecked |= is_nocow;
                    descriptor::adopt(tree, name, idx);
                    Outcome::Done
                }
                Err(errno) => Outcome::Failed(errno),
            },
            Op::Dir { name } => ended(tree.create(name, Kind::Directory, now)),
            Op::Fifo { name } => ended(tree.create(name, Kind::Fifo, now)),
            Op::Subvol { name } => tree.create_subvolume(name, now),
            Op::Snapshot {
                source,
                target,
                is_readonly,
            } => tree.snapshot(source, target, *is_readonly, now),
            Op::Delete { name } => self.delete(name),
            Op::Link { source, target } => ended(tree.link(source, target, now)),
            Op::Rename { source, target } => {
                let renamed = tree.rename(source, target, now);
                if renamed == Ok(true) {
                    self.move_seen(source, target);
                }
                ended(renamed)
            }
            Op::Unlink { name, is_held } => self.tree.unlink(name, *is_held, now),
            Op::Close { name } => {
                self.close(name);
                Outcome::Done
            }
            Op::Write {
                name,
                offset,
                content,
            } => io::write(tree, name, *offset, content, now),
            Op::DirectWrite {
                name,
                offset,
                content,
            } => io::write(tree, name, *offset, content, now),
            Op::MappedWrite {
                name,
                offset,
                content,
            } => io::mapped_write(tree, name, *offset, content, now),
            Op::Truncate { name, size } => io::truncate(tree, name, *size, now),
            Op::Fallocate {
                name,
                offset,
                len,
                keeps_size,
            } => {
                let allocation = if *keeps_size {
                    Allocation::KeepSize
                } else {
                    Allocation::Extend
                };
                io::fallocate(tree, name, *offset, *len, allocation, now)
            }
            Op::Punch { name, offset, len } => {
                io::fallocate(tree, name, *offset, *len, Allocation::PunchHole, now)
            }
            Op::Zero {
                name,
                offset,
                len,
                keeps_size,
            } => {
                let allocation = if *keeps_size {
                    Allocation::ZeroKeepSize
                } else {
                    Allocation::ZeroExtend
                };
                io::fallocate(tree, name, *offset, *len, allocation, now)
            }
            Op::Flush { name } | Op::Fiemap { name } => self.flush(name, Errno::ESPIPE),
            Op::Fsync { name } => self.flush(name, Errno::EINVAL),
            Op::Remount { is_readonly } => self.remount(*is_readonly),
            Op::Sync | Op::Tick | Op::Tree | Op::Observe { .. } => Outcome::Done,
            Op::Chattr {
                name,
                attribute,
                is_set,
            } => attributes::chattr(tree, name, *attribute, *is_set, now),
            Op::Chmod { name, mode } => attributes::chmod(tree, name, *mode, now),
            Op::Chown { name, uid } => attributes::chown(tree, name, *uid, now),
            Op::Clone(call) => remap::clone_range(tree, call, now),
            Op::Dedupe(call) => remap::dedupe(tree, call),
        }
    }

    /// Returns what is known of `name`; `None` if nothing has this name.
    #[must_use]
    pub fn file(&self, name: &Name) -> Option<FileView<'_>> {
        let idx = self.find(name)?;
        Some(self.tree.inode(idx).view())
    }

    /// Returns every name with what is known of it, in no particular order.
    pub fn files(&self) -> impl Iterator<Item = (&Name, FileView<'_>)> {
        self.tree.names().map(|(name, inode)| (name, inode.view()))
    }

    /// Closes what is held at `top` and below it.
    fn close_held(&mut self, top: &Name) {
        for held in self.tree.held_below(top) {
            self.close(&held);
        }
    }

    /// Remounts the filesystem; closes everything before it becomes read-only.
    fn remount(&mut self, is_readonly: bool) -> Outcome {
        if is_readonly {
            let open: Vec<Name> = self.tree.open.keys().cloned().collect();
            for name in open {
                self.close(&name);
            }
        }
        self.tree.is_readonly = is_readonly;
        Outcome::Done
    }

    fn delete(&mut self, name: &Name) -> Outcome {
        let deleted = self.tree.delete(name, self.now);
        if deleted == Outcome::Done {
            self.seen.retain(|seen, _| !seen.is_within(name));
        }
        deleted
    }

    /// Closes what is open on a name; what is held is forgotten with it.
    fn close(&mut self, name: &Name) {
        if self.tree.held(name).is_some() {
            self.seen.remove(name);
        }
        self.tree.close(name, self.now);
    }

    fn find(&self, name: &Name) -> Option<InodeIdx> {
        self.tree.held(name).or_else(|| self.tree.lookup(name).ok())
    }

    /// Lets what was seen of a name and below it count for its new name.
    fn move_seen(&mut self, from: &Name, to: &Name) {
        self.seen.retain(|name, _| !name.is_within(to));
        let seen = std::mem::take(&mut self.seen).into_iter();
        self.seen = seen
            .map(|(name, stamps)| (name.moved(from, to).unwrap_or(name), stamps))
            .collect();
    }

    /// Returns the outcome of writing back: nothing happens, but a fifo has nothing to write.
    fn flush(&mut self, name: &Name, errno_of_fifo: Errno) -> Outcome {
        match descriptor::open_any(&mut self.tree, name) {
            Err(errno) => Outcome::NotOpened(errno),
            Ok(idx) if self.tree.inode(idx).kind == Kind::Fifo => Outcome::Failed(errno_of_fifo),
            Ok(_) => Outcome::Done,
        }
    }
}

impl Backend for Reference {
    fn name(&self) -> String {
        String::from("reference")
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            release: None,
            has_extents: false,
            has_exact_shares: true,
            has_trees: false,
            // A punch of written zeros changes times, one of a hole does not: both are zeros here.
            has_fine_times: false,
            tick: std::time::Duration::ZERO,
            is_root: true,
            can_remount: true,
            batch_max: usize::MAX,
            is_real: false,
        }
    }

    fn reset(&mut self, geometry: &Geometry) -> Result<(), BackendError> {
        *self = Reference::mounted(geometry.data);
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        Ok(Answer::plain(self.act(op)))
    }

    fn observe(&mut self, probe: &Probe) -> Result<Observation, BackendError> {
        let Some(idx) = self.find(&probe.name) else {
            self.seen.remove(&probe.name);
            return Ok(Observation::Absent);
        };
        let inode = self.tree.inode_mut(idx);
        let stamps = inode.stamps;
        let before = match self.seen.get_mut(&probe.name) {
            Some(seen) => std::mem::replace(seen, stamps),
            None => {
                self.seen.insert(probe.name.clone(), stamps);
                stamps
            }
        };
        let stat = Stat {
            kind: inode.kind.into(),
            size: inode.size(),
            blocks: 0,
            mode: inode.mode,
            uid: inode.uid,
            mtime_changed: before.mtime != stamps.mtime,
            ctime_changed: before.ctime != stamps.ctime,
        };
        Ok(match inode.kind {
            Kind::Regular => Observation::File {
                stat,
                content: inode.digest(),
                map: Vec::new(),
            },
            Kind::Directory | Kind::SubvolumeTop | Kind::Stub | Kind::Fifo => {
                Observation::Other { stat }
            }
        })
    }
}

fn ended<T>(result: Result<T, Errno>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(errno) => Outcome::Failed(errno),
    }
}
