//! Which extents stay when every distinct block is to be stored once: a packing of large weight.
//!
//! What is used in the end is the same whichever extents stay, as long as no two of them have
//! anything in common and none has a part to which nothing refers: each distinct block once.
//! What is written is what no extent that stays has; so those that stay are to be large. The
//! greedy rule takes what has nothing that is there already, in the better one of two orders.

use std::cmp::Reverse;

use super::{Candidate, Decision, Meter, candidates};
use crate::catalog::Catalog;
use crate::classes::Classes;
use crate::report::Stopped;
use crate::watch::{Phase, Watch};

/// Parts of a whole that shares are told apart by.
const SHARE_SCALE: u64 = 1 << 12;

/// In which order extents are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The largest first: of copies that are long and short, the long ones stay.
    BySize,
    /// Those first of which least is anywhere else: they stand in the way of least.
    ByShare,
}

/// Decides that whatever is there twice goes, and what has parts that nobody refers to.
///
/// # Errors
/// If the watch says stop.
pub(super) fn decide(
    catalog: &Catalog,
    classes: &Classes,
    found: &[Candidate],
    watch: &mut dyn Watch,
) -> Result<Decision, Stopped> {
    let is_stored = candidates::stored_besides(catalog, classes, found.iter());
    let mut tried = |order| -> Result<(u64, Decision), Stopped> {
        let meter = Meter::begin(watch, Phase::Decide, found.len())?;
        let decision = pack(catalog, classes, found, is_stored.clone(), order, meter)?;
        let stays = found.iter().zip(&decision.goes).filter(|(_, goes)| !**goes);
        let nr_live = |(candidate, _): (&Candidate, &bool)| {
            u64::from(catalog.known(candidate.extent_idx).nr_live())
        };
        Ok((stays.map(nr_live).sum::<u64>(), decision))
    };
    let by_size = tried(Order::BySize)?;
    let by_share = tried(Order::ByShare)?;
    // The less stays, the more is written.
    Ok(match by_size.0 < by_share.0 {
        true => by_share.1,
        false => by_size.1,
    })
}

/// Decides by the greedy rule in one order; each extent is a step.
fn pack(
    catalog: &Catalog,
    classes: &Classes,
    found: &[Candidate],
    mut is_stored: Vec<bool>,
    by: Order,
    mut meter: Meter<'_>,
) -> Result<Decision, Stopped> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by_cached_key(|&idx| {
        let candidate = &found[idx];
        let known = catalog.known(candidate.extent_idx);
        let nr_live = u64::from(known.nr_live());
        let share = match by {
            Order::BySize => 0,
            Order::ByShare => {
                let nr = classes.nr_within(&known);
                u64::from(nr) * SHARE_SCALE / nr_live.max(1)
            }
        };
        // What cannot be written anew has to know first whether it stays.
        let rank = (candidate.may_be_rewritten, share, Reverse(nr_live));
        (
            rank,
            Reverse(candidate.references.len()),
            candidate.extent_idx,
        )
    });
    let mut goes = vec![false; found.len()];
    for idx in order {
        let candidate = &found[idx];
        let known = catalog.known(candidate.extent_idx);
        let mut own = Vec::with_capacity(known.nr_live() as usize);
        own.extend(classes.within(&known).map(|(_, class)| class));
        let is_elsewhere = |class: &u32| is_stored[*class as usize];
        goes[idx] = if candidate.may_be_rewritten {
            let nr_own = own.len();
            own.sort_unstable();
            own.dedup();
            let has_waste = u64::from(known.nr_live()) * catalog.block < known.extent.ram_bytes;
            has_waste || own.len() < nr_own || own.iter().any(is_elsewhere)
        } else {
            candidate.is_all_duplicate && own.iter().all(is_elsewhere)
        };
        if !goes[idx] {
            own.iter()
                .for_each(|&class| is_stored[class as usize] = true);
        }
        meter.step()?;
    }
    Ok(Decision { goes })
}
