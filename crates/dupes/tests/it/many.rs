//! Many copies of one file: as many in a call as it takes, and a refusal that never ends is asked
//! about twice.

use data::Content;
use dupes::{Options, Rewrite, Why};
use fs_state::BLOCK;
use model::{Machine, ModelVolume};
use rules::Profile;
use uapi::Errno;
use volume::NR_TARGETS_MAX;

use crate::check::{contents, run};
use crate::faulty::{Fault, Faulty};

const NR_COPIES: u64 = 300;

/// Returns a volume with copies of one block.
fn copies() -> ModelVolume {
    let mut machine = Machine::new(Profile::latest().expect("a profile"));
    let fs = machine.fs_mut();
    for copy_nr in 0..NR_COPIES {
        let name = format!("copy-{copy_nr}");
        let id = fs.create_file(&name, false).expect("a new name");
        fs.write(id, 0, &Content::pattern(1, 0, BLOCK))
            .expect("room");
    }
    fs.sync();
    ModelVolume::new(machine)
}

#[test]
fn a_call_has_as_many_targets_as_it_takes() {
    assert_eq!(NR_TARGETS_MAX, 127);
    let mut volume = copies();
    let before = contents(&mut volume);
    let options = Options {
        rewrite: Rewrite::Never,
        ..Options::default()
    };
    let summary = run(&mut volume, &options);
    assert_eq!(summary.rounds[0].done.failures, []);
    assert_eq!(summary.rounds[0].done.nr_requests, 3);
    assert_eq!(summary.used_after, BLOCK);
    assert_eq!(contents(&mut volume), before);
}

#[test]
fn what_is_refused_for_ever_is_asked_twice_and_told() {
    let options = Options {
        rewrite: Rewrite::Never,
        ..Options::default()
    };
    for (errno, nr_calls) in [(Errno::EAGAIN, 2), (Errno::EINTR, 2), (Errno::EIO, 1)] {
        let faults = (0..100).map(|at| Fault::Dedupe(at, errno)).collect();
        let mut volume = Faulty::new(copies(), faults);
        let summary = run(&mut volume, &options);
        assert_eq!(volume.nr_dedupes, 3 * nr_calls, "{errno:?}");
        let whys = summary.rounds[0].done.failures.iter();
        let whys: Vec<&Why> = whys.map(|failure| &failure.why).collect();
        assert_eq!(whys, [&Why::Refused(errno); 3]);
        assert_eq!(summary.rounds[0].done.freed_bytes, 0);
        assert_eq!(summary.used_after, summary.used_before);
    }
}

#[test]
fn where_there_is_no_room_one_commit_is_tried_and_then_none() {
    let options = Options {
        rewrite: Rewrite::Never,
        ..Options::default()
    };
    for (nr_faults, nr_calls, nr_failures) in [(1, 4, 0), (100, 4, 3)] {
        let faults = (0..nr_faults).map(|at| Fault::Dedupe(at, Errno::ENOSPC));
        let mut volume = Faulty::new(copies(), faults.collect());
        let summary = run(&mut volume, &options);
        assert_eq!(volume.nr_dedupes, nr_calls);
        assert_eq!(summary.rounds[0].done.failures.len(), nr_failures);
    }
}

#[test]
fn a_kernel_that_says_more_than_it_does_is_not_believed() {
    let options = Options {
        rewrite: Rewrite::Never,
        ..Options::default()
    };
    let faults = (0..100).map(Fault::Overstated).collect();
    let mut volume = Faulty::new(copies(), faults);
    let summary = run(&mut volume, &options);
    assert_eq!(volume.nr_dedupes, 6);
    let done = &summary.rounds[0].done;
    assert_eq!(done.failures.len() as u64, NR_COPIES - 1);
    assert!(
        done.failures
            .iter()
            .all(|failure| failure.why == Why::NotShared)
    );
    assert_eq!((done.freed_bytes, done.moved_bytes), (0, 0));
}
