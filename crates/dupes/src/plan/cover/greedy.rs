//! A cover by the greedy rule, without what is not needed: good, and fast however large it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Meter, Set, nr_elements};
use crate::report::Stopped;

/// Returns which sets cover every element: the cheapest by weight for each new element first,
/// then without those whose elements others cover, heaviest first. Each set is a step.
///
/// # Errors
/// If the watch says stop.
pub(super) fn cover(sets: &[Set], meter: &mut Meter<'_>) -> Result<Vec<usize>, Stopped> {
    let mut nr_covering = vec![0_u32; nr_elements(sets)];
    let mut queue: BinaryHeap<_> = (0..sets.len())
        .map(|set_idx| Reverse((price(&sets[set_idx], &nr_covering), set_idx)))
        .collect();
    let mut chosen = Vec::new();
    while let Some(Reverse((old_price, set_idx))) = queue.pop() {
        // Prices only rise, so that one that has not is the least.
        let price = price(&sets[set_idx], &nr_covering);
        if price != Price::NOTHING_NEW && old_price < price {
            queue.push(Reverse((price, set_idx)));
            continue;
        }
        if price != Price::NOTHING_NEW {
            chosen.push(set_idx);
            cover_by(&sets[set_idx], &mut nr_covering);
        }
        meter.step()?;
    }
    Ok(without_needless(sets, chosen, &mut nr_covering))
}

/// What a set costs for each new element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Price(u64);

impl Price {
    const NOTHING_NEW: Price = Price(u64::MAX);
    /// Fractions of a byte.
    const SCALE: u64 = 1 << 16;
}

fn price(set: &Set, nr_covering: &[u32]) -> Price {
    let is_new = |element: &&u32| nr_covering[**element as usize] == 0;
    match set.elements.iter().filter(is_new).count() as u64 {
        0 => Price::NOTHING_NEW,
        nr_new => Price(set.weight.saturating_mul(Price::SCALE) / nr_new),
    }
}

fn cover_by(set: &Set, nr_covering: &mut [u32]) {
    set.elements
        .iter()
        .for_each(|&element| nr_covering[element as usize] += 1);
}

/// Drops the sets whose elements the rest covers.
fn without_needless(sets: &[Set], mut chosen: Vec<usize>, nr_covering: &mut [u32]) -> Vec<usize> {
    chosen.sort_by_key(|&set_idx| Reverse((sets[set_idx].weight, set_idx)));
    chosen.retain(|&set_idx| {
        let elements = &sets[set_idx].elements;
        let is_needed = elements
            .iter()
            .any(|&element| nr_covering[element as usize] == 1);
        if !is_needed {
            elements
                .iter()
                .for_each(|&element| nr_covering[element as usize] -= 1);
        }
        is_needed
    });
    chosen
}
