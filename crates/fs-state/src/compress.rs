//! Compression: which parts of dirty data become compressed extents (`compress_file_range`,
//! fs/btrfs/inode.c), and what is known of those.
//!
//! What a compressor makes of bytes is not modelled. Whether a part came out smaller and how long
//! it is on disk are estimates, until somebody who saw a kernel do it tells better; everything else
//! follows from that.

use std::collections::BTreeMap;

use data::{Content, Digest, Fill};

use crate::ordered::{OrderedExtent, OrderedKind};
use crate::{BLOCK, ExtentId, FsState, InodeId, align_up};

/// What one worker compresses, bytes of contiguous dirty data (`ASYNC_CHUNK_SIZE`).
const CHUNK_LEN: u64 = 512 << 10;

/// The most that one compressed extent is read as, bytes (`BTRFS_MAX_UNCOMPRESSED`).
pub const UNIT_LEN_MAX: u64 = 128 << 10;

/// A part of a file that was handed to the compressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The file.
    pub inode: InodeId,
    /// First byte in the file, a block multiple.
    pub start: u64,
    /// Bytes, a block multiple, at most [`UNIT_LEN_MAX`].
    pub len: u64,
    /// Whether it became compressed. What did not is written as it is, and with it the rest of its
    /// chunk.
    pub is_compressed: bool,
    /// The extent to which it went, with its address; `None` if it went inline.
    pub extent: Option<(ExtentId, u64)>,
}

/// Names the compressed bytes of an inline item; a clone of the item has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineId(u32);

/// What is on disk of a compressed extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Bytes on disk, a block multiple less than the extent is read as.
    pub(crate) disk_len: u64,
    /// The digest of the checksums of what is on disk. While it is unknown, `disk_len` is an
    /// estimate.
    pub(crate) checksums: Option<Digest>,
}

/// The compressor, and what it made of data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compressor {
    /// What is known to become compressed and what not, by file and first byte.
    told: BTreeMap<(InodeId, u64), bool>,
    /// What it was asked for since somebody told something.
    units: Vec<Unit>,
    /// How long compressed inline items are, by number: an estimate while it is not known.
    inline_lens: Vec<InlineLen>,
}

#[derive(Clone, Copy, Debug)]
struct InlineLen {
    len: u64,
    is_known: bool,
}

impl Compressed {
    /// Returns the digest of the checksums of what is on disk, if it is known.
    pub fn checksums(&self) -> Option<Digest> {
        self.checksums
    }
}

impl FsState {
    /// Tells what will be seen to become compressed, and what not, by file and first byte; in the
    /// place of what was told before. Everything else is estimated.
    pub fn tell_compressed(&mut self, told: BTreeMap<(InodeId, u64), bool>) {
        self.compressor.told = told;
        self.compressor.units.clear();
    }

    /// Returns what was handed to the compressor since the last [`FsState::tell_compressed`], in
    /// order.
    pub fn compressed_units(&self) -> &[Unit] {
        &self.compressor.units
    }

    /// Takes over what a compressed extent is on disk, unless that is known: its length in bytes
    /// and the digest of its checksums. Returns whether it did; a length that it cannot have is not
    /// taken.
    pub fn adopt_compressed(&mut self, id: ExtentId, disk_len: u64, checksums: Digest) -> bool {
        let ram_len = self.extents.get(id).ram_len();
        let bytenr = self.extents.get(id).bytenr();
        let Some(compressed) = self.extents.compressed_mut(id) else {
            return false;
        };
        let is_possible = crate::is_aligned(disk_len) && (1..ram_len).contains(&disk_len);
        if compressed.checksums.is_some() || !is_possible {
            return false;
        }
        compressed.checksums = Some(checksums);
        let estimate = std::mem::replace(&mut compressed.disk_len, disk_len);
        self.correct_quota(bytenr, estimate, disk_len);
        true
    }

