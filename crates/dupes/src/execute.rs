//! Execute: the steps of a plan, and what really came of them.
//!
//! Nothing here writes into a file of anybody: the kernel compares under its locks and shares, so
//! that a kill, a crash or a writer beside us cannot change a byte. What the kernel says it did is
//! not what counts: `verify` looks at file extents and references.

mod ahead;
mod rewrite;
mod share;
mod verify;

use uapi::Errno;
use volume::{Extent, FileId, FileRange, Volume, VolumeError};

use crate::change::Changes;
use crate::plan::{Batch, Plan, Rewriting, Step};
use crate::report::Stopped;
use crate::watch::Watch;
use ahead::Ahead;
use rewrite::Copied;
use share::Sharing;

/// Batches that each of those who ask at once gets in one go, about.
const BATCHES_EACH: usize = 32;
/// Bytes that are asked for in one go, unless one batch has more.
const AT_ONCE_BYTES_MAX: u64 = 64 << 20;
/// Targets that are asked for in one go, unless one batch has more: so many files are open for it.
const AT_ONCE_TARGETS_MAX: usize = 256;

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Bytes of data of extents of the plan that are gone.
    pub freed_bytes: u64,
    /// How many of them are gone.
    pub nr_extents_freed: u64,
    /// Bytes of data of extents that were written and are referred to.
    pub written_bytes: u64,
    /// Bytes of files that refer to what they were to refer to.
    pub moved_bytes: u64,
    /// Calls of the kernel.
    pub nr_requests: u64,
    /// What did not go as planned.
    pub failures: Vec<Failure>,
    /// What changed, by file.
    pub changes: Changes,
    /// Extents that were written, and what is in them.
    written: Vec<(Extent, FileId)>,
}

/// A range that was not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The range of the target; of the source if that is the trouble.
    pub range: FileRange,
    /// Why.
    pub why: Why,
}

/// Why a range was not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The bytes are not equal: somebody wrote since the scan, or checksums were equal by chance.
    Differs,
    /// The kernel refused, the second time too if that was worth a try.
    Refused(Errno),
    /// The kernel said yes twice, and the file extents are others still.
    NotShared,
    /// The volume could not be asked.
    Volume(VolumeError),
}

impl Done {
    /// Returns by how much the used data bytes shrank for what is done; below zero they grew.
    #[must_use]
    pub fn net_bytes(&self) -> i64 {
        self.freed_bytes.cast_signed() - self.written_bytes.cast_signed()
    }

    /// Returns the ranges of targets whose bytes were not what was expected.
    pub(crate) fn differing(&self) -> impl Iterator<Item = FileRange> {
        let differs = |failure: &&Failure| failure.why == Why::Differs;
        self.failures
            .iter()
            .filter(differs)
            .map(|failure| failure.range)
    }

    fn fail(&mut self, range: FileRange, why: Why) {
        self.failures.push(Failure { range, why });
    }
}

/// Does what a plan says; returns what was done, and why it ended early if it did.
pub(crate) fn execute(
    plan: &Plan,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
) -> (Done, Option<Stopped>) {
    let mut done = Done::default();
    let ended = steps(plan, volume, watch, &mut done);
    if let Err(error @ Stopped::Volume(_)) = ended {
        return (done, Some(error));
    }
    let looked = verify::look(plan, volume, watch, &mut done);
    (done, ended.and(looked).err())
}

fn steps(
    plan: &Plan,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    done: &mut Done,
) -> Result<(), Stopped> {
    let total = plan.prediction.moved_bytes;
    let mut sharing = Sharing::new(volume, done, watch, Ahead::new(plan), total);
    let mut copied = None;
    let ended = steps_with(plan, &mut sharing, &mut copied);
    let given_up = copied.map_or(Ok(()), |copied| copied.give_up(sharing.volume));
    ended.and(given_up)
}

/// Does all steps; what was copied for one that is not done is left in `copied`.
fn steps_with(
    plan: &Plan,
    sharing: &mut Sharing<'_, '_>,
    copied: &mut Option<Copied>,
) -> Result<(), Stopped> {
    let (mut has_room, mut end_bytes) = (true, 0);
    let mut next = 0;
    while let Some(step) = plan.steps.get(next) {
        sharing.progress()?;
        sharing.step_idx = next;
        let mut at_once = 1;
        match step {
            Step::Share { .. } => {
                let nr_bytes_left = sharing.nr_bytes_left();
                let nr_at_once = sharing.volume.nr_at_once();
                let batches = shares(&plan.steps[next..], nr_at_once, nr_bytes_left);
                at_once = batches.len();
                for step_idx in next..next + at_once {
                    sharing.step_idx = step_idx;
                    sharing.read_ahead(0);
                }
                sharing.batches(&batches)?;
            }
            // Where one rewrite found no room, another one would do harm at best.
            Step::Rewrite(_) if !has_room => {}
            Step::Rewrite(rewriting) => {
                let own = match copied.take() {
                    // There may be room once the one before it is done.
                    Some(copied) if !copied.lacked_room() => copied,
                    _ => rewrite::copy(rewriting, sharing.volume)?,
                };
                // It is not lost if the next one fails.
                *copied = Some(own);
                let following = next_rewriting(&plan.steps[next + 1..]);
                let ahead = following.map(|following| rewrite::copy(following, sharing.volume));
                let ahead = ahead.transpose()?;
                if let Some(own) = std::mem::replace(copied, ahead) {
                    has_room = rewrite::share(rewriting, own, sharing)?;
                }
            }
        }
        let behind = &plan.steps[next..next + at_once];
        end_bytes += behind.iter().map(Step::moved_bytes).sum::<u64>();
        sharing.pass(end_bytes);
        next += at_once;
    }
    sharing.progress()
}

/// Returns the first step that writes.
fn next_rewriting(steps: &[Step]) -> Option<&Rewriting> {
    steps.iter().find_map(|step| match step {
        Step::Share { .. } => None,
        Step::Rewrite(rewriting) => Some(rewriting),
    })
}

/// Returns the batches of the first steps, as many as are worth being asked for at once.
fn shares(steps: &[Step], nr_at_once: usize, nr_bytes_left: u64) -> Vec<(FileId, &Batch)> {
    let mut batches = Vec::new();
    let (mut nr_targets, mut nr_bytes) = (0, 0);
    for step in steps {
        let Step::Share { source, batch } = step else {
            break;
        };
        let is_last = nr_bytes_left <= nr_bytes;
        nr_targets += batch.targets.len();
        nr_bytes += step.moved_bytes();
        let is_enough = is_last
            || nr_at_once * BATCHES_EACH < batches.len() + 1
            || AT_ONCE_TARGETS_MAX < nr_targets
            || AT_ONCE_BYTES_MAX < nr_bytes;
        if is_enough && !batches.is_empty() {
            break;
        }
        batches.push((*source, batch));
        if nr_at_once == 1 {
            break;
        }
    }
    batches
}
