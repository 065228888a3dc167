//! Files, directories, subvolumes: operations other than the calls, and observations.

use data::{Content, Digest};
use scenario::{
    Attribute, Backend, CloneCall, Exchange, Fd, FileKind, Geometry, Observation, Op, Outcome,
    Probe, Stat,
};
use uapi::Errno;

use crate::Test;
use crate::subject::{Subject, name};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_written_file_is_delalloc_until_flushed",
        written_file_is_delalloc_until_flushed,
    ),
    ("contents_are_digested_whole", contents_are_digested_whole),
    (
        "stamps_are_relative_to_the_last_look",
        stamps_are_relative_to_the_last_look,
    ),
    (
        "an_unlinked_name_is_absent_and_can_be_made_again",
        unlinked_name_is_absent,
    ),
    (
        "directories_and_fifos_have_kinds_and_modes",
        directories_and_fifos_have_kinds,
    ),
    (
        "a_snapshot_has_the_files_of_its_source",
        snapshot_has_the_files_of_its_source,
    ),
    (
        "a_reset_leaves_nothing_of_the_run_before",
        reset_leaves_nothing,
    ),
    (
        "attributes_are_set_and_cleared",
        attributes_are_set_and_cleared,
    ),
    (
        "punch_and_fallocate_change_the_map",
        punch_and_fallocate_change_the_map,
    ),
    (
        "a_sparse_file_of_1_gib_is_observed_in_full",
        sparse_file_is_observed_in_full,
    ),
    ("a_batch_is_answered_in_order", batch_is_answered_in_order),
    (
        "another_geometry_gives_another_filesystem",
        another_geometry_gives_another_filesystem,
    ),
    ("the_tick_changes_a_stamp", tick_changes_a_stamp),
    (
        "all_of_more_references_than_a_first_buffer_takes_are_told",
        many_references_are_told,
    ),
    (
        "a_run_left_read_only_is_followed_by_one_that_writes",
        read_only_ends_with_the_run,
    ),
];

fn written_file_is_delalloc_until_flushed() {
    let mut subject = Subject::new();
    let a = subject.file("A", Content::pattern(1, 0, 16384));
    let (stat, _, map) = subject.look(&a);
    assert_eq!((stat.size, stat.mode, stat.uid), (16384, 0o644, 0));
    assert_eq!(map.len(), 1);
    assert_eq!(
        (map[0].offset, map[0].len, map[0].storage),
        (0, 16384, None)
    );
    assert!(map[0].flags.is_delalloc);
    subject.done(Op::Flush { name: a.clone() });
    let (_, _, map) = subject.look(&a);
    assert_eq!(map.len(), 1);
    assert!(!map[0].flags.is_delalloc && map[0].storage.is_some());
    subject.done(Op::Fsync { name: a.clone() });
    subject.done(Op::Sync);
    assert_eq!(subject.look(&a).2, map);
}

fn contents_are_digested_whole() {
    let mut subject = Subject::new();
    for (text, len) in [("A", 0), ("B", 1), ("C", 4097), ("D", 3 << 20)] {
        let content = Content::pattern(7, 3, len);
        let file = subject.file(text, content.clone());
        let (stat, digest, _) = subject.look(&file);
        assert_eq!((stat.size, digest), (len, content.digest()), "{text}");
    }
}

fn stamps_are_relative_to_the_last_look() {
    let mut subject = Subject::new();
    let a = subject.file("A", Content::byte(1, 100));
    let changed = |stat: Stat| (stat.mtime_changed, stat.ctime_changed);
    assert_eq!(changed(subject.look(&a).0), (false, false));
    assert_eq!(changed(subject.look(&a).0), (false, false));
    subject.done(Op::Tick);
    subject.done(Op::Write {
        name: a.clone(),
        offset: 0,
        content: Content::byte(2, 1),
    });
    assert_eq!(changed(subject.look(&a).0), (true, true));
    subject.done(Op::Tick);
    subject.done(Op::Chmod {
        name: a.clone(),
        mode: 0o4711,
    });
    let stat = subject.look(&a).0;
    assert_eq!((changed(stat), stat.mode), ((false, true), 0o4711));
}

fn unlinked_name_is_absent() {
    let mut subject = Subject::new();
    let a = subject.file("A", Content::byte(1, 100));
    assert!(matches!(subject.observe(&a), Observation::File { .. }));
    subject.done(Op::Unlink {
        name: a.clone(),
        is_held: false,
    });
    assert_eq!(subject.observe(&a), Observation::Absent);
    assert_eq!(
        subject.outcome(Op::Unlink {
            name: a.clone(),
            is_held: false
        }),
        Outcome::Failed(Errno::ENOENT)
    );
    let write = Op::Write {
        name: a.clone(),
        offset: 0,
        content: Content::byte(1, 1),
    };
    assert_eq!(subject.outcome(write), Outcome::NotOpened(Errno::ENOENT));
    subject.file("A", Content::byte(1, 5));
    let again = Op::File {
        name: a.clone(),
        is_nocow: false,
    };
    assert_eq!(subject.outcome(again), Outcome::Failed(Errno::EEXIST));
    assert_eq!(subject.look(&a).0.size, 5);
}

