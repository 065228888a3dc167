//! Simpler lists in the place of a list: [`lists`]. Bytes are spelled in letters, two files become
//! one, and what is not needed of a file's range of bytes is cut out of all operations at once.

use std::collections::{BTreeMap, BTreeSet};

use data::{Content, Fill};
use scenario::{Fd, Name, Op};

use super::cuts;
use super::simpler::{BLOCK, FIRST_LETTER};

/// Above this many operations only bytes are made simpler.
const NR_OPS_MAX: usize = 32;
/// How many letters there are.
const NR_LETTERS: usize = 150;

/// Returns candidates for the whole list, the simplest first.
pub(super) fn lists(ops: &[Op]) -> Vec<Vec<Op>> {
    let mut candidates = Vec::new();
    let one_letter = |content: &Content| Some(Content::byte(FIRST_LETTER, content.len()));
    candidates.extend(with_contents(ops, one_letter));
    let mut letters = Letters::default();
    candidates.extend(with_contents(ops, |content| letters.spell(content)));
    if ops.len() <= NR_OPS_MAX {
        candidates.extend(without_snapshots(ops));
        candidates.extend(merged(ops));
        candidates.extend(cuts::lists(ops));
    }
    candidates.retain(|candidate| candidate != ops);
    candidates
}

/// Returns the list with other contents of the writes, if all have one.
fn with_contents(
    ops: &[Op],
    mut change: impl FnMut(&Content) -> Option<Content>,
) -> Option<Vec<Op>> {
    let change_op = |op: &Op| match op {
        Op::Write {
            name,
            offset,
            content,
        } => Some(Op::Write {
            name: name.clone(),
            offset: *offset,
            content: change(content)?,
        }),
        op => Some(op.clone()),
    };
    ops.iter().map(change_op).collect()
}

/// What a letter stands for: bytes that are never cut apart.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Byte(u8),
    Block { seed: u64, nr: u64 },
    Literal(Vec<u8>),
}

/// Which letter stands for which bytes.
#[derive(Default)]
struct Letters {
    of: BTreeMap<Piece, u8>,
}

impl Letters {
    /// Returns a content of the same length in which equal blocks of patterns are equal letters,
    /// and zeros are zeros; `None` if the letters do not suffice.
    fn spell(&mut self, content: &Content) -> Option<Content> {
        let mut spelled = Content::new();
        for run in content.runs() {
            match run.fill() {
                Fill::Byte(0) => spelled.append(Content::zeros(run.len())),
                Fill::Byte(byte) => {
                    let letter = self.letter(Piece::Byte(*byte))?;
                    spelled.append(Content::byte(letter, run.len()));
                }
                Fill::Pattern { seed, at } => {
                    let mut skip = 0;
                    while skip < run.len() {
                        let at = at.wrapping_add(skip);
                        let len = (BLOCK - at % BLOCK).min(run.len() - skip);
                        let nr = at / BLOCK;
                        let letter = self.letter(Piece::Block { seed: *seed, nr })?;
                        spelled.append(Content::byte(letter, len));
                        skip += len;
                    }
                }
                Fill::Literal { .. } => {
                    let bytes = run.as_literal().unwrap_or_default().to_vec();
                    let letter = self.letter(Piece::Literal(bytes))?;
                    spelled.append(Content::byte(letter, run.len()));
                }
            }
        }
        Some(spelled)
    }

    fn letter(&mut self, piece: Piece) -> Option<u8> {
        let nr_known = self.of.len();
        if let Some(&letter) = self.of.get(&piece) {
            return Some(letter);
        }
        if nr_known == NR_LETTERS {
            return None;
        }
        let letter = FIRST_LETTER + u8::try_from(nr_known).ok()?;
        self.of.insert(piece, letter);
        Some(letter)
    }
}

/// Returns the list without what a file needs: operations on it alone go, elements too.
pub(super) fn without_file(ops: &[Op], name: &Name) -> Vec<Op> {
    let is_it = |fd: &Fd| fd.name() == Some(name);
    let mut candidate = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Dedupe(call) if !is_it(&call.source) => {
                let mut call = call.clone();
                call.targets.retain(|target| !is_it(&target.fd));
                if !call.targets.is_empty() {
                    candidate.push(Op::Dedupe(call));
                }
            }
            op if op.names().contains(&name) => {}
            op => candidate.push(op.clone()),
        }
    }
    candidate
}

