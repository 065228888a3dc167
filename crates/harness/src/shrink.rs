//! The smallest list of operations on which two witnesses still disagree in the same way:
//! [`shrink`].
//!
//! Operations are total, so any part of a list is a list that can be run. A difference that a deep
//! check found is looked for right behind the operation that made it. Then whole files and whole
//! operations go, in halving portions, then what is left is made simpler: all of it at once, see
//! `lists.rs` and `cuts.rs`, and one operation after another, see `simpler.rs`. No list is run
//! twice, so it ends. It does not know what any operation means to a witness.

mod cuts;
mod lists;
mod simpler;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use scenario::{Backend, BackendError, Geometry, Name, Op};

use crate::diff::Divergence;
use crate::difference::Field;
use crate::duel::Witnesses;

/// How long a real kernel has to complete what it began, in each candidate that shows a difference.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often the original operations are run until they show the difference again.
const NR_REPEATS_MAX: u32 = 8;

/// The longest list of which any two operations are left out.
const NR_OPS_IN_PAIRS: usize = 20;

/// When to be content.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many candidates are run at most.
    pub tries: u32,
    /// How long at most.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tries: 20_000,
            time: Duration::from_secs(60),
        }
    }
}

/// A divergence made small.
#[derive(Debug)]
pub struct Shrunk {
    /// The divergence on the smallest list found; the original one if that does not repeat.
    pub divergence: Divergence,
    /// Whether the original list of operations led to the same kind of difference again.
    pub repeats: bool,
    /// How many candidates were run.
    pub tries: u32,
    /// Why the search ended early, if it was not for the limits.
    pub stopped_by: Option<BackendError>,
}

/// Shrinks the operations of a divergence as far as the limits allow.
///
/// A candidate counts if its first difference is about the same field as the original one.
/// A witness that cannot be asked any more ends the search, not what was found until then.
pub fn shrink(
    expected: &mut dyn Backend,
    observed: &mut dyn Backend,
    geometry: &Geometry,
    divergence: &Divergence,
    limits: Limits,
) -> Shrunk {
    let mut shrinker = Shrinker {
        witnesses: Witnesses { expected, observed },
        geometry,
        field: divergence
            .differences
            .first()
            .map_or(Field::Return, |first| first.field()),
        step: divergence.step,
        best: divergence.clone(),
        repeats: false,
        tries: 0,
        tries_max: limits.tries,
        known: HashSet::new(),
        deadline: Instant::now() + limits.time,
    };
    let stopped_by = shrinker.run(&divergence.ops).err();
    Shrunk {
        divergence: shrinker.best,
        repeats: shrinker.repeats,
        tries: shrinker.tries,
        stopped_by,
    }
}

struct Shrinker<'a> {
    witnesses: Witnesses<'a>,
    geometry: &'a Geometry,
    field: Field,
    step: u64,
    best: Divergence,
    repeats: bool,
    tries: u32,
    tries_max: u32,
    /// Hashes of the lists that were run.
    known: HashSet<u64>,
    deadline: Instant,
}

