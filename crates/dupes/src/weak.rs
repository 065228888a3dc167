//! Weak checksums: which of the blocks with one checksum are taken for equal.
//!
//! A crc32c of one block is only a hint: among a hundred million blocks there are pairs that have
//! it in common and nothing else. Two blocks whose neighbours in their files are equal by checksum
//! too have twice the bits to witness for them, and that is enough. What stands alone is read and
//! hashed: one block of each group, so that the reading is little however often something is
//! there.

use rustc_hash::{FxHashMap, FxHashSet};
use volume::Volume;

use crate::catalog::Catalog;
use crate::classes::{ClassId, Member, class_id};
use crate::hash;
use crate::report::{Report, Stopped};

/// On which side of a block its neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    Behind,
}

/// A member with the class of its neighbour on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Witness {
    class: ClassId,
    side: Side,
    neighbour: ClassId,
    member_idx: u32,
}

/// Splits classes into groups that are equal with enough evidence; `members` are in the order of
/// blocks, before and after.
///
/// # Errors
/// If the volume fails as a whole.
pub(crate) fn settle(
    catalog: &Catalog,
    members: &mut Vec<Member>,
    keys: &mut Vec<u64>,
    distrusted: &FxHashSet<u64>,
    volume: &mut dyn Volume,
    report: &mut Report,
) -> Result<(), Stopped> {
    let mut groups = Groups::new(members.len());
    let is_distrusted = |class: ClassId| distrusted.contains(&keys[class as usize]);
    for pair in witnesses(catalog, members).windows(2) {
        let [one, two] = pair else { continue };
        let is_same = (one.class, one.side, one.neighbour) == (two.class, two.side, two.neighbour);
        if is_same && !is_distrusted(one.class) && !is_distrusted(one.neighbour) {
            groups.join(one.member_idx, two.member_idx);
        }
    }
    // One block of each group stands for it, where a class has more than one group.
    let mut nr_groups = vec![0_u32; keys.len()];
    for (member, member_idx) in members.iter().zip(0..) {
        nr_groups[member.class as usize] += u32::from(groups.of(member_idx) == member_idx);
    }
    let is_open = |member: &Member| 1 < nr_groups[member.class as usize];
    let leaders = members.iter().zip(0..).filter(|(member, member_idx)| {
        is_open(member) && groups.parent[*member_idx as usize] == *member_idx
    });
    let leaders: Vec<(Member, u32)> = leaders.map(|(member, idx)| (*member, idx)).collect();
    let blocks: Vec<_> = leaders.iter().map(|(member, _)| member.block).collect();
    let hashes = hash::strong(catalog, &blocks, volume, report)?;
    let mut by_hash: FxHashMap<(ClassId, u64), u32> = FxHashMap::default();
    for ((member, member_idx), hash) in leaders.iter().zip(hashes) {
        if let Some(hash) = hash {
            let first = *by_hash.entry((member.class, hash)).or_insert(*member_idx);
            groups.join(first, *member_idx);
        }
    }
    renumber(members, keys, &mut groups);
    Ok(())
}

/// Makes each group a class of its own, and drops those of one member.
fn renumber(members: &mut Vec<Member>, keys: &mut Vec<u64>, groups: &mut Groups) {
    let mut sizes: FxHashMap<u32, u32> = FxHashMap::default();
    for member_idx in 0..members.len() as u32 {
        *sizes.entry(groups.of(member_idx)).or_default() += 1;
    }
    let mut numbers: FxHashMap<u32, ClassId> = FxHashMap::default();
    let mut new_keys = Vec::new();
    let mut kept = Vec::with_capacity(members.len());
    for (member, member_idx) in members.iter().zip(0..) {
        let group = groups.of(member_idx);
        if sizes[&group] < 2 {
            continue;
        }
        let class = *numbers.entry(group).or_insert_with(|| {
            new_keys.push(keys[member.class as usize]);
            class_id(new_keys.len() - 1)
        });
        kept.push(Member { class, ..*member });
    }
    *members = kept;
    *keys = new_keys;
}

/// Returns who witnesses for whom, in order.
fn witnesses(catalog: &Catalog, members: &[Member]) -> Vec<Witness> {
    let mut witnesses = Vec::with_capacity(2 * members.len());
    for (member, member_idx) in members.iter().zip(0_u32..) {
        let (extent_idx, within) = catalog.locate(member.block);
        let Some((next_idx, next_within)) = catalog.next_in_file(extent_idx, within) else {
            continue;
        };
        let next = catalog.known(next_idx).first.0 + u64::from(next_within);
        let is_beside = |member: &&Member| member.block.0 == next;
        let beside = (
            member_idx as usize + 1,
            members.get(member_idx as usize + 1),
        );
        let found = match beside {
            (idx, Some(member)) if is_beside(&member) => Some(idx),
            _ => members
                .binary_search_by_key(&next, |member| member.block.0)
                .ok(),
        };
        let Some(found) = found else { continue };
        let behind = members[found];
        witnesses.push(Witness {
            class: member.class,
            side: Side::Behind,
            neighbour: behind.class,
            member_idx,
        });
        witnesses.push(Witness {
            class: behind.class,
            side: Side::Before,
            neighbour: member.class,
            member_idx: found as u32,
        });
    }
    witnesses.sort_unstable();
    witnesses
}

/// Which members are joined.
struct Groups {
    parent: Vec<u32>,
}

impl Groups {
    fn new(nr_members: usize) -> Groups {
        Groups {
            parent: (0..nr_members as u32).collect(),
        }
    }

    /// Returns the member that stands for a member's group.
    fn of(&mut self, member_idx: u32) -> u32 {
        let mut at = member_idx;
        while self.parent[at as usize] != at {
            let above = self.parent[at as usize];
            self.parent[at as usize] = self.parent[above as usize];
            at = above;
        }
        at
    }

    fn join(&mut self, one: u32, two: u32) {
        let (one, two) = (self.of(one), self.of(two));
        // The earlier one stands for both.
        self.parent[one.max(two) as usize] = one.min(two);
    }
}
