//! A change to a profile as data: a [`Patch`] of [`Hunk`]s, applied as `patch(1)` would.
//!
//! A kernel commit is a patch with a release, a historical bug is one without. A hunk whose anchor
//! is missing fails with [`HunkFailed`], so that a stale mutant cannot rot silently.

use fs_state::Behaviour;
use uapi::Release;

use crate::check::{Check, Cite, Rule, RuleId};
use crate::profile::{Profile, Tables};
use crate::step::{Plan, Stage, Step};
use crate::view::{CallView, CountView, EntryView, LockedView, PairView, RangeView};

/// A change to a profile.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// Stable name, kebab-case.
    pub id: &'static str,
    /// What it changes, in one line.
    pub subject: &'static str,
    /// The commit, or the fix that a mutant reverts.
    pub cite: Cite,
    /// The first release that has it; `None` for mutants.
    pub since: Option<Release>,
    /// What it changes, in order.
    pub hunks: &'static [Hunk],
}

/// One change.
#[derive(Clone, Copy, Debug)]
pub enum Hunk {
    /// Puts a check into its stage's table.
    AddCheck(Place, AnyCheck),
    /// Takes a check out.
    DropCheck(Stage, RuleId),
    /// Puts another check in the place of one.
    SwapCheck(RuleId, AnyCheck),
    /// Moves a check within its table.
    MoveCheck(Stage, RuleId, Place),
    /// Puts another step in the place of the first such step of a plan.
    SwapStep(Plan, Step, Step),
    /// Moves the first such step of a plan to just after another.
    MoveStep(Plan, Step, Step),
    /// Takes the first such step of a plan out.
    DropStep(Plan, Step),
    /// Puts a step just after the first such step of a plan.
    AddStep(Plan, Step, Step),
    /// Sets a limit, bytes.
    SetLimit(Limit, u64),
    /// Changes what the filesystem does to extents.
    SetBehaviour(fn(&mut Behaviour)),
}

/// A place in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before this check.
    Before(RuleId),
    /// After this check.
    After(RuleId),
    /// At the end.
    Last,
}

/// A check with the stage that its view names.
#[derive(Clone, Copy, Debug)]
pub enum AnyCheck {
    /// [`Stage::Entry`].
    Entry(Check<EntryView>),
    /// [`Stage::Count`].
    Count(Check<CountView>),
    /// [`Stage::Call`].
    Call(Check<CallView>),
    /// [`Stage::Pair`].
    Pair(Check<PairView>),
    /// [`Stage::Unlocked`].
    Unlocked(Check<RangeView>),
    /// [`Stage::Locked`].
    Locked(Check<LockedView>),
    /// [`Stage::Range`].
    Range(Check<RangeView>),
    /// [`Stage::Shortened`].
    Shortened(Check<RangeView>),
    /// [`Stage::Remap`].
    Remap(Check<RangeView>),
}

/// A number that bounds a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`crate::Limits::request_len`].
    RequestLen,
    /// [`crate::Limits::element_len`].
    ElementLen,
    /// [`crate::Limits::chunk_len`].
    ChunkLen,
}

/// A hunk did not find what it changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "hunk {hunk_idx} of patch {patch} does not apply to profile {profile}: no {anchor}\n  \
     remedy: apply it to a profile of its era, or rewrite the hunk"
)]
pub struct HunkFailed {
    /// The patch.
    pub patch: &'static str,
    /// Which of its hunks, from 0.
    pub hunk_idx: usize,
    /// The profile.
    pub profile: String,
    /// What was looked for.
    pub anchor: String,
}

/// A table of any stage.
trait Table {
    fn len(&self) -> usize;
    fn position(&self, id: RuleId) -> Option<usize>;
    fn remove(&mut self, check_idx: usize);
    fn rotate(&mut self, from_idx: usize, to_idx: usize);
}

