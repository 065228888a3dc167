//! The ioctl of 2013: as merged (3.13) and as posted (v4).

use rules::{Profile, Stage};

use crate::{check, fired};

const OLD: [&str; 2] = ["v4", "linux-3.13"];
const PAIR: &str = "file A\nfile B\npwrite A 0 256k seed=1@0\npwrite B 0 256k seed=1@0\nsync\n";

/// Scenario and the only rule that fires in it, on both profiles.
const CASES: &[(&str, &str)] = &[
    ("source-fd", "dedupe %closed 0 4k =>\n  = EBADF [source-fd]"),
    (
        "source-without-ioctl",
        "dedupe %tmpfs 0 4k => memory=pointer:8\n  = ENOTTY [source-without-ioctl]",
    ),
    (
        "source-without-ioctl",
        "dedupe %socket 0 4k =>\n  = ENOTTY [source-without-ioctl]",
    ),
    (
        "source-not-readable",
        "dedupe A:wo 0 4k => memory=pointer:8\n  = EINVAL [source-not-readable]",
    ),
    (
        "source-mount-readonly",
        "dedupe A:ro,romount 0 4k => memory=pointer:8\n  = EROFS [source-mount-readonly]",
    ),
    (
        "request-fault",
        "dedupe A 0 4k => memory=half-header\n  = EFAULT [request-fault]",
    ),
    (
        "source-directory",
        "dir D\ndedupe D 0 4k => reserved1=7\n  = EISDIR [source-directory]",
    ),
    (
        "target-fd",
        "dedupe A 0 4k => %closed 0 reserved=7\n  = %closed EBADF [target-fd]",
    ),
    (
        "target-not-writable",
        "dedupe A 0 4k => B:ro 0 as=user\n  = B:ro EINVAL [target-not-writable]",
    ),
    (
        "other-mount",
        "dedupe A 0 4k => B:second 0\n  = B:second EXDEV [other-mount]",
    ),
    (
        "other-mount",
        "dedupe A 0 4k => %tmpfs 0\n  = %tmpfs EXDEV [other-mount]",
    ),
    (
        "target-directory",
        "dir D\ndedupe A 0 4k => D 0\n  = D EISDIR [target-directory]",
    ),
    (
        "target-not-a-file",
        "fifo F\ndedupe A 0 4k => F 0\n  = F EACCES [target-not-a-file]",
    ),
    (
        "same-inode",
        "dedupe A 0 4k => A 64k A 0\n  = A EINVAL [same-inode] x2",
    ),
    (
        "source-lock-wraps",
        "dedupe A 0xfffffffffffff000 8k => B 0\n  = panics [source-lock-wraps]",
    ),
    (
        "target-lock-wraps",
        "dedupe A 0 8k => B 0xfffffffffffff000\n  = panics [target-lock-wraps]",
    ),
    (
        "source-end-past-eof",
        "dedupe A 256k 4k => B 0\n  = B EINVAL [source-end-past-eof]",
    ),
    (
        "source-end-past-eof",
        "dedupe A 0x8000000000000000 8k => B 0\n  = B EINVAL [source-end-past-eof]",
    ),
    (
        "source-unaligned",
        "dedupe A 0 5000 => B 0\n  = B EINVAL [source-unaligned]",
    ),
    (
        "source-unaligned",
        "dedupe A 1 0 => B 0\n  = B EINVAL [source-unaligned]",
    ),
    (
        "target-end-past-eof",
        "dedupe A 0 4k => B 256k\n  = B EINVAL [target-end-past-eof]",
    ),
    (
        "target-unaligned",
        "dedupe A 0 4k => B 1\n  = B EINVAL [target-unaligned]",
    ),
    (
        "nodatasum-mismatch",
        "file N nocow\npwrite N 0 4k 0x61\ndedupe A 0 4k => N 0\n  = N EINVAL [nodatasum-mismatch]",
    ),
    (
        "data-differs",
        "pwrite B 0 1 0x00\ndedupe A 0 8k => B 0\n  = B differs [data-differs]",
    ),
    (
        "zero-length-exists",
        "dedupe A 0 0 => B 0\n  = B EEXIST [zero-length-exists]",
    ),
    (
        "zero-length-hangs",
        "dedupe A 4k 0 => B 4k\n  = hangs [zero-length-hangs]\nsync\n  = hangs",
    ),
    (
        "zero-length-at-eof",
        "dedupe A 256k 0 => B 256k\n  = panics [zero-length-at-eof]",
    ),
    (
        "clone-without-ioctl",
        "clone A 0 4k => %tmpfs 0\n  = ENOTTY [clone-without-ioctl]",
    ),
    (
        "clone-target-not-writable",
        "clone A 0 4k => B:ro 0\n  = EINVAL [clone-target-not-writable]",
    ),
    (
        "clone-source-fd",
        "clone %closed 0 4k => B 0\n  = EBADF [clone-source-fd]",
    ),
    (
        "clone-other-mount",
        "clone %tmpfs 0 4k => B 0\n  = EXDEV [clone-other-mount]",
    ),
    (
        "clone-source-not-readable",
        "clone A:wo 0 4k => B 0\n  = EINVAL [clone-source-not-readable]",
    ),
    (
        "clone-directory",
        "dir D\nclone D 0 4k => B 0\n  = EISDIR [clone-directory]",
    ),
    (
        "nodatasum-mismatch",
        "file N nocow\nclone A 0 4k => N 0\n  = EINVAL [nodatasum-mismatch]",
    ),
    (
        "clone-source-past-eof",
        "clone A 0 257k => B 0\n  = EINVAL [clone-source-past-eof]",
    ),
    (
        "clone-unaligned",
        "clone A 0 5000 => B 0\n  = EINVAL [clone-unaligned]",
    ),
    (
        "clone-of-nothing",
        "clone A 256k 0 => B 0\n  = ok [clone-of-nothing]",
    ),
    (
        "clone-over-limit",
        "clone A 0 4k => B 0xfffffffffffff000\n  = EINVAL [clone-over-limit]",
    ),
    (
        "zero-length-of-nothing",
        "file C\nfile D\ndedupe C 0 0 => D 0\n  = D same 0 [zero-length-of-nothing]",
    ),
];

