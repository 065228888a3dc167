//! From what is decided to requests: each reference of an extent that goes is moved, in runs as
//! long as source and target agree, to what stays or is written.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;
use volume::{DedupeTarget, FileId, NR_TARGETS_MAX, Reference};

use super::allowance::{self, Allowance};
use super::bound::Loads;
use super::rewriting::Layout;
use super::sources::{Place, Sources};
use super::{
    Batch, Candidate, Decision, Meter, Origin, Plan, Prediction, Removed, Rewriting, Step,
};
use crate::catalog::{Catalog, ExtentIdx};
use crate::classes::{ClassId, Classes};
use crate::report::Stopped;
use crate::watch::{Phase, Watch};

/// Bytes of the source and the targets of one request, unless one target has more: they are read
/// ahead together.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// Where the storage is that a reference is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Source {
    File(FileId),
    Temporary(u32),
}

/// A range of a file that is to refer to other storage.
#[derive(Clone, Copy, Debug)]
struct Move {
    source: Source,
    /// Offset in the source, bytes.
    offset: u64,
    target: DedupeTarget,
    len: u64,
    /// The place in the order of gains of the extent that goes.
    rank: u32,
}

/// What moves are made from.
struct Moving<'a> {
    catalog: &'a Catalog,
    classes: &'a Classes,
    sources: Sources,
    layout: Layout,
    moves: Vec<Move>,
    origins: Vec<Origin>,
}

/// What a plan has to keep to.
pub(super) struct Limits {
    /// The longest request, bytes.
    pub(super) len_max: u64,
    /// The most references of an extent.
    pub(super) nr_references_max: usize,
    /// How much memory there may be.
    pub(super) allowance: Allowance,
}

/// Makes the plan of a decision; or returns the candidates that would give an extent more
/// references than it may have.
///
/// # Errors
/// [`Stopped::TooLarge`] if there are more moves than there is memory for, or the watch says stop.
pub(super) fn plan(
    catalog: &Catalog,
    classes: &Classes,
    found: &[Candidate],
    decision: &Decision,
    mut limits: Limits,
    watch: &mut dyn Watch,
) -> Result<Result<Plan, Vec<usize>>, Stopped> {
    let mut going: Vec<usize> = (0..found.len()).filter(|&idx| decision.goes[idx]).collect();
    going.sort_by_key(|&idx| {
        let extent = &catalog.known(found[idx].extent_idx).extent;
        (std::cmp::Reverse(extent.disk_bytes), extent.address)
    });
    let candidate_idxs = going;
    let going: Vec<&Candidate> = candidate_idxs.iter().map(|&idx| &found[idx]).collect();
    let goes = decision.by_extent(catalog, found);
    let sources = Sources::new(catalog, classes, &goes);
    let layout = Layout::new(catalog, classes, &going, &sources);
    let mut moving = Moving {
        catalog,
        classes,
        sources,
        layout,
        moves: Vec::new(),
        origins: Vec::new(),
    };
    let mut meter = Meter::begin(watch, Phase::Route, going.len())?;
    for (candidate, rank) in going.iter().zip(0..) {
        for (reference, size) in candidate.references.iter().zip(&candidate.sizes) {
            let nr_before = moving.moves.len();
            moving.move_reference(candidate.extent_idx, reference, *size, rank);
            let nr_more = (moving.moves.len() - nr_before) as u64;
            limits.allowance.take(nr_more, allowance::MOVE_BYTES)?;
        }
        meter.step()?;
    }
    moving.join_neighbours(limits.len_max);
    moving.moves.sort_by_key(|one| (one.rank, one.target));
    let mut meter = Meter::begin(watch, Phase::Weigh, moving.moves.len())?;
    let mut loads = Loads::new(catalog, found, limits.nr_references_max);
    for one in &moving.moves {
        match one.source {
            Source::File(file) => loads.add_file(file, one.offset, one.len, one.rank),
            Source::Temporary(idx) => {
                let runs = &moving.layout.temporaries[idx as usize].runs;
                loads.add_temporary(idx, runs, one.offset, one.rank);
            }
        }
        meter.step()?;
    }
    let crowding = loads.into_crowding();
    Ok(match crowding.is_empty() {
        true => Ok(moving.into_plan(&going, watch)?),
        false => Err(crowding
            .into_iter()
            .map(|rank| candidate_idxs[rank as usize])
            .collect()),
    })
}

