//! The filesystem: roots, inodes, extents, the running transaction and the inode clock.

use std::collections::BTreeSet;

use crate::extent::ExtentTable;
use crate::{
    Behaviour, DataRef, ExtentId, ExtentSlice, Inode, InodeId, InodeStat, Kind, SliceKind,
};

/// The number of a subvolume root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootId(pub u32);

/// A subvolume root.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// Its top directory.
    pub(crate) top: InodeId,
    /// Whether it is a read-only snapshot.
    pub(crate) is_readonly: bool,
    /// The transaction of the last snapshot made of it: items not newer count as shared.
    pub(crate) last_snapshot: u64,
    /// The next inode number.
    pub(crate) next_ino: u64,
}

/// A btrfs filesystem.
#[derive(Clone, Debug)]
pub struct FsState {
    pub(crate) behaviour: Behaviour,
    pub(crate) roots: Vec<Root>,
    pub(crate) inodes: Vec<Option<Box<Inode>>>,
    pub(crate) extents: ExtentTable,
    pub(crate) dirty_inodes: BTreeSet<InodeId>,
    /// Unlinked inodes that an ordered extent holds.
    pub(crate) orphans: Vec<InodeId>,
    /// The running transaction.
    pub(crate) transid: u64,
    /// The inode clock: moves with every stamp.
    pub(crate) clock: u64,
}

/// The first inode number that a root gives to a file.
pub(crate) const FIRST_FREE_INO: u64 = 257;

/// The inode number of a root's top directory.
pub(crate) const TOP_INO: u64 = 256;

impl FsState {
    /// Returns a filesystem of one empty root.
    pub fn new(behaviour: Behaviour) -> FsState {
        let mut fs = FsState {
            behaviour,
            roots: Vec::new(),
            inodes: Vec::new(),
            extents: ExtentTable::default(),
            dirty_inodes: BTreeSet::new(),
            orphans: Vec::new(),
            transid: 8,
            clock: 1,
        };
        fs.add_root(false);
        fs
    }

    /// Returns what the era does to extents.
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// Returns the inode.
    ///
    /// # Panics
    /// If `id` does not name a live inode.
    #[inline]
    pub fn inode(&self, id: InodeId) -> &Inode {
        self.inodes[id.0 as usize]
            .as_deref()
            .expect("an InodeId names a live inode")
    }

    /// Returns whether `id` names a live inode.
    pub fn is_live(&self, id: InodeId) -> bool {
        self.inodes.get(id.0 as usize).is_some_and(Option::is_some)
    }

    /// Returns all live inodes.
    pub fn inodes(&self) -> impl Iterator<Item = (InodeId, &Inode)> {
        let live = |(idx, slot): (usize, &'_ Option<Box<Inode>>)| {
            slot.is_some()
                .then(|| InodeId(u32::try_from(idx).expect("ids are u32")))
        };
        self.inodes
            .iter()
            .enumerate()
            .filter_map(live)
            .map(|id| (id, self.inode(id)))
    }

    /// Returns the data extents.
    pub fn extents(&self) -> &ExtentTable {
        &self.extents
    }

    /// Returns every (root, inode, offset) that refers to an extent, and how often, as
    /// `BTRFS_IOC_LOGICAL_INO_V2` resolves them; in no order.
    pub fn references(&self, id: ExtentId) -> Vec<DataRef> {
        let refs = self.extents.get(id).refs.iter();
        refs.filter(|r| r.count > 0).copied().collect()
    }

    /// Returns whether more than one (root, inode, offset) refers to the extent.
    pub fn is_extent_shared(&self, id: ExtentId) -> bool {
        self.extents.get(id).is_shared()
    }

    /// Returns whether the inode lives in a read-only root.
    #[inline]
    pub fn is_root_readonly(&self, id: InodeId) -> bool {
        self.roots[self.inode(id).root.0 as usize].is_readonly
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

    pub(crate) fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        self.inodes[id.0 as usize]
            .as_deref_mut()
            .expect("an InodeId names a live inode")
    }

    pub(crate) fn add_inode(&mut self, inode: Inode) -> InodeId {
        let id = InodeId(u32::try_from(self.inodes.len()).expect("fewer than 2^32 inodes"));
        self.inodes.push(Some(Box::new(inode)));
        id
    }

    pub(crate) fn add_root(&mut self, is_readonly: bool) -> RootId {
        let root = RootId(u32::try_from(self.roots.len()).expect("fewer than 2^32 roots"));
        let stamp = self.stamp();
        let top = self.add_inode(Inode::new(root, TOP_INO, Kind::Directory, 0o755, stamp));
        let last_snapshot = 0;
        self.roots.push(Root {
            top,
            is_readonly,
            last_snapshot,
            next_ino: FIRST_FREE_INO,
        });
        root
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
        let len = self.extents.get(extent).len();
        ExtentSlice {
            extent,
            kind,
            offset: 0,
            len,
            generation: self.transid,
        }
    }
}
