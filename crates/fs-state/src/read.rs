//! Reading: contents through the page cache, and the compare of two ranges.

use data::{Content, Digest};

use crate::{FileExtent, FsState, Inode, InodeId, SliceKind, align_up};

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
        self.look_up_holes(id, 0, self.inode(id).size);
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
        let left = self.page_range(source, source_offset, source_offset + len);
        let right = self.page_range(target, target_offset, target_offset + len);
        left.first_difference(0, &right, 0, len)
    }

    /// Returns the bytes of `start..end` as pages show them: dirty pages over items over holes,
    /// zeros behind EOF.
    pub(crate) fn page_range(&self, id: InodeId, start: u64, end: u64) -> Content {
        let inode = self.inode(id);
        let mut content = Content::zeros(0);
        if start >= end {
            return content;
        }
        let data_end = end.min(inode.size).max(start);
        let mut at = start;
        let covering = inode.dirty.range(..=start).next_back();
        let first = covering.filter(|(key, dirty)| **key + dirty.len() > start);
        let rest = inode
            .dirty
            .range(start.saturating_add(1)..data_end.max(start + 1));
        for (&key, dirty) in first.into_iter().chain(rest) {
            if key >= data_end {
                break;
            }
            if key > at {
                self.append_ordered(inode, at, key, &mut content);
                at = key;
            }
            let to = (key + dirty.len()).min(data_end);
            if to > at {
                content.append(dirty.slice(at - key..to - key));
                at = to;
            }
        }
        self.append_ordered(inode, at, data_end, &mut content);
        if end > data_end {
            content.append(Content::zeros(end - data_end));
        }
        content
    }

    fn append_ordered(&self, inode: &Inode, start: u64, end: u64, content: &mut Content) {
        let mut at = start;
        for (&key, ordered) in inode.ordered.range(..end) {
            let to = (key + ordered.content.len()).min(end);
            if to <= at {
                continue;
            }
            if key > at {
                self.append_items(inode, at, key, content);
                at = key;
            }
            content.append(ordered.content.slice(at - key..to - key));
            at = to;
        }
        self.append_items(inode, at, end, content);
    }

    fn append_items(&self, inode: &Inode, start: u64, end: u64, content: &mut Content) {
        let mut at = start;
        while at < end {
            let Some((key, item)) = inode.item_at_or_behind(at).filter(|(key, _)| *key < end)
            else {
                content.append(Content::zeros(end - at));
                return;
            };
            if key > at {
                content.append(Content::zeros(key - at));
                at = key;
            }
            let to = align_up(item.end(key)).min(end);
            match item {
                FileExtent::Inline(bytes) => {
                    let data_to = to.min(bytes.len()).max(at);
                    content.append(bytes.slice(at.min(bytes.len())..data_to.min(bytes.len())));
                    content.append(Content::zeros(to - data_to));
                }
                FileExtent::Regular(slice) if slice.kind == SliceKind::Written => {
                    let from = slice.offset + (at - key);
                    content.append(
                        self.extents
                            .get(slice.extent)
                            .content
                            .slice(from..from + (to - at)),
                    );
                }
                FileExtent::Regular(_) => content.append(Content::zeros(to - at)),
            }
            at = to;
        }
    }
}
