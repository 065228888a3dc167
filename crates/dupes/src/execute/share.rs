//! One request at a time: both sides read ahead, the kernel asked, the file extents looked at.

use uapi::Errno;
use volume::{
    Compression, DedupeStatus, DedupeTarget, FileExtent, FileId, FileRange, Place, Volume,
    VolumeError,
};

use super::{Done, Why};
use crate::plan::Batch;
use crate::report::Stopped;
use crate::watch::{Phase, Watch};

/// How often a target is tried.
const NR_TRIES: usize = 2;

/// Who shares, what came of it so far, and who watches.
pub(super) struct Sharing<'a> {
    pub(super) volume: &'a mut dyn Volume,
    pub(super) done: &'a mut Done,
    watch: &'a mut dyn Watch,
    /// Bytes of the requests that are behind us.
    nr_bytes: u64,
    /// Bytes of all requests.
    total: u64,
    /// Why it has to end with this step.
    stop: Option<Stopped>,
}

/// A stretch of storage: the extent if that is compressed, first byte, bytes.
type Stretch = (Option<u64>, u64, u64);

impl<'a> Sharing<'a> {
    pub(super) fn new(
        volume: &'a mut dyn Volume,
        done: &'a mut Done,
        watch: &'a mut dyn Watch,
        total: u64,
    ) -> Sharing<'a> {
        Sharing {
            volume,
            done,
            watch,
            nr_bytes: 0,
            total,
            stop: None,
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

    /// Notes that requests of so many bytes in all are done, or left out.
    pub(super) fn pass(&mut self, nr_bytes: u64) {
        self.nr_bytes = nr_bytes;
    }

    /// Lets the targets of a batch refer to the storage of `source`.
    ///
    /// # Errors
    /// If the volume fails as a whole.
    pub(super) fn batch(&mut self, source: FileId, batch: &Batch) -> Result<(), Stopped> {
        self.share(source, batch)?;
        self.nr_bytes += batch.len * batch.targets.len() as u64;
        if self.stop.is_none() {
            self.stop = self.progress().err();
        }
        Ok(())
    }

    fn share(&mut self, source: FileId, batch: &Batch) -> Result<(), Stopped> {
        let range = |file, offset| FileRange {
            file,
            offset,
            len: batch.len,
        };
        let from = range(source, batch.offset);
        let of_target = |target: &DedupeTarget| range(target.file, target.offset);
        let mut ranges = vec![from];
        ranges.extend(batch.targets.iter().map(of_target));
        self.volume.read_ahead(&ranges);
        let mut left = batch.targets.clone();
        for try_nr in 1..=NR_TRIES {
            let is_last = try_nr == NR_TRIES;
            let statuses = match self.ask(from, &left)? {
                Ok(statuses) => statuses,
                Err(why) if is_last || !is_worth_a_try(&why) => {
                    self.done.fail(from, why);
                    return Ok(());
                }
                Err(_) => continue,
            };
            let mut again = Vec::new();
            for (target, status) in left.iter().zip(statuses) {
                let why = match status {
                    DedupeStatus::Same { .. } if self.is_shared(from, of_target(target))? => {
                        self.done.moved_bytes += batch.len;
                        continue;
                    }
                    DedupeStatus::Same { .. } => Why::NotShared,
                    DedupeStatus::Differs => Why::Differs,
                    DedupeStatus::Refused(errno) => Why::Refused(errno),
                };
                if is_last || !is_worth_a_try(&why) {
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

    /// Makes one call; what one file refuses is no error.
    fn ask(
        &mut self,
        from: FileRange,
        targets: &[DedupeTarget],
    ) -> Result<Result<Vec<DedupeStatus>, Why>, Stopped> {
        self.done.nr_requests += 1;
        match self.volume.dedupe(from, targets) {
            Ok(statuses) => Ok(Ok(statuses)),
            Err(VolumeError::File { errno, .. }) => Ok(Err(Why::Refused(errno))),
            Err(error) if error.is_of_one_file() => Ok(Err(Why::Volume(error))),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether two ranges refer to the same storage.
    fn is_shared(&mut self, one: FileRange, other: FileRange) -> Result<bool, Stopped> {
        Ok(match (self.stretches(one)?, self.stretches(other)?) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => false,
        })
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

/// Returns whether the same call may come out otherwise the next time.
fn is_worth_a_try(why: &Why) -> bool {
    match why {
        Why::Refused(errno) => [Errno::EINTR, Errno::EAGAIN].contains(errno),
        Why::NotShared => true,
        Why::Differs | Why::Volume(_) => false,
    }
}
