//! A look: what could be freed, with nothing changed: [`look`], [`Findings`].

use volume::Volume;

use crate::answer;
use crate::change::Changes;
use crate::options::Options;
use crate::plan::{Group, Plan, Prediction, Removed, Stay};
use crate::report::{Report, Stopped};
use crate::run::find;
use crate::sort::Scratch;
use crate::watch::Watch;

/// What a look found: what is told of a plan.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What was looked at.
    pub report: Report,
    /// What would come of it.
    pub prediction: Prediction,
    /// What would change, by file.
    pub changes: Changes,
    /// The groups of which most would be moved; all if [`Options::lists_all`].
    pub groups: Vec<Group>,
    /// What would stay, and why.
    pub stays: Vec<Stay>,
    /// The extents that would go, largest first, if [`Options::lists_all`].
    pub removed: Vec<Removed>,
    /// Whether there is nothing to be done.
    pub is_idle: bool,
    /// Whether all this is what was found the last time, for nothing has changed since.
    pub is_remembered: bool,
}

impl Findings {
    /// Returns what a plan tells that was made with these options.
    pub(crate) fn of(report: Report, plan: Plan, options: &Options) -> Findings {
        Findings {
            report,
            prediction: plan.prediction,
            changes: plan.changes(),
            groups: plan.groups(options.lists_all),
            stays: plan.stays,
            removed: match options.lists_all {
                true => plan.removed,
                false => Vec::new(),
            },
            is_idle: plan.steps.is_empty(),
            is_remembered: false,
        }
    }
}

/// Finds and plans, or recalls what was found if nothing has changed since; changes nothing.
///
/// # Errors
/// If the volume fails as a whole, scratch space fails, the plan takes too much memory, or the
/// watch says stop.
pub fn look(
    volume: &mut dyn Volume,
    options: &Options,
    scratch: &mut dyn Scratch,
    watch: &mut dyn Watch,
) -> Result<Findings, Stopped> {
    if let Some(findings) = answer::recall(volume, options)? {
        return Ok(findings);
    }
    let mut report = Report::default();
    let found = find(volume, options, scratch, watch, &mut report)?;
    let plan = found.plan(volume, options, watch, &mut report)?;
    drop(found);
    let findings = Findings::of(report, plan, options);
    answer::learn(volume, options, &findings)?;
    Ok(findings)
}
