//! What successful calls report and share.

use crate::check;

const BOTH: [&str; 2] = ["linux-6.1", "linux-6.18"];

#[track_caller]
fn check_both(text: &str) {
    for profile in BOTH {
        check(profile, text);
    }
}

#[test]
fn elements_are_independent_and_answered_in_order() {
    check_both(
        "file A\nfile B\npwrite A 0 64k 0x61\npwrite B 0 64k 0x61\n\
         dedupe A 0 64k => B 0 %closed 0 B 4097 B 0\n  \
         = B same 64k\n  = %closed EBADF [target-fd]\n  = B EINVAL [offset-unaligned]\n  \
         = B same 64k\n",
    );
}

#[test]
fn the_requested_length_is_reported_whatever_was_shared() {
    check_both(
        "file A\nfile B\npwrite A 0 64k 0x61\npwrite B 0 4k 0x61\npwrite B 4k 60k 0x62\n\
         dedupe A 0 5000 => B 0\n  = B same 5000\n",
    );
}

#[test]
fn a_tail_goes_along_where_both_files_end() {
    check_both(
        "file A\nfile B\nfile C\npwrite A 0 10000 seed=1@0\npwrite B 0 10000 seed=1@0\n\
         pwrite C 0 10000 seed=1@0\npwrite C 10000 9000 0x63\n\
         dedupe A 0 10000 => B 0 C 0\n  = B same 10000\n  = C same 10000\n",
    );
}

#[test]
fn a_long_request_is_walked_whole() {
    check_both(
        "file A\nfile B\npwrite A 0 40m 0x61\npwrite B 0 40m 0x61\n\
         dedupe A 0 33558528 => B 0\n  = B same 32772k\n\
         pwrite B 17m 1 0x62\ndedupe A 0 20m => B 0\n  = B differs [data-differs]\n",
    );
}

#[test]
fn one_inode_may_be_both_where_the_ranges_do_not_overlap() {
    check_both("file A\npwrite A 0 256k 0x61\ndedupe A 0 64k => A 64k A 128k\n  = A same 64k x2\n");
}

#[test]
fn a_read_only_list_is_carried_out_and_then_faults() {
    check_both(
        "file A\nfile B\npwrite A 0 8k 0x61\npwrite B 0 8k 0x61\n\
         dedupe A 0 4k => B 0 B 4k B 0 memory=readonly-after:1\n  \
         = EFAULT [reply-fault]\n  = B same 4k\n  = B untouched x2\n",
    );
}

#[test]
fn the_upper_half_of_a_descriptor_is_not_looked_at() {
    check_both(
        "file A\nfile B\npwrite A 0 4k 0x61\npwrite B 0 4k 0x61\n\
         dedupe A 0 4k => B:high 0\n  = B:high same 4k\n",
    );
}

#[test]
fn another_mount_of_the_same_filesystem_is_fine() {
    check_both(
        "file A\nfile B\npwrite A 0 4k 0x61\npwrite B 0 4k 0x61\n\
         dedupe A:ro,romount 0 4k => B:second 0\n  = B:second same 4k\n",
    );
}

#[test]
fn a_read_only_snapshot_takes_roots_dedupe_and_refuses_to_open_for_writing() {
    check_both(
        "subvol S\nfile S/A\nfile B\npwrite S/A 0 8k 0x61\npwrite B 0 8k 0x61\n\
         snapshot S R ro\ndedupe B 0 8k => R/A:ro 0\n  = R/A:ro same 8k\n\
         pwrite R/A 0 4k 0x62\n  = not-opened EROFS\n\
         dedupe B 0 8k => R/A:ro 0 as=user\n  = R/A:ro EPERM [target-not-permitted]\n",
    );
}

#[test]
fn an_owner_or_a_writer_may_dedupe_without_opening_for_writing() {
    check_both(
        "file A\nfile B\nfile C\nfile D\npwrite A 0 4k 0x61\npwrite B 0 4k 0x61\n\
         pwrite C 0 4k 0x61\npwrite D 0 4k 0x61\nchown B 1234\nchmod C 0666\n\
         dedupe A 0 4k => B:ro 0 C:ro 0 D:ro 0 D:wo 0 as=user\n  \
         = B:ro same 4k\n  = C:ro same 4k\n  = D:ro EPERM [target-not-permitted]\n  \
         = D:wo same 4k\n",
    );
}

