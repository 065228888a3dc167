//! The shortest run that is worth it, and what is there twice in one file only.

use data::Content;
use dupes::{InMemory, Options, Rewrite, Summary, Unwatched};
use fs_state::BLOCK;
use model::{Machine, ModelVolume};
use random_trees::block;
use rules::Profile;

/// Returns the volume of files with these blocks, each file one extent.
fn volume(files: &[&[u8]]) -> ModelVolume {
    let mut machine = Machine::new(Profile::latest().expect("a profile"));
    let fs = machine.fs_mut();
    for (blocks, number) in files.iter().zip(0..) {
        let id = fs.create_file(&format!("file-{number}"), false);
        let mut content = Content::new();
        blocks.iter().for_each(|seed| content.append(block(*seed)));
        fs.write(id.expect("a new name"), 0, &content)
            .expect("room");
    }
    fs.sync();
    ModelVolume::new(machine)
}

fn run(files: &[&[u8]], options: &Options) -> Summary {
    let mut volume = volume(files);
    let summary = dupes::run(&mut volume, options, &mut InMemory, &mut Unwatched);
    let summary = summary.expect("the run begins");
    assert_eq!(volume.machine().fs().fsck(), []);
    summary
}

/// Checks how many blocks are freed, with everything rewritten that is not a run of so many.
#[track_caller]
fn check(files: &[&[u8]], nr_blocks: u64, freed_blocks: u64) {
    let options = Options {
        run_bytes_min: nr_blocks * BLOCK,
        rewrite: Rewrite::Max,
        ..Options::default()
    };
    let summary = run(files, &options);
    let freed = summary.used_before - summary.used_after;
    assert_eq!(
        freed / BLOCK,
        freed_blocks,
        "{nr_blocks}: {:?}",
        summary.rounds
    );
    assert_eq!(
        summary.rounds[0].prediction.net_bytes(),
        freed.cast_signed()
    );
}

#[test]
fn runs_that_are_shorter_than_asked_for_stay() {
    // A run of four, one of two, one of one.
    let files: [&[u8]; 2] = [
        &[1, 2, 3, 4, 50, 6, 7, 51, 9],
        &[60, 1, 2, 3, 4, 61, 6, 7, 62, 9, 63],
    ];
    check(&files, 0, 7);
    check(&files, 1, 7);
    check(&files, 2, 6);
    check(&files, 3, 4);
    check(&files, 4, 4);
    check(&files, 5, 0);
}

#[test]
fn a_run_may_go_from_extent_to_extent_and_lie_in_one_file() {
    check(&[&[1, 2, 3, 9, 1, 2, 3, 8]], 3, 3);
    check(&[&[1, 2, 3, 9, 1, 2, 3, 8]], 4, 0);
    let mut volume = volume(&[&[1, 2], &[1, 2, 3, 4]]);
    let fs = volume.machine_mut().fs_mut();
    let id = fs.lookup("file-0").expect("a file");
    let mut rest = Content::new();
    [3, 4].iter().for_each(|seed| rest.append(block(*seed)));
    fs.write(id, 2 * BLOCK, &rest).expect("room");
    fs.sync();
    let options = Options {
        run_bytes_min: 4 * BLOCK,
        ..Options::default()
    };
    let summary = dupes::run(&mut volume, &options, &mut InMemory, &mut Unwatched);
    let summary = summary.expect("the run begins");
    assert_eq!(summary.used_before - summary.used_after, 4 * BLOCK);
}

#[test]
fn what_is_twice_in_one_file_only_stays_if_that_does_not_count() {
    let files: [&[u8]; 2] = [&[1, 2, 3, 1, 2, 3, 5], &[5, 6, 7, 8]];
    let options = |is_within_files| Options {
        is_within_files,
        rewrite: Rewrite::Max,
        ..Options::default()
    };
    let freed = |options| {
        let summary = run(&files, &options);
        (summary.used_before - summary.used_after) / BLOCK
    };
    assert_eq!(freed(options(true)), 4);
    assert_eq!(freed(options(false)), 1);
}
