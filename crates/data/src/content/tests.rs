//! Laws of contents, against a plain vector of bytes.

use std::fmt;

use quickcheck::{Arbitrary, Gen};

use super::*;
use crate::{Digest, Digester};

/// A change to a content, small enough that changes meet.
#[derive(Clone, Debug)]
enum Change {
    Append(Piece),
    Overwrite(u16, Piece),
    Truncate(u16),
    Slice(u16, u16),
    CopyWithin(u16, u16, u16),
}

/// A content of few kinds, so that neighbours often are one run.
#[derive(Clone, Debug)]
enum Piece {
    Byte(u8, u16),
    Pattern(u64, u64, u16),
    Literal(Vec<u8>),
    Zeros(Vec<u8>),
}

/// A content and the same bytes as a vector.
#[derive(Clone, Default)]
struct Pair {
    content: Content,
    bytes: Vec<u8>,
}

impl Arbitrary for Piece {
    fn arbitrary(g: &mut Gen) -> Self {
        let len = u16::arbitrary(g) % if bool::arbitrary(g) { 10_000 } else { 40 };
        match u8::arbitrary(g) % 4 {
            0 => Self::Byte(u8::arbitrary(g) % 2, len),
            1 => Self::Pattern(u64::arbitrary(g) % 2, u64::from(u8::arbitrary(g) % 24), len),
            2 => Self::Literal(Vec::arbitrary(g)),
            _ => Self::Zeros(vec![0; usize::from(len)]),
        }
    }
}

impl Arbitrary for Change {
    fn arbitrary(g: &mut Gen) -> Self {
        let number = |g: &mut Gen| u16::arbitrary(g) % 20_000;
        match u8::arbitrary(g) % 8 {
            0 | 1 => Self::Append(Piece::arbitrary(g)),
            2..=4 => Self::Overwrite(number(g), Piece::arbitrary(g)),
            5 => Self::Truncate(number(g)),
            6 => Self::Slice(number(g), number(g)),
            _ => Self::CopyWithin(number(g), number(g), number(g)),
        }
    }
}

impl Arbitrary for Pair {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut pair = Self::default();
        Vec::<Change>::arbitrary(g)
            .into_iter()
            .take(24)
            .for_each(|change| pair.apply(change));
        pair
    }
}

impl Piece {
    fn content(self) -> Content {
        match self {
            Self::Byte(byte, len) => Content::byte(byte, len.into()),
            Self::Pattern(seed, at, len) => Content::pattern(seed, at, len.into()),
            Self::Literal(bytes) | Self::Zeros(bytes) => Content::literal(bytes),
        }
    }
}

impl Pair {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Append(piece) => {
                let tail = piece.content();
                self.bytes.extend(tail.to_vec());
                self.content.append(tail);
            }
            Change::Overwrite(offset, piece) => self.overwrite(offset, piece.content()),
            Change::Truncate(len) => {
                self.bytes.resize(len.into(), 0);
                self.content.truncate(len.into());
            }
            Change::Slice(start, end) => {
                let range = self.range(start, end);
                self.content = self.content.slice(range.start as u64..range.end as u64);
                self.bytes = self.bytes[range].to_vec();
            }
            Change::CopyWithin(start, end, offset) => {
                let range = self.range(start, end);
                let copy = self.content.slice(range.start as u64..range.end as u64);
                self.overwrite(offset, copy);
            }
        }
    }

    fn overwrite(&mut self, offset: u16, patch: Content) {
        let (start, bytes) = (usize::from(offset), patch.to_vec());
        if !bytes.is_empty() {
            self.bytes
                .resize(self.bytes.len().max(start + bytes.len()), 0);
            self.bytes[start..start + bytes.len()].copy_from_slice(&bytes);
        }
        self.content.overwrite(offset.into(), patch);
    }

    /// Returns a range within the bytes, made of two arbitrary numbers.
    fn range(&self, a: u16, b: u16) -> Range<usize> {
        let [a, b] = [a, b].map(|n| usize::from(n) % (self.bytes.len() + 1));
        a.min(b)..a.max(b)
    }

    fn is_canonical(&self) -> bool {
        let runs = self.content.runs();
        runs.windows(2)
            .all(|pair| !pair[0].clone().absorb(&pair[1]))
            && runs.iter().all(|run| 0 < run.len())
            && runs.iter().map(Run::len).sum::<u64>() == self.content.len()
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The description only: thousands of bytes would drown a failing test.
        fmt::Debug::fmt(&self.content, f)
    }
}

#[test]
fn bytes_are_those_of_a_vector_after_any_changes() {
    fn law(pair: Pair) -> bool {
        pair.content.to_vec() == pair.bytes
            && pair.content.len() == pair.bytes.len() as u64
            && pair.content.is_empty() == pair.bytes.is_empty()
            && pair.content == Content::literal(pair.bytes)
    }
    quickcheck::QuickCheck::new()
        .tests(300)
        .quickcheck(law as fn(Pair) -> bool);
}

#[test]
fn runs_are_canonical_after_any_changes() {
    fn law(pair: Pair) -> bool {
        pair.is_canonical()
    }
    quickcheck::QuickCheck::new()
        .tests(300)
        .quickcheck(law as fn(Pair) -> bool);
}

