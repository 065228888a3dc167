//! The calls under test: placement of the request in memory, callers, descriptors of every kind.

use data::Content;
use scenario::op::Caller;
use scenario::{
    Access, Attribute, CallEnd, CallMemory, CloneCall, DedupeCall, DedupeTarget, Fd, Mount, Op,
    Outcome, Target,
};
use uapi::Errno;

use crate::Test;
use crate::subject::{Subject, element, fd, name};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_dedupe_of_equal_files_shares_storage",
        dedupe_shares_storage,
    ),
    (
        "a_refused_dedupe_leaves_the_untouched_values",
        refused_dedupe_is_untouched,
    ),
    ("a_clone_of_a_range_shares_storage", clone_shares_storage),
    (
        "memory_that_ends_after_the_header_faults",
        memory_that_ends_faults,
    ),
    (
        "memory_that_turns_read_only_keeps_all_elements",
        read_only_memory_keeps_elements,
    ),
    (
        "a_pointer_to_nothing_and_half_a_header_fault",
        pointer_and_half_header_fault,
    ),
    (
        "an_unprivileged_caller_is_refused_what_root_may",
        user_is_refused,
    ),
    (
        "every_special_descriptor_has_its_status",
        special_descriptors_have_their_status,
    ),
    (
        "bit_32_of_a_descriptor_is_not_looked_at",
        high_bit_is_not_looked_at,
    ),
    (
        "the_read_only_mount_refuses_and_the_second_does_not",
        mounts_differ,
    ),
    (
        "130_elements_are_too_many_and_0_are_none",
        numbers_of_elements,
    ),
    (
        "a_count_beyond_the_elements_meets_closed_ones",
        count_beyond_elements,
    ),
    (
        "reply_bytes_are_the_same_for_the_same_call",
        reply_bytes_are_normalised,
    ),
];

const LEN: u64 = 65536;

fn pair(subject: &mut Subject) -> (Fd, Fd) {
    let a = subject.file("A", Content::pattern(1, 0, LEN));
    let b = subject.file("B", Content::pattern(1, 0, LEN));
    (fd(&a), fd(&b))
}

fn target(fd: Fd) -> DedupeTarget {
    DedupeTarget {
        fd,
        offset: 0,
        reserved: 0,
    }
}

fn untouched() -> scenario::ElementAnswer {
    element(
        DedupeTarget::UNTOUCHED_STATUS,
        DedupeTarget::UNTOUCHED_BYTES,
    )
}

fn dedupe_shares_storage() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let (end, elements, bytes) = subject.dedupe(DedupeCall::new(a, 0, LEN, b, 0));
    assert_eq!((end, elements), (CallEnd::Returned, vec![element(0, LEN)]));
    assert_eq!(bytes.len(), 24 + 32);
    let (one, two) = (subject.look(&name("A")), subject.look(&name("B")));
    assert_eq!(one.2, two.2);
    assert!(one.2[0].flags.is_shared && one.2[0].storage.is_some());
    subject.done(Op::Write {
        name: name("B"),
        offset: 5,
        content: Content::byte(9, 1),
    });
    let (end, elements, _) =
        subject.dedupe(DedupeCall::new(fd(&name("A")), 0, LEN, fd(&name("B")), 0));
    assert_eq!((end, elements), (CallEnd::Returned, vec![element(1, 0)]));
}

fn refused_dedupe_is_untouched() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let call = DedupeCall {
        reserved1: 1,
        ..DedupeCall::new(a, 0, 4096, b, 0)
    };
    let (end, elements, _) = subject.dedupe(call);
    assert_eq!(
        (end, elements),
        (CallEnd::Failed(Errno::EINVAL), vec![untouched()])
    );
}

fn clone_shares_storage() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let clone = |source: &Fd, target: &Fd, len| {
        let (source, target) = (source.clone(), target.clone());
        Op::Clone(CloneCall {
            source,
            source_offset: 0,
            len,
            target,
            target_offset: 0,
        })
    };
    subject.done(clone(&a, &b, 4096));
    let (one, two) = (subject.look(&name("A")).2, subject.look(&name("B")).2);
    assert_eq!(one[0].storage, two[0].storage);
    assert_eq!(
        subject.outcome(clone(&a, &b, 4095)),
        Outcome::Failed(Errno::EINVAL)
    );
    let closed = Fd::special(Target::Closed);
    assert_eq!(
        subject.outcome(clone(&closed, &b, 0)),
        Outcome::Failed(Errno::EBADF)
    );
    assert_eq!(
        subject.outcome(clone(&a, &closed, 0)),
        Outcome::Failed(Errno::EBADF)
    );
}

