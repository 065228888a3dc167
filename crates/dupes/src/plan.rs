//! Plan: which extents go, which references are moved for that, and what comes of it.
//!
//! [`Plan`] is the key type. Sharing is not freeing: an extent stays allocated whole while
//! anything refers to any part of it. So whole extents are decided on, with all their references:
//! `candidates` says which could go at all, `cover` which of them stay so that everything is
//! still somewhere (nothing written), `packing` and `bargain` which leftovers are written anew,
//! `moves` turns the decision into requests, `bound` sees to it that no extent gets more references
//! than kernels resolve in good time. It changes nothing.

mod allowance;
mod bargain;
mod bound;
mod candidates;
mod cover;
mod decision;
mod groups;
mod meter;
mod moves;
mod packing;
mod recut;
mod rewriting;
mod sources;

use rustc_hash::FxHashSet;
use volume::{DedupeTarget, Extent, FileId, FileRange, Volume};

use allowance::Allowance;
pub(crate) use candidates::Candidate;
pub(crate) use decision::Decision;
pub use groups::Group;
use meter::Meter;

use crate::catalog::{BlockId, Catalog};
use crate::change::Changes;
use crate::classes::Classes;
use crate::options::{Options, Rewrite};
use crate::report::{Report, Stopped};
use crate::watch::{Phase, Watch};

/// What is to be done, largest gain first, and what will come of it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// The extents that go, largest first.
    pub removed: Vec<Removed>,
    /// What comes of it if nothing changes meanwhile.
    pub prediction: Prediction,
    /// What is there twice and stays, by reason.
    pub stays: Vec<Stay>,
    /// What is moved, by target; kept to learn from a mismatch.
    pub(crate) origins: Vec<Origin>,
    /// Bytes of a block.
    pub(crate) block: u64,
}

/// Where a range of a target refers to before it is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) target: DedupeTarget,
    pub(crate) block: BlockId,
    pub(crate) nr_blocks: u32,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// Lets targets refer to the storage of a file that stays as it is.
    Share {
        /// The file.
        source: FileId,
        /// The range and its targets.
        batch: Batch,
    },
    /// Writes leftovers into a temporary file, and lets targets refer to its storage.
    Rewrite(Rewriting),
}

/// A range of a source, and ranges as long that are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// First byte in the source.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// The targets; at most [`volume::NR_TARGETS_MAX`].
    pub targets: Vec<DedupeTarget>,
}

/// Leftovers that are written into one temporary file.
#[derive(Clone, Debug)]
pub struct Rewriting {
    /// The file beside which the temporary one is created: its data has checksums if that has.
    pub like: FileId,
    /// What is copied, in the order of the temporary file.
    pub runs: Vec<RewriteRun>,
    /// Ranges of the temporary file, and what is equal to them.
    pub batches: Vec<Batch>,
}

/// A stretch that is copied into a temporary file. Between two of them is a hole, so that each
/// becomes an extent of its own and lives no longer than what refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewriteRun {
    /// Where it is read.
    pub from: FileRange,
    /// Where it goes in the temporary file, bytes.
    pub at: u64,
}

impl RewriteRun {
    /// Returns the bytes of data that are written: whole blocks.
    fn len_on_disk(&self, block: u64) -> u64 {
        self.from.len.next_multiple_of(block.max(1))
    }
}

/// An extent that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The extent.
    pub extent: Extent,
    /// How many references have to be moved for it.
    pub nr_references: usize,
    /// A file of which it is a part.
    pub file: FileId,
}

impl Plan {
    /// Returns what is expected to change, by file.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for removed in &self.removed {
            changes.free(removed.file, removed.extent.disk_bytes);
        }
        for step in &self.steps {
            if let Step::Rewrite(rewriting) = step {
                for run in &rewriting.runs {
                    changes.write(run.from.file, run.len_on_disk(self.block));
                }
            }
        }
        changes
    }

    /// Returns what is moved of a range of a target; blocks have so many bytes.
    pub(crate) fn origins_in(&self, range: &FileRange, block: u64) -> &[Origin] {
        let end = |origin: &Origin| origin.target.offset + u64::from(origin.nr_blocks) * block;
        let first = self.origins.partition_point(|origin| {
            (origin.target.file, end(origin)) <= (range.file, range.offset)
        });
        let behind = self.origins.partition_point(|origin| {
            (origin.target.file, origin.target.offset) < (range.file, range.end())
        });
        self.origins.get(first..behind).unwrap_or_default()
    }
}

