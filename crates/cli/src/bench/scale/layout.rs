//! What lies on the filesystem whose growth is measured: pairs of files, each of 500 extents of one
//! block, both files of a pair with the same contents.

/// Extents of a file.
pub(super) const NR_BLOCKS: u64 = 500;
/// Bytes of an extent.
pub(super) const BLOCK: u64 = 4096;

/// Returns how many files hold so many extents.
pub(super) fn nr_files(nr_extents: u64) -> u64 {
    nr_extents.div_ceil(2 * NR_BLOCKS) * 2
}

pub(super) fn file_name(file_idx: u64) -> String {
    format!("file-{file_idx}")
}

/// Returns the name of the stream that fills a block: one for the same block of a pair.
pub(super) fn seed(file_idx: u64, block_idx: u64) -> u64 {
    1 + file_idx / 2 * NR_BLOCKS + block_idx
}

/// Returns the pair and the block of the call number `call_idx`; no two calls have the same.
pub(super) fn place(nr_extents: u64, call_idx: u64) -> (u64, u64) {
    let nr_places = nr_files(nr_extents) / 2 * NR_BLOCKS;
    // The golden section of it, and without a common factor, as `nr_places` is 5 times a power of
    // 10: calls that follow each other lie far apart.
    let stride = (nr_places * 309 / 500) | 1;
    let stride = stride + 2 * u64::from(stride.is_multiple_of(5));
    let place = call_idx * stride % nr_places;
    (place / NR_BLOCKS, place % NR_BLOCKS)
}

/// Returns the blocks of a file in the order in which they are written: every second one, then,
/// after a commit, the others, so that each becomes an extent.
pub(super) fn passes() -> [impl Iterator<Item = u64>; 2] {
    [0, 1].map(|parity| (parity..NR_BLOCKS).step_by(2))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_calls_meet_in_one_block() {
        for nr_extents in [1_000, 10_000, 100_000] {
            let places = (0..nr_extents / 2).map(|call_idx| place(nr_extents, call_idx));
            let places: BTreeSet<(u64, u64)> = places.collect();
            assert_eq!(places.len() as u64, nr_extents / 2);
            let nr_pairs = nr_files(nr_extents) / 2;
            assert!(places.iter().all(|(pair_idx, _)| *pair_idx < nr_pairs));
        }
    }

    #[test]
    fn both_files_of_a_pair_have_the_same_contents_and_no_others() {
        assert_eq!(seed(0, 7), seed(1, 7));
        assert_ne!(seed(1, 7), seed(2, 7));
        assert_eq!(seed(2, 0), seed(0, NR_BLOCKS - 1) + 1);
    }
}