fn memory_that_ends_faults() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    for (whole, expected) in [(0, 0), (1, 1), (2, 2)] {
        let mut call = DedupeCall::new(a.clone(), 0, 4096, b.clone(), 0);
        call.targets = vec![target(b.clone()), target(b.clone()), target(b.clone())];
        call.memory = CallMemory::UnmappedAfter(whole);
        let (end, elements, bytes) = subject.dedupe(call);
        assert_eq!(end, CallEnd::Failed(Errno::EFAULT));
        assert_eq!(elements, vec![untouched(); expected]);
        assert_eq!(bytes.len(), 24 + 32 * expected);
    }
    let mut call = DedupeCall::new(a, 0, 4096, b, 0);
    call.memory = CallMemory::UnmappedAfter(1);
    assert_eq!(subject.dedupe(call).1, [element(0, 4096)]);
}

fn read_only_memory_keeps_elements() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let mut call = DedupeCall::new(a, 0, 4096, b.clone(), 0);
    call.targets = vec![target(b.clone()), target(b)];
    call.memory = CallMemory::ReadonlyAfter(0);
    let (end, elements, bytes) = subject.dedupe(call.clone());
    assert_eq!(
        (end, elements.len(), bytes.len()),
        (CallEnd::Failed(Errno::EFAULT), 2, 24 + 64)
    );
    call.memory = CallMemory::ReadonlyAfter(2);
    assert_eq!(subject.dedupe(call).1, [element(0, 4096), element(0, 4096)]);
}

fn pointer_and_half_header_fault() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    for (memory, len) in [
        (CallMemory::Pointer(0), 0),
        (CallMemory::Pointer(8), 0),
        (CallMemory::HalfHeader, 12),
    ] {
        let call = DedupeCall {
            memory,
            ..DedupeCall::new(a.clone(), 0, 4096, b.clone(), 0)
        };
        let (end, elements, bytes) = subject.dedupe(call);
        assert_eq!(
            (end, elements),
            (CallEnd::Failed(Errno::EFAULT), Vec::new()),
            "{memory:?}"
        );
        assert_eq!(bytes.len(), len);
    }
}

fn user_is_refused() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let read_only = Fd {
        access: Access::ReadOnly,
        ..b
    };
    let call = |caller| DedupeCall {
        caller,
        ..DedupeCall::new(a.clone(), 0, 4096, read_only.clone(), 0)
    };
    assert_eq!(
        subject.dedupe(call(Caller::User)).1,
        [element(Errno::EPERM.status(), 0)]
    );
    assert_eq!(subject.dedupe(call(Caller::Root)).1, [element(0, 4096)]);
    subject.done(Op::Chown {
        name: name("B"),
        uid: Caller::USER_UID,
    });
    assert_eq!(subject.dedupe(call(Caller::User)).1, [element(0, 4096)]);
    // Root again: another caller could not.
    subject.done(Op::Chown {
        name: name("B"),
        uid: 0,
    });
}

fn special_descriptors_have_their_status() {
    let mut subject = Subject::new();
    let (a, _) = pair(&mut subject);
    for (special, errno) in [
        (Target::Closed, Errno::EBADF),
        (Target::MinusOne, Errno::EBADF),
        (Target::Null, Errno::EXDEV),
        (Target::PipeWrite, Errno::EXDEV),
        (Target::Socket, Errno::EXDEV),
        (Target::Tmpfs, Errno::EXDEV),
    ] {
        let call = DedupeCall::new(a.clone(), 0, 4096, Fd::special(special.clone()), 0);
        let (end, elements, _) = subject.dedupe(call);
        assert_eq!(
            (end, elements),
            (CallEnd::Returned, vec![element(errno.status(), 0)]),
            "{special:?}"
        );
    }
    for (special, errno) in [
        (Target::Closed, Errno::EBADF),
        (Target::MinusOne, Errno::EBADF),
        (Target::PipeRead, Errno::EINVAL),
        (Target::PipeWrite, Errno::EINVAL),
        (Target::Null, Errno::EINVAL),
        (Target::Tmpfs, Errno::EOPNOTSUPP),
        (Target::Proc, Errno::EOPNOTSUPP),
    ] {
        let call = DedupeCall::new(Fd::special(special.clone()), 0, 4096, a.clone(), 0);
        let (end, elements, _) = subject.dedupe(call);
        assert_eq!(
            (end, elements),
            (CallEnd::Failed(errno), vec![untouched()]),
            "{special:?}"
        );
    }
    let absent = DedupeCall::new(fd(&name("Z")), 0, 0, a, 0);
    assert_eq!(
        subject.outcome(Op::Dedupe(absent)),
        Outcome::NotOpened(Errno::ENOENT)
    );
}

