//! Both witnesses on one list of operations: [`Duel`].
//!
//! The expected witness answers first; what it sees tells the observed one when to look again.
//! Where the filesystem leaves something to the kernel it is the other way round: the expected one
//! adopts what the observed one shows. A duel does not choose operations and does not know when to
//! stop.

use std::time::{Duration, Instant};

use scenario::{
    Backend, BackendError, Capabilities, Exchange, Geometry, Observation, Op, Outcome, Probe,
    Reply, map_shape, only,
};

use crate::compare::Comparer;
use crate::difference::Difference;
use crate::names::{Names, Reach};
use crate::tally::OpenShares;

/// Every so many operations all files are looked at.
const SURVEY_EVERY: u64 = 25;
/// The first and the longest pause before another look.
const PAUSES: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(5));

/// With less patience than this a witness must not wait by itself: it may do so for seconds.
const WAITS_BESIDE: Duration = Duration::from_millis(500);

/// The two witnesses of a run.
pub struct Witnesses<'a> {
    /// The one that is expected to be right.
    pub expected: &'a mut dyn Backend,
    /// The one that is compared with it.
    pub observed: &'a mut dyn Backend,
}

/// A run of both on fresh filesystems.
pub(crate) struct Duel {
    comparer: Comparer,
    names: Names,
    nr_ops: u64,
    /// How long a real kernel has to complete what it is busy with, before what is seen of it
    /// counts.
    patience: Duration,
    /// Whether the observed witness is told what the expected one saw, so that it can wait for that
    /// by itself.
    tells_shapes: bool,
    /// Whether the observed witness answers first, for the expected one to adopt what the
    /// filesystem leaves to a kernel.
    adopts: bool,
    /// Whether any operation may write back any file.
    is_small: bool,
}

/// An exchange with both replies, and on what they disagree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bout {
    pub(crate) exchange: Exchange,
    pub(crate) left: Reply,
    pub(crate) right: Reply,
    pub(crate) differences: Vec<Difference>,
}

impl Bout {
    /// Returns whether nothing can be asked after this before a reset.
    pub(crate) fn is_end(&self) -> bool {
        let is_over =
            |reply: &Reply| matches!(reply.answer.outcome, Outcome::Hangs | Outcome::Panics);
        is_over(&self.left) || is_over(&self.right)
    }
}

impl Witnesses<'_> {
    /// Empties both filesystems.
    pub(crate) fn reset(
        &mut self,
        geometry: &Geometry,
        patience: Duration,
    ) -> Result<Duel, BackendError> {
        self.expected.reset(geometry)?;
        self.observed.reset(geometry)?;
        let (expected, observed) = self.capabilities();
        let adopts = geometry.leaves_choices();
        let waits = observed.is_real && expected.has_extents && WAITS_BESIDE <= patience;
        Ok(Duel {
            comparer: Comparer::new(&expected, &observed),
            names: Names::default(),
            nr_ops: 0,
            tells_shapes: waits && !adopts,
            adopts,
            is_small: geometry.is_small(),
            patience,
        })
    }

    /// Returns what the expected and the observed witness can do.
    pub(crate) fn capabilities(&self) -> (Capabilities, Capabilities) {
        (self.expected.capabilities(), self.observed.capabilities())
    }
}

impl Duel {
    /// Returns the exchange of the run's next operation: every operation must be asked for once,
    /// in order.
    pub(crate) fn exchange(&mut self, op: Op) -> Exchange {
        self.nr_ops += 1;
        let is_of_all = matches!(&op, Op::Observe { names } if names.is_empty());
        let is_survey = is_of_all || self.nr_ops.is_multiple_of(SURVEY_EVERY);
        // What is written back has to be seen at once where it is to be adopted.
        let is_adopted = self.adopts && (self.is_small || writes_back_all(&op));
        let reach = if is_survey || is_adopted {
            Reach::All
        } else {
            Reach::Mentioned
        };
        let names = self.names.after(&op, reach);
        let probes = names
            .into_iter()
            .map(|name| Probe {
                name,
                expected_shape: None,
            })
            .collect();
        Exchange { op, probes }
    }

    /// Returns how often maps told extents otherwise than expected, where that is open.
    pub(crate) fn open_shares(&self) -> OpenShares {
        self.comparer.open_shares()
    }

    /// Returns how many looks at files were left out because there were too many at a time.
    pub(crate) fn nr_left_out(&self) -> u64 {
        self.names.nr_left_out()
    }

