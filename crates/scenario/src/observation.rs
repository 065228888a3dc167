//! What can be seen of a file after an operation, without changing it.
//!
//! Nothing here flushes: contents through the page cache, `fstat(2)`, and `FIEMAP` without
//! `FIEMAP_FLAG_SYNC`. Storage is an opaque number of one backend; two backends agree if their
//! numbers correspond one to one.

use data::Digest;
use uapi::Errno;

use crate::Name;

/// A request to look at one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The file.
    pub name: Name,
    /// What [`map_shape`] the other witness expects. A kernel completes ordered extents behind the
    /// caller's back; a backend looks again for a short while as long as it sees another shape,
    /// then answers what it sees. `None`: look once.
    pub expected_shape: Option<u64>,
}

/// What was seen of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Nothing has this name.
    Absent,
    /// It is there but cannot be looked at: the errno of `open(2)`, `read(2)` or the ioctl.
    Unreadable(Errno),
    /// A regular file.
    File {
        /// Attributes of the inode.
        stat: Stat,
        /// Digest of the bytes below EOF.
        content: Digest,
        /// The map, in file order, no two runs overlapping, holes left out, adjacent runs with
        /// the same flags and consecutive storage merged.
        map: Vec<MapRun>,
    },
    /// A directory or a fifo.
    Other {
        /// Attributes of the inode (size and blocks are 0: they are not compared).
        stat: Stat,
    },
}

/// What kind of inode it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory (the top of a subvolume included).
    Directory,
    /// A fifo.
    Fifo,
}

/// The compared attributes of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The kind.
    pub kind: FileKind,
    /// `st_size`, bytes.
    pub size: u64,
    /// `st_blocks`, units of 512 bytes.
    pub blocks: u64,
    /// The low twelve bits of `st_mode`.
    pub mode: u16,
    /// `st_uid`.
    pub uid: u32,
    /// Whether `st_mtime` differs from what this backend last observed of this name. False at the
    /// first look.
    pub mtime_changed: bool,
    /// Whether `st_ctime` differs, likewise.
    pub ctime_changed: bool,
}

/// A place in one backend's storage, bytes. Means nothing outside that backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Storage(pub u64);

/// A run of a file's map as `FIEMAP` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRun {
    /// First byte in the file, block-aligned.
    pub offset: u64,
    /// Bytes, a block multiple.
    pub len: u64,
    /// Where its first byte lies; `None` for delalloc and inline runs.
    pub storage: Option<Storage>,
    /// What `FIEMAP` says of it.
    pub flags: MapFlags,
}

/// The flags of a map run that are compared. `FIEMAP_EXTENT_LAST` is not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapFlags {
    /// `DELALLOC | UNKNOWN`.
    pub is_delalloc: bool,
    /// `UNWRITTEN`: preallocated.
    pub is_unwritten: bool,
    /// `SHARED`.
    pub is_shared: bool,
    /// Whether a kernel may say the opposite about `SHARED`: it depends on which leaves hold the
    /// items, or on what lies beside an extent on disk. Only a witness that knows neither says so.
    pub is_share_open: bool,
    /// `DATA_INLINE | NOT_ALIGNED`.
    pub is_inline: bool,
    /// `ENCODED`: compressed.
    pub is_encoded: bool,
}

/// Returns a number that two maps share if, block by block, they have the same flags and holes.
/// Where the blocks are stored does not count.
pub fn map_shape(map: &[MapRun]) -> u64 {
    let mix = |shape: u64, value: u64| (shape ^ value).wrapping_mul(0x0000_0100_0000_01b3);
    let flag_bits = |flags: MapFlags| {
        u64::from(flags.is_delalloc)
            | u64::from(flags.is_unwritten) << 1
            | u64::from(flags.is_shared) << 2
            | u64::from(flags.is_inline) << 3
            | u64::from(flags.is_encoded) << 4
    };
    let mut shape = 0xcbf2_9ce4_8422_2325;
    let mut rest = map.iter().peekable();
    while let Some(run) = rest.next() {
        let mut end = run.offset + run.len;
        while let Some(next) = rest.next_if(|next| next.offset == end && next.flags == run.flags) {
            end = next.offset + next.len;
        }
        shape = mix(
            mix(mix(shape, run.offset >> 9), end >> 9),
            flag_bits(run.flags),
        );
    }
    shape
}
