//! Where leftovers are written: [`Layout`].
//!
//! What is contiguous in an extent that goes stays contiguous. Each stretch becomes an extent of
//! its own. A last block that is not whole can be shared only from the end of a file, so that it
//! ends its temporary file.

use rustc_hash::FxHashMap;
use volume::{FileId, FileRange};

use super::sources::Sources;
use super::{Candidate, RewriteRun};
use crate::catalog::{BlockId, Catalog, ExtentIdx};
use crate::classes::{ClassId, Classes};

/// Bytes of a temporary file, unless one stretch is longer.
const TEMPORARY_BYTES_MAX: u64 = 64 << 20;

/// A temporary file.
#[derive(Clone, Debug)]
pub(super) struct Temporary {
    /// The file that it is created beside.
    pub(super) like: FileId,
    pub(super) runs: Vec<RewriteRun>,
    /// The first extent in the order of gains that needs it.
    pub(super) rank: u32,
    is_nodatasum: bool,
    /// First byte behind the last stretch.
    end: u64,
    /// Whether it ends with a block that is not whole.
    is_closed: bool,
}

/// What is written, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) temporaries: Vec<Temporary>,
    /// By class, the block that is written for all of it.
    leaders: FxHashMap<ClassId, BlockId>,
    /// The stretches by first block: blocks, temporary file, offset there.
    stretches: Vec<(BlockId, u32, u32, u64)>,
}

impl Layout {
    /// Lays out what the extents that go have and no source has; they are in the order of gains.
    pub(super) fn new(
        catalog: &Catalog,
        classes: &Classes,
        going: &[&Candidate],
        sources: &Sources,
    ) -> Layout {
        let mut layout = Layout::default();
        for (candidate, rank) in going.iter().zip(0_u32..) {
            let extent_idx = candidate.extent_idx;
            let known = catalog.known(extent_idx);
            for part in known.parts {
                let mut stretch: Option<(u32, u32)> = None;
                for within in part.first..part.end() {
                    let block = known.block(within);
                    let is_written = layout.takes(classes.of(block), block, sources);
                    stretch = match (stretch, is_written) {
                        (Some((first, nr_blocks)), true) => Some((first, nr_blocks + 1)),
                        (None, true) => Some((within, 1)),
                        (ended, false) => {
                            layout.place(catalog, extent_idx, ended, rank);
                            None
                        }
                    };
                }
                layout.place(catalog, extent_idx, stretch, rank);
            }
        }
        layout.stretches.sort_unstable();
        layout
    }

    /// Returns where a block is written, or its equal: temporary file and offset there.
    pub(super) fn place_of(
        &self,
        class: Option<ClassId>,
        block: BlockId,
        unit: u64,
    ) -> Option<(u32, u64)> {
        let leader = match class {
            Some(class) => *self.leaders.get(&class)?,
            None => block,
        };
        let behind = self
            .stretches
            .partition_point(|(first, ..)| *first <= leader);
        let (first, nr_blocks, temporary, at) = *self.stretches.get(behind.checked_sub(1)?)?;
        let skip = leader.0 - first.0;
        (skip < u64::from(nr_blocks)).then_some((temporary, at + skip * unit))
    }

    /// Returns how many bytes are written in whole blocks, and as how many extents.
    pub(super) fn written(&self, unit: u64) -> (u64, u64) {
        let nr_blocks: u64 = self
            .stretches
            .iter()
            .map(|stretch| u64::from(stretch.1))
            .sum();
        (nr_blocks * unit, self.stretches.len() as u64)
    }

    /// Returns whether a block is to be written, being the first of its class that is.
    fn takes(&mut self, class: Option<ClassId>, block: BlockId, sources: &Sources) -> bool {
        match class {
            None => true,
            Some(class) if !sources.of(class).is_empty() => false,
            Some(class) => *self.leaders.entry(class).or_insert(block) == block,
        }
    }

    /// Gives a stretch of blocks of an extent its place.
    fn place(
        &mut self,
        catalog: &Catalog,
        extent_idx: ExtentIdx,
        stretch: Option<(u32, u32)>,
        rank: u32,
    ) {
        let Some((first, nr_blocks)) = stretch else {
            return;
        };
        let known = catalog.known(extent_idx);
        let shown = catalog.shown(extent_idx, first);
        let last = catalog.shown(extent_idx, first + nr_blocks - 1);
        let (Some(shown), Some(last)) = (shown, last) else {
            return;
        };
        let from = FileRange {
            len: last.end() - shown.offset,
            ..shown
        };
        let has_room = |temporary: &Temporary| {
            let is_alike = temporary.is_nodatasum == known.facts.is_nodatasum;
            let is_full = TEMPORARY_BYTES_MAX < temporary.end + from.len;
            is_alike && !is_full && !temporary.is_closed
        };
        if !self.temporaries.last().is_some_and(has_room) {
            self.temporaries.push(Temporary {
                like: shown.file,
                runs: Vec::new(),
                rank,
                is_nodatasum: known.facts.is_nodatasum,
                end: 0,
                is_closed: false,
            });
        }
        let temporary_idx = self.temporaries.len() as u32 - 1;
        let Some(temporary) = self.temporaries.last_mut() else {
            return;
        };
        // A hole before each stretch: neighbours would become one extent, and what is small and
        // at the begin of a file may be kept in the tree.
        let at = temporary.end + catalog.block;
        temporary.end = at + u64::from(nr_blocks) * catalog.block;
        temporary.is_closed = !from.len.is_multiple_of(catalog.block);
        temporary.runs.push(RewriteRun { from, at });
        let block = known.block(first);
        self.stretches.push((block, nr_blocks, temporary_idx, at));
    }
}
