//! Extents of a map as file extents: [`file_extent_of`].

use uapi::fiemap::{
    FIEMAP_EXTENT_DATA_INLINE, FIEMAP_EXTENT_DELALLOC, FIEMAP_EXTENT_ENCODED,
    FIEMAP_EXTENT_UNKNOWN, FIEMAP_EXTENT_UNWRITTEN, FiemapExtent,
};
use volume::{Compression, Extent, FileExtent, Place};

/// The number of a compression that `FIEMAP` does not name.
const UNNAMED: u8 = u8::MAX;

/// Returns what an extent of a map says; `None` if it has no place.
pub(super) fn file_extent_of(extent: &FiemapExtent, block_bytes: u64) -> Option<FileExtent> {
    let flags = extent.flags.get();
    let has = |flag| flags & flag != 0;
    if has(FIEMAP_EXTENT_UNKNOWN) || has(FIEMAP_EXTENT_DELALLOC) {
        return None;
    }
    let len = extent.length.get();
    let place = if has(FIEMAP_EXTENT_DATA_INLINE) {
        Place::Inline
    } else {
        let bytes = len.next_multiple_of(block_bytes);
        let extent = Extent {
            address: extent.physical.get(),
            disk_bytes: bytes,
            ram_bytes: bytes,
            compression: match has(FIEMAP_EXTENT_ENCODED) {
                true => Compression::Algorithm(UNNAMED),
                false => Compression::None,
            },
        };
        match has(FIEMAP_EXTENT_UNWRITTEN) {
            true => Place::Preallocated { extent, within: 0 },
            false => Place::Data { extent, within: 0 },
        }
    };
    Some(FileExtent {
        offset: extent.logical.get(),
        len,
        generation: 0,
        place,
    })
}
