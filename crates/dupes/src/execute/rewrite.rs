//! Leftovers: written into a temporary file of ours, then shared like anything else.

use volume::{FileId, FileRange, Place, VolumeError};

use super::Why;
use super::share::Sharing;
use crate::plan::{RewriteRun, Rewriting};
use crate::report::Stopped;

/// Bytes that are copied at once.
const COPY_LEN: u64 = 1 << 20;

/// Writes leftovers and shares them; returns whether there was room.
///
/// # Errors
/// If the volume fails as a whole.
pub(super) fn rewrite(
    rewriting: &Rewriting,
    sharing: &mut Sharing<'_, '_>,
) -> Result<bool, Stopped> {
    let Some(first) = rewriting.runs.first() else {
        return Ok(true);
    };
    let temporary = match sharing.volume.create(rewriting.like) {
        Ok(temporary) => temporary,
        Err(error) => return give_up(first.from, error, sharing),
    };
    let result = match fill(rewriting, temporary, sharing) {
        Ok(()) => share(rewriting, first.from, temporary, sharing),
        Err((range, error)) => give_up(range, error, sharing),
    };
    // Also after an error: what nobody shares with it is free then.
    sharing.volume.remove(temporary)?;
    result
}

/// Reports why a rewrite was given up; returns whether that was for want of room.
fn give_up(
    range: FileRange,
    error: VolumeError,
    sharing: &mut Sharing<'_, '_>,
) -> Result<bool, Stopped> {
    if !error.is_of_one_file() {
        return Err(error.into());
    }
    let has_room = !matches!(error, VolumeError::Full { .. });
    sharing.done.fail(range, Why::Volume(error));
    Ok(has_room)
}

/// Copies every run and waits for its extents.
fn fill(
    rewriting: &Rewriting,
    temporary: FileId,
    sharing: &mut Sharing<'_, '_>,
) -> Result<(), (FileRange, VolumeError)> {
    let Some(first) = rewriting.runs.first() else {
        return Ok(());
    };
    sharing.read_ahead(0);
    for run in &rewriting.runs {
        copy(run, temporary, sharing).map_err(|error| (run.from, error))?;
    }
    sharing
        .volume
        .flush(temporary)
        .map_err(|error| (first.from, error))
}

/// Copies one run. What a file has lost meanwhile is left out; the kernel's compare will see.
fn copy(
    run: &RewriteRun,
    temporary: FileId,
    sharing: &mut Sharing<'_, '_>,
) -> Result<(), VolumeError> {
    let mut bytes = Vec::new();
    let mut done = 0;
    while done < run.from.len {
        let len = COPY_LEN.min(run.from.len - done);
        bytes.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        let nr_read = sharing
            .volume
            .read(run.from.file, run.from.offset + done, &mut bytes)?;
        sharing
            .volume
            .write(temporary, run.at + done, &bytes[..nr_read])?;
        if nr_read < bytes.len() {
            break;
        }
        done += len;
    }
    Ok(())
}

/// Notes what was written, and shares it; returns whether there was room.
fn share(
    rewriting: &Rewriting,
    first: FileRange,
    temporary: FileId,
    sharing: &mut Sharing<'_, '_>,
) -> Result<bool, Stopped> {
    let whole = FileRange {
        file: temporary,
        offset: 0,
        len: u64::MAX,
    };
    let mut file_extents = Vec::new();
    if let Err(error) = sharing.volume.file_extents(whole, &mut file_extents) {
        return give_up(first, error, sharing);
    }
    let copied_from = |offset| {
        let behind = rewriting.runs.partition_point(|run| run.at <= offset);
        let run = behind.checked_sub(1).map(|run_idx| rewriting.runs[run_idx]);
        run.map_or(rewriting.like, |run| run.from.file)
    };
    let written = file_extents
        .iter()
        .filter_map(|file_extent| match file_extent.place {
            Place::Data { extent, .. } => Some((extent, copied_from(file_extent.offset))),
            Place::Hole | Place::Inline | Place::Preallocated { .. } => None,
        });
    sharing.done.written.extend(written);
    for (batch, part_idx) in rewriting.batches.iter().zip(1..) {
        sharing.read_ahead(part_idx);
        sharing.batch(temporary, batch)?;
    }
    Ok(true)
}
