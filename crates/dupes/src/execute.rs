//! Execute: the steps of a plan, and what really came of them.
//!
//! Nothing here writes into a file of anybody: the kernel compares under its locks and shares, so
//! that a kill, a crash or a writer beside us cannot change a byte. What the kernel says it did is
//! not what counts: `verify` looks at file extents and references.

mod rewrite;
mod share;
mod verify;

use uapi::Errno;
use volume::{Extent, FileRange, Volume, VolumeError};

use crate::plan::{Plan, Step};
use crate::report::Stopped;
use crate::watch::Watch;
use share::Sharing;

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
    /// Extents that were written.
    written: Vec<Extent>,
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
    let mut sharing = Sharing::new(volume, done, watch, plan.prediction.moved_bytes);
    let mut has_room = true;
    let mut end_bytes = 0;
    for step in &plan.steps {
        sharing.progress()?;
        match step {
            Step::Share { source, batch } => sharing.batch(*source, batch)?,
            // Where one rewrite found no room, another one would do harm at best.
            Step::Rewrite(_) if !has_room => {}
            Step::Rewrite(rewriting) => has_room = rewrite::rewrite(rewriting, &mut sharing)?,
        }
        end_bytes += step.moved_bytes();
        sharing.pass(end_bytes);
    }
    sharing.progress()
}
