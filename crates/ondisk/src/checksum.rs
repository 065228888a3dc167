//! Checksums of data blocks.
//!
//! Each data block of 4096 bytes has one; the checksum tree holds them side by side.

use blake2::Blake2b;
use blake2::digest::consts::U32;
use sha2::{Digest as _, Sha256};

/// The kind of checksum that a filesystem was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChecksumKind {
    /// `BTRFS_CSUM_TYPE_CRC32`: crc32c, little-endian.
    #[default]
    Crc32c,
    /// `BTRFS_CSUM_TYPE_XXHASH`: xxhash64 with seed 0, little-endian.
    Xxhash,
    /// `BTRFS_CSUM_TYPE_SHA256`.
    Sha256,
    /// `BTRFS_CSUM_TYPE_BLAKE2`: BLAKE2b of 256 bits, without key.
    Blake2,
}

impl ChecksumKind {
    /// All of them, in the order of their numbers on disk.
    pub const ALL: [ChecksumKind; 4] = [
        ChecksumKind::Crc32c,
        ChecksumKind::Xxhash,
        ChecksumKind::Sha256,
        ChecksumKind::Blake2,
    ];

    /// Returns its name, as `mkfs.btrfs --csum` knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ChecksumKind::Crc32c => "crc32c",
            ChecksumKind::Xxhash => "xxhash",
            ChecksumKind::Sha256 => "sha256",
            ChecksumKind::Blake2 => "blake2",
        }
    }

    /// Returns the kind of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<ChecksumKind> {
        ChecksumKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Returns how many bytes a checksum has.
    #[must_use]
    pub const fn len_bytes(self) -> usize {
        match self {
            ChecksumKind::Crc32c => 4,
            ChecksumKind::Xxhash => 8,
            ChecksumKind::Sha256 | ChecksumKind::Blake2 => 32,
        }
    }

    /// Appends the checksum of a block.
    pub fn append(self, block: &[u8], checksums: &mut Vec<u8>) {
        match self {
            ChecksumKind::Crc32c => {
                checksums.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
            }
            ChecksumKind::Xxhash => {
                let checksum = xxhash_rust::xxh64::xxh64(block, 0);
                checksums.extend_from_slice(&checksum.to_le_bytes());
            }
            ChecksumKind::Sha256 => checksums.extend_from_slice(&Sha256::digest(block)),
            ChecksumKind::Blake2 => checksums.extend_from_slice(&Blake2b::<U32>::digest(block)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_zeros_has_the_checksum_that_btrfs_writes() {
        let mut checksums = Vec::new();
        ChecksumKind::Crc32c.append(&[0; 4096], &mut checksums);
        assert_eq!(checksums, [0x89, 0x41, 0xf9, 0x98]);
    }

    #[test]
    fn each_kind_has_the_length_and_the_name_that_it_says() {
        for kind in ChecksumKind::ALL {
            let mut checksums = Vec::new();
            kind.append(b"block", &mut checksums);
            assert_eq!(checksums.len(), kind.len_bytes());
            assert_eq!(ChecksumKind::by_name(kind.name()), Some(kind));
        }
    }
}
