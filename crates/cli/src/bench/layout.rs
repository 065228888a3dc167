//! Where the bytes of a round lie: [`Layout`], two files cut into pieces, and the requests over
//! them. It does not know who answers.

use data::Content;
use uapi::dedupe::RequestBuilder;

/// Pieces of a file, each of which becomes one extent.
pub(crate) const NR_PIECES: usize = 5_000;
/// Every so many pieces one is large.
const LARGE_EVERY: usize = 10;
/// Bytes of the small pieces and of the large ones.
const PIECE_LENS: [u64; 2] = [4 << 10, 128 << 10];
/// Requests that the kernel refuses, in one round.
const NR_REFUSED: usize = 20_000;
/// Steps by which pieces are paired and visited: primes, so that neither is in file order.
const PAIR_STRIDE: usize = 1_579;
const VISIT_STRIDE: usize = 2_903;
/// Bytes of a request with one element.
const REQUEST_LEN: usize = 56;

/// A request with one element.
pub(crate) type Request = [u8; REQUEST_LEN];

/// What is asked in one timed stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// 4 KiB each, fresh pairs.
    Small,
    /// 128 KiB each, fresh pairs.
    Large,
    /// An unaligned target offset: `EINVAL`.
    Refused,
}

/// A stretch of a file.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Bytes from the file's start.
    pub(crate) offset: u64,
    pub(crate) content: Content,
}

/// Two files with the same pieces in another order.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) source: Vec<Piece>,
    pub(crate) target: Vec<Piece>,
    /// By length: offsets of equal pieces in source and target, in the order of the calls.
    pairs: [Vec<(u64, u64)>; 2],
}

impl Layout {
    pub(crate) fn new() -> Layout {
        let mut layout = Layout {
            source: Vec::with_capacity(NR_PIECES),
            target: Vec::with_capacity(NR_PIECES),
            pairs: [Vec::new(), Vec::new()],
        };
        let mut offsets = [Vec::new(), Vec::new()];
        let mut end = 0;
        for piece_idx in 0..NR_PIECES {
            let kind = usize::from(piece_idx % LARGE_EVERY == 0);
            offsets[kind].push(end);
            end += PIECE_LENS[kind];
        }
        for (kind, offsets) in offsets.iter().enumerate() {
            layout.fill(kind, offsets);
        }
        layout.source.sort_unstable_by_key(|piece| piece.offset);
        layout.target.sort_unstable_by_key(|piece| piece.offset);
        layout
    }

    /// Returns the requests of a case for these descriptors.
    pub(crate) fn requests(&self, case: Case, target_fd: i32) -> Vec<Request> {
        let [small, large] = &self.pairs;
        match case {
            Case::Small => requests(small.iter(), PIECE_LENS[0], target_fd, 0),
            Case::Large => requests(large.iter(), PIECE_LENS[1], target_fd, 0),
            Case::Refused => {
                let pairs = small.iter().cycle().take(NR_REFUSED);
                requests(pairs, PIECE_LENS[0], target_fd, 512)
            }
        }
    }

    fn fill(&mut self, kind: usize, offsets: &[u64]) {
        let nr = offsets.len();
        let mut pairs = Vec::with_capacity(nr);
        for (idx, &offset) in offsets.iter().enumerate() {
            let target_offset = offsets[(idx * PAIR_STRIDE + 1) % nr];
            // No two pairs have a stream in common, so that only partners are equal.
            let content = Content::pattern(1 + offset, 0, PIECE_LENS[kind]);
            self.target.push(Piece {
                offset: target_offset,
                content: content.clone(),
            });
            self.source.push(Piece { offset, content });
            pairs.push((offset, target_offset));
        }
        let visited = (0..nr).map(|idx| pairs[idx * VISIT_STRIDE % nr]);
        self.pairs[kind] = visited.collect();
    }
}

fn requests<'a>(
    pairs: impl Iterator<Item = &'a (u64, u64)>,
    len: u64,
    target_fd: i32,
    shift: u64,
) -> Vec<Request> {
    let request = |&(source, target): &(u64, u64)| {
        let bytes = RequestBuilder::new(source, len)
            .target(i64::from(target_fd), target + shift)
            .build();
        bytes.try_into().expect("a request with one element")
    };
    pairs.map(request).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_piece_is_in_one_pair() {
        let layout = Layout::new();
        assert_eq!(layout.source.len(), NR_PIECES);
        for pairs in &layout.pairs {
            let sources: BTreeSet<u64> = pairs.iter().map(|pair| pair.0).collect();
            let targets: BTreeSet<u64> = pairs.iter().map(|pair| pair.1).collect();
            assert_eq!((sources.len(), targets.len()), (pairs.len(), pairs.len()));
        }
    }

    #[test]
    fn the_pieces_of_both_files_lie_alike() {
        let layout = Layout::new();
        let shape = |pieces: &[Piece]| -> Vec<(u64, u64)> {
            let shape = |piece: &Piece| (piece.offset, piece.content.len());
            pieces.iter().map(shape).collect()
        };
        assert_eq!(shape(&layout.source), shape(&layout.target));
    }
}
