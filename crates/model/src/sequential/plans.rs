//! The ways in which an operation can have gone where space was short: [`plans`].
//!
//! Every plan says at which reservations dirty data was written back, which found no space, and
//! where extents were cut. Extents tell most of it: a write that was interrupted to make room has
//! one end where it was.

use std::collections::BTreeSet;

use fs_state::{InodeId, Reservation, Shortage};
use scenario::{Exchange, Layout, Op, Outcome, Reply};
use uapi::Errno;

use super::Sequential;
use super::adopt::{Offsets, SeenExtent};

/// A call that found no space.
const NO_SPACE: &str = "ENOSPC";
/// A write that found space for a part.
const SHORT_WRITE: &str = "short write";
/// Dirty data that was written back to make room.
const EARLY_WRITEBACK: &str = "early writeback";
/// An extent that was cut because free space is in pieces.
const CUT_EXTENT: &str = "extent cut";

/// A way in which an operation can have gone.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shortage: Shortage,
    /// What a kernel decided freely in it.
    pub(super) freedoms: Vec<&'static str>,
}

/// Returns the ways, the likely ones first. `made` are the reservations of `plain`, which went as
/// if there were space.
pub(super) fn plans(
    before: &Sequential,
    plain: &mut Sequential,
    exchange: &Exchange,
    seen: &Reply,
    made: &[Reservation],
) -> Vec<Plan> {
    let cuts = cuts(before, plain, exchange, seen);
    let mut cut_ways = vec![Shortage::default()];
    if !cuts.cuts.is_empty() {
        cut_ways.push(cuts);
    }
    let some = reclaimed(plain, exchange, seen);
    let mut plans = Vec::new();
    for fails in fails(&exchange.op, &seen.answer.outcome, made) {
        for reclaims in reclaims(before, plain, exchange, seen, made, &fails) {
            for cut in &cut_ways {
                for of in [None, some.clone()] {
                    if of.is_some() && reclaims.is_empty() {
                        continue;
                    }
                    plans.push(plan(
                        &seen.answer.outcome,
                        Shortage {
                            reclaims: reclaims.clone(),
                            reclaims_of: of,
                            fails: fails.clone(),
                            cuts: cut.cuts.clone(),
                        },
                    ));
                    if some.is_none() {
                        break;
                    }
                }
            }
        }
    }
    plans
}

fn plan(outcome: &Outcome, shortage: Shortage) -> Plan {
    let Shortage {
        reclaims,
        fails,
        cuts,
        ..
    } = &shortage;
    let is_short = matches!(outcome, Outcome::Short(_));
    let used = [
        (!fails.is_empty() && !is_short, NO_SPACE),
        (!fails.is_empty() && is_short, SHORT_WRITE),
        // Whoever finds no space has tried to make some.
        (!reclaims.is_subset(fails), EARLY_WRITEBACK),
        (!cuts.is_empty(), CUT_EXTENT),
    ];
    let freedoms = used.iter().filter(|(is_used, _)| *is_used);
    Plan {
        freedoms: freedoms.map(|(_, freedom)| *freedom).collect(),
        shortage,
    }
}

/// Returns which reservations may have found no space.
fn fails(op: &Op, outcome: &Outcome, made: &[Reservation]) -> Vec<BTreeSet<u32>> {
    let nr_made = made.len() as u32;
    let each = |from: u32| (from..nr_made).map(|nth| BTreeSet::from([nth]));
    let needs_space = !matches!(
        op,
        Op::Flush { .. }
            | Op::Fiemap { .. }
            | Op::Fsync { .. }
            | Op::Sync
            | Op::Tick
            | Op::Tree
            | Op::Observe { .. }
            | Op::Close { .. }
    );
    match outcome {
        Outcome::Failed(Errno::ENOSPC) if needs_space => {
            // A write that found space for a page is not refused.
            let is_first_page = |nth: &BTreeSet<u32>| {
                let is_page = |nth: u32| matches!(made[nth as usize], Reservation::Page(_));
                !matches!(op, Op::Write { .. })
                    || nth
                        .iter()
                        .all(|&nth| nth == 0 || !is_page(nth) || !is_page(nth - 1))
            };
            each(0).filter(is_first_page).collect()
        }
        Outcome::Short(written) => {
            let Op::Write { offset, .. } = op else {
                return Vec::new();
            };
            let first_left = Reservation::Page(offset + written);
            let nth = made
                .iter()
                .rposition(|&reservation| reservation == first_left);
            nth.map(|nth| BTreeSet::from([nth as u32]))
                .into_iter()
                .collect()
        }
        Outcome::Dedupe { elements, .. }
            if elements
                .iter()
                .any(|element| element.status == Errno::ENOSPC.status()) =>
        {
            let rest = (1..nr_made).map(|from| (from..nr_made).collect());
            each(1).chain(rest).collect()
        }
        _ => vec![BTreeSet::new()],
    }
}

