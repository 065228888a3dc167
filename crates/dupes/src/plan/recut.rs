//! Where storage is freed block by block, each block that has an equal is an extent of its own to
//! the rest of the plan: then what goes is decided block by block by the same rules.

use volume::Extent;

use crate::catalog::{Catalog, Known, Part};
use crate::classes::Classes;

/// Cuts extents at the blocks that have equals. Blocks keep their numbers.
pub(super) fn recut(catalog: &Catalog, classes: &Classes) -> (Catalog, Classes) {
    let mut extents = Vec::new();
    for (known, extent_idx) in catalog.extents.iter().zip(0..) {
        let nr_blocks = (known.extent.ram_bytes / catalog.block) as u32;
        let mut first = 0;
        while first < nr_blocks {
            let has_equal = |within: u32| classes.of(extent_idx, within).is_some();
            let mut end = first + 1;
            while !has_equal(first) && end < nr_blocks && !has_equal(end) {
                end += 1;
            }
            extents.push(piece(catalog, known, first, end));
            first = end;
        }
    }
    let recut = Catalog::new(catalog.block, catalog.files.clone(), extents);
    let classes = classes.recut(catalog, &recut);
    (recut, classes)
}

/// Returns blocks of an extent as one of their own.
fn piece(catalog: &Catalog, known: &Known, first: u32, end: u32) -> Known {
    let bytes = u64::from(end - first) * catalog.block;
    let inside = known
        .parts
        .iter()
        .filter(|part| part.first < end && first < part.end());
    let parts = inside.map(|part| {
        let from = part.first.max(first);
        Part {
            first: from - first,
            nr_blocks: part.end().min(end) - from,
            offset: part.offset + u64::from(from - part.first) * catalog.block,
            ..*part
        }
    });
    Known {
        extent: Extent {
            address: known.extent.address + u64::from(first) * catalog.block,
            disk_bytes: bytes,
            ram_bytes: bytes,
            compression: known.extent.compression,
        },
        parts: parts.collect(),
        ..known.clone()
    }
}
