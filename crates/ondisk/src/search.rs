//! The items that a tree search copied into a buffer: [`SearchItems`].
//!
//! Cite: `include/uapi/linux/btrfs.h`, `struct btrfs_ioctl_search_header`.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, native_endian};

use crate::{ItemError, Key};

/// One item as the search found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchItem<'a> {
    /// Its key.
    pub key: Key,
    /// The transaction that last changed the leaf that it is in.
    pub transid: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// The items in a search buffer, in the order of their keys.
#[derive(Clone, Debug)]
pub struct SearchItems<'a> {
    rest: &'a [u8],
    nr_left: u32,
}

/// `struct btrfs_ioctl_search_header`, in the order of bytes of the machine.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    transid: native_endian::U64,
    object: native_endian::U64,
    offset: native_endian::U64,
    kind: native_endian::U32,
    len: native_endian::U32,
}

impl SearchItem<'_> {
    /// Bytes of the header before each item.
    pub const HEADER_BYTES: usize = size_of::<RawHeader>();

    /// Returns how many bytes of the buffer it takes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        Self::HEADER_BYTES + self.bytes.len()
    }
}

impl<'a> SearchItems<'a> {
    /// Returns the first `nr_items` items of `buffer`.
    #[must_use]
    pub fn new(buffer: &'a [u8], nr_items: u32) -> SearchItems<'a> {
        SearchItems {
            rest: buffer,
            nr_left: nr_items,
        }
    }

    fn take(&mut self) -> Result<SearchItem<'a>, ItemError> {
        const ITEM: &str = "an item in a search buffer";
        let short = |found, expected| ItemError::Short {
            item: ITEM,
            found,
            expected,
        };
        let (header, rest) = RawHeader::ref_from_prefix(self.rest)
            .map_err(|_| short(self.rest.len(), size_of::<RawHeader>()))?;
        let len = header.len.get() as usize;
        let (bytes, rest) = rest
            .split_at_checked(len)
            .ok_or_else(|| short(rest.len(), len))?;
        let kind = header.kind.get();
        let kind = u8::try_from(kind).map_err(|_| ItemError::Unknown {
            item: ITEM,
            field: "type",
            value: kind.into(),
        })?;
        self.rest = rest;
        Ok(SearchItem {
            key: Key {
                object: header.object.get(),
                kind,
                offset: header.offset.get(),
            },
            transid: header.transid.get(),
            bytes,
        })
    }
}

impl<'a> Iterator for SearchItems<'a> {
    type Item = Result<SearchItem<'a>, ItemError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.nr_left = self.nr_left.checked_sub(1)?;
        let item = self.take();
        if item.is_err() {
            self.nr_left = 0;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        fn a_buffer_of_any_bytes_ends_in_items_or_one_error(bytes: Vec<u8>, nr_items: u8) -> bool {
            let items: Vec<_> = SearchItems::new(&bytes, nr_items.into()).collect();
            let nr_wrong = items.iter().filter(|item| item.is_err()).count();
            nr_wrong == usize::from(items.last().is_some_and(|item| item.is_err()))
        }
    }

    #[test]
    fn an_item_longer_than_the_buffer_is_an_error() {
        let mut bytes = vec![0; 40];
        bytes[28..32].copy_from_slice(&9_u32.to_ne_bytes());
        let item = SearchItems::new(&bytes, 1).next();
        let expected = ItemError::Short {
            item: "an item in a search buffer",
            found: 8,
            expected: 9,
        };
        assert_eq!(item, Some(Err(expected)));
    }
}
