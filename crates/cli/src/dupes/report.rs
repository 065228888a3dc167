//! What a run tells: [`Told`], as text or as JSON.

use backend_kernel::volume::Skipped;
use dupes::{
    Change, Changes, Failure, Group, Plan, Prediction, Removed, Round, Stay, StayReason, Stopped,
    Summary, Why,
};
use serde_json::{Value, json};
use volume::{FileId, Volume, VolumeError};

use super::directories::directories;
use crate::arguments::DupesArguments;
use crate::print;

/// How many extents are listed without -v.
const NR_LISTED: usize = 20;

/// How many groups are kept of a plan.
const NR_GROUPS: usize = 50;

/// What a run found, and did if it was to.
pub(crate) struct Told {
    pub(super) report: dupes::Report,
    /// What goes, largest first; only a plan has it.
    removed: Vec<Removed>,
    pub(super) prediction: Prediction,
    /// What was expected to change, by file.
    pub(super) changes: Changes,
    /// The groups of which most is moved.
    pub(super) groups: Vec<Group>,
    pub(super) stays: Vec<Stay>,
    used_before: u64,
    pub(super) done: Option<Done>,
    skipped: Vec<Skipped>,
}

/// What a run did.
pub(super) struct Done {
    freed_bytes: u64,
    written_bytes: u64,
    moved_bytes: u64,
    nr_requests: u64,
    pub(super) used_before: u64,
    pub(super) used_after: u64,
    changes: Changes,
    failures: Vec<Failure>,
    stopped: Option<Stopped>,
}

impl Told {
    /// Returns what a plan says.
    pub(crate) fn of_plan(report: dupes::Report, plan: Plan, used_before: u64) -> Told {
        Told {
            report,
            changes: plan.changes(),
            groups: plan.largest_groups(NR_GROUPS),
            removed: plan.removed,
            prediction: plan.prediction,
            stays: plan.stays,
            used_before,
            done: None,
            skipped: Vec::new(),
        }
    }

    /// Returns what a run did. What is predicted is that of its first round, what stays that of
    /// its last one.
    pub(crate) fn of_summary(summary: Summary) -> Told {
        let sum = |of: fn(&Round) -> u64| summary.rounds.iter().map(of).sum();
        let mut changes = Changes::default();
        summary
            .rounds
            .iter()
            .for_each(|round| changes.add(&round.done.changes));
        let done = Done {
            freed_bytes: sum(|round| round.done.freed_bytes),
            written_bytes: sum(|round| round.done.written_bytes),
            moved_bytes: sum(|round| round.done.moved_bytes),
            nr_requests: sum(|round| round.done.nr_requests),
            used_before: summary.used_before,
            used_after: summary.used_after,
            changes,
            failures: match summary.rounds.last() {
                Some(round) => round.done.failures.clone(),
                None => Vec::new(),
            },
            stopped: summary.stopped,
        };
        let first = summary.rounds.first();
        Told {
            report: summary.report,
            removed: Vec::new(),
            prediction: first.map(|round| round.prediction).unwrap_or_default(),
            changes: first.map(|round| round.changes.clone()).unwrap_or_default(),
            groups: first.map(|round| round.groups.clone()).unwrap_or_default(),
            used_before: summary.used_before,
            stays: match summary.rounds.last() {
                Some(round) => round.stays.clone(),
                None => Vec::new(),
            },
            done: Some(done),
            skipped: Vec::new(),
        }
    }

    /// Adds paths that were not looked at.
    pub(crate) fn skip(&mut self, skipped: Vec<Skipped>) {
        self.skipped = skipped;
    }

    /// Returns whether everything was looked at, and everything planned was done.
    pub(crate) fn is_whole(&self) -> bool {
        let is_done = self
            .done
            .as_ref()
            .is_none_or(|done| done.failures.is_empty() && done.stopped.is_none());
        is_done && self.report.errors.is_empty() && self.skipped.is_empty()
    }

    /// Returns the used data bytes before anything was done.
    pub(super) fn used_before(&self) -> u64 {
        self.used_before
    }

    /// Returns what changed, by file.
    pub(super) fn real_changes(&self) -> Option<&Changes> {
        self.done.as_ref().map(|done| &done.changes)
    }

