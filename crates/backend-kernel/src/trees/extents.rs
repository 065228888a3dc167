//! The data extents that file extent items refer to: their checksums, and their references as the
//! kernel resolves them.
//!
//! It does not know what ought to refer to them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;

use data::Digest;
use ondisk::{ExtentItem, Key, KeyRange, TreeId};
use scenario::{BackendError, Name, Storage, TreeCsums, TreeExtent, TreePlace, TreeRef, TreeRoot};
use uapi::Errno;

use crate::search::{TreeSearch, damaged};
use crate::{ioctl_trees, system_errno};

/// Words of a buffer for resolved references: 2 of its header, 3 for each. A larger one is got for
/// an extent that has more.
const REFS_LEN: usize = 2 + 3 * 1_000;
/// More words than the kernel fills (16 MiB).
const REFS_LEN_MAX: usize = (16 << 20) / size_of::<u64>();
/// Bytes of a block with a checksum.
const BLOCK: u64 = 4096;
/// More than the blocks have whose checksums fit into one item, bytes.
const CSUM_ITEM_REACH: u64 = 64 << 20;

/// Reads the extents that the items of `roots` refer to.
pub(super) fn read_extents(
    search: &mut TreeSearch<'_>,
    top: BorrowedFd<'_>,
    roots: &[TreeRoot],
    root_names: &BTreeMap<TreeId, Name>,
) -> Result<Vec<TreeExtent>, BackendError> {
    let items = roots.iter().flat_map(|root| &root.inodes);
    let items = items.flat_map(|inode| &inode.items);
    let wanted: BTreeSet<(u64, u64)> = items
        .filter_map(|item| match item.place {
            TreePlace::Extent {
                extent: Storage(bytenr),
                disk_len,
                ..
            } => Some((bytenr, disk_len)),
            TreePlace::Inline { .. } | TreePlace::Hole => None,
        })
        .collect();
    let csum_len = ioctl_trees::fs_info(top)
        .map_err(|errno| system_errno("ask what the filesystem is made of", errno))?
        .csum_bytes as u64;
    let csums = read_csums(search, &wanted)?;
    let mut buffer = vec![0; REFS_LEN];
    let mut extents = Vec::with_capacity(wanted.len());
    for &(bytenr, len) in &wanted {
        let key = Key {
            object: bytenr,
            kind: Key::EXTENT_ITEM,
            offset: len,
        };
        let mut is_there = false;
        let only = KeyRange::only(key);
        search.each(TreeId::EXTENT, only, |item| {
            is_there = ExtentItem::decode(item.bytes)?.is_data;
            Ok(())
        })?;
        if !is_there {
            let what = "there is no such data extent, and a file extent item refers to it";
            return Err(damaged(TreeId::EXTENT, key, &what));
        }
        extents.push(TreeExtent {
            extent: Storage(bytenr),
            len,
            refs: resolve(top, bytenr, root_names, &mut buffer)?,
            csums: csums_of(&csums, csum_len, bytenr, len),
        });
    }
    Ok(extents)
}

/// Returns everything that refers to the extent, as the kernel resolves its back references.
fn resolve(
    top: BorrowedFd<'_>,
    bytenr: u64,
    root_names: &BTreeMap<TreeId, Name>,
    buffer: &mut Vec<u64>,
) -> Result<Vec<TreeRef>, BackendError> {
    match ioctl_trees::logical_ino(top, bytenr, buffer) {
        Ok(()) => {}
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        Err(errno) => {
            let action = format!("resolve the back references of the extent at {bytenr}");
            return Err(system_errno(&action, errno));
        }
    }
    // Two words of header: bytes left and missing, elements there and missed, each 32 bits.
    let counts = buffer[1].to_ne_bytes();
    let (nr_words, nr_missed) = counts.split_at(4);
    let count = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes) as usize;
    let (nr_words, nr_missed) = (count(nr_words), count(nr_missed));
    if 0 < nr_missed && buffer.len() < REFS_LEN_MAX {
        buffer.resize((buffer.len() + nr_missed).min(REFS_LEN_MAX), 0);
        return resolve(top, bytenr, root_names, buffer);
    }
    if 0 < nr_missed {
        return Err(BackendError::Channel(format!(
            "the extent at {bytenr} has more references than fit into a buffer of {} bytes",
            size_of_val(buffer)
        )));
    }
    let words = &buffer[2..];
    let mut refs: Vec<TreeRef> = words[..nr_words.min(words.len())]
        .chunks_exact(3)
        .map(|words| TreeRef {
            root: root_names.get(&TreeId(words[2])).cloned(),
            ino: words[0],
            offset: words[1],
        })
        .collect();
    refs.sort();
    Ok(refs)
}

/// The checksums of a range of the filesystem, by the address of its first block.
type CsumItems = BTreeMap<u64, Vec<u8>>;

/// Reads the checksum items that can be about `wanted`.
fn read_csums(
    search: &mut TreeSearch<'_>,
    wanted: &BTreeSet<(u64, u64)>,
) -> Result<CsumItems, BackendError> {
    let mut items = CsumItems::new();
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
        return Ok(items);
    };
    let of = KeyRange::of(Key::CSUM_OBJECT, Key::EXTENT_CSUM);
    let range = KeyRange {
        first: Key {
            offset: first.0.saturating_sub(CSUM_ITEM_REACH),
            ..of.first
        },
        last: Key {
            offset: last.0.saturating_add(last.1),
            ..of.last
        },
    };
    search.each(TreeId::CSUM, range, |item| {
        items.insert(item.key.offset, item.bytes.to_vec());
        Ok(())
    })?;
    Ok(items)
}

/// Returns what of an extent has checksums, each of `csum_len` bytes.
fn csums_of(items: &CsumItems, csum_len: u64, bytenr: u64, len: u64) -> Vec<TreeCsums> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    let (start, end) = (bytenr, bytenr + len);
    let before = items.range(..=start).next_back();
    let after = items.range(start + 1..end);
    for (&at, bytes) in before.into_iter().chain(after) {
        let item_end = at + bytes.len() as u64 / csum_len * BLOCK;
        let (from, to) = (at.max(start), item_end.min(end));
        if to <= from {
            continue;
        }
        let part = |address: u64| ((address - at) / BLOCK * csum_len) as usize;
        let part = &bytes[part(from)..part(to)];
        let run_end = |run: &(u64, Vec<u8>)| run.0 + run.1.len() as u64 / csum_len * BLOCK + bytenr;
        match runs.last_mut() {
            Some(run) if run_end(run) == from => run.1.extend_from_slice(part),
            _ => runs.push((from - bytenr, part.to_vec())),
        }
    }
    let csums = runs.into_iter().map(|(offset, bytes)| TreeCsums {
        offset,
        len: bytes.len() as u64 / csum_len * BLOCK,
        digest: Digest::of(&bytes),
    });
    csums.collect()
}
