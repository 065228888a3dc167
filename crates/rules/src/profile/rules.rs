//! The rules that a profile can decide by.

use super::Profile;
use crate::check::{Reach, Rule};
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

    /// Returns those of them that anybody with a mounted filesystem can show.
    #[must_use]
    pub fn rules_in_reach(&self) -> Vec<&'static Rule> {
        let mut rules = self.rules();
        rules.retain(|rule| rule.reach == Reach::Mount);
        rules
    }
}
