//! `FIDEDUPERANGE`: the call, each element, the memory.

use data::Content;
use reference::Reference;
use scenario::{
    Access, Attribute, CallEnd, CallMemory, Caller, DedupeCall, DedupeTarget, Fd, Mount, Op,
    Outcome, Target,
};
use uapi::Errno;

use crate::{does, fd, file, name, write};

const UNTOUCHED: (i32, u64) = (
    DedupeTarget::UNTOUCHED_STATUS,
    DedupeTarget::UNTOUCHED_BYTES,
);

/// Returns a filesystem with A and B of the same 64 KiB.
fn twins() -> Reference {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::pattern(1, 0, 64 << 10));
    file(&mut fs, "B", Content::pattern(1, 0, 64 << 10));
    fs
}

fn call(source_offset: u64, len: u64, offset: u64) -> DedupeCall {
    DedupeCall::new(fd("A"), source_offset, len, fd("B"), offset)
}

#[track_caller]
fn answer(fs: &mut Reference, call: DedupeCall) -> (CallEnd, Vec<(i32, u64)>) {
    match fs.act(&Op::Dedupe(call)) {
        Outcome::Dedupe {
            end,
            elements,
            bytes,
        } => {
            assert_eq!(bytes.len(), 24 + 32 * elements.len());
            (
                end,
                elements
                    .iter()
                    .map(|e| (e.status, e.bytes_deduped))
                    .collect(),
            )
        }
        other => panic!("not the answer of a dedupe: {other:?}"),
    }
}

#[track_caller]
fn is_answered(fs: &mut Reference, call: DedupeCall, status: i32, bytes_deduped: u64) {
    assert_eq!(
        answer(fs, call),
        (CallEnd::Returned, vec![(status, bytes_deduped)])
    );
}

#[track_caller]
fn is_refused(fs: &mut Reference, call: DedupeCall, errno: Errno) {
    let nr_elements = call.targets.len();
    assert_eq!(
        answer(fs, call),
        (CallEnd::Failed(errno), vec![UNTOUCHED; nr_elements])
    );
}

#[track_caller]
fn is_element_refused(fs: &mut Reference, call: DedupeCall, errno: Errno) {
    is_answered(fs, call, errno.status(), 0);
}

#[test]
fn equal_blocks_are_the_same_and_another_byte_differs() {
    let mut fs = twins();
    is_answered(&mut fs, call(4096, 8192, 4096), 0, 8192);
    is_answered(&mut fs, call(4096, 8192, 8192), 1, 0);
    write(&mut fs, "B", 12287, Content::byte(1, 1));
    is_answered(&mut fs, call(4096, 8192, 4096), 1, 0);
    is_answered(&mut fs, call(4096, 4096, 4096), 0, 4096);
}

#[test]
fn bytes_deduped_is_what_was_asked_for_although_less_is_compared() {
    let mut fs = twins();
    write(&mut fs, "B", 4096, Content::byte(1, 900));
    is_answered(&mut fs, call(0, 5000, 0), 0, 5000);
    is_answered(&mut fs, call(8192, 100, 0), 0, 100);
}

#[test]
fn a_tail_is_compared_where_both_files_end() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(7, 5000));
    file(&mut fs, "B", Content::byte(7, 4999));
    write(&mut fs, "B", 4999, Content::byte(8, 1));
    is_answered(&mut fs, call(0, 5000, 0), 1, 0);
    write(&mut fs, "B", 5000, Content::byte(8, 1));
    is_answered(&mut fs, call(0, 5000, 0), 0, 5000);
}

#[test]
fn past_the_sources_end_refuses_the_call_and_past_the_targets_end_the_element() {
    let mut fs = twins();
    is_refused(&mut fs, call(0, (64 << 10) + 1, 0), Errno::EINVAL);
    is_refused(&mut fs, call(1 << 20, 0, 0), Errno::EINVAL);
    is_element_refused(&mut fs, call(0, 8192, 60 << 10), Errno::EINVAL);
    is_refused(&mut fs, call(0, u64::MAX, 0), Errno::EINVAL);
    is_refused(&mut fs, call(1 << 63, 0, 0), Errno::EINVAL);
    is_element_refused(&mut fs, call(0, 4096, 1 << 63), Errno::EINVAL);
    is_element_refused(
        &mut fs,
        call(0, 4096, i64::MAX as u64 - 4095),
        Errno::EINVAL,
    );
}

