//! What was found the last time is told again if nothing at all has changed, and only then.

use std::path::{Path, PathBuf};

use dupes::{Findings, InMemory, Options, Rewrite, ScanMode, Summary, Unwatched};
use fs_state::FsState;
use model::ModelVolume;
use tempfile::TempDir;
use volume::Volume;

use crate::chronicle::Chronicle;
use crate::histories::{machine, remembering};

/// The number of the program that asks.
pub(crate) const PROGRAM: u64 = 11;

fn look(volume: &mut dyn Volume, options: &Options) -> Findings {
    let found = dupes::look(volume, options, &mut InMemory, &mut Unwatched);
    found.expect("nothing fails")
}

/// Returns all that was found, whether it was remembered or not.
fn text(findings: &Findings) -> String {
    let mut findings = findings.clone();
    findings.is_remembered = false;
    findings.report.read_bytes = 0;
    format!("{findings:#?}")
}

/// Looks twice, and compares what is found with what a look without a hashfile finds.
pub(crate) fn check(chronicle: &Chronicle, path: &Path, options: &Options) {
    let options = Options {
        program: Some(PROGRAM),
        ..*options
    };
    let expected = text(&look(&mut chronicle.fork(), &options));
    let asked = || look(&mut *remembering(chronicle, path), &options);
    let first = asked();
    assert_eq!(
        text(&first),
        expected,
        "remembered: {}",
        first.is_remembered
    );
    let second = asked();
    assert!(second.is_remembered, "nothing has changed");
    assert_eq!(second.report.read_bytes, 0);
    assert_eq!(text(&second), expected);
}

/// A filesystem with some duplicates, and a hashfile about it.
struct Subject {
    _folder: TempDir,
    path: PathBuf,
    chronicle: Chronicle,
}

impl Subject {
    fn new() -> Subject {
        let folder = TempDir::new().expect("a folder");
        let mut machine = machine();
        for (name, seed) in [("a", 1), ("b", 1), ("c", 2), ("sub/d", 2), ("nocow", 3)] {
            write(machine.fs_mut(), name, seed);
        }
        Subject {
            path: folder.path().join("hashes"),
            _folder: folder,
            chronicle: Chronicle::new(ModelVolume::new(machine)),
        }
    }

    fn volume(&self) -> Box<dyn Volume> {
        remembering(&self.chronicle, &self.path)
    }

    fn look(&self, options: &Options) -> Findings {
        look(&mut *self.volume(), options)
    }

    fn run(&self) -> Summary {
        let summary = dupes::run(
            &mut *self.volume(),
            &options(),
            &mut InMemory,
            &mut Unwatched,
        );
        summary.expect("the run begins")
    }

    fn change(&self, work: impl FnOnce(&mut FsState)) {
        work(self.chronicle.0.borrow_mut().volume.machine_mut().fs_mut());
    }
}

fn write(fs: &mut FsState, name: &str, seed: u64) {
    let id = fs.lookup(name).expect("a file");
    let content = data::Content::pattern(seed, 0, 4 * 4096);
    fs.write(id, 0, &content).expect("room");
}

fn options() -> Options {
    Options {
        scan: ScanMode::Read,
        program: Some(PROGRAM),
        ..Options::default()
    }
}

#[test]
fn nothing_is_walked_or_read_for_what_was_found_the_last_time() {
    let subject = Subject::new();
    let first = subject.look(&options());
    assert!(!first.is_remembered && 0 < first.prediction.freed_bytes);
    let counted = || {
        let shared = subject.chronicle.0.borrow();
        (shared.nr_blocks_read, shared.nr_inodes_told)
    };
    let before = counted();
    let second = subject.look(&options());
    assert!(second.is_remembered);
    assert_eq!(text(&second), text(&first));
    assert_eq!(counted(), before);
    assert_eq!(second.report.read_bytes, 0, "of this run");
}

#[test]
fn a_change_anywhere_is_one_after_which_nothing_is_remembered() {
    type Change = fn(&mut FsState);
    let changes: [(&str, Change); 7] = [
        ("a file gets other bytes", |fs| write(fs, "c", 5)),
        ("it gets the same ones again", |fs| write(fs, "c", 5)),
        ("a file is overwritten in place", |fs| write(fs, "nocow", 1)),
        ("a file goes", |fs| {
            fs.unlink("b").expect("a file");
        }),
        ("a snapshot refers to everything", |fs| {
            fs.snapshot("sub", "snapshot-0", true).expect("a subvolume");
        }),
        ("that snapshot goes", |fs| {
            fs.delete_subvol("snapshot-0").expect("a subvolume");
        }),
        ("a file out of scope gets bytes", |fs| write(fs, "a", 7)),
    ];
    let subject = Subject::new();
    {
        let mut shared = subject.chronicle.0.borrow_mut();
        let files = shared.volume.files();
        let fs = shared.volume.machine_mut().fs_mut();
        let out_of_scope = fs.lookup("a").expect("a file");
        let of_it = files.iter().find(|(_, id)| **id == out_of_scope);
        shared.excluded = of_it.map(|(file, _)| file.inode).into_iter().collect();
    }
    check(&subject.chronicle, &subject.path, &options());
    for (says, change) in changes {
        assert!(subject.look(&options()).is_remembered, "before {says}");
        subject.change(change);
        assert!(!subject.look(&options()).is_remembered, "{says}");
        check(&subject.chronicle, &subject.path, &options());
    }
    subject.chronicle.0.borrow_mut().balance(1);
    assert!(!subject.look(&options()).is_remembered, "an extent moves");
}

