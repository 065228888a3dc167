//! The trait: [`Volume`].

use crate::{
    DedupeRequest, DedupeStatus, DedupeTarget, Extent, ExtentReferences, File, FileExtent, FileId,
    FileRange, Learned, Page, Position, Recalled, ValueKind, VolumeError,
};

/// When storage is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceRule {
    /// An extent stays allocated whole while any part of it is referred to: btrfs.
    WholeExtents,
    /// Each block is freed with the last reference to it: xfs.
    Blocks,
    /// Extents stay allocated whole, and this caller does not see where they begin and end: btrfs
    /// without root. It is planned by blocks; what is freed is that at most.
    UnseenExtents,
}

impl SpaceRule {
    /// Returns whether extents are seen, and planned, whole.
    #[must_use]
    pub fn is_by_extents(self) -> bool {
        self == SpaceRule::WholeExtents
    }
}

/// What equal checksums of two blocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumStrength {
    /// They are probably equal, but among many blocks some are not: 32 bits (crc32c).
    Weak,
    /// They are equal but for attempts to deceive: 64 bits or more.
    Strong,
}

/// What was asked of the filesystem so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Items of trees that searches brought.
    pub nr_items: u64,
    /// Files that were opened.
    pub nr_opened: u64,
}

/// A filesystem whose files in scope can be walked, and whose data can be moved.
///
/// Everything that changes files is a dedupe, which compares under the kernel's locks first: no
/// implementation has a way to write into a file that it did not create itself
/// ([`Volume::create`]). Offsets, lengths and addresses are bytes.
pub trait Volume {
    /// Returns the unit of sharing, bytes: a power of two, 4,096 or more.
    fn block_bytes(&self) -> u64;

    /// Returns when storage is given back.
    fn space_rule(&self) -> SpaceRule;

    /// Returns what the checksums of [`Volume::checksums`] are worth; `None` if there never are
    /// any.
    fn checksum_strength(&self) -> Option<ChecksumStrength>;

    /// Returns how long one dedupe may be, bytes, a block multiple: longer ranges are better cut
    /// by the caller (`BTRFS_MAX_DEDUPE_LEN` is 16 MiB; other kernels clamp at 1 GiB).
    fn dedupe_len_max(&self) -> u64;

    /// Adds files in scope from `from` on to `page`, which is empty, and their file extents; dirty
    /// data is written back first. Returns where the next page begins, `None` after the last one.
    ///
    /// With `newer_than` above 0 only files that a later transaction changed need to come.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only: files that cannot be looked at are in the page.
    fn next_page(
        &mut self,
        from: Position,
        newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError>;

    /// Returns about which part of a walk over all pages is done, from 0 to 1, if that can be told.
    fn walked(&self) -> Option<f64> {
        None
    }

    /// Returns about how many files a walk comes to that has come to so many, if that can be told.
    fn nr_files_about(&self, nr_walked: u64) -> Option<u64> {
        let share = self.walked().filter(|share| 0.0 < *share);
        share.map(|share| (nr_walked as f64 / share) as u64)
    }

    /// Returns a file, in scope or not; `None` if there is none any more.
    ///
    /// # Errors
    /// If it cannot be told.
    fn file(&mut self, file: FileId) -> Result<Option<File>, VolumeError>;

    /// Appends the file extents that reach into a range, in order, as they are now.
    ///
    /// # Errors
    /// If they cannot be read.
    fn file_extents(
        &mut self,
        range: FileRange,
        found: &mut Vec<FileExtent>,
    ) -> Result<(), VolumeError>;

    /// Returns everything that refers to each of these extents, in their order. Where the rule is
    /// [`SpaceRule::Blocks`] they are any ranges of storage, and references are clipped to them.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only: what cannot be told is not complete.
    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError>;

    /// Appends the checksum of each block from `address` on, `None` for blocks without one. A
    /// checksum is its first eight bytes at most, as a little-endian number. Those of compressed
    /// extents are of the compressed bytes.
    ///
    /// # Errors
    /// If the checksums cannot be read.
    fn checksums(
        &mut self,
        address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError>;

    /// Reads from `offset` on; returns how many bytes, less than asked for only at the end of the
    /// file.
    ///
    /// # Errors
    /// If the file cannot be opened or read.
    fn read(&mut self, file: FileId, offset: u64, bytes: &mut [u8]) -> Result<usize, VolumeError>;

    /// Hashes ranges block by block, each block as long as it is below the range's end; appends
    /// one result for each range. What has threads may use them.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only: what a file refuses is the result of its range.
    fn hash_blocks(
        &mut self,
        ranges: &[FileRange],
        hash: fn(&[u8]) -> u64,
        found: &mut Vec<Result<Vec<u64>, VolumeError>>,
    ) -> Result<(), VolumeError> {
        for range in ranges {
            match hash_range(self, *range, hash) {
                Err(error) if !error.is_of_one_file() => return Err(error),
                result => found.push(result),
            }
        }
        Ok(())
    }

    /// Returns whether it remembers anything from run to run.
    fn remembers(&self) -> bool {
        false
    }

    /// Appends what is remembered of blocks of these extents.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn recall(
        &mut self,
        _kind: ValueKind,
        _extents: &[Extent],
        _recalled: &mut Recalled,
    ) -> Result<(), VolumeError> {
        Ok(())
    }

    /// Is told what there is to remember. Checksums are told of whole extents only.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn learn(&mut self, _kind: ValueKind, _learned: Learned<'_>) -> Result<(), VolumeError> {
        Ok(())
    }

