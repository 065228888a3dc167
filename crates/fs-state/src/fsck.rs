//! `fsck`: every invariant of the state, checked from scratch. It returns violations and never
//! panics.
//!
//! `counts` checks what extents count against what leaves hold, each leaf once; `files` what
//! every root says of its files; the nodes check themselves ([`ctree::Nodes::check`]).

mod counts;
mod files;

use std::fmt;

use ctree::{Damage, Holder};

use crate::{FsState, Inode, RootId, Usage, is_aligned};

/// The inode and the item (or dirty range) that a violation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The root.
    pub root: RootId,
    /// The inode number in that root.
    pub ino: u64,
    /// File offset of the item or of the dirty range, bytes.
    pub key: u64,
}

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Something is wrong with the nodes of trees.
    Nodes(Damage),
    /// An item's key, offset or length is not a block multiple, or its length is 0.
    Unaligned(Place),
    /// Two items of an inode overlap.
    Overlap(Place),
    /// An item reaches over the end of its extent, or refers to none.
    BeyondExtent(Place),
    /// An inline item that is empty, too long or not at offset 0.
    BadInline(Place),
    /// An item belongs to an inode that has none, or a name leads to one.
    NoInode(Place),
    /// A reference that an extent counts is not what the leaves say.
    WrongRefs {
        /// Virtual address of the extent.
        bytenr: u64,
        /// In whose name the reference is counted.
        holder: Holder,
        /// The inode number of the reference.
        ino: u64,
        /// The file offset of the reference.
        offset: u64,
        /// The count that the extent has.
        counted: u32,
        /// The number of items that were found.
        found: u32,
    },
    /// An extent without any reference was not freed.
    Leaked {
        /// Virtual address of the extent.
        bytenr: u64,
    },
    /// A written item of a checksummed inode covers bytes without checksums.
    MissingCsum(Place),
    /// A written item of an inode without checksums covers bytes that have some.
    UnwantedCsum(Place),
    /// Dirty pages are unaligned, overlap, touch, or lie behind EOF.
    BadDirty(Place),
    /// An inode's count of bytes is not the sum of its items.
    WrongBytes {
        /// The root.
        root: RootId,
        /// The inode number in that root.
        ino: u64,
        /// The bytes that the inode says.
        counted: u64,
        /// The bytes of its items.
        found: u64,
    },
    /// What the quota group of a root counts is not what the references say.
    WrongUsage {
        /// The root.
        root: RootId,
        /// What the group counts.
        counted: Usage,
        /// What was found.
        found: Usage,
    },
    /// An item lies behind EOF without being preallocated.
    BeyondEof(Place),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl FsState {
    /// Returns every violated invariant. Linear in extents and in the items of all roots.
    pub fn fsck(&self) -> Vec<Violation> {
        let trees: Vec<_> = self
            .roots()
            .map(|root| (root.tree_id(), self.root(root).tree))
            .collect();
        let damages = self.nodes.check(&trees).into_iter();
        let mut violations: Vec<Violation> = damages.map(Violation::Nodes).collect();
        // Damaged trees are not walked.
        if violations.is_empty() {
            self.check_counts(&mut violations);
            self.check_quota(&mut violations);
            for root in self.roots() {
                self.check_files(root, &mut violations);
            }
        }
        for (_, inode) in self.inodes() {
            check_dirty(inode, &mut violations);
        }
        violations
    }
}

fn check_dirty(inode: &Inode, violations: &mut Vec<Violation>) {
    let mut end = None;
    for (start, len) in inode.dirty_ranges() {
        let is_bad = !is_aligned(start)
            || !is_aligned(len)
            || len == 0
            || end.is_some_and(|end| start <= end)
            || start + len > crate::align_up(inode.size);
        if is_bad {
            violations.push(Violation::BadDirty(Place {
                root: inode.root,
                ino: inode.ino,
                key: start,
            }));
        }
        end = Some(start + len);
    }
}
