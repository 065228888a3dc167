//! A whole run: [`run`]; and its first half, [`find`], after which nothing is changed yet.

use rustc_hash::FxHashSet;
use volume::{ChecksumStrength, FileRange, Volume};

use crate::answer;
use crate::catalog::{BlockId, Catalog};
use crate::change::Changes;
use crate::classes::{self, Classes};
use crate::execute::{self, Done};
use crate::look::Findings;
use crate::options::Options;
use crate::plan::{self, Group, Plan, Prediction, Removed, Stay};
use crate::report::{Report, Stopped};
use crate::runs;
use crate::scan;
use crate::sort::{Room, Scratch};
use crate::watch::{Phase, Watch};
use crate::{hash, plan::Step};

/// What is there, and what of it is equal.
#[derive(Clone, Debug)]
pub struct Found {
    catalog: Catalog,
    classes: Classes,
}

/// A plan with what came of it.
#[derive(Clone, Debug)]
pub struct Round {
    /// What was expected.
    pub prediction: Prediction,
    /// What was expected to change, by file.
    pub changes: Changes,
    /// The groups of which most was to be moved; all if [`Options::lists_all`].
    pub groups: Vec<Group>,
    /// The extents that were to go, largest first, if [`Options::lists_all`].
    pub removed: Vec<Removed>,
    /// What stays, and why.
    pub stays: Vec<Stay>,
    /// What happened.
    pub done: Done,
}

/// What a run did.
#[derive(Debug)]
pub struct Summary {
    /// What was looked at.
    pub report: Report,
    /// What was done: once, or again if checksums turned out to be equal by chance.
    pub rounds: Vec<Round>,
    /// Used data bytes before, as the filesystem tells.
    pub used_before: u64,
    /// Used data bytes after.
    pub used_after: u64,
    /// Why it ended early, if it did.
    pub stopped: Option<Stopped>,
    /// Whether there was nothing to be done the last time, and nothing has changed since.
    pub is_remembered: bool,
}

