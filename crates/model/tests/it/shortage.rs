//! A model that adopts what another one shows, whose space was short.

mod early;

use data::Digest;
use fs_state::{InodeId, Reservation, Shortage, Shown};
use model::Sequential;
use rules::Profile;
use scenario::{
    Answer, Backend, Exchange, Geometry, Observation, Op, Outcome, Probe, Reply, Stat, TreePlace,
};
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
        self.exchange_altered(op, shortage, |_| ())
    }

    /// Carries out an operation on both, one of which sees an altered reply of the other.
    fn exchange_altered(
        &mut self,
        op: &str,
        shortage: Shortage,
        alter: impl FnOnce(&mut Reply),
    ) -> (Reply, Reply) {
        let op: Op = op.parse().expect("an operation");
        let machine = self.told.machine_mut();
        machine.fs_mut().begin_shortage(shortage);
        let answer = self.told.apply(&op).expect("an answer");
        self.told.machine_mut().fs_mut().end_shortage();
        self.show_altered(op, answer, alter)
    }

    /// Shows the adopting one what the other looks like now, as what came of an operation.
    fn show(&mut self, op: Op, answer: Answer) -> (Reply, Reply) {
        self.show_altered(op, answer, |_| ())
    }

    fn show_altered(
        &mut self,
        op: Op,
        answer: Answer,
        alter: impl FnOnce(&mut Reply),
    ) -> (Reply, Reply) {
        let probes = ["A", "B"].map(|name| Probe {
            name: name.parse().expect("a name"),
            expected_shape: None,
        });
        let exchange = Exchange {
            op,
            probes: probes.into(),
        };
        let (observations, layouts) = self.told.look(&exchange.probes).expect("a look");
        let mut seen = Reply {
            answer,
            observations,
            layouts,
        };
        alter(&mut seen);
        let adopted = self.adopting.adopt(&exchange, &seen).expect("an answer");
        (seen, adopted)
    }

    /// Carries out an operation where space is short, then others where it is not: both go on
    /// alike.
    #[track_caller]
    fn check(mut self, op: &str, shortage: Shortage, outcome: &Outcome, freedoms: &[&str]) {
        assert_eq!(self.adopts(op, shortage, freedoms), *outcome);
        self.goes_on();
    }

    /// Carries out an operation where space is short; the other adopts what came of it. Returns the
    /// outcome.
    #[track_caller]
    fn adopts(&mut self, op: &str, shortage: Shortage, freedoms: &[&str]) -> Outcome {
        let (seen, adopted) = self.exchange(op, shortage);
        assert_eq!(adopted.answer.outcome, seen.answer.outcome, "{op}");
        assert_eq!(adopted.answer.adopted, freedoms, "{op}");
        for (one, two) in adopted.observations.iter().zip(&seen.observations) {
            assert_eq!(but_storage(one), but_storage(two), "{op}");
        }
        for (one, two) in adopted.layouts.iter().zip(&seen.layouts) {
            let (Some(one), Some(two)) = (one, two) else {
                panic!("both files have a layout");
            };
            assert!(one.is_alike(two), "{op}: {one:?} {two:?}");
        }
        seen.answer.outcome
    }

    /// Carries out operations where there is space: nothing is left to adopt.
    #[track_caller]
    fn goes_on(&mut self) {
        for op in ["pwrite A 4k 4k seed=3@0", "clone A 0 4k => B 8k", "sync"] {
            self.adopts(op, Shortage::default(), &[]);
        }
    }

    /// Returns a shortage in which files get these extents, (start, end) in KiB.
    fn cut(&mut self, files: &[(&str, &[(u64, u64)])]) -> Shortage {
        let shown = files.iter().map(|(name, extents)| {
            let extents = extents.iter().map(|(start, end)| (start << 10, end << 10));
            let shown = Shown {
                extents: extents.collect(),
                ..Shown::default()
            };
            (self.id(name), shown)
        });
        Shortage {
            shown: Some(shown.collect()),
            ..Shortage::default()
        }
    }

    fn id(&mut self, name: &str) -> InodeId {
        let fs = self.told.machine_mut().fs_mut();
        fs.lookup(name).expect("a file of the test")
    }
}

