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
    /// Whether an item that is cut in two counts a second reference. (It always does.)
    pub counts_splits: bool,
    /// Whether back references are found whose offset is below zero: those of a clone of an
    /// extent's end to the begin of a file. (Since 4.3.)
    pub finds_negative_backrefs: bool,
    /// Whether a quota group no longer counts an extent as exclusive once another root refers to
    /// it, too. (Since the rework of 4.2.)
    pub recounts_owners: bool,
    /// Whether a clone copies an inline item to wherever it is cloned to. (Until 4.3.)
    pub clones_inline_anywhere: bool,
    /// Whether truncating a file cuts its inline item if that is compressed. (Since 4.4.)
    pub truncates_compressed_inline: bool,
    /// Whether the item of a fresh extent that a truncate cut while it was under way has what is
    /// left as its `ram_bytes`. (6.1 does so, 6.12 does not.)
    pub cuts_ram_bytes: bool,
    /// Whether dropping a page from the page cache drops the extent map that begins there. (6.12
    /// does, 6.1 does not.)
    pub releases_maps: bool,
    /// Whether a cached hole that came of a merge is merged with such holes only, for the flags
    /// have to be equal. (6.1 does so, 5.10 and 6.12 do not.)
    pub keeps_merged_apart: bool,
    /// Whether waiting for the cleaner of a deleted subvolume takes a sync, which writes everything
    /// back. (5.10 does; in 6.1 a commit wakes the cleaner.)
    pub cleans_at_sync: bool,
    /// Whether an empty file of a filesystem mounted nodatasum stays without checksums when its
    /// attributes are set without `FS_NOCOW_FL`. (6.12.113 and 7.2 do so, 6.18.44 does not.)
    pub keeps_mounted_nodatasum: bool,
    /// Whether a direct write goes past the page cache though its data has checksums. (6.1 does so,
    /// 6.18 writes it through the page cache.)
    pub writes_checked_directly: bool,
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
        counts_splits: true,
        finds_negative_backrefs: true,
        recounts_owners: true,
        clones_inline_anywhere: false,
        truncates_compressed_inline: true,
        cuts_ram_bytes: false,
        releases_maps: true,
        keeps_merged_apart: false,
        cleans_at_sync: false,
        keeps_mounted_nodatasum: true,
        writes_checked_directly: false,
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
