//! Quota groups: how many bytes of data extents each root refers to, and how many of them it alone
//! (fs/btrfs/qgroup.c).
//!
//! They are accounted as in the kernel, by what changed: a commit looks which roots refer to the
//! extents whose references changed, and which did before; a new snapshot inherits. `fsck` counts
//! anew from all references and holds both against each other. The kernel counts tree blocks, too;
//! here there are none.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use crate::fsck::Violation;
use crate::{Extent, ExtentId, FsState, RootId};

/// What the quota group of a root counts (`struct btrfs_qgroup`): bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// `rfer`: the extents that the root refers to, each once.
    pub referenced: u64,
    /// `excl`: those that no other root refers to.
    pub exclusive: u64,
}

/// Roots that refer to an extent; the one that did so first comes first.
type Referrers = SmallVec<[RootId; 2]>;

/// An extent as it was accounted last.
#[derive(Clone, Debug)]
struct Accounted {
    id: ExtentId,
    len: u64,
    roots: Referrers,
}

/// The quota groups of a filesystem.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quota {
    usages: BTreeMap<RootId, Usage>,
    /// By virtual address, which is never given to another extent.
    accounted: BTreeMap<u64, Accounted>,
    /// Addresses of extents whose referrers changed though no count of theirs did.
    traced: BTreeSet<u64>,
}

impl FsState {
    /// Begins to count quota groups, as `btrfs_quota_enable` does. All roots are new and empty.
    pub fn count_quota(&mut self) {
        let usages = self.roots().map(|root| (root, Usage::default()));
        let usages = usages.collect();
        self.quota = Some(Box::new(Quota {
            usages,
            ..Quota::default()
        }));
    }

    /// Returns what the quota group of the root counted at the last commit; `None` without quota
    /// groups.
    pub fn usage(&self, root: RootId) -> Option<Usage> {
        self.quota.as_ref()?.usages.get(&root).copied()
    }

    /// Accounts what changed (`btrfs_qgroup_account_extents`).
    pub(crate) fn account_quota(&mut self) {
        let Some(mut quota) = self.quota.take() else {
            return;
        };
        let is_gone = |(bytenr, accounted): (&u64, &Accounted)| {
            (!self.still_has(*bytenr, accounted)).then_some(*bytenr)
        };
        let mut changed: BTreeSet<u64> = quota.accounted.iter().filter_map(is_gone).collect();
        changed.append(&mut quota.traced);
        let mut now: BTreeMap<u64, (ExtentId, u64)> = BTreeMap::new();
        for id in self.extents.changed() {
            let extent = self.extents.get(id);
            changed.insert(extent.bytenr());
            now.insert(extent.bytenr(), (id, extent.len()));
        }
        let is_recounted = self.behaviour.recounts_owners;
        for bytenr in changed {
            let accounted = quota.accounted.remove(&bytenr);
            let live = accounted.as_ref().filter(|old| self.still_has(bytenr, old));
            let live = live.map(|old| (old.id, old.len));
            let live = live.or_else(|| now.get(&bytenr).copied());
            let (len, before) = match accounted {
                Some(Accounted { len, roots, .. }) => (len, roots),
                None => (live.map_or(0, |(_, len)| len), Referrers::new()),
            };
            let found = live.map_or_else(BTreeSet::new, |(id, _)| self.roots_of(id));
            let mut after = before.clone();
            after.retain(|root| found.contains(root));
            after.extend(found.into_iter().filter(|root| !before.contains(root)));
            quota.update(len, &before, &after, is_recounted);
            if let Some((id, _)) = live
                && !after.is_empty()
            {
                let roots = after;
                quota.accounted.insert(bytenr, Accounted { id, len, roots });
            }
        }
        self.quota = Some(quota);
    }

    /// Gives a new root the group of the one that it shares all with (`btrfs_qgroup_inherit`).
    /// Everything is accounted.
    pub(crate) fn inherit_quota(&mut self, root: RootId, source: Option<RootId>) {
        let Some(quota) = &mut self.quota else {
            return;
        };
        let mut usage = Usage::default();
        if let Some(source) = source {
            let of_source = quota.usages.entry(source).or_default();
            of_source.exclusive = 0;
            usage = *of_source;
            let accounted = quota.accounted.values_mut();
            for accounted in accounted.filter(|accounted| accounted.roots.contains(&source)) {
                accounted.roots.push(root);
            }
        }
        quota.usages.insert(root, usage);
    }

