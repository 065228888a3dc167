//! The tables as Markdown: `docs/rules.md` and `docs/mutants.md` are what this renders.

use std::fmt::Write as _;

use crate::check::{Check, Rule};
use crate::decided::DECIDED;
use crate::era;
use crate::mutants::{MUTANT_RULES, MUTANTS};
use crate::patch::{Hunk, Patch, Place};
use crate::profile::{PROFILE_NAMES, Profile, ProfileError, Tables};
use crate::series::{BACKPORTS, SERIES};
use crate::step::{Plan, Stage, Step};

/// Returns every rule of every era, patch and mutant, each once, by id.
#[must_use]
pub fn all_rules() -> Vec<&'static Rule> {
    let mut rules: Vec<&'static Rule> = DECIDED.iter().chain(MUTANT_RULES).copied().collect();
    for profile in [era::btrfs_ioctl::profile(), era::remap::profile()] {
        for stage in STAGES {
            rules.extend(profile.tables.rules(stage));
        }
    }
    for hunk in SERIES.iter().chain(MUTANTS).flat_map(|patch| patch.hunks) {
        if let Hunk::AddCheck(_, check) | Hunk::SwapCheck(_, check) = hunk {
            rules.push(check.rule());
        }
    }
    rules.sort_by_key(|rule| rule.id);
    rules.dedup_by_key(|rule| rule.id);
    rules
}

/// Returns `docs/rules.md`.
pub fn rules_markdown() -> Result<String, ProfileError> {
    let mut text = String::from(
        "# Rules\n\nRendered from the tables of `crates/rules`; \
         `XSAME_BLESS=1 cargo test -p rules` writes it anew.\n\nA request passes the steps of a plan in order. A check list is asked \
         from top to bottom; the first check that fires ends the call (in the call's plan) or the \
         element (in the element's). What follows an end is only what puts things back: unlock, \
         report.\n",
    );
    for name in PROFILE_NAMES.iter().rev() {
        let profile = Profile::by_name(name)?;
        write_profile(&mut text, &profile);
    }
    text.push_str("\n## Every rule\n\n| rule | answer | what it is about | where | reach |\n");
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for rule in all_rules() {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | `{}` {} ({}) | {} |",
            rule.id,
            rule.end,
            rule.sentence,
            rule.cite.path,
            rule.cite.func,
            rule.cite.at,
            rule.reach
        );
    }
    text.push_str("\n## What changed between releases\n");
    for patch in SERIES {
        write_patch(&mut text, patch);
    }
    Ok(text)
}

/// Returns `docs/mutants.md`.
#[must_use]
pub fn mutants_markdown() -> String {
    let mut text = String::from(
        "# Mutants\n\nRendered from `crates/rules/src/mutants.rs`; \
         `XSAME_BLESS=1 cargo test -p rules` writes it anew.\n\nEach re-introduces a bug into the \
         model. A differential run with `--mutant ID` must find it.\n",
    );
    for mutant in MUTANTS {
        write_patch(&mut text, mutant);
    }
    text
}

/// Every stage.
const STAGES: [Stage; 14] = [
    Stage::Entry,
    Stage::Count,
    Stage::Call,
    Stage::Pair,
    Stage::Unlocked,
    Stage::Locked,
    Stage::Range,
    Stage::Shortened,
    Stage::Remap,
    Stage::CloneEntry,
    Stage::ClonePair,
    Stage::CloneLocked,
    Stage::CloneKind,
    Stage::CloneRange,
];

/// Writes the plans of a profile with their check lists.
fn write_profile(text: &mut String, profile: &Profile) {
    let _ = writeln!(text, "\n## {}\n", profile.name);
    let patches: Vec<String> = profile.patches.iter().map(|id| format!("`{id}`")).collect();
    if !patches.is_empty() {
        let _ = writeln!(text, "The era and {}.\n", patches.join(", "));
    }
    let (request, chunk) = (profile.limits.request_len, profile.limits.chunk_len);
    let (request, chunk) = (shown_bytes(request), shown_bytes(chunk));
    let _ = writeln!(text, "Longest request {request}, chunk {chunk}.\n");
    for (title, plan) in [
        ("Call", Plan::Call),
        ("Each element", Plan::Element),
        ("Clone", Plan::Clone),
    ] {
        let _ = writeln!(text, "### {title} ({})\n", profile.name);
        for (step_idx, step) in profile.plan(plan).iter().enumerate() {
            let _ = writeln!(text, "{}. {}", step_idx + 1, step.words());
            if let Step::Check(stage) = step {
                for rule in profile.tables.rules(*stage) {
                    let _ = writeln!(text, "   - `{}`: {} ({})", rule.id, rule.sentence, rule.end);
                }
            }
        }
        text.push('\n');
    }
}