fn directories_and_fifos_have_kinds() {
    let mut subject = Subject::new();
    subject.done(Op::Dir { name: name("D") });
    subject.done(Op::Fifo { name: name("P") });
    subject.done(Op::Chmod {
        name: name("D"),
        mode: 0o711,
    });
    let kind = |observation| match observation {
        Observation::Other { stat } => (stat.kind, stat.mode, stat.size),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        kind(subject.observe(&name("D"))),
        (FileKind::Directory, 0o711, 0)
    );
    assert_eq!(
        kind(subject.observe(&name("P"))),
        (FileKind::Fifo, 0o644, 0)
    );
    assert_eq!(
        kind(subject.observe(&name("."))),
        (FileKind::Directory, 0o755, 0)
    );
    let write = Op::Write {
        name: name("D"),
        offset: 0,
        content: Content::byte(1, 1),
    };
    assert_eq!(subject.outcome(write), Outcome::Failed(Errno::EBADF));
}

fn snapshot_has_the_files_of_its_source() {
    let mut subject = Subject::new();
    subject.done(Op::Subvol { name: name("S") });
    subject.file("S/A", Content::pattern(1, 0, 8192));
    let snapshot = |target, is_readonly| Op::Snapshot {
        source: name("S"),
        target: name(target),
        is_readonly,
    };
    subject.done(snapshot("R", true));
    subject.done(snapshot("W", false));
    let original = subject.look(&name("S/A"));
    let copy = subject.look(&name("R/A"));
    assert_eq!((original.1, &original.2), (copy.1, &copy.2));
    assert!(original.2[0].flags.is_shared);
    let write = |file| Op::Write {
        name: name(file),
        offset: 0,
        content: Content::byte(1, 1),
    };
    assert_eq!(
        subject.outcome(write("R/A")),
        Outcome::NotOpened(Errno::EROFS)
    );
    subject.done(write("W/A"));
    assert_eq!(
        subject.outcome(snapshot("W", false)),
        Outcome::Failed(Errno::EEXIST)
    );
    let of_top = Op::Snapshot {
        source: name("."),
        target: name("T"),
        is_readonly: true,
    };
    subject.done(of_top);
    assert_eq!(subject.observe(&name("T/S/A")), Observation::Absent);
}

fn reset_leaves_nothing() {
    let mut subject = Subject::new();
    for _ in 0..3 {
        assert_eq!(subject.observe(&name("A")), Observation::Absent);
        subject.file("A", Content::byte(1, 10));
        subject.done(Op::Dir { name: name("D") });
        subject.done(Op::Subvol { name: name("D/S") });
        subject.file("D/S/A", Content::byte(1, 10));
        let target = name("R");
        subject.done(Op::Snapshot {
            source: name("."),
            target,
            is_readonly: true,
        });
        for file in ["A", "D/S/A", "D", "D/S", "."] {
            subject.done(Op::Chattr {
                name: name(file),
                attribute: Attribute::Immutable,
                is_set: true,
            });
        }
        subject.0.reset(&Geometry::default()).expect("a reset");
    }
}

fn attributes_are_set_and_cleared() {
    let mut subject = Subject::new();
    let a = subject.file("A", Content::byte(1, 10));
    let chattr = |is_set| Op::Chattr {
        name: name("A"),
        attribute: Attribute::Immutable,
        is_set,
    };
    let chmod = Op::Chmod {
        name: a.clone(),
        mode: 0o600,
    };
    subject.done(chattr(true));
    assert_eq!(
        subject.outcome(chmod.clone()),
        Outcome::Failed(Errno::EPERM)
    );
    subject.done(chattr(false));
    subject.done(chmod);
    subject.done(Op::Chown {
        name: a.clone(),
        uid: 1234,
    });
    assert_eq!(subject.look(&a).0.uid, 1234);
    subject.done(Op::File {
        name: name("N"),
        is_nocow: true,
    });
    let (stat, digest, map) = subject.look(&name("N"));
    assert_eq!((stat.size, digest, map), (0, Digest::of(b""), Vec::new()));
}