/// Returns lists in which one file takes the part of another as well.
fn merged(ops: &[Op]) -> Vec<Vec<Op>> {
    let files: BTreeSet<&Name> = ops
        .iter()
        .filter(|op| !matches!(op, Op::Dir { .. } | Op::Subvol { .. } | Op::Fifo { .. }))
        .flat_map(Op::names)
        .filter(|name| !name.is_top())
        .collect();
    let mut candidates = Vec::new();
    for from in &files {
        // Into the shorter name, and into the first of two: so that it ends.
        let simpler = |to: &Name| (to.as_str().len(), to) < (from.as_str().len(), *from);
        for to in files.iter().filter(|to| simpler(to)) {
            candidates.push(renamed(ops, from, to));
        }
    }
    candidates
}

/// Returns the list with every mention of `from` replaced by `to`, which is not created twice.
fn renamed(ops: &[Op], from: &Name, to: &Name) -> Vec<Op> {
    let is_creation = |op: &Op| matches!(op, Op::File { name, .. } if name == to);
    let mut candidate: Vec<Op> = Vec::with_capacity(ops.len());
    for op in ops {
        let mut op = op.clone();
        for name in op.names_mut() {
            if name == from {
                *name = to.clone();
            }
        }
        if !is_creation(&op) || !candidate.iter().any(is_creation) {
            candidate.push(op);
        }
    }
    candidate
}

/// Returns lists in which a file takes the part of its copy in a snapshot, for each snapshot one:
/// what happens to the file itself after that goes, and so does what the snapshot alone needs.
fn without_snapshots(ops: &[Op]) -> Vec<Vec<Op>> {
    let mut candidates = Vec::new();
    for (op, idx) in ops.iter().zip(0..) {
        let Op::Snapshot { source, target, .. } = op else {
            continue;
        };
        let (before, behind) = (&ops[..idx], &ops[idx + 1..]);
        let original = |name: &Name| name.moved(target, source).filter(|to| to != source);
        let names = behind.iter().flat_map(Op::names);
        let originals: BTreeSet<Name> = names.filter_map(original).collect();
        let mut candidate = before.to_vec();
        for op in behind {
            let is_in_the_way = |name: &&Name| originals.contains(*name) || *name == target;
            if op.names().iter().any(is_in_the_way) {
                continue;
            }
            let mut op = op.clone();
            for name in op.names_mut() {
                if let Some(to) = original(name) {
                    *name = to;
                }
            }
            candidate.push(op);
        }
        candidates.push(candidate);
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(lines: &[&str]) -> Vec<Op> {
        lines
            .iter()
            .map(|line| line.parse().expect("an operation"))
            .collect()
    }

    #[track_caller]
    fn assert_has(before: &[&str], after: &[&str]) {
        let candidates = lists(&ops(before));
        assert!(candidates.contains(&ops(after)), "{candidates:#?}");
    }

    #[test]
    fn equal_blocks_of_patterns_become_equal_letters_and_zeros_stay() {
        assert_has(
            &[
                "pwrite A 0 12k seed=7@0",
                "pwrite B 1k 5k seed=7@4k + 1k zero",
            ],
            &[
                "pwrite A 0 4k 0x61 + 4k 0x62 + 4k 0x63",
                "pwrite B 1k 4k 0x62 + 1k 0x63 + 1k zero",
            ],
        );
    }

    #[test]
    fn two_files_become_one_with_one_creation() {
        assert_has(
            &[
                "file A",
                "file B",
                "pwrite B 0 4k 0x61",
                "dedupe A 0 4k => B 0",
            ],
            &["file A", "pwrite A 0 4k 0x61", "dedupe A 0 4k => A 0"],
        );
    }

    #[test]
    fn a_file_takes_the_part_of_its_copy_in_a_snapshot() {
        assert_has(
            &[
                "file A",
                "pwrite A 0 4k 0x61",
                "snapshot . S",
                "truncate A 0",
                "dedupe S/A 0 4k => B 0",
            ],
            &["file A", "pwrite A 0 4k 0x61", "dedupe A 0 4k => B 0"],
        );
    }

    #[test]
    fn what_lies_below_all_offsets_is_cut_out() {
        assert_has(
            &["pwrite A 208k 3409 0x61", "dedupe A 208k 3409 => B 84k"],
            &["pwrite A 0 3409 0x61", "dedupe A 0 3409 => B 84k"],
        );
    }

    #[test]
    fn a_dedupe_loses_a_part_with_the_bytes_on_both_sides() {
        assert_has(
            &[
                "pwrite A 124532 388 0x61",
                "pwrite B 112k 5748 zero + 388 0x61",
                "dedupe A 116k 6136 => B 112k",
            ],
            &[
                "pwrite A 120436 388 0x61",
                "pwrite B 112k 1652 zero + 388 0x61",
                "dedupe A 116k 2040 => B 112k",
            ],
        );
    }
}
