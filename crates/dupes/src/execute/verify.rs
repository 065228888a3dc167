//! What really came of it: which extents of the plan nothing refers to any more, and which of
//! those that were written something does.

use volume::{Extent, FileId, Volume};

use super::Done;
use crate::plan::Plan;
use crate::report::Stopped;
use crate::watch::{Phase, Watch};

/// How many extents are asked about at once.
const NR_ASKED: usize = 4096;

/// Looks at the extents of a plan, after a commit.
///
/// # Errors
/// If the volume fails as a whole, or the watch says stop.
pub(super) fn look(
    plan: &Plan,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    done: &mut Done,
) -> Result<(), Stopped> {
    volume.sync()?;
    done.written.sort_unstable();
    done.written.dedup_by_key(|(extent, _)| extent.address);
    let mut nr_done = 0;
    let total = Some((plan.removed.len() + done.written.len()) as u64);
    for removed in plan.removed.chunks(NR_ASKED) {
        watch.at(Phase::Verify, nr_done, total)?;
        let extents: Vec<Extent> = removed.iter().map(|removed| removed.extent).collect();
        for (removed, is_gone) in removed.iter().zip(are_gone(&extents, volume)?) {
            let extent = removed.extent;
            // Where something new was allocated, the old is gone.
            if is_gone || is_replaced(&extent, &done.written) {
                done.freed_bytes += extent.disk_bytes;
                done.nr_extents_freed += 1;
                done.changes.free(removed.file, extent.disk_bytes);
            }
        }
        nr_done += extents.len() as u64;
    }
    let written = std::mem::take(&mut done.written);
    for written in written.chunks(NR_ASKED) {
        watch.at(Phase::Verify, nr_done, total)?;
        let extents: Vec<Extent> = written.iter().map(|(extent, _)| *extent).collect();
        for ((extent, file), is_gone) in written.iter().zip(are_gone(&extents, volume)?) {
            if !is_gone {
                done.written_bytes += extent.disk_bytes;
                done.changes.write(*file, extent.disk_bytes);
            }
        }
        nr_done += written.len() as u64;
    }
    Ok(())
}

/// Returns of each extent whether nothing refers to it.
fn are_gone(extents: &[Extent], volume: &mut dyn Volume) -> Result<Vec<bool>, Stopped> {
    let answers = volume.references(extents)?;
    let is_gone = answers
        .iter()
        .map(|answer| answer.is_complete && answer.references.is_empty());
    Ok(is_gone.collect())
}

/// Returns whether one of `written`, which are in order, lies where the extent was.
fn is_replaced(extent: &Extent, written: &[(Extent, FileId)]) -> bool {
    let end = extent.address + extent.disk_bytes;
    let behind = written.partition_point(|(new, _)| new.address < end);
    let last = behind.checked_sub(1).map(|idx| &written[idx].0);
    last.is_some_and(|new| extent.address < new.address + new.disk_bytes)
}
