//! A volume in which nothing is stored and nothing can be moved: what volumes of numbers leave to
//! another one by `volume::forward!`.

use uapi::Errno;
use volume::{
    ChecksumStrength, DedupeStatus, DedupeTarget, Extent, ExtentReferences, File, FileExtent,
    FileId, FileRange, Page, Position, SpaceRule, Volume, VolumeError,
};

/// Bytes of a block.
pub(crate) const BLOCK: u64 = 4096;

/// The volume: whole extents in blocks of 4 KiB, weak checksums, no file.
pub(crate) struct Inert;

impl Volume for Inert {
    fn block_bytes(&self) -> u64 {
        BLOCK
    }

    fn space_rule(&self) -> SpaceRule {
        SpaceRule::WholeExtents
    }

    fn checksum_strength(&self) -> Option<ChecksumStrength> {
        Some(ChecksumStrength::Weak)
    }

    fn dedupe_len_max(&self) -> u64 {
        16 << 20
    }

    fn next_page(
        &mut self,
        _: Position,
        _: u64,
        _: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        Ok(None)
    }

    fn file(&mut self, _: FileId) -> Result<Option<File>, VolumeError> {
        Ok(None)
    }

    fn file_extents(&mut self, _: FileRange, _: &mut Vec<FileExtent>) -> Result<(), VolumeError> {
        Ok(())
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        let nothing = |extent: &Extent| ExtentReferences {
            address: extent.address,
            references: Vec::new(),
            is_complete: true,
        };
        Ok(extents.iter().map(nothing).collect())
    }

    fn checksums(
        &mut self,
        _: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        found.extend((0..len / BLOCK).map(|_| None));
        Ok(())
    }

    fn read(&mut self, file: FileId, _: u64, _: &mut [u8]) -> Result<usize, VolumeError> {
        Err(VolumeError::File {
            file,
            action: "read",
            errno: Errno::EIO,
        })
    }

    fn read_ahead(&mut self, _: &[FileRange]) {}

    fn dedupe(
        &mut self,
        _: FileRange,
        _: &[DedupeTarget],
    ) -> Result<Vec<DedupeStatus>, VolumeError> {
        Err(VolumeError::Fatal("there is nothing to share".to_owned()))
    }

    fn create(&mut self, _: FileId) -> Result<FileId, VolumeError> {
        Err(VolumeError::Full {
            action: "create a file",
        })
    }

    fn write(&mut self, _: FileId, _: u64, _: &[u8]) -> Result<(), VolumeError> {
        Err(VolumeError::Full { action: "write" })
    }

    fn flush(&mut self, _: FileId) -> Result<(), VolumeError> {
        Ok(())
    }

    fn remove(&mut self, _: FileId) -> Result<(), VolumeError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), VolumeError> {
        Ok(())
    }

    fn used_bytes(&mut self) -> Result<u64, VolumeError> {
        Ok(0)
    }

    fn path(&mut self, _: FileId) -> Option<String> {
        None
    }
}
