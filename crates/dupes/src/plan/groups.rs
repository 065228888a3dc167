//! What of a plan a person wants to see first: its largest [`Group`]s of equal ranges.

use std::collections::BTreeMap;

use volume::{DedupeTarget, FileId, FileRange};

use super::{Batch, Plan, Step};

/// Targets of a group that are remembered.
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
    /// Some of them.
    pub targets: Vec<DedupeTarget>,
}

impl Group {
    /// Returns the bytes of files that are moved.
    #[must_use]
    pub fn moved_bytes(&self) -> u64 {
        self.range.len * self.nr_targets as u64
    }
}

impl Plan {
    /// Returns the groups of which most is moved, at most `nr_max`.
    #[must_use]
    pub fn largest_groups(&self, nr_max: usize) -> Vec<Group> {
        let mut groups: BTreeMap<(bool, FileRange), Group> = BTreeMap::new();
        for step in &self.steps {
            match step {
                Step::Share { source, batch } => {
                    add(&mut groups, range_of(*source, batch), false, batch);
                }
                Step::Rewrite(rewriting) => {
                    for batch in &rewriting.batches {
                        if let Some(first) = batch.targets.first() {
                            let range = FileRange {
                                offset: first.offset,
                                ..range_of(first.file, batch)
                            };
                            add(&mut groups, range, true, batch);
                        }
                    }
                }
            }
        }
        // What is only moved to a copy of its own is no group.
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.retain(|group| !group.is_rewritten || 1 < group.nr_targets);
        groups.sort_by_key(|group| std::cmp::Reverse(group.moved_bytes()));
        groups.truncate(nr_max);
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

fn add(
    groups: &mut BTreeMap<(bool, FileRange), Group>,
    range: FileRange,
    is_rewritten: bool,
    batch: &Batch,
) {
    let group = groups.entry((is_rewritten, range)).or_insert(Group {
        range,
        is_rewritten,
        nr_targets: 0,
        targets: Vec::new(),
    });
    group.nr_targets += batch.targets.len();
    let room = NR_TARGETS.saturating_sub(group.targets.len());
    group.targets.extend(batch.targets.iter().take(room));
}
