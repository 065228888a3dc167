//! How far a run is, on stderr if that is a terminal, and when it is enough: [`Progress`].

use std::cell::Cell;
use std::time::{Duration, Instant};

use dupes::{Phase, Stopped, Watch};
use indicatif::ProgressBar;

use crate::arguments::DupesArguments;
use crate::progress::style;
use crate::signals;

/// How often the numbers are drawn anew.
const EVERY: Duration = Duration::from_millis(100);

/// The watch of a run.
pub(crate) struct Progress {
    bar: ProgressBar,
    phase: Option<Phase>,
    drawn: Instant,
    start: Instant,
    time: Option<Duration>,
    limit: Option<u64>,
    /// Bytes that were moved.
    nr_moved: u64,
}

impl Progress {
    pub(crate) fn new(arguments: &DupesArguments) -> Progress {
        let bar = match arguments.quiet {
            true => ProgressBar::hidden(),
            // Draws nothing unless stderr is a terminal.
            false => ProgressBar::no_length(),
        };
        Progress {
            bar,
            phase: None,
            drawn: Instant::now(),
            start: Instant::now(),
            time: arguments.time,
            limit: arguments.limit,
            nr_moved: 0,
        }
    }

    /// Tells what is being done, if it takes a while.
    pub(crate) fn tell(&self, what: &'static str) {
        self.bar.set_style(style("{elapsed} {msg}"));
        self.bar.set_message(what);
        self.bar.enable_steady_tick(EVERY);
    }

    /// Counts a file that was found before the walk.
    pub(crate) fn count_found(&self) {
        if self.bar.position() == 0 {
            self.bar
                .set_style(style("{elapsed} {human_pos} {msg}, {rate}"));
            self.bar.set_message("files found");
        }
        self.bar.inc(1);
    }

    /// Returns what draws how many files a hashfile has been told of.
    pub(crate) fn noting(&self) -> hashfile::OnNoted {
        let bar = self.bar.clone();
        let is_begun = Cell::new(false);
        Box::new(move |nr_files, total| {
            if !is_begun.replace(true) {
                begin(&bar, "files noted", false, total);
            }
            advance(&bar, nr_files, total);
        })
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn draw(&mut self, phase: Phase, done: u64, total: Option<u64>) {
        let is_new = self.phase.replace(phase) != Some(phase);
        if self.bar.is_hidden() || !is_new && self.drawn.elapsed() < EVERY {
            return;
        }
        self.drawn = Instant::now();
        if is_new {
            let (name, is_bytes) = match phase {
                Phase::Scan => ("files", false),
                Phase::Hash => ("blocks hashed", false),
                Phase::Match => ("blocks matched", false),
                Phase::Confirm => ("blocks read to be sure", false),
                Phase::Plan => ("extents looked up", false),
                Phase::Decide => ("extents decided on", false),
                Phase::Route => ("extents planned", false),
                Phase::Weigh => ("moves weighed", false),
                Phase::Gather => ("moves gathered", false),
                Phase::Execute => ("moved", true),
                Phase::Verify => ("extents looked at", false),
            };
            begin(&self.bar, name, is_bytes, total);
        }
        advance(&self.bar, done, total);
    }
}

/// Begins to draw what has another unit.
fn begin(bar: &ProgressBar, name: &'static str, is_bytes: bool, total: Option<u64>) {
    // The bar takes what is left of the line, which must not be wrapped: it is drawn over.
    let template = match (total, is_bytes) {
        (None, _) => "{elapsed} {human_pos} {msg}, {rate}",
        (Some(_), false) => {
            "{elapsed} {wide_bar} {human_pos}/{human_len} {msg}, {rate}, {eta} left"
        }
        (Some(_), true) => {
            "{elapsed} {wide_bar} {bytes}/{total_bytes} {msg}, {bytes_per_sec}, {eta} left"
        }
    };
    bar.disable_steady_tick();
    // The length of what was before is not drawn with the words of this.
    total.map_or_else(|| bar.unset_length(), |total| bar.set_length(total));
    bar.reset();
    bar.set_style(style(template));
    bar.set_message(name);
}

/// Draws how far it is.
fn advance(bar: &ProgressBar, done: u64, total: Option<u64>) {
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
}

impl Watch for Progress {
    fn at(&mut self, phase: Phase, done: u64, total: Option<u64>) -> Result<(), Stopped> {
        self.draw(phase, done, total);
        if phase == Phase::Execute {
            // Until here nothing is changed that would have to be told.
            signals::stop_gently();
            self.nr_moved = done;
        }
        let is_late = self.time.is_some_and(|time| time <= self.start.elapsed());
        let is_enough = phase == Phase::Execute && self.limit.is_some_and(|limit| limit <= done);
        let is_asked = signals::asked().is_some();
        // What was moved is looked at in any case.
        let has_to_stop = is_late || is_enough || is_asked;
        match phase != Phase::Verify && has_to_stop && Some(done) != total {
            true => Err(Stopped::ByWatch),
            false => Ok(()),
        }
    }

    fn nr_bytes_left(&self) -> u64 {
        let left = self.limit.map(|limit| limit.saturating_sub(self.nr_moved));
        left.unwrap_or(u64::MAX)
    }
}
