//! The least that can be left without writing anything: an exact search over whole extents.
//!
//! It shares nothing with what it is the measure of: extents come from `btrfs inspect-internal
//! dump-tree`, contents from reading every file. Each distinct block must be in an extent that
//! stays, an extent stays whole or goes: a set cover of least weight. Rules that lose nothing
//! make it small (what only one extent has keeps that; an extent that has no more than a lighter
//! one goes; a block that is wherever another one is needs no thought), then every choice that is
//! left is tried, as far as it can still be the best.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use xxhash_rust::xxh3::xxh3_128;

use crate::command::output;

/// Bytes of a block.
const BLOCK: u64 = 4096;
/// The inode number of the top of a subvolume.
const TOP: u64 = 256;
/// How many choices are tried before it is given up.
const NR_CHOICES_MAX: u64 = 20_000_000;

/// A file extent item.
#[derive(Clone, Copy, Debug, Default)]
struct Item {
    inode: u64,
    offset: u64,
    /// Where the extent is, 0 for holes; its bytes on disk.
    address: u64,
    disk_bytes: u64,
    /// The part of it.
    within: u64,
    len: u64,
}

/// An extent: its bytes on disk, and which blocks it has.
#[derive(Clone, Debug, Default)]
struct Extent {
    weight: u64,
    blocks: BTreeSet<u32>,
}

/// Returns the least bytes of extents that have every block of the files below `top`; `device` is
/// where its filesystem is.
///
/// # Errors
///
/// If something cannot be read, or there are too many choices to try them all.
pub(super) fn used_bytes(top: &Path, device: &Path) -> Result<u64, String> {
    let extents = extents(top, device)?;
    let mut sum = 0;
    for component in components(extents) {
        sum += cover(component)?;
    }
    Ok(sum)
}

/// Reads what every extent has of blocks.
fn extents(top: &Path, device: &Path) -> Result<Vec<Extent>, String> {
    let mut numbers: HashMap<(u128, usize), u32> = HashMap::new();
    let mut extents: BTreeMap<u64, Extent> = BTreeMap::new();
    for (root, files) in files_by_root(top)? {
        for item in items(device, root)?.iter().filter(|item| item.address != 0) {
            let Some(path) = files.get(&item.inode) else {
                return Err(format!("inode {} of tree {root} has no name", item.inode));
            };
            let wrong = |error| format!("read {}: {error}", path.display());
            let file = fs::File::open(path).map_err(wrong)?;
            let size = file.metadata().map_err(wrong)?.len();
            let len = item.len.min(size.saturating_sub(item.offset));
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, item.offset).map_err(wrong)?;
            let extent = extents.entry(item.address).or_default();
            extent.weight = item.disk_bytes;
            for block in bytes.chunks(BLOCK as usize) {
                let next = numbers.len() as u32;
                let number = numbers
                    .entry((xxh3_128(block), block.len()))
                    .or_insert(next);
                extent.blocks.insert(*number);
            }
        }
    }
    Ok(extents.into_values().collect())
}

/// Returns the paths of files by inode, for each subvolume below `top`.
fn files_by_root(top: &Path) -> Result<BTreeMap<u64, HashMap<u64, PathBuf>>, String> {
    let mut found: BTreeMap<u64, HashMap<u64, PathBuf>> = BTreeMap::new();
    let mut folders = vec![(top.to_owned(), 0)];
    while let Some((folder, root)) = folders.pop() {
        let wrong = |error| format!("look at {}: {error}", folder.display());
        let root = match fs::metadata(&folder).map_err(wrong)?.ino() {
            TOP => root_of(&folder)?,
            _ => root,
        };
        for entry in fs::read_dir(&folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            let metadata = fs::symlink_metadata(&path).map_err(wrong)?;
            if metadata.is_dir() {
                folders.push((path, root));
            } else if metadata.is_file() {
                found.entry(root).or_default().insert(metadata.ino(), path);
            }
        }
    }
    Ok(found)
}

fn root_of(folder: &Path) -> Result<u64, String> {
    let mut command = Command::new("btrfs");
    let said = output(command.args(["inspect-internal", "rootid"]).arg(folder))?;
    said.trim()
        .parse()
        .map_err(|_| format!("btrfs says {said:?} of a tree"))
}

