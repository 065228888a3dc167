//! The checksum tree through a window that moves: [`Csums`].
//!
//! Items of the tree hold the checksums of up to 16 MiB of data (a leaf of 16 KiB), so that one
//! search brings those of gigabytes. Who asks in the order of addresses has each item brought once.

use ondisk::{Key, KeyRange, TreeId};
use volume::VolumeError;

use super::trees::{Size, Trees, damaged};

/// More data than the checksums in one item are of, bytes: a leaf of 64 KiB full of crc32c.
const ITEM_REACH: u64 = 64 << 20;

/// A part of the checksum tree.
#[derive(Debug)]
pub(super) struct Csums {
    block_bytes: u64,
    csum_bytes: usize,
    /// The addresses that the window knows everything about.
    start: u64,
    end: u64,
    /// Checksums from an address on, in order, each cut to eight bytes.
    runs: Vec<Run>,
}

/// Checksums of blocks that follow each other.
#[derive(Debug)]
struct Run {
    address: u64,
    csums: Vec<u64>,
}

impl Csums {
    pub(super) fn new(block_bytes: u64, csum_bytes: usize) -> Csums {
        Csums {
            block_bytes,
            csum_bytes,
            start: 0,
            end: 0,
            runs: Vec::new(),
        }
    }

    /// Forgets the window: the trees may have changed.
    pub(super) fn forget(&mut self) {
        (self.start, self.end) = (0, 0);
        self.runs.clear();
    }

    /// Appends the checksum of each block of a range.
    pub(super) fn append(
        &mut self,
        trees: &mut Trees,
        address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        let mut at = address;
        let end = address.saturating_add(len);
        while at < end {
            if at < self.start || self.end <= at {
                self.load(trees, at)?;
            }
            let part_end = end.min(self.end);
            self.append_known(at, part_end, found);
            at = part_end;
        }
        Ok(())
    }

    fn append_known(&self, address: u64, end: u64, found: &mut Vec<Option<u64>>) {
        let mut at = address;
        let nr_before = self.runs.partition_point(|run| run.address <= address);
        for run in &self.runs[nr_before.saturating_sub(1)..] {
            if end <= run.address {
                break;
            }
            while at < run.address {
                found.push(None);
                at += self.block_bytes;
            }
            let first = ((at - run.address) / self.block_bytes) as usize;
            let nr_blocks = (end - at).div_ceil(self.block_bytes) as usize;
            let csums = run.csums.get(first..).unwrap_or(&[]);
            let csums = &csums[..csums.len().min(nr_blocks)];
            found.extend(csums.iter().copied().map(Some));
            at += csums.len() as u64 * self.block_bytes;
        }
        while at < end {
            found.push(None);
            at += self.block_bytes;
        }
    }

    /// Moves the window to `address`.
    fn load(&mut self, trees: &mut Trees, address: u64) -> Result<(), VolumeError> {
        self.runs.clear();
        let key = |offset| Key {
            object: Key::CSUM_OBJECT,
            kind: Key::EXTENT_CSUM,
            offset,
        };
        let range = KeyRange {
            first: key(address.saturating_sub(ITEM_REACH)),
            last: key(u64::MAX),
        };
        let nr_items = trees.search(Size::Large, TreeId::CSUM, range, 0)?;
        let mut last = range.first;
        for item in trees.items(Size::Large, nr_items) {
            let item = item.map_err(|error| damaged(TreeId::CSUM, last, &error))?;
            last = item.key;
            self.add(item.key.offset, item.bytes);
        }
        let run_end = |run: &Run| run.address + run.csums.len() as u64 * self.block_bytes;
        self.start = address;
        // Nothing is known behind the last item, unless it was the last of the tree: then too it is
        // only known up to a point, so that what is allocated later is looked for.
        let behind = self.runs.last().map_or(0, run_end);
        self.end = match nr_items {
            0 => u64::MAX,
            _ if behind <= address => address + self.block_bytes,
            _ => behind,
        };
        Ok(())
    }

    fn add(&mut self, address: u64, bytes: &[u8]) {
        let csums = bytes.chunks_exact(self.csum_bytes);
        let run_end = |run: &Run| run.address + run.csums.len() as u64 * self.block_bytes;
        match self.runs.last_mut() {
            Some(run) if run_end(run) == address => run.csums.extend(csums.map(first_bytes)),
            _ => self.runs.push(Run {
                address,
                csums: csums.map(first_bytes).collect(),
            }),
        }
    }
}

/// Returns the first eight bytes of a checksum as a number.
fn first_bytes(csum: &[u8]) -> u64 {
    match csum {
        [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]).into(),
        _ => {
            let mut bytes = [0; 8];
            let len = csum.len().min(8);
            bytes[..len].copy_from_slice(&csum[..len]);
            u64::from_le_bytes(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Csums {
        let mut csums = Csums::new(4096, 4);
        csums.add(8192, &[1, 0, 0, 0, 2, 0, 0, 0]);
        csums.add(16384, &[3, 0, 0, 0]);
        csums.add(40960, &[4, 0, 0, 0]);
        (csums.start, csums.end) = (0, u64::MAX);
        csums
    }

    #[track_caller]
    fn check(address: u64, nr_blocks: u64, expected: &[Option<u64>]) {
        let mut found = Vec::new();
        window().append_known(address, address + nr_blocks * 4096, &mut found);
        assert_eq!(found, expected);
    }

    #[test]
    fn blocks_have_the_checksums_at_their_addresses_and_none_between() {
        check(8192, 3, &[Some(1), Some(2), Some(3)]);
        check(12288, 3, &[Some(2), Some(3), None]);
        check(0, 3, &[None, None, Some(1)]);
        check(20480, 7, &[None, None, None, None, None, Some(4), None]);
        check(45056, 2, &[None, None]);
    }

    #[test]
    fn a_long_checksum_is_its_first_eight_bytes() {
        let mut sha256 = [0; 32];
        sha256[1] = 1;
        sha256[8] = 1;
        assert_eq!(first_bytes(&sha256), 256);
    }
}