/// Returns attributes and contents of a file.
fn but_storage(observation: &Observation) -> (&Stat, &Digest) {
    match observation {
        Observation::File { stat, content, .. } => (stat, content),
        other => panic!("a file, not {other:?}"),
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
fn a_page_that_a_write_dirtied_twice_is_adopted() {
    let mut pair = Pair::new();
    // Written back in between.
    let shortage = Shortage {
        reclaims: [2].into(),
        again: Some(4 << 10),
        ..Shortage::default()
    };
    let op = "pwrite A 100 12k seed=1@0";
    pair.adopts(op, shortage, &["early writeback"]);
    pair.goes_on();
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
fn an_extent_that_was_cut_and_then_overwritten_in_part_is_adopted() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 16k seed=4@0", Shortage::default(), &[]);
    // Written back before the write's first page, and the new data behind that by itself.
    let shortage = Shortage {
        reclaims: [0, 2].into(),
        ..pair.cut(&[("A", &[(0, 12), (12, 16), (8, 12)]), ("B", &[])])
    };
    let freedoms = ["early writeback", "extent cut"];
    pair.adopts("pwrite A 8k 8k seed=5@0", shortage, &freedoms);
    pair.goes_on();
}

#[test]
fn preallocation_in_pieces_is_adopted_as_far_as_it_came() {
    let mut pair = Pair::new();
    let shortage = Shortage {
        fails: [4].into(),
        ..pair.cut(&[("A", &[(0, 8), (8, 12), (12, 16)])])
    };
    let freedoms = ["ENOSPC", "extent cut"];
    let outcome = pair.adopts("falloc A 0 64k", shortage, &freedoms);
    assert_eq!(outcome, Outcome::Failed(Errno::ENOSPC));
    pair.goes_on();
}

#[test]
fn a_cut_behind_the_range_that_was_flushed_is_adopted_once_it_shows() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 64k seed=4@0", Shortage::default(), &[]);
    let mut shortage = pair.cut(&[("A", &[(0, 16), (16, 32), (32, 64)])]);
    for shown in shortage
        .shown
        .iter_mut()
        .flat_map(|shown| shown.values_mut())
    {
        shown.dirty = vec![(16 << 10, 64 << 10)];
    }
    pair.adopts("fpunch A 0 4k", shortage, &["extent cut"]);
    pair.adopts("fsync A", Shortage::default(), &["extent cut"]);
    pair.goes_on();
}

#[test]
fn a_small_file_for_which_the_tree_has_no_space_gets_an_extent() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 100 seed=4@0", Shortage::default(), &[]);
    let shortage = pair.cut(&[("A", &[(0, 4)])]);
    pair.adopts("fsync A", shortage, &[]);
    pair.goes_on();
}

#[test]
fn delayed_references_that_ran_early_are_adopted() {
    let mut pair = Pair::new();
    for op in ["falloc A 0 16k", "clone A 0 16k => B 0", "sync"] {
        pair.adopts(op, Shortage::default(), &[]);
    }
    // A commit that nobody sees: from then on A alone refers to the extent.
    let shortage = Shortage {
        reclaims: [0].into(),
        ..Shortage::default()
    };
    pair.adopts("fpunch B 0 16k", Shortage::default(), &[]);
    pair.adopts("pwrite A 0 8k seed=4@0", shortage, &[]);
    pair.adopts("fsync A", Shortage::default(), &[]);
    pair.goes_on();
}

#[test]
fn delayed_references_that_ran_early_are_adopted_once_it_shows() {
    let mut pair = Pair::new();
    for op in ["falloc A 0 16k", "clone A 0 8k => B 16k", "sync"] {
        pair.adopts(op, Shortage::default(), &[]);
    }
    pair.adopts("fpunch B 16k 8k", Shortage::default(), &[]);
    // One of them commits, which nobody sees, and so may write in place.
    pair.told.machine_mut().fs_mut().begin_shortage(Shortage {
        reclaims: [0].into(),
        ..Shortage::default()
    });
    let fs = pair.told.machine_mut().fs_mut();
    assert_eq!(fs.reserve(Reservation::Trees), Ok(()));
    fs.end_shortage();
    // What lies behind the range that is flushed stays dirty, its place is decided.
    for op in [
        "pwrite A 0 24k seed=4@0",
        "fpunch A 20k 4k",
        "pwrite A 0 4k seed=5@0",
    ] {
        pair.adopts(op, Shortage::default(), &[]);
    }
    pair.adopts("fsync A", Shortage::default(), &[]);
    pair.goes_on();
}

