//! `xsame diff`.

use std::fs;

use tempfile::tempdir;

use crate::program::{check_refused, xsame};

#[test]
fn model_and_reference_agree_and_the_last_line_says_so() {
    let folder = tempdir().expect("a folder");
    let ended = xsame(
        folder.path(),
        "diff --backend reference --seed 1 --steps 1500",
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = ended.last_line();
    assert!(
        line.starts_with("steps=1500 divergences=0 overhead="),
        "{line}"
    );
    assert!(line.ends_with(" seed=1"), "{line}");
}

#[test]
fn what_is_compressed_reads_as_it_was_written() {
    let folder = tempdir().expect("a folder");
    let arguments = "diff --backend reference --compress zstd --seed 1 --steps 1000";
    let ended = xsame(folder.path(), arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn one_seed_gives_one_run() {
    let folder = tempdir().expect("a folder");
    let counts = |ended: &crate::program::Ended| {
        let lines = ended.stdout.lines();
        lines
            .filter(|line| line.contains("dedupes:"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let arguments = "diff --backend reference --seed 77 --steps 600";
    let (one, two) = (
        xsame(folder.path(), arguments),
        xsame(folder.path(), arguments),
    );
    assert_eq!(counts(&one).len(), 1, "{one:?}");
    assert_eq!(counts(&one), counts(&two));
}

#[test]
fn a_mutant_is_found_shrunk_and_written() {
    let folder = tempdir().expect("a folder");
    let arguments = "diff --backend model --mutant immutable-einval --seed 1";
    let ended = xsame(folder.path(), arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .last_line()
            .contains(" divergences=1 overhead=none seed=1"),
        "{ended:?}"
    );
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let [scenario, script, whole] = files.as_slice() else {
        panic!("{files:?}");
    };
    let whole = fs::read_to_string(whole).expect("all operations");
    let text = fs::read_to_string(scenario).expect("a scenario");
    let nr_ops = text
        .lines()
        .filter(|line| !line.starts_with([' ', '#']) && !line.starts_with("mkfs"))
        .filter(|line| !["file", "flush", "sync"].contains(&line.split(' ').next().unwrap_or("")))
        .count();
    assert!(nr_ops <= 6, "{text}");
    assert!(text.lines().count() < whole.lines().count(), "{whole}");
    let script = fs::read_to_string(script).expect("a script");
    assert!(script.starts_with("#!/bin/sh\n"), "{script}");
    // The model without the mutant does not answer what the file expects.
    let name = scenario
        .file_name()
        .expect("it has a name")
        .to_string_lossy()
        .into_owned();
    assert_eq!(xsame(folder.path(), &format!("run {name}")).code, Some(1));
    assert_eq!(
        xsame(folder.path(), &format!("fmt --check {name}")).code,
        Some(0)
    );
}

#[test]
fn json_stands_before_the_last_line() {
    let folder = tempdir().expect("a folder");
    let ended = xsame(
        folder.path(),
        "diff --backend reference --seed 1 --steps 50 --json",
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let [object, last] = lines.as_slice() else {
        panic!("{ended:?}");
    };
    assert!(last.starts_with("steps=50 "), "{last}");
    let object: serde_json::Value = serde_json::from_str(object).expect("JSON");
    assert_eq!(object["steps"], 50);
    assert_eq!(object["divergences"], 0);
    assert_eq!(object["divergence"], serde_json::Value::Null);
}

#[test]
fn a_witness_that_cannot_tell_what_dedupes_did_is_not_held_to_shares() {
    let folder = tempdir().expect("a folder");
    let arguments = "diff --backend reference --against reference --seed 1 --steps 1200";
    assert_eq!(xsame(folder.path(), arguments).code, Some(0));
}

#[test]
fn what_is_not_there_is_named_with_a_remedy() {
    let folder = tempdir().expect("a folder");
    let check = |arguments: &str, parts: &[&str]| check_refused(folder.path(), arguments, parts);
    check(
        "diff --backend uml=/nowhere/linux",
        &["/nowhere/linux", "user-mode-linux"],
    );
    check(
        "diff --backend uml=/bin/true",
        &["/bin/true", "User Mode Linux", "uml=VERSION"],
    );
    check("diff --backend mount=/nowhere", &["/nowhere", "btrfs"]);
    check("diff --backend mount=/proc", &["/proc", "btrfs"]);
    check("diff --backend floppy", &["floppy", "reference"]);
    check(
        "diff --backend reference --profile linux-0.1",
        &["linux-0.1", "v4"],
    );
    check(
        "diff --backend reference --mutant nothing",
        &["nothing", "remedy"],
    );
    check("diff --backend reference --time 3y", &["3y", "90s"]);
    check("diff --backend reference --steps 0", &["--steps"]);
}

#[test]
fn bisecting_turns_2_into_125() {
    let folder = tempdir().expect("a folder");
    let code = |arguments: &str| xsame(folder.path(), arguments).code;
    assert_eq!(
        code("diff --backend uml=/nowhere/linux --bisect"),
        Some(125)
    );
    assert_eq!(code("diff --backend floppy --bisect"), Some(125));
    assert_eq!(
        code("diff --backend reference --steps 20 --bisect"),
        Some(0)
    );
    assert_eq!(
        code("diff --backend model --mutant canary --bisect"),
        Some(1)
    );
}
