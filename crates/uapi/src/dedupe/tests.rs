//! Laws of the dedupe argument: layout, round trips, and that no bytes make it panic.

use super::*;

fn request(src: (u64, u64), targets: &[(i64, u64)]) -> Vec<u8> {
    let builder = RequestBuilder::new(src.0, src.1);
    targets
        .iter()
        .fold(builder, |b, &(fd, offset)| b.target(fd, offset))
        .build()
}

#[test]
fn the_layout_is_that_of_the_kernel() {
    let element = DedupeElement {
        dest_fd: I64::new(-3),
        dest_offset: U64::new(0x1122_3344_5566_7788),
        bytes_deduped: U64::new(5),
        status: I32::new(-22),
        reserved: U32::new(0x0A0B_0C0D),
    };
    let bytes = RequestBuilder::new(0x1000, 0x0200_0000)
        .reserved(0x0102, 7)
        .element(element)
        .build();
    let expected = [
        0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, // src_offset, src_length
        1, 0, 2, 1, 7, 0, 0, 0, // dest_count, reserved1, reserved2
        0xFD, 255, 255, 255, 255, 255, 255, 255, // dest_fd
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, // dest_offset
        5, 0, 0, 0, 0, 0, 0, 0, // bytes_deduped
        0xEA, 255, 255, 255, 0x0D, 0x0C, 0x0B, 0x0A, // status, reserved
    ];
    assert_eq!(bytes, expected);
    assert_eq!(bytes.len(), request_len(1));
}

#[test]
fn what_is_built_is_what_is_read() {
    fn law(src: (u64, u64), targets: Vec<(i64, u64)>) -> bool {
        let bytes = request(src, &targets);
        let read = elements(&bytes).expect("all elements are there");
        let header = header(&bytes).expect("the header is there");
        *header == DedupeHeader::new(src.0, src.1, targets.len() as u16)
            && read
                .iter()
                .map(|e| (e.dest_fd.get(), e.dest_offset.get()))
                .eq(targets)
            && encode(header, read) == bytes
    }
    quickcheck::quickcheck(law as fn((u64, u64), Vec<(i64, u64)>) -> bool);
}

#[test]
fn any_bytes_are_viewed_or_refused_without_panic() {
    fn law(mut bytes: Vec<u8>, idx: usize) -> bool {
        let len = bytes.len();
        let fits = |idx: usize| {
            idx.checked_mul(32)
                .and_then(|at| at.checked_add(56))
                .is_some_and(|end| end <= len)
        };
        [idx, idx % 8].into_iter().all(|idx| {
            element(&bytes, idx).is_ok() == fits(idx)
                && element_mut(&mut bytes, idx).is_ok() == fits(idx)
                && write_result(&mut bytes, idx, 1, 2).is_ok() == fits(idx)
        }) && header(&bytes).is_ok() == (24 <= len)
            && header_mut(&mut bytes).is_ok() == (24 <= len)
            && elements(&bytes).is_ok()
                == header(&bytes).is_ok_and(|h| request_len(h.dest_count.get()) <= len)
            && normalised_reply(&bytes, &bytes).len() == len
    }
    quickcheck::QuickCheck::new()
        .tests(2_000)
        .quickcheck(law as fn(Vec<u8>, usize) -> bool);
}

#[test]
fn an_element_is_refused_by_the_first_that_is_not_whole() {
    let mut bytes = request((0, 4096), &[(3, 0), (4, 0), (5, 0)]);
    bytes.truncate(request_len(2) + 31);
    let refusal = DecodeError::ElementTruncated {
        element_idx: 2,
        len: 119,
    };
    assert_eq!(elements(&bytes), Err(refusal));
    assert_eq!(element(&bytes, 2), Err(refusal));
    assert!(element(&bytes, 1).is_ok());
    assert_eq!(refusal.to_string(), "element 2 is not whole in 119 bytes");
}

#[test]
fn the_largest_index_does_not_overflow() {
    let bytes = request((0, 0), &[(3, 0)]);
    assert!(element(&bytes, usize::MAX).is_err());
    assert!(element(&bytes, usize::MAX / ELEMENT_LEN).is_err());
}

#[test]
fn a_reply_differs_from_its_request_only_in_out_fields() {
    fn law(targets: Vec<(i64, u64)>, idx: usize, bytes_deduped: u64, status: i32) -> bool {
        let asked = request((1, 2), &targets);
        let mut answered = asked.clone();
        let idx = idx % (targets.len() + 1);
        let result = write_result(&mut answered, idx, bytes_deduped, status);
        let out = HEADER_LEN + idx * ELEMENT_LEN + 16..HEADER_LEN + idx * ELEMENT_LEN + 28;
        let is_elsewhere_same = asked
            .iter()
            .zip(&answered)
            .enumerate()
            .all(|(at, (before, after))| out.contains(&at) || before == after);
        let is_written = element(&answered, idx)
            .is_ok_and(|e| e.bytes_deduped.get() == bytes_deduped && e.status.get() == status);
        is_elsewhere_same && result.is_ok() == (idx < targets.len()) && is_written == result.is_ok()
    }
    quickcheck::quickcheck(law as fn(Vec<(i64, u64)>, usize, u64, i32) -> bool);
}

#[test]
fn normalised_replies_do_not_depend_on_descriptor_numbers() {
    fn law(targets: Vec<(i64, u64)>, shift: i64, cut: usize) -> bool {
        let moved: Vec<_> = targets
            .iter()
            .map(|&(fd, at)| (fd.wrapping_add(shift), at))
            .collect();
        let [one, two] = [&targets, &moved].map(|targets| {
            let asked = request((9, 9), targets);
            let mut answered = asked.clone();
            for idx in 0..targets.len() {
                write_result(&mut answered, idx, 4096, DIFFERS).expect("the element is there");
            }
            // Cut between elements, where a reply of a faulting call would end.
            answered.truncate(request_len((cut % (targets.len() + 1)) as u16));
            normalised_reply(&asked, &answered)
        });
        one == two
    }
    quickcheck::quickcheck(law as fn(Vec<(i64, u64)>, i64, usize) -> bool);
}

#[test]
fn a_changed_descriptor_shows_in_a_normalised_reply() {
    let asked = request((0, 0), &[(7, 0)]);
    let answered = request((0, 0), &[(9, 0)]);
    let normalised = normalised_reply(&asked, &answered);
    assert_eq!(element(&normalised, 0).map(|e| e.dest_fd.get()), Ok(2));
}

#[test]
fn elements_that_the_request_lacks_stay_as_they_are() {
    let answered = request((0, 0), &[(9, 0)]);
    assert_eq!(normalised_reply(&[], &answered), answered);
}

#[test]
fn a_claimed_count_may_lie() {
    let bytes = RequestBuilder::new(0, 0)
        .target(3, 0)
        .claimed_count(9)
        .build();
    assert_eq!(bytes.len(), request_len(1));
    assert_eq!(header(&bytes).map(|h| h.dest_count.get()), Ok(9));
    assert!(elements(&bytes).is_err());
}
