//! Which extents stay when nothing is written: a cover of least weight.
//!
//! Every class of equal blocks has to stay somewhere, and only whole extents go. So those that
//! stay are a set cover: the classes are to be covered, an extent covers those that it has and
//! weighs its bytes on disk. Extents that cannot go cover for nothing. Small components are
//! solved ([`exact`]), large ones by the greedy rule and improved ([`greedy`]).

mod exact;
mod greedy;

use rustc_hash::FxHashMap;

use super::{Candidate, Decision, Meter, candidates};
use crate::catalog::Catalog;
use crate::classes::{ClassId, Classes};
use crate::report::Stopped;
use crate::watch::{Phase, Watch};

/// Most sets of a component that is solved.
const NR_EXACT_MAX: usize = 64;

/// An extent that may stay, as a set of what it covers.
#[derive(Clone, Debug)]
struct Set {
    /// Index of the candidate.
    candidate_idx: usize,
    /// Bytes on disk.
    weight: u64,
    /// References that need not be moved if it stays.
    nr_references: usize,
    /// What it covers and nothing that stays anyway does, ascending.
    elements: Vec<u32>,
}

/// Decides without writing anything.
///
/// # Errors
/// If the watch says stop.
pub(super) fn decide(
    catalog: &Catalog,
    classes: &Classes,
    found: &[Candidate],
    watch: &mut dyn Watch,
) -> Result<Decision, Stopped> {
    let mut goes = vec![false; found.len()];
    let mut sets = sets(catalog, classes, found);
    for set in &sets {
        goes[set.candidate_idx] = true;
    }
    merge_elements(&mut sets, classes.len());
    let sets = without_equals(sets);
    let mut meter = Meter::begin(watch, Phase::Decide, sets.len())?;
    for component in components(sets) {
        for set_idx in chosen(&component, &mut meter)? {
            goes[component[set_idx].candidate_idx] = false;
        }
    }
    Ok(Decision { goes })
}

/// Returns the sets of a component that stay; each is a step.
fn chosen(component: &[Set], meter: &mut Meter<'_>) -> Result<Vec<usize>, Stopped> {
    if component.len() == 1 {
        meter.step()?;
        return Ok(vec![0]);
    }
    let by_greed = greedy::cover(component, meter)?;
    if component.len() <= NR_EXACT_MAX {
        return Ok(exact::cover(component, &by_greed));
    }
    Ok(by_greed)
}

/// Returns the candidates that could go without anything being written.
fn sets(catalog: &Catalog, classes: &Classes, found: &[Candidate]) -> Vec<Set> {
    let could_go = found.iter().filter(|it| it.is_all_duplicate);
    let is_covered = candidates::stored_besides(catalog, classes, could_go);
    let with_idx = found.iter().enumerate();
    let sets = with_idx.filter(|(_, candidate)| candidate.is_all_duplicate);
    let sets = sets.map(|(candidate_idx, candidate)| {
        let known = catalog.known(candidate.extent_idx);
        let own = classes.within(&known).map(|(_, class)| class);
        let mut elements: Vec<ClassId> = own.filter(|&class| !is_covered[class as usize]).collect();
        elements.sort_unstable();
        elements.dedup();
        Set {
            candidate_idx,
            weight: known.extent.disk_bytes,
            nr_references: candidate.references.len(),
            elements,
        }
    });
    sets.collect()
}

/// Returns how many elements sets have that are numbered through.
fn nr_elements(sets: &[Set]) -> usize {
    let last = sets.iter().flat_map(|set| &set.elements).max();
    last.map_or(0, |last| *last as usize + 1)
}

/// Makes one element of those that are in the same sets, by refining one group of all elements
/// set after set: a copied file has as many elements as extents then, not as blocks.
fn merge_elements(sets: &mut [Set], nr_elements: usize) {
    let mut group_of = vec![0_u32; nr_elements];
    let mut sizes = vec![nr_elements as u32];
    let mut split: FxHashMap<u32, (u32, u32)> = FxHashMap::default();
    for set in sets.iter() {
        split.clear();
        for &element in &set.elements {
            let (_, nr) = split.entry(group_of[element as usize]).or_default();
            *nr += 1;
        }
        // A group that is whole in the set keeps its number.
        for (group, (new, nr)) in &mut split {
            *new = *group;
            if *nr < sizes[*group as usize] {
                *new = sizes.len() as u32;
                sizes[*group as usize] -= *nr;
                sizes.push(*nr);
            }
        }
        for &element in &set.elements {
            let group = &mut group_of[element as usize];
            *group = split.get(group).map_or(*group, |(new, _)| *new);
        }
    }
    for set in sets {
        set.elements
            .iter_mut()
            .for_each(|element| *element = group_of[*element as usize]);
        set.elements.sort_unstable();
        set.elements.dedup();
    }
}

/// Drops sets without elements, and all but the best of those with the same ones.
fn without_equals(sets: Vec<Set>) -> Vec<Set> {
    let mut best: FxHashMap<Vec<u32>, Set> = FxHashMap::default();
    for set in sets.into_iter().filter(|set| !set.elements.is_empty()) {
        match best.get_mut(&set.elements) {
            Some(other) if is_better(&set, other) => *other = set,
            Some(_) => {}
            None => {
                best.insert(set.elements.clone(), set);
            }
        }
    }
    let mut sets: Vec<Set> = best.into_values().collect();
    sets.sort_unstable_by_key(|set| set.candidate_idx);
    sets
}

/// Returns whether a set is rather kept than another one that covers the same.
fn is_better(one: &Set, other: &Set) -> bool {
    let rank = |set: &Set| {
        let nr_moved = usize::MAX - set.nr_references;
        (set.weight, nr_moved, set.candidate_idx)
    };
    rank(one) < rank(other)
}

/// Returns the sets in groups that have no element in common, elements numbered through in each.
fn components(sets: Vec<Set>) -> Vec<Vec<Set>> {
    let mut parent: Vec<u32> = (0..sets.len() as u32).collect();
    let mut first_with: FxHashMap<u32, u32> = FxHashMap::default();
    for (set, set_idx) in sets.iter().zip(0_u32..) {
        for &element in &set.elements {
            let first = *first_with.entry(element).or_insert(set_idx);
            let (one, two) = (top(&mut parent, first), top(&mut parent, set_idx));
            parent[one.max(two) as usize] = one.min(two);
        }
    }
    let mut by_top: FxHashMap<u32, usize> = FxHashMap::default();
    let mut components: Vec<Vec<Set>> = Vec::new();
    for (set, set_idx) in sets.into_iter().zip(0_u32..) {
        let next = components.len();
        let component_idx = *by_top.entry(top(&mut parent, set_idx)).or_insert(next);
        if component_idx == next {
            components.push(Vec::new());
        }
        components[component_idx].push(set);
    }
    for component in &mut components {
        let mut numbers: FxHashMap<u32, u32> = FxHashMap::default();
        for element in component.iter_mut().flat_map(|set| &mut set.elements) {
            let next = numbers.len() as u32;
            *element = *numbers.entry(*element).or_insert(next);
        }
    }
    components
}

fn top(parent: &mut [u32], set_idx: u32) -> u32 {
    let mut at = set_idx;
    while parent[at as usize] != at {
        parent[at as usize] = parent[parent[at as usize] as usize];
        at = parent[at as usize];
    }
    at
}
