//! What a run without a hashfile sees of a chronicle, and what both change.

use volume::{
    DedupeStatus, DedupeTarget, Extent, ExtentReferences, FileExtent, FileId, FileRange, History,
    Page, Position, Volume, VolumeError,
};

use super::{BLOCK, Chronicle};

impl Volume for Chronicle {
    volume::forward! { to (self.0.borrow_mut().volume):
        block_bytes space_rule checksum_strength dedupe_len_max file read_ahead create write flush
        remove sync used_bytes path
    }

    fn next_page(
        &mut self,
        _: Position,
        _: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        page.clear();
        self.moment()?;
        let files: Vec<FileId> = self.0.borrow_mut().volume.files().into_keys().collect();
        for id in files {
            let told = self.0.borrow_mut().told(id)?;
            if let Some((file, items)) = told.filter(|(file, _)| self.is_in_scope(file)) {
                page.push_file(file);
                items.into_iter().for_each(|it| page.push_extent(it));
            }
        }
        Ok(None)
    }

    fn file_extents(
        &mut self,
        range: FileRange,
        found: &mut Vec<FileExtent>,
    ) -> Result<(), VolumeError> {
        let mut shared = self.0.borrow_mut();
        let mut items = Vec::new();
        shared.volume.file_extents(range, &mut items)?;
        found.extend(items.into_iter().map(|it| shared.placed_item(it)));
        Ok(())
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        let mut shared = self.0.borrow_mut();
        shared.call()?;
        let real = |extent: &Extent| Extent {
            address: shared.real(extent.address).unwrap_or(u64::MAX - BLOCK),
            ..*extent
        };
        let asked: Vec<Extent> = extents.iter().map(real).collect();
        let mut found = shared.volume.references(&asked)?;
        for (found, extent) in found.iter_mut().zip(extents) {
            found.address = extent.address;
        }
        Ok(found)
    }

    fn checksums(
        &mut self,
        address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        let mut shared = self.0.borrow_mut();
        shared.call()?;
        let start = found.len();
        found.resize(start + (len / BLOCK) as usize, None);
        for (real, placed) in shared.placed.clone() {
            let mut own = Vec::new();
            shared.volume.checksums(real, placed.len, &mut own)?;
            for (at, value) in (placed.address..).step_by(BLOCK as usize).zip(own) {
                if (address..address + len).contains(&at) {
                    found[start + ((at - address) / BLOCK) as usize] = value;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, file: FileId, offset: u64, bytes: &mut [u8]) -> Result<usize, VolumeError> {
        let mut shared = self.0.borrow_mut();
        shared.call()?;
        shared.nr_blocks_read += (bytes.len() as u64).div_ceil(BLOCK);
        shared.volume.read(file, offset, bytes)
    }

    fn dedupe(
        &mut self,
        source: FileRange,
        targets: &[DedupeTarget],
    ) -> Result<Vec<DedupeStatus>, VolumeError> {
        let mut shared = self.0.borrow_mut();
        shared.call()?;
        shared.volume.dedupe(source, targets)
    }
}
