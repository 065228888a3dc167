//! Data extents: storage, back references with counts, checksum coverage.

use data::Content;
use smallvec::SmallVec;

use crate::RootId;

/// Index of a data extent in its table. Reused after the extent is freed; its `bytenr` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtentId(pub(crate) u32);

/// A data back reference of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRef {
    /// The root whose tree holds the items.
    pub root: RootId,
    /// The inode number in that root.
    pub ino: u64,
    /// File offset at which the extent would begin, see `ExtentSlice::backref_offset`.
    pub offset: u64,
    /// How many items refer to the extent in this way.
    pub count: u32,
    /// The count that the extent tree had after the last commit: what is in between is delayed.
    pub(crate) committed: u32,
}

/// A change of a back reference that waits for the commit to reach the extent tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DelayedRef {
    root: RootId,
    ino: u64,
    offset: u64,
    /// The value of [`ExtentTable::tree_mod_seq`] when it was queued. Changes of one reference
    /// cancel out only within one value.
    seq: u64,
    /// References added, or dropped if negative. Never 0.
    nr_added: i32,
}

/// A data extent.
#[derive(Clone, Debug)]
pub struct Extent {
    bytenr: u64,
    content: Content,
    generation: u64,
    /// Ranges of the extent that have checksum items, in bytes, sorted, not touching.
    csums: SmallVec<[(u64, u64); 1]>,
    /// Every (root, inode, offset) that refers to it, the pending ones of count 0 included.
    pub(crate) refs: SmallVec<[DataRef; 1]>,
    /// What the extent tree does not know yet. Empty outside a transaction.
    delayed: SmallVec<[DelayedRef; 1]>,
    is_pending: bool,
}

impl Extent {
    /// Returns the virtual address of the first byte. It is never given to another extent.
    pub fn bytenr(&self) -> u64 {
        self.bytenr
    }

    /// Returns the bytes on disk, a block multiple.
    #[expect(clippy::len_without_is_empty, reason = "an extent is never empty")]
    pub fn len(&self) -> u64 {
        self.content.len()
    }

    /// Returns what is stored; zeros where a preallocated extent was not written yet.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Returns the transaction that allocated it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the ranges of the extent that have checksums, as (start, end) in bytes, sorted, not
    /// touching.
    pub fn csum_ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.csums.iter().copied()
    }

    /// Returns whether more than one (root, inode, offset) refers to the extent.
    pub(crate) fn is_shared(&self) -> bool {
        self.refs.iter().filter(|r| r.count > 0).nth(1).is_some()
    }

    /// Returns how many items refer to the extent.
    pub(crate) fn ref_count(&self) -> u64 {
        self.refs.iter().map(|r| u64::from(r.count)).sum()
    }

    /// Returns whether anything but (root, inode, offset) refers to the extent, as
    /// `btrfs_cross_ref_exist` sees it: what the extent tree says and every delayed change counts,
    /// a dropped reference too.
    pub(crate) fn has_cross_ref(&self, root: RootId, ino: u64, offset: u64) -> bool {
        let is_committed = |r: &DataRef| {
            r.committed > 0 && !(r.root == root && r.ino == ino && r.offset == offset)
        };
        let is_delayed = |r: &DelayedRef| !(r.root == root && r.ino == ino && r.offset == offset);
        self.refs.iter().any(is_committed) || self.delayed.iter().any(is_delayed)
    }

    /// Queues a change; one of the same reference and sequence number is merged with it.
    fn delay(&mut self, root: RootId, ino: u64, offset: u64, seq: u64, nr_added: i32) {
        let same =
            |r: &DelayedRef| r.seq == seq && r.root == root && r.ino == ino && r.offset == offset;
        match self.delayed.iter().position(same) {
            Some(at) if self.delayed[at].nr_added + nr_added == 0 => {
                self.delayed.swap_remove(at);
            }
            Some(at) => self.delayed[at].nr_added += nr_added,
            None => self.delayed.push(DelayedRef {
                root,
                ino,
                offset,
                seq,
                nr_added,
            }),
        }
    }

    /// Returns whether all of `start..end` (bytes of the extent) has checksums.
    pub fn has_csums(&self, start: u64, end: u64) -> bool {
        self.csums
            .iter()
            .any(|&(from, to)| from <= start && end <= to)
    }

    /// Returns whether any of `start..end` (bytes of the extent) has checksums.
    pub fn has_any_csum(&self, start: u64, end: u64) -> bool {
        self.csums
            .iter()
            .any(|&(from, to)| from < end && start < to)
    }

    fn add_csums(&mut self, start: u64, end: u64) {
        let mut merged = (start, end);
        self.csums.retain(|&mut (from, to)| {
            let touches = from <= merged.1 && merged.0 <= to;
            if touches {
                merged = (merged.0.min(from), merged.1.max(to));
            }
            !touches
        });
        let at = self.csums.partition_point(|&(from, _)| from < merged.0);
        self.csums.insert(at, merged);
    }
}

/// All data extents of a filesystem.
#[derive(Clone, Debug, Default)]
pub struct ExtentTable {
    extents: Vec<Option<Extent>>,
    free: Vec<u32>,
    pending: Vec<ExtentId>,
    next_bytenr: u64,
    /// Moves when somebody begins to walk back references, as FIEMAP does for its SHARED flag:
    /// delayed references queued before and after are kept apart (`btrfs_get_tree_mod_seq`).
    tree_mod_seq: u64,
}

