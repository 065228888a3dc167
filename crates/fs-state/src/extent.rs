//! Data extents: storage, back references with counts, checksum coverage.

mod counting;
mod ram_bytes;
mod referrer;

use std::num::NonZeroU32;

use data::Content;
use smallvec::SmallVec;

use crate::compress::Compressed;
use counting::Pending;
pub(crate) use referrer::{CountedRef, Referrer};

/// Index of a data extent in its table. Reused after the extent is freed; its `bytenr` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtentId(pub(crate) u32);

/// A data extent.
#[derive(Clone, Debug)]
pub struct Extent {
    bytenr: u64,
    content: Content,
    generation: u64,
    /// Ranges of the extent that have checksum items, in bytes, sorted, not touching.
    csums: SmallVec<[(u64, u64); 1]>,
    refs: SmallVec<[CountedRef; 1]>,
    /// Index in [`ExtentTable::pending`], if the running transaction changed the references.
    pending_idx: Option<NonZeroU32>,
    /// [`Extent::item_ram_bytes`] in blocks, if that is less than its length.
    ram_blocks: Option<NonZeroU32>,
    /// What it is on disk, if it is compressed there.
    compressed: Option<Box<Compressed>>,
}

impl Extent {
    /// Returns the virtual address of the first byte. It is never given to another extent.
    pub fn bytenr(&self) -> u64 {
        self.bytenr
    }

    /// Returns the bytes on disk, a block multiple.
    #[expect(clippy::len_without_is_empty, reason = "an extent is never empty")]
    pub fn len(&self) -> u64 {
        let compressed = self.compressed.as_deref();
        compressed.map_or(self.ram_len(), |compressed| compressed.disk_len)
    }

    /// Returns the bytes that are read from it, a block multiple (`ram_bytes`).
    pub fn ram_len(&self) -> u64 {
        self.content.len()
    }

    /// Returns whether the bytes are compressed on disk.
    pub fn is_compressed(&self) -> bool {
        self.compressed.is_some()
    }

    /// Returns what is on disk, if that is compressed.
    pub fn compressed(&self) -> Option<&Compressed> {
        self.compressed.as_deref()
    }

    /// Returns what is stored; zeros where a preallocated extent was not written yet.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Returns the transaction that allocated it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the ranges of the extent that have checksums, as (start, end) in bytes as they are
    /// read, sorted, not touching. What is compressed has them on all that is on disk.
    pub fn csum_ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.csums.iter().copied()
    }

    /// Returns the references as they are counted.
    pub(crate) fn refs(&self) -> &[CountedRef] {
        &self.refs
    }

    /// Returns whether all of `start..end` (bytes of the extent) has checksums.
    pub fn has_csums(&self, start: u64, end: u64) -> bool {
        self.csums
            .iter()
            .any(|&(from, to)| from <= start && end <= to)
    }

    /// Returns whether any of `start..end` (bytes of the extent) has checksums.
    pub fn has_any_csum(&self, start: u64, end: u64) -> bool {
        self.csums
            .iter()
            .any(|&(from, to)| from < end && start < to)
    }

    fn add_csums(&mut self, start: u64, end: u64) {
        let mut merged = (start, end);
        self.csums.retain(|&mut (from, to)| {
            let touches = from <= merged.1 && merged.0 <= to;
            if touches {
                merged = (merged.0.min(from), merged.1.max(to));
            }
            !touches
        });
        let at = self.csums.partition_point(|&(from, _)| from < merged.0);
        self.csums.insert(at, merged);
    }
}

/// All data extents of a filesystem.
#[derive(Clone, Debug)]
pub struct ExtentTable {
    /// No extent item gets as long as this, bytes.
    extent_item_len_max: usize,
    extents: Vec<Option<Extent>>,
    free: Vec<u32>,
    /// What waits for the commit; the first one is never used, so that indexes are not 0.
    pending: Vec<Pending>,
    next_bytenr: u64,
    /// Moves when somebody begins to walk back references, as FIEMAP does for its SHARED flag:
    /// delayed references queued before and after are kept apart (`btrfs_get_tree_mod_seq`).
    tree_mod_seq: u32,
}

/// Virtual addresses start here, where a fresh filesystem's first data chunk usually does.
const FIRST_BYTENR: u64 = 13_631_488;

