//! Flags of an inode item that decide what may be done with its data: [`InodeFlags`].

use std::fmt;

/// `flags` of `struct btrfs_inode_item`, as far as they are about data and who may change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InodeFlags(u64);

/// Every flag that is kept, with its word.
const WORDS: [(InodeFlags, &str); 7] = [
    (InodeFlags::NODATASUM, "nodatasum"),
    (InodeFlags::NODATACOW, "nodatacow"),
    (InodeFlags::NOCOMPRESS, "nocompress"),
    (InodeFlags::PREALLOC, "prealloc"),
    (InodeFlags::IMMUTABLE, "immutable"),
    (InodeFlags::APPEND, "append"),
    (InodeFlags::COMPRESS, "compress"),
];

impl InodeFlags {
    /// `BTRFS_INODE_NODATASUM`: data without checksums.
    pub const NODATASUM: InodeFlags = InodeFlags(1 << 0);
    /// `BTRFS_INODE_NODATACOW`: data is overwritten in place.
    pub const NODATACOW: InodeFlags = InodeFlags(1 << 1);
    /// `BTRFS_INODE_NOCOMPRESS`: compressing it was given up.
    pub const NOCOMPRESS: InodeFlags = InodeFlags(1 << 3);
    /// `BTRFS_INODE_PREALLOC`: something of it was preallocated once.
    pub const PREALLOC: InodeFlags = InodeFlags(1 << 4);
    /// `BTRFS_INODE_IMMUTABLE`.
    pub const IMMUTABLE: InodeFlags = InodeFlags(1 << 6);
    /// `BTRFS_INODE_APPEND`.
    pub const APPEND: InodeFlags = InodeFlags(1 << 7);
    /// `BTRFS_INODE_COMPRESS`.
    pub const COMPRESS: InodeFlags = InodeFlags(1 << 11);

    /// Returns those of `raw`'s flags that are kept here.
    #[must_use]
    pub fn from_raw(raw: u64) -> InodeFlags {
        let kept = WORDS.iter().fold(0, |mask, (flag, _)| mask | flag.0);
        InodeFlags(raw & kept)
    }

    /// Returns these flags, and `other` too if `is_set`.
    #[must_use]
    pub const fn with(self, other: InodeFlags, is_set: bool) -> InodeFlags {
        if is_set {
            InodeFlags(self.0 | other.0)
        } else {
            self
        }
    }

    /// Returns the flag of which `word` is the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<InodeFlags> {
        let named = WORDS.iter().find(|(_, known)| *known == word);
        named.map(|(flag, _)| *flag)
    }

    /// Returns whether all of `other`'s flags are set.
    #[must_use]
    pub const fn has(self, other: InodeFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Prints each flag that is set with a blank before it, nothing for none.
impl fmt::Display for InodeFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = WORDS.iter().filter(|(flag, _)| self.has(*flag));
        set.map(|(_, word)| word)
            .try_for_each(|word| write!(f, " {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_is_no_data_flag_is_left_out() {
        let root_item_init = 1 << 31;
        assert_eq!(
            InodeFlags::from_raw(root_item_init | 1),
            InodeFlags::NODATASUM
        );
    }

    #[test]
    fn words_read_back_as_the_flags_that_they_print() {
        for (flag, word) in WORDS {
            assert_eq!(flag.to_string(), format!(" {word}"));
            assert_eq!(InodeFlags::from_word(word), Some(flag));
        }
    }
}
