//! What lies below the map of a file, for a witness that adopts: [`Layout`].
//!
//! A map joins extents that touch on disk, and shows no dirty page that lies over an extent. Where
//! a kernel's choice is to become another witness's state, neither will do.

use crate::text::Size;
use crate::trees::TreePair;
use crate::{MapRun, TreeItem, TreePlace};

/// What the trees say of a file now, not as of the last commit, and which of its pages are dirty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The dirty pages as (start, end) in bytes: ascending, block multiples, not touching.
    pub dirty: Vec<(u64, u64)>,
    /// The file extent items, by offset.
    pub items: Vec<TreeItem>,
}

impl Layout {
    /// Takes what the map of the file shows as delalloc for dirty, too: of an ordered extent that
    /// is not finished, those pages are clean whose own writeback is over.
    pub fn add_delalloc(&mut self, map: &[MapRun]) {
        let delalloc = map.iter().filter(|run| run.flags.is_delalloc);
        self.dirty
            .extend(delalloc.map(|run| (run.offset, run.offset + run.len)));
        self.dirty.sort_unstable();
        self.dirty.dedup_by(|next, last| {
            let is_joined = next.0 <= last.1;
            if is_joined {
                last.1 = last.1.max(next.1);
            }
            is_joined
        });
    }

    /// Returns whether both are the same but for where data is stored.
    #[must_use]
    pub fn is_alike(&self, other: &Layout) -> bool {
        first_odd(&self.dirty, &other.dirty, PartialEq::eq).is_none()
            && first_odd(&self.items, &other.items, is_alike).is_none()
    }

    /// Returns the first dirty pages, or else the first items, in which both are not alike.
    #[must_use]
    pub fn first_difference(&self, other: &Layout) -> Option<TreePair> {
        if let Some((left, right)) = first_odd(&self.dirty, &other.dirty, PartialEq::eq) {
            let line =
                |(start, end): &(u64, u64)| format!("dirty {}..{}", Size(*start), Size(*end));
            return Some(TreePair {
                left: left.map(line),
                right: right.map(line),
            });
        }
        let (left, right) = first_odd(&self.items, &other.items, is_alike)?;
        let line = |item| crate::text::file_item(item, |extent| format!("@{}", Size(extent.0)));
        Some(TreePair {
            left: left.map(line),
            right: right.map(line),
        })
    }
}

/// Returns whether two items are the same but for where the extent is stored.
fn is_alike(one: &TreeItem, two: &TreeItem) -> bool {
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
        ) => (is_prealloc, disk_len, skip) == (other_is_prealloc, other_disk_len, other_skip),
        (one, two) => one == two,
    };
    (one.offset, one.len, one.compression) == (two.offset, two.len, two.compression) && places
}

/// What two lists have at one place; `None` behind the end.
type Odd<'l, T> = (Option<&'l T>, Option<&'l T>);

/// Returns the first place at which two lists are not alike, if there is one.
fn first_odd<'l, T>(
    left: &'l [T],
    right: &'l [T],
    is_alike: impl Fn(&T, &T) -> bool,
) -> Option<Odd<'l, T>> {
    let pairs = left.iter().zip(right);
    let nth = pairs.take_while(|(one, two)| is_alike(one, two)).count();
    match (left.get(nth), right.get(nth)) {
        (None, None) => None,
        odd => Some(odd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MapFlags;

    fn run(offset: u64, len: u64, is_delalloc: bool) -> MapRun {
        MapRun {
            offset,
            len,
            storage: None,
            flags: MapFlags {
                is_delalloc,
                ..MapFlags::default()
            },
        }
    }

    #[test]
    fn what_a_map_shows_as_delalloc_joins_what_is_dirty() {
        let mut layout = Layout {
            dirty: vec![(0, 4096), (16384, 20480), (40960, 45056)],
            items: Vec::new(),
        };
        layout.add_delalloc(&[
            run(4096, 4096, true),
            run(8192, 4096, false),
            run(12288, 8192, true),
            run(36864, 16384, true),
        ]);
        assert_eq!(layout.dirty, [(0, 8192), (12288, 20480), (36864, 53248)]);
    }
}