#[test]
fn length_zero_succeeds_even_at_odd_offsets_and_past_the_target() {
    let mut fs = twins();
    is_answered(&mut fs, call(1, 0, 3), 0, 0);
    is_answered(&mut fs, call(0, 0, 1 << 40), 0, 0);
}

#[test]
fn odd_offsets_are_refused() {
    let mut fs = twins();
    is_element_refused(&mut fs, call(1, 4096, 0), Errno::EINVAL);
    is_element_refused(&mut fs, call(0, 4096, 4095), Errno::EINVAL);
}

#[test]
fn one_inode_is_allowed_unless_its_ranges_overlap() {
    let mut fs = Reference::new();
    file(&mut fs, "A", Content::byte(7, 64 << 10));
    let within = |offset| DedupeCall::new(fd("A"), 0, 8192, fd("A"), offset);
    is_answered(&mut fs, within(8192), 0, 8192);
    is_element_refused(&mut fs, within(4096), Errno::EINVAL);
    is_element_refused(&mut fs, within(0), Errno::EINVAL);
}

#[test]
fn reserved_fields_of_header_and_element_are_refused_apart() {
    let mut fs = twins();
    is_refused(
        &mut fs,
        DedupeCall {
            reserved1: 1,
            ..call(0, 4096, 0)
        },
        Errno::EINVAL,
    );
    is_refused(
        &mut fs,
        DedupeCall {
            reserved2: 1,
            ..call(0, 4096, 0)
        },
        Errno::EINVAL,
    );
    let mut element = call(0, 4096, 0);
    element.targets[0].reserved = 1;
    is_element_refused(&mut fs, element, Errno::EINVAL);
}

#[test]
fn wrong_descriptors_have_their_errnos() {
    let mut fs = twins();
    does(&mut fs, Op::Dir { name: name("D") });
    does(&mut fs, Op::Fifo { name: name("F") });
    let source = |fd| DedupeCall {
        source: fd,
        ..call(0, 4096, 0)
    };
    let target = |fd| DedupeCall::new(crate::fd("A"), 0, 4096, fd, 0);
    let path = Fd::with_access(name("B"), Access::Path);
    for (wrong, of_source, of_target) in [
        (Fd::special(Target::Closed), Errno::EBADF, Errno::EBADF),
        (Fd::special(Target::MinusOne), Errno::EBADF, Errno::EBADF),
        (path, Errno::EBADF, Errno::EBADF),
        (Fd::special(Target::Null), Errno::EINVAL, Errno::EXDEV),
        (Fd::special(Target::PipeRead), Errno::EINVAL, Errno::EXDEV),
        (Fd::special(Target::PipeWrite), Errno::EINVAL, Errno::EXDEV),
        (Fd::special(Target::Socket), Errno::EINVAL, Errno::EXDEV),
        (Fd::special(Target::Tmpfs), Errno::EOPNOTSUPP, Errno::EXDEV),
        (fd("D"), Errno::EISDIR, Errno::EISDIR),
        (fd("F"), Errno::EINVAL, Errno::EINVAL),
    ] {
        is_refused(&mut fs, source(wrong.clone()), of_source);
        is_element_refused(&mut fs, target(wrong), of_target);
    }
    let write_only = Fd::with_access(name("A"), Access::WriteOnly);
    is_refused(&mut fs, source(write_only), Errno::EINVAL);
}

#[test]
fn a_user_needs_a_writable_descriptor_or_ownership_or_permission() {
    let mut fs = twins();
    let read_only = Fd::with_access(name("B"), Access::ReadOnly);
    let by_user = |target: &Fd| DedupeCall {
        caller: Caller::User,
        ..DedupeCall::new(fd("A"), 0, 4096, target.clone(), 0)
    };
    is_answered(&mut fs, by_user(&fd("B")), 0, 4096);
    is_element_refused(&mut fs, by_user(&read_only), Errno::EPERM);
    does(
        &mut fs,
        Op::Chmod {
            name: name("B"),
            mode: 0o602,
        },
    );
    is_answered(&mut fs, by_user(&read_only), 0, 4096);
    does(
        &mut fs,
        Op::Chmod {
            name: name("B"),
            mode: 0o600,
        },
    );
    does(
        &mut fs,
        Op::Chown {
            name: name("B"),
            uid: Caller::USER_UID,
        },
    );
    is_answered(&mut fs, by_user(&read_only), 0, 4096);
}

