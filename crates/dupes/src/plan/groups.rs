//! What of a plan a person wants to see first: its largest [`Group`]s of equal ranges.

use std::collections::BTreeMap;

use volume::{DedupeTarget, FileId, FileRange};

use super::{Batch, Plan, Step};

/// How many groups are kept where not all are wanted.
const NR_GROUPS: usize = 50;
/// Targets of a group that are kept then.
const NR_TARGETS: usize = 4;

/// A range and its equals, which are moved to where it is, or is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The range that stays, or the first that is moved to a copy.
    pub range: FileRange,
    /// Whether it is moved to a copy, as its equals are.
    pub is_rewritten: bool,
    /// How many ranges are moved.
    pub nr_targets: usize,
    /// Some of them, or all.
    pub targets: Vec<DedupeTarget>,
}

impl Group {
    /// Returns how many equals there are, the one included that stays.
    #[must_use]
    pub fn nr_copies(&self) -> usize {
        self.nr_targets + usize::from(!self.is_rewritten)
    }

    /// Returns where the equals are, as far as their places are kept: the one first that stays, or
    /// the first that is moved to a copy.
    pub fn places(&self) -> impl Iterator<Item = (FileId, u64)> {
        let first = (self.range.file, self.range.offset);
        let others = self.targets.iter().skip(usize::from(self.is_rewritten));
        std::iter::once(first).chain(others.map(|target| (target.file, target.offset)))
    }

    /// Returns the bytes of files that are moved.
    #[must_use]
    pub fn moved_bytes(&self) -> u64 {
        self.range.len * self.nr_targets as u64
    }

    fn add(&mut self, batch: &Batch, nr_targets_max: usize) {
        self.nr_targets += batch.targets.len();
        let room = nr_targets_max.saturating_sub(self.targets.len());
        self.targets.extend(batch.targets.iter().take(room));
    }
}

impl Plan {
    /// Returns the groups, those first of which most is moved: all with all their targets, or 50
    /// with 4 targets each.
    #[must_use]
    pub fn groups(&self, are_all_wanted: bool) -> Vec<Group> {
        let (nr_groups, nr_targets) = match are_all_wanted {
            true => (usize::MAX, usize::MAX),
            false => (NR_GROUPS, NR_TARGETS),
        };
        let mut groups: BTreeMap<(bool, FileRange), Group> = BTreeMap::new();
        for step in &self.steps {
            match step {
                Step::Share { source, batch } => {
                    let range = range_of(*source, batch);
                    let group = group_of(&mut groups, range, false);
                    group.add(batch, nr_targets);
                }
                Step::Rewrite(rewriting) => {
                    for batch in &rewriting.batches {
                        if let Some(first) = batch.targets.first() {
                            let range = FileRange {
                                offset: first.offset,
                                ..range_of(first.file, batch)
                            };
                            group_of(&mut groups, range, true).add(batch, nr_targets);
                        }
                    }
                }
            }
        }
        // What is only moved to a copy of its own is no group.
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.retain(|group| !group.is_rewritten || 1 < group.nr_targets);
        groups.sort_by_key(|group| std::cmp::Reverse(group.moved_bytes()));
        groups.truncate(nr_groups);
        groups
    }
}

fn range_of(file: FileId, batch: &Batch) -> FileRange {
    FileRange {
        file,
        offset: batch.offset,
        len: batch.len,
    }
}

fn group_of(
    groups: &mut BTreeMap<(bool, FileRange), Group>,
    range: FileRange,
    is_rewritten: bool,
) -> &mut Group {
    groups.entry((is_rewritten, range)).or_insert(Group {
        range,
        is_rewritten,
        nr_targets: 0,
        targets: Vec::new(),
    })
}
