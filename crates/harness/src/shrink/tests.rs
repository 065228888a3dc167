//! Shrinking with witnesses whose bug is known.

use std::time::Duration;

use scenario::{
    Answer, Backend, BackendError, Capabilities, Geometry, Name, Observation, Op, Outcome, Probe,
    TreeRoot, Trees,
};
use uapi::Errno;

use super::{Limits, shrink};
use crate::diff::{OpSource, Options, Witnesses, run};

/// A witness that knows nothing but which files were punched; with a bug it refuses to truncate
/// one of those.
struct Fake {
    has_bug: bool,
    punched: Vec<String>,
}

impl Fake {
    fn new(has_bug: bool) -> Fake {
        Fake {
            has_bug,
            punched: Vec::new(),
        }
    }
}

impl Backend for Fake {
    fn name(&self) -> String {
        "fake".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            release: None,
            has_extents: false,
            has_exact_shares: true,
            has_trees: false,
            has_fine_times: true,
            tick: Duration::ZERO,
            is_root: true,
            can_remount: false,
            batch_max: 7,
            is_real: false,
        }
    }

    fn reset(&mut self, _geometry: &Geometry) -> Result<(), BackendError> {
        self.punched.clear();
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        let outcome = match op {
            Op::Punch { name, len, .. } if 4096 <= *len => {
                self.punched.push(name.to_string());
                Outcome::Done
            }
            Op::Truncate { name, .. }
                if self.has_bug && self.punched.contains(&name.to_string()) =>
            {
                Outcome::Failed(Errno::EIO)
            }
            _ => Outcome::Done,
        };
        Ok(outcome.into())
    }

    fn observe(&mut self, _probe: &Probe) -> Result<Observation, BackendError> {
        Ok(Observation::Absent)
    }
}

/// Operations over and over, in an order that is no multiple of anything.
struct Cycle {
    ops: Vec<Op>,
    next_idx: usize,
}

impl OpSource for Cycle {
    fn restart(&mut self, _episode: u64) {}

    fn next_op(&mut self) -> Op {
        self.next_idx += 1;
        self.ops[(self.next_idx * 7) % self.ops.len()].clone()
    }
}

fn cycle(lines: &[&str]) -> Cycle {
    let ops = lines
        .iter()
        .map(|line| line.parse().expect("an operation"))
        .collect();
    Cycle { ops, next_idx: 0 }
}

#[test]
fn a_bug_that_needs_two_operations_shrinks_to_two() {
    let mut source = cycle(
        &[
            "file A",
            "truncate B 5000",
            "punch A 12345 99999",
            "sync",
            "pwrite B 0 16k 0x61",
            "file B",
            "pwrite A 0 64k seed=1@0",
            "truncate A 77777",
            "dedupe A 0 4k => B 0",
            "fsync A",
        ]
        .map(|line| {
            if line.starts_with("punch") {
                "fpunch A 12345 99999"
            } else {
                line
            }
        }),
    );
    let (mut good, mut bad) = (Fake::new(false), Fake::new(true));
    let options = Options::default();
    let witnesses = Witnesses {
        expected: &mut good,
        observed: &mut bad,
    };
    let report = run(witnesses, &mut source, &options, &mut |_| {}).expect("a run");
    let divergence = report.divergence.expect("a divergence");
    let shrunk = shrink(
        &mut good,
        &mut bad,
        &options.geometry,
        &divergence,
        Limits::default(),
    );
    assert!(shrunk.repeats && shrunk.stopped_by.is_none());
    let ops: Vec<String> = shrunk
        .divergence
        .ops
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ops, ["fpunch A 0 4k", "truncate A 0"]);
}

#[test]
fn witnesses_that_agree_run_to_the_end_with_an_overhead() {
    let mut source = cycle(&[
        "file A",
        "truncate B 5000",
        "fpunch A 12345 99999",
        "sync",
        "pwrite B 0 16k 0x61",
        "file B",
        "pwrite A 0 64k seed=1@0",
        "truncate A 77777",
        "dedupe A 0 4k => B 0",
        "fsync A",
    ]);
    let (mut good, mut bad) = (Fake::new(false), Fake::new(true));
    let options = Options::default();
    let witnesses = Witnesses {
        expected: &mut good,
        observed: &mut bad,
    };
    let report = run(witnesses, &mut source, &options, &mut |_| {}).expect("a run");
    let divergence = report.divergence.expect("a divergence");
    let mut cured = Fake::new(false);
    let shrunk = shrink(
        &mut good,
        &mut cured,
        &options.geometry,
        &divergence,
        Limits::default(),
    );
    assert!(!shrunk.repeats);
    assert_eq!(shrunk.divergence.ops, divergence.ops);
}

/// A witness in whose trees a subvolume appears when a file is truncated, if it has a bug.
struct Leaky {
    has_bug: bool,
    has_leaked: bool,
}

impl Backend for Leaky {
    fn name(&self) -> String {
        "leaky".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            has_trees: true,
            ..Fake::new(false).capabilities()
        }
    }

    fn reset(&mut self, _geometry: &Geometry) -> Result<(), BackendError> {
        self.has_leaked = false;
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        self.has_leaked |= self.has_bug && matches!(op, Op::Truncate { .. });
        let leaked = self.has_leaked.then(|| TreeRoot {
            name: Name::top(),
            is_readonly: false,
            usage: None,
            inodes: Vec::new(),
        });
        let outcome = match op {
            Op::Tree => Outcome::Trees(Box::new(Trees {
                roots: leaked.into_iter().collect(),
                extents: Vec::new(),
            })),
            _ => Outcome::Done,
        };
        Ok(outcome.into())
    }

    fn observe(&mut self, _probe: &Probe) -> Result<Observation, BackendError> {
        Ok(Observation::Absent)
    }
}

#[test]
fn what_a_deep_check_found_is_looked_for_right_behind_the_operation_that_made_it() {
    let leaky = |has_bug| Leaky {
        has_bug,
        has_leaked: false,
    };
    let (mut good, mut bad) = (leaky(false), leaky(true));
    let mut ops: Vec<Op> = vec!["fsync A".parse().expect("an operation"); 60];
    ops[12] = "truncate A 0".parse().expect("an operation");
    let mut source = Cycle { ops, next_idx: 0 };
    let options = Options {
        deep_every: 50,
        ..Options::default()
    };
    let witnesses = Witnesses {
        expected: &mut good,
        observed: &mut bad,
    };
    let report = run(witnesses, &mut source, &options, &mut |_| {}).expect("a run");
    let divergence = report.divergence.expect("a divergence");
    let at = divergence
        .ops
        .iter()
        .position(|op| matches!(op, Op::Truncate { .. }));
    let nr_ops = at.expect("the operation that made it") + 1;
    assert!(nr_ops + 2 < divergence.ops.len());
    // One try shows it again, as many as halving takes find where it came from.
    let limits = Limits {
        tries: 2 + options.deep_every.ilog2(),
        ..Limits::default()
    };
    let shrunk = shrink(&mut good, &mut bad, &options.geometry, &divergence, limits);
    assert_eq!(shrunk.divergence.ops.len(), nr_ops + 2);
}