/// Returns before which reservations dirty data may have been written back, if those of `fails`
/// found no space.
fn reclaims(
    before: &Sequential,
    plain: &mut Sequential,
    exchange: &Exchange,
    seen: &Reply,
    made: &[Reservation],
    fails: &BTreeSet<u32>,
) -> Vec<BTreeSet<u32>> {
    let interrupted = interrupted(before, plain, exchange, seen, made);
    let last = made.len().saturating_sub(1) as u32;
    let mut sets = vec![
        BTreeSet::new(),
        interrupted.clone(),
        BTreeSet::from([0]),
        &interrupted | &BTreeSet::from([0]),
        BTreeSet::from([last]),
        &interrupted | &BTreeSet::from([last]),
        BTreeSet::from([0, last]),
    ];
    let singles = (0..made.len() as u32).map(|nth| BTreeSet::from([nth]));
    sets.extend(singles.clone());
    sets.extend(singles.map(|single| &interrupted | &single));
    let with_fails = sets.iter().map(|set| set | fails);
    let mut all: Vec<BTreeSet<u32>> = Vec::new();
    for set in with_fails.chain(sets.iter().cloned()) {
        if !all.contains(&set) {
            all.push(set);
        }
    }
    all
}

/// Returns the reservations of pages at which an extent begins or dirty pages do: a write that was
/// interrupted there.
fn interrupted(
    before: &Sequential,
    plain: &mut Sequential,
    exchange: &Exchange,
    seen: &Reply,
    made: &[Reservation],
) -> BTreeSet<u32> {
    let Op::Write { name, .. } = &exchange.op else {
        return BTreeSet::new();
    };
    let nth = exchange.probes.iter().position(|probe| probe.name == *name);
    let layout = nth.and_then(|nth| seen.layouts.get(nth)?.as_ref());
    let (Some(layout), Some(id)) = (layout, plain.id_of(name)) else {
        return BTreeSet::new();
    };
    let dirty = layout.dirty.iter().map(|(start, _)| *start);
    let starts: Offsets = new_ends(before, id, layout)
        .into_iter()
        .chain(dirty)
        .collect();
    let mut is_first = true;
    let is_start = |(_, reservation): &(usize, &Reservation)| match reservation {
        Reservation::Page(at) => !std::mem::take(&mut is_first) && starts.contains(at),
        Reservation::Trees => false,
    };
    let pages = made.iter().enumerate().filter(is_start);
    pages.map(|(nth, _)| nth as u32).collect()
}

/// Returns where the extents begin and end that are new since `before`.
fn cuts(
    before: &Sequential,
    plain: &mut Sequential,
    exchange: &Exchange,
    seen: &Reply,
) -> Shortage {
    let mut cuts = Shortage::default();
    for (probe, layout) in exchange.probes.iter().zip(&seen.layouts) {
        let (Some(layout), Some(id)) = (layout, plain.id_of(&probe.name)) else {
            continue;
        };
        let ends = new_ends(before, id, layout);
        if !ends.is_empty() {
            cuts.cuts.insert(id, ends);
        }
    }
    cuts
}

/// Returns where in a file the extents begin and end that it did not have before.
fn new_ends(before: &Sequential, id: InodeId, layout: &Layout) -> Offsets {
    let extents = layout
        .items
        .iter()
        .filter_map(|item| SeenExtent::of(id, item));
    let new = extents.filter(|(extent, _)| !before.seen_extents.contains(extent));
    new.flat_map(|(extent, end)| [extent.start(), end])
        .collect()
}

/// Returns the inodes that a kernel shows with fewer dirty pages than there would be with space, if
/// those are not all that are dirty.
fn reclaimed(
    plain: &mut Sequential,
    exchange: &Exchange,
    seen: &Reply,
) -> Option<BTreeSet<InodeId>> {
    let mut dirty = BTreeSet::new();
    let mut written = BTreeSet::new();
    for (probe, layout) in exchange.probes.iter().zip(&seen.layouts) {
        let (Some(layout), Some(id)) = (layout, plain.id_of(&probe.name)) else {
            continue;
        };
        let ours = plain.machine().fs().unwritten(id);
        if !ours.is_empty() {
            dirty.insert(id);
            if ours != layout.dirty {
                written.insert(id);
            }
        }
    }
    (!written.is_empty() && written != dirty).then_some(written)
}
