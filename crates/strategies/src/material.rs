//! The bytes of writes: drawn so that equal blocks lie in many places.

use data::Content;

use crate::blocks::BLOCK_LEN;
use crate::dice::Dice;
use crate::shadow::Shadow;
use crate::weights::Weights;

/// How many streams are written at offsets of their own, so that files agree where they overlap.
const NR_POOL_SEEDS: u64 = 3;
/// The bytes that are written in long stretches.
const BYTES: [u8; 4] = [0x61, 0x62, 0, 0xff];

/// Returns bytes for a write of whole blocks at `offset`.
pub(crate) fn aligned(
    dice: &mut Dice,
    weights: &Weights,
    shadow: &Shadow,
    offset: u64,
    nr_blocks: u64,
) -> Content {
    let len = nr_blocks * BLOCK_LEN;
    match dice.weighted(&weights.materials) {
        0 => copied(dice, shadow, len).unwrap_or_else(|| fresh(dice, len)),
        1 => Content::pattern(1 + dice.below(NR_POOL_SEEDS), offset, len),
        2 => fresh(dice, len),
        _ => Content::byte(dice.one_of(&BYTES), len),
    }
}

/// Returns a few bytes.
pub(crate) fn unaligned(dice: &mut Dice, len: u64) -> Content {
    match dice.below(3) {
        0 if len <= 64 => {
            let bytes: Vec<u8> = (0..len).map(|_| dice.below(4) as u8 + b'a').collect();
            Content::literal(bytes)
        }
        1 => Content::byte(dice.one_of(&BYTES), len),
        _ => fresh(dice, len),
    }
}

/// Returns bytes that nothing else has.
fn fresh(dice: &mut Dice, len: u64) -> Content {
    Content::pattern(NR_POOL_SEEDS + 1 + dice.any() % (1 << 40), 0, len)
}

/// Returns a stretch of whole blocks of some file, at most `len` bytes.
pub(crate) fn copied(dice: &mut Dice, shadow: &Shadow, len: u64) -> Option<Content> {
    let files = shadow.files();
    let file = files.get(dice.idx(files.len()))?;
    let nr_blocks = file.size / BLOCK_LEN;
    let len = len.min(nr_blocks * BLOCK_LEN);
    if len == 0 {
        return None;
    }
    let first_block = dice.below(nr_blocks - len / BLOCK_LEN + 1);
    let start = first_block * BLOCK_LEN;
    let view = shadow.view(&file.name)?;
    Some(view.content.slice(start..start + len))
}
