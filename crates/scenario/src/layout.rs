//! What lies below the map of a file, for a witness that adopts: [`Layout`].
//!
//! A map joins extents that touch on disk, and shows no dirty page that lies over an extent. Where
//! a kernel's choice is to become another witness's state, neither will do.

use crate::{TreeItem, TreePlace};

/// What the trees say of a file now, not as of the last commit, and which of its pages are dirty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The dirty pages as (start, end) in bytes: ascending, block multiples, not touching.
    pub dirty: Vec<(u64, u64)>,
    /// The file extent items, by offset.
    pub items: Vec<TreeItem>,
}

impl Layout {
    /// Returns whether both are the same but for where data is stored.
    #[must_use]
    pub fn is_alike(&self, other: &Layout) -> bool {
        let is_alike = |(one, two): (&TreeItem, &TreeItem)| {
            let places = match (one.place, two.place) {
                (
                    TreePlace::Extent {
                        is_prealloc,
                        disk_len,
                        skip,
                        ..
                    },
                    TreePlace::Extent {
                        is_prealloc: other_is_prealloc,
                        disk_len: other_disk_len,
                        skip: other_skip,
                        ..
                    },
                ) => {
                    (is_prealloc, disk_len, skip) == (other_is_prealloc, other_disk_len, other_skip)
                }
                (one, two) => one == two,
            };
            (one.offset, one.len, one.compression) == (two.offset, two.len, two.compression)
                && places
        };
        self.dirty == other.dirty
            && self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(is_alike)
    }
}
