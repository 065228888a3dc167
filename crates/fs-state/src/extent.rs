//! Data extents: storage, back references with counts, checksum coverage.

mod ram_bytes;

use std::num::NonZeroU32;

use ctree::{Holder, NodeId, TreeId};
use data::Content;
use smallvec::SmallVec;

use crate::RootId;
use crate::compress::Compressed;

/// Index of a data extent in its table. Reused after the extent is freed; its `bytenr` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtentId(pub(crate) u32);

/// What refers to an extent: an inode, in the name of a root or of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Referrer {
    holder: PackedHolder,
    ino: u32,
    /// File offset at which the extent would begin, see `ExtentSlice::backref_offset`.
    offset: u64,
}

/// A [`Holder`] in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PackedHolder(u32);

/// A reference that an extent counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedRef {
    pub(crate) referrer: Referrer,
    /// How many items.
    pub(crate) count: u32,
    /// Whether the extent tree has it as an item of its own, not inside the extent's.
    is_keyed: bool,
}

/// A change of a back reference that waits for the commit to reach the extent tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DelayedRef {
    referrer: Referrer,
    /// The value of [`ExtentTable::tree_mod_seq`] when it was queued. Changes of one reference
    /// cancel out only within one value.
    seq: u32,
    /// References added, or dropped if negative. Never 0.
    nr_added: i32,
}

/// What the extent tree does not know yet of an extent.
#[derive(Clone, Debug)]
struct Pending {
    /// The extent; `None` once it was freed.
    extent: Option<ExtentId>,
    /// Its references as the extent tree has them.
    committed: SmallVec<[CountedRef; 1]>,
    delayed: SmallVec<[DelayedRef; 1]>,
}

/// A data extent.
#[derive(Clone, Debug)]
pub struct Extent {
    bytenr: u64,
    content: Content,
    generation: u64,
    /// Ranges of the extent that have checksum items, in bytes, sorted, not touching.
    csums: SmallVec<[(u64, u64); 1]>,
    refs: SmallVec<[CountedRef; 1]>,
    /// Index in [`ExtentTable::pending`], if the running transaction changed the references.
    pending_idx: Option<NonZeroU32>,
    /// [`Extent::item_ram_bytes`] in blocks, if that is less than its length.
    ram_blocks: Option<NonZeroU32>,
    /// What it is on disk, if it is compressed there.
    compressed: Option<Box<Compressed>>,
}

impl PackedHolder {
    const LEAF: u32 = 1 << 31;

    #[inline]
    fn new(holder: Holder) -> PackedHolder {
        let (number, mark) = match holder {
            Holder::Tree(tree) => (tree.0, 0),
            Holder::Leaf(leaf) => (leaf.number(), PackedHolder::LEAF),
        };
        debug_assert!(number < PackedHolder::LEAF);
        PackedHolder(number | mark)
    }

    fn unpacked(self) -> Holder {
        match self.0 & PackedHolder::LEAF {
            0 => Holder::Tree(TreeId(self.0)),
            _ => Holder::Leaf(NodeId::from_number(self.0 & !PackedHolder::LEAF)),
        }
    }
}

impl Referrer {
    #[inline]
    pub(crate) fn new(holder: Holder, ino: u64, offset: u64) -> Referrer {
        Referrer {
            holder: PackedHolder::new(holder),
            ino: u32::try_from(ino).expect("fewer than 2^32 inodes in a root"),
            offset,
        }
    }

    /// Returns whether both are the same reference in the extent tree: what a leaf refers to is
    /// told by its address alone (`BTRFS_SHARED_DATA_REF_KEY`).
    pub(crate) fn is_one_with(self, other: Referrer) -> bool {
        self == other || (self.holder == other.holder && self.holder.0 & PackedHolder::LEAF != 0)
    }

    pub(crate) fn holder(self) -> Holder {
        self.holder.unpacked()
    }

    pub(crate) fn ino(self) -> u64 {
        u64::from(self.ino)
    }