impl ExtentTable {
    /// Returns an empty table on a filesystem with nodes of this size.
    pub(crate) fn of_nodes(node_bytes: u32) -> ExtentTable {
        ExtentTable {
            // BTRFS_MAX_EXTENT_ITEM_SIZE: headers of nodes have 101 bytes, those of items 25.
            extent_item_len_max: (node_bytes as usize - 101) / 16 - 25,
            extents: Vec::new(),
            free: Vec::new(),
            pending: Vec::new(),
            next_bytenr: 0,
            tree_mod_seq: 0,
        }
    }

    /// Returns the extent.
    ///
    /// # Panics
    /// If `id` does not name a live extent: items never outlive what they refer to.
    #[inline]
    pub fn get(&self, id: ExtentId) -> &Extent {
        self.extents[id.0 as usize]
            .as_ref()
            .expect("an item refers to a live extent")
    }

    /// Returns the extent, if `id` names a live one.
    pub(crate) fn get_live(&self, id: ExtentId) -> Option<&Extent> {
        self.extents.get(id.0 as usize)?.as_ref()
    }

    /// Returns how many extents there were at most.
    pub(crate) fn nr_slots(&self) -> usize {
        self.extents.len()
    }

    #[inline]
    fn get_mut(&mut self, id: ExtentId) -> &mut Extent {
        self.extents[id.0 as usize]
            .as_mut()
            .expect("an item refers to a live extent")
    }

    /// Returns all live extents.
    pub fn iter(&self) -> impl Iterator<Item = (ExtentId, &Extent)> {
        let live = |(idx, slot): (usize, &'_ Option<Extent>)| {
            slot.as_ref()
                .map(|_| ExtentId(u32::try_from(idx).expect("ids are u32")))
        };
        self.extents
            .iter()
            .enumerate()
            .filter_map(live)
            .map(|id| (id, self.get(id)))
    }

    /// Allocates an extent of `len` bytes holding `content`, without references yet.
    pub(crate) fn allocate(&mut self, content: Content, generation: u64) -> ExtentId {
        let len = content.len();
        debug_assert!(len > 0 && crate::is_aligned(len));
        self.next_bytenr = self.next_bytenr.max(FIRST_BYTENR);
        let extent = Extent {
            bytenr: self.next_bytenr,
            content,
            generation,
            csums: SmallVec::new(),
            refs: SmallVec::new(),
            pending_idx: None,
            ram_blocks: None,
            compressed: None,
        };
        // Extents never touch: an address that goes on is within one extent.
        self.next_bytenr += len + crate::BLOCK;
        match self.free.pop() {
            Some(idx) => {
                self.extents[idx as usize] = Some(extent);
                ExtentId(idx)
            }
            None => {
                self.extents.push(Some(extent));
                ExtentId(u32::try_from(self.extents.len() - 1).expect("fewer than 2^32 extents"))
            }
        }
    }

    /// Allocates an extent that holds `content` compressed.
    pub(crate) fn allocate_compressed(
        &mut self,
        content: Content,
        generation: u64,
        compressed: Compressed,
    ) -> ExtentId {
        let id = self.allocate(content, generation);
        self.get_mut(id).compressed = Some(Box::new(compressed));
        id
    }

    /// Returns what is on disk of a compressed extent, to be put right.
    pub(crate) fn compressed_mut(&mut self, id: ExtentId) -> Option<&mut Compressed> {
        let extent = self.extents.get_mut(id.0 as usize)?.as_mut()?;
        extent.compressed.as_deref_mut()
    }

    /// Frees an extent to which nothing refers yet.
    pub(crate) fn discard(&mut self, id: ExtentId) {
        debug_assert!(self.get(id).refs.is_empty());
        self.extents[id.0 as usize] = None;
        self.free.push(id.0);
    }

    /// Overwrites `content` at `offset` in place, as a NOCOW write does.
    pub(crate) fn overwrite(&mut self, id: ExtentId, offset: u64, content: Content) {
        self.get_mut(id).content.overwrite(offset, content);
    }

    /// Adds checksum items for `start..end` bytes of the extent.
    pub(crate) fn add_csums(&mut self, id: ExtentId, start: u64, end: u64) {
        self.get_mut(id).add_csums(start, end);
    }
}
