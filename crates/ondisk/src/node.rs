//! Tree blocks as they lie on the device: header, and where the next ones lie.
//!
//! A tree search hands out items only; which blocks a tree consists of, and which of them two
//! trees share, only the blocks themselves tell.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::ItemError;
use crate::item::prefix;

/// A tree block: a leaf, or a node that points at others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeBlock {
    /// `bytenr`: the address that the block says it has.
    pub bytenr: u64,
    /// `generation`: the transaction that wrote it.
    pub generation: u64,
    /// `level`: 0 for a leaf.
    pub level: u8,
    /// The blocks below a node, in order; none for a leaf.
    pub children: Vec<BlockPointer>,
}

/// Where a tree block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockPointer {
    /// Its address.
    pub bytenr: u64,
    /// The transaction that wrote it.
    pub generation: u64,
}

/// `struct btrfs_header`.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    csum: [u8; 32],
    fsid: [u8; 16],
    bytenr: U64,
    flags: U64,
    chunk_tree_uuid: [u8; 16],
    generation: U64,
    owner: U64,
    nr_items: U32,
    level: u8,
}

/// `struct btrfs_key_ptr`.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawKeyPointer {
    key: [u8; 17],
    bytenr: U64,
    generation: U64,
}

impl TreeBlock {
    /// Decodes the bytes of a whole block.
    ///
    /// # Errors
    /// [`ItemError`] if there is no header, or less room than the node says it needs.
    pub fn decode(bytes: &[u8]) -> Result<TreeBlock, ItemError> {
        const ITEM: &str = "a tree block";
        let (header, rest) = prefix::<RawHeader>(ITEM, bytes)?;
        let nr_children = match header.level {
            0 => 0,
            _ => header.nr_items.get() as usize,
        };
        let pointers = <[RawKeyPointer]>::ref_from_prefix_with_elems(rest, nr_children);
        let (pointers, _) = pointers.map_err(|_| ItemError::Short {
            item: ITEM,
            found: rest.len(),
            expected: nr_children.saturating_mul(size_of::<RawKeyPointer>()),
        })?;
        let child = |pointer: &RawKeyPointer| BlockPointer {
            bytenr: pointer.bytenr.get(),
            generation: pointer.generation.get(),
        };
        Ok(TreeBlock {
            bytenr: header.bytenr.get(),
            generation: header.generation.get(),
            level: header.level,
            children: pointers.iter().map(child).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_kernel() {
        assert_eq!(size_of::<RawHeader>(), 101);
        assert_eq!(size_of::<RawKeyPointer>(), 33);
    }

    #[test]
    fn a_node_has_as_many_children_as_it_says_and_a_leaf_has_none() {
        let mut bytes = [0; 101 + 2 * 33];
        bytes[96] = 2;
        assert_eq!(TreeBlock::decode(&bytes).map(|b| b.children.len()), Ok(0));
        bytes[100] = 1;
        bytes[101 + 33 + 17] = 7;
        let block = TreeBlock::decode(&bytes).expect("a node");
        let last = block.children.last().expect("a child");
        assert_eq!((block.children.len(), last.bytenr), (2, 7));
        bytes[96] = 3;
        let says = "a tree block has 66 bytes where 99 are the least";
        let error = TreeBlock::decode(&bytes).expect_err("too short");
        assert_eq!(error.to_string(), says);
    }

    quickcheck! {
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) -> bool {
            let _ = TreeBlock::decode(&bytes);
            true
        }
    }
}