/// Virtual addresses start here, where a fresh filesystem's first data chunk usually does.
const FIRST_BYTENR: u64 = 13_631_488;

impl ExtentTable {
    /// Returns the extent.
    ///
    /// # Panics
    /// If `id` does not name a live extent: items never outlive what they refer to.
    #[inline]
    pub fn get(&self, id: ExtentId) -> &Extent {
        self.extents[id.0 as usize]
            .as_ref()
            .expect("an item refers to a live extent")
    }

    #[inline]
    fn get_mut(&mut self, id: ExtentId) -> &mut Extent {
        self.extents[id.0 as usize]
            .as_mut()
            .expect("an item refers to a live extent")
    }

    /// Returns all live extents.
    pub fn iter(&self) -> impl Iterator<Item = (ExtentId, &Extent)> {
        let live = |(idx, slot): (usize, &'_ Option<Extent>)| {
            slot.as_ref()
                .map(|_| ExtentId(u32::try_from(idx).expect("ids are u32")))
        };
        self.extents
            .iter()
            .enumerate()
            .filter_map(live)
            .map(|id| (id, self.get(id)))
    }

    /// Allocates an extent of `len` bytes holding `content`, without references yet.
    pub(crate) fn allocate(&mut self, content: Content, generation: u64) -> ExtentId {
        let len = content.len();
        debug_assert!(len > 0 && crate::is_aligned(len));
        self.next_bytenr = self.next_bytenr.max(FIRST_BYTENR);
        let extent = Extent {
            bytenr: self.next_bytenr,
            content,
            generation,
            csums: SmallVec::new(),
            refs: SmallVec::new(),
            delayed: SmallVec::new(),
            is_pending: false,
        };
        self.next_bytenr += len;
        match self.free.pop() {
            Some(idx) => {
                self.extents[idx as usize] = Some(extent);
                ExtentId(idx)
            }
            None => {
                self.extents.push(Some(extent));
                ExtentId(u32::try_from(self.extents.len() - 1).expect("fewer than 2^32 extents"))
            }
        }
    }

    /// Adds one reference.
    pub(crate) fn add_ref(&mut self, id: ExtentId, root: RootId, ino: u64, offset: u64) {
        let seq = self.tree_mod_seq;
        self.mark_pending(id);
        let extent = self.get_mut(id);
        extent.delay(root, ino, offset, seq, 1);
        let found = extent
            .refs
            .iter_mut()
            .find(|r| r.root == root && r.ino == ino && r.offset == offset);
        match found {
            Some(data_ref) => data_ref.count += 1,
            None => extent.refs.push(DataRef {
                root,
                ino,
                offset,
                count: 1,
                committed: 0,
            }),
        }
    }

    /// Drops one reference; frees the extent with its last one.
    pub(crate) fn drop_ref(&mut self, id: ExtentId, root: RootId, ino: u64, offset: u64) {
        let seq = self.tree_mod_seq;
        self.mark_pending(id);
        let extent = self.get_mut(id);
        extent.delay(root, ino, offset, seq, -1);
        let is_it = |r: &DataRef| r.root == root && r.ino == ino && r.offset == offset;
        let at = extent.refs.iter().position(|r| is_it(r) && r.count > 0);
        let at = at.expect("a dropped item had a back reference");
        extent.refs[at].count -= 1;
        if extent.refs[at].count == 0 && extent.refs[at].committed == 0 {
            extent.refs.swap_remove(at);
        }
        if extent.refs.iter().all(|r| r.count == 0) {
            self.extents[id.0 as usize] = None;
            self.free.push(id.0);
        }
    }

    /// Begins a walk of back references.
    pub(crate) fn begin_walk(&mut self) {
        self.tree_mod_seq += 1;
    }

    /// Frees an extent to which nothing refers yet.
    pub(crate) fn discard(&mut self, id: ExtentId) {
        debug_assert_eq!(self.get(id).ref_count(), 0);
        self.extents[id.0 as usize] = None;
        self.free.push(id.0);
    }

    /// Overwrites `content` at `offset` in place, as a NOCOW write does.
    pub(crate) fn overwrite(&mut self, id: ExtentId, offset: u64, content: Content) {
        self.get_mut(id).content.overwrite(offset, content);
    }

    /// Adds checksum items for `start..end` bytes of the extent.
    pub(crate) fn add_csums(&mut self, id: ExtentId, start: u64, end: u64) {
        self.get_mut(id).add_csums(start, end);
    }

    /// Runs the delayed references: what is counted becomes what is committed.
    pub(crate) fn commit(&mut self) {
        for id in std::mem::take(&mut self.pending) {
            if let Some(extent) = self.extents[id.0 as usize].as_mut() {
                extent.delayed.clear();
                extent.is_pending = false;
                extent.refs.retain(|r| {
                    r.committed = r.count;
                    r.count > 0
                });
            }
        }
    }

    /// Notes that the extent has delayed references, unless it is noted already.
    fn mark_pending(&mut self, id: ExtentId) {
        let extent = self.get_mut(id);
        if !std::mem::replace(&mut extent.is_pending, true) {
            self.pending.push(id);
        }
    }
}
