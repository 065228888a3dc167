//! Filesystems that free storage block by block, and do not tell their extents: the model seen so.

use std::collections::{BTreeMap, BTreeSet};

use dupes::{Options, Rewrite};
use fs_state::BLOCK;
use model::ModelVolume;
use proptest::prelude::*;
use random_trees::{build, tree};
use volume::{
    ChecksumStrength, Extent, ExtentReferences, File, FileExtent, FileRange, Page, Place, Position,
    Reference, ReferenceKind, SpaceRule, Volume, VolumeError,
};

use crate::check::{contents, run};
use crate::properties::config;

/// The model as FIEMAP shows it, without checksums.
struct ByBlocks(ModelVolume);

impl ByBlocks {
    /// Returns every file extent, with its file.
    fn all(&mut self) -> Vec<(File, FileExtent)> {
        let mut all = Vec::new();
        let mut from = Some(Position::default());
        while let Some(position) = from {
            let mut page = Page::default();
            from = self
                .next_page(position, 0, &mut page)
                .expect("the model can be walked");
            for (file, file_extents) in page.iter() {
                all.extend(file_extents.iter().map(|file_extent| (*file, *file_extent)));
            }
        }
        all
    }

    /// Returns the blocks that something refers to, with what else cannot be moved.
    fn blocks(&mut self) -> BTreeMap<u64, Vec<(File, FileExtent)>> {
        let mut blocks: BTreeMap<u64, Vec<(File, FileExtent)>> = BTreeMap::new();
        for (file, item) in self.all() {
            if let Place::Data { extent, .. } | Place::Preallocated { extent, .. } = item.place {
                for skip in (0..item.len).step_by(BLOCK as usize) {
                    let users = blocks.entry(extent.address + skip).or_default();
                    let offset = item.offset + skip;
                    users.push((file, FileExtent { offset, ..item }));
                }
            }
        }
        blocks
    }

    /// Returns the least bytes that can be used: what cannot be moved, and one of each other.
    fn least_used(&mut self) -> u64 {
        let mut fixed = BTreeSet::new();
        let mut movable = BTreeSet::new();
        let mut nr_fixed = 0;
        for users in self.blocks().into_values() {
            let mut shown = BTreeSet::new();
            let mut is_fixed = false;
            for (file, item) in users {
                let mut bytes = vec![0; BLOCK as usize];
                let nr = self
                    .0
                    .read(file.id, item.offset, &mut bytes)
                    .expect("it is there");
                is_fixed |= !file.is_movable || nr == 0;
                match item.place {
                    Place::Data { .. } if nr > 0 => {
                        let digest = data::Digest::of(&bytes[..nr]);
                        shown.insert((nr, digest, file.is_nodatasum));
                    }
                    _ => is_fixed = true,
                }
            }
            is_fixed |= 1 < shown.len();
            nr_fixed += u64::from(is_fixed);
            let longest = shown.pop_last();
            if is_fixed {
                fixed.extend(longest);
            } else {
                movable.extend(longest);
            }
        }
        (nr_fixed + movable.difference(&fixed).count() as u64) * BLOCK
    }
}

/// Returns a file extent as a map shows it.
fn mapped(item: &FileExtent) -> FileExtent {
    let piece = |extent: Extent, within: u64| Extent {
        address: extent.address + within,
        disk_bytes: item.len,
        ram_bytes: item.len,
        ..extent
    };
    let place = match item.place {
        Place::Hole => Place::Hole,
        Place::Inline => Place::Inline,
        Place::Preallocated { extent, within } => Place::Preallocated {
            extent: piece(extent, within),
            within: 0,
        },
        Place::Data { extent, within } => Place::Data {
            extent: piece(extent, within),
            within: 0,
        },
    };
    FileExtent { place, ..*item }
}

impl Volume for ByBlocks {
    volume::forward! { to (self.0):
        dedupe_len_max file read read_ahead dedupe create write flush remove sync path
    }

    fn block_bytes(&self) -> u64 {
        BLOCK
    }

    fn space_rule(&self) -> SpaceRule {
        SpaceRule::Blocks
    }

    fn checksum_strength(&self) -> Option<ChecksumStrength> {
        None
    }

    fn next_page(
        &mut self,
        from: Position,
        newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        let next = self.0.next_page(from, newer_than, page)?;
        page.file_extents
            .iter_mut()
            .for_each(|item| *item = mapped(item));
        Ok(next)
    }

    fn file_extents(
        &mut self,
        range: FileRange,
        found: &mut Vec<FileExtent>,
    ) -> Result<(), VolumeError> {
        self.0.file_extents(range, found)?;
        found.iter_mut().for_each(|item| *item = mapped(item));
        Ok(())
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        let all = self.all();
        let answer = |asked: &Extent| {
            let clipped = |(file, item): &(File, FileExtent)| {
                let (extent, kind) = match item.place {
                    Place::Hole | Place::Inline => return None,
                    Place::Data { extent, .. } => (extent, ReferenceKind::Data),
                    Place::Preallocated { extent, .. } => (extent, ReferenceKind::Preallocated),
                };
                let first = extent.address.max(asked.address);
                let end = (extent.address + item.len).min(asked.address + asked.disk_bytes);
                (first < end).then(|| Reference {
                    file: file.id,
                    offset: item.offset + (first - extent.address),
                    within: first - asked.address,
                    len: end - first,
                    kind,
                })
            };
            ExtentReferences {
                address: asked.address,
                references: all.iter().filter_map(clipped).collect(),
                is_complete: true,
            }
        };
        Ok(extents.iter().map(answer).collect())
    }

    fn checksums(
        &mut self,
        _address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        found.extend((0..len / BLOCK).map(|_| None));
        Ok(())
    }

    fn used_bytes(&mut self) -> Result<u64, VolumeError> {
        Ok(self.blocks().len() as u64 * BLOCK)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn block_by_block_every_distinct_block_is_stored_once_without_rewriting(ops in tree()) {
        let mut volume = ByBlocks(build(&ops));
        let before = contents(&mut volume.0);
        let least = volume.least_used();
        let options = Options { rewrite: Rewrite::Max, ..Options::default() };
        let summary = run(&mut volume, &options);
        let round = &summary.rounds[0];
        prop_assert_eq!(&round.done.failures, &[]);
        prop_assert_eq!(round.prediction.written_bytes, 0);
        prop_assert_eq!(contents(&mut volume.0), before);
        let freed = summary.used_before.cast_signed() - summary.used_after.cast_signed();
        prop_assert_eq!(freed, round.prediction.net_bytes());
        prop_assert_eq!(round.done.freed_bytes, round.prediction.freed_bytes);
        prop_assert_eq!(summary.used_after, least);
        prop_assert_eq!(run(&mut volume, &options).rounds[0].prediction.nr_requests, 0);
    }
}
