//! Inodes: attributes, file extent items, dirty pages.

use std::collections::BTreeMap;

use data::{Content, Digest};

use crate::RootId;
use crate::hole_maps::HoleMaps;
use crate::inline_map::InlineMap;
use crate::ordered::OrderedExtent;
use crate::page_cache::CachedPages;

/// Index of an inode in its filesystem. Stable while the inode lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(pub u32);

/// What kind of inode it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A fifo.
    Fifo,
}

/// An attribute that `FS_IOC_SETFLAGS` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// `FS_NOCOW_FL`: takes effect on empty files only and brings NODATASUM along.
    Nocow,
    /// `FS_IMMUTABLE_FL`.
    Immutable,
    /// `FS_APPEND_FL`.
    Append,
}

/// What `fstat(2)` tells. Stamps are values of a logical clock that moves with every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeStat {
    /// The kind.
    pub kind: Kind,
    /// `i_size`, bytes.
    pub size: u64,
    /// `st_blocks`, units of 512 bytes.
    pub blocks: u64,
    /// The low twelve bits of the mode.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// Stamp of the last modification.
    pub mtime: u64,
    /// Stamp of the last change.
    pub ctime: u64,
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Inode {
    pub(crate) root: RootId,
    pub(crate) ino: u64,
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    /// How many names it has.
    pub(crate) nr_links: u32,
    pub(crate) size: u64,
    /// `disk_i_size`: the size without what buffered writes that are still dirty added.
    pub(crate) disk_size: u64,
    pub(crate) is_nodatacow: bool,
    pub(crate) is_nodatasum: bool,
    pub(crate) is_immutable: bool,
    pub(crate) is_append: bool,
    /// `BTRFS_INODE_PREALLOC`: something was preallocated once, writeback looks before it COWs.
    pub(crate) has_prealloc: bool,
    /// `BTRFS_INODE_FLUSH_ON_CLOSE`: it was truncated to nothing since the last close.
    pub(crate) flushes_on_close: bool,
    pub(crate) mtime: u64,
    pub(crate) ctime: u64,
    /// Bytes of the items (`inode_get_bytes`).
    pub(crate) nbytes: u64,
    /// Dirty pages by file offset: block-aligned, not overlapping, not touching.
    pub(crate) dirty: BTreeMap<u64, Content>,
    /// Ordered extents that nobody waited for yet, by file offset.
    pub(crate) ordered: BTreeMap<u64, OrderedExtent>,
    /// The transaction in which the inode item last changed.
    pub(crate) last_trans: u64,
    /// Whether the next fsync logs all items: the inode is new or was truncated.
    pub(crate) needs_full_sync: bool,
    /// Pages in the page cache.
    pub(crate) cached: CachedPages,
    /// Holes in the extent map cache.
    pub(crate) hole_maps: HoleMaps,
    /// The inline item in the extent map cache, if it is there.
    pub(crate) inline_map: Option<InlineMap>,
    /// The digest of the contents, until they change.
    pub(crate) digest: Option<Digest>,
    /// Whether the item in the tree may say something else.
    pub(crate) is_item_old: bool,
}

/// A range whose bytes no item has yet: dirty pages, or an ordered extent that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unwritten {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_ordered: bool,
}

impl Inode {
    pub(crate) fn new(root: RootId, ino: u64, kind: Kind, mode: u16, stamp: u64) -> Inode {
        Inode {
            root,
            ino,
            kind,
            mode,
            uid: 0,
            nr_links: 1,
            size: 0,
            disk_size: 0,
            is_nodatacow: false,
            is_nodatasum: false,
            is_immutable: false,
            is_append: false,
            has_prealloc: false,
            flushes_on_close: false,
            mtime: stamp,
            ctime: stamp,
            nbytes: 0,
            dirty: BTreeMap::new(),
            ordered: BTreeMap::new(),
            last_trans: 0,
            needs_full_sync: true,
            cached: CachedPages::default(),
            hole_maps: HoleMaps::default(),
            inline_map: None,
            digest: None,
            is_item_old: false,
        }
    }

    /// Returns the root whose tree holds the inode.
    pub fn root(&self) -> RootId {
        self.root
    }

    /// Returns the inode number within its root.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the low twelve bits of the mode.
    pub fn mode(&self) -> u16 {
        self.mode
    }

