//! Properties of runs on which something goes wrong: every file is whole, what is reported as
//! done is what happened to the byte, and another run finishes.

use std::collections::BTreeMap;

use dupes::{
    InMemory, Options, Phase, Report, Rewrite, ScanMode, Stopped, Summary, Unwatched, Watch,
};
use model::ModelVolume;
use proptest::prelude::*;
use proptest::sample::select;
use random_trees::{FILES, NR_BLOCKS, build, tree};
use uapi::Errno;

use crate::check::{contents, run};
use crate::faulty::{Fault, Faulty};
use crate::properties::config;

/// Draws what goes wrong: nobody else writes.
fn trouble() -> impl Strategy<Value = Fault> {
    let errno = || {
        prop_oneof![
            Just(Errno::EINTR),
            Just(Errno::ENOSPC),
            Just(Errno::EIO),
            Just(Errno::ETXTBSY),
        ]
    };
    prop_oneof![
        (0..30_u32).prop_map(Fault::Read),
        (0..12_u32, errno()).prop_map(|(at, errno)| Fault::Dedupe(at, errno)),
        (0..12_u32, 0..3_usize, errno())
            .prop_map(|(at, first, errno)| Fault::Targets(at, first, errno)),
        (0..12_u32).prop_map(Fault::Short),
        (0..12_u32).prop_map(Fault::Overstated),
        (0..24_u32).prop_map(Fault::Look),
        (0..6_u32).prop_map(Fault::Write),
        (0..4_u32).prop_map(Fault::Flush),
        (0..16_u32).prop_map(Fault::Kill),
        (0..90_u32).prop_map(Fault::KillAnywhere),
    ]
}

/// Draws somebody who writes beside us.
fn writer() -> impl Strategy<Value = Fault> {
    (0..10_u32, select(&FILES[..]), 0..NR_BLOCKS, 20..40_u8).prop_map(|(before, file, at, seed)| {
        Fault::Writer {
            before,
            file,
            at,
            seed,
        }
    })
}

fn options() -> impl Strategy<Value = Options> {
    let rewrite = prop_oneof![
        Just(Rewrite::Never),
        Just(Rewrite::Auto),
        Just(Rewrite::Max)
    ];
    let scan = prop_oneof![Just(ScanMode::Checksums), Just(ScanMode::Read)];
    (rewrite, scan).prop_map(|(rewrite, scan)| Options {
        rewrite,
        scan,
        nr_rounds_max: 1,
        ..Options::default()
    })
}

/// A watch that says stop after so many looks; not while what was done is looked at.
struct StopAfter(u32);

impl Watch for StopAfter {
    fn at(&mut self, phase: Phase, _: u64, _: Option<u64>) -> Result<(), Stopped> {
        if phase == Phase::Verify {
            return Ok(());
        }
        self.0 = self.0.checked_sub(1).ok_or(Stopped::ByWatch)?;
        Ok(())
    }
}

/// Returns the extents by address, with their bytes.
fn extents(volume: &ModelVolume) -> BTreeMap<u64, u64> {
    let extents = volume.machine().fs().extents();
    extents
        .iter()
        .map(|(_, extent)| (extent.bytenr(), extent.len()))
        .collect()
}

/// Returns the addresses of the extents that a run would remove.
fn planned(volume: &ModelVolume, options: &Options) -> Vec<u64> {
    let mut volume = volume.clone();
    let mut report = Report::default();
    let found = dupes::find(
        &mut volume,
        options,
        &mut InMemory,
        &mut Unwatched,
        &mut report,
    );
    let found = found.expect("the model can be walked");
    let plan = found.plan(&mut volume, options, &mut Unwatched, &mut report);
    let plan = plan.expect("the model can be asked");
    plan.removed
        .iter()
        .map(|removed| removed.extent.address)
        .collect()
}

