//! Histories: something happens, a run, something else happens, the next run.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use dupes::{InMemory, Options, Report, Rewrite, ScanMode, Stopped, Unwatched};
use model::{Machine, ModelVolume};
use proptest::prelude::*;
use rules::Profile;
use tempfile::TempDir;
use volume::{Page, Position, Volume};

use crate::answers;
use crate::chronicle::Chronicle;
use crate::ops::{self, Op};

/// A run, and what happens before it.
#[derive(Clone, Debug)]
struct Round {
    ops: Vec<Op>,
    /// Which extents are moved by a balance.
    balanced: Vec<usize>,
    scan: ScanMode,
    rewrite: Rewrite,
    min_bytes: u64,
    /// The inode that is out of scope.
    excluded: u64,
    dedupes: bool,
    /// Whether it is asked what was found the last time.
    looks: bool,
    /// After how many calls a run before it is killed.
    killed_after: Option<u32>,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let scan = prop_oneof![Just(ScanMode::Checksums), Just(ScanMode::Read)];
    let rewrite = prop_oneof![
        Just(Rewrite::Never),
        Just(Rewrite::Auto),
        Just(Rewrite::Max)
    ];
    let round = (
        ops::ops(0..7),
        prop::collection::vec(0..20_usize, 0..2),
        scan,
        rewrite,
        prop_oneof![4 => Just(0_u64), 1 => Just(8192_u64)],
        prop_oneof![3 => Just(0_u64), 1 => 257..264_u64],
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.7),
        prop::option::weighted(0.4, 0..40_u32),
    );
    let round = round.prop_map(
        |(ops, balanced, scan, rewrite, min_bytes, excluded, dedupes, looks, killed_after)| Round {
            ops,
            balanced,
            scan,
            rewrite,
            min_bytes,
            excluded,
            dedupes,
            looks,
            killed_after,
        },
    );
    (ops::ops(4..16), prop::collection::vec(round, 2..6)).prop_map(|(first, mut rounds)| {
        rounds[0].ops.splice(0..0, first);
        rounds
    })
}

