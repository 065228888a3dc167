//! Offsets and lengths at which kernels change their mind.

use crate::blocks::BLOCK_LEN;
use crate::dice::Dice;

const MIB: u64 = 1 << 20;

/// Numbers around limits, bytes.
const EDGES: [u64; 22] = [
    0,
    1,
    BLOCK_LEN - 1,
    BLOCK_LEN,
    BLOCK_LEN + 1,
    2 * BLOCK_LEN,
    MIB - BLOCK_LEN,
    MIB,
    MIB + 1,
    MIB + BLOCK_LEN,
    16 * MIB - BLOCK_LEN,
    16 * MIB,
    16 * MIB + BLOCK_LEN,
    40 * MIB,
    1 << 30,
    (1 << 31) - BLOCK_LEN,
    1 << 40,
    (1 << 63) - BLOCK_LEN,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - BLOCK_LEN + 1,
    u64::MAX,
];

/// Offsets at which no range of any length begins.
pub(crate) const NEGATIVE: [u64; 3] = [(1 << 63) - 1, 1 << 63, u64::MAX];

/// Returns a number at an edge: of the kernel, or of a file of `size` bytes.
pub(crate) fn number(dice: &mut Dice, size: u64) -> u64 {
    match dice.below(10) {
        0 => size,
        1 => size.saturating_sub(1),
        2 => size + 1,
        3 => size.next_multiple_of(BLOCK_LEN),
        4 => size - size % BLOCK_LEN,
        5 => dice.below(size / BLOCK_LEN + 1) * BLOCK_LEN,
        6 => dice.below(size + BLOCK_LEN),
        _ => dice.one_of(&EDGES),
    }
}
