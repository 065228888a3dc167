//! One request at a time: the kernel asked, the file extents looked at.

use uapi::Errno;
use volume::{
    Compression, DedupeRequest, DedupeStatus, DedupeTarget, FileExtent, FileId, FileRange, Place,
    Volume, VolumeError,
};

use super::ahead::{Ahead, Part};
use super::{Done, Why};
use crate::plan::Batch;
use crate::report::Stopped;
use crate::watch::{Phase, Watch};

/// How often a target is tried.
const NR_TRIES: usize = 2;

/// Who shares, what came of it so far, and who watches.
pub(super) struct Sharing<'a, 'p> {
    pub(super) volume: &'a mut dyn Volume,
    pub(super) done: &'a mut Done,
    watch: &'a mut dyn Watch,
    ahead: Ahead<'p>,
    /// The step of the plan that is being done.
    pub(super) step_idx: usize,
    /// Bytes of the requests that are behind us.
    nr_bytes: u64,
    /// Bytes of all requests.
    total: u64,
    /// Why it has to end with this step.
    stop: Option<Stopped>,
    /// Whether a commit has not made room either.
    is_full: bool,
}

/// A stretch of storage: the extent if that is compressed, first byte, bytes.
type Stretch = (Option<u64>, u64, u64);

impl<'a, 'p> Sharing<'a, 'p> {
    pub(super) fn new(
        volume: &'a mut dyn Volume,
        done: &'a mut Done,
        watch: &'a mut dyn Watch,
        ahead: Ahead<'p>,
        total: u64,
    ) -> Sharing<'a, 'p> {
        Sharing {
            volume,
            done,
            watch,
            ahead,
            step_idx: 0,
            nr_bytes: 0,
            total,
            stop: None,
            is_full: false,
        }
    }

    /// Tells how far it is.
    ///
    /// # Errors
    /// If the watch says stop, or has said so within the last step: what was written for that
    /// would have been in vain.
    pub(super) fn progress(&mut self) -> Result<(), Stopped> {
        if let Some(stop) = self.stop.take() {
            return Err(stop);
        }
        let (nr_bytes, total) = (self.nr_bytes, Some(self.total));
        self.watch.at(Phase::Execute, nr_bytes, total)
    }

    /// Returns how many more bytes may be moved.
    pub(super) fn nr_bytes_left(&self) -> u64 {
        self.watch.nr_bytes_left()
    }

    /// Notes that requests of so many bytes in all are done, or left out.
    pub(super) fn pass(&mut self, nr_bytes: u64) {
        self.nr_bytes = nr_bytes;
    }

    /// Has what a part of the step needs in the page cache, and what comes behind it.
    pub(super) fn read_ahead(&mut self, part_idx: usize) {
        let step_idx = self.step_idx;
        self.ahead.read(Part { step_idx, part_idx }, self.volume);
    }

    /// Lets the targets of a batch refer to the storage of `source`.
    ///
    /// # Errors
    /// If the volume fails as a whole.
    pub(super) fn batch(&mut self, source: FileId, batch: &Batch) -> Result<(), Stopped> {
        let asked = self.ask(range(source, batch, batch.offset), &batch.targets)?;
        self.finish(source, batch, asked)?;
        self.count(batch);
        Ok(())
    }

    /// As [`Sharing::batch`] for several ones, all of which are asked for at once.
    ///
    /// # Errors
    /// If the volume fails as a whole.
    pub(super) fn batches(&mut self, all: &[(FileId, &Batch)]) -> Result<(), Stopped> {
        if let [(source, batch)] = all {
            return self.batch(*source, batch);
        }
        let requests: Vec<DedupeRequest<'_>> = all
            .iter()
            .map(|(source, batch)| DedupeRequest {
                source: range(*source, batch, batch.offset),
                targets: &batch.targets,
            })
            .collect();
        self.done.nr_requests += requests.len() as u64;
        let mut results = Vec::with_capacity(requests.len());
        self.volume.dedupe_all(&requests, &mut results)?;
        for ((source, batch), result) in all.iter().zip(results) {
            self.finish(*source, batch, told(result)?)?;
            self.count(batch);
        }
        Ok(())
    }

    /// Counts the requests of a batch as done.
    fn count(&mut self, batch: &Batch) {
        self.nr_bytes += batch.len * batch.targets.len() as u64;
        if self.stop.is_none() {
            self.stop = self.progress().err();
        }
    }

