//! What refers to extents: asked of the kernel one by one, or found in one pass over all
//! subvolumes, whichever is likely to be faster.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ondisk::{FileExtentItem, FileExtentPlace, Key, KeyRange, TreeId};
use rustc_hash::FxHashMap;
use uapi::Errno;
use volume::{Extent, ExtentReferences, FileId, Reference, ReferenceKind, VolumeError};

use super::fatal;
use super::memo::Memo;
use super::pages::Pace;
use super::trees::{Size, Trees, inodes_from};
use crate::ioctl_trees;

/// So many extents are asked for until it is seen how long that takes.
const NR_TRIED: usize = 256;
/// Words of a buffer for resolved references, tried one after the other: 2 of its header, 3 for
/// each. The kernel copies all of it, used or not.
const BUFFER_LENS: [usize; 3] = [2 + 3 * 20, 2 + 3 * 1000, 2 + 3 * 21_000];

/// Returns everything that refers to each extent, as a walk saw it that was just made, or as it is
/// told now. `pace` is that of a walk that was made before.
pub(super) fn of(
    trees: &mut Trees,
    extents: &[Extent],
    memo: &Memo,
    pace: Option<Pace>,
) -> Result<Vec<ExtentReferences>, VolumeError> {
    let (roots, has_dying) = trees.roots()?;
    let mut found: Vec<ExtentReferences> = extents
        .iter()
        .map(|extent| ExtentReferences {
            address: extent.address,
            references: Vec::new(),
            is_complete: !has_dying,
        })
        .collect();
    if memo.knows(&roots) {
        for (found, extent) in found.iter_mut().zip(extents) {
            found.references.extend(memo.references_of(extent));
        }
        return Ok(found);
    }
    let pass = match pace {
        Some(pace) if NR_TRIED < extents.len() => {
            let sizes: Result<Vec<u64>, _> =
                roots.iter().map(|root| trees.bytes_of(*root)).collect();
            pace.of(sizes?.into_iter().sum())
        }
        // Who was told everything instead does not know what a pass takes.
        _ => Duration::MAX,
    };
    let nr_asked = by_asking_while(trees, &mut found, pass)?;
    if nr_asked < found.len() {
        by_walking(trees, &roots, &mut found[nr_asked..])?;
    }
    Ok(found)
}

/// Asks for extents one by one, as long as that is likely to be faster than a pass over all trees,
/// which takes about `pass`; returns for how many.
fn by_asking_while(
    trees: &mut Trees,
    found: &mut [ExtentReferences],
    pass: Duration,
) -> Result<usize, VolumeError> {
    let mut buffer = vec![0; BUFFER_LENS[0]];
    let start = Instant::now();
    let nr_all = found.len();
    for (extent, nr_asked) in found.iter_mut().zip(1..) {
        by_asking(trees, extent, &mut buffer)?;
        let spent = start.elapsed();
        let left = spent.as_secs_f64() / nr_asked as f64 * (nr_all - nr_asked) as f64;
        let is_seen = NR_TRIED <= nr_asked || pass <= spent;
        if is_seen && pass.as_secs_f64() < left {
            return Ok(nr_asked);
        }
    }
    Ok(nr_all)
}

fn by_walking(
    trees: &mut Trees,
    roots: &[u64],
    found: &mut [ExtentReferences],
) -> Result<(), VolumeError> {
    let indexes: FxHashMap<u64, Vec<u32>> = {
        let mut indexes: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
        for (extent, index) in found.iter().zip(0..) {
            indexes.entry(extent.address).or_default().push(index);
        }
        indexes
    };
    for &root in roots {
        let tree = TreeId(root);
        let mut ahead = trees.ahead(tree, inodes_from(0, 0, 0));
        while let Some(searched) = ahead.next()? {
            searched.each(tree, |item| {
                if item.key.kind != Key::EXTENT_DATA {
                    return Ok(());
                }
                let file_extent = FileExtentItem::decode(item.bytes)?;
                if let Some((address, reference)) = reference_of(root, item.key, &file_extent) {
                    for &index in indexes.get(&address).map_or(&[][..], Vec::as_slice) {
                        found[index as usize].references.push(reference);
                    }
                }
                Ok(())
            })?;
            trees.nr_items += u64::from(searched.nr_items);
        }
    }
    Ok(())
}

fn by_asking(
    trees: &mut Trees,
    extent: &mut ExtentReferences,
    buffer: &mut Vec<u64>,
) -> Result<(), VolumeError> {
    let count = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes) as usize;
    let (mut nr_words, mut nr_missed) = (0, 0);
    for len in BUFFER_LENS {
        buffer.resize(len.max(buffer.len()), 0);
        match ioctl_trees::logical_ino(trees.fd(), extent.address, buffer) {
            Ok(()) => {}
            // It is gone, or everything that referred to it is.
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(fatal("resolve back references", errno)),
        }
        // Two words of header: bytes left and missing, elements there and missed, of 32 bits.
        let counts = buffer[1].to_ne_bytes();
        (nr_words, nr_missed) = (count(&counts[..4]), count(&counts[4..]));
        if nr_missed == 0 {
            break;
        }
    }
    extent.is_complete &= nr_missed == 0;
    let words = &buffer[2..];
    let resolved: Vec<(u64, u64, u64)> = words[..nr_words.min(words.len())]
        .chunks_exact(3)
        .map(|words| (words[0], words[1], words[2]))
        .collect();
    for (inode, offset, root) in resolved {
        let key = Key {
            object: inode,
            kind: Key::EXTENT_DATA,
            offset,
        };
        let only = KeyRange::only(key);
        let (address, references) = (extent.address, &mut extent.references);
        trees.each(Size::Small, TreeId(root), only, 0, |item| {
            let file_extent = FileExtentItem::decode(item.bytes)?;
            match reference_of(root, item.key, &file_extent) {
                Some((found, reference)) if found == address => references.push(reference),
                _ => {}
            }
            Ok(ControlFlow::Break(()))
        })?;
    }
    Ok(())
}

/// Returns the address of the extent that an item refers to, and how it does.
pub(super) fn reference_of(root: u64, key: Key, item: &FileExtentItem) -> Option<(u64, Reference)> {
    let FileExtentPlace::Extent {
        is_prealloc,
        bytenr,
        offset: within,
        len,
        ..
    } = item.place
    else {
        return None;
    };
    let file = FileId {
        root,
        inode: key.object,
    };
    let kind = match is_prealloc {
        true => ReferenceKind::Preallocated,
        false => ReferenceKind::Data,
    };
    let reference = Reference {
        file,
        offset: key.offset,
        within,
        len,
        kind,
    };
    Some((bytenr, reference))
}
