//! What a run tells: [`Told`]; [`text`](super::text), [`json`](super::json) and
//! [`html`](super::html) say it.

use std::cell::OnceCell;

use backend_kernel::volume::{SkipReason, Skipped};
use dupes::{
    Changes, Failure, Findings, Group, Options, Prediction, Removed, Rewrite, Round, Stay, Stopped,
    Summary, Why,
};
use volume::{SpaceRule, Volume};

use super::directories::{Directory, directories};
use super::words::{meaning, name, told};

/// What a run found, and did if it was to.
pub(crate) struct Told {
    pub(super) report: dupes::Report,
    /// Whether leftovers were to be written anew.
    pub(super) rewrite: Rewrite,
    /// When what is not referred to any more is given back.
    rule: SpaceRule,
    /// What goes, largest first; kept if all is listed.
    pub(super) removed: Vec<Removed>,
    pub(super) prediction: Prediction,
    /// What was expected to change, by file.
    changes: Changes,
    /// What changes by directory, once somebody has asked.
    directories: OnceCell<Vec<Directory>>,
    /// The groups of which most is moved.
    pub(super) groups: Vec<Group>,
    pub(super) stays: Vec<Stay>,
    used_before: u64,
    /// Whether it is what was found the last time.
    pub(super) is_remembered: bool,
    pub(super) done: Option<Done>,
    skipped: Vec<Skipped>,
}

/// What a run did.
pub(super) struct Done {
    pub(super) freed_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) moved_bytes: u64,
    pub(super) nr_requests: u64,
    pub(super) used_before: u64,
    pub(super) used_after: u64,
    changes: Changes,
    failures: Vec<Failure>,
    pub(super) stopped: Option<Stopped>,
}

impl Told {
    /// Returns what a look says that was made with these options.
    pub(crate) fn of_findings(
        findings: Findings,
        options: &Options,
        volume: &mut dyn Volume,
    ) -> Result<Told, Stopped> {
        Ok(Told {
            report: findings.report,
            rewrite: options.rewrite,
            rule: volume.space_rule(),
            removed: findings.removed,
            prediction: findings.prediction,
            changes: findings.changes,
            directories: OnceCell::new(),
            groups: findings.groups,
            stays: findings.stays,
            used_before: volume.used_bytes()?,
            is_remembered: findings.is_remembered,
            done: None,
            skipped: Vec::new(),
        })
    }

    /// Returns what a run did. What is predicted is that of its first round, what stays that of
    /// its last one.
    pub(crate) fn of_summary(summary: Summary, options: &Options, rule: SpaceRule) -> Told {
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
            rewrite: options.rewrite,
            rule,
            removed: first.map(|round| round.removed.clone()).unwrap_or_default(),
            prediction: first.map(|round| round.prediction).unwrap_or_default(),
            changes: first.map(|round| round.changes.clone()).unwrap_or_default(),
            directories: OnceCell::new(),
            groups: first.map(|round| round.groups.clone()).unwrap_or_default(),
            used_before: summary.used_before,
            is_remembered: summary.is_remembered,
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

    /// Returns whether less may be freed than is told, for want of seeing extents whole.
    pub(super) fn is_at_most(&self) -> bool {
        self.rule == SpaceRule::UnseenExtents
    }

    /// Returns the used data bytes before anything was done.
    pub(super) fn used_before(&self) -> u64 {
        self.used_before
    }

    /// Returns every directory in which something changes, the largest change first. Folders are
    /// looked up once, whoever tells of them.
    pub(super) fn directories(&self, volume: &mut dyn Volume) -> &[Directory] {
        let real = self.done.as_ref().map(|done| &done.changes);
        self.directories
            .get_or_init(|| directories(volume, &self.changes, real))
    }

    /// Returns what was not looked at or not done, a line each.
    pub(super) fn troubles(&self, volume: &mut dyn Volume) -> Vec<String> {
        let mut troubles = Vec::new();
        for Skipped { path, why } in &self.skipped {
            let why = match why {
                SkipReason::Refused(errno) => meaning(*errno),
                why => why.to_string(),
            };
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
                Why::Refused(errno) => meaning(*errno),
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
}
