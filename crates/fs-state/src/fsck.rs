//! `fsck`: every invariant of the state, checked from scratch. It returns violations and never
//! panics.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::{BLOCK, ExtentId, FileExtent, FsState, Inode, InodeId, RootId, SliceKind, is_aligned};

/// The inode and the item (or dirty range) that a violation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The inode.
    pub inode: InodeId,
    /// File offset of the item or of the dirty range, bytes.
    pub key: u64,
}

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An item's key, offset or length is not a block multiple, or its length is 0.
    Unaligned(Place),
    /// Two items of an inode overlap.
    Overlap(Place),
    /// An item reaches over the end of its extent.
    BeyondExtent(Place),
    /// An inline item that is empty, too long or not at offset 0.
    BadInline(Place),
    /// A back reference of an extent is not what the items say.
    WrongRefs {
        /// Virtual address of the extent.
        bytenr: u64,
        /// The root of the reference.
        root: RootId,
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
        /// The inode.
        inode: InodeId,
        /// The bytes that the inode says.
        counted: u64,
        /// The bytes of its items.
        found: u64,
    },
    /// An item lies behind EOF without being preallocated.
    BeyondEof(Place),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

type RefKey = (ExtentId, RootId, u64, u64);

impl FsState {
    /// Returns every violated invariant. Linear in items and extents.
    pub fn fsck(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut found: HashMap<RefKey, u32> = HashMap::new();
        for (id, inode) in self.inodes() {
            self.check_items(id, inode, &mut found, &mut violations);
            check_dirty(id, inode, &mut violations);
        }
        let under_way: HashSet<ExtentId> = self
            .inodes()
            .flat_map(|(_, inode)| inode.ordered.values().map(|ordered| ordered.extent))
            .collect();
        for (id, extent) in self.extents.iter() {
            if extent.ref_count() == 0 && !under_way.contains(&id) {
                violations.push(Violation::Leaked {
                    bytenr: extent.bytenr(),
                });
            }
            for r in extent.refs.iter() {
                let found = found.remove(&(id, r.root, r.ino, r.offset)).unwrap_or(0);
                if found != r.count {
                    violations.push(Violation::WrongRefs {
                        bytenr: extent.bytenr(),
                        root: r.root,
                        ino: r.ino,
                        offset: r.offset,
                        counted: r.count,
                        found,
                    });
                }
            }
        }
        for ((id, root, ino, offset), found) in found {
            let bytenr = self.extents.get(id).bytenr();
            violations.push(Violation::WrongRefs {
                bytenr,
                root,
                ino,
                offset,
                counted: 0,
                found,
            });
        }
        violations
    }

    fn check_items(
        &self,
        id: InodeId,
        inode: &Inode,
        found: &mut HashMap<RefKey, u32>,
        violations: &mut Vec<Violation>,
    ) {
        let (mut end, mut nbytes) = (0, 0);
        for (key, item) in self.items(id) {
            if key < end {
                violations.push(Violation::Overlap(Place { inode: id, key }));
            }
            end = item.end(key);
            nbytes += item.end(0);
            let slice = match item {
                FileExtent::Inline(content) => {
                    let len = content.len();
                    if key != 0 || len == 0 || len > self.behaviour.max_inline.max(BLOCK) {
                        violations.push(Violation::BadInline(Place { inode: id, key }));
                    }
                    continue;
                }
                FileExtent::Regular(slice) => slice,
            };
            if !is_aligned(key)
                || !is_aligned(slice.offset)
                || !is_aligned(slice.len)
                || slice.len == 0
            {
                violations.push(Violation::Unaligned(Place { inode: id, key }));
            }
            let extent = self.extents.get(slice.extent);
            let slice_end = slice.offset.saturating_add(slice.len);
            if slice_end > extent.len() {
                violations.push(Violation::BeyondExtent(Place { inode: id, key }));
            }
            *found
                .entry((
                    slice.extent,
                    inode.root,
                    inode.ino,
                    slice.backref_offset(key),
                ))
                .or_default() += 1;
            if slice.kind == SliceKind::Prealloc {
                continue;
            }
            if key >= crate::align_up(inode.size) {
                violations.push(Violation::BeyondEof(Place { inode: id, key }));
            }
            if inode.is_nodatasum && extent.has_any_csum(slice.offset, slice_end) {
                violations.push(Violation::UnwantedCsum(Place { inode: id, key }));
            }
            if !inode.is_nodatasum && !extent.has_csums(slice.offset, slice_end) {
                violations.push(Violation::MissingCsum(Place { inode: id, key }));
            }
        }
        if nbytes != inode.nbytes {
            violations.push(Violation::WrongBytes {
                inode: id,
                counted: inode.nbytes,
                found: nbytes,
            });
        }
    }
}

fn check_dirty(id: InodeId, inode: &Inode, violations: &mut Vec<Violation>) {
    let mut end = None;
    for (start, len) in inode.dirty_ranges() {
        let is_bad = !is_aligned(start)
            || !is_aligned(len)
            || len == 0
            || end.is_some_and(|end| start <= end)
            || start + len > crate::align_up(inode.size);
        if is_bad {
            violations.push(Violation::BadDirty(Place {
                inode: id,
                key: start,
            }));
        }
        end = Some(start + len);
    }
}
