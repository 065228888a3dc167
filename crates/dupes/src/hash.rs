//! Hash: each block in storage gets a key, from the filesystem's checksums where they can be used,
//! else by reading it once.
//!
//! Two blocks with one key are probably equal; the kernel compares before anything is shared, so
//! a hash decides what is proposed, never what happens. Therefore speed counts, and strength only
//! as far as predictions should hold: XXH3 of 64 bits, which the workspace has and which hashes
//! faster than memory is read. (A cryptographic hash, blake3, would take several times as long to
//! protect against nothing but a wrong prediction.)
//!
//! A key tells apart what can never be shared: data with and without checksums, and last blocks
//! of files by how many bytes they have, for the kernel shares those only where both ranges end
//! at the end of their files.

use volume::{ChecksumStrength, Compression, Extent, FileRange, Volume};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::catalog::{BlockId, Catalog, ExtentIdx, Known, Part};
use crate::options::ScanMode;
use crate::recall;
use crate::report::{Report, Stopped};
use crate::sort::{Record, Sorter};
use crate::watch::{Phase, Watch};

/// Checksums of gaps up to this many bytes are asked for, too, if that saves a question.
const GAP_BYTES_MAX: u64 = 64 << 10;
/// Bytes of storage whose checksums are asked for at once.
const SPAN_BYTES_MAX: u64 = 256 << 20;
/// Bytes that are read in one piece, and at once.
const READ_BYTES_MAX: u64 = 4 << 20;
const READ_BATCH_BYTES: u64 = 64 << 20;
/// Bytes of single blocks that are read before the watch is told.
const CONFIRM_BATCH_BYTES: u64 = 16 << 20;

/// Where a key comes from: equal values from different kinds mean nothing.
#[derive(Clone, Copy)]
enum KeyKind {
    Checksum = 1,
    Compressed = 2,
    Read = 3,
}

/// A block with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Keyed {
    pub(crate) key: u64,
    block: u64,
}

impl Record for Keyed {
    const LOW_BITS: u32 = 31;

    fn number(&self) -> u64 {
        self.key
    }
}

impl Keyed {
    pub(crate) fn new(key: u64, block: BlockId) -> Keyed {
        let BlockId(block) = block;
        Keyed { key, block }
    }

    pub(crate) fn block(&self) -> BlockId {
        BlockId(self.block)
    }
}

/// A part that is to be read.
type ToRead = (ExtentIdx, Part);

/// Feeds the keys of all blocks to the sorter.
///
/// # Errors
/// If the volume fails as a whole, the sorter cannot spill, or the watch says stop. Files that
/// cannot be read are reported and left out.
pub(crate) fn hash(
    catalog: &Catalog,
    mode: ScanMode,
    volume: &mut dyn Volume,
    sorter: &mut Sorter<'_, '_, Keyed>,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<(), Stopped> {
    sorter.expect(catalog.nr_blocks());
    let has_checksums = mode != ScanMode::Read && volume.checksum_strength().is_some();
    let mut to_read: Vec<ToRead> = Vec::new();
    let mut next: ExtentIdx = 0;
    let end_of = |extent: &Extent| extent.address + extent.disk_bytes;
    while (next as usize) < catalog.len() {
        let first = next;
        let begin = catalog.known(first).extent.address;
        let mut end = begin;
        while (next as usize) < catalog.len() {
            let extent = catalog.known(next).extent;
            let is_near = extent.address <= end.saturating_add(GAP_BYTES_MAX)
                && extent.address - begin < SPAN_BYTES_MAX;
            if next != first && !is_near {
                break;
            }
            end = end_of(&extent);
            next += 1;
        }
        let mut checksums = Vec::new();
        if has_checksums {
            let extents: Vec<Known<'_>> = (first..next).map(|idx| catalog.known(idx)).collect();
            recall::checksums(&extents, (begin, end), volume, &mut checksums)?;
        }
        let strength = volume.checksum_strength();
        for extent_idx in first..next {
            let known = catalog.known(extent_idx);
            let skip = ((known.extent.address - begin) / catalog.block) as usize;
            let own = checksums.get(skip..).unwrap_or_default();
            let hashed = Hashing {
                catalog,
                sorter,
                known: &known,
                extent_idx,
            };
            hashed.take_checksums(own, strength, &mut to_read)?;
        }
        let nr_blocks = catalog.nr_blocks();
        let done = match next as usize == catalog.len() {
            true => nr_blocks,
            false => catalog.known(next).first.0,
        };
        watch.at(Phase::Hash, done, Some(nr_blocks))?;
    }
    let to_read = recall::hashes(
        catalog,
        to_read,
        volume,
        |extent_idx, part, within, value| {
            let known = catalog.known(extent_idx);
            let key = key(KeyKind::Read, &known, value, within, catalog.tail_of(part));
            sorter.push(Keyed::new(key, known.block(within)))
        },
    )?;
    read(catalog, &to_read, volume, sorter, watch, report)
}

/// The keys of one extent in the making.
struct Hashing<'a, 'r, 's> {
    catalog: &'a Catalog,
    sorter: &'a mut Sorter<'r, 's, Keyed>,
    known: &'a Known<'a>,
    extent_idx: ExtentIdx,
}

