//! The items of the trees, decoded from their bytes.
//!
//! Decoding checks that an item has the length that it needs; whether what it says makes sense
//! with other items is for whoever compares.

use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::InodeFlags;
use crate::node::BlockPointer;

/// Why bytes are not the item that their key says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ItemError {
    /// There are fewer bytes than the item has.
    #[error("{item} has {found} bytes where {expected} are the least")]
    Short {
        /// What it should be.
        item: &'static str,
        /// The bytes that there are.
        found: usize,
        /// The bytes that there should be.
        expected: usize,
    },
    /// A field has a value that means nothing.
    #[error("{item} has {field} {value}, which means nothing")]
    Unknown {
        /// What it should be.
        item: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

/// `struct btrfs_file_extent_item`: what a range of a file consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileExtentItem {
    /// `generation`: the transaction that allocated the extent.
    pub generation: u64,
    /// `ram_bytes`: the extent's length in bytes once it is decompressed.
    pub ram_bytes: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// Where the bytes are.
    pub place: FileExtentPlace,
}

/// Where the bytes of a file extent item are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileExtentPlace {
    /// `BTRFS_FILE_EXTENT_INLINE`: in the item itself.
    Inline {
        /// How many bytes there are in the item, compressed or not.
        len: u64,
    },
    /// `BTRFS_FILE_EXTENT_REG` with an address of 0: nowhere.
    Hole {
        /// `num_bytes`.
        len: u64,
    },
    /// `BTRFS_FILE_EXTENT_REG` or `BTRFS_FILE_EXTENT_PREALLOC`.
    Extent {
        /// Whether it is preallocated, so that it reads as zeros.
        is_prealloc: bool,
        /// `disk_bytenr`: the address of the extent.
        bytenr: u64,
        /// `disk_num_bytes`: the length of the extent on disk.
        disk_len: u64,
        /// `offset`: the first byte of the item in the decompressed extent.
        offset: u64,
        /// `num_bytes`: the bytes of the item.
        len: u64,
    },
}

/// How an extent is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `BTRFS_COMPRESS_ZLIB`.
    Zlib,
    /// `BTRFS_COMPRESS_LZO`.
    Lzo,
    /// `BTRFS_COMPRESS_ZSTD`.
    Zstd,
}

impl Compression {
    /// All of them, by their number on disk.
    pub const ALL: [Compression; 4] = [
        Compression::None,
        Compression::Zlib,
        Compression::Lzo,
        Compression::Zstd,
    ];

    /// Returns its name, as the mount option `compress` knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Zlib => "zlib",
            Compression::Lzo => "lzo",
            Compression::Zstd => "zstd",
        }
    }

    /// Returns the one of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Compression> {
        Compression::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// `struct btrfs_inode_item`, as far as it is about data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeItem {
    /// `generation`: the transaction that created the inode.
    pub generation: u64,
    /// `transid`: the transaction that changed it last.
    pub transid: u64,
    /// `size` in bytes.
    pub size: u64,
    /// `nbytes`: bytes of the file extent items, holes not counted.
    pub nbytes: u64,
    /// `nlink`.
    pub nlink: u32,
    /// `mode`, file type included.
    pub mode: u32,
    /// `flags`.
    pub flags: InodeFlags,
}

/// A name and the directory that it is in: `struct btrfs_inode_ref` of an inode, whose key has the
/// directory, or `struct btrfs_root_ref` of a subvolume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameItem<'a> {
    /// `dirid`, the directory's inode number; `None` where the key has it.
    pub directory: Option<u64>,
    /// The name.
    pub name: &'a [u8],
}

/// `struct btrfs_root_item`, as far as it is about the subvolume's life and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootItem {
    /// `refs`: 0 once the subvolume is deleted and its tree is being given up.
    pub refs: u32,
    /// The top block of the tree.
    pub top: BlockPointer,
    /// `uuid`: tells the subvolume from one that had its number before; zeros where old kernels
    /// wrote the item.
    pub uuid: [u8; 16],
    /// `bytes_used`: bytes of all blocks of the tree.
    pub used_bytes: u64,
}

/// `struct btrfs_extent_item`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentItem {
    /// `refs`: how many references there are in all; not a function of what was done to files.
    pub refs: u64,
    /// `generation`: the transaction that allocated it.
    pub generation: u64,
    /// Whether it holds data, not a tree block.
    pub is_data: bool,
}

