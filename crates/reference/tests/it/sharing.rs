//! Clones and snapshots.

use data::Content;
use reference::Reference;
use scenario::{Access, CloneCall, Fd, Op, Outcome, Target};
use uapi::Errno;

use crate::{does, fd, file, name, write};

fn clone(source_offset: u64, len: u64, target_offset: u64) -> Op {
    Op::Clone(CloneCall {
        source: fd("A"),
        source_offset,
        len,
        target: fd("B"),
        target_offset,
    })
}

/// Returns a filesystem with A of 10,000 bytes and B of 20,000.
fn pair() -> Reference {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::pattern(1, 0, 10_000));
    file(&mut fs, "B", Content::pattern(2, 0, 20_000));
    fs
}

#[test]
fn a_clone_copies_bytes_and_may_make_the_target_longer() {
    let mut fs = pair();
    does(&mut fs, clone(0, 8192, 4096));
    does(&mut fs, clone(4096, 0, 32768));
    let target = fs.file(&name("B")).expect("it was created").content;
    assert_eq!(target.slice(4096..12288), Content::pattern(1, 0, 8192));
    assert_eq!(target.slice(20_000..32768), Content::zeros(12768));
    assert_eq!(
        target.slice(32768..target.len()),
        Content::pattern(1, 4096, 5904)
    );
}

#[test]
fn ranges_that_no_block_boundary_ends_are_refused() {
    let mut fs = pair();
    for (source_offset, len, target_offset) in [
        (0, 5000, 0),
        (0, 10_000, 0),
        (1, 4096, 0),
        (0, 4096, 1),
        (8192, 4096, 0),
        (1 << 20, 0, 0),
        (0, u64::MAX, 0),
    ] {
        let op = clone(source_offset, len, target_offset);
        assert_eq!(fs.act(&op), Outcome::Failed(Errno::EINVAL), "{op:?}");
    }
    does(&mut fs, clone(10_000, 0, 3));
    does(&mut fs, clone(0, 10_000, 12288));
}

#[test]
fn clones_want_other_descriptors_than_dedupes() {
    let mut fs = pair();
    does(&mut fs, Op::Dir { name: name("D") });
    let mut refuses = |source: Fd, target: Fd, errno| {
        let call = CloneCall {
            source,
            source_offset: 0,
            len: 4096,
            target,
            target_offset: 0,
        };
        assert_eq!(
            fs.act(&Op::Clone(call.clone())),
            Outcome::Failed(errno),
            "{call:?}"
        );
    };
    refuses(
        fd("A"),
        Fd::with_access(name("B"), Access::ReadOnly),
        Errno::EBADF,
    );
    refuses(
        fd("A"),
        Fd::with_access(name("B"), Access::Append),
        Errno::EBADF,
    );
    refuses(
        Fd::with_access(name("A"), Access::WriteOnly),
        fd("B"),
        Errno::EBADF,
    );
    refuses(fd("A"), Fd::special(Target::Closed), Errno::EBADF);
    refuses(fd("A"), Fd::special(Target::Null), Errno::EXDEV);
    refuses(
        Fd::special(Target::Tmpfs),
        Fd::special(Target::Tmpfs),
        Errno::EOPNOTSUPP,
    );
    refuses(fd("D"), fd("B"), Errno::EISDIR);
    refuses(fd("A"), fd("A"), Errno::EINVAL);
}

#[test]
fn a_snapshot_keeps_the_bytes_and_has_stubs_for_subvolumes() {
    let mut fs = pair();
    let snapshot = |source, target, is_readonly| Op::Snapshot {
        source: name(source),
        target: name(target),
        is_readonly,
    };
    does(&mut fs, Op::Subvol { name: name("V") });
    file(&mut fs, "V/C", Content::byte(3, 100));
    does(&mut fs, snapshot(".", "S1", false));
    does(&mut fs, snapshot("V", "S2", true));
    write(&mut fs, "A", 0, Content::byte(9, 10));
    write(&mut fs, "S1/B", 0, Content::byte(9, 10));
    let bytes = |text| fs.file(&name(text)).map(|file| file.content.clone());
    assert_eq!(bytes("S1/A"), Some(Content::pattern(1, 0, 10_000)));
    assert_eq!(bytes("B"), Some(Content::pattern(2, 0, 20_000)));
    assert_eq!(bytes("S1/V/C"), None);
    assert_eq!(bytes("S2/C"), Some(Content::byte(3, 100)));
    assert_eq!(
        fs.file(&name("S1/V")).map(|file| file.kind),
        Some(reference::Kind::Stub)
    );
    let refused = [
        (
            Op::File {
                name: name("S2/D"),
                is_nocow: false,
            },
            Outcome::Failed(Errno::EROFS),
        ),
        (
            Op::Truncate {
                name: name("S2/C"),
                size: 0,
            },
            Outcome::NotOpened(Errno::EROFS),
        ),
        (
            Op::Unlink {
                name: name("S2/C"),
                is_held: false,
            },
            Outcome::Failed(Errno::EROFS),
        ),
        (snapshot("V", "S1", false), Outcome::Failed(Errno::EEXIST)),
        (
            snapshot("W", "S3", false),
            Outcome::NotOpened(Errno::ENOENT),
        ),
    ];
    for (op, outcome) in refused {
        assert_eq!(fs.act(&op), outcome, "{op:?}");
    }
}