impl Shrinker<'_> {
    fn run(&mut self, ops: &[Op]) -> Result<(), BackendError> {
        while !self.repeats && self.tries < NR_REPEATS_MAX && self.may_go_on() {
            self.repeats = self.run_list(ops.to_vec())?;
        }
        if !self.repeats {
            return Ok(());
        }
        self.look_early()?;
        self.keep_related()?;
        self.delete_files()?;
        self.delete()?;
        // What is simpler often makes other operations superfluous, and the other way round.
        while self.simplify()? || self.delete()? || self.delete_pairs()? {}
        Ok(())
    }

    /// Returns whether candidates may still be run.
    fn may_go_on(&self) -> bool {
        self.tries < self.tries_max && Instant::now() < self.deadline
    }

    /// Runs a candidate that was not run before; keeps it as the best one if it shows the
    /// difference.
    fn attempt(&mut self, ops: Vec<Op>) -> Result<bool, BackendError> {
        let mut hasher = DefaultHasher::new();
        for op in &ops {
            op.to_string().hash(&mut hasher);
        }
        if !self.may_go_on() || !self.known.insert(hasher.finish()) {
            return Ok(false);
        }
        self.run_list(ops)
    }

    fn run_list(&mut self, mut ops: Vec<Op>) -> Result<bool, BackendError> {
        self.tries += 1;
        let mut duel = self.witnesses.reset(self.geometry, PATIENCE)?;
        let mut nr_done = 0;
        let mut last = None;
        for op in &mut ops {
            // Left out operations move the ends of extents.
            *op = self.witnesses.expected.settled(op.clone())?;
            let exchange = duel.exchange(op.clone());
            let bout = duel.play(&mut self.witnesses, exchange)?;
            nr_done += 1;
            let is_over = !bout.differences.is_empty() || bout.is_end();
            last = Some(bout);
            if is_over {
                break;
            }
        }
        let Some(bout) = last else { return Ok(false) };
        let field = bout.differences.first().map(|first| first.field());
        if field != Some(self.field) {
            return Ok(false);
        }
        ops.truncate(nr_done);
        self.best = Divergence {
            step: self.step,
            ops,
            exchange: bout.exchange,
            left: bout.left,
            right: bout.right,
            differences: bout.differences,
        };
        Ok(true)
    }

    /// Ends the list as early as a deep check shows the difference: a run makes one every so many
    /// operations, and which of those did it is what matters.
    fn look_early(&mut self) -> Result<(), BackendError> {
        let ops = self.best.ops.clone();
        let is_look = |op: &Op| match op {
            Op::Tree => true,
            Op::Observe { names } => names.is_empty(),
            _ => false,
        };
        let nr_looks = ops.iter().rev().take_while(|op| is_look(op)).count();
        let (done, looks) = ops.split_at(ops.len() - nr_looks);
        if looks.is_empty() {
            return Ok(());
        }
        // It was not there at the check before.
        let mut nr_good = done.iter().rposition(is_look).map_or(0, |idx| idx + 1);
        let mut nr_bad = done.len();
        while nr_good + 1 < nr_bad {
            let nr_ops = nr_good.midpoint(nr_bad);
            match self.attempt([&done[..nr_ops], looks].concat())? {
                true => nr_bad = nr_ops,
                false => nr_good = nr_ops,
            }
        }
        Ok(())
    }

    /// Leaves out what concerns no file that the last operation can depend on.
    fn keep_related(&mut self) -> Result<(), BackendError> {
        let ops = &self.best.ops;
        let Some(last) = ops.last() else {
            return Ok(());
        };
        let mut related: BTreeSet<Name> = last.names().into_iter().cloned().collect();
        let probes = self.best.exchange.probes.iter();
        // After a sync everything is looked at: what differs says more.
        let differing = self
            .best
            .differences
            .iter()
            .filter_map(|difference| difference.name());
        if related.is_empty() {
            related.extend(differing.cloned());
        }
        if related.is_empty() {
            related.extend(probes.map(|probe| probe.name.clone()));
        }
        let kept = related_ops(ops, related);
        if kept.len() < ops.len() {
            self.attempt(kept)?;
        }
        Ok(())
    }

    /// Leaves out one file after another with all operations on it, most mentioned first.
    fn delete_files(&mut self) -> Result<(), BackendError> {
        let mut mentions: BTreeMap<Name, usize> = BTreeMap::new();
        for name in self.best.ops.iter().flat_map(Op::names) {
            *mentions.entry(name.clone()).or_default() += 1;
        }
        let mut names: Vec<(Name, usize)> = mentions.into_iter().collect();
        names.sort_by_key(|(_, nr_mentions)| std::cmp::Reverse(*nr_mentions));
        for (name, _) in names {
            let kept = lists::without_file(&self.best.ops, &name);
            self.attempt(kept)?;
        }
        Ok(())
    }

    /// Deletes operations in portions of halving size. Returns whether any went.
    fn delete(&mut self) -> Result<bool, BackendError> {
        let nr_before = self.best.ops.len();
        let mut size = self.best.ops.len().div_ceil(2);
        while 0 < size && self.may_go_on() {
            // From the end on: what is left of the list keeps its place.
            let mut end = self.best.ops.len();
            let mut has_deleted = false;
            while 0 < end && self.may_go_on() {
                let start = end.saturating_sub(size);
                let mut ops = self.best.ops.clone();
                ops.drain(start..end);
                if self.attempt(ops)? {
                    has_deleted = true;
                    // The candidate may have ended early.
                    end = start.min(self.best.ops.len());
                } else {
                    end = start;
                }
            }
            size = match (size, has_deleted) {
                (1, true) => 1,
                (1, false) => 0,
                (size, _) => size / 2,
            };
        }
        Ok(self.best.ops.len() < nr_before)
    }

    /// Deletes any two operations of a short list. Returns whether any went.
    fn delete_pairs(&mut self) -> Result<bool, BackendError> {
        let nr_ops = self.best.ops.len();
        if NR_OPS_IN_PAIRS < nr_ops {
            return Ok(false);
        }
        for second in (1..nr_ops).rev() {
            for first in (0..second).rev() {
                let mut ops = self.best.ops.clone();
                ops.remove(second);
                ops.remove(first);
                if self.attempt(ops)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Makes the list and its operations simpler. Returns whether anything became so.
    fn simplify(&mut self) -> Result<bool, BackendError> {
        let mut has_simplified = self.try_each(&lists::lists)?;
        // From the end on: what the last operations need decides what the others may lack.
        for idx in (0..self.best.ops.len()).rev() {
            has_simplified |= self.try_each(&|ops| with_simpler(ops, idx))?;
        }
        Ok(has_simplified)
    }

    /// Runs the candidates for the best list in order. After each that shows the difference the
    /// candidates are those for the new best list; those before it failed a moment ago and wait
    /// for the next round. Returns whether any showed the difference.
    fn try_each(&mut self, candidates_for: &CandidatesFor<'_>) -> Result<bool, BackendError> {
        let mut candidates = candidates_for(&self.best.ops);
        let mut has_simplified = false;
        let mut nth = 0;
        while nth < candidates.len() && self.may_go_on() {
            if self.attempt(std::mem::take(&mut candidates[nth]))? {
                has_simplified = true;
                candidates = candidates_for(&self.best.ops);
            } else {
                nth += 1;
            }
        }
        Ok(has_simplified)
    }
}

/// Returns the lists that may take the place of a list.
type CandidatesFor<'a> = dyn Fn(&[Op]) -> Vec<Vec<Op>> + 'a;

/// Returns lists in which one operation is simpler; none if there is no such operation.
fn with_simpler(ops: &[Op], idx: usize) -> Vec<Vec<Op>> {
    let Some(op) = ops.get(idx) else {
        return Vec::new();
    };
    let with = |op| {
        let mut candidate = ops.to_vec();
        candidate[idx] = op;
        candidate
    };
    simpler::ops(op).into_iter().map(with).collect()
}

/// Returns the operations that mention a related name, or none; names that a related operation
/// joins become related.
fn related_ops(ops: &[Op], mut related: BTreeSet<Name>) -> Vec<Op> {
    let is_about = |related: &BTreeSet<Name>, op: &Op| {
        let names = op.names();
        names.is_empty() || names.iter().any(|name| is_related(related, name))
    };
    // Names only ever join, so this ends.
    loop {
        let nr_before = related.len();
        for op in ops.iter().rev() {
            if is_about(&related, op) {
                related.extend(op.names().into_iter().cloned());
            }
        }
        if related.len() == nr_before {
            break;
        }
    }
    ops.iter()
        .filter(|op| is_about(&related, op))
        .cloned()
        .collect()
}

/// Returns whether a name is related, or lies above or below one that is.
fn is_related(related: &BTreeSet<Name>, name: &Name) -> bool {
    let is_prefix = |one: &Name, two: &Name| {
        let mut rest = two.components();
        one.components().all(|part| rest.next() == Some(part))
    };
    related.contains(name)
        || related.iter().any(|other| {
            !name.is_top() && !other.is_top() && (is_prefix(name, other) || is_prefix(other, name))
        })
}

#[cfg(test)]
mod tests;
