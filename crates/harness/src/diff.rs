//! The differential run: operations one after another on both witnesses, until they disagree.
//!
//! A run consists of episodes, each on empty filesystems: what has to be shrunk stays short. It
//! stops at the first divergence, because what comes after one means nothing.

use std::time::{Duration, Instant};

use scenario::{Backend, BackendError, Exchange, Geometry, Op, Reply, Verified};

use crate::difference::Difference;
use crate::duel::Bout;
use crate::names::NAMES_PER_STEP_MAX;
use crate::overhead::Sample;
use crate::tally::Tally;

pub use crate::duel::Witnesses;

/// Where operations come from.
pub trait OpSource {
    /// Begins an episode: the filesystem is empty again.
    fn restart(&mut self, episode: u64);

    /// Returns the next operation. Each one returned is carried out, in order.
    fn next_op(&mut self) -> Op;

    /// Is told of an operation that the run adds of its own accord.
    fn added(&mut self, _op: &Op) {}
}

/// How long and in what portions to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many operations at most.
    pub steps: u64,
    /// How long at most, overhead measurement and shrinking not included.
    pub time: Option<Duration>,
    /// How many operations there are between two empty filesystems.
    pub episode_steps: u64,
    /// How long a real kernel may take to complete what it began, before what is seen of it counts
    /// as a divergence.
    pub patience: Duration,
    /// A `sync` is put in when so much wall time went by without one: a kernel writes back by
    /// itself after about 30 s.
    pub sync_every: Duration,
    /// The trees are compared every so many operations and at the end of every episode; 0 is
    /// never. Only if both witnesses can tell what theirs say.
    pub deep_every: u64,
    /// How many operations the overhead is measured on.
    pub sample_steps: usize,
    /// The shape of both filesystems.
    pub geometry: Geometry,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            steps: 2000,
            time: None,
            episode_steps: 500,
            patience: Duration::from_secs(1),
            sync_every: Duration::from_secs(8),
            deep_every: 50,
            sample_steps: 2000,
            geometry: Geometry::default(),
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Operations compared so far.
    pub steps: u64,
    /// Since the run began.
    pub elapsed: Duration,
    /// What happened so far.
    pub tally: &'a Tally,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Operations compared.
    pub steps: u64,
    /// The divergence, if there was one.
    pub divergence: Option<Divergence>,
    /// What is wrong with the filesystems of a witness, each line with the witness's name. One that
    /// is thrown away between two episodes is checked there, the others after the last episode. As
    /// bad as a divergence.
    pub damage: Vec<String>,
    /// What of that could not be looked for.
    pub unchecked: Vec<String>,
    /// Wall time of the run over that of the observed witness alone; `None` after a divergence.
    pub overhead: Option<f64>,
    /// What happened.
    pub tally: Tally,
    /// How long the run took, without the measurement of the overhead.
    pub elapsed: Duration,
}

/// The first operation on which the witnesses disagree.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The operation's number in the run, from 1.
    pub step: u64,
    /// All operations of its episode up to it; it is the last.
    pub ops: Vec<Op>,
    /// The operation and what was looked at.
    pub exchange: Exchange,
    /// What is expected.
    pub left: Reply,
    /// What is observed.
    pub right: Reply,
    /// On what they disagree; never empty.
    pub differences: Vec<Difference>,
}

/// Runs both witnesses side by side.
///
/// # Errors
///
/// If a witness cannot be asked; a divergence is no error.
pub fn run(
    mut witnesses: Witnesses<'_>,
    source: &mut dyn OpSource,
    options: &Options,
    on_progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<RunReport, BackendError> {
    let start = Instant::now();
    let mut run = Run::new(options, start);
    let mut episode = 0;
    while run.is_on() {
        source.restart(episode);
        run.episode(&mut witnesses, source, on_progress)?;
        episode += 1;
        // After the last one all of it is checked.
        if run.is_on() && 0 < options.deep_every {
            run.verified
                .extend(of_both(&mut witnesses, |one| one.retire())?);
        }
    }
    if run.divergence.is_none() {
        let last = match options.deep_every {
            0 => Verified {
                complaints: Vec::new(),
                left_out: vec!["trees and filesystems: no deep check was asked for".into()],
            },
            _ => of_both(&mut witnesses, |one| one.verify())?,
        };
        run.verified.extend(last);
    }
    if 0 < run.nr_looks_left_out {
        run.verified.left_out.push(format!(
            "{} looks at files: after one operation there are at most {NAMES_PER_STEP_MAX}",
            run.nr_looks_left_out
        ));
    }
    let elapsed = start.elapsed();
    let overhead = match run.divergence {
        Some(_) => None,
        None => run.sample.overhead(&mut witnesses, options)?,
    };
    let Run {
        steps,
        divergence,
        tally,
        verified,
        ..
    } = run;
    Ok(RunReport {
        steps,
        divergence,
        damage: verified.complaints,
        unchecked: verified.left_out,
        overhead,
        tally,
        elapsed,
    })
}

/// Has both filesystems checked in a way.
fn of_both(
    witnesses: &mut Witnesses<'_>,
    check: impl Fn(&mut dyn Backend) -> Result<Verified, BackendError>,
) -> Result<Verified, BackendError> {
    let mut both = Verified::default();
    for witness in [&mut *witnesses.expected, &mut *witnesses.observed] {
        let Verified {
            complaints,
            left_out,
        } = check(witness)?;
        let name = witness.name();
        let named =
            |lines: Vec<String>| lines.iter().map(|line| format!("{name}: {line}")).collect();
        both.extend(Verified {
            complaints: named(complaints),
            left_out: named(left_out),
        });
    }
    Ok(both)
}

/// A run on its way.
struct Run<'a> {
    options: &'a Options,
    start: Instant,
    last_sync: Instant,
    /// Operations since the trees were compared.
    nr_since_tree: u64,
    steps: u64,
    tally: Tally,
    sample: Sample,
    divergence: Option<Divergence>,
    /// What came of checking filesystems.
    verified: Verified,
    /// Looks at files that were left out.
    nr_looks_left_out: u64,
}