    pub(crate) fn offset(self) -> u64 {
        self.offset
    }
}

impl Pending {
    /// Queues a change; one of the same reference and sequence number is merged with it.
    fn delay(&mut self, referrer: Referrer, seq: u32, nr_added: i32) {
        let same = |r: &DelayedRef| r.seq == seq && r.referrer == referrer;
        match self.delayed.iter().position(same) {
            Some(at) if self.delayed[at].nr_added + nr_added == 0 => {
                self.delayed.remove(at);
            }
            Some(at) => self.delayed[at].nr_added += nr_added,
            None => self.delayed.push(DelayedRef {
                referrer,
                seq,
                nr_added,
            }),
        }
    }
}

/// So many references fit into any extent item.
const NR_SURELY_INSIDE: usize = 4;

/// Bytes of an extent item without references.
const EXTENT_ITEM_LEN: usize = 24;

impl CountedRef {
    pub(crate) fn new(referrer: Referrer, count: u32) -> CountedRef {
        CountedRef {
            referrer,
            count,
            is_keyed: false,
        }
    }

    /// Returns the bytes that it takes inside an extent item.
    fn len(self) -> usize {
        match self.referrer.holder() {
            Holder::Tree(_) => 29,
            Holder::Leaf(_) => 13,
        }
    }
}

impl Pending {
    /// Marks those of `refs` that get items of their own when the delayed references run: what is
    /// added first, in order, as long as the extent item has room, and never inside once there is
    /// an item of its own (`lookup_inline_extent_backref`, fs/btrfs/extent-tree.c).
    fn mark_keyed(&self, refs: &mut [CountedRef], extent_item_len_max: usize) {
        let mut run = self.committed.clone();
        for delayed in self.delayed.iter().filter(|delayed| 0 < delayed.nr_added) {
            if run.iter().any(|r| r.referrer.is_one_with(delayed.referrer)) {
                continue;
            }
            let mut added = CountedRef::new(delayed.referrer, 1);
            let len = EXTENT_ITEM_LEN + run.iter().map(|r| r.len()).sum::<usize>();
            added.is_keyed =
                run.iter().any(|r| r.is_keyed) || extent_item_len_max <= len + added.len();
            run.push(added);
        }
        for counted in refs {
            let is_it = |r: &&CountedRef| r.referrer.is_one_with(counted.referrer);
            counted.is_keyed = run.iter().find(is_it).is_some_and(|r| r.is_keyed);
        }
    }
}

impl Extent {
    /// Returns the virtual address of the first byte. It is never given to another extent.
    pub fn bytenr(&self) -> u64 {
        self.bytenr
    }

    /// Returns the bytes on disk, a block multiple.
    #[expect(clippy::len_without_is_empty, reason = "an extent is never empty")]
    pub fn len(&self) -> u64 {
        let compressed = self.compressed.as_deref();
        compressed.map_or(self.ram_len(), |compressed| compressed.disk_len)
    }

    /// Returns the bytes that are read from it, a block multiple (`ram_bytes`).
    pub fn ram_len(&self) -> u64 {
        self.content.len()
    }

    /// Returns whether the bytes are compressed on disk.
    pub fn is_compressed(&self) -> bool {
        self.compressed.is_some()
    }

    /// Returns what is on disk, if that is compressed.
    pub fn compressed(&self) -> Option<&Compressed> {
        self.compressed.as_deref()
    }