    /// Looks at what came of a first try, and tries again what is worth it.
    fn finish(
        &mut self,
        source: FileId,
        batch: &Batch,
        mut asked: Result<Vec<DedupeStatus>, Why>,
    ) -> Result<(), Stopped> {
        let from = range(source, batch, batch.offset);
        let of_target = |target: &DedupeTarget| range(target.file, batch, target.offset);
        let mut left = batch.targets.clone();
        for try_nr in 1..=NR_TRIES {
            let is_last = try_nr == NR_TRIES;
            if 1 < try_nr {
                if lacks_room(&asked) && !self.is_full {
                    // What was freed so far is free after a commit.
                    self.volume.sync()?;
                }
                asked = self.ask(from, &left)?;
                self.is_full |= lacks_room(&asked);
            }
            let statuses = match &asked {
                Ok(statuses) => statuses,
                Err(why) if is_last || !self.is_worth_a_try(why) => {
                    self.done.fail(from, why.clone());
                    return Ok(());
                }
                Err(_) => continue,
            };
            let source_stretches = self.stretches(from)?;
            let mut again = Vec::new();
            for (target, status) in left.iter().zip(statuses) {
                let why = match status {
                    DedupeStatus::Same { .. }
                        if source_stretches.is_some()
                            && source_stretches == self.stretches(of_target(target))? =>
                    {
                        self.done.moved_bytes += batch.len;
                        continue;
                    }
                    DedupeStatus::Same { .. } => Why::NotShared,
                    DedupeStatus::Differs => Why::Differs,
                    DedupeStatus::Refused(errno) => Why::Refused(*errno),
                };
                if is_last || !self.is_worth_a_try(&why) {
                    self.done.fail(of_target(target), why);
                } else {
                    again.push(*target);
                }
            }
            left = again;
            if left.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Returns whether the same call may come out otherwise the next time.
    fn is_worth_a_try(&self, why: &Why) -> bool {
        match why {
            Why::Refused(Errno::ENOSPC) => !self.is_full,
            Why::Refused(errno) => [Errno::EINTR, Errno::EAGAIN].contains(errno),
            Why::NotShared => true,
            Why::Differs | Why::Volume(_) => false,
        }
    }

    /// Makes one call; what one file refuses is no error.
    fn ask(
        &mut self,
        from: FileRange,
        targets: &[DedupeTarget],
    ) -> Result<Result<Vec<DedupeStatus>, Why>, Stopped> {
        self.done.nr_requests += 1;
        told(self.volume.dedupe(from, targets))
    }

    /// Returns the storage of a range, neighbours joined; `None` if the file cannot be asked, or
    /// not all of it has storage.
    fn stretches(&mut self, range: FileRange) -> Result<Option<Vec<Stretch>>, Stopped> {
        let mut found = Vec::new();
        match self.volume.file_extents(range, &mut found) {
            Ok(()) => {}
            Err(error) if error.is_of_one_file() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let end = range.end().next_multiple_of(self.volume.block_bytes());
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut at = range.offset;
        for FileExtent {
            offset, len, place, ..
        } in found
        {
            let Place::Data { extent, within } = place else {
                return Ok(None);
            };
            let (from, to) = (offset.max(range.offset), (offset + len).min(end));
            if from != at || to <= from {
                return Ok(None);
            }
            // Maps show parts of extents, and neighbours as one: what counts is the address.
            let within = within + (from - offset);
            let (extent, first) = match extent.compression {
                Compression::None => (None, extent.address + within),
                Compression::Algorithm(_) => (Some(extent.address), within),
            };
            match stretches.last_mut() {
                Some(last) if (last.0, last.1 + last.2) == (extent, first) => {
                    last.2 += to - from;
                }
                _ => stretches.push((extent, first, to - from)),
            }
            at = to;
        }
        Ok((at == end).then_some(stretches))
    }
}

/// Returns what a call came to; what one file refuses is no error.
fn told(
    result: Result<Vec<DedupeStatus>, VolumeError>,
) -> Result<Result<Vec<DedupeStatus>, Why>, Stopped> {
    match result {
        Ok(statuses) => Ok(Ok(statuses)),
        Err(VolumeError::File { errno, .. }) => Ok(Err(Why::Refused(errno))),
        Err(error) if error.is_of_one_file() => Ok(Err(Why::Volume(error))),
        Err(error) => Err(error.into()),
    }
}

/// Returns a range of a file as long as a batch.
fn range(file: FileId, batch: &Batch, offset: u64) -> FileRange {
    FileRange {
        file,
        offset,
        len: batch.len,
    }
}

/// Returns whether a target, or the call as a whole, was refused for want of room.
fn lacks_room(asked: &Result<Vec<DedupeStatus>, Why>) -> bool {
    match asked {
        Ok(statuses) => statuses.contains(&DedupeStatus::Refused(Errno::ENOSPC)),
        Err(why) => *why == Why::Refused(Errno::ENOSPC),
    }
}
