//! Reading: contents through the page cache, and the compare of two ranges.

use std::collections::BTreeMap;

use data::{Content, Digest};

use crate::{FileExtent, FsState, InodeId, SliceKind, align_up};

impl FsState {
    /// Returns the bytes of the file below EOF.
    pub fn content(&self, id: InodeId) -> Content {
        self.page_range(id, 0, self.inode(id).size)
    }

    /// Returns the digest of the bytes of the file below EOF; remembered until they change.
    pub fn content_digest(&mut self, id: InodeId) -> Digest {
        if let Some(digest) = self.inode(id).digest {
            return digest;
        }
        self.read_pages(id, 0, u64::MAX);
        let digest = self.content(id).digest();
        self.inode_mut(id).digest = Some(digest);
        digest
    }

    /// Returns the offset from the range's begin at which two ranges of `len` bytes first differ,
    /// as the page compare of a dedupe sees them: bytes behind EOF read as zeros.
    pub fn first_difference(
        &self,
        source: InodeId,
        source_offset: u64,
        target: InodeId,
        target_offset: u64,
        len: u64,
    ) -> Option<u64> {
        let mut done = 0;
        while done < len {
            let one = self.piece_at(source, source_offset + done, source_offset + len);
            let two = self.piece_at(target, target_offset + done, target_offset + len);
            let step = one.len.min(two.len);
            if let Some(at) = one.first_difference(&two, step) {
                return Some(done + at);
            }
            done += step;
        }
        None
    }

    /// Returns the bytes of `start..end` as pages show them: dirty pages over items over holes,
    /// zeros behind EOF.
    pub(crate) fn page_range(&self, id: InodeId, start: u64, end: u64) -> Content {
        let mut content = Content::zeros(0);
        let mut at = start;
        while at < end {
            let Piece { bytes, len } = self.piece_at(id, at, end);
            content.append(match bytes {
                Some((bytes, from)) => bytes.slice(from..from + len),
                None => Content::zeros(len),
            });
            at += len;
        }
        content
    }

    /// Returns what pages show from `at` on, as far as it lies in one place, at most up to `end`.
    fn piece_at(&self, id: InodeId, at: u64, end: u64) -> Piece<'_> {
        let inode = self.inode(id);
        if at >= inode.size {
            return Piece::zeros(end - at);
        }
        let mut end = end.min(inode.size);
        if let Some(piece) = in_memory(&inode.dirty, at, &mut end, |dirty| dirty) {
            return piece;
        }
        if let Some(piece) = in_memory(&inode.ordered, at, &mut end, |ordered| &ordered.content) {
            return piece;
        }
        let Some((key, item)) = self.item_at_or_behind(id, at).filter(|(key, _)| *key < end) else {
            return Piece::zeros(end - at);
        };
        if key > at {
            return Piece::zeros(key - at);
        }
        match item {
            FileExtent::Inline(inline) if at - key < inline.content.len() => {
                Piece::of(&inline.content, at - key, end - at)
            }
            FileExtent::Regular(slice) if slice.kind == SliceKind::Written => {
                let skip = at - key;
                let len = (slice.len - skip).min(end - at);
                let content = self.extents.get(slice.extent).content();
                Piece::of(content, slice.offset + skip, len)
            }
            FileExtent::Inline(_) | FileExtent::Regular(_) => {
                Piece::zeros(align_up(item.end(key)).min(end) - at)
            }
        }
    }
}

/// A stretch of a file whose bytes lie in one place.
struct Piece<'a> {
    /// Where they lie, and the first of them there; `None` for zeros.
    bytes: Option<(&'a Content, u64)>,
    /// Bytes, more than 0.
    len: u64,
}

impl<'a> Piece<'a> {
    fn zeros(len: u64) -> Piece<'a> {
        Piece { bytes: None, len }
    }

    /// Returns at most `len_max` bytes of `content` from `from` on.
    fn of(content: &'a Content, from: u64, len_max: u64) -> Piece<'a> {
        Piece {
            bytes: Some((content, from)),
            len: len_max.min(content.len() - from),
        }
    }

    /// Returns where the first `len` bytes of both differ, which both have.
    fn first_difference(&self, other: &Piece<'_>, len: u64) -> Option<u64> {
        match (self.bytes, other.bytes) {
            (Some((one, at)), Some((two, other_at))) => {
                one.first_difference(at, two, other_at, len)
            }
            (Some((bytes, at)), None) | (None, Some((bytes, at))) => {
                bytes.first_difference(at, &Content::zeros(len), 0, len)
            }
            (None, None) => None,
        }
    }
}

/// Returns the bytes at `at` if they are among those of `map`, which lie by file offset and do not
/// overlap; else moves `end` to where the next ones begin.
fn in_memory<'a, T>(
    map: &'a BTreeMap<u64, T>,
    at: u64,
    end: &mut u64,
    content: impl Fn(&T) -> &Content,
) -> Option<Piece<'a>> {
    if map.is_empty() {
        return None;
    }
    if let Some((key, covering)) = map.range(..=at).next_back()
        && at - key < content(covering).len()
    {
        return Some(Piece::of(content(covering), at - key, *end - at));
    }
    if let Some((&next, _)) = map.range(at..*end).next() {
        *end = next;
    }
    None
}
