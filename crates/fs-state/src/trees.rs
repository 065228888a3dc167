//! The whole state as a tree search shows it: subvolumes by path, inodes by number, references
//! resolved to the items that hold them.
//!
//! Only reads, but for [`FsState::drop_clean_pages`].

use std::collections::{BTreeMap, HashMap};

use crate::{DataRef, ExtentId, FsState, InodeId, Kind, RootId};

/// A resolved reference: the item at `offset` (bytes) of inode `ino` of `root`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResolvedRef {
    /// The root whose tree holds the item.
    pub root: RootId,
    /// The inode number in that root.
    pub ino: u64,
    /// File offset of the item, bytes.
    pub offset: u64,
}

/// What the directories say: where subvolumes are, and how many names an inode has.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The paths of the subvolumes, `.` being the first.
    pub roots: BTreeMap<RootId, String>,
    /// How many names each inode has, as far as it has any.
    pub nr_names: HashMap<InodeId, u32>,
}

impl FsState {
    /// Returns whether the root is a read-only snapshot.
    pub fn is_readonly(&self, root: RootId) -> bool {
        self.root(root).is_readonly
    }

    /// Walks all directories.
    pub fn walk_names(&mut self) -> Names {
        let mut names = Names::default();
        let top = self.root(RootId(0)).top;
        names.roots.insert(self.inode(top).root, ".".to_owned());
        names.nr_names.insert(top, 1);
        let mut left = vec![(String::new(), top)];
        while let Some((path, dir)) = left.pop() {
            for name in self.names(dir) {
                let Some(id) = self.child(dir, &name) else {
                    continue;
                };
                *names.nr_names.entry(id).or_default() += 1;
                let path = format!("{path}{name}");
                let child = self.inode(id);
                if self.root(child.root).top == id {
                    names.roots.insert(child.root, path.clone());
                }
                if child.kind == Kind::Directory {
                    left.push((format!("{path}/"), id));
                }
            }
        }
        names
    }

    /// Returns `i_size` as the inode item has it: a directory counts each name twice, for its two
    /// entries (`btrfs_add_link`).
    pub fn disk_size(&self, id: InodeId) -> u64 {
        let inode = self.inode(id);
        match inode.kind {
            Kind::Directory => self
                .names(id)
                .iter()
                .map(|name| 2 * name.len() as u64)
                .sum(),
            Kind::Regular | Kind::Fifo => inode.size,
        }
    }

    /// Returns the references of every extent, found by its back references and resolved to items.
    /// A back reference to which no item belongs gives nothing.
    pub fn resolved_refs(&self) -> HashMap<ExtentId, Vec<ResolvedRef>> {
        let mut by_backref: HashMap<(ExtentId, RootId, u64, u64), Vec<u64>> = HashMap::new();
        for (id, inode) in self.inodes() {
            for (key, item) in self.items(id) {
                if let Some(slice) = item.slice() {
                    let offset = slice.backref_offset(key);
                    let backref = (slice.extent, inode.root, inode.ino, offset);
                    by_backref.entry(backref).or_default().push(key);
                }
            }
        }
        let mut resolved: HashMap<ExtentId, Vec<ResolvedRef>> = HashMap::new();
        for (id, _) in self.extents.iter() {
            let is_found = |to: &&DataRef| {
                let is_negative = to.offset > i64::MAX as u64;
                to.count > 0 && (self.behaviour.finds_negative_backrefs || !is_negative)
            };
            for to in self.references(id).iter().filter(is_found) {
                let keys = by_backref.get(&(id, to.root, to.ino, to.offset));
                let refs = keys.into_iter().flatten().map(|&offset| ResolvedRef {
                    root: to.root,
                    ino: to.ino,
                    offset,
                });
                resolved.entry(id).or_default().extend(refs);
            }
        }
        resolved
    }

    /// Drops the clean pages of every file that has a name or is open from the page cache, as
    /// `posix_fadvise(2)` with `POSIX_FADV_DONTNEED` does.
    pub fn drop_clean_pages(&mut self) {
        // Walking brings the inodes with names into memory.
        self.walk_names();
        let ids: Vec<InodeId> = self.inodes().map(|(id, _)| id).collect();
        for id in ids {
            let releases_maps = self.behaviour.releases_maps;
            let inode = self.inode_mut(id);
            let cached = std::mem::take(&mut inode.cached);
            inode.digest = None;
            if releases_maps && !cached.is_empty() {
                inode.hole_maps.release(&cached, u64::MAX);
                inode.needs_full_sync = true;
            }
        }
    }
}
