//! What the tree of a root holds: [`Key`], [`TreeItem`]. Keys are those of btrfs; items are as
//! small as memory likes them, not as they lie on disk.

use data::Digest;

use crate::{
    BLOCK, ExtentId, ExtentSlice, FileExtent, InlineExtent, Inode, Kind, RootId, SliceKind,
};

/// A key: inode number, type, and what counts within the type. Types are `BTRFS_*_KEY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u128);

const INODE_ITEM: u8 = 1;
const DIR_ITEM: u8 = 84;
const EXTENT_DATA: u8 = 108;

/// Bits behind the type.
const OFFSET_BITS: u32 = 56;

impl Key {
    /// Before every key.
    pub(crate) const FIRST: Key = Key(0);

    const fn new(ino: u64, kind: u8, offset: u64) -> Key {
        debug_assert!(offset >> OFFSET_BITS == 0);
        Key((ino as u128) << 64 | (kind as u128) << OFFSET_BITS | offset as u128)
    }

    pub(crate) const fn inode(ino: u64) -> Key {
        Key::new(ino, INODE_ITEM, 0)
    }

    /// Returns the key of the entries of a directory whose names have one hash with `name`.
    pub(crate) fn entries(dir: u64, name: &str) -> Key {
        let hash = Digest::of(name.as_bytes()).raw() as u64;
        Key::new(dir, DIR_ITEM, hash >> (u64::BITS - OFFSET_BITS))
    }

    /// Returns the first key that entries of a directory can have.
    pub(crate) const fn first_entries(dir: u64) -> Key {
        Key::new(dir, DIR_ITEM, 0)
    }

    /// Returns the first key of a file extent item that begins at `offset` bytes or behind it.
    pub(crate) const fn extent_from(ino: u64, offset: u64) -> Key {
        Key::new(ino, EXTENT_DATA, offset.div_ceil(BLOCK))
    }

    /// Returns the last key of a file extent item that begins at `offset` bytes or before it.
    pub(crate) const fn extent_to(ino: u64, offset: u64) -> Key {
        Key::new(ino, EXTENT_DATA, offset / BLOCK)
    }

    pub(crate) const fn ino(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// Returns the file offset of a file extent item, bytes; of no meaning for other items.
    pub(crate) const fn file_offset(self) -> u64 {
        (self.0 as u64 & ((1 << OFFSET_BITS) - 1)) << BLOCK.trailing_zeros()
    }
}

/// An item of a root's tree.
#[derive(Clone, Debug)]
pub(crate) enum TreeItem {
    /// `BTRFS_INODE_ITEM_KEY`.
    Inode(Box<InodeItem>),
    /// `BTRFS_DIR_ITEM_KEY`: all names with one hash.
    Entries(Box<[Entry]>),
    /// `BTRFS_EXTENT_DATA_KEY` with the bytes in it.
    Inline(Box<InlineExtent>),
    /// `BTRFS_EXTENT_DATA_KEY`.
    Slice(PackedSlice),
}

/// An [`ExtentSlice`], offsets and lengths in blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedSlice {
    kind: SliceKind,
    extent: ExtentId,
    offset: u32,
    len: u32,
    generation: u64,
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Box<str>,
    pub(crate) child: Child,
}

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    /// An inode of the same root.
    Inode(u64),
    /// The top of another root.
    Root(RootId),
}

/// What of an inode is in the tree: all that outlives its stay in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InodeItem {
    kind: Kind,
    mode: u16,
    uid: u32,
    nr_links: u32,
    size: u64,
    nbytes: u64,
    is_nodatacow: bool,
    is_nodatasum: bool,
    is_immutable: bool,
    is_append: bool,
    has_prealloc: bool,
    mtime: u64,
    ctime: u64,
    last_trans: u64,
    needs_full_sync: bool,
}

impl TreeItem {
    pub(crate) fn slice(slice: ExtentSlice) -> TreeItem {
        let ExtentSlice {
            extent,
            kind,
            offset,
            len,
            generation,
        } = slice;
        let blocks = |bytes: u64| {
            debug_assert!(crate::is_aligned(bytes));
            u32::try_from(bytes / BLOCK).expect("an extent is shorter than 2^32 blocks")
        };
        TreeItem::Slice(PackedSlice {
            kind,
            extent,
            offset: blocks(offset),
            len: blocks(len),
            generation,
        })
    }

    /// Returns the file extent item, if it is one.
    #[inline]
    pub(crate) fn file_extent(&self) -> Option<FileExtent<'_>> {
        match self {
            TreeItem::Slice(packed) => Some(FileExtent::Regular(packed.unpacked())),
            TreeItem::Inline(inline) => Some(FileExtent::Inline(inline)),
            TreeItem::Inode(_) | TreeItem::Entries(_) => None,
        }
    }
}

impl PackedSlice {
    #[inline]
    pub(crate) fn unpacked(self) -> ExtentSlice {
        ExtentSlice {
            extent: self.extent,
            kind: self.kind,
            offset: u64::from(self.offset) * BLOCK,
            len: u64::from(self.len) * BLOCK,
            generation: self.generation,
        }
    }
}

impl InodeItem {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn nbytes(&self) -> u64 {
        self.nbytes
    }

    pub(crate) fn is_nodatasum(&self) -> bool {
        self.is_nodatasum
    }

    /// Returns the item of an inode.
    pub(crate) fn of(inode: &Inode) -> InodeItem {
        InodeItem {
            kind: inode.kind,
            mode: inode.mode,
            uid: inode.uid,
            nr_links: inode.nr_links,
            size: inode.size,
            nbytes: inode.nbytes,
            is_nodatacow: inode.is_nodatacow,
            is_nodatasum: inode.is_nodatasum,
            is_immutable: inode.is_immutable,
            is_append: inode.is_append,
            has_prealloc: inode.has_prealloc,
            mtime: inode.mtime,
            ctime: inode.ctime,
            last_trans: inode.last_trans,
            needs_full_sync: inode.needs_full_sync,
        }
    }

    /// Returns the inode as it comes into memory.
    pub(crate) fn inode(&self, root: RootId, ino: u64) -> Inode {
        let InodeItem {
            kind,
            mode,
            uid,
            nr_links,
            size,
            nbytes,
            is_nodatacow,
            is_nodatasum,
            is_immutable,
            is_append,
            has_prealloc,
            mtime,
            ctime,
            last_trans,
            needs_full_sync,
        } = *self;
        Inode {
            uid,
            nr_links,
            size,
            disk_size: size,
            nbytes,
            is_nodatacow,
            is_nodatasum,
            is_immutable,
            is_append,
            has_prealloc,
            ctime,
            last_trans,
            needs_full_sync,
            ..Inode::new(root, ino, kind, mode, mtime)
        }
    }
}
