//! The filesystem: roots, inodes, extents, the running transaction and the inode clock.

use std::collections::BTreeSet;

use ctree::{Nodes, Work};
use rustc_hash::FxHashMap;

use crate::compress::Compressor;
use crate::extent::ExtentTable;
use crate::quota::Quota;
use crate::references::Families;
use crate::roots::Root;
use crate::shortage::Short;
use crate::tree_item::{Key, TreeItem};
use crate::{Behaviour, ExtentId, ExtentSlice, Inode, InodeId, InodeStat, RootId, SliceKind};

/// How a filesystem was made, and what its mount options say of the data of new regular files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// Size of a tree's nodes in bytes.
    pub node_bytes: u32,
    /// `BTRFS_MOUNT_NODATASUM`: they have no checksums.
    pub is_nodatasum: bool,
    /// `BTRFS_MOUNT_NODATACOW`: they are overwritten in place, and have no checksums either.
    pub is_nodatacow: bool,
    /// `BTRFS_MOUNT_FORCE_COMPRESS`: what has checksums and is copied on write is compressed.
    pub compresses: bool,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions {
            node_bytes: 16 << 10,
            is_nodatasum: false,
            is_nodatacow: false,
            compresses: false,
        }
    }
}

/// A btrfs filesystem.
#[derive(Clone, Debug)]
pub struct FsState {
    pub(crate) behaviour: Behaviour,
    pub(crate) mount_options: MountOptions,
    /// By number; `None` for those that were deleted.
    pub(crate) roots: Vec<Option<Root>>,
    pub(crate) families: Families,
    /// The nodes of the roots' trees.
    pub(crate) nodes: Nodes<Key, TreeItem>,
    /// Inodes in memory.
    pub(crate) inodes: Vec<Option<Box<Inode>>>,
    pub(crate) inode_ids: FxHashMap<(RootId, u64), InodeId>,
    /// Empty directories by their root and the subvolume in whose place they are.
    pub(crate) stub_ids: FxHashMap<(RootId, RootId), InodeId>,
    /// Inodes in memory that have no name any more.
    pub(crate) nameless: BTreeSet<InodeId>,
    /// Inodes whose item in the tree may be older than they are.
    pub(crate) old_items: Vec<InodeId>,
    pub(crate) extents: ExtentTable,
    pub(crate) compressor: Compressor,
    /// What is counted for each root, if it is.
    pub(crate) quota: Option<Box<Quota>>,
    pub(crate) dirty_inodes: BTreeSet<InodeId>,
    /// Unlinked inodes that an ordered extent holds.
    pub(crate) orphans: Vec<InodeId>,
    /// Whether it is mounted read-only (`SB_RDONLY`).
    pub(crate) is_mounted_readonly: bool,
    /// Whether a truncation found no space and left items behind the new EOF.
    pub(crate) has_left_tails: bool,
    /// Where space is short in the operation under way, if it is.
    pub(crate) short: Option<Box<Short>>,
    /// The running transaction.
    pub(crate) transid: u64,
    /// The inode clock: moves with every stamp.
    pub(crate) clock: u64,
}

impl FsState {
    /// Returns a filesystem of one empty root, mounted with the options that are the default.
    pub fn new(behaviour: Behaviour) -> FsState {
        FsState::mounted(behaviour, MountOptions::default())
    }

    /// Returns a filesystem of one empty root, mounted with these options.
    pub fn mounted(behaviour: Behaviour, mount_options: MountOptions) -> FsState {
        let mut fs = FsState {
            behaviour,
            mount_options,
            roots: Vec::new(),
            families: Families::default(),
            nodes: Nodes::default(),
            inodes: Vec::new(),
            inode_ids: FxHashMap::default(),
            stub_ids: FxHashMap::default(),
            nameless: BTreeSet::new(),
            old_items: Vec::new(),
            extents: ExtentTable::of_nodes(mount_options.node_bytes),
            compressor: Compressor::default(),
            quota: None,
            dirty_inodes: BTreeSet::new(),
            orphans: Vec::new(),
            is_mounted_readonly: false,
            has_left_tails: false,
            short: None,
            transid: 8,
            clock: 1,
        };
        fs.add_root();
        fs
    }