/// Returns how many targets of so many bytes a request has at most.
fn nr_targets_max(len: u64) -> usize {
    let nr_ranges = usize::try_from(BATCH_BYTES_MAX / len.max(1)).unwrap_or(usize::MAX);
    nr_ranges.saturating_sub(1).clamp(1, NR_TARGETS_MAX)
}

impl Moving<'_> {
    /// Adds the moves of one reference.
    fn move_reference(
        &mut self,
        extent_idx: ExtentIdx,
        reference: &Reference,
        size: u64,
        rank: u32,
    ) {
        let block = self.catalog.block;
        let first = (reference.within / block) as u32;
        let end = first + (reference.len / block) as u32;
        let mut within = first;
        while within < end {
            let Some((source, offset, nr_blocks)) = self.run(extent_idx, within, end) else {
                debug_assert!(
                    false,
                    "every block of an extent that goes is somewhere else"
                );
                within += 1;
                continue;
            };
            let target_offset = reference.offset + u64::from(within - first) * block;
            let len = u64::from(nr_blocks) * block;
            let target = DedupeTarget {
                file: reference.file,
                offset: target_offset,
            };
            self.moves.push(Move {
                source,
                offset,
                target,
                len: len.min(size.saturating_sub(target_offset)),
                rank,
            });
            self.origins.push(Origin {
                target,
                block: self.catalog.block_of(extent_idx, within),
                nr_blocks,
            });
            within += nr_blocks;
        }
    }

    /// Returns where the blocks from `within` up to at most `end` of an extent that goes are to
    /// be found: source, offset there, how many of them.
    fn run(&self, extent_idx: ExtentIdx, within: u32, end: u32) -> Option<(Source, u64, u32)> {
        let class = self.class(extent_idx, within);
        let places = class.map_or(&[][..], |class| self.sources.of(class));
        let with_len = places
            .iter()
            .map(|&place| (self.run_len(place, extent_idx, within, end), place));
        // Of equally long runs the first: more targets have one source then.
        let best = with_len.reduce(|best, other| if best.0 < other.0 { other } else { best });
        if let Some((nr_blocks, place)) = best {
            let shown = self.catalog.shown(place.0, place.1)?;
            return Some((Source::File(shown.file), shown.offset, nr_blocks));
        }
        let (temporary, at) = self.written(extent_idx, within, class)?;
        let unit = self.catalog.block;
        let goes_on = |nr: &u32| {
            let expected = (temporary, at + u64::from(*nr) * unit);
            let class = self.class(extent_idx, within + *nr);
            let is_kept = class.is_some_and(|class| !self.sources.of(class).is_empty());
            !is_kept && self.written(extent_idx, within + *nr, class) == Some(expected)
        };
        let nr_blocks = 1 + (1..end - within).take_while(goes_on).count() as u32;
        Some((Source::Temporary(temporary), at, nr_blocks))
    }

    /// Returns how many blocks from `place` on, in the file that shows it, are equal to those
    /// from `within` on: one at least, for `place` is a source of that block.
    fn run_len(&self, place: Place, extent_idx: ExtentIdx, within: u32, end: u32) -> u32 {
        let nr_wanted = end - within;
        let mut nr_equal = 0;
        for (at, nr_shown) in self.catalog.shown_from(place) {
            // What is equal may be on its way, too.
            if !self.sources.stays(at) {
                break;
            }
            let nr_blocks = nr_shown.min(nr_wanted - nr_equal);
            let wanted = self.catalog.block_of(extent_idx, within + nr_equal);
            let shown = self.catalog.block_of(at.0, at.1);
            let nr_more = self.classes.nr_equal(wanted, shown, nr_blocks);
            nr_equal += nr_more;
            if nr_more < nr_blocks || nr_equal == nr_wanted {
                break;
            }
        }
        debug_assert!(0 < nr_equal, "a source of one class has another");
        nr_equal.max(1)
    }

    fn written(
        &self,
        extent_idx: ExtentIdx,
        within: u32,
        class: Option<ClassId>,
    ) -> Option<(u32, u64)> {
        let block = self.catalog.block_of(extent_idx, within);
        self.layout.place_of(class, block, self.catalog.block)
    }

    fn class(&self, extent_idx: ExtentIdx, within: u32) -> Option<ClassId> {
        self.classes.of(self.catalog.block_of(extent_idx, within))
    }

    /// Makes one move of those that go on in source and target, then cuts what is too long.
    fn join_neighbours(&mut self, len_max: u64) {
        let block = self.catalog.block;
        self.moves.sort_unstable_by_key(|one| one.target);
        let mut joined: Vec<Move> = Vec::with_capacity(self.moves.len());
        for next in self.moves.drain(..) {
            if let Some(last) = joined.last_mut() {
                let goes_on = last.source == next.source
                    && last.target.file == next.target.file
                    && last.offset + last.len == next.offset
                    && last.target.offset + last.len == next.target.offset
                    && last.len.is_multiple_of(block);
                if goes_on {
                    last.len += next.len;
                    last.rank = last.rank.min(next.rank);
                    continue;
                }
            }
            joined.push(next);
        }
        for whole in joined {
            for skip in (0..whole.len).step_by(usize::try_from(len_max).unwrap_or(usize::MAX)) {
                self.moves.push(Move {
                    offset: whole.offset + skip,
                    target: DedupeTarget {
                        offset: whole.target.offset + skip,
                        ..whole.target
                    },
                    len: len_max.min(whole.len - skip),
                    ..whole
                });
            }
        }
    }

    /// Gathers moves from one range into requests, and those from one temporary file.
    fn into_plan(mut self, going: &[&Candidate], watch: &mut dyn Watch) -> Result<Plan, Stopped> {
        let (written_bytes, nr_extents_written) = self.layout.written(self.catalog.block);
        let mut plan = Plan {
            prediction: Prediction {
                written_bytes,
                nr_extents_written,
                nr_extents_freed: going.len() as u64,
                ..Prediction::default()
            },
            block: self.catalog.block,
            ..Plan::default()
        };
        for candidate in going {
            let extent = self.catalog.known(candidate.extent_idx).extent;
            plan.prediction.freed_bytes += extent.disk_bytes;
            plan.prediction.nr_file_extents_more -= candidate.references.len() as i64;
            plan.removed.push(Removed {
                extent,
                nr_references: candidate.references.len(),
                file: candidate.references[0].file,
            });
        }
        let mut batches: Vec<(Source, u32, Batch)> = Vec::new();
        let mut open: FxHashMap<(Source, u64, u64), usize> = FxHashMap::default();
        let mut meter = Meter::begin(watch, Phase::Gather, self.moves.len())?;
        for one in &self.moves {
            let next_idx = batches.len();
            let batch_idx = match open.entry((one.source, one.offset, one.len)) {
                Entry::Occupied(mut entry) => {
                    if nr_targets_max(one.len) <= batches[*entry.get()].2.targets.len() {
                        entry.insert(next_idx);
                    }
                    *entry.get()
                }
                Entry::Vacant(entry) => *entry.insert(next_idx),
            };
            if batch_idx == next_idx {
                let batch = Batch {
                    offset: one.offset,
                    len: one.len,
                    targets: Vec::new(),
                };
                batches.push((one.source, one.rank, batch));
            }
            batches[batch_idx].2.targets.push(one.target);
            plan.prediction.moved_bytes += one.len;
            plan.prediction.nr_file_extents_more += self.nr_items(one);
            meter.step()?;
        }
        plan.prediction.nr_requests = batches.len() as u64;
        self.origins.sort_unstable();
        plan.origins = std::mem::take(&mut self.origins);
        plan.steps = self.into_steps(batches);
        Ok(plan)
    }

    /// Orders what is to be done by the gain that it is needed for.
    fn into_steps(self, batches: Vec<(Source, u32, Batch)>) -> Vec<Step> {
        let rewriting = |temporary: super::rewriting::Temporary| {
            let rewriting = Rewriting {
                like: temporary.like,
                runs: temporary.runs,
                batches: Vec::new(),
            };
            (temporary.rank, rewriting)
        };
        let mut rewritings: Vec<(u32, Rewriting)> =
            self.layout.temporaries.into_iter().map(rewriting).collect();
        let mut steps: Vec<(u32, Step)> = Vec::new();
        for (source, rank, batch) in batches {
            match source {
                Source::File(source) => steps.push((rank, Step::Share { source, batch })),
                Source::Temporary(idx) => rewritings[idx as usize].1.batches.push(batch),
            }
        }
        steps.extend(
            rewritings
                .into_iter()
                .map(|(rank, one)| (rank, Step::Rewrite(one))),
        );
        steps.sort_by_key(|(rank, _)| *rank);
        steps.into_iter().map(|(_, step)| step).collect()
    }

    /// Returns how many file extent items a move makes: one for each of the source that it meets.
    fn nr_items(&self, one: &Move) -> i64 {
        match one.source {
            Source::File(file) => self.catalog.nr_parts(file, one.offset, one.len) as i64,
            Source::Temporary(_) => 1,
        }
    }
}