    /// Carries out one exchange on both and compares.
    pub(crate) fn play(
        &mut self,
        witnesses: &mut Witnesses<'_>,
        mut exchange: Exchange,
    ) -> Result<Bout, BackendError> {
        let (left, right) = match self.adopts {
            true => {
                let right = ask(witnesses.observed, &exchange)?;
                let left = witnesses.expected.adopt(&exchange, &right)?;
                self.names.correct(&exchange.probes, &left.observations);
                (left, right)
            }
            false => {
                let left = ask(witnesses.expected, &exchange)?;
                self.names.correct(&exchange.probes, &left.observations);
                if self.tells_shapes {
                    for (probe, seen) in exchange.probes.iter_mut().zip(&left.observations) {
                        probe.expected_shape = shape(seen);
                    }
                }
                let right = ask(witnesses.observed, &exchange)?;
                (left, right)
            }
        };
        let differences = self.comparer.compare(&exchange, &left, &right);
        let mut bout = Bout {
            exchange,
            left,
            right,
            differences,
        };
        if !bout.differences.is_empty() {
            self.look_again(witnesses, &mut bout)?;
        }
        Ok(bout)
    }

    /// Looks at the files of a bout until the witnesses agree, for a while: a real kernel
    /// completes ordered extents behind its caller's back, and until then shows the old ones.
    fn look_again(
        &mut self,
        witnesses: &mut Witnesses<'_>,
        bout: &mut Bout,
    ) -> Result<(), BackendError> {
        let (expected, observed) = witnesses.capabilities();
        let start = Instant::now();
        let mut pause = PAUSES.0;
        while !bout.differences.is_empty()
            && bout.differences.iter().all(Difference::is_about_map)
            && (expected.is_real || observed.is_real)
            && start.elapsed() < self.patience
        {
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSES.1);
            let Bout {
                exchange,
                left,
                right,
                ..
            } = bout;
            if expected.is_real {
                refresh(witnesses.expected, exchange, left)?;
            }
            if observed.is_real {
                refresh(witnesses.observed, exchange, right)?;
                if self.patience / 2 < start.elapsed() {
                    add_unfinished(right);
                }
                if self.adopts
                    && let Some(adopted) = witnesses.expected.adopt_again(exchange, right)?
                {
                    *left = adopted;
                }
            }
            bout.differences = self.comparer.compare_again(exchange, left, right);
        }
        Ok(())
    }
}

/// Returns the shape of a file's map.
fn shape(observation: &Observation) -> Option<u64> {
    match observation {
        Observation::File { map, .. } => Some(map_shape(map)),
        Observation::Absent | Observation::Unreadable(_) | Observation::Other { .. } => None,
    }
}

/// Returns the reply of a witness to one exchange.
fn ask(witness: &mut dyn Backend, exchange: &Exchange) -> Result<Reply, BackendError> {
    only(
        witness.run(std::slice::from_ref(exchange))?,
        &witness.name(),
    )
}

/// Returns whether an operation writes back files that it does not mention.
fn writes_back_all(op: &Op) -> bool {
    matches!(
        op,
        Op::Sync | Op::Tree | Op::Snapshot { .. } | Op::Subvol { .. } | Op::Delete { .. }
    )
}

/// Looks at the files of an exchange once more; maps and blocks take the place of the old ones.
/// Whether times changed is what the first look said.
fn refresh(
    witness: &mut dyn Backend,
    exchange: &Exchange,
    reply: &mut Reply,
) -> Result<(), BackendError> {
    let again = Exchange {
        op: Op::Observe { names: Vec::new() },
        probes: exchange.probes.clone(),
    };
    let Reply {
        observations,
        layouts,
        ..
    } = ask(witness, &again)?;
    reply.layouts = layouts;
    for (seen, new) in reply.observations.iter_mut().zip(observations) {
        let Observation::File { stat, map, .. } = seen else {
            continue;
        };
        if let Observation::File {
            stat: new_stat,
            map: new_map,
            ..
        } = new
        {
            stat.blocks = new_stat.blocks;
            *map = new_map;
        }
    }
    Ok(())
}

/// Takes the pages of ordered extents that are not finished for dirty. A writeback that has written
/// as much as it was to leaves the last pages of an ordered extent to whoever comes next
/// (`nr_to_write` of `shrink_delalloc`, fs/btrfs/space-info.c), and until then nothing is decided.
fn add_unfinished(reply: &mut Reply) {
    for (seen, layout) in reply.observations.iter().zip(&mut reply.layouts) {
        if let (Observation::File { map, .. }, Some(layout)) = (seen, layout) {
            layout.add_delalloc(map);
        }
    }
}
