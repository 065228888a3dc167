//! Both sides of a request in the page cache before the kernel compares them: [`Ahead`].
//!
//! The kernel's compare reads page by page and does not read ahead. What is asked for some
//! requests before is there in time, however long a disk takes for each.

use std::collections::VecDeque;

use volume::{FileRange, Volume};

use crate::plan::{Batch, Plan, Step};

/// Bytes that are read ahead, besides those of the next part.
const BYTES_MAX: u64 = 128 << 20;
/// Ranges that are read ahead, besides those of the next part: as many files are open.
const NR_RANGES_MAX: usize = 512;

/// What is read at once: of a step that shares its batch (part 0), of one that writes each batch.
/// What is copied then is read by who copies, before its turn ([`super::rewrite`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) step_idx: usize,
    pub(super) part_idx: usize,
}

/// How far a plan is read ahead.
pub(super) struct Ahead<'a> {
    plan: &'a Plan,
    /// The next part to be read.
    next: Part,
    /// Parts that are read and not done, with their bytes and ranges.
    pending: VecDeque<(Part, u64, usize)>,
    bytes: u64,
    nr_ranges: usize,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(plan: &'a Plan) -> Ahead<'a> {
        Ahead {
            plan,
            next: Part {
                step_idx: 0,
                part_idx: 0,
            },
            pending: VecDeque::new(),
            bytes: 0,
            nr_ranges: 0,
        }
    }

    /// Begins to read `part`, which is done now, and some that come behind it. Parts may be left
    /// out, and are done in their order.
    pub(super) fn read(&mut self, part: Part, volume: &mut dyn Volume) {
        while let Some(&(done, bytes, nr_ranges)) = self.pending.front()
            && done < part
        {
            self.pending.pop_front();
            self.bytes -= bytes;
            self.nr_ranges -= nr_ranges;
        }
        self.next = self.next.max(part);
        while let Some(ranges) = self.ranges_of_next() {
            let bytes = ranges.iter().map(|range| range.len).sum::<u64>();
            let is_full =
                BYTES_MAX < self.bytes + bytes || NR_RANGES_MAX < self.nr_ranges + ranges.len();
            if is_full && part < self.next {
                break;
            }
            volume.read_ahead(&ranges);
            self.pending.push_back((self.next, bytes, ranges.len()));
            self.bytes += bytes;
            self.nr_ranges += ranges.len();
            self.next.part_idx += 1;
        }
    }

    /// Returns the ranges of the next part; goes to the next step behind the last part of one.
    fn ranges_of_next(&mut self) -> Option<Vec<FileRange>> {
        loop {
            let Part { step_idx, part_idx } = self.next;
            let found = match (self.plan.steps.get(step_idx)?, part_idx) {
                (Step::Share { source, batch }, 0) => {
                    let source = FileRange {
                        file: *source,
                        offset: batch.offset,
                        len: batch.len,
                    };
                    Some(std::iter::once(source).chain(targets(batch)).collect())
                }
                (Step::Share { .. }, _) => None,
                (Step::Rewrite(rewriting), _) => {
                    let batch = rewriting.batches.get(part_idx);
                    batch.map(|batch| targets(batch).collect())
                }
            };
            if found.is_some() {
                return found;
            }
            self.next = Part {
                step_idx: step_idx + 1,
                part_idx: 0,
            };
        }
    }
}

fn targets(batch: &Batch) -> impl Iterator<Item = FileRange> {
    batch.targets.iter().map(|target| FileRange {
        file: target.file,
        offset: target.offset,
        len: batch.len,
    })
}