fn nr_histories() -> u32 {
    let asked = std::env::var("XSAME_TREES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(300)
}

/// Finds and plans; returns everything that is to be done, and what was read.
fn planned(volume: &mut dyn Volume, options: &Options) -> Result<(String, u64), Stopped> {
    let (mut report, watch, scratch) = (Report::default(), &mut Unwatched, &mut InMemory);
    let found = dupes::find(volume, options, scratch, watch, &mut report)?;
    let plan = found.plan(volume, options, watch, &mut report)?;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let counts = (report.nr_files, report.scanned_bytes, report.nr_extents);
    Ok((format!("{counts:?} {plan:#?}"), report.read_bytes))
}

pub(crate) fn remembering(chronicle: &Chronicle, path: &Path) -> Box<dyn Volume> {
    let on_noted = Box::new(|_, _| {});
    hashfile::open_trees(Box::new(chronicle.clone()), path, on_noted).expect("a hashfile")
}

pub(crate) fn machine() -> Machine {
    let mut machine = Machine::new(Profile::latest().expect("a profile"));
    ops::begin(machine.fs_mut());
    machine
}

/// Lets a run be killed: what it has written until then is what the next one finds.
fn kill(chronicle: &Chronicle, path: &Path, options: &Options, nr_calls: u32) {
    chronicle.0.borrow_mut().nr_calls_left = Some(nr_calls);
    let mut volume = remembering(chronicle, path);
    let _ = planned(&mut *volume, options);
    // Nothing of what a destructor writes is there after a kill.
    let image = fs::read(path).expect("a file");
    drop(volume);
    fs::write(path, image).expect("room");
    chronicle.0.borrow_mut().nr_calls_left = None;
}

fn check(rounds: &[Round]) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("hashes");
    let chronicle = Chronicle::new(ModelVolume::new(machine()));
    for round in rounds {
        {
            let mut shared = chronicle.0.borrow_mut();
            for op in &round.ops {
                ops::apply(shared.volume.machine_mut().fs_mut(), op);
            }
            round.balanced.iter().for_each(|idx| shared.balance(*idx));
            shared.min_bytes = round.min_bytes;
            shared.excluded = [round.excluded].into();
        }
        let options = Options {
            scan: round.scan,
            rewrite: round.rewrite,
            ..Options::default()
        };
        if let Some(nr_calls) = round.killed_after {
            kill(&chronicle, &path, &options, nr_calls);
        }
        // What was found the last time is believed before this run has looked at anything.
        if round.looks {
            answers::check(&chronicle, &path, &options);
        }
        let mut plain = chronicle.fork();
        let (expected, read_bytes) = planned(&mut plain, &options).expect("nothing fails");
        let mut volume = remembering(&chronicle, &path);
        let (found, read_again) = planned(&mut *volume, &options).expect("nothing fails");
        assert_eq!(found, expected, "with a hashfile the plan is another one");
        assert!(read_again <= read_bytes, "more is read with a hashfile");
        drop(volume);

        let mut volume = remembering(&chronicle, &path);
        let (found, read_again) = planned(&mut *volume, &options).expect("nothing fails");
        assert_eq!(found, expected, "the plan is another one the second time");
        assert_eq!(read_again, 0, "nothing has changed, and something is read");
        if round.dedupes {
            let run = |volume: &mut dyn Volume| {
                let options = Options {
                    program: Some(answers::PROGRAM),
                    ..options
                };
                let summary = dupes::run(volume, &options, &mut InMemory, &mut Unwatched);
                let summary = summary.expect("the run begins");
                let done = |round: &dupes::Round| (round.prediction, round.done.freed_bytes);
                let rounds: Vec<_> = summary.rounds.iter().map(done).collect();
                (rounds, summary.used_after)
            };
            assert_eq!(run(&mut *volume), run(&mut plain));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: nr_histories(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_between_runs_they_find_what_runs_without_a_hashfile_find(
        rounds in rounds()
    ) {
        check(&rounds);
    }
}

#[test]
fn after_a_change_only_what_changed_is_asked_for_and_read() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("hashes");
    let mut machine = machine();
    let fs = machine.fs_mut();
    for number in 0..200_u64 {
        let id = fs
            .create_file(&format!("file-{number}"), false)
            .expect("a new name");
        let content = data::Content::pattern(number % 150, 0, 4 * 4096);
        fs.write(id, 0, &content).expect("room");
    }
    let chronicle = Chronicle::new(ModelVolume::new(machine));
    let options = Options {
        scan: ScanMode::Read,
        ..Options::default()
    };
    let counted = || {
        let mut volume = remembering(&chronicle, &path);
        let (plan, _) = planned(&mut *volume, &options).expect("nothing fails");
        let mut shared = chronicle.0.borrow_mut();
        let nr_read = std::mem::take(&mut shared.nr_blocks_read);
        (plan, nr_read, std::mem::take(&mut shared.nr_inodes_told))
    };
    let (first, nr_read, nr_told) = counted();
    assert_eq!(nr_read, 200 * 4);
    assert!(200 < nr_told, "{nr_told}");
    let (second, nr_read, nr_told) = counted();
    assert_eq!((nr_read, nr_told), (0, 0));
    assert_eq!(first, second);
    for number in [20, 90, 170] {
        let mut shared = chronicle.0.borrow_mut();
        let fs = shared.volume.machine_mut().fs_mut();
        let id = fs.lookup(&format!("file-{number}")).expect("a file");
        fs.write(id, 0, &data::Content::pattern(7, 0, 4 * 4096))
            .expect("room");
    }
    let (_, nr_read, nr_told) = counted();
    assert_eq!(nr_read, 3 * 4);
    // Once before the plan and once after it, when nobody changed anything meanwhile.
    assert_eq!(nr_told, 3);
}

#[test]
fn how_many_files_a_walk_has_noted_is_told_as_it_goes() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("hashes");
    let chronicle = Chronicle::new(ModelVolume::new(machine()));
    let told = || -> Vec<u64> {
        let told = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&told);
        let on_noted = Box::new(move |nr_files, _| noted.borrow_mut().push(nr_files));
        let opened = hashfile::open_trees(Box::new(chronicle.clone()), &path, on_noted);
        let mut volume = opened.expect("a hashfile");
        let begin = Position::default();
        let page = volume.next_page(begin, 0, &mut Page::default());
        page.expect("a page");
        told.take()
    };
    // Four files of the top and three of the subvolume, in portions of three.
    let first = told();
    assert_eq!(first[..3], [3, 4, 7], "{first:?}");
    assert_eq!(first.last(), Some(&7), "{first:?}");
    assert_eq!(told(), [0_u64; 0], "all is known");
}

#[test]
fn how_far_the_walk_is_can_be_told_of_every_page() {
    let folder = TempDir::new().expect("a folder");
    let mut machine = machine();
    let fs = machine.fs_mut();
    // It has as many file extents as a page, and some more, so that the others come with the next.
    let id = fs.lookup("a").expect("a file");
    for nr in 0..66_000 {
        let content = data::Content::pattern(nr, 0, 4096);
        fs.write(id, nr * 8192, &content).expect("room");
    }
    let chronicle = Chronicle::new(ModelVolume::new(machine));
    let mut volume = remembering(&chronicle, &folder.path().join("hashes"));
    let (mut page, mut shares) = (Page::default(), Vec::new());
    let mut from = Some(Position::default());
    while let Some(position) = from {
        from = volume.next_page(position, 0, &mut page).expect("a page");
        shares.push(volume.walked().expect("it is known"));
    }
    assert!(0.0 < shares[0] && shares[0] < 1.0, "{shares:?}");
    assert_eq!(shares[1..], [1.0]);
}
