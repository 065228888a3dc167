//! Items about a whole filesystem: where chunks lie, what quota groups count.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::ItemError;
use crate::item::prefix;

/// `struct btrfs_chunk`: a range of addresses, and where its first copy lies on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkItem {
    /// `length`, bytes.
    pub len: u64,
    /// `offset` of the first stripe: where on the device the range begins, bytes.
    pub device_offset: u64,
}

/// `struct btrfs_qgroup_info_item`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QgroupInfo {
    /// `rfer`: bytes on disk that the subvolume refers to, tree blocks included.
    pub referenced: u64,
    /// `excl`: those that no other subvolume refers to.
    pub exclusive: u64,
}

/// `struct btrfs_qgroup_status_item`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QgroupStatus {
    /// `flags`, see the constants.
    pub flags: u64,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawChunk {
    len: U64,
    owner: U64,
    stripe_len: U64,
    kind: U64,
    io_align: U32,
    io_width: U32,
    sector_size: U32,
    nr_stripes: U16,
    nr_sub_stripes: U16,
    device_id: U64,
    device_offset: U64,
    device_uuid: [u8; 16],
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawQgroupInfo {
    generation: U64,
    referenced: U64,
    referenced_compressed: U64,
    exclusive: U64,
    exclusive_compressed: U64,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawQgroupStatus {
    version: U64,
    generation: U64,
    flags: U64,
    rescan: U64,
}

impl ChunkItem {
    /// Decodes an item of type [`crate::Key::CHUNK_ITEM`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short for one stripe.
    pub fn decode(bytes: &[u8]) -> Result<ChunkItem, ItemError> {
        let (raw, _) = prefix::<RawChunk>("a chunk item", bytes)?;
        Ok(ChunkItem {
            len: raw.len.get(),
            device_offset: raw.device_offset.get(),
        })
    }
}

impl QgroupInfo {
    /// Decodes an item of type [`crate::Key::QGROUP_INFO`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short.
    pub fn decode(bytes: &[u8]) -> Result<QgroupInfo, ItemError> {
        let (raw, _) = prefix::<RawQgroupInfo>("a quota group's item", bytes)?;
        Ok(QgroupInfo {
            referenced: raw.referenced.get(),
            exclusive: raw.exclusive.get(),
        })
    }
}

impl QgroupStatus {
    /// `BTRFS_QGROUP_STATUS_FLAG_RESCAN`: the groups are being counted anew.
    pub const RESCAN: u64 = 1 << 1;
    /// `BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT`: what the groups count is known to be wrong.
    pub const INCONSISTENT: u64 = 1 << 2;

    /// Decodes an item of type [`crate::Key::QGROUP_STATUS`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short.
    pub fn decode(bytes: &[u8]) -> Result<QgroupStatus, ItemError> {
        let (raw, _) = prefix::<RawQgroupStatus>("the status of quota groups", bytes)?;
        Ok(QgroupStatus {
            flags: raw.flags.get(),
        })
    }

    /// Returns whether what the groups count is being counted anew, or should be.
    #[must_use]
    pub const fn is_unsettled(self) -> bool {
        self.flags & (QgroupStatus::RESCAN | QgroupStatus::INCONSISTENT) != 0
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_kernel() {
        assert_eq!(size_of::<RawChunk>(), 80);
        assert_eq!(size_of::<RawQgroupInfo>(), 40);
        assert_eq!(size_of::<RawQgroupStatus>(), 32);
    }

    quickcheck! {
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) -> bool {
            let _ = ChunkItem::decode(&bytes);
            let _ = QgroupInfo::decode(&bytes);
            let _ = QgroupStatus::decode(&bytes);
            true
        }
    }
}
