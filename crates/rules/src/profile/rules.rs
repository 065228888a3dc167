//! The rules that a profile can decide by.

use super::Profile;
use crate::check::{Reach, Rule, RuleId};
use crate::decided;
use crate::step::{Plan, Step};

impl Profile {
    /// Returns every rule that a check or a step of the profile's plans can decide by, each once.
    #[must_use]
    pub fn rules(&self) -> Vec<&'static Rule> {
        let plans = [Plan::Call, Plan::Element, Plan::Clone].map(|plan| self.plan(plan));
        // Results are written back element by element or all at once.
        let other_way: &[&Rule] = match self.plan(Plan::Call).contains(&Step::CopyOut) {
            true => &[&decided::ELEMENT_FAULT, &decided::ELEMENT_REPLY_FAULT],
            false => &[&decided::REPLY_FAULT],
        };
        let decided = decided::DECIDED.iter().copied();
        let mut rules: Vec<&'static Rule> =
            decided.filter(|rule| !other_way.contains(rule)).collect();
        for step in plans.into_iter().flatten() {
            if let Step::Check(stage) = step {
                rules.extend(self.tables.rules(*stage));
            }
        }
        rules.sort_by_key(|rule| rule.id);
        rules.dedup_by_key(|rule| rule.id);
        rules
    }

    /// Returns those of them that a witness can show which has mounted a filesystem. One that is a
    /// kernel of the profile's own age (`is_kernel`) shows what only such kernels do, too.
    #[must_use]
    pub fn rules_in_reach(&self, is_kernel: bool) -> Vec<&'static Rule> {
        let mut rules = self.rules();
        let ids: Vec<RuleId> = rules.iter().map(|rule| rule.id).collect();
        let is_hidden = |rule: &Rule| {
            let mut hiding = HIDDEN.iter().filter(|(hidden, _)| *hidden == rule.id);
            hiding.any(|(_, by)| ids.contains(by))
        };
        rules.retain(|rule| match rule.reach {
            Reach::Mount => !is_hidden(rule),
            Reach::Uml(_) => is_kernel && !is_hidden(rule),
            Reach::ModelOnly(_) => false,
        });
        rules
    }
}

/// Rules that never decide where another one is asked before, with that one: files of two
/// filesystems are always opened through two mounts.
const HIDDEN: &[(RuleId, RuleId)] = &[("clone-other-superblock", "clone-other-mount")];
