//! Subvolume trees as pages of files: [`Pages`].
//!
//! One pass over each tree in the order of its keys; an inode item comes before the file extent
//! items of the inode.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ondisk::{Compression as Kind, FileExtentItem, FileExtentPlace, InodeFlags, InodeItem};
use ondisk::{Key, SearchItem, TreeId};
use rustix::fs::FileType;
use volume::{Compression, Extent, File, FileExtent, FileId, Page, Place, Position, VolumeError};

use super::trees::{Size, Trees, damaged, inodes_from};

/// A page is full with so many file extents or files.
const PAGE_LEN: usize = 1 << 16;

/// Which inodes of a subvolume are in scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RootScope {
    /// All of them.
    All,
    /// These, in order.
    Some(Vec<u64>),
}

impl RootScope {
    fn has(&self, inode: u64) -> bool {
        match self {
            RootScope::All => true,
            RootScope::Some(inodes) => inodes.binary_search(&inode).is_ok(),
        }
    }
}

/// What of the filesystem is in scope, and how long it took to look at it.
#[derive(Debug)]
pub(super) struct Pages {
    /// The subvolumes.
    roots: BTreeMap<u64, RootScope>,
    min_bytes: u64,
    /// Time spent in all pages so far: what another pass over the trees would take.
    pub(super) spent: Duration,
}

impl Pages {
    pub(super) fn new(roots: BTreeMap<u64, RootScope>, min_bytes: u64) -> Pages {
        Pages {
            roots,
            min_bytes,
            spent: Duration::ZERO,
        }
    }

    /// Fills `page` from `from` on; returns where the next one begins.
    pub(super) fn next(
        &mut self,
        trees: &mut Trees,
        from: Position,
        newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        page.clear();
        let start = Instant::now();
        let mut from = from;
        let next = loop {
            let Some((&root, scope)) = self.roots.range(from.root..).next() else {
                break None;
            };
            if from.root != root {
                from = Position {
                    root,
                    ..Position::default()
                };
            }
            let mut walk = Walk {
                trees,
                root,
                scope,
                min_bytes: self.min_bytes,
                page,
            };
            let next = match newer_than {
                0 => walk.all(from)?,
                transid => walk.changed(from, transid)?,
            };
            if next.is_some() {
                break next;
            }
            from = Position {
                root: root + 1,
                ..Position::default()
            };
            if is_full(page) {
                break Some(from);
            }
        };
        self.spent += start.elapsed();
        Ok(next)
    }
}

fn is_full(page: &Page) -> bool {
    PAGE_LEN <= page.file_extents.len().max(page.files.len())
}

/// A pass over one subvolume.
struct Walk<'a> {
    trees: &'a mut Trees,
    root: u64,
    scope: &'a RootScope,
    min_bytes: u64,
    page: &'a mut Page,
}