    /// Returns what the era does to extents.
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// Returns whether the filesystem is mounted read-only.
    pub fn is_mounted_readonly(&self) -> bool {
        self.is_mounted_readonly
    }

    /// Remounts the filesystem read-only, when nobody has anything open for writing, or read-write.
    /// If it was writable, both write everything back and commit (`sync_filesystem`, fs/sync.c).
    pub fn remount(&mut self, is_readonly: bool) {
        if !self.is_mounted_readonly {
            self.sync();
        }
        self.is_mounted_readonly = is_readonly;
    }

    /// Returns the data extents.
    pub fn extents(&self) -> &ExtentTable {
        &self.extents
    }

    /// Returns how many nodes of trees were touched so far.
    pub fn work(&self) -> Work {
        self.nodes.work()
    }

    /// Returns what `fstat(2)` tells.
    pub fn stat(&self, id: InodeId) -> InodeStat {
        let inode = self.inode(id);
        InodeStat {
            kind: inode.kind,
            size: inode.size,
            blocks: self.blocks(id),
            mode: inode.mode,
            uid: inode.uid,
            mtime: inode.mtime,
            ctime: inode.ctime,
        }
    }

    /// Returns `st_blocks`: bytes of the items plus delalloc over holes, each rounded to blocks.
    fn blocks(&self, id: InodeId) -> u64 {
        let inode = self.inode(id);
        let mut new_bytes = 0;
        for range in inode.unwritten_ranges() {
            new_bytes += range.end - range.start;
            let mut at = range.start;
            while let Some((key, item)) = self.item_at_or_behind(id, at)
                && key < range.end
            {
                let end = crate::align_up(item.end(key));
                new_bytes -= end.min(range.end) - key.max(range.start);
                at = end;
            }
        }
        (crate::align_up(inode.nbytes) + new_bytes) / 512
    }

    /// Returns a new value of the inode clock.
    pub(crate) fn stamp(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Sets mtime and ctime of the inode to now.
    pub(crate) fn touch(&mut self, id: InodeId) {
        let (stamp, transid) = (self.stamp(), self.transid);
        let inode = self.inode_mut(id);
        inode.mtime = stamp;
        inode.ctime = stamp;
        inode.last_trans = transid;
    }

    /// Sets ctime of the inode to now.
    pub(crate) fn touch_ctime(&mut self, id: InodeId) {
        let (stamp, transid) = (self.stamp(), self.transid);
        let inode = self.inode_mut(id);
        inode.ctime = stamp;
        inode.last_trans = transid;
    }

    /// What `file_modified` does: mtime and ctime now, set-user-ID and set-group-ID dropped.
    /// The caller is privileged, so privileges stay: `CAP_FSETID` keeps the bits.
    pub fn file_modified(&mut self, id: InodeId) {
        self.touch(id);
    }

    /// Inserts a file extent item and counts its reference.
    pub(crate) fn insert_slice(&mut self, id: InodeId, key: u64, slice: ExtentSlice) {
        let inode = self.inode(id);
        let (root, ino) = (inode.root, inode.ino);
        let is_free = self.item_at(id, key).is_none();
        debug_assert!(is_free, "an item is inserted where nothing is");
        self.put_slice(id, key, slice);
        self.extents
            .add_ref(slice.extent, root, ino, slice.backref_offset(key));
    }

    /// Makes a slice of a whole fresh extent.
    pub(crate) fn whole_slice(&self, extent: ExtentId, kind: SliceKind) -> ExtentSlice {
        let len = self.extents.get(extent).ram_len();
        ExtentSlice {
            extent,
            kind,
            offset: 0,
            len,
            generation: self.transid,
        }
    }
}