impl Hashing<'_, '_, '_> {
    /// Takes keys from the checksums from the extent's address on; what has none is to be read.
    fn take_checksums(
        mut self,
        checksums: &[Option<u64>],
        strength: Option<ChecksumStrength>,
        to_read: &mut Vec<ToRead>,
    ) -> Result<(), Stopped> {
        if self.known.extent.compression != Compression::None {
            return match self.whole_key(checksums, strength) {
                Some(whole) => self.take_whole(whole),
                None => {
                    to_read.extend(self.known.parts.iter().map(|part| (self.extent_idx, *part)));
                    Ok(())
                }
            };
        }
        for part in self.known.parts {
            let tail = self.catalog.tail_of(part);
            let mut unread: Option<Part> = None;
            for within in part.first..part.end() {
                let checksum = checksums.get(within as usize).copied().flatten();
                match (checksum, &mut unread) {
                    (Some(value), _) => {
                        to_read.extend(unread.take().map(|part| (self.extent_idx, part)));
                        self.push(
                            within,
                            key(KeyKind::Checksum, self.known, value, within, tail),
                        )?;
                    }
                    (None, Some(unread)) => unread.nr_blocks += 1,
                    (None, None) => {
                        let skip = u64::from(within - part.first) * self.catalog.block;
                        unread = Some(Part {
                            first: within,
                            nr_blocks: 1,
                            offset: part.offset + skip,
                            ..*part
                        });
                    }
                }
            }
            to_read.extend(unread.map(|part| (self.extent_idx, part)));
        }
        Ok(())
    }

    /// Returns what the checksums say of a compressed extent as a whole. One weak checksum says
    /// too little, and what lies beside it in storage is no better witness.
    fn whole_key(
        &self,
        checksums: &[Option<u64>],
        strength: Option<ChecksumStrength>,
    ) -> Option<u64> {
        let extent = &self.known.extent;
        let nr_blocks = (extent.disk_bytes / self.catalog.block) as usize;
        let is_enough = strength == Some(ChecksumStrength::Strong) || 1 < nr_blocks;
        let own: Option<Vec<u64>> = checksums.get(..nr_blocks)?.iter().copied().collect();
        let mut bytes: Vec<u8> = own?.iter().flat_map(|value| value.to_le_bytes()).collect();
        let Compression::Algorithm(algorithm) = extent.compression else {
            return None;
        };
        bytes.extend(extent.ram_bytes.to_le_bytes());
        bytes.push(algorithm);
        is_enough.then(|| xxh3_64(&bytes))
    }

    fn take_whole(&mut self, whole: u64) -> Result<(), Stopped> {
        for part in self.known.parts {
            let tail = self.catalog.tail_of(part);
            for within in part.first..part.end() {
                let value = xxh3_64_with_seed(&whole.to_le_bytes(), u64::from(within));
                self.push(
                    within,
                    key(KeyKind::Compressed, self.known, value, within, tail),
                )?;
            }
        }
        Ok(())
    }

    fn push(&mut self, within: u32, key: u64) -> Result<(), Stopped> {
        self.sorter.push(Keyed::new(key, self.known.block(within)))
    }
}