fn punch_and_fallocate_change_the_map() {
    let mut subject = Subject::new();
    let a = subject.file("A", Content::byte(1, 3 * 4096));
    subject.done(Op::Flush { name: a.clone() });
    subject.done(Op::Punch {
        name: a.clone(),
        offset: 4096,
        len: 4096,
    });
    let (stat, _, map) = subject.look(&a);
    assert_eq!(stat.size, 3 * 4096);
    assert_eq!(
        map.iter().map(|run| run.offset).collect::<Vec<_>>(),
        [0, 8192]
    );
    let fallocate = |keeps_size| Op::Fallocate {
        name: name("A"),
        offset: 4 * 4096,
        len: 4096,
        keeps_size,
    };
    subject.done(fallocate(true));
    assert_eq!(subject.look(&a).0.size, 3 * 4096);
    subject.done(fallocate(false));
    let (stat, _, map) = subject.look(&a);
    assert_eq!(stat.size, 5 * 4096);
    assert!(
        map.last()
            .is_some_and(|run| run.flags.is_unwritten && run.offset == 4 * 4096)
    );
    subject.done(Op::Truncate {
        name: a.clone(),
        size: 100,
    });
    assert_eq!(subject.look(&a).0.size, 100);
    let too_large = Op::Truncate {
        name: a,
        size: u64::MAX,
    };
    assert_eq!(subject.outcome(too_large), Outcome::Failed(Errno::EINVAL));
}

fn sparse_file_is_observed_in_full() {
    let mut subject = Subject::new();
    let a = subject.file("A", Content::pattern(1, 0, 5000));
    subject.done(Op::Truncate {
        name: a.clone(),
        size: 1 << 30,
    });
    let offset = (1 << 29) + 1;
    subject.done(Op::Write {
        name: a.clone(),
        offset,
        content: Content::byte(3, 9),
    });
    let mut expected = Content::pattern(1, 0, 5000);
    expected.truncate(1 << 30);
    expected.overwrite(offset, Content::byte(3, 9));
    let (stat, digest, map) = subject.look(&a);
    assert_eq!(
        (stat.size, digest, map.len()),
        (1 << 30, expected.digest(), 2)
    );
}

fn batch_is_answered_in_order() {
    let mut subject = Subject::new();
    let a = name("A");
    let probes = vec![Probe {
        name: a.clone(),
        expected_shape: Some(0),
    }];
    let exchange = |op| Exchange {
        op,
        probes: probes.clone(),
    };
    let batch = [
        exchange(Op::Unlink {
            name: a.clone(),
            is_held: false,
        }),
        exchange(Op::File {
            name: a.clone(),
            is_nocow: false,
        }),
        exchange(Op::Truncate {
            name: a.clone(),
            size: 7,
        }),
    ];
    let replies = subject.0.run(&batch).expect("replies");
    let outcomes: Vec<_> = replies
        .iter()
        .map(|reply| reply.answer.outcome.clone())
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Failed(Errno::ENOENT), Outcome::Done, Outcome::Done]
    );
    assert_eq!(replies[0].observations, [Observation::Absent]);
    assert!(
        matches!(&replies[2].observations[..], [Observation::File { stat, .. }] if stat.size == 7)
    );
}

fn another_geometry_gives_another_filesystem() {
    let mut subject = Subject::new();
    subject.file("A", Content::byte(1, 10));
    let geometry = Geometry {
        device_bytes: 256 << 20,
        ..Geometry::default()
    };
    for geometry in [geometry, Geometry::default()] {
        subject.0.reset(&geometry).expect("a reset");
        assert_eq!(subject.observe(&name("A")), Observation::Absent);
        subject.file("A", Content::byte(1, 10));
    }
}

fn tick_changes_a_stamp() {
    let mut subject = Subject::new();
    let a = subject.file("A", Content::byte(1, 10));
    for round in 0..5 {
        subject.look(&a);
        subject.done(Op::Tick);
        subject.done(Op::Chmod {
            name: a.clone(),
            mode: 0o600,
        });
        assert!(subject.look(&a).0.ctime_changed, "round {round}");
    }
}

fn many_references_are_told() {
    const NR_CLONES: u64 = 1_100;
    let mut subject = Subject::new();
    let a = subject.file("A", Content::pattern(1, 0, 4096));
    let b = subject.file("B", Content::byte(0, 0));
    for nth in 0..NR_CLONES {
        subject.done(Op::Clone(CloneCall {
            source: Fd::file(a.clone()),
            source_offset: 0,
            len: 4096,
            target: Fd::file(b.clone()),
            target_offset: nth * 4096,
        }));
    }
    let Outcome::Trees(trees) = subject.outcome(Op::Tree) else {
        panic!("no trees");
    };
    let nr_refs: Vec<usize> = trees
        .extents
        .iter()
        .map(|extent| extent.refs.len())
        .collect();
    assert_eq!(nr_refs, [NR_CLONES as usize + 1]);
}

fn read_only_ends_with_the_run() {
    let mut subject = Subject::new();
    let a = subject.file("A", Content::byte(1, 10));
    subject.done(Op::Remount { is_readonly: true });
    let write = Op::Write {
        name: a,
        offset: 0,
        content: Content::byte(2, 1),
    };
    let refused = Outcome::NotOpened(Errno::EROFS);
    assert_eq!(subject.outcome(write), refused);
    subject.0.reset(&Geometry::default()).expect("a reset");
    subject.file("A", Content::byte(1, 10));
}