/// Writes one patch with its hunks.
fn write_patch(text: &mut String, patch: &Patch) {
    let _ = writeln!(text, "\n### `{}`\n\n{}.", patch.id, patch.subject);
    if let Some(since) = patch.since {
        let backports = BACKPORTS.iter().filter(|(id, _)| *id == patch.id);
        let backports: String = backports
            .map(|(_, release)| format!(", and in stable kernels of {release}"))
            .collect();
        let _ = writeln!(text, "Since {}.{}{backports}.", since.major, since.minor);
    }
    let _ = writeln!(text, "Cite: {}.\n", patch.cite);
    for hunk in patch.hunks {
        let _ = writeln!(text, "- {}", shown_hunk(hunk));
    }
}

/// Returns a hunk in words.
fn shown_hunk(hunk: &Hunk) -> String {
    match hunk {
        Hunk::AddCheck(place, check) => {
            format!(
                "adds `{}` to {:?}, {place:?}",
                check.rule_id(),
                check.stage()
            )
        }
        Hunk::DropCheck(stage, id) => format!("drops `{id}` from {stage:?}"),
        Hunk::SwapCheck(id, check) => {
            format!(
                "puts `{}` in the place of `{id}` in {:?}",
                check.rule_id(),
                check.stage()
            )
        }
        Hunk::MoveCheck(stage, id, place) => {
            format!("moves `{id}` within {stage:?} {}", shown_place(*place))
        }
        Hunk::SwapStep(plan, old, new) => {
            format!("{plan:?}: \"{}\" becomes \"{}\"", old.words(), new.words())
        }
        Hunk::MoveStep(plan, step, anchor) => {
            format!(
                "{plan:?}: \"{}\" moves behind \"{}\"",
                step.words(),
                anchor.words()
            )
        }
        Hunk::DropStep(plan, step) => format!("{plan:?}: \"{}\" goes", step.words()),
        Hunk::AddStep(plan, anchor, step) => {
            format!(
                "{plan:?}: \"{}\" comes after \"{}\"",
                step.words(),
                anchor.words()
            )
        }
        Hunk::SetLimit(limit, bytes) => format!("{limit:?} becomes {}", shown_bytes(*bytes)),
        Hunk::SetBehaviour(_) => "changes what the filesystem does to extents".to_owned(),
    }
}

/// Returns a place in a table in words.
fn shown_place(place: Place) -> String {
    match place {
        Place::Before(id) => format!("before `{id}`"),
        Place::After(id) => format!("behind `{id}`"),
        Place::Last => "at the end".to_owned(),
    }
}

/// Returns a number of bytes with the largest fitting unit.
fn shown_bytes(bytes: u64) -> String {
    match bytes {
        u64::MAX => "unbounded".to_owned(),
        bytes if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        bytes if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} B"),
    }
}

/// Returns the rules of a list, in order.
fn rules_of<V>(table: &[Check<V>]) -> Vec<&'static Rule> {
    table.iter().map(|check| check.rule).collect()
}

impl Tables {
    /// Returns the rules of a stage, in order.
    #[must_use]
    pub fn rules(&self, stage: Stage) -> Vec<&'static Rule> {
        match stage {
            Stage::Entry => rules_of(&self.entry),
            Stage::Count => rules_of(&self.count),
            Stage::Call => rules_of(&self.call),
            Stage::Pair => rules_of(&self.pair),
            Stage::Unlocked => rules_of(&self.unlocked),
            Stage::Locked => rules_of(&self.locked),
            Stage::Range => rules_of(&self.range),
            Stage::Shortened => rules_of(&self.shortened),
            Stage::Remap => rules_of(&self.remap),
            Stage::CloneEntry => rules_of(&self.clone_entry),
            Stage::ClonePair => rules_of(&self.clone_pair),
            Stage::CloneLocked => rules_of(&self.clone_locked),
            Stage::CloneKind => rules_of(&self.clone_kind),
            Stage::CloneRange => rules_of(&self.clone_range),
        }
    }
}
