//! Where storage is freed block by block, each block that has an equal is an extent of its own to
//! the rest of the plan: then what goes is decided block by block by the same rules.

use volume::Extent;

use crate::catalog::{Catalog, Known, Part};
use crate::classes::Classes;

/// Cuts extents at the blocks that have equals. Blocks keep their numbers, and so their classes.
pub(super) fn recut(catalog: &Catalog, classes: &Classes) -> Catalog {
    let mut recut = Catalog::new(catalog.block, catalog.files.clone());
    for (_, known) in catalog.iter() {
        let has_equal = |within: u32| classes.of(known.block(within)).is_some();
        let mut first = 0;
        while first < known.nr_blocks {
            let mut end = first + 1;
            while !has_equal(first) && end < known.nr_blocks && !has_equal(end) {
                end += 1;
            }
            push_piece(&mut recut, &known, first, end);
            first = end;
        }
    }
    recut.index();
    recut
}

/// Adds blocks of an extent as one of their own.
fn push_piece(recut: &mut Catalog, known: &Known<'_>, first: u32, end: u32) {
    let block = recut.block;
    let bytes = u64::from(end - first) * block;
    let extent = Extent {
        address: known.extent.address + u64::from(first) * block,
        disk_bytes: bytes,
        ram_bytes: bytes,
        compression: known.extent.compression,
    };
    let nr_before = known.parts.partition_point(|part| part.end() <= first);
    let inside = known.parts[nr_before..]
        .iter()
        .take_while(|part| part.first < end);
    let parts = inside.map(|part| {
        let from = part.first.max(first);
        Part {
            first: from - first,
            nr_blocks: part.end().min(end) - from,
            offset: part.offset + u64::from(from - part.first) * block,
            ..*part
        }
    });
    recut.push(&extent, known.facts, parts);
}
