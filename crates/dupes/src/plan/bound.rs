//! How many references an extent may get: kernels take long to resolve very many, at every write
//! that touches them and every snapshot that goes.
//!
//! [`split`] makes more classes of one whose blocks are referred to too often, so that each part
//! is stored for itself; [`Loads`] counts what a plan comes to, for extents of many blocks can be
//! crowded by all of them together. What is there less often is as if this were not here.

use rustc_hash::{FxHashMap, FxHashSet};
use volume::FileId;

use super::{Candidate, RewriteRun};
use crate::catalog::{Catalog, ExtentIdx};
use crate::classes::{ClassId, Classes};
use crate::options::{Options, Rewrite};

/// A class in the making: the part that blocks are being added to.
struct Part {
    class: ClassId,
    nr_references: u64,
    last: Option<ExtentIdx>,
}

/// Splits classes that have more references than the options allow, in the order of storage, and
/// takes blocks of extents out of all of them that are full. Returns `None` if there are no such.
pub(super) fn split(
    catalog: &Catalog,
    classes: &Classes,
    found: &mut [Candidate],
    full: &[ExtentIdx],
    options: &Options,
) -> Option<Classes> {
    let mut weights = vec![0_u32; catalog.len()];
    for candidate in found.iter() {
        weights[candidate.extent_idx as usize] = candidate.references.len() as u32;
    }
    // Whole extents are moved in long runs, a reference each; what is written anew is gathered
    // block by block.
    let is_by_block = options.rewrite != Rewrite::Never;
    let nr_max = options.nr_references_max.max(1) as u64;
    let totals = totals(catalog, classes, &weights, is_by_block);
    if full.is_empty() && totals.iter().all(|total| *total <= nr_max) {
        return None;
    }
    let full: FxHashSet<ExtentIdx> = full.iter().copied().collect();
    let mut parts: FxHashMap<ClassId, Part> = FxHashMap::default();
    let mut nr_classes = classes.len() as ClassId;
    let mut extent_idx = 0;
    let split = classes.map(|block, class| {
        extent_idx = catalog.locate_from(extent_idx, block);
        if full.contains(&extent_idx) {
            return None;
        }
        if totals[class as usize] <= nr_max {
            return Some(class);
        }
        let part = parts.entry(class).or_insert(Part {
            class,
            nr_references: 0,
            last: None,
        });
        let is_new = is_by_block || part.last != Some(extent_idx);
        let weight = match is_new {
            true => u64::from(weights[extent_idx as usize]),
            false => 0,
        };
        if nr_max < part.nr_references + weight && 0 < part.nr_references {
            part.class = nr_classes;
            nr_classes += 1;
            part.nr_references = 0;
        }
        part.nr_references += weight;
        part.last = Some(extent_idx);
        Some(part.class)
    });
    let split = without_lonely(split);
    for candidate in found {
        let known = catalog.known(candidate.extent_idx);
        candidate.is_all_duplicate = split.nr_within(&known) == known.nr_live();
    }
    Some(split)
}

/// Returns, by class, how many references its blocks have.
fn totals(catalog: &Catalog, classes: &Classes, weights: &[u32], is_by_block: bool) -> Vec<u64> {
    let mut totals = vec![0_u64; classes.len()];
    let mut lasts = vec![ExtentIdx::MAX; if is_by_block { 0 } else { classes.len() }];
    for (extent_idx, known) in catalog.iter() {
        for (_, class) in classes.within(&known) {
            if let Some(last) = lasts.get_mut(class as usize)
                && std::mem::replace(last, extent_idx) == extent_idx
            {
                continue;
            }
            totals[class as usize] += u64::from(weights[extent_idx as usize]);
        }
    }
    totals
}

/// Takes blocks out of classes that have no other one.
fn without_lonely(classes: Classes) -> Classes {
    let mut numbers = vec![0_u32; classes.len()];
    for (_, class) in classes.iter() {
        let number = &mut numbers[class as usize];
        *number = number.saturating_add(1);
    }
    classes.retain(|_, class| numbers[class as usize] != 1)
}

/// What references are moved to: an extent that stays, or a stretch that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Crowded {
    Extent(ExtentIdx),
    Stretch(u32, usize),
}

/// How many references each extent has once a plan is done.
pub(super) struct Loads<'a> {
    catalog: &'a Catalog,
    nr_max: usize,
    numbers: FxHashMap<Crowded, usize>,
    /// What candidates have now.
    of_candidates: FxHashMap<ExtentIdx, usize>,
    crowding: FxHashSet<u32>,
}

impl<'a> Loads<'a> {
    pub(super) fn new(catalog: &'a Catalog, found: &[Candidate], nr_max: usize) -> Loads<'a> {
        let own = |candidate: &Candidate| (candidate.extent_idx, candidate.references.len());
        Loads {
            catalog,
            nr_max: nr_max.max(1),
            numbers: FxHashMap::default(),
            of_candidates: found.iter().map(own).collect(),
            crowding: FxHashSet::default(),
        }
    }

    /// Counts a move to a range of a file that stays.
    pub(super) fn add_file(&mut self, file: FileId, offset: u64, len: u64, rank: u32) {
        for extent_idx in self.catalog.extents_in(file, offset, len) {
            let of_candidate = self.of_candidates.get(&extent_idx).copied();
            let known = self.catalog.known(extent_idx);
            let nr_before = of_candidate.unwrap_or(known.facts.nr_references as usize);
            self.add(Crowded::Extent(extent_idx), nr_before, rank);
        }
    }

    /// Counts a move to what is written into a temporary file.
    pub(super) fn add_temporary(
        &mut self,
        temporary: u32,
        runs: &[RewriteRun],
        offset: u64,
        rank: u32,
    ) {
        let stretch = runs.partition_point(|run| run.at <= offset);
        self.add(Crowded::Stretch(temporary, stretch), 0, rank);
    }

    fn add(&mut self, crowded: Crowded, nr_before: usize, rank: u32) {
        let number = self.numbers.entry(crowded).or_insert(nr_before);
        if *number < self.nr_max {
            *number += 1;
        } else {
            self.crowding.insert(rank);
        }
    }

    /// Returns the ranks of those for whose references there is no room.
    pub(super) fn into_crowding(self) -> FxHashSet<u32> {
        self.crowding
    }
}