/// Checks what a run reports, against the extents before and after it.
#[track_caller]
fn check_done(summary: &Summary, before: &BTreeMap<u64, u64>, volume: &Faulty, removed: &[u64]) {
    let after = extents(&volume.inner);
    let [round] = &summary.rounds[..] else {
        panic!("one round was asked for")
    };
    let is_gone = |address: &&u64| !after.contains_key(*address);
    let gone: u64 = removed
        .iter()
        .filter(is_gone)
        .map(|address| before[address])
        .sum();
    assert_eq!(
        round.done.freed_bytes, gone,
        "bytes of the plan that are gone"
    );
    let is_ours =
        |address: &u64| !before.contains_key(address) && !volume.of_writer.contains(address);
    let ours = after.iter().filter(|(address, _)| is_ours(address));
    let ours: u64 = ours.map(|(_, len)| len).sum();
    assert_eq!(
        round.done.written_bytes, ours,
        "bytes that were written and stay"
    );
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn trouble_is_survived_reported_to_the_byte_and_made_good_by_another_run(
        ops in tree(),
        faults in prop::collection::vec(trouble(), 1..4),
        options in options(),
    ) {
        let mut undisturbed = build(&ops);
        let contents_before = contents(&mut undisturbed);
        let before = extents(&undisturbed);
        let mut faulty = Faulty::new(undisturbed.clone(), faults.clone());
        let is_read_wrong = faults.iter().any(|fault| matches!(fault, Fault::Read(_)));
        let result = dupes::run(&mut faulty, &options, &mut InMemory, &mut Unwatched);
        let is_killed = match &result {
            Ok(summary) => summary.stopped.is_some(),
            Err(_) => true,
        };
        if let Ok(summary) = &result && !is_killed {
            prop_assert!(faulty.temporaries.is_empty(), "temporary files stay");
            let nr_planned = summary.rounds[0].prediction.nr_requests;
            prop_assert!(u64::from(faulty.nr_dedupes) <= 2 * nr_planned, "requests loop");
            // What cannot be read makes another plan.
            if !is_read_wrong {
                check_done(summary, &before, &faulty, &planned(&undisturbed, &options));
            }
            let done: i64 = summary.rounds.iter().map(|round| round.done.net_bytes()).sum();
            let freed = summary.used_before.cast_signed() - summary.used_after.cast_signed();
            prop_assert_eq!(freed, done);
        }
        let mut survivor = faulty.into_survivor();
        prop_assert_eq!(contents(&mut survivor), contents_before);
        prop_assert_eq!(survivor.machine().fs().fsck(), []);
        let finished = run(&mut survivor, &options);
        prop_assert_eq!(contents(&mut survivor), contents(&mut undisturbed));
        // What could not be read stays the first time; that others were moved to it then, and
        // that bargains are made in another order, may leave another best.
        let has_one_end = match options.rewrite {
            Rewrite::Never => !is_read_wrong,
            Rewrite::Auto => false,
            Rewrite::Max => true,
        };
        if has_one_end && options.scan == ScanMode::Read {
            let expected = run(&mut undisturbed, &options).used_after;
            prop_assert_eq!(finished.used_after, expected);
        }
    }

    #[test]
    fn a_stop_on_request_leaves_what_is_reported_and_another_run_finishes(
        ops in tree(),
        nr_left in 0..40_u32,
        options in options(),
    ) {
        let mut undisturbed = build(&ops);
        let contents_before = contents(&mut undisturbed);
        let before = extents(&undisturbed);
        let removed = planned(&undisturbed, &options);
        let mut stopped = Faulty::new(undisturbed.clone(), Vec::new());
        let mut watch = StopAfter(nr_left);
        if let Ok(summary) = dupes::run(&mut stopped, &options, &mut InMemory, &mut watch) {
            check_done(&summary, &before, &stopped, &removed);
            prop_assert!(matches!(summary.stopped, None | Some(Stopped::ByWatch)));
            let done: i64 = summary.rounds.iter().map(|round| round.done.net_bytes()).sum();
            let freed = summary.used_before.cast_signed() - summary.used_after.cast_signed();
            prop_assert_eq!(freed, done);
        }
        prop_assert!(stopped.temporaries.is_empty(), "temporary files stay");
        let mut survivor = stopped.into_survivor();
        prop_assert_eq!(contents(&mut survivor), contents_before);
        let finished = run(&mut survivor, &options);
        if options.rewrite == Rewrite::Max && options.scan == ScanMode::Read {
            let expected = run(&mut undisturbed, &options).used_after;
            prop_assert_eq!(finished.used_after, expected);
        }
    }

    #[test]
    fn a_run_that_ends_as_an_error_has_changed_nothing(
        ops in tree(),
        bits in 1..9_u32,
        nr_left in 0..60_u32,
        options in options(),
    ) {
        // Checksums equal by chance make a second round, whose end does not undo the first one.
        let options = Options { nr_rounds_max: 3, ..options };
        let mut volume = build(&ops).with_checksum_bits(bits);
        let (contents_before, before) = (contents(&mut volume), extents(&volume));
        let mut watch = StopAfter(nr_left);
        match dupes::run(&mut volume, &options, &mut InMemory, &mut watch) {
            Err(_) => prop_assert_eq!(extents(&volume), before),
            Ok(summary) => {
                let done: i64 = summary.rounds.iter().map(|round| round.done.net_bytes()).sum();
                let freed = summary.used_before.cast_signed() - summary.used_after.cast_signed();
                prop_assert_eq!(freed, done);
            }
        }
        prop_assert_eq!(contents(&mut volume), contents_before);
    }

    #[test]
    fn writers_beside_us_lose_nothing(
        ops in tree(),
        faults in prop::collection::vec(writer(), 1..4),
        options in options(),
    ) {
        let volume = build(&ops);
        let removed = planned(&volume, &options);
        let before = extents(&volume);
        // The same writers on a filesystem that nobody dedupes.
        let mut alone = Faulty::new(volume.clone(), faults.clone());
        let mut faulty = Faulty::new(volume, faults);
        let summary = run(&mut faulty, &options);
        check_done(&summary, &before, &faulty, &removed);
        let nr_changes = faulty.nr_changes();
        alone.only_writers(nr_changes);
        prop_assert_eq!(contents(&mut faulty.inner), contents(&mut alone.inner));
        prop_assert_eq!(faulty.inner.machine().fs().fsck(), []);
    }

    #[test]
    fn checksums_equal_by_chance_cost_requests_and_no_byte(
        ops in tree(),
        bits in 1..9_u32,
        options in options(),
    ) {
        let mut volume = build(&ops).with_checksum_bits(bits);
        let before = contents(&mut volume);
        let summary = run(&mut volume, &options);
        prop_assert_eq!(contents(&mut volume), before);
        prop_assert_eq!(volume.machine().fs().fsck(), []);
        let done: i64 = summary.rounds.iter().map(|round| round.done.net_bytes()).sum();
        let freed = summary.used_before.cast_signed() - summary.used_after.cast_signed();
        prop_assert_eq!(freed, done);
    }
}