impl<V: 'static> Table for Vec<Check<V>> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn position(&self, id: RuleId) -> Option<usize> {
        self.iter().position(|check| check.rule.id == id)
    }

    fn remove(&mut self, check_idx: usize) {
        Vec::remove(self, check_idx);
    }

    fn rotate(&mut self, from_idx: usize, to_idx: usize) {
        let check = Vec::remove(self, from_idx);
        self.insert(to_idx, check);
    }
}

impl Patch {
    /// Returns `profile` with every hunk applied, or the hunk that does not apply.
    pub fn apply(&self, profile: &Profile) -> Result<Profile, HunkFailed> {
        let mut patched = profile.clone();
        for (hunk_idx, hunk) in self.hunks.iter().enumerate() {
            hunk.apply(&mut patched).map_err(|anchor| HunkFailed {
                patch: self.id,
                hunk_idx,
                profile: profile.name.clone(),
                anchor,
            })?;
        }
        patched.patches.push(self.id);
        Ok(patched)
    }
}

impl Hunk {
    /// Changes the profile, or says which anchor it did not find.
    fn apply(&self, profile: &mut Profile) -> Result<(), String> {
        let tables = &mut profile.tables;
        match *self {
            Hunk::AddCheck(place, check) => check.add(tables, place),
            Hunk::DropCheck(stage, id) => {
                let table = table(tables, stage);
                let check_idx = table.position(id).ok_or_else(|| missing_check(stage, id))?;
                table.remove(check_idx);
                Ok(())
            }
            Hunk::SwapCheck(id, check) => {
                check.add(tables, Place::After(id))?;
                let table = table(tables, check.stage());
                let check_idx = table
                    .position(id)
                    .ok_or_else(|| missing_check(check.stage(), id))?;
                table.remove(check_idx);
                Ok(())
            }
            Hunk::MoveCheck(stage, id, place) => {
                let table = table(tables, stage);
                let from_idx = table.position(id).ok_or_else(|| missing_check(stage, id))?;
                let to_idx = place_idx(table, stage, place, from_idx)?;
                table.rotate(from_idx, to_idx);
                Ok(())
            }
            Hunk::SwapStep(plan, old, new) => {
                let steps = profile.plan_mut(plan);
                let step_idx = position(steps, plan, old)?;
                steps[step_idx] = new;
                Ok(())
            }
            Hunk::MoveStep(plan, step, anchor) => {
                let steps = profile.plan_mut(plan);
                let from_idx = position(steps, plan, step)?;
                position(steps, plan, anchor)?;
                steps.remove(from_idx);
                let to_idx = position(steps, plan, anchor)?;
                steps.insert(to_idx + 1, step);
                Ok(())
            }
            Hunk::DropStep(plan, step) => {
                let steps = profile.plan_mut(plan);
                let step_idx = position(steps, plan, step)?;
                steps.remove(step_idx);
                Ok(())
            }
            Hunk::AddStep(plan, anchor, step) => {
                let steps = profile.plan_mut(plan);
                let step_idx = position(steps, plan, anchor)?;
                steps.insert(step_idx + 1, step);
                Ok(())
            }
            Hunk::SetLimit(limit, bytes) => {
                profile.limits.set(limit, bytes);
                Ok(())
            }
            Hunk::SetBehaviour(change) => {
                change(&mut profile.behaviour);
                Ok(())
            }
        }
    }
}

