//! `kill -9` at any moment of a run: no byte of a file changes, nothing is left behind, and another
//! run reaches what an undisturbed one reaches.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use backend_kernel::ground;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::tempdir;

use crate::Test;
use crate::running::{dupes, setting, start, stderr};
use crate::tree::{Numbers, check_contents, contents, make, used_bytes};

pub(crate) const TESTS: &[Test] = &[(
    "killed_at_any_moment_a_run_changes_no_byte_and_another_one_finishes",
    killed,
    &[],
)];

/// How data is told apart, in turn; a hashfile lies on another filesystem.
const SCANS: [&str; 4] = [
    "--scan=csum",
    "--scan=read",
    "--scan=csum --hashfile=HASHFILE",
    "--scan=read --hashfile=HASHFILE",
];
/// How long a run may take before it is taken for hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an undisturbed run comes to.
pub(crate) struct Undisturbed {
    pub(crate) used_before: u64,
    pub(crate) used_after: u64,
    pub(crate) time: Duration,
}

/// Where in a run a moment was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    BeforeAnyChange,
    WithATemporary,
    AmongChanges,
    AfterAllChanges,
}

fn killed() {
    let nr_kills = setting("XSAME_KILLS", 5);
    let seed = setting("XSAME_SEED", 1);
    println!("seed {seed}");
    let mut numbers = Numbers(seed);
    let undisturbed = SCANS.map(undisturbed);
    let mut moments: BTreeMap<Moment, u64> = BTreeMap::new();
    for kill_nr in 0..nr_kills {
        let scan_idx = (kill_nr % 4) as usize;
        let (scan, expected) = (SCANS[scan_idx], &undisturbed[scan_idx]);
        let what = format!("kill {kill_nr}, {scan}");
        let (moment, verified) = ground::on_checked_loopback(|top| {
            let elsewhere = tempdir().expect("a folder");
            let arguments = arguments(scan, elsewhere.path());
            let folder = top.join("folder");
            make(&folder);
            let before = contents(&folder);
            let mut child = start(&arguments, &folder);
            // Every third waits for a temporary file; the others are spread over all the time.
            let part = match kill_nr % 3 {
                2 => {
                    wait_for_temporary(&mut child);
                    expected.time.as_nanos() as u64 / 4
                }
                _ => expected.time.as_nanos() as u64 / nr_kills.max(1),
            };
            let earlier = if kill_nr % 3 == 2 { 0 } else { part * kill_nr };
            std::thread::sleep(Duration::from_nanos(earlier + numbers.below(part)));
            let has_temporary = freeze_and_look(&mut child);
            kill(&mut child);
            let used = used_bytes(&folder);
            check_contents(&folder, &before, &what);
            let again = dupes(&arguments, &folder);
            assert_eq!(again.status.code(), Some(0), "{what}: {}", stderr(&again));
            assert_eq!(used_bytes(&folder), expected.used_after, "{what}: used");
            check_contents(&folder, &before, &what);
            match used {
                _ if has_temporary => Moment::WithATemporary,
                used if used == expected.used_before => Moment::BeforeAnyChange,
                used if used == expected.used_after => Moment::AfterAllChanges,
                _ => Moment::AmongChanges,
            }
        })
        .expect("a loopback btrfs");
        assert!(verified.complaints.is_empty(), "{what}: {verified:?}");
        *moments.entry(moment).or_default() += 1;
    }
    println!("{nr_kills} kills: {moments:?}");
}

/// Returns the arguments of a run.
fn arguments(scan: &str, elsewhere: &Path) -> String {
    let hashfile = elsewhere.join("hashfile").display().to_string();
    format!("-rDq --rewrite=max {}", scan.replace("HASHFILE", &hashfile))
}

/// Runs the tool on a tree of its own.
pub(crate) fn undisturbed(scan: &str) -> Undisturbed {
    let (undisturbed, verified) = ground::on_checked_loopback(|top| {
        let folder = top.join("folder");
        make(&folder);
        let before = contents(&folder);
        let used_before = used_bytes(&folder);
        let elsewhere = tempdir().expect("a folder");
        let begin = Instant::now();
        let output = dupes(&arguments(scan, elsewhere.path()), &folder);
        let time = begin.elapsed();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        check_contents(&folder, &before, "undisturbed");
        let used_after = used_bytes(&folder);
        assert!(used_after < used_before, "there is something to free");
        Undisturbed {
            used_before,
            used_after,
            time,
        }
    })
    .expect("a loopback btrfs");
    assert!(verified.complaints.is_empty(), "{verified:?}");
    undisturbed
}

/// Waits until the process has a temporary file open, or is done.
pub(crate) fn wait_for_temporary(child: &mut Child) {
    let begin = Instant::now();
    while !has_temporary(child) && matches!(child.try_wait(), Ok(None)) {
        assert!(begin.elapsed() < PATIENCE, "it hangs");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Stops the process where it is; returns whether it has a temporary file open.
fn freeze_and_look(child: &mut Child) -> bool {
    let _ = kill_process(pid_of(child), Signal::STOP);
    has_temporary(child)
}

fn kill(child: &mut Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

/// Returns the number of a process as the system takes it.
pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Returns whether a process has a file without a name open.
fn has_temporary(child: &Child) -> bool {
    let folder = format!("/proc/{}/fd", child.id());
    let Ok(entries) = fs::read_dir(Path::new(&folder)) else {
        return false;
    };
    let is_temporary = |target: &Path| target.to_string_lossy().ends_with("(deleted)");
    entries
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| is_temporary(&target)))
}
