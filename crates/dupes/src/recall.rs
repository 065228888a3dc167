//! What a volume remembers of an earlier run is not asked for, nor read again; what was found out
//! it is told ([`Volume::recall`], [`Volume::learn`]).
//!
//! It does not know what makes a memory good: whatever is recalled is as good as asked for.

use volume::{Extent, FileRange, Learned, Recalled, ValueKind, Volume};

use crate::catalog::{Catalog, ExtentIdx, Known, Part};
use crate::report::Stopped;

/// How many parts are recalled at once.
const NR_RECALLED: usize = 4096;

/// Appends the checksums of storage from `begin` to `end`, in which these extents lie, in order.
///
/// # Errors
/// If the volume fails as a whole.
pub(crate) fn checksums(
    extents: &[Known<'_>],
    (begin, end): (u64, u64),
    volume: &mut dyn Volume,
    found: &mut Vec<Option<u64>>,
) -> Result<(), Stopped> {
    if !volume.remembers() {
        volume.checksums(begin, end - begin, found)?;
        return Ok(());
    }
    let block = volume.block_bytes();
    let place = |address: u64| ((address - begin) / block) as usize;
    found.resize(place(end), None);
    let asked: Vec<Extent> = extents.iter().map(|known| known.extent).collect();
    let mut recalled = Recalled::default();
    volume.recall(ValueKind::Checksum, &asked, &mut recalled)?;
    let mut missing: Vec<Extent> = Vec::new();
    let mut values = Vec::new();
    for (known, asked_idx) in extents.iter().zip(0..) {
        let extent = known.extent;
        let own = &mut found[place(extent.address)..][..(extent.disk_bytes / block) as usize];
        let mut nr_recalled = 0;
        for (within, _, value) in recalled.blocks_of(asked_idx) {
            if let Some(slot) = own.get_mut(within as usize) {
                nr_recalled += usize::from(slot.replace(value).is_none());
            }
        }
        // Data without checksums has none, however often it is asked for them.
        let is_known = nr_recalled == own.len() || known.facts.is_nodatasum;
        if !is_known {
            missing.push(extent);
        }
        let is_last = asked_idx as usize + 1 == extents.len();
        if let (Some(first), Some(last)) = (missing.first(), missing.last())
            && (is_known || is_last)
        {
            values.clear();
            let from = first.address;
            let len = last.address + last.disk_bytes - from;
            volume.checksums(from, len, &mut values)?;
            found[place(from)..][..values.len()].copy_from_slice(&values);
            for extent in missing.drain(..) {
                let own = &found[place(extent.address)..][..(extent.disk_bytes / block) as usize];
                learn_checksums(extent, own, volume)?;
            }
        }
    }
    Ok(())
}

/// Tells the volume the checksums of an extent, if all of it has some: where there are none yet,
/// they may come (in preallocated extents), and that is nothing to rely on.
fn learn_checksums(
    extent: Extent,
    own: &[Option<u64>],
    volume: &mut dyn Volume,
) -> Result<(), Stopped> {
    let values: Option<Vec<u64>> = own.iter().copied().collect();
    let Some(values) = values else {
        return Ok(());
    };
    let nobody = FileRange {
        file: volume::FileId { root: 0, inode: 0 },
        offset: 0,
        len: 0,
    };
    volume.learn(
        ValueKind::Checksum,
        Learned {
            extent,
            first: 0,
            tail_len: 0,
            shown: nobody,
            values: &values,
        },
    )?;
    Ok(())
}

/// Calls `take` with every block of the parts whose hash is remembered; returns the parts that
/// are left to be read.
///
/// # Errors
/// If the volume fails as a whole, or `take` does.
pub(crate) fn hashes(
    catalog: &Catalog,
    parts: Vec<(ExtentIdx, Part)>,
    volume: &mut dyn Volume,
    mut take: impl FnMut(ExtentIdx, &Part, u32, u64) -> Result<(), Stopped>,
) -> Result<Vec<(ExtentIdx, Part)>, Stopped> {
    if !volume.remembers() {
        return Ok(parts);
    }
    let mut left = Vec::new();
    let mut recalled = Recalled::default();
    for parts in parts.chunks(NR_RECALLED) {
        let asked: Vec<Extent> = parts
            .iter()
            .map(|(extent_idx, _)| catalog.known(*extent_idx).extent)
            .collect();
        recalled.clear();
        volume.recall(ValueKind::Hash, &asked, &mut recalled)?;
        for ((extent_idx, part), asked_idx) in parts.iter().zip(0..) {
            let tail = catalog.tail_of(part);
            let mut known = recalled.blocks_of(asked_idx).peekable();
            let mut unread: Option<Part> = None;
            for within in part.first..part.end() {
                let tail_len = tail
                    .filter(|(at, _)| *at == within)
                    .map_or(0, |(_, len)| len);
                let is_before = |at: u32, len: u32| (at, len) < (within, tail_len);
                while known.next_if(|(at, len, _)| is_before(*at, *len)).is_some() {}
                let found = known
                    .peek()
                    .filter(|(at, len, _)| (*at, *len) == (within, tail_len));
                if let Some((.., value)) = found {
                    take(*extent_idx, part, within, *value)?;
                    left.extend(unread.take().map(|part| (*extent_idx, part)));
                } else if let Some(unread) = &mut unread {
                    unread.nr_blocks += 1;
                } else {
                    unread = Some(Part {
                        first: within,
                        nr_blocks: 1,
                        offset: part.offset + u64::from(within - part.first) * catalog.block,
                        ..*part
                    });
                }
            }
            left.extend(unread.map(|part| (*extent_idx, part)));
        }
    }
    Ok(left)
}

/// Tells the volume the hashes of blocks of an extent from one on, as a file showed them.
///
/// # Errors
/// If the volume fails as a whole.
pub(crate) fn learn_hashes(
    known: &Known<'_>,
    first: u32,
    shown: FileRange,
    values: &[u64],
    volume: &mut dyn Volume,
) -> Result<(), Stopped> {
    // A file that was cut meanwhile showed less than it was to.
    let nr_shown = shown.len.div_ceil(volume.block_bytes());
    if !volume.remembers() || values.is_empty() || nr_shown != values.len() as u64 {
        return Ok(());
    }
    let learned = Learned {
        extent: known.extent,
        first,
        tail_len: (shown.len % volume.block_bytes()) as u32,
        shown,
        values,
    };
    Ok(volume.learn(ValueKind::Hash, learned)?)
}

/// Returns the hashes of single blocks of extents, which a file shows at `ranges`, as far as they
/// are remembered.
///
/// # Errors
/// If the volume fails as a whole.
pub(crate) fn single(
    catalog: &Catalog,
    places: &[(ExtentIdx, u32)],
    ranges: &[FileRange],
    volume: &mut dyn Volume,
) -> Result<Vec<Option<u64>>, Stopped> {
    let mut found = vec![None; places.len()];
    if !volume.remembers() {
        return Ok(found);
    }
    let asked: Vec<Extent> = places
        .iter()
        .map(|(extent_idx, _)| catalog.known(*extent_idx).extent)
        .collect();
    let mut recalled = Recalled::default();
    volume.recall(ValueKind::Hash, &asked, &mut recalled)?;
    for (((_, within), range), asked_idx) in places.iter().zip(ranges).zip(0..) {
        let tail_len = (range.len % catalog.block) as u32;
        let mut known = recalled.blocks_of(asked_idx);
        let of_block = known.find(|(at, len, _)| (at, len) == (within, &tail_len));
        found[asked_idx as usize] = of_block.map(|(.., value)| value);
    }
    Ok(found)
}
