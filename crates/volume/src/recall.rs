//! What a volume may remember of the blocks of extents: [`Recalled`], and what it may be told to
//! remember: [`Learned`].

use crate::{Extent, FileRange};

/// Where the value of a block comes from: equal values of different kinds mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// The filesystem's checksum of the block on disk.
    Checksum,
    /// A hash of the block's bytes, as far as the file has them that showed it.
    Hash,
}

/// Values of blocks that follow each other in an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which of the extents that were asked for.
    pub asked_idx: u32,
    /// First block within the extent.
    pub first: u32,
    /// How many bytes of it the last block's value is of, if that is not all; else 0.
    pub tail_len: u32,
    /// Where its values begin.
    start: usize,
    nr_values: usize,
}

/// What is remembered of extents that were asked for, in their order and then in that of blocks.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    runs: Vec<Run>,
    values: Vec<u64>,
}

/// Values that were just found out.
#[derive(Clone, Copy, Debug)]
pub struct Learned<'a> {
    /// What they are of.
    pub extent: Extent,
    /// First block within the extent.
    pub first: u32,
    /// How many bytes of it the last block's value is of, if that is not all; else 0.
    pub tail_len: u32,
    /// The file that showed them, from the first block on.
    pub shown: FileRange,
    /// One value for each block.
    pub values: &'a [u64],
}

impl Recalled {
    /// Empties it.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.values.clear();
    }

    /// Adds a run; runs come in order.
    pub fn push(
        &mut self,
        asked_idx: u32,
        first: u32,
        tail_len: u32,
        values: impl Iterator<Item = u64>,
    ) {
        let start = self.values.len();
        self.values.extend(values);
        self.runs.push(Run {
            asked_idx,
            first,
            tail_len,
            start,
            nr_values: self.values.len() - start,
        });
    }

    /// Returns the runs of one of the extents that were asked for, with their values.
    pub fn of(&self, asked_idx: u32) -> impl Iterator<Item = (&Run, &[u64])> {
        let first = self.runs.partition_point(|run| run.asked_idx < asked_idx);
        self.runs[first..]
            .iter()
            .take_while(move |run| run.asked_idx == asked_idx)
            .map(|run| (run, &self.values[run.start..run.start + run.nr_values]))
    }

    /// Returns each block of one of the extents: its place, how many of its bytes count if not
    /// all, else 0, and its value.
    pub fn blocks_of(&self, asked_idx: u32) -> impl Iterator<Item = (u32, u32, u64)> {
        self.of(asked_idx).flat_map(|(run, values)| {
            let last = values.len().saturating_sub(1);
            values.iter().enumerate().map(move |(skip, value)| {
                let tail_len = if skip == last { run.tail_len } else { 0 };
                (run.first + skip as u32, tail_len, *value)
            })
        })
    }
}
