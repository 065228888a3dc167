//! Where the SHARED flag of a map is left open: [`Touching`].
//!
//! A kernel that draws maps from its extent map cache merges maps of different extents that touch,
//! in the file and on disk, and asks for the first of them only whether it is shared. The rest
//! keeps that answer when the first is long gone. Where extents lie on disk is the allocator's
//! choice, which nobody here knows beforehand. A call may cut such a map again before anybody
//! looks: then the rest of that extent in the same look has come of it, too.

use std::ops::Range;

use scenario::MapRun;

use super::map::is_alike;

/// The parts of one file of which this was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Touching {
    parts: Vec<Part>,
    /// The end of the observed run in which another extent began.
    merged_end: u64,
    /// What was seen to touch in the map that is looked at.
    lines: Vec<Line>,
    /// How far that map was looked at.
    look_end: u64,
}

/// One extent on both sides: what to add to a file offset for its storage, which may wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    left: u64,
    right: u64,
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
        if range.start < self.look_end {
            self.lines.clear();
        }
        self.look_end = range.end;
        let (left_storage, storage) = left.storage.zip(right.storage)?;
        let line = Line {
            left: left_storage.0.wrapping_sub(left.offset),
            right: storage.0.wrapping_sub(right.offset),
        };
        let storage = storage.0 + (range.start - right.offset);
        // The observed run goes on where the expected one begins: another extent, next to it.
        let is_inside = right.offset < range.start;
        if !is_inside {
            self.merged_end = 0;
        } else if left.offset == range.start {
            self.merged_end = right.offset.saturating_add(right.len);
        }
        let touches = is_inside && range.end <= self.merged_end;
        if touches {
            self.lines.push(line);
        }
        if touches || self.lines.contains(&line) {
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