#[test]
fn any_range_reads_and_digests_as_in_a_vector() {
    fn law(pair: Pair, a: u16, b: u16) -> bool {
        let range = pair.range(a, b);
        let wide = range.start as u64..range.end as u64;
        let bytes = &pair.bytes[range];
        let mut read = vec![0xAA; bytes.len()];
        pair.content.read_at(wide.start, &mut read);
        let digest = Digest::of(bytes);
        read == bytes
            && pair.content.digest_range(wide.clone()) == digest
            && pair.content.slice(wide).digest() == digest
    }
    quickcheck::QuickCheck::new()
        .tests(300)
        .quickcheck(law as fn(Pair, u16, u16) -> bool);
}

#[test]
fn the_first_difference_is_that_of_vectors() {
    fn law(one: Pair, two: Pair, starts: (u16, u16), len: u16) -> bool {
        is_first_difference_right(&one, &two, starts, len)
    }
    let law = law as fn(Pair, Pair, (u16, u16), u16) -> bool;
    quickcheck::QuickCheck::new().tests(300).quickcheck(law);
}

#[test]
fn the_first_difference_is_found_after_a_small_change() {
    // Two unrelated contents differ early; these agree for long, in other descriptions.
    fn law(one: Pair, at: u16, start: u16, len: u16) -> bool {
        let mut bytes = one.bytes.clone();
        let at = usize::from(at) % (bytes.len() + 1);
        bytes
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= 1);
        let two = Pair {
            content: Content::literal(bytes.clone()),
            bytes,
        };
        is_first_difference_right(&one, &two, (start, start), len)
    }
    quickcheck::QuickCheck::new()
        .tests(300)
        .quickcheck(law as fn(Pair, u16, u16, u16) -> bool);
}

fn is_first_difference_right(one: &Pair, two: &Pair, starts: (u16, u16), len: u16) -> bool {
    let [a, b] = [(one, starts.0), (two, starts.1)]
        .map(|(pair, start)| usize::from(start) % (pair.bytes.len() + 1));
    let len = usize::from(len)
        .min(one.bytes.len() - a)
        .min(two.bytes.len() - b);
    let expected = one.bytes[a..a + len]
        .iter()
        .zip(&two.bytes[b..])
        .position(|(x, y)| x != y);
    let found = one
        .content
        .first_difference(a as u64, &two.content, b as u64, len as u64);
    found == expected.map(|at| at as u64)
}

#[test]
fn digests_in_pieces_are_those_of_the_content() {
    fn law(pair: Pair, piece_len: u8) -> bool {
        let mut digester = Digester::new();
        pair.bytes
            .chunks(usize::from(piece_len) + 1)
            .for_each(|piece| digester.update(piece));
        pair.content.digest() == digester.finish()
    }
    quickcheck::QuickCheck::new().quickcheck(law as fn(Pair, u8) -> bool);
}

#[test]
fn cutting_and_joining_gives_the_same_runs() {
    fn law(pair: Pair, at: u16) -> bool {
        let at = u64::from(at) % (pair.content.len() + 1);
        let mut joined = pair.content.slice(0..at);
        joined.append(pair.content.slice(at..pair.content.len()));
        format!("{joined:?}") == format!("{:?}", pair.content)
    }
    quickcheck::QuickCheck::new()
        .tests(300)
        .quickcheck(law as fn(Pair, u16) -> bool);
}

#[test]
fn a_tebibyte_of_8192_runs_costs_less_than_4_mib() {
    let mut content = Content::new();
    for seed in 0..8192 {
        content.append(Content::pattern(seed, 0, 1 << 27));
    }
    assert_eq!(content.len(), 1 << 40);
    assert_eq!(content.runs().len(), 8192);
    assert!(content.runs.capacity() * size_of::<Run>() < 4 << 20);
    assert!(size_of::<Content>() <= 64);
}

#[test]
fn a_tebibyte_described_alike_is_compared_at_once() {
    // In bytes this would take minutes; the test's own time is the assertion.
    let mut one = Content::pattern(1, 0, 1 << 40);
    one.overwrite(1 << 30, Content::zeros(1 << 35));
    let two = one.clone();
    assert_eq!(one.first_difference(0, &two, 0, 1 << 40), None);
    one.overwrite((1 << 40) - 1, Content::byte(0, 1));
    one.overwrite((1 << 40) - 1, two.slice((1 << 40) - 1..1 << 40));
    assert_eq!(one.runs().len(), 3);
}

#[test]
fn other_streams_differ_at_once() {
    let one = Content::pattern(1, 0, 1 << 40);
    assert!(one.first_difference(0, &Content::pattern(2, 0, 1 << 40), 0, 1 << 40) < Some(8));
    assert!(one.first_difference(0, &one, 1, (1 << 40) - 1) < Some(8));
    assert!(one.first_difference(0, &Content::zeros(1 << 40), 0, 1 << 40) < Some(8));
}

#[test]
fn an_empty_patch_does_not_grow() {
    let mut content = Content::zeros(4);
    content.overwrite(9, Content::new());
    assert_eq!(content.len(), 4);
}

#[test]
fn pieces_stop_at_the_first_failure() {
    let mut nr_calls = 0;
    let result = Content::pattern(0, 0, 1 << 40).try_for_each_chunk(0..1 << 40, |_| {
        nr_calls += 1;
        if nr_calls == 3 { Err("full") } else { Ok(()) }
    });
    assert_eq!((result, nr_calls), (Err("full"), 3));
}

#[test]
fn a_long_run_digests_as_its_bytes() {
    for content in [
        Content::byte(0x61, 100_003),
        Content::pattern(5, 3, 100_003),
    ] {
        assert_eq!(content.digest(), Digest::of(&content.to_vec()));
    }
}
