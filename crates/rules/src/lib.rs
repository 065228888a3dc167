//! What a kernel refuses, in which order, and what it does in between: tables, not code.
//!
//! Reading order: [`view`] says what a check may look at, then [`request`], [`pair`], [`locked`]
//! and [`range`] are the tables of the four stages that a request passes, [`mod@era`] puts them
//! into plans of [`Step`]s, [`series`] lists what changed between releases and [`mutants`] what
//! was broken once. A [`Profile`] is one kernel: an era with patches folded in.
//!
//! Nothing here mutates anything or knows how a step is carried out: a check sees a view and says
//! whether it fires.

#![forbid(unsafe_code)]

pub mod check;
pub mod clone;
pub mod clone_ioctl;
pub mod decided;
pub mod document;
pub mod era;
pub mod locked;
pub mod mutants;
pub mod pair;
pub mod patch;
pub mod profile;
pub mod range;
pub mod request;
pub mod series;
pub mod step;
pub mod view;

pub use check::{Check, Cite, End, Reach, Rule, RuleId};
pub use patch::{AnyCheck, Hunk, HunkFailed, Limit, Patch, Place};
pub use profile::{Limits, PROFILE_NAMES, Profile, Tables};
pub use step::{Bytes, Comparison, CopyIn, LockClass, Plan, Rounding, Side, Stage, Step, Times};

/// A rule with everything that a report prints of it.
pub type RuleInfo = Rule;

/// Returns the rule with this id, of whatever profile or mutant.
#[must_use]
pub fn rule(id: &str) -> Option<&'static RuleInfo> {
    document::all_rules().into_iter().find(|rule| rule.id == id)
}