    /// Returns what is stored; zeros where a preallocated extent was not written yet.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Returns the transaction that allocated it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the ranges of the extent that have checksums, as (start, end) in bytes as they are
    /// read, sorted, not touching. What is compressed has them on all that is on disk.
    pub fn csum_ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.csums.iter().copied()
    }

    /// Returns the references as they are counted.
    pub(crate) fn refs(&self) -> &[CountedRef] {
        &self.refs
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
#[derive(Clone, Debug)]
pub struct ExtentTable {
    /// No extent item gets as long as this, bytes.
    extent_item_len_max: usize,
    extents: Vec<Option<Extent>>,
    free: Vec<u32>,
    /// What waits for the commit; the first one is never used, so that indexes are not 0.
    pending: Vec<Pending>,
    next_bytenr: u64,
    /// Moves when somebody begins to walk back references, as FIEMAP does for its SHARED flag:
    /// delayed references queued before and after are kept apart (`btrfs_get_tree_mod_seq`).
    tree_mod_seq: u32,
}

/// Virtual addresses start here, where a fresh filesystem's first data chunk usually does.
const FIRST_BYTENR: u64 = 13_631_488;

impl ExtentTable {
    /// Returns an empty table on a filesystem with nodes of this size.
    pub(crate) fn of_nodes(node_bytes: u32) -> ExtentTable {
        ExtentTable {
            // BTRFS_MAX_EXTENT_ITEM_SIZE: headers of nodes have 101 bytes, those of items 25.
            extent_item_len_max: (node_bytes as usize - 101) / 16 - 25,
            extents: Vec::new(),
            free: Vec::new(),
            pending: Vec::new(),
            next_bytenr: 0,
            tree_mod_seq: 0,
        }
    }

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

    /// Returns the extent, if `id` names a live one.
    pub(crate) fn get_live(&self, id: ExtentId) -> Option<&Extent> {
        self.extents.get(id.0 as usize)?.as_ref()
    }

    /// Returns how many extents there were at most.
    pub(crate) fn nr_slots(&self) -> usize {
        self.extents.len()
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
            pending_idx: None,
            ram_blocks: None,
            compressed: None,
        };
        // Extents never touch: an address that goes on is within one extent.
        self.next_bytenr += len + crate::BLOCK;
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

    /// Allocates an extent that holds `content` compressed.
    pub(crate) fn allocate_compressed(
        &mut self,
        content: Content,
        generation: u64,
        compressed: Compressed,
    ) -> ExtentId {
        let id = self.allocate(content, generation);
        self.get_mut(id).compressed = Some(Box::new(compressed));
        id
    }

    /// Returns what is on disk of a compressed extent, to be put right.
    pub(crate) fn compressed_mut(&mut self, id: ExtentId) -> Option<&mut Compressed> {
        let extent = self.extents.get_mut(id.0 as usize)?.as_mut()?;
        extent.compressed.as_deref_mut()
    }

    /// Adds one reference of a root.
    pub(crate) fn add_ref(&mut self, id: ExtentId, root: RootId, ino: u64, offset: u64) {
        self.count_ref(id, Referrer::new(Holder::Tree(root.tree_id()), ino, offset));
    }

    /// Drops one reference of a root; frees the extent with its last one.
    pub(crate) fn drop_ref(&mut self, id: ExtentId, root: RootId, ino: u64, offset: u64) {
        self.uncount_ref(id, Referrer::new(Holder::Tree(root.tree_id()), ino, offset));
    }

    /// Adds one reference.
    pub(crate) fn count_ref(&mut self, id: ExtentId, referrer: Referrer) {
        let seq = self.tree_mod_seq;
        self.pending_mut(id).delay(referrer, seq, 1);
        let extent = self.get_mut(id);
        match extent.refs.iter_mut().find(|r| r.referrer == referrer) {
            Some(counted) => counted.count += 1,
            None => extent.refs.push(CountedRef::new(referrer, 1)),
        }
    }

    /// Drops one reference; frees the extent with its last one.
    pub(crate) fn uncount_ref(&mut self, id: ExtentId, referrer: Referrer) {
        let extent = self.get_mut(id);
        let at = extent.refs.iter().position(|r| r.referrer == referrer);
        let at = at.expect("a dropped item had a back reference");
        let is_gone = extent.refs[at].count == 1;
        if is_gone && extent.refs.len() == 1 {
            if let Some(idx) = extent.pending_idx {
                self.pending[idx.get() as usize].extent = None;
            }
            self.extents[id.0 as usize] = None;
            self.free.push(id.0);
            return;
        }
        let seq = self.tree_mod_seq;
        self.pending_mut(id).delay(referrer, seq, -1);
        let extent = self.get_mut(id);
        extent.refs[at].count -= 1;
        if is_gone {
            extent.refs.swap_remove(at);
        }
    }

    /// Returns whether anything but (root, inode, offset) refers to the extent, as
    /// `btrfs_cross_ref_exist` sees it: what the extent tree says and every delayed change counts,
    /// a dropped reference too. A reference with an item of its own is taken for another one.
    pub(crate) fn has_cross_ref(&self, id: ExtentId, root: RootId, ino: u64, offset: u64) -> bool {
        let referrer = Referrer::new(Holder::Tree(root.tree_id()), ino, offset);
        let extent = self.get(id);
        let Some(pending_idx) = extent.pending_idx else {
            let is_cross = |r: &CountedRef| r.referrer != referrer || r.is_keyed;
            return extent.refs.iter().any(is_cross);
        };
        let pending = &self.pending[pending_idx.get() as usize];
        let is_cross = |r: &CountedRef| r.referrer != referrer || r.is_keyed;
        pending.committed.iter().any(is_cross)
            || pending.delayed.iter().any(|r| r.referrer != referrer)
    }

    /// Returns whether a change waits of a reference that a root has for another inode number,
    /// added or dropped.
    pub(crate) fn has_delayed_ref_of_other(&self, id: ExtentId, ino: u64) -> bool {
        let is_other = |r: &DelayedRef| {
            r.referrer.ino() != ino && matches!(r.referrer.holder(), Holder::Tree(_))
        };
        let pending_idx = self.get(id).pending_idx;
        let pending = pending_idx.map(|idx| &self.pending[idx.get() as usize]);
        pending.is_some_and(|pending| pending.delayed.iter().any(is_other))
    }

    /// Begins a walk of back references.
    pub(crate) fn begin_walk(&mut self) {
        self.tree_mod_seq += 1;
    }

    /// Frees an extent to which nothing refers yet.
    pub(crate) fn discard(&mut self, id: ExtentId) {
        debug_assert!(self.get(id).refs.is_empty());
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

    /// Returns the live extents whose references changed since the last commit.
    pub(crate) fn changed(&self) -> impl Iterator<Item = ExtentId> {
        self.pending.iter().filter_map(|pending| pending.extent)
    }

    /// Runs the delayed references: what is counted becomes what is committed.
    pub(crate) fn commit(&mut self) {
        let extent_item_len_max = self.extent_item_len_max;
        for pending in std::mem::take(&mut self.pending) {
            if let Some(id) = pending.extent {
                let extent = self.get_mut(id);
                extent.pending_idx = None;
                let nr_refs_max = pending.committed.len() + pending.delayed.len();
                if NR_SURELY_INSIDE < nr_refs_max {
                    pending.mark_keyed(&mut extent.refs, extent_item_len_max);
                }
            }
        }
    }

    /// Returns what the extent tree does not know yet of the extent; from the first change on.
    fn pending_mut(&mut self, id: ExtentId) -> &mut Pending {
        let next_idx = self.pending.len().max(1);
        let extent = self.extents[id.0 as usize]
            .as_mut()
            .expect("an item refers to a live extent");
        let idx = match extent.pending_idx {
            Some(idx) => idx.get() as usize,
            None => {
                let idx = u32::try_from(next_idx).expect("fewer than 2^32 changes");
                extent.pending_idx = NonZeroU32::new(idx);
                let empty = Pending {
                    extent: None,
                    committed: SmallVec::new(),
                    delayed: SmallVec::new(),
                };
                self.pending.resize(next_idx, empty.clone());
                self.pending.push(Pending {
                    extent: Some(id),
                    committed: extent.refs.clone(),
                    ..empty
                });
                next_idx
            }
        };
        &mut self.pending[idx]
    }
}