    /// Takes over how long a compressed inline item is, bytes, unless that is known. Returns
    /// whether it did; a length that it cannot have is not taken.
    pub fn adopt_inline_len(&mut self, id: InlineId, len: u64) -> bool {
        let is_possible = (1..=self.behaviour.max_inline).contains(&len);
        let known = &mut self.compressor.inline_lens[id.0 as usize];
        if known.is_known || !is_possible {
            return false;
        }
        let is_known = true;
        *known = InlineLen { len, is_known };
        true
    }

    /// Returns how many bytes a compressed inline item has in the tree, as far as that is known.
    pub fn inline_len(&self, id: InlineId) -> u64 {
        self.compressor.inline_lens[id.0 as usize].len
    }

    /// Returns whether `len` dirty bytes at `start` are handed to the compressor
    /// (`btrfs_inode_can_compress`, `inode_need_compress`): one block alone saves nothing, unless
    /// it goes inline.
    pub(crate) fn needs_compress(&self, id: InodeId, start: u64, len: u64) -> bool {
        let inode = self.inode(id);
        let can_compress = !inode.is_nodatacow && !inode.is_nodatasum;
        self.mount_options.compresses && can_compress && (start == 0 || len > BLOCK)
    }

    /// Writes a whole file inline before anything else is tried (`run_delalloc_inline`); returns
    /// whether it did. What is handed to the compressor goes inline compressed or not at all,
    /// though it may have become longer.
    pub(crate) fn write_inline_first(
        &mut self,
        id: InodeId,
        start: u64,
        content: &Content,
    ) -> bool {
        if !self.compresses_inline(id, start, content.len()) {
            let fits = self.goes_inline(id, start, content.len());
            if fits {
                self.write_inline(id, content, None);
            }
            return fits;
        }
        let estimate = estimate(&content.slice(0..self.inode(id).size));
        let pays = estimate <= self.behaviour.max_inline;
        let is_inline = self.compressor.told(id, start).unwrap_or(pays);
        if is_inline {
            let inline = self.compressor.add_inline(estimate);
            self.write_inline(id, content, Some(inline));
            self.note_unit(id, start, content.len(), true);
        }
        is_inline
    }

    /// Notes that what was tried to be put inline compressed went elsewhere.
    pub(crate) fn note_not_inline(&mut self, id: InodeId, start: u64, content: &Content) {
        let is_tried = self.behaviour.inlines_first;
        if is_tried && self.compresses_inline(id, start, content.len()) {
            self.note_unit(id, start, content.len(), false);
        }
    }

    /// Returns whether `len` bytes at `start` are a whole file that is handed to the compressor to
    /// go inline.
    fn compresses_inline(&self, id: InodeId, start: u64, len: u64) -> bool {
        let size = self.inode(id).size;
        let is_whole_file = start == 0 && size <= BLOCK && size <= len;
        is_whole_file && self.needs_compress(id, start, len)
    }

    /// Notes what was handed to the compressor, and where it went.
    fn note_unit(&mut self, id: InodeId, start: u64, len: u64, is_compressed: bool) {
        let ordered = self.inode(id).ordered.get(&start);
        let extent = ordered.map(|ordered| ordered.extent);
        self.compressor.units.push(Unit {
            inode: id,
            start,
            len,
            is_compressed,
            extent: extent.map(|extent| (extent, self.extents.get(extent).bytenr())),
        });
    }

    /// Writes `content` compressed where it pays. The workers send off what they write, whoever
    /// waits for it.
    pub(crate) fn run_delalloc_compressed(&mut self, id: InodeId, start: u64, content: &Content) {
        let end = content.len();
        for skip in (0..end).step_by(CHUNK_LEN as usize) {
            let chunk = content.slice(skip..end.min(skip + CHUNK_LEN));
            self.compress_file_range(id, start + skip, chunk);
        }
    }

