//! What extents count against what the leaves hold. Every leaf is looked at once, however many
//! roots share it.

use std::collections::HashSet;

use ctree::Holder;
use smallvec::SmallVec;

use super::Violation;
use crate::extent::{CountedRef, Referrer};
use crate::tree_item::{Key, TreeItem};
use crate::{ExtentId, FsState};

/// By extent, how many items were found for each of its references.
struct Found(Vec<SmallVec<[u32; 2]>>);

impl FsState {
    /// Checks that extents count the items of all leaves, and that no other extent is there.
    pub(super) fn check_counts(&self, violations: &mut Vec<Violation>) {
        let mut found = Found(vec![SmallVec::new(); self.extents.nr_slots()]);
        self.nodes.for_each_leaf(|holder, keys, items| {
            for (&key, item) in keys.iter().zip(items) {
                violations.extend(self.find_ref(holder, key, item, &mut found));
            }
        });
        let under_way = self.under_way();
        for (id, extent) in self.extents.iter() {
            if extent.refs().is_empty() && !under_way.contains(&id) {
                violations.push(Violation::Leaked {
                    bytenr: extent.bytenr(),
                });
            }
            let found = &found.0[id.0 as usize];
            for (idx, counted) in extent.refs().iter().enumerate() {
                let found = found.get(idx).copied().unwrap_or(0);
                if found != counted.count {
                    violations.push(wrong_refs(extent.bytenr(), *counted, found));
                }
            }
        }
    }

    /// Notes an item of a leaf; returns what is wrong if its extent counts nothing of the kind.
    fn find_ref(
        &self,
        holder: Holder,
        key: Key,
        item: &TreeItem,
        found: &mut Found,
    ) -> Option<Violation> {
        let slice = item.file_extent()?.slice()?;
        let extent = self.extents.get_live(slice.extent)?;
        let offset = slice.backref_offset(key.file_offset());
        let referrer = Referrer::new(holder, key.ino(), offset);
        let is_wanted = |counted: &CountedRef| counted.referrer == referrer;
        let Some(idx) = extent.refs().iter().position(is_wanted) else {
            let counted = CountedRef::new(referrer, 0);
            return Some(wrong_refs(extent.bytenr(), counted, 1));
        };
        let found = &mut found.0[slice.extent.0 as usize];
        if found.len() <= idx {
            found.resize(idx + 1, 0);
        }
        found[idx] += 1;
        None
    }

    /// Returns the extents that ordered extents are written to.
    fn under_way(&self) -> HashSet<ExtentId> {
        let inodes = self.inodes();
        inodes
            .flat_map(|(_, inode)| inode.ordered.values().map(|ordered| ordered.extent))
            .collect()
    }
}

fn wrong_refs(bytenr: u64, counted: CountedRef, found: u32) -> Violation {
    let CountedRef {
        referrer, count, ..
    } = counted;
    Violation::WrongRefs {
        bytenr,
        holder: referrer.holder(),
        ino: referrer.ino(),
        offset: referrer.offset(),
        counted: count,
        found,
    }
}