#[test]
fn a_refused_dedupe_has_flushed_a_mismatched_one_has_not() {
    check_both(
        "file A\nfile B\nfile N nocow\npwrite A 0 16k 0x61\npwrite B 0 16k 0x61\n\
         pwrite N 0 16k 0x61\n\
         dedupe A 0 4k => N 0\n  = N EINVAL [nodatasum-mismatch]\n\
         dedupe A 1 4k => B 0\n  = B EINVAL [offset-unaligned]\n",
    );
}

#[test]
fn dedupe_keeps_times_and_clone_does_not() {
    use rules::Profile;
    use scenario::{Backend, Name, Observation, Probe, parse_op};
    let mut model = model::Sequential::new(Profile::latest().expect("folds"));
    let probe = Probe {
        name: Name::new("B").expect("a name"),
        expected_shape: None,
    };
    let mut changed_after = |op: &str| {
        let op = parse_op(op).expect("an operation");
        let answer = model.apply(&op).expect("asked");
        match model.observe(&probe).expect("asked") {
            Observation::File { stat, .. } => {
                Some((answer.effect, stat.mtime_changed, stat.ctime_changed))
            }
            _ => None,
        }
    };
    for op in [
        "file A",
        "file B",
        "pwrite A 0 64k 0x61",
        "pwrite B 0 64k 0x61",
    ] {
        changed_after(op);
    }
    let (effect, mtime, ctime) = changed_after("dedupe A 4k 8k => B 4k").expect("a file");
    assert_eq!((mtime, ctime), (false, false));
    assert!(effect.moved_reference && effect.met_dirty_pages && effect.cut_extent);
    let (_, mtime, ctime) = changed_after("clone A 0 4k => B 0").expect("a file");
    assert_eq!((mtime, ctime), (true, true));
}

#[test]
fn a_clone_to_eof_grows_the_target() {
    check_both(
        "file A\nfile B\npwrite A 0 10000 0x61\npwrite B 0 100 0x62\n\
         clone A 4k 0 => B 8k\n  = ok\nclone A 0 10000 => B 8k\n  = ok\n",
    );
}

#[test]
fn descriptors_open_as_open_2_says() {
    check_both(
        "file A\nfile I\ndir D\npwrite A 0 4k 0x61\nchattr I +i\n\
         pwrite I 0 4k 0x61\n  = ok\n\
         dedupe A 0 4k => I:wo 0\n  = not-opened EPERM\n\
         dedupe A 0 4k => D:wo 0\n  = not-opened EISDIR\n\
         dedupe A 0 4k => A:romount 0\n  = not-opened EROFS\n\
         dedupe A 0 4k => X 0\n  = not-opened ENOENT\n\
         chattr A +a\ndedupe A 0 4k => A:wo 0\n  = not-opened EPERM\n\
         dedupe A 0 4k => A:append 0\n  = A:append EINVAL [overlap]\n\
         pwrite D 0 4k 0x61\n  = EBADF\n",
    );
}

#[test]
fn until_6_1_a_map_joins_what_is_under_way_with_the_dirty_range_behind_a_hole() {
    use rules::Profile;
    use scenario::{Backend, Name, Observation, Probe, Scenario};
    // Behind the block that the dedupe flushes, an ordered extent waits.
    let text = "file M nocow\npwrite M 4k 4k 0x61\nsnapshot . S ro\npwrite M 0 4k 0x61\n\
                flush M\npwrite M 0 12k 0x61\npwrite M 16k 4k 0x61\n\
                dedupe S/M:ro 0 4k => M 0\n";
    let scenario = Scenario::parse(text).expect("a scenario");
    let delalloc_of = |profile: &str| -> Vec<(u64, u64)> {
        let mut model = model::Sequential::new(Profile::by_name(profile).expect("a profile"));
        for op in scenario.ops() {
            model.apply(op).expect("the model can always be asked");
        }
        let probe = Probe {
            name: Name::new("M").expect("a name"),
            expected_shape: None,
        };
        let Ok(Observation::File { map, .. }) = model.observe(&probe) else {
            panic!("M is a file");
        };
        let delalloc = map.iter().filter(|run| run.flags.is_delalloc);
        delalloc
            .map(|run| (run.offset >> 10, run.len >> 10))
            .collect()
    };
    assert_eq!(delalloc_of("linux-6.1"), [(8, 12)]);
    assert_eq!(delalloc_of("linux-6.18"), [(8, 4), (16, 4)]);
}
