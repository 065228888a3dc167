//! Stretches of files cut out of all operations of a list at once: [`lists`]. Every offset behind a
//! cut moves down, and every range loses what of it was cut out.

use std::collections::BTreeSet;

use data::Content;
use scenario::{DedupeCall, Name, Op};

use super::simpler::BLOCK;

/// Offsets from here on are chosen for their size and are never moved.
const OFFSET_MAX: u64 = 1 << 40;

/// A stretch of a file, bytes.
struct Cut<'a> {
    name: &'a Name,
    at: u64,
    len: u64,
}

/// Returns lists with one stretch less in one file, or in all files of a dedupe, longest first.
pub(super) fn lists(ops: &[Op]) -> Vec<Vec<Op>> {
    let mut candidates = Vec::new();
    for (idx, op) in ops.iter().enumerate() {
        if let Op::Dedupe(call) = op {
            candidates.extend(shorter_dedupes(ops, idx, call));
        }
    }
    let mut cuts: Vec<Cut<'_>> = Vec::new();
    let names: BTreeSet<&Name> = ops.iter().flat_map(Op::names).collect();
    for name in names {
        let points: Vec<u64> = points(ops, name).into_iter().collect();
        cuts.extend(points.windows(2).map(|pair| Cut {
            name,
            at: pair[0],
            len: pair[1] - pair[0],
        }));
        cuts.extend(points.windows(2).map(|pair| Cut {
            name,
            at: pair[0],
            len: (pair[1] - pair[0]) / 2 / BLOCK * BLOCK,
        }));
    }
    cuts.retain(|cut| 0 < cut.len);
    cuts.sort_by_key(|cut| std::cmp::Reverse(cut.len));
    candidates.extend(cuts.iter().map(|cut| without(ops, cut)));
    candidates
}

/// Returns the starts of blocks at which an operation begins or ends in a file, and 0.
fn points(ops: &[Op], name: &Name) -> BTreeSet<u64> {
    let mut points = BTreeSet::from([0]);
    let mut add = |own: Option<&Name>, offset: u64, len: u64| {
        if own == Some(name) && offset < OFFSET_MAX && len < OFFSET_MAX {
            points.extend([offset, offset + len].map(|point| point - point % BLOCK));
        }
    };
    for op in ops {
        match op {
            Op::Write {
                name,
                offset,
                content,
            }
            | Op::DirectWrite {
                name,
                offset,
                content,
            }
            | Op::MappedWrite {
                name,
                offset,
                content,
            } => add(Some(name), *offset, content.len()),
            Op::Truncate { name, size } => add(Some(name), *size, 0),
            Op::Fallocate {
                name, offset, len, ..
            }
            | Op::Punch { name, offset, len }
            | Op::Zero {
                name, offset, len, ..
            } => add(Some(name), *offset, *len),
            Op::Clone(call) => {
                add(call.source.name(), call.source_offset, call.len);
                add(call.target.name(), call.target_offset, call.len);
            }
            Op::Dedupe(call) => {
                add(call.source.name(), call.source_offset, call.len);
                for target in &call.targets {
                    add(target.fd.name(), target.offset, call.len);
                }
            }
            _ => {}
        }
    }
    points
}

/// Returns lists in which a dedupe is shorter and its bytes are gone from all its files.
fn shorter_dedupes(ops: &[Op], idx: usize, call: &DedupeCall) -> Vec<Vec<Op>> {
    let nr_whole = call.len / BLOCK;
    if OFFSET_MAX <= call.len || nr_whole == 0 || call.targets.is_empty() {
        return Vec::new();
    }
    let rest = call.len % BLOCK;
    // At least one block stays, or the partial one.
    let nr_most = if rest == 0 { nr_whole - 1 } else { nr_whole };
    let mut candidates = Vec::new();
    let mut nr_cut = nr_most;
    while 0 < nr_cut {
        for first in [0, nr_whole - nr_cut] {
            let (skip, len) = (first * BLOCK, nr_cut * BLOCK);
            candidates.extend(shorter_dedupe(ops, idx, call, skip, len));
        }
        nr_cut /= 2;
    }
    candidates.dedup();
    candidates
}

fn shorter_dedupe(
    ops: &[Op],
    idx: usize,
    call: &DedupeCall,
    skip: u64,
    len: u64,
) -> Option<Vec<Op>> {
    let mut spots: BTreeSet<(u64, &Name)> = BTreeSet::new();
    spots.insert((call.source_offset, call.source.name()?));
    for target in &call.targets {
        if let Some(name) = target.fd.name() {
            spots.insert((target.offset, name));
        }
    }
    let mut shorter = ops.to_vec();
    if let Op::Dedupe(call) = &mut shorter[idx] {
        call.len -= len;
    }
    // From the highest on: a cut moves what is above it.
    for (offset, name) in spots.into_iter().rev() {
        let at = offset.checked_add(skip)?;
        shorter = without(&shorter, &Cut { name, at, len });
    }
    Some(shorter)
}

/// Returns the list without a stretch of a file. The lengths of clones and dedupes stay.
fn without(ops: &[Op], cut: &Cut<'_>) -> Vec<Op> {
    let mut candidate = Vec::with_capacity(ops.len());
    for op in ops {
        let mut op = op.clone();
        match &mut op {
            Op::Write {
                name,
                offset,
                content,
            }
            | Op::DirectWrite {
                name,
                offset,
                content,
            }
            | Op::MappedWrite {
                name,
                offset,
                content,
            } if name == cut.name => {
                let start = cut.at.saturating_sub(*offset).min(content.len());
                let end = cut.at.saturating_add(cut.len).saturating_sub(*offset);
                let mut kept: Content = content.slice(0..start);
                kept.append(content.slice(end.clamp(start, content.len())..content.len()));
                if kept.is_empty() && !content.is_empty() {
                    continue;
                }
                *content = kept;
                cut.shift(offset);
            }
            Op::Truncate { name, size } if name == cut.name => cut.shift(size),
            Op::Fallocate {
                name, offset, len, ..
            }
            | Op::Punch { name, offset, len }
            | Op::Zero {
                name, offset, len, ..
            } if name == cut.name => {
                let mut end = offset.saturating_add(*len);
                cut.shift(&mut end);
                cut.shift(offset);
                *len = end - *offset;
            }
            Op::Clone(call) => {
                if call.source.name() == Some(cut.name) {
                    cut.shift(&mut call.source_offset);
                }
                if call.target.name() == Some(cut.name) {
                    cut.shift(&mut call.target_offset);
                }
            }
            Op::Dedupe(call) => {
                if call.source.name() == Some(cut.name) {
                    cut.shift(&mut call.source_offset);
                }
                for target in &mut call.targets {
                    if target.fd.name() == Some(cut.name) {
                        cut.shift(&mut target.offset);
                    }
                }
            }
            _ => {}
        }
        candidate.push(op);
    }
    candidate
}

impl Cut<'_> {
    /// Moves an offset down by what is cut out below it.
    fn shift(&self, offset: &mut u64) {
        if self.at < *offset && *offset < OFFSET_MAX {
            *offset = offset.saturating_sub(self.len).max(self.at);
        }
    }
}
