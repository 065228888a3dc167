//! Sorting the records of all blocks by key, in as much memory as there may be: sorted runs are
//! spilled to scratch space and merged.
//!
//! [`Sorter`] is the key type. It does not know what a key means.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use crate::catalog::BlockId;
use crate::radix;
use crate::report::Stopped;

/// Bytes of a record, in memory and spilled.
const RECORD_LEN: usize = 16;
/// Bytes that are read at once of each spilled run, while they are merged.
const READ_LEN: usize = 256 << 10;

/// Bits of a key below those that it is sorted by first.
const LOW_BITS: u32 = 31;

/// A block with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) key: u64,
    pub(crate) block: BlockId,
}

/// A spilled run: written once, then read once from its begin.
pub trait Spill: Read + Write + Seek {}

impl<T: Read + Write + Seek> Spill for T {}

/// Gives room for what does not fit in memory: an empty file that is gone with its handle.
pub trait Scratch {
    /// Returns an empty file.
    ///
    /// # Errors
    /// What the system says.
    fn spill(&mut self) -> std::io::Result<Box<dyn Spill>>;
}

/// Scratch space in memory, for tests and small volumes.
#[derive(Clone, Copy, Debug, Default)]
pub struct InMemory;

impl Scratch for InMemory {
    fn spill(&mut self) -> std::io::Result<Box<dyn Spill>> {
        Ok(Box::new(std::io::Cursor::new(Vec::new())))
    }
}

/// Takes records in any order and gives them back sorted.
pub(crate) struct Sorter<'a> {
    scratch: &'a mut dyn Scratch,
    nr_records_max: usize,
    records: Vec<Record>,
    runs: Vec<Box<dyn Spill>>,
}

/// Records in order.
pub(crate) enum Sorted {
    /// They fitted in memory.
    Whole {
        records: Vec<Record>,
        /// The next one.
        next: usize,
    },
    /// Runs that are merged.
    Merged {
        /// The next record of each run.
        heads: BinaryHeap<Reverse<(Record, usize)>>,
        runs: Vec<BufReader<Box<dyn Spill>>>,
    },
}

impl<'a> Sorter<'a> {
    /// Returns a sorter that keeps this many bytes in memory.
    pub(crate) fn new(bytes_max: usize, scratch: &'a mut dyn Scratch) -> Sorter<'a> {
        Sorter {
            scratch,
            // Sorting takes as much again.
            nr_records_max: (bytes_max / (2 * RECORD_LEN)).max(1),
            records: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Takes a record.
    #[inline]
    pub(crate) fn push(&mut self, record: Record) -> Result<(), Stopped> {
        if self.nr_records_max <= self.records.len() {
            self.spill()?;
        }
        self.records.push(record);
        Ok(())
    }

    /// Returns all records in order.
    pub(crate) fn finish(mut self) -> Result<Sorted, Stopped> {
        if self.runs.is_empty() {
            sort(&mut self.records);
            return Ok(Sorted::Whole {
                records: self.records,
                next: 0,
            });
        }
        self.spill()?;
        self.records = Vec::new();
        let mut heads = BinaryHeap::with_capacity(self.runs.len());
        let mut runs = Vec::with_capacity(self.runs.len());
        for (mut run, run_idx) in self.runs.into_iter().zip(0..) {
            run.seek(SeekFrom::Start(0)).map_err(Stopped::scratch)?;
            let mut run = BufReader::with_capacity(READ_LEN, run);
            heads.extend(next_of(&mut run)?.map(|record| Reverse((record, run_idx))));
            runs.push(run);
        }
        Ok(Sorted::Merged { heads, runs })
    }

    /// Writes what is in memory as a sorted run.
    fn spill(&mut self) -> Result<(), Stopped> {
        sort(&mut self.records);
        let mut run = self.scratch.spill().map_err(Stopped::scratch)?;
        let mut writer = BufWriter::with_capacity(READ_LEN, &mut run);
        for record in self.records.drain(..) {
            let mut bytes = [0; RECORD_LEN];
            bytes[..8].copy_from_slice(&record.key.to_le_bytes());
            bytes[8..].copy_from_slice(&record.block.0.to_le_bytes());
            writer.write_all(&bytes).map_err(Stopped::scratch)?;
        }
        writer.flush().map_err(Stopped::scratch)?;
        drop(writer);
        self.runs.push(run);
        Ok(())
    }
}

impl Sorted {
    /// Puts the blocks with the next key into `blocks`; returns the key.
    ///
    /// # Errors
    /// If scratch space cannot be read.
    #[inline]
    pub(crate) fn next_group(&mut self, blocks: &mut Vec<BlockId>) -> Result<Option<u64>, Stopped> {
        blocks.clear();
        match self {
            Sorted::Whole { records, next } => {
                let Some(key) = records.get(*next).map(|record| record.key) else {
                    return Ok(None);
                };
                let same = records[*next..].iter().take_while(|it| it.key == key);
                blocks.extend(same.map(|record| record.block));
                *next += blocks.len();
                Ok(Some(key))
            }
            Sorted::Merged { heads, runs } => {
                let Some(Reverse((Record { key, .. }, _))) = heads.peek().copied() else {
                    return Ok(None);
                };
                while let Some(Reverse((record, run_idx))) = heads.peek().copied()
                    && record.key == key
                {
                    heads.pop();
                    blocks.push(record.block);
                    let next = next_of(&mut runs[run_idx])?;
                    heads.extend(next.map(|record| Reverse((record, run_idx))));
                }
                Ok(Some(key))
            }
        }
    }
}

/// Puts records in order.
fn sort(records: &mut Vec<Record>) {
    // Keys are hashes: hardly any two differ in the lower bits only.
    radix::sort_by_bits(records, LOW_BITS, |record| record.key);
    for same in records.chunk_by_mut(|one, other| one.key >> LOW_BITS == other.key >> LOW_BITS) {
        if !same.is_sorted() {
            same.sort_unstable();
        }
    }
}

/// Reads the next record of a run.
fn next_of(run: &mut BufReader<Box<dyn Spill>>) -> Result<Option<Record>, Stopped> {
    let mut bytes = [0; RECORD_LEN];
    match run.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(Stopped::scratch(error)),
    }
    let [key, block] = [0, 8].map(|at| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(number)
    });
    let block = BlockId(block);
    Ok(Some(Record { key, block }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spilled_records_come_back_in_order() {
        let records: Vec<Record> = (0..1000_u64)
            .map(|n| Record {
                key: n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56,
                block: BlockId(n),
            })
            .collect();
        let mut expected = records.clone();
        expected.sort_unstable();
        for bytes_max in [RECORD_LEN, 37 * RECORD_LEN, 1 << 20] {
            let mut scratch = InMemory;
            let mut sorter = Sorter::new(bytes_max, &mut scratch);
            for record in &records {
                sorter.push(*record).expect("memory has room");
            }
            let mut sorted = sorter.finish().expect("memory can be read");
            let (mut found, mut blocks) = (Vec::new(), Vec::new());
            while let Some(key) = sorted.next_group(&mut blocks).expect("memory can be read") {
                found.extend(blocks.iter().map(|&block| Record { key, block }));
            }
            assert_eq!(found, expected);
        }
    }
}
