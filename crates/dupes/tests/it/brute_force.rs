//! The best that any plan could do, found by trying all of them, on small trees.
//!
//! It looks at whole blocks in storage, whatever they hold behind the end of a file, and shares
//! nothing with the planner but the volume.

use std::collections::{BTreeMap, BTreeSet};

use data::{Content, Digest};
use fs_state::BLOCK;
use model::ModelVolume;
use volume::{File, FileExtent, Page, Place, Position, Volume};

/// What a block holds: all of it in storage, how many bytes of it a file has, and whether it is
/// without checksums.
type Holds = (Digest, u64, bool);

/// An extent as all its references show it.
#[derive(Debug, Default)]
struct Whole {
    len: u64,
    /// What each block holds that something refers to.
    blocks: BTreeMap<u64, BTreeSet<Holds>>,
    is_fixed: bool,
}

/// Most extents that are tried.
const NR_TRIED_MAX: usize = 12;

/// Returns the least used bytes without writing, `None` if there are too many extents to try.
pub(crate) fn least_used_never(volume: &mut ModelVolume) -> Option<u64> {
    let extents = extents(volume);
    let movable: Vec<&Whole> = extents.iter().filter(|extent| !extent.is_fixed).collect();
    if NR_TRIED_MAX < movable.len() {
        return None;
    }
    let fixed: Vec<&Whole> = extents.iter().filter(|extent| extent.is_fixed).collect();
    let used = |going: u32| {
        let stays = |idx: usize| going & 1 << idx == 0;
        let staying = (0..movable.len())
            .filter(|&idx| stays(idx))
            .map(|idx| movable[idx]);
        let staying: Vec<&Whole> = staying.chain(fixed.iter().copied()).collect();
        let there: BTreeSet<&Holds> = staying.iter().flat_map(|extent| holds(extent)).collect();
        let mut gone = (0..movable.len())
            .filter(|&idx| !stays(idx))
            .map(|idx| movable[idx]);
        let is_possible = gone.all(|extent| holds(extent).all(|holds| there.contains(holds)));
        is_possible.then(|| staying.iter().map(|extent| extent.len).sum::<u64>())
    };
    (0..1 << movable.len()).filter_map(used).min()
}

/// Returns the least used bytes if leftovers may be written: what cannot go, and every other
/// distinct block once.
pub(crate) fn least_used_max(volume: &mut ModelVolume) -> u64 {
    let extents = extents(volume);
    let (fixed, movable): (Vec<&Whole>, Vec<&Whole>) =
        extents.iter().partition(|extent| extent.is_fixed);
    let there: BTreeSet<&Holds> = fixed.iter().flat_map(|extent| holds(extent)).collect();
    let needed: BTreeSet<&Holds> = movable.iter().flat_map(|extent| holds(extent)).collect();
    let fixed_len: u64 = fixed.iter().map(|extent| extent.len).sum();
    fixed_len + needed.difference(&there).count() as u64 * BLOCK
}

fn holds(extent: &Whole) -> impl Iterator<Item = &Holds> {
    extent.blocks.values().flatten()
}

/// Returns every extent.
fn extents(volume: &mut ModelVolume) -> Vec<Whole> {
    let mut extents: BTreeMap<u64, Whole> = BTreeMap::new();
    let mut files: Vec<(File, Vec<FileExtent>)> = Vec::new();
    let mut from = Some(Position::default());
    while let Some(position) = from {
        let mut page = Page::default();
        from = volume
            .next_page(position, 0, &mut page)
            .expect("the model can be walked");
        files.extend(
            page.iter()
                .map(|(file, file_extents)| (*file, file_extents.to_vec())),
        );
    }
    for (file, file_extents) in &files {
        for item in file_extents {
            let (extent, within) = match item.place {
                Place::Hole | Place::Inline => continue,
                Place::Preallocated { extent, .. } => {
                    let whole = extents.entry(extent.address).or_default();
                    whole.len = extent.disk_bytes;
                    whole.is_fixed = true;
                    continue;
                }
                Place::Data { extent, within } => (extent, within),
            };
            let whole = extents.entry(extent.address).or_default();
            whole.len = extent.disk_bytes;
            whole.is_fixed |= !file.is_movable;
            for skip in (0..item.len).step_by(BLOCK as usize) {
                let nr = file.size.saturating_sub(item.offset + skip).min(BLOCK);
                // Behind the end of the file nothing can be compared.
                whole.is_fixed |= nr == 0;
                let held = whole.blocks.entry(within + skip).or_default();
                let mut stored = stored(volume, extent.address, within + skip);
                if file.is_nodatasum {
                    stored = stored.slice(0..nr);
                }
                if nr > 0 {
                    held.insert((stored.digest(), nr, file.is_nodatasum));
                }
            }
        }
    }
    // A block that ends with one file and goes on in another one can be found again in neither
    // way; others can be moved to what most of it is shown as.
    for whole in extents.values_mut() {
        for holds in whole.blocks.values_mut().filter(|holds| 1 < holds.len()) {
            whole.is_fixed = true;
            let longest = holds.iter().map(|(_, nr, _)| *nr).max();
            holds.retain(|(_, nr, _)| Some(*nr) == longest);
        }
    }
    extents.into_values().collect()
}

/// Returns a block of an extent as it is stored.
fn stored(volume: &ModelVolume, address: u64, within: u64) -> Content {
    let mut extents = volume.machine().fs().extents().iter();
    let found = extents.find(|(_, extent)| extent.bytenr() == address);
    let (_, extent) = found.expect("a file refers to it");
    extent.content().slice(within..within + BLOCK)
}
