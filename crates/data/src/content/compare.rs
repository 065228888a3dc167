//! Comparing contents: by description where that decides, by bytes where it does not.
//!
//! Stretches described alike cost nothing however long they are. Others are compared through
//! small buffers, beginning with few bytes, because different descriptions mostly differ at once.

use super::Content;
use super::read::Pieces;
use crate::fill::{Fill, Run};

/// The first chunk that is really compared; most differences are in it.
const CHUNK_LEN_MIN: usize = 64;
/// Large enough to make the loop free, small enough for the stack and the cache.
const CHUNK_LEN_MAX: usize = 4 << 10;

/// A walk over the runs of a range that can stop anywhere.
struct Cursor<'a> {
    pieces: Pieces<'a>,
    piece: Option<(&'a Run, u64, u64)>,
}

impl Content {
    /// Returns where two ranges of `len` bytes first differ, in bytes from their starts.
    ///
    /// The ranges start at `start` here and at `other_start` in `other`.
    ///
    /// # Panics
    ///
    /// If one of the ranges ends past the end of its content, as slices do.
    #[must_use]
    pub fn first_difference(
        &self,
        start: u64,
        other: &Self,
        other_start: u64,
        len: u64,
    ) -> Option<u64> {
        let mut one = Cursor::new(self.pieces_from(start, len));
        let mut two = Cursor::new(other.pieces_from(other_start, len));
        let mut done = 0;
        while let (Some(a), Some(b)) = (one.piece, two.piece) {
            let step = a.2.min(b.2);
            if let Some(at) = difference_of_parts((a.0, a.1), (b.0, b.1), step) {
                return Some(done + at);
            }
            done += step;
            one.advance(step);
            two.advance(step);
        }
        None
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.first_difference(0, other, 0, self.len).is_none()
    }
}

impl Eq for Content {}

impl<'a> Cursor<'a> {
    fn new(mut pieces: Pieces<'a>) -> Self {
        let piece = pieces.next();
        Self { pieces, piece }
    }

    /// Moves on by `step` bytes, which the current piece has.
    fn advance(&mut self, step: u64) {
        self.piece = match self.piece {
            Some((run, skip, len)) if step < len => Some((run, skip + step, len - step)),
            Some(_) | None => self.pieces.next(),
        };
    }
}

/// Returns where `len` bytes of two runs first differ, each from its own offset.
fn difference_of_parts(one: (&Run, u64), two: (&Run, u64), len: u64) -> Option<u64> {
    if one.0.fill().is_same_from(one.1, two.0.fill(), two.1) {
        return None;
    }
    match (one.0.fill(), two.0.fill()) {
        // Not described alike, hence not the same byte.
        (Fill::Byte(_), Fill::Byte(_)) => Some(0),
        (
            Fill::Byte(_) | Fill::Pattern { .. } | Fill::Literal { .. },
            Fill::Byte(_) | Fill::Pattern { .. } | Fill::Literal { .. },
        ) => difference_of_bytes(one, two, len),
    }
}

/// Returns where `len` bytes of two runs first differ, by looking at them.
fn difference_of_bytes(one: (&Run, u64), two: (&Run, u64), len: u64) -> Option<u64> {
    if let (Some(a), Some(b)) = (one.0.as_literal(), two.0.as_literal()) {
        let (a, b) = (&a[one.1 as usize..], &b[two.1 as usize..]);
        return difference_of_slices(&a[..len as usize], &b[..len as usize]).map(|at| at as u64);
    }
    let mut done = len.min(CHUNK_LEN_MIN as u64);
    let mut small = [[0; CHUNK_LEN_MIN]; 2];
    let [a, b] = small.each_mut().map(|buffer| &mut buffer[..done as usize]);
    if let Some(at) = difference_of_chunks(one, two, a, b) {
        return Some(at as u64);
    }
    if done == len {
        return None;
    }
    let mut large = [[0; CHUNK_LEN_MAX]; 2];
    while done < len {
        let chunk_len = (len - done).min(CHUNK_LEN_MAX as u64);
        let [a, b] = large
            .each_mut()
            .map(|buffer| &mut buffer[..chunk_len as usize]);
        if let Some(at) = difference_of_chunks((one.0, one.1 + done), (two.0, two.1 + done), a, b) {
            return Some(done + at as u64);
        }
        done += chunk_len;
    }
    None
}

/// Returns where two runs first differ within one chunk; the buffers give its length.
fn difference_of_chunks(
    one: (&Run, u64),
    two: (&Run, u64),
    one_buffer: &mut [u8],
    two_buffer: &mut [u8],
) -> Option<usize> {
    difference_of_slices(view(one, one_buffer), view(two, two_buffer))
}

/// Returns as many bytes as the buffer has, in the buffer unless they are in memory already.
fn view<'a>((run, skip): (&'a Run, u64), buffer: &'a mut [u8]) -> &'a [u8] {
    match run.as_literal() {
        Some(bytes) => &bytes[skip as usize..][..buffer.len()],
        None => {
            run.read_at(skip, buffer);
            buffer
        }
    }
}

/// Returns where two slices of one length first differ.
fn difference_of_slices(one: &[u8], two: &[u8]) -> Option<usize> {
    // `==` on slices is memcmp, which does not say where; a chunk of it is soon searched.
    let mut chunks = one.chunks(CHUNK_LEN_MAX).zip(two.chunks(CHUNK_LEN_MAX));
    let chunk_idx = chunks.position(|(a, b)| a != b)?;
    let start = chunk_idx * CHUNK_LEN_MAX;
    let within = one[start..]
        .iter()
        .zip(&two[start..])
        .position(|(a, b)| a != b)?;
    Some(start + within)
}
