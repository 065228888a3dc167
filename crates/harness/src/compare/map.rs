//! Two maps of one file, run by run.
//!
//! It pairs the storage of the two sides; whether the pairs fit together is not known here.

use scenario::{MapRun, Name, Storage};

use super::touching::Touching;
use crate::bijection::Stretch;
use crate::difference::Difference;
use crate::tally::OpenShares;

/// A part of a file with its storage on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// Offset in the file, bytes.
    pub(super) offset: u64,
    pub(super) stretch: Stretch,
}

/// What two maps have in common.
pub(super) struct Compared {
    /// The storage that corresponds, neighbours merged.
    pub(super) pairs: Vec<Pair>,
    /// How many parts are told otherwise than expected, where that is open.
    pub(super) open_shares: OpenShares,
}

/// Compares flags and pairs the storage. With `touching`, the SHARED flag of what touches on disk
/// what lies before it in the file is left open, and stays so ([`Touching`]).
pub(super) fn compare(
    name: &Name,
    left: &[MapRun],
    right: &[MapRun],
    mut touching: Option<&mut Touching>,
    differences: &mut Vec<Difference>,
) -> Compared {
    let mut open_shares = OpenShares::default();
    let is_from_cache = touching.is_some();
    let mut pairs: Vec<Pair> = Vec::with_capacity(left.len());
    let (mut left, mut right) = (Cursor::new(left), Cursor::new(right));
    let mut at = 0;
    while let Some(start) = nearest(left.next_edge(at), right.next_edge(at)) {
        // From the edge on, both sides are the same up to the next edge of either.
        at = start;
        let (left_run, right_run) = (left.at(at), right.at(at));
        let told = left_run.map(|run| closed(run, right_run));
        let shares = |run: &MapRun| run.flags.is_shared;
        if left_run.map(shares) != told.as_ref().map(shares) {
            let is_compressed = left_run.is_some_and(|run| run.flags.is_encoded);
            match is_from_cache && is_compressed {
                true => open_shares.nr_before_compressed += 1,
                false => open_shares.nr_by_leaves += 1,
            }
        }
        let left_run = told.as_ref();
        let end = nearest(left.next_edge(at + 1), right.next_edge(at + 1)).unwrap_or(at);
        if end <= at {
            break;
        }
        let borrowed = touching.as_deref_mut().and_then(|touching| {
            let (left, right) = left_run.zip(right_run)?;
            touching.borrowed(at..end, left, right)
        });
        open_shares.nr_borrowed += u64::from(borrowed.is_some());
        match (borrowed.as_ref().or(left_run), right_run) {
            (None, None) => {}
            // The address of packed bytes counts them unpacked: other extents lie there, too. Who
            // shares what is compared in the trees.
            (Some(left), Some(right)) if left.flags.is_encoded && is_alike(left, right) => {}
            (Some(left), Some(right)) if is_alike(left, right) => {
                if let (Some(Storage(left_at)), Some(Storage(right_at))) =
                    (left.storage, right.storage)
                {
                    let stretch = Stretch {
                        left: left_at + (at - left.offset),
                        right: right_at + (at - right.offset),
                        len: end - at,
                    };
                    push_pair(
                        &mut pairs,
                        Pair {
                            offset: at,
                            stretch,
                        },
                    );
                }
            }
            (left, right) => push_difference(name, at..end, left, right, differences),
        }
        at = end;
    }
    Compared { pairs, open_shares }
}

/// Returns the expected run with the observed SHARED flag if one of both says that this is open.
fn closed(left: &MapRun, right: Option<&MapRun>) -> MapRun {
    let mut told = *left;
    if let Some(right) = right {
        let is_open = left.flags.is_share_open || right.flags.is_share_open;
        if is_open {
            told.flags.is_shared = right.flags.is_shared;
        }
        told.flags.is_share_open = right.flags.is_share_open;
    }
    told
}

pub(super) fn is_alike(left: &MapRun, right: &MapRun) -> bool {
    left.flags == right.flags && left.storage.is_some() == right.storage.is_some()
}

fn nearest(one: Option<u64>, two: Option<u64>) -> Option<u64> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

fn push_pair(pairs: &mut Vec<Pair>, next: Pair) {
    if let Some(last) = pairs.last_mut() {
        let Stretch { left, right, len } = last.stretch;
        let is_next = last.offset + len == next.offset
            && left + len == next.stretch.left
            && right + len == next.stretch.right;
        if is_next {
            last.stretch.len += next.stretch.len;
            return;
        }
    }
    pairs.push(next);
}

fn push_difference(
    name: &Name,
    range: std::ops::Range<u64>,
    left: Option<&MapRun>,
    right: Option<&MapRun>,
    differences: &mut Vec<Difference>,
) {
    let told = |run: Option<&MapRun>| run.map(|run| (run.flags, run.storage.is_some()));
    let next = (told(left), told(right));
    if let Some(Difference::Map {
        name: last_name,
        range: last,
        left,
        right,
    }) = differences.last_mut()
        && last_name == name
        && last.end == range.start
        && (*left, *right) == next
    {
        last.end = range.end;
        return;
    }
    differences.push(Difference::Map {
        name: name.clone(),
        range,
        left: next.0,
        right: next.1,
    });
}

/// A walk over the runs of one map. Runs without length are not there: they say nothing.
struct Cursor<'a> {
    runs: &'a [MapRun],
}

impl<'a> Cursor<'a> {
    fn new(runs: &'a [MapRun]) -> Cursor<'a> {
        Cursor { runs }
    }

    /// Returns the first beginning or end of a run that is not before `at`, and passes over what
    /// ends before.
    fn next_edge(&mut self, at: u64) -> Option<u64> {
        while let [first, rest @ ..] = self.runs {
            if first.len != 0 && at <= first.offset.saturating_add(first.len) {
                break;
            }
            self.runs = rest;
        }
        let first = self.runs.first()?;
        if at <= first.offset {
            return Some(first.offset);
        }
        Some(first.offset.saturating_add(first.len))
    }

    /// Returns the run in which `at` lies; nothing before the last edge asked for.
    fn at(&self, at: u64) -> Option<&'a MapRun> {
        let mut runs = self.runs.iter().take_while(|run| run.offset <= at);
        runs.find(|run| at - run.offset < run.len)
    }
}