/// Where `uuid` is in a root item, behind `generation_v2`.
const ROOT_UUID_AT: usize = 160 + 7 * 8 + 4 + 17 + 2 + 8;

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFileExtent {
    generation: U64,
    ram_bytes: U64,
    compression: u8,
    encryption: u8,
    other_encoding: U16,
    kind: u8,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawExtentPlace {
    bytenr: U64,
    disk_len: U64,
    offset: U64,
    len: U64,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInode {
    generation: U64,
    transid: U64,
    size: U64,
    nbytes: U64,
    block_group: U64,
    nlink: U32,
    uid: U32,
    gid: U32,
    mode: U32,
    rdev: U64,
    flags: U64,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInodeRef {
    index: U64,
    name_len: U16,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawRootRef {
    directory: U64,
    sequence: U64,
    name_len: U16,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawRoot {
    inode: [u8; 160],
    generation: U64,
    root_dirid: U64,
    bytenr: U64,
    byte_limit: U64,
    bytes_used: U64,
    last_snapshot: U64,
    flags: U64,
    refs: U32,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawExtent {
    refs: U64,
    generation: U64,
    flags: U64,
}

const EXTENT_FLAG_DATA: u64 = 1;
const FILE_EXTENT_INLINE: u8 = 0;
const FILE_EXTENT_REG: u8 = 1;
const FILE_EXTENT_PREALLOC: u8 = 2;

impl FileExtentItem {
    /// Decodes an item of type [`crate::Key::EXTENT_DATA`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short or of an unknown kind.
    pub fn decode(bytes: &[u8]) -> Result<FileExtentItem, ItemError> {
        const ITEM: &str = "a file extent item";
        let (raw, rest) = prefix::<RawFileExtent>(ITEM, bytes)?;
        let unknown = |field, value: u8| ItemError::Unknown {
            item: ITEM,
            field,
            value: value.into(),
        };
        let compression = Compression::from_raw(raw.compression)
            .ok_or_else(|| unknown("compression", raw.compression))?;
        let place = match raw.kind {
            FILE_EXTENT_INLINE => FileExtentPlace::Inline {
                len: rest.len() as u64,
            },
            FILE_EXTENT_REG | FILE_EXTENT_PREALLOC => {
                let (place, _) = prefix::<RawExtentPlace>(ITEM, rest)?;
                let len = place.len.get();
                match place.bytenr.get() {
                    0 => FileExtentPlace::Hole { len },
                    bytenr => FileExtentPlace::Extent {
                        is_prealloc: raw.kind == FILE_EXTENT_PREALLOC,
                        bytenr,
                        disk_len: place.disk_len.get(),
                        offset: place.offset.get(),
                        len,
                    },
                }
            }
            kind => return Err(unknown("type", kind)),
        };
        Ok(FileExtentItem {
            generation: raw.generation.get(),
            ram_bytes: raw.ram_bytes.get(),
            compression,
            place,
        })
    }
}

impl Compression {
    fn from_raw(raw: u8) -> Option<Compression> {
        match raw {
            0 => Some(Compression::None),
            1 => Some(Compression::Zlib),
            2 => Some(Compression::Lzo),
            3 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// Returns the word for it, as mount options have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Zlib => "zlib",
            Compression::Lzo => "lzo",
            Compression::Zstd => "zstd",
        }
    }

    /// Returns what [`Compression::word`] names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Compression> {
        let all = [
            Compression::None,
            Compression::Zlib,
            Compression::Lzo,
            Compression::Zstd,
        ];
        all.into_iter().find(|kind| kind.word() == word)
    }
}

impl InodeItem {
    /// Decodes an item of type [`crate::Key::INODE_ITEM`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short.
    pub fn decode(bytes: &[u8]) -> Result<InodeItem, ItemError> {
        let (raw, _) = prefix::<RawInode>("an inode item", bytes)?;
        Ok(InodeItem {
            generation: raw.generation.get(),
            transid: raw.transid.get(),
            size: raw.size.get(),
            nbytes: raw.nbytes.get(),
            nlink: raw.nlink.get(),
            mode: raw.mode.get(),
            flags: InodeFlags::from_raw(raw.flags.get()),
        })
    }
}

impl<'a> NameItem<'a> {
    /// Decodes the first name of an item of type [`crate::Key::INODE_REF`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short.
    pub fn decode_inode_ref(bytes: &'a [u8]) -> Result<NameItem<'a>, ItemError> {
        const ITEM: &str = "a name of an inode";
        let (raw, rest) = prefix::<RawInodeRef>(ITEM, bytes)?;
        Ok(NameItem {
            directory: None,
            name: name_of(ITEM, rest, raw.name_len)?,
        })
    }

    /// Decodes an item of type [`crate::Key::ROOT_BACKREF`] or [`crate::Key::ROOT_REF`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short.
    pub fn decode_root_ref(bytes: &'a [u8]) -> Result<NameItem<'a>, ItemError> {
        const ITEM: &str = "a name of a subvolume";
        let (raw, rest) = prefix::<RawRootRef>(ITEM, bytes)?;
        Ok(NameItem {
            directory: Some(raw.directory.get()),
            name: name_of(ITEM, rest, raw.name_len)?,
        })
    }
}

fn name_of<'a>(item: &'static str, rest: &'a [u8], len: U16) -> Result<&'a [u8], ItemError> {
    rest.get(..len.get().into()).ok_or(ItemError::Short {
        item,
        found: rest.len(),
        expected: len.get().into(),
    })
}

impl RootItem {
    /// Decodes an item of type [`crate::Key::ROOT_ITEM`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short.
    pub fn decode(bytes: &[u8]) -> Result<RootItem, ItemError> {
        let (raw, _) = prefix::<RawRoot>("a root item", bytes)?;
        Ok(RootItem {
            refs: raw.refs.get(),
            top: BlockPointer {
                bytenr: raw.bytenr.get(),
                generation: raw.generation.get(),
            },
            uuid: bytes
                .get(ROOT_UUID_AT..ROOT_UUID_AT + 16)
                .and_then(|uuid| uuid.try_into().ok())
                .unwrap_or_default(),
            used_bytes: raw.bytes_used.get(),
        })
    }
}

impl ExtentItem {
    /// Decodes an item of type [`crate::Key::EXTENT_ITEM`].
    ///
    /// # Errors
    /// [`ItemError`] if it is too short.
    pub fn decode(bytes: &[u8]) -> Result<ExtentItem, ItemError> {
        let (raw, _) = prefix::<RawExtent>("an extent item", bytes)?;
        Ok(ExtentItem {
            refs: raw.refs.get(),
            generation: raw.generation.get(),
            is_data: raw.flags.get() & EXTENT_FLAG_DATA != 0,
        })
    }
}

pub(crate) fn prefix<'a, T: FromBytes + KnownLayout + Immutable + Unaligned>(
    item: &'static str,
    bytes: &'a [u8],
) -> Result<(&'a T, &'a [u8]), ItemError> {
    T::ref_from_prefix(bytes).map_err(|_| ItemError::Short {
        item,
        found: bytes.len(),
        expected: size_of::<T>(),
    })
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_kernel() {
        assert_eq!(size_of::<RawFileExtent>(), 21);
        assert_eq!(size_of::<RawFileExtent>() + size_of::<RawExtentPlace>(), 53);
        assert_eq!(size_of::<RawExtent>(), 24);
        assert_eq!(size_of::<RawInode>(), 72);
        assert_eq!(size_of::<RawInodeRef>(), 10);
        assert_eq!(size_of::<RawRootRef>(), 18);
        // `refs` is behind 160 bytes of an inode item and seven words.
        assert_eq!(size_of::<RawRoot>(), 160 + 7 * 8 + 4);
        assert_eq!(ROOT_UUID_AT, 247);
    }

    #[test]
    fn an_inline_item_has_the_bytes_behind_its_header() {
        let bytes = [0; 21 + 100];
        let item = FileExtentItem::decode(&bytes).expect("an item");
        assert_eq!(item.place, FileExtentPlace::Inline { len: 100 });
    }

    #[test]
    fn a_regular_item_cut_in_the_middle_is_short() {
        let mut bytes = [0; 40];
        bytes[20] = FILE_EXTENT_REG;
        let error = FileExtentItem::decode(&bytes).expect_err("short");
        let says = "a file extent item has 19 bytes where 32 are the least";
        assert_eq!(error.to_string(), says);
    }

    quickcheck! {
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) -> bool {
            let _ = FileExtentItem::decode(&bytes);
            let _ = InodeItem::decode(&bytes);
            let _ = NameItem::decode_inode_ref(&bytes);
            let _ = NameItem::decode_root_ref(&bytes);
            let _ = RootItem::decode(&bytes);
            let _ = ExtentItem::decode(&bytes);
            true
        }
    }
}
