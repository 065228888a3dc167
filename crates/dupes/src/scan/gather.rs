//! Gather: from what is shown of storage, in order, to extents with their parts.
//!
//! Each part goes to the first file that shows it, in the order of files.

use std::collections::VecDeque;
use std::ops::Range;

use smallvec::SmallVec;
use volume::Extent;

use super::{Flags, Shown};
use crate::catalog::{Catalog, Facts, Part};
use crate::report::Stopped;
use crate::sort::Sorted;

/// An extent in the making.
struct Open {
    extent: Extent,
    facts: Facts,
    /// By place, not overlapping, each with how many bytes its last block has if that is the last
    /// one of the file and not whole.
    parts: SmallVec<[(Part, u32); 1]>,
}

/// Gathers what is shown of whole extents.
pub(super) fn extents(shown: &mut Sorted<Shown>, catalog: &mut Catalog) -> Result<(), Stopped> {
    let mut open: Option<Open> = None;
    while let Some(shown) = shown.next()? {
        let is_other = |open: &Open| open.extent.address != shown.address;
        if open.as_ref().is_some_and(is_other)
            && let Some(done) = open.take()
        {
            done.close(catalog);
        }
        let extent = || Open::new(shown.extent(catalog.block), &shown);
        open.get_or_insert_with(extent)
            .add(&shown, shown.within, 0, catalog.block);
    }
    if let Some(done) = open {
        done.close(catalog);
    }
    Ok(())
}

/// Gathers what is shown of storage that is freed block by block: extents are what is shown in
/// one piece and nothing before it has shown.
pub(super) fn blocks(shown: &mut Sorted<Shown>, catalog: &mut Catalog) -> Result<(), Stopped> {
    let block = catalog.block;
    let end_of = |extent: &Extent| extent.address + extent.disk_bytes;
    // What something still to come may show, too.
    let mut open: VecDeque<Open> = VecDeque::new();
    let mut prealloc_end = 0;
    while let Some(shown) = shown.next()? {
        while let Some(done) = open.pop_front_if(|it| end_of(&it.extent) <= shown.address) {
            done.close(catalog);
        }
        let end = shown.address + u64::from(shown.nr_blocks) * block;
        let mut at = shown.address;
        for piece in open.iter_mut().take_while(|it| it.extent.address < end) {
            let within = (at - piece.extent.address) / block;
            let skip = (at - shown.address) / block;
            piece.add(&shown, within as u32, skip as u32, block);
            at = end_of(&piece.extent).min(end);
        }
        if shown.has(Flags::PREALLOC) {
            prealloc_end = end.max(prealloc_end);
        } else if at < end {
            let extent = Extent {
                address: at,
                disk_bytes: end - at,
                ram_bytes: end - at,
                ..shown.extent(block)
            };
            let mut piece = Open::new(extent, &shown);
            piece.facts.has_prealloc = at < prealloc_end;
            let skip = (at - shown.address) / block;
            piece.add(&shown, 0, skip as u32, block);
            open.push_back(piece);
        }
    }
    open.into_iter().for_each(|done| done.close(catalog));
    Ok(())
}

impl Open {
    fn new(extent: Extent, shown: &Shown) -> Open {
        Open {
            extent,
            facts: Facts {
                is_nodatasum: shown.has(Flags::NODATASUM),
                ..Facts::default()
            },
            parts: SmallVec::new(),
        }
    }

    fn close(self, catalog: &mut Catalog) {
        let parts = self.parts.iter().map(|(part, _)| *part);
        catalog.push(&self.extent, self.facts, parts);
    }

    /// Adds what is shown from the block `within` on, less the first `skip` blocks.
    fn add(&mut self, shown: &Shown, within: u32, skip: u32, block: u64) {
        self.facts.nr_references = self.facts.nr_references.saturating_add(1);
        if shown.has(Flags::PREALLOC) {
            self.facts.has_prealloc = true;
            return;
        }
        let nr_blocks = (self.extent.ram_bytes / block) as u32;
        let shown_end = within.saturating_add(shown.nr_blocks - skip);
        let end = shown_end.min(nr_blocks);
        let tail_len = if end == shown_end { shown.tail_len } else { 0 };
        self.uncover_shorter(within..end, tail_len, block);
        let offset = shown.offset(block) + u64::from(skip) * block;
        self.cover(within..end, tail_len, shown.file, offset, block);
    }

    /// Takes the last block from parts of which this range shows more: truncating a file leaves
    /// its last block in storage as it was, and a snapshot may have all of it.
    fn uncover_shorter(&mut self, range: Range<u32>, tail_len: u32, block: u64) {
        let parts = &mut self.parts;
        let mut part_idx = parts.partition_point(|(part, _)| part.end() <= range.start);
        while let Some((part, own_len)) = parts
            .get_mut(part_idx)
            .filter(|(part, _)| part.first < range.end)
        {
            let last = part.end() - 1;
            let shown = match tail_len {
                1.. if last + 1 == range.end => tail_len,
                _ => block as u32,
            };
            // Nothing is shown behind the last block of a file.
            if 0 < *own_len && range.contains(&last) && *own_len < shown {
                part.nr_blocks -= 1;
                *own_len = 0;
            }
            if part.nr_blocks == 0 {
                parts.remove(part_idx);
            } else {
                part_idx += 1;
            }
        }
    }

    /// Adds the parts of a range, at `offset` of a file, that no file has shown yet.
    fn cover(&mut self, range: Range<u32>, tail_len: u32, file: u32, offset: u64, block: u64) {
        let Range { mut start, end } = range;
        let begin = start;
        let mut part_idx = self.parts.partition_point(|(part, _)| part.end() <= begin);
        while start < end {
            let next = self.parts.get(part_idx).map(|(part, _)| part);
            let next_first = next.map_or(end, |part| part.first.min(end));
            if let Some(covering) = next.filter(|part| part.first <= start) {
                start = covering.end();
            } else {
                let part = Part {
                    first: start,
                    nr_blocks: next_first - start,
                    file,
                    offset: offset + u64::from(start - begin) * block,
                };
                let tail_len = if next_first == end { tail_len } else { 0 };
                self.parts.insert(part_idx, (part, tail_len));
                start = next_first;
            }
            part_idx += 1;
        }
    }
}
