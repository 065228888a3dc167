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
use crate::watch::Watch;

/// No member, no class.
const NONE: u32 = u32::MAX;

/// Splits classes into groups that are equal with enough evidence; `members` are in the order of
/// blocks, before and after.
///
/// # Errors
/// If the volume fails as a whole, or the watch says stop.
pub(crate) fn settle(
    catalog: &Catalog,
    (members, keys): (&mut Vec<Member>, &mut Vec<u64>),
    distrusted: &FxHashSet<u64>,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<(), Stopped> {
    let mut groups = Groups::new(members.len());
    number_by_appearance(members, keys);
    let is_distrusted: Vec<bool> = keys.iter().map(|key| distrusted.contains(key)).collect();
    let mut agreeing = [Agreeing::new(keys.len()), Agreeing::new(keys.len())];
    for (behind, member_idx) in behind(catalog, members).into_iter().zip(0..) {
        let Some(neighbour) = members.get(behind as usize) else {
            continue;
        };
        let class = members[member_idx as usize].class;
        let [before_it, behind_it] = &mut agreeing;
        if !is_distrusted[class as usize] && !is_distrusted[neighbour.class as usize] {
            behind_it.note(class, neighbour.class, member_idx, &mut groups);
            before_it.note(neighbour.class, class, behind, &mut groups);
        }
    }
    for agreeing in agreeing {
        agreeing.finish(&mut groups);
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
    let hashes = hash::strong(catalog, &blocks, volume, watch, report)?;
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
    // By the member that stands for a group.
    let mut sizes = vec![0_u32; members.len()];
    for member_idx in 0..members.len() as u32 {
        sizes[groups.of(member_idx) as usize] += 1;
    }
    let mut numbers: Vec<ClassId> = vec![NONE; members.len()];
    let mut new_keys = Vec::with_capacity(keys.len());
    let mut member_idx = 0;
    members.retain_mut(|member| {
        let group = groups.of(member_idx) as usize;
        member_idx += 1;
        if sizes[group] < 2 {
            return false;
        }
        if numbers[group] == NONE {
            numbers[group] = class_id(new_keys.len());
            new_keys.push(keys[member.class as usize]);
        }
        member.class = numbers[group];
        true
    });
    *keys = new_keys;
}

/// Returns, by member, the index of the member that is the block behind it in its file.
fn behind(catalog: &Catalog, members: &[Member]) -> Vec<u32> {
    let mut behind = Vec::with_capacity(members.len());
    let mut extent_idx = 0;
    for (member, member_idx) in members.iter().zip(0_u32..) {
        extent_idx = catalog.locate_from(extent_idx, member.block);
        let within = (member.block.0 - catalog.known(extent_idx).first.0) as u32;
        let next = catalog.next_in_file(extent_idx, within);
        behind.push(next.map_or(NONE, |(next_idx, next_within)| {
            let next = catalog.known(next_idx).first.0 + u64::from(next_within);
            // Most often it is the next one.
            match members.get(member_idx as usize + 1) {
                Some(beside) if beside.block.0 == next => member_idx + 1,
                _ => members
                    .binary_search_by_key(&next, |member| member.block.0)
                    .map_or(NONE, |found| found as u32),
            }
        }));
    }
    behind
}

/// Gives classes numbers in the order in which blocks have them: copies have numbers that follow
/// each other then, as their blocks do.
fn number_by_appearance(members: &mut [Member], keys: &mut Vec<u64>) {
    let mut numbers = vec![NONE; keys.len()];
    let mut new_keys = Vec::with_capacity(keys.len());
    for member in members {
        let number = &mut numbers[member.class as usize];
        if *number == NONE {
            *number = class_id(new_keys.len());
            new_keys.push(keys[member.class as usize]);
        }
        member.class = *number;
    }
    *keys = new_keys;
}

/// Members of one class with neighbours of one class, on one side.
struct Agreeing {
    /// By class, its first member that has a neighbour, behind the neighbour's class.
    firsts: Vec<(ClassId, u32)>,
    /// What has another neighbour than the first: class, neighbour, member.
    others: Vec<(ClassId, ClassId, u32)>,
}

impl Agreeing {
    fn new(nr_classes: usize) -> Agreeing {
        Agreeing {
            firsts: vec![(NONE, NONE); nr_classes],
            others: Vec::new(),
        }
    }

    /// Joins a member with the first of its class, if their neighbours are of one class.
    fn note(&mut self, class: ClassId, neighbour: ClassId, member_idx: u32, groups: &mut Groups) {
        let first = &mut self.firsts[class as usize];
        if first.1 == NONE {
            *first = (neighbour, member_idx);
        } else if first.0 == neighbour {
            groups.join(first.1, member_idx);
        } else {
            self.others.push((class, neighbour, member_idx));
        }
    }

    /// Joins the others among each other.
    fn finish(mut self, groups: &mut Groups) {
        self.others.sort_unstable();
        for pair in self.others.windows(2) {
            if let [one, two] = pair
                && (one.0, one.1) == (two.0, two.1)
            {
                groups.join(one.2, two.2);
            }
        }
    }
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
