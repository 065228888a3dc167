//! One scenario for every rule of 5.0 and later: it fires, alone, and answers as it says.

use std::collections::BTreeSet;

use rules::{Profile, Reach, Stage};

use crate::{check, fired};

const PAIR: &str = "file A\nfile B\npwrite A 0 64k 0x61\npwrite B 0 64k 0x61\nsync\n";

/// Scenario and the only rule that fires in it.
const CASES: &[(&str, &str)] = &[
    (
        "source-fd",
        "dedupe %closed 0 4k => B 0\n  = EBADF [source-fd]\n  = B untouched",
    ),
    ("source-fd", "dedupe A:opath 0 4k =>\n  = EBADF [source-fd]"),
    (
        "request-fault",
        "dedupe A 0 4k => B 0 memory=pointer:8\n  = EFAULT [request-fault]",
    ),
    (
        "request-fault",
        "dedupe A 0 4k => B 0 B 0 memory=unmapped-after:1\n  = EFAULT [request-fault]\n  \
         = B untouched",
    ),
    (
        "request-over-a-page",
        "dedupe A 0 4k => B 0 x128\n  = ENOMEM [request-over-a-page]\n  = B untouched x128",
    ),
    (
        "source-not-readable",
        "dedupe A:wo 0 4k =>\n  = EINVAL [source-not-readable]",
    ),
    (
        "header-reserved",
        "dedupe A 0 4k => reserved1=1\n  = EINVAL [header-reserved]",
    ),
    (
        "header-reserved",
        "dedupe A 0 4k => reserved2=1\n  = EINVAL [header-reserved]",
    ),
    (
        "source-directory",
        "dir D\ndedupe D 0 4k =>\n  = EISDIR [source-directory]",
    ),
    (
        "source-irregular",
        "fifo F\ndedupe F 0 4k =>\n  = EINVAL [source-irregular]",
    ),
    (
        "source-irregular",
        "dedupe %null 0 4k =>\n  = EINVAL [source-irregular]",
    ),
    (
        "source-without-remap",
        "dedupe %tmpfs 0 4k =>\n  = EOPNOTSUPP [source-without-remap]",
    ),
    (
        "source-range-negative",
        "dedupe A 0x8000000000000000 0 =>\n  = EINVAL [source-range-negative]",
    ),
    (
        "source-past-eof",
        "dedupe A 60k 8k => B 0\n  = EINVAL [source-past-eof]\n  = B untouched",
    ),
    (
        "reply-fault",
        "dedupe A 0 4k => B 0 memory=readonly-after:0\n  = EFAULT [reply-fault]\n  = B untouched",
    ),
    (
        "target-fd",
        "dedupe A 0 4k => %minus-one 0\n  = %minus-one EBADF [target-fd]",
    ),
    (
        "target-fd",
        "dedupe A 0 4k => B:opath 0\n  = B:opath EBADF [target-fd]",
    ),
    (
        "element-reserved",
        "dedupe A 0 4k => B 0 reserved=1\n  = B EINVAL [element-reserved]",
    ),
    (
        "target-mount-readonly",
        "dedupe A 0 4k => B:ro,romount 0\n  = B:ro,romount EROFS [target-mount-readonly]",
    ),
    (
        "target-range-negative",
        "dedupe A 0 4k => B 0x8000000000000000\n  = B EINVAL [target-range-negative]",
    ),
    (
        "target-not-permitted",
        "dedupe A 0 4k => B:ro 0 as=user\n  = B:ro EPERM [target-not-permitted]",
    ),
    (
        "other-superblock",
        "dedupe A 0 4k => %pipe-read 0\n  = %pipe-read EXDEV [other-superblock]",
    ),
    (
        "target-directory",
        "dir D\ndedupe A 0 4k => D 0\n  = D EISDIR [target-directory]",
    ),
    (
        "target-without-remap",
        "fifo F\ndedupe A 0 4k => F 0\n  = F EINVAL [target-without-remap]",
    ),
    (
        "zero-length",
        "dedupe A 1 0 => B 7\n  = B same 0 [zero-length]",
    ),
    (
        "nodatasum-mismatch",
        "file N nocow\npwrite N 0 64k 0x61\ndedupe A 1 4k => N 0\n  \
         = N EINVAL [nodatasum-mismatch]",
    ),
    (
        "target-immutable",
        "chattr B +i\ndedupe A 1 4k => B 0\n  = B EPERM [target-immutable]",
    ),
    (
        "offset-unaligned",
        "dedupe A 0 4k => B 512\n  = B EINVAL [offset-unaligned]",
    ),
    (
        "target-past-eof",
        "dedupe A 0 4k => B 64k\n  = B EINVAL [target-past-eof]",
    ),
    ("overlap", "dedupe A 0 8k => A 4k\n  = A EINVAL [overlap]"),
    (
        "shortened-to-nothing",
        "dedupe A 0 100 => B 0\n  = B same 100 [shortened-to-nothing]",
    ),
    (
        "data-differs",
        "pwrite B 5 1 0x62\ndedupe A 0 8k => B 0\n  = B differs [data-differs]",
    ),
    (
        "clone-source-fd",
        "clone %closed 0 4k => B 0\n  = EBADF [clone-source-fd]",
    ),
    (
        "clone-other-superblock",
        "clone %tmpfs 0 4k => B 0\n  = EXDEV [clone-other-superblock]",
    ),
    (
        "clone-directory",
        "dir D\nclone D 0 4k => B 0\n  = EISDIR [clone-directory]",
    ),
    (
        "clone-irregular",
        "fifo F\nclone F 0 4k => B 0\n  = EINVAL [clone-irregular]",
    ),
    (
        "clone-access",
        "clone A 0 4k => B:ro 0\n  = EBADF [clone-access]",
    ),
    (
        "clone-access",
        "clone A 0 4k => B:append 0\n  = EBADF [clone-access]",
    ),
    (
        "clone-without-remap",
        "clone %tmpfs 0 4k => %tmpfs 0\n  = EOPNOTSUPP [clone-without-remap]",
    ),
    (
        "clone-source-negative",
        "clone A 0xffffffffffffffff 1 => B 0\n  = EINVAL [clone-source-negative]",
    ),
    (
        "clone-target-negative",
        "clone A 0 4k => B 0x7ffffffffffff000\n  = EINVAL [clone-target-negative]",
    ),
    (
        "clone-of-nothing",
        "clone A 64k 0 => B 1\n  = ok [clone-of-nothing]",
    ),
    (
        "clone-from-past-eof",
        "clone A 65k 0 => B 0\n  = EINVAL [clone-from-past-eof]",
    ),
    (
        "clone-source-past-eof",
        "clone A 0 65k => B 0\n  = EINVAL [clone-source-past-eof]",
    ),
    (
        "clone-over-limit",
        "clone A 0 0 => B 0x7ffffffffffff000\n  = EINVAL [clone-over-limit]",
    ),
    (
        "clone-length-unaligned",
        "clone A 0 5000 => B 0\n  = EINVAL [clone-length-unaligned]",
    ),
    (
        "clone-tail-into-middle",
        "truncate A 5000\nclone A 0 5000 => B 0\n  = EINVAL [clone-tail-into-middle]",
    ),
];

