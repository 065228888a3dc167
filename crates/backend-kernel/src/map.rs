//! The map of a file by FIEMAP without sync: [`FileMap`] asks, [`MapRun`]s answer.
//!
//! It does not know what the flags mean to a model, only how the kernel tells them.

use std::os::fd::BorrowedFd;

use scenario::{MapFlags, MapRun, Storage};
use uapi::Errno;
use uapi::fiemap::{self, FiemapExtent, FiemapHeader};
use zerocopy::FromBytes;

use crate::ioctl;

/// The unit of maps, in bytes.
const BLOCK_LEN: u64 = 4096;
/// Extents asked for in one call.
const NR_EXTENTS: u32 = 512;

/// A buffer for maps.
#[derive(Debug)]
pub(crate) struct FileMap {
    buffer: Vec<u8>,
}

impl FileMap {
    pub(crate) fn new() -> FileMap {
        let len = size_of::<FiemapHeader>() + NR_EXTENTS as usize * size_of::<FiemapExtent>();
        FileMap {
            buffer: vec![0; len],
        }
    }

    /// Writes the file back, then asks for its whole map.
    pub(crate) fn read_synced(&mut self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        ioctl::write_fiemap_header(&mut self.buffer, 0, fiemap::FIEMAP_FLAG_SYNC, NR_EXTENTS);
        ioctl::fiemap(fd, &mut self.buffer)?;
        self.read(fd).map(drop)
    }

    /// Returns the runs of the file, in order, merged where flags and storage continue.
    pub(crate) fn read(&mut self, fd: BorrowedFd<'_>) -> Result<Vec<MapRun>, Errno> {
        let mut runs: Vec<MapRun> = Vec::new();
        let mut start = 0;
        loop {
            ioctl::write_fiemap_header(&mut self.buffer, start, 0, NR_EXTENTS);
            ioctl::fiemap(fd, &mut self.buffer)?;
            let extents = extents(&self.buffer);
            for extent in extents {
                add(&mut runs, extent);
            }
            let Some(last) = extents.last() else { break };
            let end = last.logical.get().saturating_add(last.length.get());
            let is_last = last.flags.get() & fiemap::FIEMAP_EXTENT_LAST != 0;
            // A kernel that does not advance would keep us here for ever.
            if is_last || end <= start || extents.len() < NR_EXTENTS as usize {
                break;
            }
            start = end;
        }
        Ok(runs)
    }
}

/// Writes the file's dirty data back and waits for its ordered extents, without a commit.
pub(crate) fn flush(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut buffer = [0; size_of::<FiemapHeader>()];
    ioctl::write_fiemap_header(&mut buffer, 0, fiemap::FIEMAP_FLAG_SYNC, 0);
    ioctl::fiemap(fd, &mut buffer)
}

/// Returns the extents that a call has filled in.
fn extents(buffer: &[u8]) -> &[FiemapExtent] {
    let Ok((header, room)) = FiemapHeader::ref_from_prefix(buffer) else {
        return &[];
    };
    let nr_extents = header.mapped_extents.get().min(NR_EXTENTS) as usize;
    match <[FiemapExtent]>::ref_from_prefix_with_elems(room, nr_extents) {
        Ok((extents, _)) => extents,
        Err(_) => &[],
    }
}

fn add(runs: &mut Vec<MapRun>, extent: &FiemapExtent) {
    let raw = extent.flags.get();
    let has = |flags: u32| raw & flags != 0;
    let flags = MapFlags {
        is_delalloc: has(fiemap::FIEMAP_EXTENT_DELALLOC | fiemap::FIEMAP_EXTENT_UNKNOWN),
        is_unwritten: has(fiemap::FIEMAP_EXTENT_UNWRITTEN),
        is_shared: has(fiemap::FIEMAP_EXTENT_SHARED),
        is_share_open: false,
        is_inline: has(fiemap::FIEMAP_EXTENT_DATA_INLINE),
        is_encoded: has(fiemap::FIEMAP_EXTENT_ENCODED),
    };
    let has_storage = !flags.is_delalloc && !flags.is_inline;
    let len = extent.length.get();
    let run = MapRun {
        offset: extent.logical.get(),
        len: len.checked_next_multiple_of(BLOCK_LEN).unwrap_or(len),
        storage: has_storage.then(|| Storage(extent.physical.get())),
        flags,
    };
    match runs.last_mut() {
        Some(last) if continues(last, &run) => last.len += run.len,
        Some(_) | None => runs.push(run),
    }
}

fn continues(last: &MapRun, next: &MapRun) -> bool {
    let storage_after = last
        .storage
        .map(|storage| Storage(storage.0.wrapping_add(last.len)));
    last.flags == next.flags
        && last.offset.wrapping_add(last.len) == next.offset
        && storage_after == next.storage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(logical: u64, physical: u64, len: u64, flags: u32) -> FiemapExtent {
        FiemapExtent {
            logical: logical.into(),
            physical: physical.into(),
            length: len.into(),
            flags: flags.into(),
            ..Default::default()
        }
    }

    #[track_caller]
    fn check(extents: &[FiemapExtent], expected: &[(u64, u64, Option<u64>)]) {
        let mut runs = Vec::new();
        for extent in extents {
            add(&mut runs, extent);
        }
        let shown: Vec<_> = runs
            .iter()
            .map(|run| (run.offset, run.len, run.storage.map(|s| s.0)))
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn neighbours_in_file_and_storage_are_one_run() {
        check(
            &[extent(0, 8192, 4096, 0), extent(4096, 12288, 4096, 1)],
            &[(0, 8192, Some(8192))],
        );
    }

    #[test]
    fn neighbours_with_other_flags_or_storage_are_two() {
        let shared = fiemap::FIEMAP_EXTENT_SHARED;
        check(
            &[extent(0, 8192, 4096, 0), extent(4096, 12288, 4096, shared)],
            &[(0, 4096, Some(8192)), (4096, 4096, Some(12288))],
        );
        check(
            &[extent(0, 8192, 4096, 0), extent(4096, 4096, 4096, 0)],
            &[(0, 4096, Some(8192)), (4096, 4096, Some(4096))],
        );
    }

    #[test]
    fn an_inline_extent_takes_a_block_and_has_no_storage() {
        check(
            &[extent(0, 0, 100, fiemap::FIEMAP_EXTENT_DATA_INLINE)],
            &[(0, 4096, None)],
        );
    }
}