/// Reads and hashes what has no checksums, in the order of storage.
fn read(
    catalog: &Catalog,
    to_read: &[ToRead],
    volume: &mut dyn Volume,
    sorter: &mut Sorter<'_, '_, Keyed>,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<(), Stopped> {
    let nr_blocks = |pieces: &[ToRead]| pieces.iter().map(|(_, p)| u64::from(p.nr_blocks)).sum();
    let total: u64 = nr_blocks(to_read);
    let mut pieces = to_read.iter().flat_map(|it| cut(*it, catalog));
    let mut done = 0;
    let batch_len = (READ_BATCH_BYTES / READ_BYTES_MAX) as usize;
    loop {
        let batch: Vec<ToRead> = pieces.by_ref().take(batch_len).collect();
        if batch.is_empty() {
            break;
        }
        let ranges: Vec<FileRange> = batch.iter().map(|(_, part)| range(catalog, part)).collect();
        let mut hashed = Vec::with_capacity(ranges.len());
        volume.hash_blocks(&ranges, xxh3_64, &mut hashed)?;
        for (((extent_idx, part), range), result) in batch.iter().zip(&ranges).zip(hashed) {
            let values = match result {
                Ok(values) => values,
                Err(error) => {
                    report.errors.push(error);
                    continue;
                }
            };
            let known = catalog.known(*extent_idx);
            recall::learn_hashes(&known, part.first, *range, &values, volume)?;
            let tail = catalog.tail_of(part);
            for (value, within) in values.into_iter().zip(part.first..part.end()) {
                let key = key(KeyKind::Read, &known, value, within, tail);
                sorter.push(Keyed::new(key, known.block(within)))?;
            }
        }
        report.read_bytes += ranges.iter().map(|range| range.len).sum::<u64>();
        done += nr_blocks(&batch);
        watch.at(Phase::Hash, done, Some(total))?;
    }
    Ok(())
}

/// Returns the pieces of a part that are short enough to be read at once.
fn cut((extent_idx, part): ToRead, catalog: &Catalog) -> impl Iterator<Item = ToRead> {
    let nr_max = (READ_BYTES_MAX / catalog.block) as u32;
    let block = catalog.block;
    (0..part.nr_blocks)
        .step_by(nr_max as usize)
        .map(move |skip| {
            let piece = Part {
                first: part.first + skip,
                nr_blocks: nr_max.min(part.nr_blocks - skip),
                offset: part.offset + u64::from(skip) * block,
                ..part
            };
            (extent_idx, piece)
        })
}

/// Returns the file range of a part, up to the end of the file.
fn range(catalog: &Catalog, part: &Part) -> FileRange {
    let file = &catalog.files[part.file as usize];
    let len = u64::from(part.nr_blocks) * catalog.block;
    FileRange {
        file: file.id,
        offset: part.offset,
        len: len.min(file.size.saturating_sub(part.offset)),
    }
}

/// Returns the key of a block.
fn key(kind: KeyKind, known: &Known<'_>, value: u64, within: u32, tail: Option<(u32, u32)>) -> u64 {
    let tail_len = tail
        .filter(|(at, _)| *at == within)
        .map_or(0, |(_, len)| len);
    let seed = u64::from(tail_len) << 8 | u64::from(known.facts.is_nodatasum) << 4 | kind as u64;
    xxh3_64_with_seed(&value.to_le_bytes(), seed)
}

/// Reads single blocks, one of each group of equals perhaps, and returns their strong hashes;
/// `None` for those that cannot be read.
///
/// # Errors
/// If the volume fails as a whole, or the watch says stop.
pub(crate) fn strong(
    catalog: &Catalog,
    blocks: &[BlockId],
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Vec<Option<u64>>, Stopped> {
    let mut found = Vec::with_capacity(blocks.len());
    let total = Some(blocks.len() as u64);
    let batch_len = (CONFIRM_BATCH_BYTES / catalog.block) as usize;
    for batch in blocks.chunks(batch_len) {
        watch.at(Phase::Confirm, found.len() as u64, total)?;
        strong_batch(catalog, batch, volume, report, &mut found)?;
    }
    Ok(found)
}

/// Appends the strong hashes of some blocks.
fn strong_batch(
    catalog: &Catalog,
    blocks: &[BlockId],
    volume: &mut dyn Volume,
    report: &mut Report,
    found: &mut Vec<Option<u64>>,
) -> Result<(), Stopped> {
    let places: Vec<(ExtentIdx, u32)> = blocks.iter().map(|id| catalog.locate(*id)).collect();
    let shown = places
        .iter()
        .filter_map(|(extent_idx, within)| catalog.shown(*extent_idx, *within));
    let ranges: Vec<FileRange> = shown.collect();
    debug_assert_eq!(
        ranges.len(),
        blocks.len(),
        "every block with a key is shown"
    );
    let mut own = recall::single(catalog, &places, &ranges, volume)?;
    let is_open = |idx: &usize| own[*idx].is_none();
    let open: Vec<usize> = (0..ranges.len()).filter(is_open).collect();
    let asked: Vec<FileRange> = open.iter().map(|idx| ranges[*idx]).collect();
    let mut hashed = Vec::with_capacity(asked.len());
    if !asked.is_empty() {
        volume.hash_blocks(&asked, xxh3_64, &mut hashed)?;
    }
    for ((&idx, range), result) in open.iter().zip(&asked).zip(hashed) {
        match result {
            Ok(values) => {
                own[idx] = values.first().copied();
                let (extent_idx, within) = places[idx];
                let known = catalog.known(extent_idx);
                recall::learn_hashes(&known, within, *range, &values, volume)?;
            }
            Err(error) => report.errors.push(error),
        }
    }
    report.read_bytes += asked.iter().map(|range| range.len).sum::<u64>();
    found.append(&mut own);
    Ok(())
}
