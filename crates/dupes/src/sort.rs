//! Sorting what comes by the block or by the file extent, in as much memory as there may be: sorted
//! runs are spilled to scratch space and merged.
//!
//! [`Sorter`] is the key type. It does not know what records mean.

use std::cell::RefCell;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io::{Read, Seek, SeekFrom, Write};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::radix;
use crate::report::Stopped;

/// The part of the memory that is read into of each spilled run, while they are merged: 256 KiB of
/// 512 MiB; and the least, bytes.
const READ_PART: usize = 2048;
const READ_LEN_MIN: usize = 4 << 10;
/// Records that there is room for at first.
const NR_RECORDS_MIN: usize = 1 << 10;

/// What can be sorted and spilled: plain bytes, in an order that begins with a number.
pub(crate) trait Record: Copy + Ord + FromBytes + IntoBytes + Immutable {
    /// Bits of the number below those that it is sorted by first: where numbers are hashes, hardly
    /// any two differ in these only.
    const LOW_BITS: u32 = 0;

    /// Returns the number that records are in the order of, before anything else.
    fn number(&self) -> u64;
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

/// Where there is room to sort: in memory, and in scratch space behind that.
pub(crate) struct Room<'s> {
    scratch: RefCell<&'s mut dyn Scratch>,
    bytes_max: usize,
}

