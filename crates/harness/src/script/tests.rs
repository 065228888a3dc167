//! What scripts look like. With `sh` here, that they are shell at all.

use std::io::Write;
use std::process::{Command, Stdio};

use scenario::text::Scenario;

use super::{Account, render};

fn script(text: &str) -> String {
    let scenario = Scenario::parse(text).expect("a scenario");
    let account = Account {
        origin: "xsame diff --seed 7: divergence at step 12",
        conclusion: "expected (model):\n  = B same 4k\nobserved (kernel):\n  = B differs",
    };
    render(&scenario, account)
}

/// Asks the shell whether it can parse the script.
#[track_caller]
fn check_syntax(script: &str) {
    let mut shell = Command::new("sh")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .expect("every system has sh");
    let mut stdin = shell.stdin.take().expect("it is a pipe");
    stdin.write_all(script.as_bytes()).expect("sh reads");
    drop(stdin);
    assert!(shell.wait().expect("sh ends").success(), "{script}");
}

#[test]
fn a_plain_scenario_is_xfs_io_calls() {
    let script = script(
        "file A\nfile B nocow\npwrite A 0 4k 0x61\npwrite B 0 8k 0x61 + 4k zero\nfalloc A 0 8k \
         keep-size\nfpunch A 4k 4k\ntruncate A 5000\nflush A\nfiemap A\nfzero A 0 \
         4k keep-size\ndwrite A 0 8k 0x62\nmwrite A 100 50 0x63\nmwrite A 0 8 seed=1@0\nfsync B\nsync\nremount ro\nremount rw\ndedupe A 0 4k => B 0 \
         B 4k\nclone A:ro 0 4k => B 8k\nobserve A\n",
    );
    check_syntax(&script);
    insta::assert_snapshot!(script);
}

#[test]
fn what_xfs_io_cannot_say_goes_through_python() {
    let script = script(
        "file A\nsubvol S\nsnapshot S T ro\npwrite A 0 8k seed=3@0\npwrite A 0 3 hex=010203\n\
         dedupe A 0 4k => A:high 4k %closed 0 count=9 reserved1=1 as=user memory=readonly-after:1\n",
    );
    check_syntax(&script);
    assert!(script.contains(
        "try python3 \"$work/raw.py\" dedupe A 0 4096 9 1 0 user readonly-after:1 \\\n  A:high \
         4096 0 \\\n  %closed 0 0\n"
    ));
    assert!(script.contains("  python3 \"$work/pattern.py\" 3 0 8192\n"));
    assert!(script.contains("  printf '\\001\\002\\003'\n"));
    assert!(script.contains("try btrfs subvolume snapshot -r ./S ./T\n"));
}