    /// Returns the answer that is remembered to a question, if nothing has changed in the whole
    /// filesystem, in scope or not, since it was found. What is in scope is part of any question.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn recall_answer(&mut self, _question: &[u64]) -> Result<Option<Vec<u64>>, VolumeError> {
        Ok(None)
    }

    /// Is told the answer to the question that was asked last; it is remembered if nothing has
    /// changed since then, and if it is not too long.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn learn_answer(
        &mut self,
        _question: &[u64],
        _answer: &mut dyn Iterator<Item = u64>,
    ) -> Result<(), VolumeError> {
        Ok(())
    }

    /// Returns what was asked of the filesystem so far, as far as it is counted.
    fn work(&self) -> Work {
        Work::default()
    }

    /// Begins to bring ranges into the page cache; does not wait and tells no error.
    fn read_ahead(&mut self, ranges: &[FileRange]);

    /// Has the kernel compare `source` with a range of the same length of each target, and let
    /// those that are equal refer to the source's storage; at most
    /// [`NR_TARGETS_MAX`](crate::NR_TARGETS_MAX) targets, at most [`Volume::dedupe_len_max`]
    /// bytes. Returns a status for each target, in their order.
    ///
    /// # Errors
    /// If the call as a whole was refused ([`VolumeError::File`] of the source).
    fn dedupe(
        &mut self,
        source: FileRange,
        targets: &[DedupeTarget],
    ) -> Result<Vec<DedupeStatus>, VolumeError>;

    /// Returns how many calls [`Volume::dedupe_all`] makes at once.
    fn nr_at_once(&self) -> usize {
        1
    }

    /// Makes calls as [`Volume::dedupe`] does, in any order; appends one result for each.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only: a call that was refused is the result of its request.
    fn dedupe_all(
        &mut self,
        requests: &[DedupeRequest<'_>],
        found: &mut Vec<Result<Vec<DedupeStatus>, VolumeError>>,
    ) -> Result<(), VolumeError> {
        for request in requests {
            match self.dedupe(request.source, request.targets) {
                Err(error) if !error.is_of_one_file() => return Err(error),
                result => found.push(result),
            }
        }
        Ok(())
    }

    /// Creates an empty file without a name, beside `like` and with checksums if that has them.
    /// It is never in scope, and gone after [`Volume::remove`] or with the volume, also by force.
    ///
    /// # Errors
    /// If it cannot be created.
    fn create(&mut self, like: FileId) -> Result<FileId, VolumeError>;

    /// Writes into a file of [`Volume::create`].
    ///
    /// # Errors
    /// [`VolumeError::Full`] if there is no room.
    fn write(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Result<(), VolumeError>;

    /// Begins to write back what was written into a file of [`Volume::create`]; does not wait and
    /// tells no error: [`Volume::flush`] does.
    fn begin_flush(&mut self, _file: FileId) {}

    /// Waits until what was written into a file of [`Volume::create`] has its extents.
    ///
    /// # Errors
    /// [`VolumeError::Full`] if there is no room.
    fn flush(&mut self, file: FileId) -> Result<(), VolumeError>;

    /// Gives up a file of [`Volume::create`]; what others share with it stays.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn remove(&mut self, file: FileId) -> Result<(), VolumeError>;

    /// Commits, and waits until what is freed counts as free.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn sync(&mut self) -> Result<(), VolumeError>;

    /// Returns the bytes that extents of data take, as `df` tells; exact after a sync on a quiet
    /// filesystem.
    ///
    /// # Errors
    /// [`VolumeError::Fatal`] only.
    fn used_bytes(&mut self) -> Result<u64, VolumeError>;

    /// Returns a name of the file for reports, below the folder that was asked for if it is there.
    fn path(&mut self, file: FileId) -> Option<String>;
}

/// Reads a range in one piece and hashes its blocks.
fn hash_range<V: Volume + ?Sized>(
    volume: &mut V,
    range: FileRange,
    hash: fn(&[u8]) -> u64,
) -> Result<Vec<u64>, VolumeError> {
    let block = usize::try_from(volume.block_bytes()).unwrap_or(usize::MAX);
    let mut bytes = vec![0; usize::try_from(range.len).unwrap_or(usize::MAX)];
    let nr_read = volume.read(range.file, range.offset, &mut bytes)?;
    Ok(bytes[..nr_read].chunks(block).map(hash).collect())
}
