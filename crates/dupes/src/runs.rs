//! Which duplicates are too short, or not to be: [`drop_short`], [`drop_within_files`].
//!
//! A run is a stretch of a file whose blocks are equal, one by one, to those of a stretch
//! somewhere else. A block is in a run of so many blocks exactly if one of the windows of that
//! length that cover it is there twice; so one pass over windows is enough, whatever the data. A
//! run is followed as far as one file shows it.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::bits::Bits;
use crate::catalog::{BlockId, Catalog};
use crate::classes::{ClassId, Classes};
use crate::report::Stopped;
use crate::sort::{Record, Room, Sorter};

/// The base of rolling hashes: odd, and large.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// The part of the memory for sorting that sorting windows takes: beside it are all classes.
const SORTED_PART: usize = 4;

/// A block of a file that has an equal.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) block: BlockId,
    pub(crate) class: ClassId,
    /// Whether the block before it in the file is the one before it here.
    pub(crate) goes_on: bool,
    /// Index of the file.
    file: u32,
}

/// Calls `visit` with each block that is shown and has an equal, in the order of files.
///
/// # Errors
/// What `visit` answers.
pub(crate) fn each_place(
    catalog: &Catalog,
    classes: &Classes,
    mut visit: impl FnMut(Place) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    // Where the block behind the last one is.
    let mut behind = None;
    for (extent_idx, part) in catalog.parts_in_files() {
        let first = catalog.block_of(extent_idx, part.first);
        for (block, class) in classes.from(first, part.nr_blocks) {
            let offset = part.offset + (block.0 - first.0) * catalog.block;
            visit(Place {
                block,
                class,
                goes_on: behind == Some((part.file, offset)),
                file: part.file,
            })?;
            behind = Some((part.file, offset + catalog.block));
        }
    }
    Ok(())
}

/// A window with the hash of its blocks' classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Hashed {
    hash: u64,
    /// Its first block.
    begin: u64,
}

impl Record for Hashed {
    const LOW_BITS: u32 = 31;

    fn number(&self) -> u64 {
        self.hash
    }
}

/// Takes blocks for unique that are in no run of `nr_blocks` blocks.
///
/// # Errors
/// If the sorter cannot spill.
pub(crate) fn drop_short(
    catalog: &Catalog,
    classes: Classes,
    nr_blocks: usize,
    room: &Room<'_>,
) -> Result<Classes, Stopped> {
    let top = (1..nr_blocks).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut sorter = room.sorter(SORTED_PART);
    let mut window: VecDeque<(BlockId, u64)> = VecDeque::with_capacity(nr_blocks);
    let mut rolled = 0_u64;
    each_place(catalog, &classes, |place| {
        if !place.goes_on {
            window.clear();
            rolled = 0;
        }
        if window.len() == nr_blocks
            && let Some((_, oldest)) = window.pop_front()
        {
            rolled = rolled.wrapping_sub(oldest.wrapping_mul(top));
        }
        let value = xxh3_64(&place.class.to_le_bytes());
        rolled = rolled.wrapping_mul(BASE).wrapping_add(value);
        window.push_back((place.block, value));
        match window.front() {
            Some(begin) if window.len() == nr_blocks => sorter.push(Hashed {
                hash: rolled,
                begin: begin.0.0,
            }),
            _ => Ok(()),
        }
    })?;
    let begins = repeated(catalog, sorter)?;
    let mut nr_covered = 0;
    let mut is_in_run = Bits::new(catalog.nr_blocks());
    each_place(catalog, &classes, |place| {
        if !place.goes_on {
            nr_covered = 0;
        }
        if begins.has(place.block.0) {
            nr_covered = nr_blocks;
        }
        if 0 < nr_covered {
            is_in_run.set(place.block.0);
        }
        nr_covered = nr_covered.saturating_sub(1);
        Ok(())
    })?;
    Ok(classes.retain(|block, _| is_in_run.has(block.0)))
}

/// Takes blocks for unique whose equals are all in their own file.
///
/// # Errors
/// None of its own.
pub(crate) fn drop_within_files(catalog: &Catalog, classes: Classes) -> Result<Classes, Stopped> {
    const NONE: u32 = u32::MAX;
    const SEVERAL: u32 = u32::MAX - 1;
    let mut files = vec![NONE; classes.len()];
    each_place(catalog, &classes, |place| {
        let known = &mut files[place.class as usize];
        *known = match *known {
            NONE => place.file,
            known if known == place.file => known,
            _ => SEVERAL,
        };
        Ok(())
    })?;
    Ok(classes.retain(|_, class| files[class as usize] == SEVERAL))
}

/// Returns the first blocks of windows that are there more than once.
fn repeated(catalog: &Catalog, sorter: Sorter<'_, '_, Hashed>) -> Result<Bits, Stopped> {
    let mut bits = Bits::new(catalog.nr_blocks());
    let mut sorted = sorter.finish()?;
    let mut before: Option<Hashed> = None;
    while let Some(next) = sorted.next()? {
        if let Some(before) = before.filter(|before| before.hash == next.hash) {
            bits.set(before.begin);
            bits.set(next.begin);
        }
        before = Some(next);
    }
    Ok(bits)
}