fn high_bit_is_not_looked_at() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let b = Fd {
        has_high_bit: true,
        ..b
    };
    let (_, elements, bytes) = subject.dedupe(DedupeCall::new(a, 0, LEN, b, 0));
    assert_eq!(elements, [element(0, LEN)]);
    assert_eq!(bytes[24..32], [0; 8]);
}

fn mounts_differ() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let on = |mount, access| Fd {
        mount,
        access,
        ..b.clone()
    };
    let second = on(Mount::Second, Access::ReadWrite);
    assert_eq!(
        subject
            .dedupe(DedupeCall::new(a.clone(), 0, 4096, second, 0))
            .1,
        [element(0, 4096)]
    );
    let readonly = on(Mount::ReadOnly, Access::ReadOnly);
    let call = DedupeCall::new(a.clone(), 0, 4096, readonly.clone(), 0);
    assert_eq!(subject.dedupe(call).1, [element(Errno::EROFS.status(), 0)]);
    let call = DedupeCall::new(readonly, 0, 4096, a.clone(), 0);
    assert_eq!(subject.dedupe(call).1, [element(0, 4096)]);
    let call = DedupeCall::new(a, 0, 4096, on(Mount::ReadOnly, Access::ReadWrite), 0);
    assert_eq!(
        subject.outcome(Op::Dedupe(call)),
        Outcome::NotOpened(Errno::EROFS)
    );
}

fn numbers_of_elements() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let mut call = DedupeCall::new(a, 0, 4096, b.clone(), 0);
    call.targets = vec![target(b); 130];
    let (end, elements, _) = subject.dedupe(call.clone());
    assert_eq!(
        (end, elements),
        (CallEnd::Failed(Errno::ENOMEM), vec![untouched(); 130])
    );
    call.targets.truncate(127);
    assert_eq!(subject.dedupe(call.clone()).1, vec![element(0, 4096); 127]);
    call.targets.clear();
    let (end, elements, bytes) = subject.dedupe(call);
    assert_eq!(
        (end, elements.len(), bytes.len()),
        (CallEnd::Returned, 0, 24)
    );
}

fn count_beyond_elements() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let call = DedupeCall {
        count: Some(5),
        ..DedupeCall::new(a, 0, 4096, b, 0)
    };
    let (end, elements, bytes) = subject.dedupe(call.clone());
    assert_eq!((end, elements), (CallEnd::Returned, vec![element(0, 4096)]));
    assert_eq!(bytes.len(), 24 + 32);
    let call = DedupeCall {
        count: Some(u16::MAX),
        ..call
    };
    assert_eq!(subject.dedupe(call).0, CallEnd::Failed(Errno::ENOMEM));
}

fn reply_bytes_are_normalised() {
    let mut subject = Subject::new();
    let (a, b) = pair(&mut subject);
    let call = DedupeCall::new(a, 4096, 4096, b, 4096);
    let first = subject.dedupe(call.clone());
    subject.done(Op::Unlink {
        name: name("B"),
        is_held: false,
    });
    subject.file("C", Content::byte(0, 1));
    subject.file("B", Content::pattern(1, 0, LEN));
    assert_eq!(subject.dedupe(call.clone()), first);
    subject.done(Op::Chattr {
        name: name("B"),
        attribute: Attribute::Immutable,
        is_set: true,
    });
    assert_eq!(subject.dedupe(call).1, [element(Errno::EPERM.status(), 0)]);
}