/// What comes of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prediction {
    /// Bytes of data on disk that are given back.
    pub freed_bytes: u64,
    /// Bytes of data that are written anew, of extents that stay.
    pub written_bytes: u64,
    /// Bytes of files whose references move.
    pub moved_bytes: u64,
    /// Extents that go.
    pub nr_extents_freed: u64,
    /// Extents that are written; more where free space is in pieces.
    pub nr_extents_written: u64,
    /// By how much the number of file extent items grows; below zero it shrinks.
    pub nr_file_extents_more: i64,
    /// Calls of the kernel.
    pub nr_requests: u64,
}

impl Prediction {
    /// Returns by how much the used data bytes shrink; below zero they grow.
    #[must_use]
    pub fn net_bytes(&self) -> i64 {
        self.freed_bytes.cast_signed() - self.written_bytes.cast_signed()
    }
}

/// Duplicates that stay where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Why.
    pub reason: StayReason,
    /// Extents that stay for it.
    pub nr_extents: u64,
    /// Bytes of blocks in them that are somewhere else, too.
    pub bytes: u64,
}

/// Why an extent stays although something in it is somewhere else, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StayReason {
    /// It is what the others are moved to, or its other blocks are nowhere else and are not
    /// written anew.
    Needed,
    /// A file refers to it that this caller may not have moved.
    NotMovable,
    /// Not everything that refers to it can be seen, or only files out of scope show a part.
    OutOfSight,
    /// A file refers to it as preallocated.
    Preallocated,
    /// A file refers to more of it than the file is long, or ends elsewhere in it than another.
    EndOfFile,
    /// It has more references than the options allow, or what it would be moved to would have.
    TooManyReferences,
}

impl StayReason {
    /// All of them.
    pub(crate) const ALL: [StayReason; 6] = [
        StayReason::Needed,
        StayReason::NotMovable,
        StayReason::OutOfSight,
        StayReason::Preallocated,
        StayReason::EndOfFile,
        StayReason::TooManyReferences,
    ];
}

/// Makes a plan.
///
/// # Errors
/// If the volume fails as a whole, it takes too much memory, or the watch says stop.
pub(crate) fn plan(
    catalog: &Catalog,
    classes: &Classes,
    options: &Options,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Plan, Stopped> {
    let mut allowance = Allowance::new(options);
    allowance.take(classes.len() as u64, allowance::CLASS_BYTES)?;
    if !volume.space_rule().is_by_extents() {
        allowance.take(classes.nr_blocks(), allowance::PIECE_BYTES)?;
        let catalog = recut::recut(catalog, classes);
        return plan_extents(&catalog, classes, options, allowance, volume, watch, report);
    }
    plan_extents(catalog, classes, options, allowance, volume, watch, report)
}

fn plan_extents(
    catalog: &Catalog,
    classes: &Classes,
    options: &Options,
    mut allowance: Allowance,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Plan, Stopped> {
    let mut stays = candidates::Stays::default();
    let asking = candidates::Asking {
        options,
        allowance: &mut allowance,
        stays: &mut stays,
    };
    let found = candidates::find(catalog, classes, asking, volume, watch, report)?;
    let candidates::Found {
        candidates: mut found,
        full,
    } = found;
    watch.at(Phase::Decide, 0, Some(found.len() as u64))?;
    let split = bound::split(catalog, classes, &mut found, &full, options);
    let classes = split.as_ref().unwrap_or(classes);
    let mut decision = match options.rewrite {
        Rewrite::Never | Rewrite::Auto => cover::decide(catalog, classes, &found, watch)?,
        Rewrite::Max => packing::decide(catalog, classes, &found, watch)?,
    };
    if options.rewrite == Rewrite::Auto {
        bargain::improve(catalog, classes, &found, &mut decision, watch)?;
    }
    let max_len = volume.dedupe_len_max();
    let nr_max = options.nr_references_max;
    let mut crowding = FxHashSet::default();
    let mut plan = loop {
        let limits = moves::Limits {
            len_max: max_len,
            nr_references_max: nr_max,
            allowance: allowance.clone(),
        };
        match moves::plan(catalog, classes, &found, &decision, limits, watch)? {
            Ok(plan) => break plan,
            // What stays for that may be what others are moved to: all is planned anew.
            Err(too_many) => {
                too_many.iter().for_each(|&idx| decision.goes[idx] = false);
                crowding.extend(too_many);
            }
        }
    };
    decision.note_stays(catalog, classes, &found, &crowding, &mut stays);
    plan.stays = stays.into_list();
    Ok(plan)
}