    fn compress_file_range(&mut self, id: InodeId, start: u64, content: Content) {
        let end = start + content.len();
        let mut at = start;
        while at < end {
            let rest = content.slice(at - start..content.len());
            let len = rest.len().min(UNIT_LEN_MAX);
            if !self.needs_compress(id, at, end - at) {
                self.write_uncompressed(id, at, rest);
                return;
            }
            // Nothing behind EOF is compressed.
            let size = self.inode(id).size;
            let may_inline =
                !self.behaviour.inlines_first && self.compresses_inline(id, at, end - at);
            let unit_len = len.min(size.saturating_sub(at));
            let estimate = estimate(&rest.slice(0..unit_len));
            let pays = match may_inline {
                true => estimate < unit_len && estimate <= self.behaviour.max_inline,
                false => align_up(estimate) < len,
            };
            let told = self.compressor.told(id, at);
            // A single block is compressed inline or not at all.
            let is_compressed = told.unwrap_or(pays) && (may_inline || len > BLOCK);
            if is_compressed && may_inline {
                let inline = self.compressor.add_inline(estimate);
                self.write_inline(id, &rest, Some(inline));
            } else if is_compressed {
                let disk_len = align_up(estimate).clamp(BLOCK, len - BLOCK);
                self.write_compressed(id, at, rest.slice(0..len), disk_len);
            } else {
                self.write_uncompressed(id, at, rest);
            }
            self.note_unit(id, at, len, is_compressed);
            if !is_compressed || may_inline {
                return;
            }
            at += len;
        }
    }

    fn write_compressed(&mut self, id: InodeId, start: u64, content: Content, disk_len: u64) {
        let compressed = Compressed {
            disk_len,
            checksums: None,
        };
        let transid = self.transid;
        let extent = self
            .extents
            .allocate_compressed(content.clone(), transid, compressed);
        let ordered = OrderedExtent {
            extent,
            offset: 0,
            content,
            kind: OrderedKind::Cow,
            is_submitted: true,
        };
        self.inode_mut(id).ordered.insert(start, ordered);
    }

    /// Writes what did not become smaller (`submit_uncompressed_range`).
    fn write_uncompressed(&mut self, id: InodeId, start: u64, content: Content) {
        self.cow_file_range(id, start, content, true);
        if let Some(ordered) = self.inode_mut(id).ordered.get_mut(&start) {
            ordered.is_submitted = true;
        }
    }
}

impl Compressor {
    /// Returns whether a part is known to become compressed.
    fn told(&self, id: InodeId, start: u64) -> Option<bool> {
        self.told.get(&(id, start)).copied()
    }

    fn add_inline(&mut self, estimate: u64) -> InlineId {
        let id = u32::try_from(self.inline_lens.len()).expect("fewer than 2^32 inline items");
        self.inline_lens.push(InlineLen {
            len: estimate,
            is_known: false,
        });
        InlineId(id)
    }
}

/// What a compressed text begins and ends with, bytes.
const FRAME_LEN: u64 = 16;

/// What a run takes that says little, bytes; and what it takes if there is nothing else.
const RUN_LEN: u64 = 8;
const ONLY_RUN_LEN: u64 = 1;

/// Returns how many bytes `content` may be compressed: random bytes stay as they are, one byte many
/// times and what came before take next to nothing.
fn estimate(content: &Content) -> u64 {
    if let [only] = content.runs()
        && matches!(only.fill(), Fill::Byte(_))
    {
        return FRAME_LEN + ONLY_RUN_LEN;
    }
    let mut streams: Vec<(u64, u64, u64)> = Vec::new();
    let mut len = FRAME_LEN;
    for run in content.runs() {
        len += match run.fill() {
            Fill::Byte(_) => run.len().min(RUN_LEN),
            Fill::Literal { .. } => run.len(),
            Fill::Pattern { seed, at } => {
                let (from, to) = (*at, at.saturating_add(run.len()));
                let is_known = |(known, start, end): &(u64, u64, u64)| {
                    known == seed && *start <= from && to <= *end
                };
                let is_repeated = streams.iter().any(is_known);
                streams.push((*seed, from, to));
                match is_repeated {
                    true => run.len().min(RUN_LEN),
                    false => run.len(),
                }
            }
        };
    }
    len
}

#[cfg(test)]
mod tests;