    /// Notes that a root is about to go: of what it shares with others no count changes
    /// (`btrfs_qgroup_trace_subtree`).
    pub(crate) fn trace_quota(&mut self, root: RootId) {
        if let Some(quota) = &mut self.quota {
            let accounted = quota.accounted.iter();
            let reached = accounted.filter(|(_, accounted)| accounted.roots.contains(&root));
            quota.traced.extend(reached.map(|(bytenr, _)| *bytenr));
            quota.usages.remove(&root);
        }
    }

    /// Holds what is accounted against all references, if nothing changed since the last commit.
    pub(crate) fn check_quota(&self, violations: &mut Vec<Violation>) {
        let Some(quota) = &self.quota else {
            return;
        };
        let is_there = |(bytenr, accounted): (&u64, &Accounted)| self.still_has(*bytenr, accounted);
        let has_changed = self.extents.changed().next().is_some() || !quota.traced.is_empty();
        if has_changed || !quota.accounted.iter().all(is_there) {
            return;
        }
        let mut usages: BTreeMap<RootId, Usage> =
            self.roots().map(|root| (root, Usage::default())).collect();
        for (id, extent) in self.extents.iter() {
            let roots = self.roots_of(id);
            for root in &roots {
                let usage = usages.entry(*root).or_default();
                usage.referenced += extent.len();
                if roots.len() == 1 {
                    usage.exclusive += extent.len();
                }
            }
        }
        for (root, found) in usages {
            let counted = quota.usages.get(&root).copied().unwrap_or_default();
            if counted != found {
                violations.push(Violation::WrongUsage {
                    root,
                    counted,
                    found,
                });
            }
        }
    }

    /// Counts an extent as `disk_len` bytes that was counted as `estimate`.
    pub(crate) fn correct_quota(&mut self, bytenr: u64, estimate: u64, disk_len: u64) {
        let Some(quota) = &mut self.quota else {
            return;
        };
        let Some(accounted) = quota.accounted.get_mut(&bytenr) else {
            return;
        };
        accounted.len = disk_len;
        let roots = accounted.roots.clone();
        quota.update(estimate, &roots, &[], true);
        quota.update(disk_len, &[], &roots, true);
    }

    fn still_has(&self, bytenr: u64, accounted: &Accounted) -> bool {
        let is_it = |extent: &Extent| extent.bytenr() == bytenr;
        self.extents.get_live(accounted.id).is_some_and(is_it)
    }

    /// Returns the roots that refer to an extent (`btrfs_find_all_roots`).
    fn roots_of(&self, id: ExtentId) -> BTreeSet<RootId> {
        self.references(id).into_iter().map(|to| to.root).collect()
    }
}

impl Quota {
    /// Counts an extent of `len` bytes for the roots that refer to it now, no longer for those
    /// that did before (`qgroup_update_counters`). Unless `is_recounted`, an extent stays exclusive
    /// to the root that referred to it first.
    fn update(&mut self, len: u64, before: &[RootId], after: &[RootId], is_recounted: bool) {
        let is_exclusive = |roots: &[RootId], root: RootId| {
            roots.first() == Some(&root) && (roots.len() == 1 || !is_recounted)
        };
        let roots: BTreeSet<RootId> = before.iter().chain(after).copied().collect();
        for root in roots {
            let Some(usage) = self.usages.get_mut(&root) else {
                continue;
            };
            let Usage {
                referenced,
                exclusive,
            } = usage;
            count(
                referenced,
                len,
                before.contains(&root),
                after.contains(&root),
            );
            let (was_exclusive, is_exclusive) =
                (is_exclusive(before, root), is_exclusive(after, root));
            count(exclusive, len, was_exclusive, is_exclusive);
        }
    }
}

/// Counts `len` bytes if they are to be counted and were not, and the other way round. What is
/// wrong may go below zero.
fn count(counter: &mut u64, len: u64, was_counted: bool, is_counted: bool) {
    match (was_counted, is_counted) {
        (false, true) => *counter = counter.wrapping_add(len),
        (true, false) => *counter = counter.wrapping_sub(len),
        (false, false) | (true, true) => {}
    }
}
