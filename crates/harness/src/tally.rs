//! What a run did, counted: [`Tally`], and of its dedupes, [`Shares`].

use std::collections::BTreeMap;
use std::ops::AddAssign;

use scenario::{Observation, Op, Outcome, Reply};
use uapi::Errno;
use uapi::dedupe::{DIFFERS, SAME};

use crate::difference::outcome_text;

/// A file above this length makes an operation a large one, bytes.
const LARGE_LEN: u64 = 1 << 20;

/// How often maps told parts of files as shared, or not, where a kernel may say either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenShares {
    /// As the extent before it on disk: the freedom of maps that are drawn from a cache.
    pub nr_borrowed: u64,
    /// Otherwise than by counting references, by the leaves that hold the items.
    pub nr_by_leaves: u64,
    /// As what lies before a compressed extent, a later part of which it is: another freedom of
    /// maps that are drawn from a cache.
    pub nr_before_compressed: u64,
}

impl AddAssign for OpenShares {
    fn add_assign(&mut self, more: OpenShares) {
        self.nr_borrowed += more.nr_borrowed;
        self.nr_by_leaves += more.nr_by_leaves;
        self.nr_before_compressed += more.nr_before_compressed;
    }
}

/// Counts of what the expected witness answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many operations there were of each kind, [`Op::kind`].
    pub kinds: BTreeMap<String, u64>,
    /// Operations after which a file of more than 1 MiB was looked at.
    pub nr_large: u64,
    /// How operations ended, dedupes as `dedupe WORD`: in the words of the scenario language.
    pub outcomes: BTreeMap<String, u64>,
    /// How elements of dedupes ended: `same`, `differs`, an errno.
    pub elements: BTreeMap<String, u64>,
    /// Refusals by the id of the rule that decided.
    pub refusals: BTreeMap<String, u64>,
    /// Dedupe calls.
    pub nr_dedupes: u64,
    /// Dedupe calls that succeeded for an element and moved a reference.
    pub nr_moved: u64,
    /// Dedupe calls that found a difference.
    pub nr_differing: u64,
    /// Dedupe calls that met dirty pages in a range.
    pub nr_met_dirty: u64,
    /// Dedupe calls that cut an extent in the middle.
    pub nr_cut: u64,
    /// Parts of maps that were told shared, or not, where that is open.
    pub open_shares: OpenShares,
    /// The most subvolumes and snapshots that the trees had at a time, the top among them.
    pub nr_roots_max: u64,
    /// Writes.
    pub nr_writes: u64,
    /// Writes that wrote all that they were given.
    pub nr_writes_done: u64,
    /// How often each freedom of the kernel was taken over by the expected witness.
    pub adopted: BTreeMap<String, u64>,
}

/// Shares of the dedupe calls of a run, between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Succeeded and moved a reference.
    pub moved: f64,
    /// Found a difference.
    pub differing: f64,
    /// Met dirty pages.
    pub met_dirty: f64,
    /// Cut an extent in the middle.
    pub cut: f64,
}

impl Shares {
    /// What a run must reach to prove anything.
    pub const NEEDED: Shares = Shares {
        moved: 0.40,
        differing: 0.10,
        met_dirty: 0.20,
        cut: 0.30,
    };

    /// Returns what is too small, as `name has of needed` with percentages.
    pub fn lacking(&self) -> Vec<String> {
        let Shares {
            moved,
            differing,
            met_dirty,
            cut,
        } = Shares::NEEDED;
        let facts = [
            ("succeed and move a reference", self.moved, moved),
            ("find a difference", self.differing, differing),
            ("meet dirty pages", self.met_dirty, met_dirty),
            ("cut an extent in the middle", self.cut, cut),
        ];
        let lacking = facts.iter().filter(|(_, has, needed)| has < needed);
        lacking
            .map(|(what, has, needed)| {
                format!(
                    "{:.0} % of the dedupes {what}, needed {:.0} %",
                    has * 100.0,
                    needed * 100.0
                )
            })
            .collect()
    }
}

impl Tally {
    /// Counts one reply of the expected witness.
    pub(crate) fn count(&mut self, op: &Op, reply: &Reply) {
        add(&mut self.kinds, op.kind());
        let is_large = |seen: &Observation| matches!(seen, Observation::File { stat, .. } if LARGE_LEN < stat.size);
        self.nr_large += u64::from(reply.observations.iter().any(is_large));
        let answer = &reply.answer;
        if let Outcome::Trees(trees) = &answer.outcome {
            self.nr_roots_max = self.nr_roots_max.max(trees.roots.len() as u64);
        }
        let text = outcome_text(&answer.outcome);
        let text = if matches!(op, Op::Dedupe(_)) {
            format!("dedupe {text}")
        } else {
            text
        };
        add(&mut self.outcomes, &text);
        if matches!(op, Op::Write { .. }) {
            self.nr_writes += 1;
            self.nr_writes_done += u64::from(answer.outcome == Outcome::Done);
        }
        let adopted = answer.adopted.iter();
        adopted.for_each(|freedom| add(&mut self.adopted, freedom));
        let Outcome::Dedupe { elements, .. } = &answer.outcome else {
            // A clone or write that was refused has one rule, if any.
            let rules = answer.rules.iter().flatten();
            rules.for_each(|rule| add(&mut self.refusals, rule));
            return;
        };
        self.nr_dedupes += 1;
        let has = |wanted: i32| elements.iter().any(|element| element.status == wanted);
        self.nr_moved += u64::from(has(SAME) && answer.effect.moved_reference);
        self.nr_differing += u64::from(has(DIFFERS));
        self.nr_met_dirty += u64::from(answer.effect.met_dirty_pages);
        self.nr_cut += u64::from(answer.effect.cut_extent);
        for element in elements {
            match (element.status, Errno::from_status(element.status)) {
                (SAME, _) => add(&mut self.elements, "same"),
                (DIFFERS, _) => add(&mut self.elements, "differs"),
                (_, Some(errno)) => add(&mut self.elements, &errno.to_string()),
                (_, None) => add(&mut self.elements, "untouched"),
            }
        }
        answer
            .rules
            .iter()
            .flatten()
            .for_each(|rule| add(&mut self.refusals, rule));
    }

    /// Returns the kinds of operations that there were none of.
    pub fn missing_kinds(&self) -> Vec<&'static str> {
        let is_missing = |kind: &&str| !self.kinds.contains_key(*kind);
        Op::KINDS.into_iter().filter(is_missing).collect()
    }

    /// Returns the shares of the dedupe calls; all 0 if there were none.
    pub fn shares(&self) -> Shares {
        let share = |part: u64| {
            if self.nr_dedupes == 0 {
                0.0
            } else {
                part as f64 / self.nr_dedupes as f64
            }
        };
        Shares {
            moved: share(self.nr_moved),
            differing: share(self.nr_differing),
            met_dirty: share(self.nr_met_dirty),
            cut: share(self.nr_cut),
        }
    }
}

fn add(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => {
            counts.insert(key.to_owned(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_is_too_small_is_named_with_what_is_needed() {
        let enough = Shares::NEEDED;
        assert_eq!(enough.lacking(), Vec::<String>::new());
        let shares = Shares {
            differing: 0.05,
            ..enough
        };
        assert_eq!(
            shares.lacking(),
            ["5 % of the dedupes find a difference, needed 10 %"]
        );
        assert_eq!(Tally::default().shares().lacking().len(), 4);
    }
}
