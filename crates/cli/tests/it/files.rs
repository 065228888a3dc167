//! `xsame run`, `xsame fmt` and `xsame explain`.

use std::fs;

use tempfile::tempdir;

use crate::program::xsame;

#[test]
fn a_scenario_prints_each_operation_with_its_result() {
    let folder = tempdir().expect("a folder");
    let text = "file A\npwrite A 0 8k 0x61\ndedupe A 0 4k => A 4k\n  = A same 4k\n";
    fs::write(folder.path().join("a.scn"), text).expect("a file");
    let ended = xsame(folder.path(), "run a.scn");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("\ndedupe A 0 4k => A 4k\n  = A same 4k"),
        "{ended:?}"
    );
}

#[test]
fn an_expectation_that_is_not_met_is_shown_and_is_exit_code_1() {
    let folder = tempdir().expect("a folder");
    let text = "file A\npwrite A 0 8k 0x61\ndedupe A 0 4k => A 4k\n  = A EPERM\n";
    fs::write(folder.path().join("a.scn"), text).expect("a file");
    for backend in ["model", "reference"] {
        let ended = xsame(folder.path(), &format!("run a.scn --backend {backend}"));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stdout.contains("# not as expected:\n#   = A EPERM\n"),
            "{ended:?}"
        );
    }
}

#[test]
fn what_is_no_scenario_is_told_with_line_and_column() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("a.scn"), "file A\nfrob A\n").expect("a file");
    for subcommand in ["run", "fmt"] {
        let ended = xsame(folder.path(), &format!("{subcommand} a.scn"));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("a.scn"), "{ended:?}");
        assert!(ended.stderr.contains('2'), "{ended:?}");
        assert!(ended.stderr.contains("frob"), "{ended:?}");
    }
    let ended = xsame(folder.path(), "run missing.scn");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("missing.scn"), "{ended:?}");
}

#[test]
fn formatting_is_canonical_and_check_changes_nothing() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("a.scn");
    fs::write(&path, "mkfs\nfile   A\npwrite A 0 4096 0x61\n").expect("a file");
    let ended = xsame(folder.path(), "fmt --check a.scn");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "not canonical: a.scn\n");
    assert_eq!(xsame(folder.path(), "fmt a.scn").code, Some(0));
    let text = fs::read_to_string(&path).expect("the file");
    assert_eq!(
        text,
        "mkfs size=64g sectorsize=4k\nfile A\npwrite A 0 4k 0x61\n"
    );
    assert_eq!(xsame(folder.path(), "fmt --check a.scn").code, Some(0));
}

#[test]
fn rules_and_mutants_are_explained() {
    let folder = tempdir().expect("a folder");
    let ended = xsame(folder.path(), "explain overlap");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("EINVAL"), "{ended:?}");
    assert!(ended.stdout.contains("decided in: fs/"), "{ended:?}");
    let ended = xsame(folder.path(), "explain no-such-rule");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("no-such-rule"), "{ended:?}");
    let listed = xsame(folder.path(), "explain").stdout;
    assert!(
        listed.contains("overlap: ") && listed.contains("canary (mutant): "),
        "{listed}"
    );
    insta::assert_snapshot!("all_rules_and_mutants", listed);
}

#[test]
fn a_folder_whose_trees_cannot_be_told_is_refused() {
    let folder = tempdir().expect("a folder");
    let ended = xsame(folder.path(), "tree /proc/self");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("not the top of a subvolume"),
        "{ended:?}"
    );
    let ended = xsame(folder.path(), "tree /proc/self --backend mount");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("leave --backend"), "{ended:?}");
}
