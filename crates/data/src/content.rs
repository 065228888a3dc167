//! A rope of runs, [`Content`]: the bytes of a file or of a range, as they were described.
//!
//! Neighbouring runs that are one run are always merged. A content does not know blocks or holes:
//! zeros are zeros. Comparing lives in `compare.rs`, reading in `read.rs`.

mod compare;
mod read;

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::fill::{Fill, Run};

/// Bytes by description; equal when the bytes are, however they were described.
#[derive(Clone, Debug, Default)]
pub struct Content {
    runs: SmallVec<[Run; 1]>,
    /// The sum of the lengths of `runs`.
    len: u64,
}

impl Content {
    /// Returns no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns `len` zeros.
    #[must_use]
    pub fn zeros(len: u64) -> Self {
        Self::byte(0, len)
    }

    /// Returns `byte` repeated `len` times.
    #[must_use]
    pub fn byte(byte: u8, len: u64) -> Self {
        Self::of(Fill::Byte(byte), len)
    }

    /// Returns `len` bytes of the stream named `seed`, from position `at` on, in bytes.
    ///
    /// Streams are as long as a `u64` can address and then repeat.
    #[must_use]
    pub fn pattern(seed: u64, at: u64, len: u64) -> Self {
        Self::of(Fill::Pattern { seed, at }, len)
    }

    /// Returns these bytes. Clones and slices share the buffer.
    #[must_use]
    pub fn literal(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let len = bytes.len() as u64;
        Self::of(Fill::Literal { bytes, at: 0 }, len)
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the runs in order: none is empty, and no two neighbours are one run.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns the bytes of a range.
    ///
    /// # Panics
    ///
    /// If the range is reversed or ends past the end, as slices do.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Self {
        let pieces = self.pieces(range);
        Self {
            len: pieces.len_left(),
            runs: pieces.map(|(run, skip, len)| run.part(skip, len)).collect(),
        }
    }

    /// Appends `tail`.
    ///
    /// # Panics
    ///
    /// If the length would not fit a `u64`.
    pub fn append(&mut self, tail: Self) {
        self.len = longer(self.len, tail.len);
        let seam_idx = self.runs.len();
        self.runs.extend(tail.runs);
        self.merge_at(seam_idx);
    }

    /// Writes `patch` from `offset` on, in bytes; a gap after the old end becomes zeros.
    ///
    /// # Panics
    ///
    /// If the patch would end past `u64::MAX`.
    pub fn overwrite(&mut self, offset: u64, patch: Self) {
        if patch.is_empty() {
            return;
        }
        let end = longer(offset, patch.len);
        if self.len <= offset {
            self.truncate(offset);
            self.append(patch);
            return;
        }
        let first_idx = self.cut(offset);
        let end_idx = self.cut(end.min(self.len));
        let patch_end_idx = first_idx + patch.runs.len();
        self.runs.drain(first_idx..end_idx);
        self.runs.insert_many(first_idx, patch.runs);
        self.len = self.len.max(end);
        // The later seam first, so that merging does not move the earlier one.
        self.merge_at(patch_end_idx);
        self.merge_at(first_idx);
    }

    /// Makes the length `len` bytes: drops what is past it, or appends zeros.
    pub fn truncate(&mut self, len: u64) {
        if self.len <= len {
            self.append(Self::zeros(len - self.len));
            return;
        }
        let kept_idx = self.cut(len);
        self.runs.truncate(kept_idx);
        self.len = len;
    }

    fn of(fill: Fill, len: u64) -> Self {
        let runs = if len == 0 {
            SmallVec::new()
        } else {
            SmallVec::from_buf([Run::new(fill, len)])
        };
        Self { runs, len }
    }

    /// Splits the run that `offset` lies within, if any; returns the index of what starts there.
    fn cut(&mut self, offset: u64) -> usize {
        let mut start = 0;
        for idx in 0..self.runs.len() {
            if offset <= start {
                return idx;
            }
            let run = &mut self.runs[idx];
            let skip = offset - start;
            if skip < run.len() {
                let rest = run.part(skip, run.len() - skip);
                run.keep(skip);
                self.runs.insert(idx + 1, rest);
                return idx + 1;
            }
            start += run.len();
        }
        self.runs.len()
    }

    /// Merges the run at `idx` into the one before it, if both exist and are one run.
    fn merge_at(&mut self, idx: usize) {
        if idx == 0 || self.runs.len() <= idx {
            return;
        }
        let (before, after) = self.runs.split_at_mut(idx);
        if before[idx - 1].absorb(&after[0]) {
            self.runs.remove(idx);
        }
    }
}

/// Returns the sum of two lengths in bytes.
fn longer(len: u64, more: u64) -> u64 {
    len.checked_add(more)
        .expect("a content is at most u64::MAX bytes long")
}

#[cfg(test)]
mod tests;