impl Run<'_> {
    fn new(options: &Options, start: Instant) -> Run<'_> {
        Run {
            options,
            start,
            last_sync: start,
            nr_since_tree: 0,
            steps: 0,
            tally: Tally::default(),
            sample: Sample::default(),
            divergence: None,
            verified: Verified::default(),
            nr_looks_left_out: 0,
        }
    }

    fn is_on(&self) -> bool {
        let has_time = self
            .options
            .time
            .is_none_or(|time| self.start.elapsed() < time);
        let is_sound = self.divergence.is_none() && self.verified.complaints.is_empty();
        is_sound && self.steps < self.options.steps && has_time
    }

    fn episode(
        &mut self,
        witnesses: &mut Witnesses<'_>,
        source: &mut dyn OpSource,
        on_progress: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<(), BackendError> {
        let mut duel = witnesses.reset(&self.options.geometry, self.options.patience)?;
        let (expected, observed) = witnesses.capabilities();
        let has_trees = expected.has_trees && observed.has_trees;
        self.last_sync = Instant::now();
        self.nr_since_tree = 0;
        self.sample.begin_episode();
        let mut ops: Vec<Op> = Vec::new();
        let steps_max = self.steps + self.options.episode_steps;
        while self.is_on() && self.steps < steps_max {
            let start = Instant::now();
            let is_last = self.steps + 1 == steps_max || self.steps + 1 == self.options.steps;
            let op = self.next_op(source, has_trees, is_last);
            let drawn = start.elapsed();
            if op == Op::Tree {
                // A look at the trees drops clean pages: what they have is looked at before, what
                // lies on disk behind it.
                let look = Op::Observe { names: Vec::new() };
                let exchange = duel.exchange(look.clone());
                let bout = duel.play(witnesses, exchange)?;
                ops.push(look);
                if !bout.differences.is_empty() {
                    self.divergence = Some(divergence(self.steps + 1, ops, bout));
                    break;
                }
            }
            let op = witnesses.expected.settled(op)?;
            ops.push(op.clone());
            let exchange = duel.exchange(op);
            let bout = duel.play(witnesses, exchange)?;
            self.steps += 1;
            self.tally.count(&bout.exchange.op, &bout.left);
            let is_over = bout.is_end();
            if !bout.differences.is_empty() {
                self.divergence = Some(divergence(self.steps, ops, bout));
                break;
            }
            if self.sample.nr_exchanges() < self.options.sample_steps {
                self.sample.push(bout.exchange, start.elapsed(), drawn);
            }
            let (steps, elapsed) = (self.steps, self.start.elapsed());
            on_progress(&Progress {
                steps,
                elapsed,
                tally: &self.tally,
            });
            if is_over {
                break;
            }
        }
        self.tally.open_shares += duel.open_shares();
        self.nr_looks_left_out += duel.nr_left_out();
        Ok(())
    }

    /// Returns the next operation: a look at the trees or a sync if it is time for one.
    fn next_op(&mut self, source: &mut dyn OpSource, has_trees: bool, is_last: bool) -> Op {
        let deep_every = self.options.deep_every;
        self.nr_since_tree += 1;
        let is_deep = 0 < deep_every && (deep_every <= self.nr_since_tree || is_last);
        let op = if has_trees && is_deep {
            self.nr_since_tree = 0;
            source.added(&Op::Tree);
            Op::Tree
        } else if self.options.sync_every <= self.last_sync.elapsed() {
            source.added(&Op::Sync);
            Op::Sync
        } else {
            source.next_op()
        };
        if matches!(op, Op::Sync | Op::Tree) {
            self.last_sync = Instant::now();
        }
        op
    }
}

fn divergence(step: u64, ops: Vec<Op>, bout: Bout) -> Divergence {
    let Bout {
        exchange,
        left,
        right,
        differences,
    } = bout;
    Divergence {
        step,
        ops,
        exchange,
        left,
        right,
        differences,
    }
}

#[cfg(test)]
mod tests;
