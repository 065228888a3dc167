//! Names, bytes, sizes, attributes, times.

use data::Content;
use reference::Reference;
use scenario::{Attribute, Backend, Name, Observation, Op, Outcome, Probe, Stat};
use uapi::Errno;

use crate::{does, file, name, write};

fn seen(fs: &mut Reference, name: Name) -> Observation {
    fs.observe(&Probe {
        name,
        expected_shape: None,
    })
    .expect("the oracle can always be asked")
}

#[track_caller]
fn stat(fs: &mut Reference, text: &str) -> Stat {
    match seen(fs, name(text)) {
        Observation::File { stat, .. } | Observation::Other { stat } => stat,
        other => panic!("{text}: {other:?}"),
    }
}

fn write_op(text: &str) -> Op {
    Op::Write {
        name: name(text),
        offset: 0,
        content: Content::byte(1, 1),
    }
}

#[test]
fn a_write_past_the_end_leaves_zeros_before_it() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(1, 3));
    write(&mut fs, "A", 5, Content::byte(2, 1));
    let digest = Content::literal([1, 1, 1, 0, 0, 2]).digest();
    match seen(&mut fs, name("A")) {
        Observation::File { stat, content, map } => {
            assert_eq!((stat.size, content, map.len()), (6, digest, 0));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn fallocate_extends_unless_it_keeps_the_size_and_a_punch_zeroes() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(1, 4096));
    let allocate = |keeps_size, offset| Op::Fallocate {
        name: name("A"),
        offset,
        len: 4096,
        keeps_size,
    };
    does(&mut fs, allocate(true, 8192));
    assert_eq!(stat(&mut fs, "A").size, 4096);
    does(&mut fs, allocate(false, 8192));
    assert_eq!(stat(&mut fs, "A").size, 12288);
    does(
        &mut fs,
        Op::Punch {
            name: name("A"),
            offset: 1,
            len: 4094,
        },
    );
    let file = fs.file(&name("A")).expect("it was created");
    assert_eq!(file.content.slice(0..3).to_vec(), [1, 0, 0]);
    assert_eq!(file.content.slice(4094..4097).to_vec(), [0, 1, 0]);
}

#[test]
fn names_that_are_there_or_have_no_parent_are_refused() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(1, 3));
    let create = |text| Op::File {
        name: name(text),
        is_nocow: false,
    };
    assert_eq!(fs.act(&create("A")), Outcome::Failed(Errno::EEXIST));
    assert_eq!(fs.act(&create("A/B")), Outcome::Failed(Errno::ENOTDIR));
    assert_eq!(fs.act(&create("D/B")), Outcome::Failed(Errno::ENOENT));
    assert_eq!(
        fs.act(&Op::Unlink {
            name: name("B"),
            is_held: false
        }),
        Outcome::Failed(Errno::ENOENT)
    );
    assert_eq!(fs.act(&write_op("B")), Outcome::NotOpened(Errno::ENOENT));
    does(
        &mut fs,
        Op::Unlink {
            name: name("A"),
            is_held: false,
        },
    );
    assert_eq!(seen(&mut fs, name("A")), Observation::Absent);
}

#[test]
fn a_descriptor_outlives_the_attribute_that_forbids_opening_it() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(1, 3));
    let immutable = |is_set| Op::Chattr {
        name: name("A"),
        attribute: Attribute::Immutable,
        is_set,
    };
    does(&mut fs, immutable(true));
    does(&mut fs, write_op("A"));
    let punch = Op::Punch {
        name: name("A"),
        offset: 0,
        len: 1,
    };
    assert_eq!(fs.act(&punch), Outcome::Failed(Errno::EPERM));
    // The unlink is refused, but the harness has closed the descriptors for it.
    let unlink = Op::Unlink {
        name: name("A"),
        is_held: false,
    };
    assert_eq!(fs.act(&unlink), Outcome::Failed(Errno::EPERM));
    assert_eq!(fs.act(&write_op("A")), Outcome::NotOpened(Errno::EPERM));
    does(&mut fs, immutable(false));
    does(&mut fs, write_op("A"));
}

#[test]
fn nocow_is_taken_only_by_an_empty_file_and_inherited_from_a_directory() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(1, 3));
    does(&mut fs, Op::Dir { name: name("D") });
    for text in ["A", "D"] {
        let nocow = Attribute::Nocow;
        does(
            &mut fs,
            Op::Chattr {
                name: name(text),
                attribute: nocow,
                is_set: true,
            },
        );
    }
    does(
        &mut fs,
        Op::File {
            name: name("D/B"),
            is_nocow: false,
        },
    );
    let is_nocow = |text| fs.file(&name(text)).map(|file| file.is_nocow);
    assert_eq!((is_nocow("A"), is_nocow("D/B")), (Some(false), Some(true)));
}

#[test]
fn times_tell_what_changed_since_the_last_look() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(1, 3));
    let changed = |stat: Stat| (stat.mtime_changed, stat.ctime_changed);
    assert_eq!(changed(stat(&mut fs, "A")), (false, false));
    does(&mut fs, write_op("A"));
    assert_eq!(changed(stat(&mut fs, "A")), (true, true));
    does(
        &mut fs,
        Op::Chmod {
            name: name("A"),
            mode: 0o4755,
        },
    );
    assert_eq!(changed(stat(&mut fs, "A")), (false, true));
    does(&mut fs, Op::Flush { name: name("A") });
    assert_eq!(changed(stat(&mut fs, "A")), (false, false));
    does(
        &mut fs,
        Op::Chown {
            name: name("A"),
            uid: 1234,
        },
    );
    assert_eq!(
        (stat(&mut fs, "A").mode, stat(&mut fs, "A").uid),
        (0o755, 1234)
    );
}

#[test]
fn a_reset_leaves_only_the_top() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(1, 3));
    fs.reset(&Default::default())
        .expect("the oracle can always be reset");
    assert_eq!(
        fs.files().map(|(name, _)| name.clone()).collect::<Vec<_>>(),
        [Name::top()]
    );
}
