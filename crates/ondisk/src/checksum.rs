//! Checksums of data blocks.
//!
//! Each data block of 4096 bytes has one; the checksum tree holds them side by side.

/// The kind of checksum that a filesystem was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChecksumKind {
    /// `BTRFS_CSUM_TYPE_CRC32`: crc32c, little-endian.
    #[default]
    Crc32c,
}

impl ChecksumKind {
    /// Returns how many bytes a checksum has.
    #[must_use]
    pub const fn len_bytes(self) -> usize {
        match self {
            ChecksumKind::Crc32c => 4,
        }
    }

    /// Appends the checksum of a block.
    pub fn append(self, block: &[u8], checksums: &mut Vec<u8>) {
        match self {
            ChecksumKind::Crc32c => {
                checksums.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
            }
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
}
