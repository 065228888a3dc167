//! What changes file by file: [`Changes`].
//!
//! Storage belongs to nobody. So that sums are sums, each extent that goes counts for the first
//! file that refers to it, and each one that is written for the file that it is copied from. It
//! does not know what is in which directory.

use std::collections::BTreeMap;

use volume::FileId;

/// Bytes of data on disk that are given back and written, by file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<FileId, Change>);

/// What changes for one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Bytes of data on disk that are given back.
    pub freed_bytes: u64,
    /// Bytes of data that are written anew.
    pub written_bytes: u64,
}

impl Changes {
    /// Returns every file for which something changes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (FileId, Change)> {
        self.0.iter().map(|(file, change)| (*file, *change))
    }

    pub(crate) fn free(&mut self, file: FileId, bytes: u64) {
        self.0.entry(file).or_default().freed_bytes += bytes;
    }

    pub(crate) fn write(&mut self, file: FileId, bytes: u64) {
        self.0.entry(file).or_default().written_bytes += bytes;
    }

    /// Adds what changes besides.
    pub fn add(&mut self, others: &Changes) {
        for (file, change) in others.iter() {
            self.free(file, change.freed_bytes);
            self.write(file, change.written_bytes);
        }
    }

    /// Returns the sum of all.
    #[must_use]
    pub fn sum(&self) -> Change {
        let add = |sum: Change, change: &Change| Change {
            freed_bytes: sum.freed_bytes + change.freed_bytes,
            written_bytes: sum.written_bytes + change.written_bytes,
        };
        self.0.values().fold(Change::default(), add)
    }
}

impl Change {
    /// Returns by how much the used data bytes shrink; below zero they grow.
    #[must_use]
    pub fn net_bytes(&self) -> i64 {
        self.freed_bytes.cast_signed() - self.written_bytes.cast_signed()
    }
}
