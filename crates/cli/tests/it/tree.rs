//! `xsame tree` with a scenario: two witnesses side by side.

use std::fs;

use tempfile::tempdir;

use crate::program::{Ended, xsame};

/// The end of an extent is cloned to the begin of a file: its back reference has an offset below 0.
const SCENARIO: &str = "file A
pwrite A 0 16k seed=1@0
sync
file B
clone A 8k 8k => B 0
";

/// Runs the program on the scenario with these arguments behind it.
fn tree(arguments: &str) -> Ended {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("a.scn"), SCENARIO).expect("a scenario");
    xsame(folder.path(), &format!("tree a.scn {arguments}"))
}

/// Returns the lines that are marked as different.
fn marked(ended: &Ended) -> Vec<&str> {
    let lines = ended.stdout.lines();
    lines.filter(|line| line.starts_with('!')).collect()
}

#[test]
fn witnesses_that_agree_stand_beside_each_other_without_a_mark() {
    let ended = tree("--backend model");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(marked(&ended), [""; 0]);
    let mut lines = ended.stdout.lines();
    let head = lines.next().expect("a head");
    assert_eq!(head.matches("model linux-").count(), 2, "{head}");
    for line in lines {
        let (left, right) = line.split_once('|').expect("two sides");
        assert_eq!(left.trim(), right.trim());
    }
    assert!(ended.stderr.contains("0 of "), "{ended:?}");
}

#[test]
fn a_line_that_one_side_lacks_is_marked_and_the_exit_code_is_1() {
    let ended = tree("--backend model --mutant backref-underflow-offset");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let [line] = marked(&ended)[..] else {
        panic!("one line: {ended:?}");
    };
    let (left, right) = line.split_once('|').expect("two sides");
    assert_eq!(left.trim(), "!");
    assert!(right.trim().starts_with("ref "), "{line}");
}

#[test]
fn what_the_model_finds_wrong_with_itself_is_told_though_no_line_differs() {
    let ended = tree("--backend model --mutant split-not-counted");
    let untouched = (marked(&ended).len(), ended.code);
    assert_eq!(untouched, (0, Some(0)), "{ended:?}");
    let folder = tempdir().expect("a folder");
    let cut = format!("{SCENARIO}punch A 4k 4k\n").replace("punch", "fpunch");
    fs::write(folder.path().join("a.scn"), cut).expect("a scenario");
    let ended = xsame(
        folder.path(),
        "tree a.scn --backend model --mutant split-not-counted",
    );
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("fsck"), "{ended:?}");
}

#[test]
fn a_witness_without_trees_is_named_with_a_remedy() {
    let ended = tree("--backend reference");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for part in ["reference", "trees", "another backend"] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
}
