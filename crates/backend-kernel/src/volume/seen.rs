//! Which files show a part of storage, as far as they have been looked at: [`references_in`].
//!
//! It does not know whether anybody else does.

use volume::{Extent, ExtentReferences, FileId, Reference, ReferenceKind};

/// A file extent as it is looked for by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) address: u64,
    pub(super) file: FileId,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) is_shared: bool,
}

/// Returns what of `seen`, in the order of addresses and none longer than `longest`, lies in an
/// extent.
pub(super) fn references_in(seen: &[Seen], extent: &Extent, longest: u64) -> ExtentReferences {
    let (start, end) = (extent.address, extent.address + extent.disk_bytes);
    let first = seen.partition_point(|it| it.address.saturating_add(longest) <= start);
    let near = seen[first..].iter().take_while(|it| it.address < end);
    let mut found = ExtentReferences {
        address: extent.address,
        references: Vec::new(),
        is_complete: true,
    };
    for seen in near.filter(|it| start < it.address + it.len) {
        // What is cut off before the extent's begin is not in it.
        let before = start.saturating_sub(seen.address);
        let within = seen.address.saturating_sub(start);
        found.is_complete &= !seen.is_shared;
        found.references.push(Reference {
            file: seen.file,
            offset: seen.offset + before,
            within,
            len: (seen.len - before).min(end - start - within),
            kind: ReferenceKind::Data,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use volume::Compression;

    use super::*;

    #[test]
    fn references_are_the_parts_that_lie_in_the_extent() {
        let seen = |address, offset, len| Seen {
            address,
            file: FileId { root: 0, inode: 9 },
            offset,
            len,
            is_shared: false,
        };
        let all = [
            seen(4096, 0, 8192),
            seen(8192, 40960, 16384),
            seen(20480, 81920, 4096),
            seen(24576, 0, 4096),
        ];
        let extent = Extent {
            address: 8192,
            disk_bytes: 16384,
            ram_bytes: 16384,
            compression: Compression::None,
        };
        let found = references_in(&all, &extent, 16384).references;
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.offset, it.within, it.len))
            .collect();
        assert_eq!(
            found,
            [(4096, 0, 4096), (40960, 0, 16384), (81920, 12288, 4096)]
        );
    }
}
