//! Where the SHARED flag of a map is left open: [`Touching`].
//!
//! A kernel that draws maps from its extent map cache merges maps of different extents that touch,
//! in the file and on disk, and asks for the first of them only whether it is shared. The rest
//! keeps that answer when the first is long gone. Where extents lie on disk is the allocator's
//! choice, which nobody here knows beforehand.

use std::ops::Range;

use scenario::MapRun;

use super::map::is_alike;

/// The parts of one file of which this was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Touching {
    parts: Vec<Part>,
    /// The end of the observed run in which another extent began.
    merged_end: u64,
}

/// A part of the file and where it lies on the observed side, bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    range: Range<u64>,
    storage: u64,
}

/// Of how many parts is known that they touch.
const NR_PARTS_MAX: usize = 256;

impl Touching {
    /// Returns the expected run with the observed SHARED flag, if they differ in nothing else and
    /// the flag is open in `range`. Asked for every range of a map in file order.
    pub(super) fn borrowed(
        &mut self,
        range: Range<u64>,
        left: &MapRun,
        right: &MapRun,
    ) -> Option<MapRun> {
        let (_, storage) = left.storage.zip(right.storage)?;
        let storage = storage.0 + (range.start - right.offset);
        // The observed run goes on where the expected one begins: another extent, next to it.
        let is_inside = right.offset < range.start;
        if !is_inside {
            self.merged_end = 0;
        } else if left.offset == range.start {
            self.merged_end = right.offset.saturating_add(right.len);
        }
        if is_inside && range.end <= self.merged_end {
            self.add(Part {
                range: range.clone(),
                storage,
            });
        }
        let mut told = *left;
        told.flags.is_shared = right.flags.is_shared;
        let is_other = left.flags != told.flags;
        (is_other && is_alike(&told, right) && self.is_open(&range, storage)).then_some(told)
    }

    fn add(&mut self, part: Part) {
        if !self.is_open(&part.range, part.storage) {
            if self.parts.len() == NR_PARTS_MAX {
                self.parts.remove(0);
            }
            self.parts.push(part);
        }
    }

    fn is_open(&self, range: &Range<u64>, storage: u64) -> bool {
        self.parts.iter().any(|part| {
            part.range.start <= range.start
                && range.end <= part.range.end
                && storage.checked_sub(part.storage) == Some(range.start - part.range.start)
        })
    }
}
