//! What is decided: which candidates go, and what is written anew for that.

use rustc_hash::FxHashSet;

use super::StayReason;
use super::candidates::{Candidate, Stays};
use crate::catalog::Catalog;
use crate::classes::Classes;

/// Which candidates go. What they have and no extent that stays has is written anew.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    /// By candidate, whether it goes.
    pub(crate) goes: Vec<bool>,
}

impl Decision {
    /// Returns, by extent, whether it goes.
    pub(crate) fn by_extent(&self, catalog: &Catalog, found: &[Candidate]) -> Vec<bool> {
        let mut goes = vec![false; catalog.len()];
        for (candidate, is_gone) in found.iter().zip(&self.goes) {
            goes[candidate.extent_idx as usize] = *is_gone;
        }
        goes
    }

    /// Counts the candidates that stay with something that is elsewhere, too; those in `crowding`
    /// because what they would be moved to has too many references.
    pub(crate) fn note_stays(
        &self,
        catalog: &Catalog,
        classes: &Classes,
        found: &[Candidate],
        crowding: &FxHashSet<usize>,
        stays: &mut Stays,
    ) {
        for (candidate, idx) in found.iter().zip(0..).filter(|(_, idx)| !self.goes[*idx]) {
            let known = catalog.known(candidate.extent_idx);
            let nr = classes.nr_within(&known);
            let reason = match crowding.contains(&idx) {
                true => StayReason::TooManyReferences,
                false => StayReason::Needed,
            };
            if 0 < nr {
                stays.add(reason, u64::from(nr) * catalog.block);
            }
        }
    }
}
