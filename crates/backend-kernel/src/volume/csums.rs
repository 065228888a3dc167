//! The checksum tree through a window that moves: [`Csums`].
//!
//! Items of the tree hold the checksums of up to 16 MiB of data (a leaf of 16 KiB), so that one
//! search brings those of gigabytes. Who asks in the order of addresses has each item brought once.

use ondisk::{Key, KeyRange, SearchItem, TreeId};
use volume::VolumeError;

use super::searcher::Found;
use super::trees::Trees;

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
    /// What was found there.
    found: Option<Found>,
    /// The items of it, in order.
    runs: Vec<Run>,
}

/// Checksums of blocks that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    address: u64,
    /// Where they begin in what was found, bytes.
    at: usize,
    nr_blocks: u64,
}

impl Csums {
    pub(super) fn new(block_bytes: u64, csum_bytes: usize) -> Csums {
        Csums {
            block_bytes,
            csum_bytes,
            start: 0,
            end: 0,
            found: None,
            runs: Vec::new(),
        }
    }

    /// Forgets the window: the trees may have changed.
    pub(super) fn forget(&mut self) {
        (self.start, self.end) = (0, 0);
        self.found = None;
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
        let bytes = self.found.as_ref().map_or(&[][..], Found::bytes);
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
            let first = (at - run.address) / self.block_bytes;
            let nr_left = run.nr_blocks.saturating_sub(first);
            let nr_blocks = nr_left.min((end - at).div_ceil(self.block_bytes));
            let of_block = |block: u64| run.at + block as usize * self.csum_bytes;
            let csums = &bytes[of_block(first)..of_block(first + nr_blocks)];
            append(csums, self.csum_bytes, found);
            at += nr_blocks * self.block_bytes;
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
        let found = trees.find(TreeId::CSUM, range)?;
        let mut item_at = 0;
        found.each(TreeId::CSUM, |item| {
            self.runs.push(Run {
                address: item.key.offset,
                at: item_at + SearchItem::HEADER_BYTES,
                nr_blocks: (item.bytes.len() / self.csum_bytes) as u64,
            });
            item_at += item.len_bytes();
            Ok(())
        })?;
        let run_end = |run: &Run| run.address + run.nr_blocks * self.block_bytes;
        self.start = address;
        // Nothing is known behind the last item, unless it was the last of the tree: then too it is
        // only known up to a point, so that what is allocated later is looked for.
        let behind = self.runs.last().map_or(0, run_end);
        self.end = match found.nr_items {
            0 => u64::MAX,
            _ if behind <= address => address + self.block_bytes,
            _ => behind,
        };
        self.found = Some(found);
        Ok(())
    }
}

/// Appends checksums, each cut to eight bytes.
fn append(csums: &[u8], csum_bytes: usize, found: &mut Vec<Option<u64>>) {
    match csum_bytes {
        4 => {
            let (csums, _) = csums.as_chunks();
            found.extend(
                csums
                    .iter()
                    .map(|csum| Some(u32::from_le_bytes(*csum).into())),
            );
        }
        _ => found.extend(
            csums
                .chunks_exact(csum_bytes)
                .map(|csum| Some(first_bytes(csum))),
        ),
    }
}

/// Returns the first eight bytes of a checksum as a number.
fn first_bytes(csum: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = csum.len().min(8);
    bytes[..len].copy_from_slice(&csum[..len]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::searcher::Spare;
    use super::*;
    use crate::ioctl_trees::SearchBuffer;

    fn window(csum_bytes: usize) -> Csums {
        let mut csums = Csums::new(4096, csum_bytes);
        let items = [(8192, &[1, 2][..]), (16384, &[3]), (40960, &[4])].map(|(offset, numbers)| {
            let mut bytes: Vec<u8> = Vec::new();
            for number in numbers {
                bytes.push(*number);
                bytes.resize(bytes.len() + csum_bytes - 1, 0);
            }
            let key = Key {
                object: Key::CSUM_OBJECT,
                kind: Key::EXTENT_CSUM,
                offset,
            };
            (key, bytes)
        });
        let mut at = 0;
        for (key, bytes) in &items {
            at += SearchItem::HEADER_BYTES;
            csums.runs.push(Run {
                address: key.offset,
                at,
                nr_blocks: (bytes.len() / csum_bytes) as u64,
            });
            at += bytes.len();
        }
        let buffer = SearchBuffer::of_items(items.iter().map(|(key, it)| (*key, &it[..])));
        let found = Found::new(buffer, Spare::default(), 3, |_| true);
        csums.found = Some(found.expect("items"));
        (csums.start, csums.end) = (0, u64::MAX);
        csums
    }

    #[track_caller]
    fn check(address: u64, nr_blocks: u64, expected: &[Option<u64>]) {
        for csum_bytes in [4, 8, 32] {
            let mut found = Vec::new();
            window(csum_bytes).append_known(address, address + nr_blocks * 4096, &mut found);
            assert_eq!(found, expected, "{csum_bytes} bytes");
        }
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
