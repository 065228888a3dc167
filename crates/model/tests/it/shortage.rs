//! A model that adopts what another one shows, whose space was short.

use fs_state::Shortage;
use model::Sequential;
use rules::Profile;
use scenario::{Backend, Exchange, Geometry, Op, Outcome, Probe, Reply};
use uapi::Errno;

/// Returns a model on a small filesystem.
fn small() -> Sequential {
    let profile = Profile::by_name("linux-6.18").expect("a named profile");
    let mut model = Sequential::new(profile);
    let geometry: Geometry = "mkfs size=16m mixed".parse().expect("a geometry");
    model.reset(&geometry).expect("a reset");
    model
}

/// Two models on a small filesystem: one that is told where space is short, one that adopts.
struct Pair {
    told: Sequential,
    adopting: Sequential,
}

impl Pair {
    fn new() -> Pair {
        let mut pair = Pair {
            told: small(),
            adopting: small(),
        };
        for line in ["file A", "file B", "pwrite B 0 16k seed=2@0"] {
            pair.exchange(line, Shortage::default());
        }
        pair
    }

    /// Carries out an operation on both; returns what the adopting one answers.
    fn exchange(&mut self, op: &str, shortage: Shortage) -> (Reply, Reply) {
        let op: Op = op.parse().expect("an operation");
        let probes = ["A", "B"].map(|name| Probe {
            name: name.parse().expect("a name"),
            expected_shape: None,
        });
        let exchange = Exchange {
            op,
            probes: probes.into(),
        };
        let machine = self.told.machine_mut();
        machine.fs_mut().begin_shortage(shortage);
        let answer = self.told.apply(&exchange.op).expect("an answer");
        self.told.machine_mut().fs_mut().end_shortage();
        let (observations, layouts) = self.told.look(&exchange.probes).expect("a look");
        let seen = Reply {
            answer,
            observations,
            layouts,
        };
        let adopted = self.adopting.adopt(&exchange, &seen).expect("an answer");
        (seen, adopted)
    }

    /// Carries out an operation where space is short, then others where it is not: both go on
    /// alike.
    #[track_caller]
    fn check(mut self, op: &str, shortage: Shortage, outcome: &Outcome, freedoms: &[&str]) {
        let (seen, adopted) = self.exchange(op, shortage);
        assert_eq!(seen.answer.outcome, *outcome);
        assert_eq!(adopted.answer.outcome, *outcome);
        assert_eq!(adopted.answer.adopted, freedoms);
        for op in ["pwrite A 4k 4k seed=3@0", "clone A 0 4k => B 8k", "sync"] {
            let (seen, adopted) = self.exchange(op, Shortage::default());
            assert_eq!(adopted.answer.adopted, [""; 0], "{op}");
            assert_eq!(adopted.observations, seen.observations, "{op}");
            for (one, two) in adopted.layouts.iter().zip(&seen.layouts) {
                let (Some(one), Some(two)) = (one, two) else {
                    panic!("both files have a layout");
                };
                assert!(one.is_alike(two), "{op}: {one:?} {two:?}");
            }
        }
    }
}

#[test]
fn a_short_write_is_adopted() {
    let shortage = Shortage {
        reclaims: [2].into(),
        fails: [2].into(),
        ..Shortage::default()
    };
    let outcome = Outcome::Short(8192);
    Pair::new().check(
        "pwrite A 0 16k seed=1@0",
        shortage,
        &outcome,
        &["short write"],
    );
}

#[test]
fn a_write_that_was_interrupted_to_make_room_is_adopted() {
    let shortage = Shortage {
        reclaims: [1, 3].into(),
        ..Shortage::default()
    };
    let op = "pwrite A 0 16k seed=1@0";
    Pair::new().check(op, shortage, &Outcome::Done, &["early writeback"]);
}

#[test]
fn a_punch_that_found_no_space_is_adopted() {
    let shortage = Shortage {
        fails: [0].into(),
        ..Shortage::default()
    };
    let outcome = Outcome::Failed(Errno::ENOSPC);
    Pair::new().check("fpunch B 4k 4k", shortage, &outcome, &["ENOSPC"]);
}

#[test]
fn what_needs_no_space_is_not_excused() {
    let mut pair = Pair::new();
    let op: Op = "fsync A".parse().expect("an operation");
    let exchange = Exchange {
        op,
        probes: Vec::new(),
    };
    let seen = Reply {
        answer: Outcome::Failed(Errno::ENOSPC).into(),
        observations: Vec::new(),
        layouts: vec![None],
    };
    let adopted = pair.adopting.adopt(&exchange, &seen).expect("an answer");
    assert_eq!(adopted.answer.outcome, Outcome::Done);
    assert_eq!(adopted.answer.adopted, [""; 0]);
}