    /// Prints it.
    pub(crate) fn print(&self, volume: &mut dyn Volume, arguments: &DupesArguments) {
        if arguments.json {
            print::line(self.json(volume));
            return;
        }
        self.print_troubles(volume);
        if arguments.quiet {
            return;
        }
        let report = &self.report;
        print::line(format!(
            "{} files, {} of data in {} extents, {} read",
            report.nr_files,
            size(report.scanned_bytes),
            report.nr_extents,
            size(report.read_bytes),
        ));
        let prediction = &self.prediction;
        print::line(format!(
            "predicted: {} freed in {} extents, {} written in {}, {} moved in {} requests, \
             {:+} file extents",
            size(prediction.freed_bytes),
            prediction.nr_extents_freed,
            size(prediction.written_bytes),
            prediction.nr_extents_written,
            size(prediction.moved_bytes),
            prediction.nr_requests,
            prediction.nr_file_extents_more,
        ));
        for stay in &self.stays {
            print::line(format!(
                "stays: {} in {} extents: {}",
                size(stay.bytes),
                stay.nr_extents,
                words(stay.reason)
            ));
        }
        self.print_removed(volume, arguments.verbose);
        self.print_done();
        self.print_directories(volume, arguments.verbose);
    }

    fn print_directories(&self, volume: &mut dyn Volume, is_verbose: bool) {
        let nr_listed = if is_verbose { usize::MAX } else { NR_LISTED };
        let directories = directories(volume, &self.changes, self.real_changes());
        if directories.is_empty() {
            return;
        }
        print::line("by directory, change of used data, predicted and real:");
        let is_done = self.done.is_some();
        for directory in directories.iter().take(nr_listed) {
            let change = |change: Change| signed(-change.net_bytes());
            let real = match is_done {
                true => change(directory.real),
                false => String::new(),
            };
            print::line(format!(
                "  {:>12} {real:>12}  {}",
                change(directory.predicted),
                directory.path,
            ));
        }
        let nr_more = directories.len().saturating_sub(nr_listed);
        if 0 < nr_more {
            print::line(format!("  and {nr_more} more, listed with -v"));
        }
    }

    fn print_removed(&self, volume: &mut dyn Volume, is_verbose: bool) {
        let nr_listed = if is_verbose { usize::MAX } else { NR_LISTED };
        for removed in self.removed.iter().take(nr_listed) {
            print::line(format!(
                "  {:>11}  {} ({} references)",
                size(removed.extent.disk_bytes),
                name(volume, removed.file),
                removed.nr_references,
            ));
        }
        let nr_more = self.removed.len().saturating_sub(nr_listed);
        if 0 < nr_more {
            print::line(format!("  and {nr_more} more, listed with -v"));
        }
    }

    fn print_done(&self) {
        let Some(done) = &self.done else {
            return;
        };
        print::line(format!(
            "done:      {} freed, {} written, {} moved in {} requests",
            size(done.freed_bytes),
            size(done.written_bytes),
            size(done.moved_bytes),
            done.nr_requests,
        ));
        let change = i128::from(done.used_before) - i128::from(done.used_after);
        print::line(format!(
            "used data: {} before, {} after, {change} bytes less ({} predicted)",
            size(done.used_before),
            size(done.used_after),
            self.prediction.net_bytes(),
        ));
    }

    /// Prints what was not looked at or not done, to stderr.
    fn print_troubles(&self, volume: &mut dyn Volume) {
        for trouble in self.troubles(volume) {
            eprintln!("xsame: {trouble}");
        }
    }

    pub(super) fn troubles(&self, volume: &mut dyn Volume) -> Vec<String> {
        let mut troubles = Vec::new();
        for Skipped { path, why } in &self.skipped {
            troubles.push(format!("{}: left out: {why}", path.display()));
        }
        for error in &self.report.errors {
            troubles.push(told(volume, error));
        }
        let Some(done) = &self.done else {
            return troubles;
        };
        for Failure { range, why } in &done.failures {
            let why = match why {
                Why::Differs => "the bytes are not equal".to_owned(),
                Why::Refused(errno) => format!("{errno}"),
                Why::NotShared => "the kernel said yes, and nothing is shared".to_owned(),
                Why::Volume(error) => told(volume, error),
            };
            let name = name(volume, range.file);
            troubles.push(format!(
                "{name}: {} bytes at {} stay: {why}",
                range.len, range.offset
            ));
        }
        troubles.extend(done.stopped.iter().map(|stopped| format!("{stopped}")));
        troubles
    }