impl Walk<'_> {
    /// Adds everything from `from` on, until the page is full.
    fn all(&mut self, from: Position) -> Result<Option<Position>, VolumeError> {
        let tree = TreeId(self.root);
        let mut current = None;
        let mut range = inodes_from(from.inode, 0, 0);
        if 0 < from.offset {
            current = self.resumed(from.inode)?;
            range = inodes_from(from.inode, Key::EXTENT_DATA, from.offset);
        }
        let mut left = Some(range);
        while let Some(range) = left {
            let nr_items = self.trees.search(Size::Large, tree, range, 0)?;
            if nr_items == 0 {
                return Ok(None);
            }
            let mut last = range.first;
            // The items borrow the buffer, the page is another field.
            let (page, scope, min_bytes) = (&mut *self.page, self.scope, self.min_bytes);
            for item in self.trees.items(Size::Large, nr_items) {
                let item = item.map_err(|error| damaged(tree, last, &error))?;
                last = item.key;
                let added = add(page, scope, min_bytes, self.root, &mut current, &item);
                added.map_err(|error| damaged(tree, last, &error))?;
            }
            if is_full(page) {
                return Ok(Some(self.behind(last, current)));
            }
            left = range.behind(last);
        }
        Ok(None)
    }

    /// Adds the file in the middle of which a page ended.
    fn resumed(&mut self, inode: u64) -> Result<Option<u64>, VolumeError> {
        let item = self.trees.inode(self.root, inode)?;
        let file = item.map(|item| file_of(self.root, inode, &item));
        let is_wanted = |file: &File| self.scope.has(inode) && self.min_bytes <= file.size;
        let file = file.filter(is_wanted);
        Ok(file.map(|file| {
            self.page.push_file(file);
            inode
        }))
    }

    /// Returns where to go on behind the item `last`, if file extents of `current` were wanted.
    fn behind(&mut self, last: Key, current: Option<u64>) -> Position {
        let id = FileId {
            root: self.root,
            inode: last.object,
        };
        if current != Some(last.object) || Key::EXTENT_DATA < last.kind {
            return Position::behind(id);
        }
        if last.kind == Key::EXTENT_DATA {
            return Position {
                offset: last.offset.saturating_add(1),
                ..Position::of(id)
            };
        }
        // Its file extents have not been seen yet.
        self.page.files.pop();
        Position::of(id)
    }

    /// Adds the files that a transaction behind `transid` changed, until the page is full.
    fn changed(&mut self, from: Position, transid: u64) -> Result<Option<Position>, VolumeError> {
        let mut inodes = Vec::new();
        let tree = TreeId(self.root);
        let range = inodes_from(from.inode, 0, 0);
        // A leaf that the transaction itself changed may have later changes, too.
        self.trees.each(Size::Large, tree, range, transid, |item| {
            if item.key.kind == Key::INODE_ITEM {
                let inode = InodeItem::decode(item.bytes)?;
                if transid < inode.transid {
                    inodes.push(item.key.object);
                }
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        for inode in inodes {
            if is_full(self.page) {
                let id = FileId {
                    root: self.root,
                    inode,
                };
                return Ok(Some(Position::of(id)));
            }
            let mut current = None;
            let mut range = inodes_from(inode, 0, 0);
            range.last.object = inode;
            let (page, scope, min_bytes) = (&mut *self.page, self.scope, self.min_bytes);
            let root = self.root;
            self.trees.each(Size::Small, tree, range, 0, |item| {
                add(page, scope, min_bytes, root, &mut current, item)?;
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
        }
        Ok(None)
    }
}

/// Adds what an item says to the page. `current` is the file that file extents are wanted of.
fn add(
    page: &mut Page,
    scope: &RootScope,
    min_bytes: u64,
    root: u64,
    current: &mut Option<u64>,
    item: &SearchItem<'_>,
) -> Result<(), ondisk::ItemError> {
    let inode = item.key.object;
    match item.key.kind {
        Key::INODE_ITEM => {
            *current = None;
            let inode_item = InodeItem::decode(item.bytes)?;
            let is_wanted = is_file(&inode_item)
                && 0 < inode_item.nlink
                && min_bytes <= inode_item.size
                && scope.has(inode);
            if is_wanted {
                page.push_file(file_of(root, inode, &inode_item));
                *current = Some(inode);
            }
        }
        Key::EXTENT_DATA if *current == Some(inode) => {
            let file_extent = FileExtentItem::decode(item.bytes)?;
            page.push_extent(file_extent_of(item.key.offset, &file_extent));
        }
        _ => {}
    }
    Ok(())
}

/// Returns whether an inode is a regular file.
pub(super) fn is_file(item: &InodeItem) -> bool {
    FileType::from_raw_mode(item.mode) == FileType::RegularFile
}

/// Returns what an inode item says. Root may have everything deduped but what is immutable; an
/// inode without a name is about to go.
pub(super) fn file_of(root: u64, inode: u64, item: &InodeItem) -> File {
    File {
        id: FileId { root, inode },
        size: item.size,
        is_nodatasum: item.flags.has(InodeFlags::NODATASUM),
        is_movable: is_file(item) && 0 < item.nlink && !item.flags.has(InodeFlags::IMMUTABLE),
        generation: item.transid,
    }
}

/// Returns what a file extent item says.
pub(super) fn file_extent_of(offset: u64, item: &FileExtentItem) -> FileExtent {
    let (len, place) = match item.place {
        FileExtentPlace::Inline { .. } => (item.ram_bytes, Place::Inline),
        FileExtentPlace::Hole { len } => (len, Place::Hole),
        FileExtentPlace::Extent {
            is_prealloc,
            bytenr,
            disk_len,
            offset: within,
            len,
        } => {
            let compression = compression_of(item.compression);
            let extent = Extent {
                address: bytenr,
                disk_bytes: disk_len,
                ram_bytes: match compression {
                    Compression::None => disk_len,
                    Compression::Algorithm(_) => item.ram_bytes,
                },
                compression,
            };
            let place = match is_prealloc {
                true => Place::Preallocated { extent, within },
                false => Place::Data { extent, within },
            };
            (len, place)
        }
    };
    FileExtent {
        offset,
        len,
        generation: item.generation,
        place,
    }
}

fn compression_of(kind: Kind) -> Compression {
    match kind {
        Kind::None => Compression::None,
        Kind::Zlib => Compression::Algorithm(1),
        Kind::Lzo => Compression::Algorithm(2),
        Kind::Zstd => Compression::Algorithm(3),
    }
}
