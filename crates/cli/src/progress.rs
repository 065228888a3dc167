//! How far a run is, on stderr if that is a terminal: [`Bar`]; [`style`] of every bar.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::Progress;
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// How often the numbers are drawn anew.
const EVERY: Duration = Duration::from_millis(100);
/// How many rules have their refusals shown.
const NR_RULES: usize = 4;

/// A progress bar with rates, outcomes and refusals.
pub(crate) struct Bar {
    bar: ProgressBar,
    last: Cell<Option<Instant>>,
}

impl Bar {
    /// Returns a bar for so many operations, or for so long if those have no end.
    pub(crate) fn new(steps: u64, time: Option<Duration>) -> Bar {
        let (bar, template) = match time {
            Some(_) if steps == u64::MAX => (
                ProgressBar::no_length(),
                "{elapsed_precise} {pos} {rate} {wide_msg}",
            ),
            _ => (
                ProgressBar::new(steps),
                "{elapsed_precise} {bar:24} {pos}/{len} {rate}, {eta} left {wide_msg}",
            ),
        };
        bar.set_style(style(template));
        Bar {
            bar,
            last: Cell::new(None),
        }
    }

    /// Shows how far the run is.
    pub(crate) fn show(&self, progress: &Progress<'_>) {
        let is_due = self.last.get().is_none_or(|last| EVERY <= last.elapsed());
        if self.bar.is_hidden() || !is_due {
            return;
        }
        self.last.set(Some(Instant::now()));
        self.bar.set_position(progress.steps);
        let tally = progress.tally;
        let elements = largest(&tally.elements, NR_RULES);
        let refusals = largest(&tally.refusals, NR_RULES);
        self.bar
            .set_message(format!("0 divergences  {elements}  by rule: {refusals}"));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Returns a bar for a few long steps, each of which is one of `what`.
pub(crate) fn steps(nr_steps: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(nr_steps);
    bar.set_style(style("{elapsed} {bar:24} {pos}/{len} {msg}, {eta} left"));
    bar.set_message(what);
    bar.enable_steady_tick(EVERY);
    bar
}

/// Returns the style of a template, which may have `{rate}`: steps a second, whole ones.
pub(crate) fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        // A text that cannot be written is not drawn.
        let _ = write!(text, "{}/s", HumanCount(state.per_sec() as u64));
    };
    let style = ProgressStyle::with_template(template);
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
}

/// Returns the largest counts as words.
pub(crate) fn largest(counts: &BTreeMap<String, u64>, nr_max: usize) -> String {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
    let words: Vec<String> = counts
        .iter()
        .take(nr_max)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    words.join(" ")
}