#[test]
fn each_question_has_an_answer_of_its_own() {
    let subject = Subject::new();
    let others = [
        Options {
            scan: ScanMode::Checksums,
            ..options()
        },
        Options {
            rewrite: Rewrite::Never,
            ..options()
        },
        Options {
            nr_references_max: 1,
            ..options()
        },
        Options {
            run_bytes_min: 1 << 20,
            ..options()
        },
        Options {
            is_within_files: false,
            ..options()
        },
        Options {
            lists_all: true,
            ..options()
        },
        Options {
            program: Some(PROGRAM + 1),
            ..options()
        },
    ];
    let first = text(&subject.look(&options()));
    for other in &others {
        assert!(!subject.look(other).is_remembered, "{other:?}");
        check(&subject.chronicle, &subject.path, other);
        check(&subject.chronicle, &subject.path, &options());
    }
    let memory = Options {
        sort_bytes_max: 1 << 20,
        plan_bytes_max: 1 << 30,
        ..options()
    };
    let found = subject.look(&memory);
    assert!(found.is_remembered, "how it is found makes no difference");
    assert_eq!(text(&found), first);
    for min_bytes in [1 << 20, 0] {
        subject.chronicle.0.borrow_mut().min_bytes = min_bytes;
        check(&subject.chronicle, &subject.path, &options());
    }
    let nobody = Options {
        program: None,
        ..options()
    };
    assert!(!subject.look(&nobody).is_remembered);
}

#[test]
fn what_somebody_changes_during_a_run_is_in_no_answer() {
    let subject = Subject::new();
    let mut volume = subject.volume();
    let question = [1, 2, 3];
    assert_eq!(volume.recall_answer(&question), Ok(None));
    subject.change(|fs| write(fs, "a", 9));
    let answer = || [4, 5, 1 << 40].into_iter();
    assert_eq!(volume.learn_answer(&question, &mut answer()), Ok(()));
    assert_eq!(volume.recall_answer(&question), Ok(None));
    assert_eq!(volume.learn_answer(&question, &mut answer()), Ok(()));
    assert_eq!(
        volume.recall_answer(&question),
        Ok(Some(answer().collect()))
    );
    // One that is too long is not remembered.
    let mut long = std::iter::repeat_n(1, 1 << 25);
    assert_eq!(volume.learn_answer(&[1], &mut long), Ok(()));
    assert_eq!(volume.recall_answer(&[1]), Ok(None));
    // Few are, and it is the last one that is.
    for number in 0..20 {
        let answer = volume.learn_answer(&[number], &mut answer());
        assert_eq!(answer, Ok(()));
        let recalled = volume.recall_answer(&[number]);
        assert!(recalled.is_ok_and(|it| it.is_some()));
    }
    let mut nr_recalled = 0;
    for number in 0..20 {
        let recalled = volume.recall_answer(&[number]).expect("nothing fails");
        nr_recalled += u32::from(recalled.is_some());
    }
    assert!((1..=8).contains(&nr_recalled), "{nr_recalled}");
}

#[test]
fn a_run_that_dedupes_looks_anew_until_there_is_nothing_to_be_done() {
    let subject = Subject::new();
    let told = subject.look(&options());
    let first = subject.run();
    assert!(!first.is_remembered, "there is something to be done");
    assert_eq!(first.rounds[0].prediction, told.prediction);
    assert!(first.used_after < first.used_before);
    let second = subject.run();
    assert!(!second.is_remembered && second.rounds[0].prediction.nr_requests == 0);
    let third = subject.run();
    assert!(third.is_remembered);
    let round = |summary: &Summary| {
        let round = &summary.rounds[0];
        let told = (&round.prediction, &round.changes, &round.stays, &round.done);
        format!("{told:?} {} {}", summary.used_before, summary.used_after)
    };
    assert_eq!(round(&third), round(&second));
    assert!(subject.look(&options()).is_remembered, "to a look, too");
    subject.change(|fs| write(fs, "c", 1));
    assert!(!subject.run().is_remembered);
}
