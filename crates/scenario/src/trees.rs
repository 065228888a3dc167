//! What the trees of a filesystem say once everything is committed: [`Trees`].
//!
//! Storage is a number of one backend, as in a map. Two backends agree if the lines that they
//! print with labels are the same: [`Trees::lines`] gives every data extent a label by first
//! appearance, [`side_by_side`] puts the lines of two of them beside each other. Nothing here says
//! what trees ought to say.

use std::collections::BTreeMap;
use std::iter::Peekable;

use data::Digest;
use ondisk::{Compression, InodeFlags};

use crate::{FileKind, Name, Storage};

/// The trees of a run: its subvolumes, and the data extents that they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trees {
    /// The subvolumes, by name.
    pub roots: Vec<TreeRoot>,
    /// The data extents, by storage.
    pub extents: Vec<TreeExtent>,
}

/// The tree of a subvolume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRoot {
    /// Where the subvolume is.
    pub name: Name,
    /// Whether it is read-only.
    pub is_readonly: bool,
    /// What its quota group counts of data; `None` if quota groups are not counted.
    pub usage: Option<TreeUsage>,
    /// The inodes, by number.
    pub inodes: Vec<TreeInode>,
}

/// What the quota group of a subvolume counts, less the blocks of its tree: bytes on disk. Where
/// that is below zero, which is wrong, it wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeUsage {
    /// `rfer`: the data extents that the subvolume refers to, each once.
    pub referenced: u64,
    /// `excl`: those that no other subvolume refers to.
    pub exclusive: u64,
}

/// An inode item with the file extent items behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeInode {
    /// The inode number within its root.
    pub ino: u64,
    /// What it is.
    pub kind: FileKind,
    /// `nlink`; 0 for an inode that is unlinked and not evicted yet.
    pub nlink: u32,
    /// `size`, bytes.
    pub size: u64,
    /// `nbytes`: bytes of the file extent items, holes not counted.
    pub nbytes: u64,
    /// The flags about its data.
    pub flags: InodeFlags,
    /// The file extent items, by offset.
    pub items: Vec<TreeItem>,
}

/// A file extent item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeItem {
    /// File offset, bytes.
    pub offset: u64,
    /// Bytes of the file: exact for inline items.
    pub len: u64,
    /// `ram_bytes`: the length of the whole extent once it is decompressed.
    pub ram_bytes: u64,
    /// How the extent is compressed.
    pub compression: Compression,
    /// Where the bytes are.
    pub place: TreePlace,
}

/// Where the bytes of a file extent item are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreePlace {
    /// In the item.
    Inline {
        /// Bytes in the item: fewer than the file has if they are compressed.
        disk_len: u64,
    },
    /// Nowhere: a hole that has an item.
    Hole,
    /// In a data extent.
    Extent {
        /// Whether it is preallocated.
        is_prealloc: bool,
        /// Where the extent begins.
        extent: Storage,
        /// Bytes of the extent on disk.
        disk_len: u64,
        /// First byte of the item in the decompressed extent.
        skip: u64,
    },
}

/// A data extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeExtent {
    /// Where it begins.
    pub extent: Storage,
    /// Bytes on disk.
    pub len: u64,
    /// Everything that refers to it, found by its back references.
    pub refs: Vec<TreeRef>,
    /// Which of its bytes have checksums: ascending, not touching.
    pub csums: Vec<TreeCsums>,
}

/// A reference to a data extent, resolved to the file extent item that holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeRef {
    /// The subvolume; `None` for one that is not of the run.
    pub root: Option<Name>,
    /// The inode number.
    pub ino: u64,
    /// File offset of the item, bytes.
    pub offset: u64,
}

/// A range of an extent with checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeCsums {
    /// First byte within the extent.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Digest of the checksums, one after the other as they are stored.
    pub digest: Digest,
}

/// A line about the trees: what it is about, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLine {
    /// Lines are in the order of their subjects.
    subject: Subject,
    /// The line, as results print it.
    pub text: String,
}

/// What a line is about, in the order of printing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Root(Name),
    Inode(Name, u64),
    Item(Name, u64, u64),
    Extent(u64),
    Ref(u64, TreeRef),
}

impl Subject {
    /// Returns the keys by which lines are sorted: the items of a root come before the next root.
    fn order(&self) -> (u8, u64, Option<&Name>, u64, u8, u64) {
        match self {
            Subject::Root(root) => (0, 0, Some(root), 0, 0, 0),
            Subject::Inode(root, ino) => (0, 0, Some(root), *ino, 1, 0),
            Subject::Item(root, ino, offset) => (0, 0, Some(root), *ino, 2, *offset),
            Subject::Extent(label) => (1, *label, None, 0, 0, 0),
            Subject::Ref(label, to) => (1, *label, to.root.as_ref(), to.ino, 1, to.offset),
        }
    }
}

/// The labels of data extents by first appearance.
#[derive(Debug, Default)]
pub(crate) struct ExtentLabels(BTreeMap<Storage, u64>);

