//! What items say of files and file extents, in the terms of a volume.

use ondisk::{Compression as Kind, FileExtentItem, FileExtentPlace, InodeFlags, InodeItem};
use rustix::fs::FileType;
use volume::{Compression, Extent, File, FileExtent, FileId, Place};

/// Returns whether an inode is a regular file.
pub(super) fn is_file(item: &InodeItem) -> bool {
    FileType::from_raw_mode(item.mode) == FileType::RegularFile
}

/// Returns what an inode item says. Root may have everything deduped but what is immutable; an
/// inode without a name is about to go.
pub(super) fn file_of(root: u64, inode: u64, item: &InodeItem) -> File {
    File {
        id: FileId { root, inode },
        size: item.size,
        is_nodatasum: item.flags.has(InodeFlags::NODATASUM),
        is_movable: is_file(item) && 0 < item.nlink && !item.flags.has(InodeFlags::IMMUTABLE),
        generation: item.transid,
    }
}

/// Returns what a file extent item says.
pub(super) fn file_extent_of(offset: u64, item: &FileExtentItem) -> FileExtent {
    let (len, place) = match item.place {
        FileExtentPlace::Inline { .. } => (item.ram_bytes, Place::Inline),
        FileExtentPlace::Hole { len } => (len, Place::Hole),
        FileExtentPlace::Extent {
            is_prealloc,
            bytenr,
            disk_len,
            offset: within,
            len,
        } => {
            let compression = compression_of(item.compression);
            let extent = Extent {
                address: bytenr,
                disk_bytes: disk_len,
                ram_bytes: match compression {
                    Compression::None => disk_len,
                    Compression::Algorithm(_) => item.ram_bytes,
                },
                compression,
            };
            let place = match is_prealloc {
                true => Place::Preallocated { extent, within },
                false => Place::Data { extent, within },
            };
            (len, place)
        }
    };
    FileExtent {
        offset,
        len,
        generation: item.generation,
        place,
    }
}

fn compression_of(kind: Kind) -> Compression {
    match kind {
        Kind::None => Compression::None,
        Kind::Zlib => Compression::Algorithm(1),
        Kind::Lzo => Compression::Algorithm(2),
        Kind::Zstd => Compression::Algorithm(3),
    }
}
