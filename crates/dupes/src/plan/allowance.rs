//! How much memory a plan may take: [`Allowance`].

use crate::options::Options;
use crate::report::Stopped;

/// Bytes for a class: what is decided on by class, and where it stays.
pub(super) const CLASS_BYTES: u64 = 20;
/// Bytes for a block that has an equal: a place where it stays, an element of a cover.
pub(super) const BLOCK_BYTES: u64 = 12;
/// Bytes for a block that has an equal, where each is an extent of its own.
pub(super) const PIECE_BYTES: u64 = 64;
/// Bytes for a candidate, and for each reference to it with its file.
pub(super) const CANDIDATE_BYTES: u64 = 128;
pub(super) const REFERENCE_BYTES: u64 = 128;
/// Bytes for a move: as it is joined with others and sorted, as a target of a request, and where
/// it came from.
pub(super) const MOVE_BYTES: u64 = 256;

/// Memory that a plan has taken, about, and may take.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    taken: u64,
    max: u64,
}

impl Allowance {
    pub(super) fn new(options: &Options) -> Allowance {
        Allowance {
            taken: 0,
            max: options.plan_bytes_max,
        }
    }

    /// Takes so many bytes for each of `nr`.
    ///
    /// # Errors
    /// [`Stopped::TooLarge`] if that is more than there may be.
    pub(super) fn take(&mut self, nr: u64, bytes: u64) -> Result<(), Stopped> {
        self.taken = self.taken.saturating_add(nr.saturating_mul(bytes));
        match self.taken <= self.max {
            true => Ok(()),
            false => Err(Stopped::TooLarge(self.max)),
        }
    }
}
