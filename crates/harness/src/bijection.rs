//! A one-to-one correspondence between the storage of two backends, with counts: [`Bijection`].
//!
//! It knows stretches of bytes and how often each was put in, not who put them in.

use std::collections::BTreeMap;

/// A stretch of storage on both sides, all numbers in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) left: u64,
    pub(crate) right: u64,
    pub(crate) len: u64,
}

/// Why a stretch does not fit: the byte at `skip` in it is taken by something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The left storage is known, and corresponds to another right storage.
    Left {
        /// Bytes into the stretch.
        skip: u64,
    },
    /// The right storage is known, and corresponds to another left storage.
    Right {
        /// Bytes into the stretch.
        skip: u64,
    },
}

/// Disjoint stretches, each with the number of times it was put in and not taken out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bijection {
    by_left: BTreeMap<u64, Piece>,
    /// Right start to left start and length: the same stretches as `by_left`.
    by_right: BTreeMap<u64, (u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    len: u64,
    right: u64,
    count: u32,
}

impl Bijection {
    /// Puts a stretch in, or after a conflict nothing of it.
    pub(crate) fn insert(&mut self, stretch: Stretch) -> Result<(), Conflict> {
        let Stretch { left, right, len } = stretch;
        let end = left.saturating_add(len);
        self.cut(left);
        self.cut(end);
        let mut at = left;
        while at < end {
            let skip = at - left;
            let next = self.by_left.range_mut(at..end).next();
            let gap_end = match next {
                Some((start, piece)) if *start == at => {
                    if piece.right != right.wrapping_add(skip) {
                        self.remove(Stretch {
                            left,
                            right,
                            len: skip,
                        });
                        return Err(Conflict::Left { skip });
                    }
                    piece.count += 1;
                    at += piece.len;
                    continue;
                }
                Some((start, _)) => *start,
                None => end,
            };
            if let Err(into) = self.fill(at, right.wrapping_add(skip), gap_end - at) {
                self.remove(Stretch {
                    left,
                    right,
                    len: skip,
                });
                return Err(Conflict::Right { skip: skip + into });
            }
            at = gap_end;
        }
        Ok(())
    }

    /// Takes out a stretch that was put in as a whole.
    pub(crate) fn remove(&mut self, stretch: Stretch) {
        let Stretch { left, len, .. } = stretch;
        let end = left.saturating_add(len);
        self.cut(left);
        self.cut(end);
        let mut at = left;
        while let Some((&start, piece)) = self.by_left.range_mut(at..end).next() {
            at = start + piece.len;
            piece.count -= 1;
            if piece.count == 0 {
                let right = piece.right;
                self.by_left.remove(&start);
                self.by_right.remove(&right);
            }
        }
    }

    /// Puts a stretch in whose left side is free. The error is how far its right side is free.
    fn fill(&mut self, left: u64, right: u64, len: u64) -> Result<(), u64> {
        let end = right.saturating_add(len);
        let before = self.by_right.range(..right).next_back();
        if before.is_some_and(|(start, (_, len))| right < start + len) {
            return Err(0);
        }
        if let Some((start, _)) = self.by_right.range(right..end).next() {
            return Err(start - right);
        }
        self.by_left.insert(
            left,
            Piece {
                len,
                right,
                count: 1,
            },
        );
        self.by_right.insert(right, (left, len));
        Ok(())
    }

    /// Makes sure that no stretch goes on over the left byte `at`.
    fn cut(&mut self, at: u64) {
        let Some((&start, piece)) = self.by_left.range_mut(..at).next_back() else {
            return;
        };
        let skip = at - start;
        if piece.len <= skip {
            return;
        }
        let tail = Piece {
            len: piece.len - skip,
            right: piece.right + skip,
            count: piece.count,
        };
        piece.len = skip;
        let right = piece.right;
        self.by_right.insert(right, (start, skip));
        self.by_left.insert(at, tail);
        self.by_right.insert(tail.right, (at, tail.len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn stretch(left: u64, right: u64, len: u64) -> Stretch {
        Stretch { left, right, len }
    }

    fn is_empty(bijection: &Bijection) -> bool {
        bijection.by_left.is_empty() && bijection.by_right.is_empty()
    }

    #[test]
    fn overlapping_stretches_with_one_shift_agree() {
        let mut bijection = Bijection::default();
        for stretch in [
            stretch(0, 100, 40),
            stretch(10, 110, 10),
            stretch(20, 120, 40),
        ] {
            assert_eq!(bijection.insert(stretch), Ok(()));
        }
        for stretch in [
            stretch(10, 110, 10),
            stretch(0, 100, 40),
            stretch(20, 120, 40),
        ] {
            bijection.remove(stretch);
        }
        assert!(is_empty(&bijection));
    }

    #[test]
    fn one_left_byte_with_two_right_bytes_is_a_conflict() {
        let mut bijection = Bijection::default();
        assert_eq!(bijection.insert(stretch(10, 100, 10)), Ok(()));
        assert_eq!(
            bijection.insert(stretch(5, 200, 10)),
            Err(Conflict::Left { skip: 5 })
        );
    }

    #[test]
    fn one_right_byte_with_two_left_bytes_is_a_conflict() {
        let mut bijection = Bijection::default();
        assert_eq!(bijection.insert(stretch(10, 100, 10)), Ok(()));
        assert_eq!(
            bijection.insert(stretch(50, 98, 10)),
            Err(Conflict::Right { skip: 2 })
        );
        let mut bijection = Bijection::default();
        assert_eq!(bijection.insert(stretch(10, 100, 10)), Ok(()));
        assert_eq!(
            bijection.insert(stretch(50, 105, 10)),
            Err(Conflict::Right { skip: 0 })
        );
    }

    #[test]
    fn after_a_conflict_nothing_of_the_stretch_is_in() {
        let mut bijection = Bijection::default();
        assert_eq!(bijection.insert(stretch(10, 100, 10)), Ok(()));
        let across = stretch(5, 95, 30);
        assert_eq!(bijection.insert(stretch(40, 120, 1)), Ok(()));
        assert_eq!(bijection.insert(across), Err(Conflict::Right { skip: 25 }));
        bijection.remove(stretch(40, 120, 1));
        bijection.remove(stretch(10, 100, 10));
        assert!(is_empty(&bijection));
    }

    #[test]
    fn storage_that_was_taken_out_can_correspond_anew() {
        let mut bijection = Bijection::default();
        assert_eq!(bijection.insert(stretch(0, 100, 10)), Ok(()));
        bijection.remove(stretch(0, 100, 10));
        assert_eq!(bijection.insert(stretch(50, 100, 10)), Ok(()));
    }
}
