//! Scan: pages of files become a [`Catalog`], each extent once however many files and snapshots
//! have it.
//!
//! Holes and preallocated ranges are skipped, inline data has no storage to share. It reads no
//! data; [`crate::hash`] does.

use std::collections::BTreeMap;
use std::ops::Range;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use volume::{Extent, File, FileExtent, FileId, Page, Place, Position, SpaceRule, Volume};

use crate::catalog::{self, BlockId, Catalog, Known, Part};
use crate::report::{Report, Stopped};
use crate::watch::{Phase, Watch};

/// A catalog in the making.
struct Scan {
    block: u64,
    rule: SpaceRule,
    files: Vec<File>,
    file_idxs: FxHashMap<FileId, u32>,
    extents: Vec<Known>,
    /// By address.
    extent_idxs: FxHashMap<u64, u32>,
    /// Where the rule is that of blocks: what is in an extent already, first address to end.
    mapped: BTreeMap<u64, u64>,
}

/// Walks everything in scope.
///
/// # Errors
/// If the volume cannot be walked, or the watch says stop.
pub(crate) fn scan(
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Catalog, Stopped> {
    let mut scan = Scan {
        block: volume.block_bytes(),
        rule: volume.space_rule(),
        files: Vec::new(),
        file_idxs: FxHashMap::default(),
        extents: Vec::new(),
        extent_idxs: FxHashMap::default(),
        mapped: BTreeMap::new(),
    };
    let mut page = Page::default();
    let mut from = Some(Position::default());
    while let Some(position) = from {
        page.clear();
        from = volume.next_page(position, 0, &mut page)?;
        for (file, file_extents) in page.iter() {
            report.nr_files += 1;
            for file_extent in file_extents {
                report.scanned_bytes += scan.add(file, file_extent);
            }
        }
        report.errors.append(&mut page.errors);
        let share = volume.walked().filter(|share| 0.0 < *share);
        let total = share.map(|share| (report.nr_files as f64 / share) as u64);
        watch.at(Phase::Scan, report.nr_files, total)?;
    }
    report.nr_extents = scan.extents.len() as u64;
    Ok(Catalog::new(scan.block, scan.files, scan.extents))
}

impl Scan {
    /// Adds what a file extent refers to, as far as it is new; returns its bytes of data.
    fn add(&mut self, file: &File, file_extent: &FileExtent) -> u64 {
        let (extent, within) = match file_extent.place {
            Place::Hole | Place::Inline => return 0,
            Place::Preallocated { extent, .. } => {
                let extent_idx = self.extent_idx(extent, file);
                let known = &mut self.extents[extent_idx];
                known.has_prealloc = true;
                known.nr_references += 1;
                return 0;
            }
            Place::Data { extent, within } => (extent, within),
        };
        // What lies behind the last block of the file cannot be compared.
        let file_end = file.size.next_multiple_of(self.block);
        let len = file_extent
            .len
            .min(file_end.saturating_sub(file_extent.offset));
        if len == 0 {
            return 0;
        }
        match self.rule {
            SpaceRule::WholeExtents => {
                let extent_idx = self.extent_idx(extent, file);
                self.cover(extent_idx, within, file_extent.offset, len, file);
            }
            SpaceRule::Blocks => self.map(extent, within, file_extent.offset, len, file),
        }
        len
    }

    /// Returns the index of an extent.
    fn extent_idx(&mut self, extent: Extent, file: &File) -> usize {
        let next_idx = self.extents.len();
        let slot = self.extent_idxs.entry(extent.address);
        let extent_idx = *slot.or_insert(next_idx as u32) as usize;
        if extent_idx == next_idx {
            self.extents.push(Known {
                extent,
                first: BlockId(0),
                is_nodatasum: file.is_nodatasum,
                has_prealloc: false,
                nr_references: 0,
                parts: SmallVec::new(),
            });
        }
        extent_idx
    }

    /// Adds the parts of a range of an extent that no file has shown yet.
    fn cover(&mut self, extent_idx: usize, within: u64, offset: u64, len: u64, file: &File) {
        let (mut first, end) = (self.nr_blocks(within), self.nr_blocks(within + len));
        let begin = first;
        let nr_references = &mut self.extents[extent_idx].nr_references;
        *nr_references = nr_references.saturating_add(1);
        self.uncover_shorter(extent_idx, first..end, offset, file);
        let parts = &self.extents[extent_idx].parts;
        let mut part_idx = parts.partition_point(|part| part.end() <= first);
        while first < end {
            let next = self.extents[extent_idx].parts.get(part_idx);
            let next_first = next.map_or(end, |part| part.first.min(end));
            if let Some(covering) = next.filter(|part| part.first <= first) {
                first = covering.end();
            } else {
                let part = Part {
                    first,
                    nr_blocks: next_first - first,
                    file: self.file_idx(file),
                    offset: offset + u64::from(first - begin) * self.block,
                };
                self.extents[extent_idx].parts.insert(part_idx, part);
                first = next_first;
            }
            part_idx += 1;
        }
    }

    /// Takes the last block from parts of which this file shows more: truncating a file leaves
    /// its last block in storage as it was, and a snapshot may have all of it.
    fn uncover_shorter(&mut self, extent_idx: usize, range: Range<u32>, offset: u64, file: &File) {
        let (files, block) = (&self.files, self.block);
        let parts = &mut self.extents[extent_idx].parts;
        let mut part_idx = parts.partition_point(|part| part.end() <= range.start);
        while let Some(part) = parts
            .get_mut(part_idx)
            .filter(|part| part.first < range.end)
        {
            let size = files[part.file as usize].size;
            let tail = catalog::tail(size, part.offset, part.nr_blocks, block);
            // Nothing is shown behind the last block of a file.
            let within = part.end() - 1;
            if let Some((_, len)) = tail.filter(|_| range.contains(&within)) {
                let shown_from = offset + u64::from(within - range.start) * block;
                let shown = (file.size - shown_from).min(block);
                part.nr_blocks -= u32::from(u64::from(len) < shown);
            }
            if part.nr_blocks == 0 {
                parts.remove(part_idx);
            } else {
                part_idx += 1;
            }
        }
    }

    /// Makes extents of what nobody has mapped yet of a range of storage.
    fn map(&mut self, extent: Extent, within: u64, offset: u64, len: u64, file: &File) {
        let begin = extent.address + within;
        let (mut at, end) = (begin, begin + len);
        while at < end {
            let before = self.mapped.range(..=at).next_back();
            if let Some((&first, &mapped_end)) = before.filter(|(_, mapped_end)| at < **mapped_end)
            {
                let shown_end = mapped_end.min(end);
                let extent_idx = self.extent_idxs[&first] as usize;
                let shown_from = offset + (at - begin);
                self.cover(extent_idx, at - first, shown_from, shown_end - at, file);
                at = shown_end;
                continue;
            }
            let next = self.mapped.range(at..end).next();
            let piece_end = next.map_or(end, |(&next, _)| next);
            self.mapped.insert(at, piece_end);
            let piece = Extent {
                address: at,
                disk_bytes: piece_end - at,
                ram_bytes: piece_end - at,
                compression: extent.compression,
            };
            let extent_idx = self.extent_idx(piece, file);
            self.cover(extent_idx, 0, offset + (at - begin), piece_end - at, file);
            at = piece_end;
        }
    }

    fn file_idx(&mut self, file: &File) -> u32 {
        let next_idx = self.files.len() as u32;
        let file_idx = *self.file_idxs.entry(file.id).or_insert(next_idx);
        if file_idx == next_idx {
            self.files.push(*file);
        }
        file_idx
    }

    fn nr_blocks(&self, bytes: u64) -> u32 {
        u32::try_from(bytes / self.block).unwrap_or(u32::MAX)
    }
}
