//! Leftovers: written into a temporary file of ours, then shared like anything else.
//!
//! While one temporary file is on its way to disk the next one is filled ([`copy`]), and while
//! that is on its way the first one is shared ([`share`]).

use volume::{FileId, FileRange, Place, Volume, VolumeError};

use super::Why;
use super::share::Sharing;
use crate::plan::{RewriteRun, Rewriting};
use crate::report::Stopped;

/// Bytes that are copied at once.
const COPY_LEN: u64 = 1 << 20;

/// A temporary file with the leftovers of a step, on its way to disk.
pub(super) struct Copied {
    /// The file, or what was in the way and where; there is no file then.
    made: Result<FileId, (FileRange, VolumeError)>,
}

impl Copied {
    /// Returns whether there was no room for it.
    pub(super) fn lacked_room(&self) -> bool {
        matches!(self.made, Err((_, VolumeError::Full { .. })))
    }

    /// Gives it up: nobody shares anything with it.
    ///
    /// # Errors
    /// If the volume fails as a whole.
    pub(super) fn give_up(self, volume: &mut dyn Volume) -> Result<(), Stopped> {
        match self.made {
            Ok(temporary) => Ok(volume.remove(temporary)?),
            Err(_) => Ok(()),
        }
    }
}

/// Copies leftovers into a temporary file and has it written back meanwhile.
///
/// # Errors
/// If the volume fails as a whole.
pub(super) fn copy(rewriting: &Rewriting, volume: &mut dyn Volume) -> Result<Copied, Stopped> {
    let sources: Vec<FileRange> = rewriting.runs.iter().map(|run| run.from).collect();
    let whole = FileRange {
        file: rewriting.like,
        offset: 0,
        len: 0,
    };
    let first = sources.first().copied().unwrap_or(whole);
    let temporary = match volume.create(rewriting.like) {
        Ok(temporary) => temporary,
        Err(error) => return failed(first, error),
    };
    volume.read_ahead(&sources);
    for run in &rewriting.runs {
        if let Err(error) = copy_run(run, temporary, volume) {
            volume.remove(temporary)?;
            return failed(run.from, error);
        }
    }
    volume.begin_flush(temporary);
    let made = Ok(temporary);
    Ok(Copied { made })
}

fn failed(range: FileRange, error: VolumeError) -> Result<Copied, Stopped> {
    if !error.is_of_one_file() {
        return Err(error.into());
    }
    let made = Err((range, error));
    Ok(Copied { made })
}

/// Waits for the extents of leftovers and shares them; returns whether there was room.
///
/// # Errors
/// If the volume fails as a whole.
pub(super) fn share(
    rewriting: &Rewriting,
    copied: Copied,
    sharing: &mut Sharing<'_, '_>,
) -> Result<bool, Stopped> {
    let temporary = match copied.made {
        Ok(temporary) => temporary,
        Err((range, error)) => return give_up(range, error, sharing),
    };
    let Some(first) = rewriting.runs.first() else {
        sharing.volume.remove(temporary)?;
        return Ok(true);
    };
    let result = match sharing.volume.flush(temporary) {
        Ok(()) => share_all(rewriting, first.from, temporary, sharing),
        Err(error) => give_up(first.from, error, sharing),
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

/// Copies one run. What a file has lost meanwhile is left out; the kernel's compare will see.
fn copy_run(
    run: &RewriteRun,
    temporary: FileId,
    volume: &mut dyn Volume,
) -> Result<(), VolumeError> {
    let mut bytes = Vec::new();
    let mut done = 0;
    while done < run.from.len {
        let len = COPY_LEN.min(run.from.len - done);
        bytes.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        let nr_read = volume.read(run.from.file, run.from.offset + done, &mut bytes)?;
        volume.write(temporary, run.at + done, &bytes[..nr_read])?;
        if nr_read < bytes.len() {
            break;
        }
        done += len;
    }
    Ok(())
}

/// Notes what was written, and shares it; returns whether there was room.
fn share_all(
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
    for (batch, part_idx) in rewriting.batches.iter().zip(0..) {
        sharing.read_ahead(part_idx);
        sharing.batch(temporary, batch)?;
    }
    Ok(true)
}
