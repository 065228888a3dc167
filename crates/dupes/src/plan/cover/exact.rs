//! The cover of least weight of a small component, by branch and bound.
//!
//! Each element is the set of those that cover it, as bits; one of them has to stay. Branches take
//! the element that fewest can cover; the bound adds up elements that no set covers two of.

use super::{Set, nr_elements};

/// How many branches are looked into before the best cover so far is taken.
const NR_BRANCHES_MAX: usize = 200_000;
/// Bits below the weight for the number of references: of two covers of one weight the one is
/// better that leaves more references where they are.
const REFERENCE_BITS: u32 = 20;

/// A choice that is not finished.
#[derive(Clone, Copy)]
struct Branch {
    /// What stays.
    kept: u64,
    /// What may not stay, for another branch has it.
    barred: u64,
    cost: u64,
}

/// Returns the sets of a cover of least weight; `known` is some cover.
pub(super) fn cover(sets: &[Set], known: &[usize]) -> Vec<usize> {
    debug_assert!(sets.len() <= u64::BITS as usize);
    let costs: Vec<u64> = sets.iter().map(cost).collect();
    let elements = elements(sets);
    let mut best = known
        .iter()
        .fold(0_u64, |bits, &set_idx| bits | 1 << set_idx);
    let mut best_cost: u64 = known.iter().map(|&set_idx| costs[set_idx]).sum();
    let mut branches = vec![Branch {
        kept: 0,
        barred: 0,
        cost: 0,
    }];
    let mut nr_branches = 0;
    while let Some(branch) = branches.pop() {
        nr_branches += 1;
        if NR_BRANCHES_MAX < nr_branches {
            break;
        }
        if best_cost <= branch.cost.saturating_add(bound(&elements, &costs, branch)) {
            continue;
        }
        let open = elements
            .iter()
            .filter(|&&element| element & branch.kept == 0);
        let Some(element) = open.min_by_key(|&&element| (element & !branch.barred).count_ones())
        else {
            (best, best_cost) = (branch.kept, branch.cost);
            continue;
        };
        let mut barred = branch.barred;
        let mut next = Vec::new();
        for set_idx in bits(element & !branch.barred) {
            next.push(Branch {
                kept: branch.kept | 1 << set_idx,
                barred,
                cost: branch.cost + costs[set_idx],
            });
            barred |= 1 << set_idx;
        }
        // The cheapest one is on top.
        next.sort_by_key(|branch| std::cmp::Reverse(branch.cost));
        branches.append(&mut next);
    }
    bits(best).collect()
}

/// Returns what a set costs: its weight, and a little less for each reference.
fn cost(set: &Set) -> u64 {
    let nr_references = (set.nr_references as u64).min((1 << (REFERENCE_BITS - 7)) - 1);
    (set.weight << REFERENCE_BITS) - nr_references
}

/// Returns who covers each element, without elements that are covered whenever another one is.
fn elements(sets: &[Set]) -> Vec<u64> {
    let mut elements = vec![0_u64; nr_elements(sets)];
    for (set, set_idx) in sets.iter().zip(0..) {
        set.elements
            .iter()
            .for_each(|&element| elements[element as usize] |= 1 << set_idx);
    }
    elements.sort_unstable_by_key(|element| element.count_ones());
    let mut needed: Vec<u64> = Vec::new();
    for element in elements {
        if needed.iter().all(|smaller| smaller & element != *smaller) {
            needed.push(element);
        }
    }
    needed
}

/// Returns what the open elements cost at least.
fn bound(elements: &[u64], costs: &[u64], branch: Branch) -> u64 {
    let mut sum = 0_u64;
    let mut used = 0;
    for element in elements
        .iter()
        .filter(|&&element| element & branch.kept == 0)
    {
        let free = element & !branch.barred;
        if free == 0 {
            return u64::MAX;
        }
        if free & used == 0 {
            sum += bits(free).map(|set_idx| costs[set_idx]).min().unwrap_or(0);
            used |= free;
        }
    }
    sum
}

fn bits(mut of: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (of != 0).then(|| of.trailing_zeros() as usize)?;
        of &= of - 1;
        Some(lowest)
    })
}
