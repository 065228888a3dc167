//! What refers to an extent, and how often: [`Referrer`], [`CountedRef`].

use ctree::{Holder, NodeId, TreeId};

/// What refers to an extent: an inode, in the name of a root or of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Referrer {
    holder: PackedHolder,
    ino: u32,
    /// File offset at which the extent would begin, see `ExtentSlice::backref_offset`.
    offset: u64,
}

/// A [`Holder`] in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PackedHolder(u32);

/// A reference that an extent counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedRef {
    pub(crate) referrer: Referrer,
    /// How many items.
    pub(crate) count: u32,
    /// Whether the extent tree has it as an item of its own, not inside the extent's.
    pub(super) is_keyed: bool,
}

impl PackedHolder {
    const LEAF: u32 = 1 << 31;

    #[inline]
    fn new(holder: Holder) -> PackedHolder {
        let (number, mark) = match holder {
            Holder::Tree(tree) => (tree.0, 0),
            Holder::Leaf(leaf) => (leaf.number(), PackedHolder::LEAF),
        };
        debug_assert!(number < PackedHolder::LEAF);
        PackedHolder(number | mark)
    }

    fn unpacked(self) -> Holder {
        match self.0 & PackedHolder::LEAF {
            0 => Holder::Tree(TreeId(self.0)),
            _ => Holder::Leaf(NodeId::from_number(self.0 & !PackedHolder::LEAF)),
        }
    }
}

impl Referrer {
    #[inline]
    pub(crate) fn new(holder: Holder, ino: u64, offset: u64) -> Referrer {
        Referrer {
            holder: PackedHolder::new(holder),
            ino: u32::try_from(ino).expect("fewer than 2^32 inodes in a root"),
            offset,
        }
    }

    /// Returns whether both are the same reference in the extent tree: what a leaf refers to is
    /// told by its address alone (`BTRFS_SHARED_DATA_REF_KEY`).
    pub(crate) fn is_one_with(self, other: Referrer) -> bool {
        self == other || (self.holder == other.holder && self.holder.0 & PackedHolder::LEAF != 0)
    }

    pub(crate) fn holder(self) -> Holder {
        self.holder.unpacked()
    }

    pub(crate) fn ino(self) -> u64 {
        u64::from(self.ino)
    }

    pub(crate) fn offset(self) -> u64 {
        self.offset
    }
}

impl CountedRef {
    pub(crate) fn new(referrer: Referrer, count: u32) -> CountedRef {
        CountedRef {
            referrer,
            count,
            is_keyed: false,
        }
    }

    /// Returns the bytes that it takes inside an extent item.
    pub(super) fn len(self) -> usize {
        match self.referrer.holder() {
            Holder::Tree(_) => 29,
            Holder::Leaf(_) => 13,
        }
    }
}
