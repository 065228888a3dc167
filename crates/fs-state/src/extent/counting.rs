//! Counts of references, and what the extent tree does not know yet of them: a change waits as a
//! delayed reference until the commit, and who asks meanwhile sees both.

use std::num::NonZeroU32;

use ctree::Holder;
use smallvec::SmallVec;

use super::{CountedRef, ExtentId, ExtentTable, Referrer};
use crate::RootId;

/// So many references fit into any extent item, if none has an item of its own.
const NR_SURELY_INSIDE: usize = 4;

/// Bytes of an extent item without references.
const EXTENT_ITEM_LEN: usize = 24;

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
pub(super) struct Pending {
    /// The extent; `None` once it was freed.
    extent: Option<ExtentId>,
    /// Its references as the extent tree has them.
    committed: SmallVec<[CountedRef; 1]>,
    delayed: SmallVec<[DelayedRef; 1]>,
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

impl ExtentTable {
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
        let is_cross = |r: &CountedRef| r.referrer != referrer || r.is_keyed;
        let extent = self.get(id);
        let Some(pending_idx) = extent.pending_idx else {
            return extent.refs.iter().any(is_cross);
        };
        let pending = &self.pending[pending_idx.get() as usize];
        pending.committed.iter().any(is_cross)
            || pending.delayed.iter().any(|r| r.referrer != referrer)
    }

    /// Returns what [`ExtentTable::has_cross_ref`] would once the delayed changes have run.
    pub(crate) fn keeps_cross_ref(
        &self,
        id: ExtentId,
        root: RootId,
        ino: u64,
        offset: u64,
    ) -> bool {
        let referrer = Referrer::new(Holder::Tree(root.tree_id()), ino, offset);
        let mut refs = self.get(id).refs.iter();
        refs.any(|r| r.referrer != referrer)
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
                let has_keyed = pending.committed.iter().any(|r| r.is_keyed);
                if has_keyed || NR_SURELY_INSIDE < nr_refs_max {
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
