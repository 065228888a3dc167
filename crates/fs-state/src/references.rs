//! Resolving references: which (root, inode, file offset) refer to an extent.
//!
//! An extent counts its references in the name of a root or of a leaf ([`ctree::Holder`]). Which
//! other roots reach that leaf is not written anywhere; whoever asks looks into the roots that may
//! (`Families`), as `BTRFS_IOC_LOGICAL_INO_V2` and FIEMAP walk back references.

use ctree::{Counter, Holder};
use smallvec::SmallVec;

use crate::extent::{CountedRef, ExtentTable, Referrer};
use crate::tree_item::{Key, TreeItem};
use crate::{ExtentId, FsState, RootId};

/// A resolved reference to an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataRef {
    /// The root whose tree holds the items.
    pub root: RootId,
    /// The inode number in that root.
    pub ino: u64,
    /// File offset at which the extent would begin, see `ExtentSlice::backref_offset`.
    pub offset: u64,
    /// How many items refer to the extent in this way.
    pub count: u32,
}

/// Whether FIEMAP tells an extent as shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// More than one (root, inode, offset) refers to it.
    pub is_shared: bool,
    /// A kernel may say the opposite, for it counts back references, and one made in the name of a
    /// leaf stands for all items of that leaf. Only several items in one root that has shared
    /// leaves with a snapshot can be counted so. Or it looks at what lies before a compressed
    /// extent.
    pub is_open: bool,
}

/// Which roots may share nodes: a subvolume, its snapshots and theirs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Families {
    /// By root, its family.
    of_root: Vec<usize>,
    /// By family, whether it ever had more than one root.
    had_relatives: Vec<bool>,
    /// By family, the roots of it that are live.
    members: Vec<SmallVec<[RootId; 4]>>,
}

impl Families {
    /// Begins a family with the newest root.
    pub(crate) fn found(&mut self, root: RootId) {
        debug_assert_eq!(self.of_root.len(), root.0 as usize);
        self.of_root.push(self.members.len());
        self.had_relatives.push(false);
        self.members.push(SmallVec::from_slice(&[root]));
    }

    /// Adds the newest root to the family of another one.
    pub(crate) fn join(&mut self, root: RootId, relative: RootId) {
        debug_assert_eq!(self.of_root.len(), root.0 as usize);
        let family = self.of_root[relative.0 as usize];
        self.of_root.push(family);
        self.members[family].push(root);
        self.had_relatives[family] = true;
    }

    pub(crate) fn leave(&mut self, root: RootId) {
        self.members[self.of_root[root.0 as usize]].retain(|member| *member != root);
    }

    /// Returns the live roots of the family of a root that may be gone.
    fn of(&self, root: RootId) -> &[RootId] {
        &self.members[self.of_root[root.0 as usize]]
    }
}

impl Counter<Key, TreeItem> for ExtentTable {
    fn count(&mut self, holder: Holder, key: Key, item: &TreeItem) {
        if let TreeItem::Slice(packed) = item {
            let slice = packed.unpacked();
            let offset = slice.backref_offset(key.file_offset());
            self.count_ref(slice.extent, Referrer::new(holder, key.ino(), offset));
        }
    }

    fn uncount(&mut self, holder: Holder, key: Key, item: &TreeItem) {
        if let TreeItem::Slice(packed) = item {
            let slice = packed.unpacked();
            let offset = slice.backref_offset(key.file_offset());
            self.uncount_ref(slice.extent, Referrer::new(holder, key.ino(), offset));
        }
    }
}

impl FsState {
    /// Returns every (root, inode, offset) that refers to an extent, and how often, as
    /// `BTRFS_IOC_LOGICAL_INO_V2` resolves them; in no order.
    pub fn references(&self, id: ExtentId) -> Vec<DataRef> {
        let mut resolved: Vec<DataRef> = Vec::new();
        for counted in self.extents.get(id).refs() {
            self.resolve(id, counted, |data_ref| {
                let is_it = |r: &DataRef| {
                    (r.root, r.ino, r.offset) == (data_ref.root, data_ref.ino, data_ref.offset)
                };
                if !resolved.iter().any(is_it) {
                    resolved.push(data_ref);
                }
                true
            });
        }
        resolved
    }

