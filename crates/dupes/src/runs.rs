//! Which duplicates are too short, or not to be: [`drop_short`], [`drop_within_files`].
//!
//! A run is a stretch of a file whose blocks are equal, one by one, to those of a stretch
//! somewhere else. A block is in a run of so many blocks exactly if one of the windows of that
//! length that cover it is there twice; so one pass over windows is enough, whatever the data. A
//! run is followed as far as one file shows it.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::{BlockId, Catalog, ExtentIdx};
use crate::classes::{ClassId, Classes};
use crate::report::Stopped;
use crate::sort::{Record, Sorter};

/// The base of rolling hashes: odd, and large.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// A block of a file whose class is known.
#[derive(Clone, Copy)]
struct Place {
    extent_idx: ExtentIdx,
    within: u32,
    class: Option<ClassId>,
    /// Whether the block before it in the file is the one before it here.
    goes_on: bool,
}

/// Calls `visit` with each block that is shown, in the order of files.
fn each_place(catalog: &Catalog, classes: &Classes, mut visit: impl FnMut(Place)) {
    let mut before = None;
    for (extent_idx, part) in catalog.parts_in_files() {
        let mut goes_on = before == Some((part.file, part.offset));
        for within in part.first..part.end() {
            visit(Place {
                extent_idx,
                within,
                class: classes.of(extent_idx, within),
                goes_on,
            });
            goes_on = true;
        }
        let len = u64::from(part.nr_blocks) * catalog.block;
        before = Some((part.file, part.offset + len));
    }
}

/// Takes blocks for unique that are in no run of `nr_blocks` blocks.
///
/// # Errors
/// If the sorter cannot spill.
pub(crate) fn drop_short(
    catalog: &Catalog,
    classes: &mut Classes,
    nr_blocks: usize,
    mut sorter: Sorter<'_>,
) -> Result<(), Stopped> {
    let top = (1..nr_blocks).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let id = |place: &Place| catalog.known(place.extent_idx).first.0 + u64::from(place.within);
    let mut window: VecDeque<(BlockId, u64)> = VecDeque::with_capacity(nr_blocks);
    let (mut rolled, mut spilled) = (0_u64, Ok(()));
    each_place(catalog, classes, |place| {
        if !place.goes_on || place.class.is_none() {
            window.clear();
            rolled = 0;
        }
        let Some(class) = place.class else {
            return;
        };
        if window.len() == nr_blocks
            && let Some((_, oldest)) = window.pop_front()
        {
            rolled = rolled.wrapping_sub(oldest.wrapping_mul(top));
        }
        let value = xxh3_64(&class.to_le_bytes());
        rolled = rolled.wrapping_mul(BASE).wrapping_add(value);
        window.push_back((BlockId(id(&place)), value));
        if window.len() == nr_blocks
            && spilled.is_ok()
            && let Some(&(block, _)) = window.front()
        {
            spilled = sorter.push(Record { key: rolled, block });
        }
    });
    spilled?;
    let begins = repeated(catalog, sorter)?;
    let mut nr_covered = 0;
    let mut short: Vec<(ExtentIdx, u32)> = Vec::new();
    each_place(catalog, classes, |place| {
        if !place.goes_on {
            nr_covered = 0;
        }
        if begins.has(id(&place)) {
            nr_covered = nr_blocks;
        }
        if nr_covered == 0 && place.class.is_some() {
            short.push((place.extent_idx, place.within));
        }
        nr_covered = nr_covered.saturating_sub(1);
    });
    short
        .into_iter()
        .for_each(|(extent_idx, within)| classes.forget(extent_idx, within));
    Ok(())
}

/// Takes blocks for unique whose equals are all in their own file.
pub(crate) fn drop_within_files(catalog: &Catalog, classes: &mut Classes) {
    const NONE: u32 = u32::MAX;
    const SEVERAL: u32 = u32::MAX - 1;
    let mut files = vec![NONE; classes.len()];
    let of = |classes: &Classes, visit: &mut dyn FnMut(ExtentIdx, u32, ClassId, u32)| {
        for (extent_idx, part) in catalog.parts_in_files() {
            for within in part.first..part.end() {
                if let Some(class) = classes.of(extent_idx, within) {
                    visit(extent_idx, within, class, part.file);
                }
            }
        }
    };
    of(classes, &mut |_, _, class, file| {
        let known = &mut files[class as usize];
        *known = match *known {
            NONE => file,
            known if known == file => file,
            _ => SEVERAL,
        };
    });
    let mut own = Vec::new();
    of(classes, &mut |extent_idx, within, class, _| {
        if files[class as usize] != SEVERAL {
            own.push((extent_idx, within));
        }
    });
    own.into_iter()
        .for_each(|(extent_idx, within)| classes.forget(extent_idx, within));
}

/// One bit for each block.
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, block: u64) {
        self.0[(block / 64) as usize] |= 1 << (block % 64);
    }

    fn has(&self, block: u64) -> bool {
        self.0[(block / 64) as usize] & 1 << (block % 64) != 0
    }
}

/// Returns the first blocks of windows that are there more than once.
fn repeated(catalog: &Catalog, sorter: Sorter<'_>) -> Result<Bits, Stopped> {
    let mut bits = Bits(vec![0; (catalog.nr_blocks() / 64 + 1) as usize]);
    let mut sorted = sorter.finish()?;
    let mut blocks = Vec::new();
    while sorted.next_group(&mut blocks)?.is_some() {
        if 1 < blocks.len() {
            blocks.iter().for_each(|block| bits.set(block.0));
        }
    }
    Ok(bits)
}
