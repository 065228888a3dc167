//! The order in which locks are taken, watched over whole runs.
//!
//! Bug: clone and extent-same of 3.12 took the two inodes in opposite orders. Two tasks, one of
//! each, could wait for each other for ever. Fixed in 4.2 by one helper for both.

use model::{LockViolation, Sequential};
use rules::{LockClass, PROFILE_NAMES, Profile};
use scenario::{Backend, Scenario};

const DEDUPES: &str = "file A\nfile B\npwrite A 0 64k 0x61\npwrite B 0 64k 0x61\n\
                       dedupe A 0 8k => B 0 B 8k B 4097\ndedupe B 0 8k => A 16k A 0\n\
                       dedupe A 0 4k => A 32k A 0\n";
const CLONES: &str = "clone A 0 4k => B 0\nclone B 0 0 => A 8k\nclone A 0 4k => A 64k\n";

fn violations(profile: &str, text: &str) -> Vec<LockViolation> {
    let profile = Profile::by_name(profile).expect("folds");
    let mut model = Sequential::new(profile);
    for op in Scenario::parse(text).expect("a scenario").ops() {
        model.apply(op).expect("asked");
    }
    model.machine().locks().violations().to_vec()
}

#[test]
fn dedupes_alone_never_take_locks_in_two_orders() {
    for profile in PROFILE_NAMES {
        assert_eq!(violations(profile, DEDUPES), [], "{profile}");
    }
}

#[test]
fn living_kernels_never_take_locks_in_two_orders() {
    for profile in ["linux-6.1", "linux-6.18"] {
        assert_eq!(
            violations(profile, &format!("{DEDUPES}{CLONES}")),
            [],
            "{profile}"
        );
    }
}

#[test]
fn clone_and_dedupe_of_2013_could_deadlock() {
    for profile in ["v4", "linux-3.13"] {
        let violations = violations(profile, &format!("{DEDUPES}{CLONES}"));
        let inodes = LockViolation::AddressOrder {
            class: LockClass::Inode,
        };
        assert!(violations.contains(&inodes), "{profile}: {violations:?}");
    }
}