    /// Returns what FIEMAP tells of the extent (`btrfs_is_data_extent_shared`,
    /// fs/btrfs/backref.c).
    pub fn sharing(&self, id: ExtentId) -> Sharing {
        let mut refs = self.extents.get(id).refs().iter();
        let root_of = |counted: &CountedRef| match counted.referrer.holder() {
            Holder::Tree(tree) => RootId(tree.0),
            Holder::Leaf(leaf) => RootId(self.nodes.owner(leaf).0),
        };
        let had_relatives = refs.next().is_some_and(|first| {
            let family = self.families.of_root[root_of(first).0 as usize];
            self.families.had_relatives[family]
        });
        if !had_relatives {
            let is_shared = self.is_extent_shared(id);
            return Sharing {
                is_shared,
                is_open: false,
            };
        }
        let resolved = self.references(id);
        let nr_items: u64 = resolved.iter().map(|r| u64::from(r.count)).sum();
        Sharing {
            is_shared: resolved.len() > 1,
            is_open: nr_items > 1 && resolved.iter().all(|r| r.root == resolved[0].root),
        }
    }

    /// Returns whether more than one (root, inode, offset) refers to the extent.
    pub fn is_extent_shared(&self, id: ExtentId) -> bool {
        let mut first: Option<(RootId, u64, u64)> = None;
        let mut is_shared = false;
        for counted in self.extents.get(id).refs() {
            self.resolve(id, counted, |r| {
                let place = (r.root, r.ino, r.offset);
                is_shared |= *first.get_or_insert(place) != place;
                !is_shared
            });
            if is_shared {
                break;
            }
        }
        is_shared
    }

    /// Calls `found` for everything that a counted reference may stand for, until it says `false`.
    fn resolve(&self, id: ExtentId, counted: &CountedRef, mut found: impl FnMut(DataRef) -> bool) {
        let &CountedRef {
            referrer, count, ..
        } = counted;
        let (holder, ino, offset) = (referrer.holder(), referrer.ino(), referrer.offset());
        let owner = match holder {
            Holder::Tree(tree) => RootId(tree.0),
            Holder::Leaf(leaf) => RootId(self.nodes.owner(leaf).0),
        };
        let members = self.families.of(owner);
        // The same reference may be counted in the name of a leaf, too: its owner has gone.
        let of_tree = |counted: &CountedRef| matches!(counted.referrer.holder(), Holder::Tree(_));
        let is_of_trees = self.extents.get(id).refs().iter().all(of_tree);
        for &root in members {
            let is_owner = holder == Holder::Tree(root.tree_id());
            let is_alone = members.len() == 1 && is_owner && is_of_trees;
            let count = match is_alone {
                true => count,
                false => self.nr_items_of(id, root, ino, offset),
            };
            let data_ref = DataRef {
                root,
                ino,
                offset,
                count,
            };
            if count > 0 && !found(data_ref) {
                return;
            }
        }
    }

    /// Returns how many items of inode `ino` of a root refer to the extent as if it began at
    /// `offset`, which may be below zero.
    fn nr_items_of(&self, id: ExtentId, root: RootId, ino: u64, offset: u64) -> u32 {
        let end = offset.wrapping_add(self.extents.get(id).ram_len());
        let first = if end < offset { 0 } else { offset };
        let mut nr_items = 0;
        for (key, item) in self.items_from(root, ino, first) {
            if key >= end {
                break;
            }
            let is_it = item
                .slice()
                .is_some_and(|slice| slice.extent == id && slice.backref_offset(key) == offset);
            nr_items += u32::from(is_it);
        }
        nr_items
    }
}
