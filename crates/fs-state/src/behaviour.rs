//! What an era does to extents, as data. Whoever folds a profile sets these fields; nothing in this
//! crate asks for a release.

/// The knobs by which kernels differ below their checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Whether a whole small file of a NODATACOW or preallocated inode may be written inline.
    /// Ended when the COW fallback of NOCOW writeback stopped trying inline extents.
    pub inlines_nocow: bool,
    /// Whether a whole small file goes inline before anybody asks whether it may be written in
    /// place. (7.2 does, 6.18 does not.)
    pub inlines_first: bool,
    /// Whether NOCOW writeback that met a gap between items overlooks the item behind the gap, and
    /// with it every later one of the range: all of it is COWed. (6.1 does, 6.18 does not.)
    pub cows_behind_gap: bool,
    /// Whether the map of a file shows an ordered extent that is under way, the dirty range behind
    /// it and the hole between them as one. (6.1 does, 6.18 does not.)
    pub joins_ordered: bool,
    /// Whether the map of a file is drawn from the extent map cache, not from the items. (5.10
    /// does, 6.1 does not.)
    pub maps_from_cache: bool,
    /// Whether the map takes an extent for shared if a reference of another inode waits to be added
    /// or dropped. Only maps from the cache. (5.10 does, 6.1 does not.)
    pub shares_by_delayed: bool,
    /// Whether `fallocate` stamps an inode only for what it changed: mtime and ctime if it punched,
    /// ctime alone if it allocated. (5.10 does, 6.1 stamps both for every call.)
    pub fallocate_stamps_late: bool,
    /// Largest inline extent in bytes (`max_inline`).
    pub max_inline: u64,
    /// Largest data extent that one delalloc range becomes, in bytes (`BTRFS_MAX_EXTENT_SIZE`).
    pub extent_len_max: u64,
    /// Largest data extent that one `fallocate` piece becomes, in bytes.
    pub prealloc_len_max: u64,
}

impl Behaviour {
    /// The newest behaviour that is known.
    pub const LATEST: Behaviour = Behaviour {
        inlines_nocow: false,
        inlines_first: true,
        cows_behind_gap: false,
        joins_ordered: false,
        maps_from_cache: false,
        shares_by_delayed: false,
        fallocate_stamps_late: false,
        max_inline: 2048,
        extent_len_max: 128 << 20,
        prealloc_len_max: 256 << 20,
    };
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour::LATEST
    }
}