    /// Returns the owner.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Returns how many names the inode has.
    pub fn nr_links(&self) -> u32 {
        self.nr_links
    }

    /// Returns `i_size` in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns whether the inode's data has no checksums.
    pub fn is_nodatasum(&self) -> bool {
        self.is_nodatasum
    }

    /// Returns whether the inode's data is overwritten in place where possible.
    pub fn is_nodatacow(&self) -> bool {
        self.is_nodatacow
    }

    /// Returns whether the inode is immutable.
    pub fn is_immutable(&self) -> bool {
        self.is_immutable
    }

    /// Returns whether the inode is append-only.
    pub fn is_append(&self) -> bool {
        self.is_append
    }

    /// Returns how many bytes the items cover, inline ones not rounded.
    pub fn nbytes(&self) -> u64 {
        self.nbytes
    }

    /// Returns whether something was preallocated once.
    pub fn has_prealloc(&self) -> bool {
        self.has_prealloc
    }

    /// Returns the ranges that are dirty or on their way to disk, in file order as (offset, length)
    /// in bytes; touching ones are told apart.
    pub(crate) fn unwritten_ranges(&self) -> Vec<Unwritten> {
        let range = |start, len, is_ordered| Unwritten {
            start,
            end: start + len,
            is_ordered,
        };
        let dirty = self.dirty_ranges();
        let mut ranges: Vec<_> = dirty.map(|(start, len)| range(start, len, false)).collect();
        let ordered = self.ordered.iter();
        ranges.extend(ordered.map(|(&start, ordered)| range(start, ordered.content.len(), true)));
        ranges.sort_unstable_by_key(|range| range.start);
        ranges
    }

    /// Returns the dirty ranges in file order as (offset, length) in bytes.
    pub fn dirty_ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.dirty
            .iter()
            .map(|(&start, content)| (start, content.len()))
    }

    /// Makes `content` dirty at the block-aligned `start`. Its length is a block multiple.
    pub(crate) fn set_dirty(&mut self, start: u64, content: Content) {
        debug_assert!(crate::is_aligned(start) && crate::is_aligned(content.len()));
        if content.is_empty() {
            return;
        }
        let end = start + content.len();
        let mut merged_start = start;
        let mut merged = content;
        let touching = self.dirty.range(..start).next_back();
        if let Some((&before, dirty)) = touching
            && before + dirty.len() >= start
        {
            let mut head = self.dirty.remove(&before).expect("just found");
            let tail = head.len().saturating_sub(end - before);
            let rest = (tail > 0).then(|| head.slice(head.len() - tail..head.len()));
            head.truncate(start - before);
            head.append(merged);
            if let Some(rest) = rest {
                head.append(rest);
            }
            merged_start = before;
            merged = head;
        }
        let mut merged_end = merged_start + merged.len();
        while let Some((&next, _)) = self.dirty.range(merged_start..=merged_end).next() {
            let dirty = self.dirty.remove(&next).expect("just found");
            let dirty_end = next + dirty.len();
            if dirty_end > merged_end {
                merged.append(dirty.slice(merged_end - next..dirty.len()));
                merged_end = dirty_end;
            }
        }
        self.dirty.insert(merged_start, merged);
    }

    /// Takes the dirty pages of `start..end` out; the rest of a cut range stays dirty.
    pub(crate) fn take_dirty(&mut self, start: u64, end: u64) -> Vec<(u64, Content)> {
        let mut taken = Vec::new();
        if let Some((&before, dirty)) = self.dirty.range_mut(..start).next_back()
            && before + dirty.len() > start
        {
            let len = dirty.len();
            let inside = dirty.slice(start - before..len.min(end - before));
            let behind = (before + len > end).then(|| dirty.slice(end - before..len));
            dirty.truncate(start - before);
            taken.push((start, inside));
            if let Some(behind) = behind {
                self.dirty.insert(end, behind);
            }
        }
        while let Some((&key, _)) = self.dirty.range(start..end).next() {
            let mut content = self.dirty.remove(&key).expect("just found");
            if key + content.len() > end {
                self.dirty
                    .insert(end, content.slice(end - key..content.len()));
                content.truncate(end - key);
            }
            taken.push((key, content));
        }
        taken
    }
}