#[test]
fn every_rule_fires_where_its_scenario_says() {
    for profile in ["linux-6.1", "linux-6.18"] {
        for (rule, text) in CASES {
            let profile = Profile::by_name(profile).expect("folds");
            let rules = fired(profile, &format!("{PAIR}{text}\n"));
            assert_eq!(rules, BTreeSet::from([(*rule).to_owned()]), "{text}");
        }
    }
}

#[test]
fn every_rule_that_a_mount_can_show_has_a_scenario() {
    let profile = Profile::by_name("linux-6.18").expect("folds");
    let stages = [
        Stage::Entry,
        Stage::Count,
        Stage::Call,
        Stage::Pair,
        Stage::Unlocked,
        Stage::Locked,
        Stage::Range,
        Stage::Shortened,
        Stage::Remap,
        Stage::ClonePair,
        Stage::CloneLocked,
        Stage::CloneKind,
        Stage::CloneRange,
    ];
    let checked = stages
        .into_iter()
        .flat_map(|stage| profile.tables.rules(stage));
    for rule in checked.chain(rules::decided::DECIDED.iter().copied()) {
        let is_shown = CASES.iter().any(|(id, _)| *id == rule.id);
        assert!(
            is_shown || rule.reach != Reach::Mount,
            "{} has no scenario",
            rule.id
        );
    }
}

#[test]
fn a_negative_range_beats_a_read_only_mount_since_6_8() {
    let text = format!(
        "{PAIR}dedupe A 0 4k => B:ro,romount 0x8000000000000000\n  \
         =linux-6.1 B:ro,romount EROFS [target-mount-readonly]\n  \
         =linux-6.18 B:ro,romount EINVAL [target-range-negative]\n"
    );
    check("linux-6.1", &text);
    check("linux-6.18", &text);
}

#[test]
fn a_negative_clone_is_refused_after_everything_that_needs_no_range() {
    let text = format!(
        "{PAIR}clone %tmpfs 0x8000000000000000 4k => B 0\n  = EXDEV [clone-other-superblock]\n\
         clone A 0x8000000000000000 4k => B:ro 0\n  = EBADF [clone-access]\n\
         clone %tmpfs 0x8000000000000000 4k => %tmpfs 0\n  \
         = EOPNOTSUPP [clone-without-remap]\n"
    );
    check("linux-6.1", &text);
    check("linux-6.18", &text);
}
