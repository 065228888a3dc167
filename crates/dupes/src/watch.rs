//! Who watches a run: progress in every phase, and the word to stop.

use crate::report::Stopped;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Walking files and file extents; counts files, of about how many.
    Scan,
    /// Asking for checksums, or reading and hashing; counts blocks.
    Hash,
    /// Grouping equal blocks; counts blocks.
    Match,
    /// Reading what checksums say too little about; counts blocks.
    Confirm,
    /// Asking what refers to extents that could go; counts extents.
    Plan,
    /// Deciding which of them stay; counts extents, anew for each way that is tried.
    Decide,
    /// Finding where what refers to the others is moved to; counts extents, anew if some have to
    /// stay because what they are moved to has too many references.
    Route,
    /// Counting the references that extents get; counts ranges that are moved, anew like that.
    Weigh,
    /// Gathering these into requests; counts them.
    Gather,
    /// Moving references; counts bytes of requests.
    Execute,
    /// Looking at what is gone; counts extents.
    Verify,
}

/// The watch of a run.
pub trait Watch {
    /// Is told how far a phase is, in its unit, and of how many if that is known; called at least
    /// once for each page, batch or request.
    ///
    /// # Errors
    /// [`Stopped::ByWatch`] ends the run: at once, or after the step that is being carried out, for
    /// what that has written would be in vain else. Whatever is done stays done, and every file is
    /// whole at any time.
    fn at(&mut self, phase: Phase, done: u64, total: Option<u64>) -> Result<(), Stopped>;

    /// Returns how many more bytes may be moved before it says stop. No more requests are made at
    /// once than reach it.
    fn nr_bytes_left(&self) -> u64 {
        u64::MAX
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn at(&mut self, _: Phase, _: u64, _: Option<u64>) -> Result<(), Stopped> {
        Ok(())
    }
}
