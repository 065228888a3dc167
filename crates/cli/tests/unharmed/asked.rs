//! Ctrl-C and `SIGTERM` while a run changes something: it stops, tells what was done, to the byte,
//! and leaves nothing behind.

use std::process::Child;
use std::time::Duration;

use backend_kernel::ground;
use rustix::process::{Signal, kill_process};

use crate::Test;
use crate::killed::{pid_of, undisturbed, wait_for_temporary};
use crate::running::{dupes, json_of, number, setting, start, stderr};
use crate::tree::{Numbers, check_contents, contents, make, used_bytes};

pub(crate) const TESTS: &[Test] = &[
    (
        "asked_to_end_a_run_tells_to_the_byte_what_it_did",
        asked_to_end,
        &[],
    ),
    (
        "out_of_time_or_over_its_limit_a_run_tells_to_the_byte_what_it_did",
        limited,
        &[],
    ),
];

fn asked_to_end() {
    let nr_stops = setting("XSAME_STOPS", 4);
    let mut numbers = Numbers(setting("XSAME_SEED", 1));
    let expected = undisturbed("--scan=csum");
    let (mut nr_partly, mut nr_nothing, mut nr_whole) = (0, 0, 0);
    for stop_nr in 0..nr_stops {
        let (signal, number_of_signal) = match stop_nr % 2 {
            0 => (Signal::INT, 2),
            _ => (Signal::TERM, 15),
        };
        let what = format!("stop {stop_nr}, {signal:?}");
        let result = ground::on_checked_loopback(|top| {
            let folder = top.join("folder");
            make(&folder);
            let before = contents(&folder);
            let used_before = used_bytes(&folder);
            let mut child = start("-rD --json --rewrite=max", &folder);
            wait_for_temporary(&mut child);
            let pause = numbers.below(expected.time.as_nanos() as u64 / 2);
            std::thread::sleep(Duration::from_nanos(pause));
            ask(&mut child, signal);
            let output = child.wait_with_output().expect("it ends");
            let used = used_bytes(&folder);
            match output.status.code() {
                // It was through.
                Some(0) => {
                    nr_whole += 1;
                    assert_eq!(used, expected.used_after, "{what}");
                }
                // Nothing was changed yet, and nothing is told.
                Some(code) if output.stdout.is_empty() => {
                    nr_nothing += 1;
                    assert_eq!(code, 128 + number_of_signal, "{what}: {output:?}");
                    assert_eq!(used, used_before, "{what}");
                }
                code => {
                    nr_partly += 1;
                    assert_eq!(code, Some(128 + number_of_signal), "{what}: {output:?}");
                    let said = json_of(&output);
                    let freed = number(&said, "done", "freed_bytes");
                    let written = number(&said, "done", "written_bytes");
                    assert_eq!(used_before + written - freed, used, "{what}: {said}");
                    assert_eq!(number(&said, "done", "used_bytes_after"), used, "{said}");
                    assert_eq!(said["done"]["is_complete"], false, "{said}");
                }
            }
            check_contents(&folder, &before, &what);
            let again = dupes("-rDq --rewrite=max", &folder);
            assert_eq!(again.status.code(), Some(0), "{what}: {}", stderr(&again));
            assert_eq!(used_bytes(&folder), expected.used_after, "{what}");
            check_contents(&folder, &before, &what);
        });
        let ((), verified) = result.expect("a loopback btrfs");
        assert!(verified.complaints.is_empty(), "{what}: {verified:?}");
    }
    println!("{nr_stops} stops: {nr_nothing} early, {nr_partly} partly done, {nr_whole} late");
}

fn ask(child: &mut Child, signal: Signal) {
    let _ = kill_process(pid_of(child), signal);
}

fn limited() {
    for limit in ["--limit=300k", "--time=0s"] {
        let result = ground::on_loopback(|top| {
            let folder = top.join("folder");
            make(&folder);
            let before = contents(&folder);
            let used_before = used_bytes(&folder);
            let output = dupes(&format!("-rD --json --rewrite=max {limit}"), &folder);
            check_contents(&folder, &before, limit);
            let used = used_bytes(&folder);
            if limit.starts_with("--time") {
                assert_eq!(output.status.code(), Some(1), "{output:?}");
                assert!(stderr(&output).contains("stopped on request"), "{output:?}");
                assert_eq!(used, used_before);
                return;
            }
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let said = json_of(&output);
            let freed = number(&said, "done", "freed_bytes");
            let written = number(&said, "done", "written_bytes");
            assert_eq!(used_before + written - freed, used, "{said}");
            assert!(
                number(&said, "done", "moved_bytes") < number(&said, "predicted", "moved_bytes")
            );
        });
        result.expect("a loopback btrfs");
    }
}
