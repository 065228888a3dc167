//! Which leftovers are worth writing anew: where at least twice as much is freed.

use std::collections::BinaryHeap;

use super::{Candidate, Decision, Meter};
use crate::catalog::Catalog;
use crate::classes::{ClassId, Classes};
use crate::report::Stopped;
use crate::watch::{Phase, Watch};

/// Bytes that have to be freed for each byte that is written.
const FREED_FOR_WRITTEN: u64 = 2;

/// Lets further extents go, the largest gain first, as long as it is a bargain.
///
/// # Errors
/// If the watch says stop.
pub(super) fn improve(
    catalog: &Catalog,
    classes: &Classes,
    found: &[Candidate],
    decision: &mut Decision,
    watch: &mut dyn Watch,
) -> Result<(), Stopped> {
    let mut nr_stored = nr_stored(catalog, classes, &decision.by_extent(catalog, found));
    let may_go = |idx: &usize| !decision.goes[*idx] && found[*idx].may_be_rewritten;
    let open: Vec<usize> = (0..found.len()).filter(may_go).collect();
    let mut queue: BinaryHeap<(u64, usize)> = open
        .into_iter()
        .filter_map(|idx| Some((gain(catalog, classes, &found[idx], &nr_stored)?, idx)))
        .collect();
    let mut meter = Meter::begin(watch, Phase::Decide, queue.len())?;
    while let Some((old_gain, idx)) = queue.pop() {
        // Gains only fall, so that one that has not is the largest.
        let gain = gain(catalog, classes, &found[idx], &nr_stored);
        if let Some(gain) = gain.filter(|gain| *gain < old_gain) {
            queue.push((gain, idx));
            continue;
        }
        meter.step()?;
        if gain.is_none() {
            continue;
        }
        decision.goes[idx] = true;
        for class in own(catalog, classes, &found[idx]) {
            let nr = &mut nr_stored[class as usize];
            // What was here only is written, and so is stored again.
            *nr = (*nr - 1).max(1);
        }
    }
    Ok(())
}

/// Returns the bytes that are won if an extent goes, if that is a bargain.
fn gain(
    catalog: &Catalog,
    classes: &Classes,
    candidate: &Candidate,
    nr_stored: &[u32],
) -> Option<u64> {
    let known = catalog.known(candidate.extent_idx);
    let mut own: Vec<ClassId> = own(catalog, classes, candidate).collect();
    let nr_unique = u64::from(known.nr_live()) - own.len() as u64;
    own.sort_unstable();
    let of_class = own.chunk_by(|one, other| one == other);
    let is_only_here = |same: &&[ClassId]| nr_stored[same[0] as usize] as usize <= same.len();
    let nr_written = nr_unique + of_class.filter(is_only_here).count() as u64;
    let written_bytes = nr_written * catalog.block;
    let freed_bytes = known.extent.disk_bytes;
    (FREED_FOR_WRITTEN * written_bytes <= freed_bytes).then(|| freed_bytes - written_bytes)
}

/// Returns the classes of a candidate's blocks.
fn own<'a>(
    catalog: &'a Catalog,
    classes: &'a Classes,
    candidate: &'a Candidate,
) -> impl Iterator<Item = ClassId> + 'a {
    let known = catalog.known(candidate.extent_idx);
    classes.within(&known).map(|(_, class)| class)
}

/// Returns, by class, how many blocks of it extents have that stay.
fn nr_stored(catalog: &Catalog, classes: &Classes, goes: &[bool]) -> Vec<u32> {
    let mut nr_stored = vec![0; classes.len()];
    for (extent_idx, known) in catalog.iter() {
        if !goes[extent_idx as usize] {
            let own = classes.within(&known);
            own.for_each(|(_, class)| nr_stored[class as usize] += 1);
        }
    }
    nr_stored
}
