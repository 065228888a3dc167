//! Names for storage by first appearance: [`Labels`].
//!
//! A label says which places are the same and which are not. Where they lie is an accident of one
//! backend's allocator and cannot be seen through it.

use std::collections::BTreeMap;
use std::fmt;

use crate::{MapFlags, MapRun, Storage};

/// The labels handed out so far.
///
/// A stretch of a file's map whose storage was not seen before gets the next label, `x0`, `x1`,
/// ...; a place `d` bytes into the stretch is `xN+d`. A stretch ends where the file has a hole, a
/// run without storage, or storage that was seen before, but not where the storage jumps: two
/// backends whose storage corresponds block by block print the same text.
///
/// Storage that was freed and used again keeps its old label, and when that happens differs
/// between backends: text that is to be equal on two of them needs new labels for each answer.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Disjoint stretches of storage by their first byte.
    pieces: BTreeMap<u64, Piece>,
    nr_labels: u32,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    len: u64,
    place: Place,
}

/// A place inside a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    label: u32,
    offset: u64,
}

/// A run of a map with the place at which its first byte lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelledRun {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) place: Option<Place>,
    pub(super) flags: MapFlags,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x{}", self.label)?;
        if self.offset != 0 {
            write!(f, "+{}", super::Size(self.offset))?;
        }
        Ok(())
    }
}

impl Labels {
    /// Returns labels of which none was handed out.
    pub fn new() -> Labels {
        Labels::default()
    }

    /// Returns the runs of one file's map with labels, adjacent ones merged where nothing tells
    /// them apart.
    pub(super) fn label(&mut self, map: &[MapRun]) -> Vec<LabelledRun> {
        let mut labelled: Vec<LabelledRun> = Vec::with_capacity(map.len());
        // Where the new stretch goes on, if the last piece was new: file offset and place.
        let mut open: Option<(u64, Place)> = None;
        for run in map {
            let Some(storage) = run.storage else {
                open = None;
                let MapRun {
                    offset, len, flags, ..
                } = *run;
                push(
                    &mut labelled,
                    LabelledRun {
                        offset,
                        len,
                        place: None,
                        flags,
                    },
                );
                continue;
            };
            let mut done = 0;
            loop {
                let left = run.len - done;
                // Wrapping here and below: offsets of a hostile map may be anything.
                let offset = run.offset.wrapping_add(done);
                let (len, place) = match self.known(storage, done, left) {
                    Ok(known) => {
                        open = None;
                        known
                    }
                    Err(len) => {
                        let place = match open {
                            Some((end, place)) if end == offset => place,
                            _ => self.next_label(),
                        };
                        self.keep(storage, done, len, place);
                        let next = Place {
                            offset: place.offset.wrapping_add(len),
                            ..place
                        };
                        open = Some((offset.wrapping_add(len), next));
                        (len, place)
                    }
                };
                let piece = LabelledRun {
                    offset,
                    len,
                    place: Some(place),
                    flags: run.flags,
                };
                push(&mut labelled, piece);
                done += len;
                if run.len <= done {
                    break;
                }
            }
        }
        labelled
    }

    /// Returns how far the storage `done` bytes behind `storage` is known, and its place; or as
    /// an error, how far it is unknown. Neither is more than `left`.
    fn known(&self, storage: Storage, done: u64, left: u64) -> Result<(u64, Place), u64> {
        let start = storage.0.wrapping_add(done);
        if let Some((first, piece)) = self.pieces.range(..=start).next_back() {
            let skip = start - first;
            if skip < piece.len {
                let place = piece.place;
                let offset = place.offset.wrapping_add(skip);
                return Ok((left.min(piece.len - skip), Place { offset, ..place }));
            }
        }
        let gap = match self.pieces.range(start..).next() {
            Some((next, _)) => next - start,
            None => (u64::MAX - start).max(1),
        };
        Err(left.min(gap))
    }

    fn keep(&mut self, storage: Storage, done: u64, len: u64, place: Place) {
        if 0 < len {
            self.pieces
                .insert(storage.0.wrapping_add(done), Piece { len, place });
        }
    }

    fn next_label(&mut self) -> Place {
        let label = self.nr_labels;
        self.nr_labels += 1;
        Place { label, offset: 0 }
    }
}

/// Appends a run, or lengthens the last one if the new one merely goes on.
fn push(labelled: &mut Vec<LabelledRun>, next: LabelledRun) {
    if let Some(last) = labelled.last_mut() {
        let is_place_next = match (last.place, next.place) {
            (Some(one), Some(two)) => {
                one.label == two.label && one.offset.checked_add(last.len) == Some(two.offset)
            }
            (None, None) => true,
            _ => false,
        };
        let is_next = last.offset.checked_add(last.len) == Some(next.offset);
        if is_next && is_place_next && last.flags == next.flags {
            last.len = last.len.saturating_add(next.len);
            return;
        }
    }
    labelled.push(next);
}