/// Looks for equal blocks in everything in scope.
///
/// # Errors
/// If the volume fails as a whole, scratch space fails, or the watch says stop.
pub fn find(
    volume: &mut dyn Volume,
    options: &Options,
    scratch: &mut dyn Scratch,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Found, Stopped> {
    find_with(
        volume,
        options,
        &FxHashSet::default(),
        scratch,
        watch,
        report,
    )
}

fn find_with(
    volume: &mut dyn Volume,
    options: &Options,
    distrusted: &FxHashSet<Location>,
    scratch: &mut dyn Scratch,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Found, Stopped> {
    let room = Room::new(options.sort_bytes_max, scratch);
    let catalog = scan::scan(volume, &room, watch, report)?;
    let mut sorter = room.sorter(1);
    hash::hash(&catalog, options.scan, volume, &mut sorter, watch, report)?;
    let sorted = sorter.finish()?;
    watch.at(Phase::Match, 0, Some(catalog.nr_blocks()))?;
    let distrusted: FxHashSet<BlockId> = distrusted
        .iter()
        .filter_map(|location| location.block(&catalog))
        .collect();
    let mut classes = classes::group(&catalog, sorted, &distrusted, &room, volume, watch, report)?;
    if !options.is_within_files {
        classes = runs::drop_within_files(&catalog, classes)?;
    }
    let nr_blocks = options.run_bytes_min.div_ceil(catalog.block);
    if 1 < nr_blocks {
        classes = runs::drop_short(&catalog, classes, nr_blocks as usize, &room)?;
    }
    Ok(Found { catalog, classes })
}

/// Where a block is as long as its extent lives, whatever else is found next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Location {
    /// Address of the extent.
    address: u64,
    /// Place within it, blocks.
    within: u32,
}

impl Location {
    /// Returns the block that is there.
    fn block(&self, catalog: &Catalog) -> Option<BlockId> {
        let known = catalog.known(catalog.at(self.address)?);
        (self.within < known.nr_blocks).then(|| known.block(self.within))
    }
}

impl Found {
    /// Plans what is to be done; changes nothing.
    ///
    /// # Errors
    /// If the volume fails as a whole, or the watch says stop.
    pub fn plan(
        &self,
        volume: &mut dyn Volume,
        options: &Options,
        watch: &mut dyn Watch,
        report: &mut Report,
    ) -> Result<Plan, Stopped> {
        plan::plan(&self.catalog, &self.classes, options, volume, watch, report)
    }

    /// Returns how many blocks have an equal, and how many different ones there are of these.
    #[must_use]
    pub fn nr_equal_blocks(&self) -> (u64, u64) {
        (self.classes.nr_blocks(), self.classes.len() as u64)
    }

    /// Returns where that is which a plan took for equal in a range of a target.
    fn locations_of(&self, plan: &Plan, range: &FileRange) -> Vec<Location> {
        let block = self.catalog.block;
        let mut locations = Vec::new();
        for origin in plan.origins_in(range, block) {
            for skip in 0..u64::from(origin.nr_blocks) {
                let at = origin.target.offset + skip * block;
                let id = BlockId(origin.block.0 + skip);
                if range.offset <= at && at < range.end() && self.classes.of(id).is_some() {
                    let (extent_idx, within) = self.catalog.locate(id);
                    let address = self.catalog.known(extent_idx).extent.address;
                    locations.push(Location { address, within });
                }
            }
        }
        locations
    }
}

/// Finds, plans and does it.
///
/// # Errors
/// If nothing could be done: everything that ends a run later is in [`Summary::stopped`].
pub fn run(
    volume: &mut dyn Volume,
    options: &Options,
    scratch: &mut dyn Scratch,
    watch: &mut dyn Watch,
) -> Result<Summary, Stopped> {
    volume.sync()?;
    let used_before = volume.used_bytes()?;
    let mut summary = Summary {
        report: Report::default(),
        rounds: Vec::new(),
        used_before,
        used_after: used_before,
        stopped: None,
        is_remembered: false,
    };
    let remembered = answer::recall(volume, options)?;
    if let Some(mut findings) = remembered.filter(|findings| findings.is_idle) {
        summary.is_remembered = true;
        summary.report = std::mem::take(&mut findings.report);
        summary.rounds.push(Round::of(findings, Done::default()));
        return Ok(summary);
    }
    let is_weak = volume.checksum_strength() == Some(ChecksumStrength::Weak);
    let mut distrusted = FxHashSet::default();
    for _ in 0..options.nr_rounds_max.max(1) {
        let mut report = Report::default();
        let planned = find_with(volume, options, &distrusted, scratch, watch, &mut report)
            .and_then(|found| Ok((found.plan(volume, options, watch, &mut report)?, found)));
        let (plan, found) = match planned {
            Ok(planned) => planned,
            Err(stopped) if summary.rounds.is_empty() => return Err(stopped),
            // What the first round did is done, and has to be told.
            Err(stopped) => {
                summary.stopped = Some(stopped);
                break;
            }
        };
        let (done, stopped) = execute::execute(&plan, volume, watch);
        for range in done.differing() {
            distrusted.extend(found.locations_of(&plan, &range));
        }
        let goes_on = is_weak && stopped.is_none() && done.differing().next().is_some();
        summary.stopped = stopped;
        let mut findings = Findings::of(report, plan, options);
        if findings.is_idle && summary.rounds.is_empty() {
            answer::learn(volume, options, &findings)?;
        }
        summary.report = std::mem::take(&mut findings.report);
        summary.rounds.push(Round::of(findings, done));
        if !goes_on {
            break;
        }
    }
    if !matches!(summary.stopped, Some(Stopped::Volume(_))) {
        summary.used_after = volume.used_bytes()?;
    }
    Ok(summary)
}

impl Round {
    /// Returns what was found, and what was done then.
    fn of(findings: Findings, done: Done) -> Round {
        Round {
            prediction: findings.prediction,
            changes: findings.changes,
            groups: findings.groups,
            removed: findings.removed,
            stays: findings.stays,
            done,
        }
    }
}

impl Step {
    /// Returns the bytes of files that the step moves.
    #[must_use]
    pub fn moved_bytes(&self) -> u64 {
        let of = |batch: &plan::Batch| batch.len * batch.targets.len() as u64;
        match self {
            Step::Share { batch, .. } => of(batch),
            Step::Rewrite(rewriting) => rewriting.batches.iter().map(of).sum(),
        }
    }
}
