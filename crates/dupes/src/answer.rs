//! Answers: what a look told, as a volume remembers it for as long as nothing changes
//! ([`Volume::recall_answer`]).
//!
//! An answer is a list of numbers. It does not know what makes one good: whatever is recalled is
//! what would be found.

use volume::{Compression, DedupeTarget, Extent, FileId, FileRange, Volume};

use crate::change::Changes;
use crate::look::Findings;
use crate::options::Options;
use crate::plan::{Group, Prediction, Removed, Stay, StayReason};
use crate::report::{Report, Stopped};

/// Returns the question that a look with these options asks; `None` if its answer is not to be
/// remembered. How much memory it may take, and what is done with the plan, is no part of it.
fn question(options: &Options) -> Option<[u64; 7]> {
    let Options {
        program,
        scan,
        rewrite,
        nr_references_max,
        run_bytes_min,
        is_within_files,
        lists_all,
        sort_bytes_max: _,
        plan_bytes_max: _,
        nr_rounds_max: _,
    } = *options;
    Some([
        program?,
        scan as u64,
        rewrite as u64,
        nr_references_max as u64,
        run_bytes_min,
        is_within_files.into(),
        lists_all.into(),
    ])
}

/// Returns what a look would find, if the volume remembers it.
///
/// # Errors
/// If the volume fails as a whole.
pub(crate) fn recall(
    volume: &mut dyn Volume,
    options: &Options,
) -> Result<Option<Findings>, Stopped> {
    let Some(question) = question(options) else {
        return Ok(None);
    };
    let answer = volume.recall_answer(&question)?;
    // One that makes no sense is no answer: it is found out again.
    Ok(answer.and_then(|answer| findings(&mut Numbers(&answer))))
}

/// Has the volume remember what a look found, if that is all there was to be found.
///
/// # Errors
/// If the volume fails as a whole.
pub(crate) fn learn(
    volume: &mut dyn Volume,
    options: &Options,
    findings: &Findings,
) -> Result<(), Stopped> {
    if let Some(question) = question(options)
        && findings.report.errors.is_empty()
    {
        volume.learn_answer(&question, &mut numbers(findings))?;
    }
    Ok(())
}

/// Returns findings as numbers.
fn numbers(findings: &Findings) -> impl Iterator<Item = u64> {
    let Findings {
        report,
        prediction,
        changes,
        groups,
        stays,
        removed,
        is_idle,
        is_remembered: _,
    } = findings;
    let Report {
        nr_files,
        scanned_bytes,
        nr_extents,
        nr_blocks,
        // What a run reads is its own, and an answer is one without errors.
        read_bytes: _,
        errors: _,
    } = *report;
    let Prediction {
        freed_bytes,
        written_bytes,
        moved_bytes,
        nr_extents_freed,
        nr_extents_written,
        nr_file_extents_more,
        nr_requests,
    } = *prediction;
    let head = [
        nr_files,
        scanned_bytes,
        nr_extents,
        nr_blocks,
        freed_bytes,
        written_bytes,
        moved_bytes,
        nr_extents_freed,
        nr_extents_written,
        nr_file_extents_more.cast_unsigned(),
        nr_requests,
        u64::from(*is_idle),
        changes.iter().len() as u64,
        groups.len() as u64,
        stays.len() as u64,
        removed.len() as u64,
    ];
    let changes = changes.iter().flat_map(|(FileId { root, inode }, change)| {
        [root, inode, change.freed_bytes, change.written_bytes]
    });
    let groups = groups.iter().flat_map(|group| {
        let FileRange { file, offset, len } = group.range;
        let of_group = [
            file.root,
            file.inode,
            offset,
            len,
            group.is_rewritten.into(),
            group.nr_targets as u64,
            group.targets.len() as u64,
        ];
        let targets = group.targets.iter();
        let targets = targets.flat_map(|it| [it.file.root, it.file.inode, it.offset]);
        of_group.into_iter().chain(targets)
    });
    let stays = stays
        .iter()
        .flat_map(|stay| [stay.reason as u64, stay.nr_extents, stay.bytes]);
    let removed = removed.iter().flat_map(|it| {
        let compression = match it.extent.compression {
            Compression::None => 0,
            Compression::Algorithm(number) => 1 + u64::from(number),
        };
        [
            it.extent.address,
            it.extent.disk_bytes,
            it.extent.ram_bytes,
            compression,
            it.nr_references as u64,
            it.file.root,
            it.file.inode,
        ]
    });
    let lists = changes.chain(groups).chain(stays).chain(removed);
    head.into_iter().chain(lists)
}

/// Numbers that are still to be taken.
struct Numbers<'a>(&'a [u64]);