impl ExtentLabels {
    /// Returns the number of the extent's label.
    pub(crate) fn of(&mut self, extent: Storage) -> u64 {
        let next = self.0.len() as u64;
        *self.0.entry(extent).or_insert(next)
    }
}

impl Trees {
    /// Returns everything as lines, extents with labels. Two backends whose trees mean the same
    /// give equal lines.
    pub fn lines(&self) -> Vec<TreeLine> {
        let mut labels = ExtentLabels::default();
        let mut lines = Vec::new();
        let mut roots: Vec<&TreeRoot> = self.roots.iter().collect();
        roots.sort_by_key(|root| &root.name);
        for root in roots {
            lines.push(TreeLine {
                subject: Subject::Root(root.name.clone()),
                text: crate::text::tree_root(root),
            });
            for inode in &root.inodes {
                lines.push(TreeLine {
                    subject: Subject::Inode(root.name.clone(), inode.ino),
                    text: crate::text::tree_inode(&root.name, inode),
                });
                for item in &inode.items {
                    let text = crate::text::tree_item(&root.name, inode.ino, item, |extent| {
                        format!("x{}", labels.of(extent))
                    });
                    lines.push(TreeLine {
                        subject: Subject::Item(root.name.clone(), inode.ino, item.offset),
                        text,
                    });
                }
            }
        }
        let mut extents: Vec<(u64, &TreeExtent)> = Vec::with_capacity(self.extents.len());
        for extent in &self.extents {
            extents.push((labels.of(extent.extent), extent));
        }
        extents.sort_by_key(|(label, _)| *label);
        for (label, extent) in extents {
            extent_lines(label, extent, &mut lines);
        }
        lines
    }
}

fn extent_lines(label: u64, extent: &TreeExtent, lines: &mut Vec<TreeLine>) {
    let name = format!("x{label}");
    lines.push(TreeLine {
        subject: Subject::Extent(label),
        text: crate::text::tree_extent(&name, extent),
    });
    let mut refs: Vec<&TreeRef> = extent.refs.iter().collect();
    refs.sort();
    for to in refs {
        lines.push(TreeLine {
            subject: Subject::Ref(label, to.clone()),
            text: crate::text::tree_ref(&name, to),
        });
    }
}

/// What the lines of two trees say of one subject; `None` on the side that has no such line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreePair {
    /// The left line.
    pub left: Option<String>,
    /// The right line.
    pub right: Option<String>,
}

impl TreePair {
    /// Returns whether both sides say the same.
    pub fn is_equal(&self) -> bool {
        self.left == self.right
    }
}

/// Returns the lines of two trees beside each other, in order.
pub fn side_by_side(left: &Trees, right: &Trees) -> Vec<TreePair> {
    let mut left = left.lines().into_iter().peekable();
    let mut right = right.lines().into_iter().peekable();
    let mut pairs = Vec::new();
    loop {
        let take = |lines: &mut Peekable<_>| lines.next().map(|line: TreeLine| line.text);
        let order = match (left.peek(), right.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(one), Some(two)) => one.subject.order().cmp(&two.subject.order()),
        };
        pairs.push(TreePair {
            left: order.is_le().then(|| take(&mut left)).flatten(),
            right: order.is_ge().then(|| take(&mut right)).flatten(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_at(extent: u64) -> Trees {
        let item = TreeItem {
            offset: 0,
            len: 4096,
            ram_bytes: 8192,
            compression: Compression::None,
            place: TreePlace::Extent {
                is_prealloc: false,
                extent: Storage(extent),
                disk_len: 8192,
                skip: 4096,
            },
        };
        let inode = TreeInode {
            ino: 257,
            kind: FileKind::Regular,
            nlink: 1,
            size: 4096,
            nbytes: 4096,
            flags: InodeFlags::NODATASUM,
            items: vec![item],
        };
        let to = TreeRef {
            root: Some(Name::top()),
            ino: 257,
            offset: 0,
        };
        Trees {
            roots: vec![TreeRoot {
                name: Name::top(),
                is_readonly: false,
                usage: None,
                inodes: vec![inode],
            }],
            extents: vec![TreeExtent {
                extent: Storage(extent),
                len: 8192,
                refs: vec![to],
                csums: Vec::new(),
            }],
        }
    }

    #[test]
    fn trees_that_differ_in_storage_only_print_the_same_lines() {
        assert_eq!(file_at(4096).lines(), file_at(1 << 30).lines());
        let pairs = side_by_side(&file_at(4096), &file_at(1 << 30));
        assert!(pairs.iter().all(TreePair::is_equal));
    }

    #[test]
    fn a_reference_that_one_side_lacks_stands_alone_in_its_line() {
        let mut lacking = file_at(4096);
        lacking.extents[0].refs.clear();
        let pairs = side_by_side(&file_at(4096), &lacking);
        let odd: Vec<_> = pairs.into_iter().filter(|pair| !pair.is_equal()).collect();
        let expected = TreePair {
            left: Some("ref x0 . 257 0".into()),
            right: None,
        };
        assert_eq!(odd, [expected]);
    }
}