/// Returns the file extent items of a tree.
fn items(device: &Path, root: u64) -> Result<Vec<Item>, String> {
    let mut command = Command::new("btrfs");
    command.args(["inspect-internal", "dump-tree", "-t", &root.to_string()]);
    let said = output(command.arg(device))?;
    let mut found: Vec<Item> = Vec::new();
    let mut is_extent = false;
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |idx: usize| -> Result<u64, String> {
            let word = words.get(idx).map(|word| word.trim_matches(['(', ')']));
            let number = word.and_then(|word| word.parse().ok());
            number.ok_or_else(|| format!("btrfs dumps {line:?}"))
        };
        match words[..] {
            ["item", _, "key", _, kind, ..] => {
                is_extent = kind == "EXTENT_DATA";
                if is_extent {
                    found.push(Item {
                        inode: number(3)?,
                        offset: number(5)?,
                        ..Item::default()
                    });
                }
            }
            _ if !is_extent => {}
            ["extent", "data", "disk", "byte", ..] => {
                if let Some(item) = found.last_mut() {
                    (item.address, item.disk_bytes) = (number(4)?, number(6)?);
                }
            }
            ["extent", "data", "offset", ..] => {
                if let Some(item) = found.last_mut() {
                    (item.within, item.len) = (number(3)?, number(5)?);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Returns the extents in groups that have no block in common.
fn components(extents: Vec<Extent>) -> Vec<Vec<Extent>> {
    let mut parent: Vec<usize> = (0..extents.len()).collect();
    fn top(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    let mut first_with: HashMap<u32, usize> = HashMap::new();
    for (extent, idx) in extents.iter().zip(0..) {
        for &block in &extent.blocks {
            let other = *first_with.entry(block).or_insert(idx);
            let (one, two) = (top(&mut parent, idx), top(&mut parent, other));
            parent[one] = two;
        }
    }
    let mut found: BTreeMap<usize, Vec<Extent>> = BTreeMap::new();
    for (extent, idx) in extents.into_iter().zip(0..) {
        found.entry(top(&mut parent, idx)).or_default().push(extent);
    }
    found.into_values().collect()
}

/// Returns the least weight of extents that have every block that any of them has.
fn cover(mut extents: Vec<Extent>) -> Result<u64, String> {
    let size = |extents: &[Extent]| -> usize {
        extents.iter().map(|extent| 1 + extent.blocks.len()).sum()
    };
    let mut taken = 0;
    loop {
        let before = size(&extents);
        taken += take_forced(&mut extents);
        drop_needless_blocks(&mut extents);
        drop_lesser_extents(&mut extents);
        if before == size(&extents) {
            break;
        }
    }
    let mut search = Search {
        extents: &extents,
        best: extents.iter().map(|extent| extent.weight).sum(),
        nr_choices: 0,
    };
    let open: BTreeSet<u32> = extents.iter().flat_map(|it| &it.blocks).copied().collect();
    search.choose(&open, &BTreeSet::new(), 0)?;
    Ok(taken + search.best)
}

/// Returns who has each block.
fn owners(extents: &[Extent]) -> BTreeMap<u32, Vec<usize>> {
    let mut owners: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (extent, idx) in extents.iter().zip(0..) {
        for &block in &extent.blocks {
            owners.entry(block).or_default().push(idx);
        }
    }
    owners
}

/// Takes the extents that alone have a block; returns their weight.
fn take_forced(extents: &mut Vec<Extent>) -> u64 {
    let owners = owners(extents);
    let forced: BTreeSet<usize> = owners
        .values()
        .filter(|owners| owners.len() == 1)
        .map(|owners| owners[0])
        .collect();
    let weight = forced.iter().map(|&idx| extents[idx].weight).sum();
    let covered: BTreeSet<u32> = forced
        .iter()
        .flat_map(|&idx| extents[idx].blocks.iter().copied())
        .collect();
    for extent in extents.iter_mut() {
        extent.blocks.retain(|block| !covered.contains(block));
    }
    extents.retain(|extent| !extent.blocks.is_empty());
    weight
}

/// Drops blocks that are had whenever another one is.
fn drop_needless_blocks(extents: &mut [Extent]) {
    let mut kept: Vec<Vec<usize>> = Vec::new();
    let mut all: Vec<(Vec<usize>, u32)> = owners(extents)
        .into_iter()
        .map(|(block, owners)| (owners, block))
        .collect();
    all.sort_by_key(|(owners, block)| (owners.len(), *block));
    for (owners, block) in all {
        let is_had = |other: &Vec<usize>| other.iter().all(|idx| owners.contains(idx));
        if kept.iter().any(is_had) {
            owners.iter().for_each(|&idx| {
                extents[idx].blocks.remove(&block);
            });
        } else {
            kept.push(owners);
        }
    }
}

/// Drops extents that have no more than another one that is no heavier.
fn drop_lesser_extents(extents: &mut Vec<Extent>) {
    let mut idx = 0;
    while idx < extents.len() {
        let extent = &extents[idx];
        let is_lesser = extents.iter().enumerate().any(|(other_idx, other)| {
            other_idx != idx
                && other.weight <= extent.weight
                && extent.blocks.is_subset(&other.blocks)
        });
        match is_lesser {
            true => drop(extents.remove(idx)),
            false => idx += 1,
        }
    }
}

/// The search for what is left.
struct Search<'a> {
    extents: &'a [Extent],
    best: u64,
    nr_choices: u64,
}

impl Search<'_> {
    /// Tries every extent that has the open block which fewest have.
    fn choose(
        &mut self,
        open: &BTreeSet<u32>,
        barred: &BTreeSet<usize>,
        weight: u64,
    ) -> Result<(), String> {
        self.nr_choices += 1;
        if NR_CHOICES_MAX < self.nr_choices {
            return Err("there are too many choices to find the optimum".to_owned());
        }
        let owners = |block: &u32| -> Vec<usize> {
            let all = 0..self.extents.len();
            all.filter(|idx| !barred.contains(idx) && self.extents[*idx].blocks.contains(block))
                .collect()
        };
        let mut with_owners: Vec<Vec<usize>> = open.iter().map(owners).collect();
        with_owners.sort_by_key(Vec::len);
        // Blocks of which no extent has two cost at least their lightest extents.
        let (mut least, mut used) = (weight, BTreeSet::new());
        for owners in &with_owners {
            if !owners.iter().any(|idx| used.contains(idx)) {
                let lightest = owners.iter().map(|&idx| self.extents[idx].weight).min();
                least = least.saturating_add(lightest.unwrap_or(u64::MAX));
                used.extend(owners.iter().copied());
            }
        }
        if self.best <= least {
            return Ok(());
        }
        let Some(owners) = with_owners.into_iter().next() else {
            self.best = weight;
            return Ok(());
        };
        let mut barred = barred.clone();
        for idx in owners {
            let extent = &self.extents[idx];
            let left = open.difference(&extent.blocks).copied().collect();
            self.choose(&left, &barred, weight + extent.weight)?;
            barred.insert(idx);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(all: &[(u64, &[u32])]) -> Vec<Extent> {
        let extent = |&(weight, blocks): &(u64, &[u32])| Extent {
            weight,
            blocks: blocks.iter().copied().collect(),
        };
        all.iter().map(extent).collect()
    }

    /// Tries every subset.
    fn by_force(extents: &[Extent]) -> u64 {
        let all: BTreeSet<u32> = extents.iter().flat_map(|it| &it.blocks).copied().collect();
        let subsets = 0..1_u32 << extents.len();
        let weights = subsets.filter_map(|bits| {
            let chosen = extents
                .iter()
                .zip(0..)
                .filter(|(_, idx)| bits >> idx & 1 == 1);
            let chosen: Vec<&Extent> = chosen.map(|(extent, _)| extent).collect();
            let has: BTreeSet<u32> = chosen.iter().flat_map(|it| &it.blocks).copied().collect();
            (has == all).then(|| chosen.iter().map(|it| it.weight).sum())
        });
        weights.min().unwrap_or(0)
    }

    #[test]
    fn the_optimum_is_that_of_trying_everything() {
        let mut seed = 20_130_806_u64;
        let mut draw = |max: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % max
        };
        for _ in 0..300 {
            let nr_extents = 1 + draw(9);
            let all: Vec<Extent> = (0..nr_extents)
                .map(|_| Extent {
                    weight: 1 + draw(9),
                    blocks: (0..1 + draw(5)).map(|_| draw(8) as u32).collect(),
                })
                .collect();
            let found: u64 = components(all.clone())
                .into_iter()
                .map(|component| cover(component).expect("few choices"))
                .sum();
            assert_eq!(found, by_force(&all), "{all:?}");
        }
    }

    #[test]
    fn two_halves_are_left_for_a_whole_that_is_heavier() {
        let all = extents(&[(10, &[1, 2]), (4, &[1]), (5, &[2]), (7, &[1])]);
        assert_eq!(cover(all), Ok(9));
    }
}
