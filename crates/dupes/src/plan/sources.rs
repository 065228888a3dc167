//! Where equal blocks are that stay: [`Sources`].

use crate::catalog::{Catalog, ExtentIdx};
use crate::classes::{ClassId, Classes};

/// Most places of a class that are remembered: enough to find a long run, few enough to try all.
const NR_PLACES_MAX: u32 = 8;

/// A block within an extent.
pub(super) type Place = (ExtentIdx, u32);

/// By class, some blocks of it that stay.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    /// By class, where its places begin; one more than there are classes.
    firsts: Vec<u32>,
    places: Vec<Place>,
    /// By extent, whether it stays.
    stays: Vec<bool>,
}

impl Sources {
    /// Finds the blocks of extents that stay.
    pub(super) fn new(catalog: &Catalog, classes: &Classes, goes: &[bool]) -> Sources {
        let staying = || {
            let staying = catalog.iter().filter(|(idx, _)| !goes[*idx as usize]);
            staying.flat_map(|(idx, known)| {
                let own = classes.within(&known);
                own.map(move |(within, class)| (class, (idx, within)))
            })
        };
        let mut numbers = vec![0_u32; classes.len()];
        for (class, _) in staying() {
            let number = &mut numbers[class as usize];
            *number = (*number + 1).min(NR_PLACES_MAX);
        }
        let mut firsts = Vec::with_capacity(numbers.len() + 1);
        let mut next = 0;
        for number in &mut numbers {
            firsts.push(next);
            next += *number;
            *number = 0;
        }
        firsts.push(next);
        let mut places = vec![(0, 0); next as usize];
        for (class, place) in staying() {
            let (first, end) = (firsts[class as usize], firsts[class as usize + 1]);
            let number = &mut numbers[class as usize];
            if first + *number < end {
                places[(first + *number) as usize] = place;
                *number += 1;
            }
        }
        let stays = goes.iter().map(|goes| !goes).collect();
        Sources {
            firsts,
            places,
            stays,
        }
    }

    /// Returns blocks of a class that stay.
    pub(super) fn of(&self, class: ClassId) -> &[Place] {
        let range = self.firsts[class as usize]..self.firsts[class as usize + 1];
        &self.places[range.start as usize..range.end as usize]
    }

    /// Returns whether a block stays where it is.
    pub(super) fn stays(&self, place: Place) -> bool {
        self.stays[place.0 as usize]
    }
}
