//! How many references an extent gets: no more than the options say, and the prediction holds.

use std::collections::BTreeMap;

use dupes::{Options, Rewrite, ScanMode};
use fs_state::FileExtent;
use model::ModelVolume;
use proptest::prelude::*;
use random_trees::{FileOp, TreeOp, build, tree};

use crate::check::{contents, run};
use crate::properties::config;

/// Returns how many file extents refer to each extent, by address.
fn references(volume: &mut ModelVolume) -> BTreeMap<u64, usize> {
    let files = volume.files();
    let fs = volume.machine().fs();
    let mut numbers = BTreeMap::new();
    for id in files.into_values() {
        for (_, item) in fs.items(id) {
            if let FileExtent::Regular(slice) = item {
                let address = fs.extents().get(slice.extent).bytenr();
                *numbers.entry(address).or_default() += 1;
            }
        }
    }
    numbers
}

/// Runs the tool with such a bound and checks it; returns the used bytes afterwards.
#[track_caller]
fn check(volume: &mut ModelVolume, options: &Options) -> u64 {
    let before = references(volume);
    let contents_before = contents(volume);
    let summary = run(volume, options);
    let round = &summary.rounds[0];
    assert_eq!(round.done.failures, []);
    assert_eq!(contents(volume), contents_before);
    assert_eq!(volume.machine().fs().fsck(), []);
    let freed = summary.used_before.cast_signed() - summary.used_after.cast_signed();
    assert_eq!(freed, round.prediction.net_bytes());
    assert_eq!(round.done.freed_bytes, round.prediction.freed_bytes);
    for (address, number) in references(volume) {
        let had = before.get(&address).copied().unwrap_or(0);
        let nr_max = options.nr_references_max.max(had);
        assert!(
            number <= nr_max,
            "{number} references to {address}, it had {had}"
        );
    }
    summary.used_after
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_extent_gets_more_references_than_are_allowed(
        ops in tree(),
        nr_references_max in 1..6_usize,
        rewrite in prop_oneof![Just(Rewrite::Never), Just(Rewrite::Auto), Just(Rewrite::Max)],
        scan in prop_oneof![Just(ScanMode::Checksums), Just(ScanMode::Read)],
    ) {
        let options = Options { nr_references_max, rewrite, scan, ..Options::default() };
        check(&mut build(&ops), &options);
    }
}

#[test]
fn what_is_there_too_often_is_stored_once_for_each_so_many_references() {
    // Each file 14 times the same block, in extents of one block.
    let write = |file, at| FileOp::Write {
        file,
        at,
        blocks: vec![1],
        tail: 0,
    };
    let ops: Vec<TreeOp> = (0..14)
        .flat_map(|at| ["a", "b"].map(|file| [write(file, at), FileOp::Flush { file }]))
        .flatten()
        .map(TreeOp::File)
        .collect();
    for rewrite in [Rewrite::Never, Rewrite::Max] {
        for (nr_references_max, nr_stored) in [(28, 1), (14, 2), (10, 3), (4, 7), (1, 28)] {
            let options = Options {
                nr_references_max,
                rewrite,
                ..Options::default()
            };
            let used = check(&mut build(&ops), &options);
            assert_eq!(used, nr_stored * 4096, "{rewrite:?}, {nr_references_max}");
        }
    }
}

#[test]
fn a_preallocated_range_counts_as_a_reference() {
    // Two roots refer to the preallocated extent with a written and an unwritten item each.
    let write = |file, blocks| {
        TreeOp::File(FileOp::Write {
            file,
            at: 0,
            blocks,
            tail: 0,
        })
    };
    let ops = [
        TreeOp::File(FileOp::Allocate {
            file: "sub/d",
            at: 1,
            nr: 2,
        }),
        write("sub/d", vec![5, 6]),
        write("sub/c", vec![1, 2, 3, 4, 5, 6]),
        TreeOp::Snapshot { is_readonly: false },
    ];
    let options = Options {
        nr_references_max: 4,
        rewrite: Rewrite::Max,
        ..Options::default()
    };
    check(&mut build(&ops), &options);
}
