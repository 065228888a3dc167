//! Equal ranges of the shadow whose blocks lie in different places: [`Pair`].

use crate::blocks::{BLOCK_LEN, DIRTY, HOLE};
use crate::dice::Dice;
use crate::shadow::{File, Shadow};

/// How many files one search looks at.
const NR_FILES_LOOKED_AT: usize = 12;
/// How far an equal stretch is followed each way, blocks.
const STRETCH_MAX: usize = 32;

/// Two equal ranges of whole blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) source: Spot,
    pub(crate) target: Spot,
    pub(crate) nr_blocks: usize,
}

/// A block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) file_idx: usize,
    pub(crate) block: usize,
}

impl Spot {
    pub(crate) fn offset(self) -> u64 {
        self.block as u64 * BLOCK_LEN
    }
}

/// Returns a range that has the bytes at `spot` somewhere else, at most `nr_blocks_max` long and
/// containing `spot`, if there is one.
pub(crate) fn find(
    dice: &mut Dice,
    shadow: &Shadow,
    spot: Spot,
    nr_blocks_max: u64,
) -> Option<Pair> {
    let twin = find_twin(dice, shadow, spot, |_| true)?;
    let files = shadow.files();
    let (one, two) = (&files[spot.file_idx], &files[twin.file_idx]);
    let (one_keys, two_keys) = (whole_keys(one), whole_keys(two));
    let mut back = equal_len(
        one_keys[..spot.block].iter().rev(),
        two_keys[..twin.block].iter().rev(),
    );
    let mut ahead = equal_len(one_keys[spot.block..].iter(), two_keys[twin.block..].iter());
    if spot.file_idx == twin.file_idx {
        // Ranges within one file must not overlap.
        let distance = spot.block.abs_diff(twin.block);
        ahead = ahead.min(distance);
        back = back.min(distance - ahead);
    }
    let nr_blocks = dice.between(1, nr_blocks_max.min((back + ahead) as u64)) as usize;
    let skip_min = nr_blocks.saturating_sub(ahead);
    let skip = skip_min + dice.idx(back.min(nr_blocks - 1) - skip_min + 1);
    let at = |spot: Spot| Spot {
        block: spot.block - skip,
        ..spot
    };
    let (source, target) = match two.is_readonly || dice.is(50) {
        true => (at(twin), at(spot)),
        false => (at(spot), at(twin)),
    };
    Some(Pair {
        source,
        target,
        nr_blocks,
    })
}

/// Returns another range with the bytes of `source` that lies elsewhere, if there is one.
/// `is_free` tells whether a range may begin at a spot.
pub(crate) fn find_another(
    dice: &mut Dice,
    shadow: &Shadow,
    source: Spot,
    nr_blocks: usize,
    is_free: impl Fn(Spot) -> bool,
) -> Option<Spot> {
    let keys = &whole_keys(&shadow.files()[source.file_idx])[source.block..][..nr_blocks];
    find_twin(dice, shadow, source, |spot| {
        let file = &shadow.files()[spot.file_idx];
        let overlaps =
            spot.file_idx == source.file_idx && spot.block.abs_diff(source.block) < nr_blocks;
        !overlaps && whole_keys(file)[spot.block..].starts_with(keys) && is_free(spot)
    })
}

/// Returns a block with the bytes of `spot` that lies elsewhere and that `is_wanted`.
fn find_twin(
    dice: &mut Dice,
    shadow: &Shadow,
    spot: Spot,
    is_wanted: impl Fn(Spot) -> bool,
) -> Option<Spot> {
    let files = shadow.files();
    let own = &files[spot.file_idx];
    let key = *whole_keys(own).get(spot.block)?;
    let place = own.blocks.places()[spot.block];
    let first_idx = dice.idx(files.len());
    for nth in 0..files.len().min(NR_FILES_LOOKED_AT) {
        let file_idx = (first_idx + nth) % files.len();
        let file = &files[file_idx];
        if file.is_nocow != own.is_nocow {
            continue;
        }
        let keys = whole_keys(file);
        let start = dice.idx(keys.len());
        let places = file.blocks.places();
        for block in (start..keys.len()).chain(0..start) {
            let is_elsewhere = keys[block] == key
                && (places[block] != place || place == DIRTY)
                && places[block] != HOLE;
            let twin = Spot { file_idx, block };
            if is_elsewhere && twin != spot && is_wanted(twin) {
                return Some(twin);
            }
        }
    }
    None
}

/// Returns the keys of the blocks that lie wholly below EOF.
pub(crate) fn whole_keys(file: &File) -> &[u64] {
    &file.blocks.keys()[..(file.size / BLOCK_LEN) as usize]
}

/// Returns how many blocks are equal, up to [`STRETCH_MAX`].
fn equal_len<'a>(one: impl Iterator<Item = &'a u64>, two: impl Iterator<Item = &'a u64>) -> usize {
    one.zip(two)
        .take(STRETCH_MAX)
        .take_while(|(one, two)| one == two)
        .count()
}
