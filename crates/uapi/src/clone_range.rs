//! The argument of `FICLONERANGE`, as [`CloneRange`].
//!
//! It does not know what cloning does, nor which ranges are acceptable.

use zerocopy::little_endian::{I64, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `struct file_clone_range`, 32 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct CloneRange {
    /// Descriptor of the source file.
    pub src_fd: I64,
    /// Start in the source file, in bytes.
    pub src_offset: U64,
    /// Length in bytes; 0 means up to the end of the source file.
    pub src_length: U64,
    /// Start in the file that the ioctl is called on, in bytes.
    pub dest_offset: U64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        let range = CloneRange {
            src_fd: I64::new(-2),
            src_offset: U64::new(3),
            src_length: U64::new(4),
            dest_offset: U64::new(0x0102),
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&[0xFE, 255, 255, 255, 255, 255, 255, 255]);
        bytes[8] = 3;
        bytes[16] = 4;
        bytes[24..26].copy_from_slice(&[2, 1]);
        assert_eq!(range.as_bytes(), bytes);
    }
}