    fn json(&self, volume: &mut dyn Volume) -> Value {
        let Prediction {
            freed_bytes,
            written_bytes,
            moved_bytes,
            nr_extents_freed,
            nr_extents_written,
            nr_file_extents_more,
            nr_requests,
        } = self.prediction;
        let work = volume.work();
        let removed: Vec<Value> = self
            .removed
            .iter()
            .map(|it| {
                json!({
                    "file": name(volume, it.file),
                    "bytes": it.extent.disk_bytes,
                    "references": it.nr_references,
                })
            })
            .collect();
        let stays: Vec<Value> = self
            .stays
            .iter()
            .map(|it| {
                json!({
                    "why": words(it.reason),
                    "bytes": it.bytes,
                    "extents": it.nr_extents,
                })
            })
            .collect();
        let real_of = |change: Change| {
            self.done.as_ref().map(|_| {
                json!({"freed_bytes": change.freed_bytes, "written_bytes": change.written_bytes})
            })
        };
        let directories: Vec<Value> = directories(volume, &self.changes, self.real_changes())
            .iter()
            .map(|it| {
                json!({
                    "directory": it.path,
                    "predicted": {
                        "freed_bytes": it.predicted.freed_bytes,
                        "written_bytes": it.predicted.written_bytes,
                    },
                    "real": real_of(it.real),
                })
            })
            .collect();
        let done = self.done.as_ref().map(|done| {
            json!({
                "freed_bytes": done.freed_bytes,
                "written_bytes": done.written_bytes,
                "moved_bytes": done.moved_bytes,
                "requests": done.nr_requests,
                "used_bytes_before": done.used_before,
                "used_bytes_after": done.used_after,
                "is_complete": done.stopped.is_none(),
            })
        });
        json!({
            "files": self.report.nr_files,
            "scanned_bytes": self.report.scanned_bytes,
            "read_bytes": self.report.read_bytes,
            "tree_items": work.nr_items,
            "opened_files": work.nr_opened,
            "extents": self.report.nr_extents,
            "predicted": {
                "freed_bytes": freed_bytes,
                "written_bytes": written_bytes,
                "moved_bytes": moved_bytes,
                "extents_freed": nr_extents_freed,
                "extents_written": nr_extents_written,
                "file_extents_more": nr_file_extents_more,
                "requests": nr_requests,
            },
            "removed": removed,
            "directories": directories,
            "stays": stays,
            "done": done,
            "troubles": self.troubles(volume),
        })
    }
}

/// Returns an error with the name of its file.
fn told(volume: &mut dyn Volume, error: &VolumeError) -> String {
    match error {
        VolumeError::File {
            file,
            action,
            errno,
        } => format!("{}: cannot {action} it: {errno}", name(volume, *file)),
        error => error.to_string(),
    }
}

pub(super) fn name(volume: &mut dyn Volume, file: FileId) -> String {
    volume.path(file).unwrap_or_else(|| file.to_string())
}

pub(super) fn words(reason: StayReason) -> &'static str {
    match reason {
        StayReason::Needed => "it is what the others refer to, or lies beside what is nowhere else",
        StayReason::NotMovable => "you may not have a file deduped that refers to them",
        StayReason::OutOfSight => "not everything that refers to them can be seen",
        StayReason::Preallocated => "a file has them preallocated",
        StayReason::EndOfFile => "they reach behind the end of a file",
        StayReason::TooManyReferences => "too much refers to them",
    }
}

/// Returns bytes as a person reads them.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{value:.2} {unit}"),
    }
}

/// Returns a change of bytes as a person reads it.
pub(super) fn signed(bytes: i64) -> String {
    let sign = match bytes {
        ..0 => "-",
        0 => "",
        1.. => "+",
    };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_leaves_a_whole() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.50 KiB");
        assert_eq!(size(3 << 40), "3.00 TiB");
        assert_eq!(
            [signed(-1536), signed(0), signed(1)],
            ["-1.50 KiB", "0 B", "+1 B"]
        );
    }
}