impl<'s> Room<'s> {
    /// Returns room of so many bytes in memory.
    pub(crate) fn new(bytes_max: usize, scratch: &'s mut dyn Scratch) -> Room<'s> {
        Room {
            scratch: RefCell::new(scratch),
            bytes_max,
        }
    }

    /// Returns a sorter that takes one part in `nr_parts` of the memory.
    pub(crate) fn sorter<T: Record>(&self, nr_parts: usize) -> Sorter<'_, 's, T> {
        Sorter {
            room: self,
            // Sorting takes as much again.
            nr_records_max: self.nr_items(nr_parts, 2 * size_of::<T>()),
            records: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Returns how many items of so many bytes one part in `nr_parts` of the memory holds.
    pub(crate) fn nr_items(&self, nr_parts: usize, item_len: usize) -> usize {
        (self.bytes_max / nr_parts / item_len).max(1)
    }
}

/// Takes records in any order and gives them back sorted.
pub(crate) struct Sorter<'r, 's, T> {
    room: &'r Room<'s>,
    nr_records_max: usize,
    records: Vec<T>,
    runs: Vec<Run<T>>,
}

/// Records in order.
pub(crate) enum Sorted<T> {
    /// They fitted in memory.
    Whole(std::vec::IntoIter<T>),
    /// Runs that are merged, by the next record of each.
    Merged(BinaryHeap<Head<T>>),
}

/// A run that is merged, with its next record.
pub(crate) struct Head<T> {
    record: T,
    run: Run<T>,
}

/// A spilled run.
struct Run<T> {
    spill: Box<dyn Spill>,
    /// Records that have not been read yet, and that are read at once.
    nr_left: usize,
    nr_at_once: usize,
    /// What was read last, the next record at its end.
    read: Vec<T>,
}

impl<T: Record> Sorter<'_, '_, T> {
    /// Makes room for so many more records at once, if it can be had: less is copied.
    pub(crate) fn expect(&mut self, nr_records: u64) {
        let nr_left = self.nr_records_max.saturating_sub(self.records.len());
        let nr_records = usize::try_from(nr_records).unwrap_or(usize::MAX);
        let _ = self.records.try_reserve_exact(nr_records.min(nr_left));
    }

    /// Takes a record.
    #[inline]
    pub(crate) fn push(&mut self, record: T) -> Result<(), Stopped> {
        if self.records.len() == self.records.capacity() {
            self.make_room()?;
        }
        self.records.push(record);
        Ok(())
    }

    /// Returns all records in order.
    pub(crate) fn finish(mut self) -> Result<Sorted<T>, Stopped> {
        if self.runs.is_empty() {
            sort(&mut self.records);
            return Ok(Sorted::Whole(self.records.into_iter()));
        }
        self.spill()?;
        self.records = Vec::new();
        let mut heads = Vec::with_capacity(self.runs.len());
        for mut run in self.runs {
            let begin = run.spill.seek(SeekFrom::Start(0));
            begin.map_err(Stopped::scratch)?;
            if let Some(record) = run.next()? {
                heads.push(Head { record, run });
            }
        }
        Ok(Sorted::Merged(heads.into()))
    }

    /// Makes room for another record: twice as much as there was, as long as that may be.
    #[cold]
    fn make_room(&mut self) -> Result<(), Stopped> {
        let nr_records = self.records.len();
        match self.nr_records_max.saturating_sub(nr_records) {
            0 => self.spill()?,
            nr_left => {
                let nr_more = nr_records.max(NR_RECORDS_MIN).min(nr_left);
                self.records.reserve_exact(nr_more);
            }
        }
        Ok(())
    }

    /// Writes what is in memory as a sorted run.
    fn spill(&mut self) -> Result<(), Stopped> {
        sort(&mut self.records);
        let spill = self.room.scratch.borrow_mut().spill();
        let mut spill = spill.map_err(Stopped::scratch)?;
        let bytes = self.records.as_slice().as_bytes();
        spill.write_all(bytes).map_err(Stopped::scratch)?;
        let read_len = (self.room.bytes_max / READ_PART).max(READ_LEN_MIN);
        self.runs.push(Run {
            spill,
            nr_left: self.records.len(),
            nr_at_once: read_len / size_of::<T>(),
            read: Vec::new(),
        });
        self.records.clear();
        Ok(())
    }
}

impl<T: Record> Sorted<T> {
    /// Returns the next record.
    ///
    /// # Errors
    /// If scratch space cannot be read.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<T>, Stopped> {
        match self {
            Sorted::Whole(records) => Ok(records.next()),
            Sorted::Merged(heads) => {
                let Some(mut head) = heads.peek_mut() else {
                    return Ok(None);
                };
                let record = head.record;
                match head.run.next()? {
                    Some(next) => head.record = next,
                    None => drop(PeekMut::pop(head)),
                }
                Ok(Some(record))
            }
        }
    }
}

impl<T: Record> Run<T> {
    #[inline]
    fn next(&mut self) -> Result<Option<T>, Stopped> {
        if self.read.is_empty() && 0 < self.nr_left {
            let nr_read = self.nr_at_once.min(self.nr_left);
            self.read.resize(nr_read, T::new_zeroed());
            let bytes = self.read.as_mut_slice().as_mut_bytes();
            self.spill.read_exact(bytes).map_err(Stopped::scratch)?;
            self.read.reverse();
            self.nr_left -= nr_read;
        }
        Ok(self.read.pop())
    }
}

impl<T: Record> Ord for Head<T> {
    fn cmp(&self, other: &Head<T>) -> std::cmp::Ordering {
        // The least is on top.
        other.record.cmp(&self.record)
    }
}

impl<T: Record> PartialOrd for Head<T> {
    fn partial_cmp(&self, other: &Head<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Record> PartialEq for Head<T> {
    fn eq(&self, other: &Head<T>) -> bool {
        self.record == other.record
    }
}

impl<T: Record> Eq for Head<T> {}

/// Puts records in order.
fn sort<T: Record>(records: &mut Vec<T>) {
    radix::sort_by_bits(records, T::LOW_BITS, T::number);
    let upper = |record: &T| record.number() >> T::LOW_BITS;
    for same in records.chunk_by_mut(|one, other| upper(one) == upper(other)) {
        if !same.is_sorted() {
            same.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(
        Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable,
    )]
    #[repr(C)]
    struct Pair {
        key: u64,
        value: u64,
    }

    impl Record for Pair {
        const LOW_BITS: u32 = 3;

        fn number(&self) -> u64 {
            self.key
        }
    }

    #[test]
    fn spilled_records_come_back_in_order() {
        let records: Vec<Pair> = (0..1000_u64)
            .map(|n| Pair {
                key: n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56,
                value: n,
            })
            .collect();
        let mut expected = records.clone();
        expected.sort_unstable();
        let rooms = [1, 37 * 2 * size_of::<Pair>(), 1 << 20];
        let expectations = [0, 500, 1000, u64::MAX];
        for (bytes_max, nr_expected) in rooms
            .into_iter()
            .flat_map(|room| expectations.map(|expected| (room, expected)))
        {
            let mut scratch = InMemory;
            let room = Room::new(bytes_max, &mut scratch);
            let mut sorter = room.sorter(1);
            sorter.expect(nr_expected);
            assert!(sorter.records.capacity() <= sorter.nr_records_max);
            for record in &records {
                sorter.push(*record).expect("memory has room");
            }
            let mut sorted = sorter.finish().expect("memory can be read");
            let mut found = Vec::new();
            while let Some(record) = sorted.next().expect("memory can be read") {
                found.push(record);
            }
            assert_eq!(found, expected);
        }
    }
}
