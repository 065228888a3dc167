//! Shrinking with witnesses whose bug is known.

use std::time::Duration;

use scenario::{
    Answer, Backend, BackendError, Capabilities, Geometry, Observation, Op, Outcome, Probe,
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
