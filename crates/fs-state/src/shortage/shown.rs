//! What a file looks like after an operation where space was short: [`Shown`].

use std::collections::BTreeSet;

/// What a file looks like after an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The extents that it got, as (start, end): where their first and last bytes would lie in the
    /// file.
    pub extents: BTreeSet<(u64, u64)>,
    /// Its dirty pages, as (start, end).
    pub dirty: Vec<(u64, u64)>,
    /// What is preallocated, as (start, end).
    pub prealloc: Vec<(u64, u64)>,
    /// What is written where the same space was seen to be preallocated before, as (start, end),
    /// touching ones joined.
    pub in_place: Vec<(u64, u64)>,
    /// Whether it is in the tree.
    pub is_inline: bool,
}

/// Whether a file got extents in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// It did not.
    None,
    /// It did, and all of them lie within the range, or some of them make it up: another one may
    /// have been written over a part of that.
    Inside,
    /// One of them reaches over an end of the range, and those within do not make it up.
    Across,
}

impl Shown {
    /// Returns whether there are new extents within `start..end`.
    pub(super) fn got_within(&self, start: u64, end: u64) -> Got {
        let touching = self.extents.range(..(end, 0));
        let touching = touching.filter(|(_, to)| start < *to);
        touching.fold(Got::None, |got, &(from, to)| match got {
            Got::None | Got::Inside if start <= from && to <= end => Got::Inside,
            _ if self.is_made_up(start, end) => Got::Inside,
            _ => Got::Across,
        })
    }

    /// Returns whether new extents make up `start..end`, the longest ones first.
    fn is_made_up(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            let mut from_here = self.extents.range((at, 0)..=(at, end));
            match from_here.next_back() {
                Some((_, to)) => at = *to,
                None => return false,
            }
        }
        true
    }

    /// Takes out the longest of its new extents that begin at `start`, and end by `end`; returns
    /// where that ends.
    pub(super) fn take_from(&mut self, start: u64, end: u64) -> Option<u64> {
        let extent = *self.extents.range((start, 0)..=(start, end)).next_back()?;
        self.extents.remove(&extent);
        Some(extent.1)
    }

    /// Returns where the first of its new extents begins that lies within `start..end`, but not
    /// at the beginning.
    pub(super) fn next_start(&self, start: u64, end: u64) -> Option<u64> {
        let mut inside = self.extents.range((start + 1, 0)..(end, 0));
        inside.find(|(_, to)| *to <= end).map(|(from, _)| *from)
    }
}