impl Numbers<'_> {
    fn take(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take_bool(&mut self) -> Option<bool> {
        match self.take()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn take_file(&mut self) -> Option<FileId> {
        Some(FileId {
            root: self.take()?,
            inode: self.take()?,
        })
    }

    fn take_list<T>(
        &mut self,
        nr: u64,
        take_one: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        // Each takes a number at least.
        let nr = usize::try_from(nr).ok().filter(|nr| *nr <= self.0.len())?;
        (0..nr).map(|_| take_one(self)).collect()
    }
}

/// Returns the findings that numbers are of; `None` if they are of none.
fn findings(numbers: &mut Numbers<'_>) -> Option<Findings> {
    let report = Report {
        nr_files: numbers.take()?,
        scanned_bytes: numbers.take()?,
        nr_extents: numbers.take()?,
        nr_blocks: numbers.take()?,
        ..Report::default()
    };
    let prediction = Prediction {
        freed_bytes: numbers.take()?,
        written_bytes: numbers.take()?,
        moved_bytes: numbers.take()?,
        nr_extents_freed: numbers.take()?,
        nr_extents_written: numbers.take()?,
        nr_file_extents_more: numbers.take()?.cast_signed(),
        nr_requests: numbers.take()?,
    };
    let is_idle = numbers.take_bool()?;
    let nr_changes = numbers.take()?;
    let nr_groups = numbers.take()?;
    let nr_stays = numbers.take()?;
    let nr_removed = numbers.take()?;
    let mut changes = Changes::default();
    for _ in 0..nr_changes {
        let file = numbers.take_file()?;
        changes.free(file, numbers.take()?);
        changes.write(file, numbers.take()?);
    }
    let found = Findings {
        report,
        prediction,
        changes,
        groups: numbers.take_list(nr_groups, group)?,
        stays: numbers.take_list(nr_stays, stay)?,
        removed: numbers.take_list(nr_removed, removed)?,
        is_idle,
        is_remembered: true,
    };
    numbers.0.is_empty().then_some(found)
}

fn group(numbers: &mut Numbers<'_>) -> Option<Group> {
    let range = FileRange {
        file: numbers.take_file()?,
        offset: numbers.take()?,
        len: numbers.take()?,
    };
    let is_rewritten = numbers.take_bool()?;
    let nr_targets = usize::try_from(numbers.take()?).ok()?;
    let nr_known = numbers.take()?;
    let targets = numbers.take_list(nr_known, |numbers| {
        Some(DedupeTarget {
            file: numbers.take_file()?,
            offset: numbers.take()?,
        })
    })?;
    Some(Group {
        range,
        is_rewritten,
        nr_targets,
        targets,
    })
}

fn stay(numbers: &mut Numbers<'_>) -> Option<Stay> {
    let reason = numbers.take()?;
    Some(Stay {
        reason: StayReason::ALL
            .into_iter()
            .find(|it| *it as u64 == reason)?,
        nr_extents: numbers.take()?,
        bytes: numbers.take()?,
    })
}

fn removed(numbers: &mut Numbers<'_>) -> Option<Removed> {
    let extent = Extent {
        address: numbers.take()?,
        disk_bytes: numbers.take()?,
        ram_bytes: numbers.take()?,
        compression: match numbers.take()? {
            0 => Compression::None,
            number => Compression::Algorithm(u8::try_from(number - 1).ok()?),
        },
    };
    Some(Removed {
        extent,
        nr_references: usize::try_from(numbers.take()?).ok()?,
        file: numbers.take_file()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns findings in which every number is another one.
    fn some() -> Findings {
        let file = |inode| FileId { root: 256, inode };
        let target = |inode| DedupeTarget {
            file: file(inode),
            offset: inode << 12,
        };
        let removed = |address, compression| Removed {
            extent: Extent {
                address,
                disk_bytes: 4096,
                ram_bytes: 8192,
                compression,
            },
            nr_references: 3,
            file: file(address + 1),
        };
        let mut changes = Changes::default();
        changes.free(file(20), 21);
        changes.write(file(22), 23);
        Findings {
            report: Report {
                nr_files: 1,
                scanned_bytes: 2,
                nr_extents: 3,
                nr_blocks: u64::MAX,
                ..Report::default()
            },
            prediction: Prediction {
                freed_bytes: 4,
                written_bytes: 5,
                moved_bytes: 6,
                nr_extents_freed: 7,
                nr_extents_written: 8,
                nr_file_extents_more: -9,
                nr_requests: 10,
            },
            changes,
            groups: [0, 2]
                .map(|nr| Group {
                    range: FileRange {
                        file: file(30),
                        offset: 31,
                        len: 32,
                    },
                    is_rewritten: nr == 2,
                    nr_targets: 33,
                    targets: (40..40 + nr).map(target).collect(),
                })
                .into(),
            stays: StayReason::ALL
                .map(|reason| Stay {
                    reason,
                    nr_extents: 50,
                    bytes: 51,
                })
                .into(),
            removed: vec![
                removed(60, Compression::None),
                removed(62, Compression::Algorithm(0)),
                removed(64, Compression::Algorithm(255)),
            ],
            is_idle: false,
            is_remembered: true,
        }
    }

    #[test]
    fn findings_come_back_and_half_an_answer_is_none() {
        let expected = some();
        let whole: Vec<u64> = numbers(&expected).collect();
        let found = findings(&mut Numbers(&whole)).expect("an answer");
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        for len in 0..whole.len() {
            assert!(findings(&mut Numbers(&whole[..len])).is_none(), "{len}");
        }
        let more = [&whole[..], &[0]].concat();
        assert!(findings(&mut Numbers(&more)).is_none());
        // Whatever stands there, nothing is taken that is not.
        for idx in 0..whole.len() {
            let mut other = whole.clone();
            other[idx] = u64::MAX;
            let _ = findings(&mut Numbers(&other));
        }
    }
}
