//! Entries of directories: [`DirItem`].

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::Key;
use crate::item::{ItemError, prefix};

/// An entry of a directory: `struct btrfs_dir_item`, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirItem {
    /// `location`: the key of what is there, of type [`Key::INODE_ITEM`], or
    /// [`Key::ROOT_ITEM`] for a subvolume.
    pub location: Key,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawDir {
    object: U64,
    kind: u8,
    offset: U64,
    transid: U64,
    data_len: U16,
    name_len: U16,
    file_type: u8,
}

impl DirItem {
    /// Decodes the first entry of an item of type [`Key::DIR_INDEX`], which has only one.
    ///
    /// # Errors
    /// [`ItemError`] if it is too short.
    pub fn decode(bytes: &[u8]) -> Result<DirItem, ItemError> {
        let (raw, _) = prefix::<RawDir>("a directory item", bytes)?;
        Ok(DirItem {
            location: Key {
                object: raw.object.get(),
                kind: raw.kind,
                offset: raw.offset.get(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn an_entry_begins_with_the_key_of_what_is_there() {
        assert_eq!(size_of::<RawDir>(), 30);
        let mut bytes = [0; 30];
        bytes[..8].copy_from_slice(&257_u64.to_le_bytes());
        bytes[8] = Key::INODE_ITEM;
        let item = DirItem::decode(&bytes).expect("an item");
        assert_eq!((item.location.object, item.location.kind), (257, 1));
        assert!(DirItem::decode(&bytes[..29]).is_err());
    }

    quickcheck! {
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) -> bool {
            let _ = DirItem::decode(&bytes);
            true
        }
    }
}
