//! How far a part of planning is: [`Meter`].

use crate::report::Stopped;
use crate::watch::{Phase, Watch};

/// After how many steps the watch is told: so few that it can draw, so many that it costs nothing.
const NR_UNTOLD: u64 = 256;

/// Counts the steps of a phase of which it is known how many there are.
pub(super) struct Meter<'w> {
    watch: &'w mut dyn Watch,
    phase: Phase,
    done: u64,
    total: u64,
}

impl<'w> Meter<'w> {
    /// Tells the watch that a phase begins.
    ///
    /// # Errors
    /// [`Stopped::ByWatch`] if it says so.
    pub(super) fn begin(
        watch: &'w mut dyn Watch,
        phase: Phase,
        nr_steps: usize,
    ) -> Result<Meter<'w>, Stopped> {
        let (done, total) = (0, nr_steps as u64);
        watch.at(phase, done, Some(total))?;
        Ok(Meter {
            watch,
            phase,
            done,
            total,
        })
    }

    /// Counts a step.
    ///
    /// # Errors
    /// [`Stopped::ByWatch`] if the watch says so.
    #[inline]
    pub(super) fn step(&mut self) -> Result<(), Stopped> {
        self.done += 1;
        match self.done.is_multiple_of(NR_UNTOLD) {
            true => self.watch.at(self.phase, self.done, Some(self.total)),
            false => Ok(()),
        }
    }
}
