//! Both witnesses on one list of operations: [`Duel`].
//!
//! The expected witness answers first; what it sees tells the observed one when to look again. A
//! duel does not choose operations and does not know when to stop.

use scenario::{
    Backend, BackendError, Capabilities, Exchange, Geometry, MapRun, Observation, Op, Outcome,
    Probe, Reply,
};

use crate::compare::Comparer;
use crate::difference::Difference;
use crate::names::{Names, Reach};

/// Every so many operations all files are looked at.
const SURVEY_EVERY: u64 = 25;

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
    /// How many operations the expected witness takes at once.
    expected_batch: usize,
    /// Whether the expected witness can tell how much of a file is delalloc.
    has_hints: bool,
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
    pub(crate) fn reset(&mut self, geometry: &Geometry) -> Result<Duel, BackendError> {
        self.expected.reset(geometry)?;
        self.observed.reset(geometry)?;
        let (expected, observed) = self.capabilities();
        Ok(Duel {
            comparer: Comparer::new(&expected, &observed),
            names: Names::default(),
            nr_ops: 0,
            expected_batch: expected.batch_max.max(1),
            has_hints: expected.has_extents,
        })
    }

    /// Returns what the expected and the observed witness can do.
    pub(crate) fn capabilities(&self) -> (Capabilities, Capabilities) {
        (self.expected.capabilities(), self.observed.capabilities())
    }

    /// Returns how many operations go to the observed witness at once.
    pub(crate) fn batch_max(&self, wanted: usize) -> usize {
        self.observed
            .capabilities()
            .batch_max
            .clamp(1, wanted.max(1))
    }
}

impl Duel {
    /// Carries out operations on both, hands each bout on in order, up to and including the first
    /// with a difference or after which nothing can be asked. Returns whether there was such a one.
    pub(crate) fn play(
        &mut self,
        witnesses: &mut Witnesses<'_>,
        ops: &[Op],
        mut on_bout: impl FnMut(Bout),
    ) -> Result<bool, BackendError> {
        let mut exchanges = Vec::with_capacity(ops.len());
        let mut lefts = Vec::with_capacity(ops.len());
        for part in ops.chunks(self.expected_batch) {
            let asked: Vec<Exchange> = part.iter().map(|op| self.exchange(op)).collect();
            let replies = witnesses.expected.run(&asked)?;
            for (mut exchange, reply) in asked.into_iter().zip(replies) {
                self.names.correct(&exchange.probes, &reply.observations);
                if self.has_hints {
                    for (probe, seen) in exchange.probes.iter_mut().zip(&reply.observations) {
                        probe.delalloc_hint = delalloc_bytes(seen);
                    }
                }
                exchanges.push(exchange);
                lefts.push(reply);
            }
        }
        let rights = witnesses.observed.run(&exchanges)?;
        let nr_rights = rights.len();
        for ((exchange, left), right) in exchanges.into_iter().zip(lefts).zip(rights) {
            let differences = self.comparer.compare(&exchange, &left, &right);
            let bout = Bout {
                exchange,
                left,
                right,
                differences,
            };
            let is_last = !bout.differences.is_empty() || bout.is_end();
            on_bout(bout);
            if is_last {
                return Ok(true);
            }
        }
        if nr_rights < ops.len() {
            let name = witnesses.observed.name();
            let nr_ops = ops.len();
            let text = format!("{name} answered {nr_rights} of {nr_ops} operations and no more");
            return Err(BackendError::Channel(text));
        }
        Ok(false)
    }

    fn exchange(&mut self, op: &Op) -> Exchange {
        self.nr_ops += 1;
        let is_survey = self.nr_ops.is_multiple_of(SURVEY_EVERY);
        let reach = if is_survey {
            Reach::All
        } else {
            Reach::Mentioned
        };
        let names = self.names.after(op, reach);
        let probes = names
            .into_iter()
            .map(|name| Probe {
                name,
                delalloc_hint: None,
            })
            .collect();
        Exchange {
            op: op.clone(),
            probes,
        }
    }
}

/// Returns how many bytes of a file's map are delalloc.
fn delalloc_bytes(observation: &Observation) -> Option<u64> {
    let Observation::File { map, .. } = observation else {
        return None;
    };
    let is_delalloc = |run: &&MapRun| run.flags.is_delalloc;
    Some(map.iter().filter(is_delalloc).map(|run| run.len).sum())
}