impl AnyCheck {
    /// Returns the stage whose table it belongs to.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self {
            AnyCheck::Entry(_) => Stage::Entry,
            AnyCheck::Count(_) => Stage::Count,
            AnyCheck::Call(_) => Stage::Call,
            AnyCheck::Pair(_) => Stage::Pair,
            AnyCheck::Unlocked(_) => Stage::Unlocked,
            AnyCheck::Locked(_) => Stage::Locked,
            AnyCheck::Range(_) => Stage::Range,
            AnyCheck::Shortened(_) => Stage::Shortened,
            AnyCheck::Remap(_) => Stage::Remap,
        }
    }

    /// Returns its rule.
    #[must_use]
    pub const fn rule(&self) -> &'static Rule {
        match self {
            AnyCheck::Entry(check) => check.rule,
            AnyCheck::Count(check) => check.rule,
            AnyCheck::Call(check) => check.rule,
            AnyCheck::Pair(check) => check.rule,
            AnyCheck::Locked(check) => check.rule,
            AnyCheck::Unlocked(check)
            | AnyCheck::Range(check)
            | AnyCheck::Shortened(check)
            | AnyCheck::Remap(check) => check.rule,
        }
    }

    /// Returns the id of its rule.
    #[must_use]
    pub const fn rule_id(&self) -> RuleId {
        self.rule().id
    }

    /// Puts the check into its stage's table.
    fn add(&self, tables: &mut Tables, place: Place) -> Result<(), String> {
        let stage = self.stage();
        match *self {
            AnyCheck::Entry(check) => insert(&mut tables.entry, stage, place, check),
            AnyCheck::Count(check) => insert(&mut tables.count, stage, place, check),
            AnyCheck::Call(check) => insert(&mut tables.call, stage, place, check),
            AnyCheck::Pair(check) => insert(&mut tables.pair, stage, place, check),
            AnyCheck::Unlocked(check) => insert(&mut tables.unlocked, stage, place, check),
            AnyCheck::Locked(check) => insert(&mut tables.locked, stage, place, check),
            AnyCheck::Range(check) => insert(&mut tables.range, stage, place, check),
            AnyCheck::Shortened(check) => insert(&mut tables.shortened, stage, place, check),
            AnyCheck::Remap(check) => insert(&mut tables.remap, stage, place, check),
        }
    }
}

/// Returns the table of a stage.
fn table(tables: &mut Tables, stage: Stage) -> &mut dyn Table {
    match stage {
        Stage::Entry => &mut tables.entry,
        Stage::Count => &mut tables.count,
        Stage::Call => &mut tables.call,
        Stage::Pair => &mut tables.pair,
        Stage::Unlocked => &mut tables.unlocked,
        Stage::Locked => &mut tables.locked,
        Stage::Range => &mut tables.range,
        Stage::Shortened => &mut tables.shortened,
        Stage::Remap => &mut tables.remap,
        Stage::CloneEntry => &mut tables.clone_entry,
        Stage::ClonePair => &mut tables.clone_pair,
        Stage::CloneLocked => &mut tables.clone_locked,
        Stage::CloneKind => &mut tables.clone_kind,
        Stage::CloneRange => &mut tables.clone_range,
    }
}

/// Inserts a check at a place of its table.
fn insert<V: 'static>(
    table: &mut Vec<Check<V>>,
    stage: Stage,
    place: Place,
    check: Check<V>,
) -> Result<(), String> {
    let check_idx = place_idx(table, stage, place, usize::MAX)?;
    table.insert(check_idx, check);
    Ok(())
}

/// Returns the index that `place` means once the check at `removed_idx` is out.
fn place_idx(
    table: &dyn Table,
    stage: Stage,
    place: Place,
    removed_idx: usize,
) -> Result<usize, String> {
    let (id, step_over) = match place {
        Place::Before(id) => (id, 0),
        Place::After(id) => (id, 1),
        Place::Last => {
            return Ok(table
                .len()
                .saturating_sub(usize::from(removed_idx != usize::MAX)));
        }
    };
    let anchor_idx = table.position(id).ok_or_else(|| missing_check(stage, id))?;
    Ok(anchor_idx + step_over - usize::from(removed_idx < anchor_idx))
}

/// Returns where a plan has `step`.
fn position(steps: &[Step], plan: Plan, step: Step) -> Result<usize, String> {
    steps
        .iter()
        .position(|other| *other == step)
        .ok_or_else(|| format!("step {step:?} in plan {plan:?}"))
}

/// Names a check that is not there.
fn missing_check(stage: Stage, id: RuleId) -> String {
    format!("check {id} in stage {stage:?}")
}
