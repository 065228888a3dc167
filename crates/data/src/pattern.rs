//! The pseudo-random streams behind `Fill::Pattern`: any byte of any stream, at once.
//!
//! Word `i` of a stream, eight bytes in little-endian order, is output `i` of splitmix64 started
//! at a state mixed from the seed; any output can be computed by itself. A stream has 2^64 bytes
//! and then repeats: positions wrap.

/// The increment of splitmix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const WORD_LEN: usize = 8;

/// Writes the bytes of stream `seed` from position `at` on, in bytes, over the whole buffer.
pub(crate) fn fill(seed: u64, at: u64, buffer: &mut [u8]) {
    let len_to_end = (u64::MAX - at).saturating_add(1);
    let (before, after) = buffer.split_at_mut(len_to_end.min(buffer.len() as u64) as usize);
    fill_unwrapped(seed, at, before);
    if !after.is_empty() {
        fill_unwrapped(seed, 0, after);
    }
}

/// Writes bytes as `fill` does, where the stream does not end.
fn fill_unwrapped(seed: u64, at: u64, buffer: &mut [u8]) {
    let skipped = (at % WORD_LEN as u64) as usize;
    // The seed is mixed, or streams of neighbouring seeds would be neighbours in one sequence.
    // Wrapping, here and below: splitmix64 counts modulo 2^64.
    let mut state = mix(seed).wrapping_add((at / WORD_LEN as u64).wrapping_mul(GOLDEN));

    let head_len = if skipped == 0 {
        0
    } else {
        (WORD_LEN - skipped).min(buffer.len())
    };
    let (head, body) = buffer.split_at_mut(head_len);
    if head_len != 0 {
        head.copy_from_slice(&mix(state).to_le_bytes()[skipped..skipped + head_len]);
        state = state.wrapping_add(GOLDEN);
    }
    let (words, tail) = body.as_chunks_mut::<WORD_LEN>();
    // A running sum: with a product per word, the compiler emulates 64-bit multiplication in
    // vectors, at two thirds of the speed.
    for bytes in words {
        *bytes = mix(state).to_le_bytes();
        state = state.wrapping_add(GOLDEN);
    }
    tail.copy_from_slice(&mix(state).to_le_bytes()[..tail.len()]);
}

/// Returns the output of splitmix64 in `state`.
#[inline]
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(GOLDEN);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: u64, at: u64, len: usize) -> Vec<u8> {
        let mut buffer = vec![0xAA; len];
        fill(seed, at, &mut buffer);
        buffer
    }

    #[test]
    fn any_stretch_is_part_of_the_whole() {
        fn law(seed: u64, at: u8, len: u8) -> bool {
            let (at, len) = (usize::from(at), usize::from(len));
            bytes(seed, at as u64, len) == bytes(seed, 0, 512)[at..at + len]
        }
        quickcheck::quickcheck(law as fn(u64, u8, u8) -> bool);
    }

    #[test]
    fn the_mix_is_splitmix64() {
        // The first outputs of the reference generator seeded with 0, then with its increment.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(GOLDEN), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn the_stream_does_not_change() {
        assert_eq!(bytes(0, 0, 8), mix(mix(0)).to_le_bytes());
        assert_eq!(
            bytes(7, 80, 8),
            mix(mix(7).wrapping_add(GOLDEN.wrapping_mul(10))).to_le_bytes()
        );
    }

    #[test]
    fn the_stream_repeats_after_its_last_byte() {
        let crossing = bytes(3, u64::MAX - 11, 24);
        assert_eq!(crossing[..12], bytes(3, u64::MAX - 11, 12));
        assert_eq!(crossing[12..], bytes(3, 0, 12));
    }

    #[test]
    fn streams_of_neighbouring_seeds_share_no_early_word() {
        let mut words: Vec<_> = (0..64)
            .flat_map(|seed| bytes(seed, 0, 4096).as_chunks::<8>().0.to_vec())
            .collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 64 * 512);
    }
}