#[test]
fn a_readonly_mount_refuses_and_a_readonly_snapshot_does_not() {
    let mut fs = twins();
    let target = Op::Snapshot {
        source: name("."),
        target: name("S1"),
        is_readonly: true,
    };
    does(&mut fs, target);
    let into = |fd| DedupeCall::new(crate::fd("A"), 0, 4096, fd, 0);
    let snapshotted = Fd::with_access(name("S1/B"), Access::ReadOnly);
    is_answered(&mut fs, into(snapshotted), 0, 4096);
    let mounted = |text| Fd {
        mount: Mount::ReadOnly,
        ..Fd::with_access(name(text), Access::ReadOnly)
    };
    is_element_refused(&mut fs, into(mounted("B")), Errno::EROFS);
    is_answered(
        &mut fs,
        DedupeCall {
            source: mounted("A"),
            ..call(0, 4096, 0)
        },
        0,
        4096,
    );
    let second = Fd {
        mount: Mount::Second,
        ..fd("B")
    };
    is_answered(&mut fs, into(second), 0, 4096);
    let unopened = Op::Dedupe(into(fd("S1/B")));
    assert_eq!(fs.act(&unopened), Outcome::NotOpened(Errno::EROFS));
}

#[test]
fn checksums_must_agree_and_an_immutable_target_is_refused() {
    let mut fs = twins();
    does(
        &mut fs,
        Op::File {
            name: name("N"),
            is_nocow: true,
        },
    );
    write(&mut fs, "N", 0, Content::pattern(1, 0, 4096));
    is_element_refused(
        &mut fs,
        DedupeCall::new(fd("A"), 0, 4096, fd("N"), 0),
        Errno::EINVAL,
    );
    let immutable = |name, is_set| Op::Chattr {
        name,
        attribute: Attribute::Immutable,
        is_set,
    };
    does(&mut fs, immutable(name("B"), true));
    is_element_refused(&mut fs, call(0, 4096, 0), Errno::EPERM);
    does(&mut fs, immutable(name("B"), false));
    does(&mut fs, immutable(name("A"), true));
    is_answered(&mut fs, call(0, 4096, 0), 0, 4096);
}

#[test]
fn a_list_longer_than_a_page_is_refused() {
    let mut fs = twins();
    let list = |nr_targets| {
        let mut call = call(0, 4096, 0);
        call.targets = vec![call.targets[0].clone(); nr_targets];
        call
    };
    assert_eq!(
        answer(&mut fs, list(127)),
        (CallEnd::Returned, vec![(0, 4096); 127])
    );
    assert_eq!(answer(&mut fs, list(0)), (CallEnd::Returned, vec![]));
    is_refused(&mut fs, list(128), Errno::ENOMEM);
    is_refused(
        &mut fs,
        DedupeCall {
            count: Some(65535),
            ..list(1)
        },
        Errno::ENOMEM,
    );
}

#[test]
fn memory_that_ends_refuses_and_memory_that_turns_readonly_is_written_up_to_there() {
    let mut fs = twins();
    let list = |memory| {
        let mut call = call(0, 4096, 0);
        call.targets = vec![call.targets[0].clone(); 3];
        DedupeCall { memory, ..call }
    };
    let (end, elements) = answer(&mut fs, list(CallMemory::UnmappedAfter(2)));
    assert_eq!(
        (end, elements),
        (CallEnd::Failed(Errno::EFAULT), vec![UNTOUCHED; 2])
    );
    let (end, elements) = answer(&mut fs, list(CallMemory::ReadonlyAfter(1)));
    assert_eq!(end, CallEnd::Failed(Errno::EFAULT));
    assert_eq!(elements, [(0, 4096), UNTOUCHED, UNTOUCHED]);
    for (memory, nr_bytes) in [(CallMemory::HalfHeader, 12), (CallMemory::Pointer(0), 0)] {
        match fs.act(&Op::Dedupe(list(memory))) {
            Outcome::Dedupe {
                end: CallEnd::Failed(Errno::EFAULT),
                elements,
                bytes,
            } => {
                assert_eq!((elements.len(), bytes.len()), (0, nr_bytes));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_refused_element_stops_no_other() {
    let mut fs = twins();
    let mut list = call(0, 4096, 0);
    list.targets.push(DedupeTarget {
        fd: Fd::special(Target::Closed),
        offset: 0,
        reserved: 0,
    });
    list.targets.push(DedupeTarget {
        fd: fd("B"),
        offset: 4096,
        reserved: 0,
    });
    list.targets.push(list.targets[0].clone());
    let statuses = vec![(0, 4096), (Errno::EBADF.status(), 0), (1, 0), (0, 4096)];
    assert_eq!(answer(&mut fs, list), (CallEnd::Returned, statuses));
}