#[test]
fn every_rule_fires_where_its_scenario_says() {
    for profile in OLD {
        for (rule, text) in CASES {
            let profile = Profile::by_name(profile).expect("folds");
            let rules = fired(profile, &format!("{PAIR}{text}\n"));
            assert!(rules.iter().eq([rule]), "{text}: {rules:?}");
        }
    }
}

#[test]
fn every_rule_that_can_be_reached_has_a_scenario() {
    // Nothing gets this far, as their reach says.
    const OUT_OF_REACH: [&str; 3] = [
        "block-smaller-than-page",
        "source-not-a-file",
        "other-superblock",
    ];
    let profile = Profile::by_name("linux-3.13").expect("folds");
    for stage in [
        Stage::Entry,
        Stage::Call,
        Stage::Pair,
        Stage::Unlocked,
        Stage::Range,
        Stage::Locked,
        Stage::Remap,
    ] {
        for rule in profile.tables.rules(stage) {
            let is_shown = CASES.iter().any(|(id, _)| *id == rule.id);
            assert!(
                is_shown || OUT_OF_REACH.contains(&rule.id),
                "{} has no scenario",
                rule.id
            );
        }
    }
}

#[test]
fn sixteen_mebibytes_are_the_most_and_the_rest_is_not_looked_at() {
    for profile in OLD {
        check(
            profile,
            "file A\nfile B\npwrite A 0 20m 0x61\npwrite B 0 20m 0x61\npwrite B 17m 1 0x62\n\
             dedupe A 0 1g => B 0\n  = B same 16m\n\
             dedupe A 0 0xffffffffffffffff => B 0\n  = B same 16m\n",
        );
    }
}

#[test]
fn v4_tells_how_far_it_came_and_the_merged_form_does_not() {
    let text = "file A\nfile B\npwrite A 0 3m 0x61\npwrite B 0 3m 0x61\npwrite B 2097157 1 0x62\n\
                dedupe A 0 3m => B 0\n  \
                =v4 B differs 2m [data-differs]\n  =linux-3.13 B differs [data-differs]\n";
    check("v4", text);
    check("linux-3.13", text);
}

#[test]
fn v4_copies_element_by_element_and_faults_in_the_middle() {
    let text = "file A\nfile B\npwrite A 0 8k 0x61\npwrite B 0 8k 0x61\n\
                dedupe A 0 4k => B 0 B 4k memory=unmapped-after:1\n  \
                =v4 EFAULT [element-fault]\n  =v4 B same 4k\n  \
                =linux-3.13 EFAULT [request-fault]\n  =linux-3.13 B untouched\n";
    check("v4", text);
    check("linux-3.13", text);
    check(
        "v4",
        "file A\nfile B\npwrite A 0 8k 0x61\npwrite B 0 8k 0x61\n\
         dedupe A 0 4k => B 0 B 4k B 0 memory=readonly-after:1\n  \
         = EFAULT [element-reply-fault]\n  = B same 4k\n  = B untouched x2\n",
    );
}

#[test]
fn the_list_may_be_as_long_as_its_count_can_say() {
    for profile in OLD {
        check(
            profile,
            "file A\nfile B\npwrite A 0 4k 0x61\npwrite B 0 4k 0x61\n\
             dedupe A 0 4k => B 0 %closed 0 x65533 B 0\n  \
             = B same 4k\n  = %closed EBADF [target-fd] x65533\n  = B same 4k\n",
        );
    }
}

#[test]
fn reserved_fields_and_immutable_targets_are_not_looked_at() {
    for profile in OLD {
        check(
            profile,
            "file A\nfile B\npwrite A 0 4k 0x61\npwrite B 0 4k 0x61\nchattr B +i\n\
             dedupe A 0 4k => B 0 reserved=1 reserved1=1 reserved2=1\n  = B same 4k\n",
        );
    }
}

#[test]
fn a_clone_within_one_file_came_with_the_merge() {
    let text = format!(
        "{PAIR}clone A 0 8k => A 4k\n  \
         =v4 EINVAL [clone-same-inode]\n  =linux-3.13 EINVAL [overlap]\n\
         clone A 0 8k => A 64k\n  =v4 EINVAL [clone-same-inode]\n  =linux-3.13 ok\n"
    );
    check("v4", &text);
    check("linux-3.13", &text);
}
