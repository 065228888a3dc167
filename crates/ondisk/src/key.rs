//! Keys: what items are found by.
//!
//! A key is ordered by object, then type, then offset. What the three mean depends on the tree.

use std::fmt;

/// The number of a tree, which is the object number of its root item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeId(pub u64);

impl TreeId {
    /// `BTRFS_ROOT_TREE_OBJECTID`: the root items of all trees.
    pub const ROOT: TreeId = TreeId(1);
    /// `BTRFS_EXTENT_TREE_OBJECTID`: what is allocated, with its back references.
    pub const EXTENT: TreeId = TreeId(2);
    /// `BTRFS_CHUNK_TREE_OBJECTID`: where addresses lie on devices.
    pub const CHUNK: TreeId = TreeId(3);
    /// `BTRFS_CSUM_TREE_OBJECTID`: checksums of data.
    pub const CSUM: TreeId = TreeId(7);
    /// `BTRFS_QUOTA_TREE_OBJECTID`: quota groups.
    pub const QUOTA: TreeId = TreeId(8);
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TreeId::ROOT => f.write_str("root tree"),
            TreeId::EXTENT => f.write_str("extent tree"),
            TreeId::CHUNK => f.write_str("chunk tree"),
            TreeId::CSUM => f.write_str("checksum tree"),
            TreeId::QUOTA => f.write_str("quota tree"),
            TreeId(number) => write!(f, "tree {number}"),
        }
    }
}

/// `struct btrfs_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// `objectid`: an inode number, the address of an extent, the number of a tree.
    pub object: u64,
    /// `type`, one of the constants here.
    pub kind: u8,
    /// `offset`: a file offset, the length of an extent.
    pub offset: u64,
}

impl Key {
    /// `BTRFS_INODE_ITEM_KEY`: (inode number, 1, 0).
    pub const INODE_ITEM: u8 = 1;
    /// `BTRFS_INODE_REF_KEY`: (inode number, 12, inode number of the directory).
    pub const INODE_REF: u8 = 12;
    /// `BTRFS_DIR_INDEX_KEY`: (inode number of the directory, 96, sequence number).
    pub const DIR_INDEX: u8 = 96;
    /// `BTRFS_EXTENT_DATA_KEY`: (inode number, 108, file offset in bytes).
    pub const EXTENT_DATA: u8 = 108;
    /// `BTRFS_EXTENT_CSUM_KEY`: ([`Key::CSUM_OBJECT`], 128, address of the first block).
    pub const EXTENT_CSUM: u8 = 128;
    /// `BTRFS_ROOT_ITEM_KEY`: (number of the tree, 132, 0 or when it was made).
    pub const ROOT_ITEM: u8 = 132;
    /// `BTRFS_ROOT_BACKREF_KEY`: (number of the subvolume, 144, number of the one it is in).
    pub const ROOT_BACKREF: u8 = 144;
    /// `BTRFS_ROOT_REF_KEY`: (number of the subvolume, 156, number of one in it).
    pub const ROOT_REF: u8 = 156;
    /// `BTRFS_EXTENT_ITEM_KEY`: (address, 168, length in bytes).
    pub const EXTENT_ITEM: u8 = 168;
    /// `BTRFS_CHUNK_ITEM_KEY`: ([`Key::CHUNK_OBJECT`], 228, address of the first byte).
    pub const CHUNK_ITEM: u8 = 228;
    /// `BTRFS_QGROUP_STATUS_KEY`: (0, 240, 0).
    pub const QGROUP_STATUS: u8 = 240;
    /// `BTRFS_QGROUP_INFO_KEY`: (0, 242, number of the quota group).
    pub const QGROUP_INFO: u8 = 242;
    /// `BTRFS_EXTENT_CSUM_OBJECTID`.
    pub const CSUM_OBJECT: u64 = -10_i64 as u64;
    /// `BTRFS_FIRST_CHUNK_TREE_OBJECTID`.
    pub const CHUNK_OBJECT: u64 = 256;
    /// `BTRFS_FIRST_FREE_OBJECTID`: the top directory of every subvolume.
    pub const FIRST_FREE: u64 = 256;
    /// `BTRFS_LAST_FREE_OBJECTID`: no inode has a number above.
    pub const LAST_FREE: u64 = -256_i64 as u64;
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.object, self.kind, self.offset)
    }
}

/// All keys from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The least key.
    pub first: Key,
    /// The greatest key.
    pub last: Key,
}

impl KeyRange {
    /// Returns the keys of type `kind` of one object, whatever their offset.
    #[must_use]
    pub const fn of(object: u64, kind: u8) -> KeyRange {
        KeyRange {
            first: Key {
                object,
                kind,
                offset: 0,
            },
            last: Key {
                object,
                kind,
                offset: u64::MAX,
            },
        }
    }

    /// Returns the one key.
    #[must_use]
    pub const fn only(key: Key) -> KeyRange {
        KeyRange {
            first: key,
            last: key,
        }
    }

    /// Returns the keys behind `key`, up to the same end; `None` if there are none.
    #[must_use]
    pub fn behind(self, key: Key) -> Option<KeyRange> {
        let first = match (key.offset.checked_add(1), key.kind.checked_add(1)) {
            (Some(offset), _) => Key { offset, ..key },
            (None, Some(kind)) => Key {
                kind,
                offset: 0,
                ..key
            },
            (None, None) => Key {
                object: key.object.checked_add(1)?,
                kind: 0,
                offset: 0,
            },
        };
        (first <= self.last).then_some(KeyRange { first, ..self })
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn what_is_behind_the_last_key_of_a_range_is_nothing() {
        let range = KeyRange::of(257, Key::EXTENT_DATA);
        assert_eq!(range.behind(range.last), None);
        let next = range.behind(range.first).map(|range| range.first.offset);
        assert_eq!(next, Some(1));
    }

    quickcheck! {
        fn the_key_behind_another_is_the_next_one(object: u64, kind: u8, offset: u64) -> bool {
            let key = Key { object, kind, offset };
            let all = KeyRange {
                first: Key { object: 0, kind: 0, offset: 0 },
                last: Key { object: u64::MAX, kind: u8::MAX, offset: u64::MAX },
            };
            all.behind(key).is_none_or(|behind| key < behind.first)
        }
    }
}
