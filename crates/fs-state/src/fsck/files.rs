//! What the tree of a root says of its files.

use super::{Place, Violation};
use crate::tree_item::{Child, InodeItem, Key, TreeItem};
use crate::{BLOCK, ExtentSlice, FileExtent, FsState, RootId, SliceKind, align_up, is_aligned};

/// A file while its items pass by.
struct File {
    ino: u64,
    item: InodeItem,
    /// The end of the last item, bytes.
    end: u64,
    nbytes: u64,
}

impl FsState {
    /// Checks every item of a root.
    pub(super) fn check_files(&self, root: RootId, violations: &mut Vec<Violation>) {
        let mut file: Option<File> = None;
        let items = self.nodes.range_from(self.root(root).tree, Key::FIRST);
        for (key, item) in items {
            let place = Place {
                root,
                ino: key.ino(),
                key: key.file_offset(),
            };
            match item {
                TreeItem::Inode(item) => {
                    check_bytes(root, file.take(), violations);
                    file = Some(File {
                        ino: key.ino(),
                        item: self.newest_item(root, key.ino(), item),
                        end: 0,
                        nbytes: 0,
                    });
                }
                TreeItem::Entries(entries) => {
                    let is_lost = |child: Child| match child {
                        Child::Inode(ino) => !self.has_inode(root, ino),
                        Child::Root(_) => false,
                    };
                    if entries.iter().any(|entry| is_lost(entry.child)) {
                        violations.push(Violation::NoInode(Place { key: 0, ..place }));
                    }
                }
                TreeItem::Inline(_) | TreeItem::Slice(_) => {
                    let of_file = file.as_mut().filter(|file| file.ino == key.ino());
                    match (of_file, item.file_extent()) {
                        (Some(file), Some(item)) => {
                            self.check_item(place, item, file, violations);
                        }
                        _ => violations.push(Violation::NoInode(place)),
                    }
                }
            }
        }
        check_bytes(root, file, violations);
    }

    /// Returns the item of an inode as it would be written now.
    fn newest_item(&self, root: RootId, ino: u64, item: &InodeItem) -> InodeItem {
        match self.inode_ids.get(&(root, ino)) {
            Some(&id) => InodeItem::of(self.inode(id)),
            None => item.clone(),
        }
    }

    fn has_inode(&self, root: RootId, ino: u64) -> bool {
        let top = self.root(root).tree;
        self.nodes.get(top, Key::inode(ino)).is_some() || self.inode_ids.contains_key(&(root, ino))
    }

    fn check_item(
        &self,
        place: Place,
        item: FileExtent<'_>,
        file: &mut File,
        violations: &mut Vec<Violation>,
    ) {
        if place.key < file.end {
            violations.push(Violation::Overlap(place));
        }
        file.end = item.end(place.key);
        file.nbytes += item.end(0);
        match item {
            FileExtent::Inline(inline) => {
                let len_max = self.behaviour.max_inline.max(BLOCK);
                let len = inline.content.len();
                if place.key != 0 || len == 0 || len > len_max {
                    violations.push(Violation::BadInline(place));
                }
            }
            FileExtent::Regular(slice) => self.check_slice(place, &slice, file, violations),
        }
    }

    fn check_slice(
        &self,
        place: Place,
        slice: &ExtentSlice,
        file: &File,
        violations: &mut Vec<Violation>,
    ) {
        if !is_aligned(slice.offset) || !is_aligned(slice.len) || slice.len == 0 {
            violations.push(Violation::Unaligned(place));
        }
        let slice_end = slice.offset.saturating_add(slice.len);
        let extent = self.extents.get_live(slice.extent);
        let Some(extent) = extent.filter(|extent| slice_end <= extent.ram_len()) else {
            violations.push(Violation::BeyondExtent(place));
            return;
        };
        if slice.kind == SliceKind::Prealloc {
            return;
        }
        if place.key >= align_up(file.item.size()) && !self.has_left_tails {
            violations.push(Violation::BeyondEof(place));
        }
        if file.item.is_nodatasum() && extent.has_any_csum(slice.offset, slice_end) {
            violations.push(Violation::UnwantedCsum(place));
        }
        if !file.item.is_nodatasum() && !extent.has_csums(slice.offset, slice_end) {
            violations.push(Violation::MissingCsum(place));
        }
    }
}

/// Checks what only shows once all items of a file have passed.
fn check_bytes(root: RootId, file: Option<File>, violations: &mut Vec<Violation>) {
    let Some(file) = file else { return };
    if file.nbytes != file.item.nbytes() {
        violations.push(Violation::WrongBytes {
            root,
            ino: file.ino,
            counted: file.item.nbytes(),
            found: file.nbytes,
        });
    }
}