#[test]
fn a_store_through_a_mapping_that_found_no_space_is_adopted() {
    let mut pair = Pair::new();
    pair.adopts("truncate A 16k", Shortage::default(), &[]);
    let shortage = Shortage {
        fails: [2].into(),
        ..Shortage::default()
    };
    let outcome = pair.adopts("mwrite A 0 16k seed=4@0", shortage, &["ENOSPC"]);
    assert_eq!(outcome, Outcome::Failed(Errno::EFAULT));
    pair.goes_on();
}

#[test]
fn a_direct_write_that_found_space_for_a_part_is_adopted() {
    let mut pair = Pair::new();
    let shortage = Shortage {
        fails: [2].into(),
        ..Shortage::default()
    };
    let outcome = pair.adopts("dwrite A 0 16k seed=4@0", shortage, &["short write"]);
    assert_eq!(outcome, Outcome::Short(8192));
    pair.goes_on();
}

#[test]
fn zeroing_a_range_without_space_is_adopted() {
    let mut pair = Pair::new();
    let shortage = Shortage {
        fails: [0].into(),
        ..Shortage::default()
    };
    let outcome = pair.adopts("fzero B 0 12k", shortage, &["ENOSPC"]);
    assert_eq!(outcome, Outcome::Failed(Errno::ENOSPC));
    pair.goes_on();
}

#[test]
fn a_truncation_that_found_space_for_a_part_is_adopted() {
    let mut pair = Pair::new();
    for op in ["fsync B", "pwrite B 16k 16k seed=4@0", "fsync B"] {
        pair.adopts(op, Shortage::default(), &[]);
    }
    let shortage = Shortage {
        fails: [1].into(),
        ..Shortage::default()
    };
    let outcome = pair.adopts("truncate B 0", shortage, &["ENOSPC"]);
    assert_eq!(outcome, Outcome::Failed(Errno::ENOSPC));
    pair.goes_on();
}

#[test]
fn a_refused_rename_has_closed_what_was_held_under_its_target() {
    let mut pair = Pair::new();
    pair.exchange("pwrite A 0 8k seed=1@0", Shortage::default());
    pair.exchange("unlink A held", Shortage::default());
    let close: Op = "close A".parse().expect("an operation");
    pair.told.apply(&close).expect("an answer");
    let refused = Answer::plain(Outcome::Failed(Errno::ENOSPC));
    let rename = "rename B A".parse().expect("an operation");
    let (seen, adopted) = pair.show(rename, refused);
    assert_eq!(adopted.answer.outcome, seen.answer.outcome);
    assert_eq!(adopted.answer.adopted, ["ENOSPC"]);
    assert_eq!(adopted.observations[0], Observation::Absent);
}

#[test]
fn preallocated_space_that_is_seen_in_part_was_written_in_place() {
    let mut pair = Pair::new();
    for op in [
        "falloc A 0 16k",
        "pwrite A 0 4k seed=1@0",
        "sync",
        // A reference that is lost before the commit.
        "clone A 0 4k => B 16k",
        "fpunch B 16k 4k",
        "pwrite A 4k 12k seed=2@4k",
    ] {
        pair.adopts(op, Shortage::default(), &[]);
    }
    // All of it was written, and the first block then shared.
    let id = pair.id("A");
    let shown = Shown {
        in_place: vec![(8 << 10, 16 << 10)],
        ..Shown::default()
    };
    let shortage = Shortage {
        shown: Some([(id, shown)].into()),
        ..Shortage::default()
    };
    let (_, adopted) = pair.exchange("dedupe B 4k 4k => A 4k", shortage);
    let layout = adopted.layouts[0].as_ref().expect("a layout");
    let item = layout.items.iter().find(|item| item.offset == 8 << 10);
    let place = item.map(|item| (item.len, item.place));
    assert!(
        matches!(
            place,
            Some((
                0x2000,
                TreePlace::Extent {
                    is_prealloc: false,
                    disk_len: 0x4000,
                    skip: 0x2000,
                    ..
                }
            ))
        ),
        "{place:?}"
    );
    pair.goes_on();
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
