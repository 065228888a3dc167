//! The ioctls that look into the trees: search, and back references resolved to inodes.
//!
//! Every function here is safe to call: it hands the kernel buffers that it knows the length of.
//! What the items mean is other files' business.
#![expect(unsafe_code, reason = "one of the files that talk to the kernel raw")]

use std::os::fd::{AsFd, AsRawFd};

use ondisk::{KeyRange, TreeId};
use uapi::{Errno, request};

use crate::ioctl::call;

/// `struct btrfs_ioctl_search_args_v2` without its buffer.
#[repr(C)]
#[derive(Clone, Copy)]
struct SearchArgs {
    tree_id: u64,
    min_objectid: u64,
    max_objectid: u64,
    min_offset: u64,
    max_offset: u64,
    min_transid: u64,
    max_transid: u64,
    min_type: u32,
    max_type: u32,
    nr_items: u32,
    unused: u32,
    unused_words: [u64; 4],
    buf_size: u64,
}

/// `struct btrfs_ioctl_logical_ino_args`.
#[repr(C)]
struct LogicalInoArgs {
    logical: u64,
    size: u64,
    reserved: [u64; 3],
    flags: u64,
    inodes: u64,
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct InoLookupArgs {
    treeid: u64,
    objectid: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_fs_info_args`.
#[repr(C)]
struct FsInfoArgs {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    nodesize: u32,
    sectorsize: u32,
    clone_alignment: u32,
    csum_type: u16,
    csum_size: u16,
    flags: u64,
    generation: u64,
    metadata_uuid: [u8; 16],
    reserved: [u8; 944],
}

/// `BTRFS_FS_INFO_FLAG_CSUM_INFO`: asks for the kind of checksum, and tells that it was told.
const CSUM_INFO: u64 = 1 << 0;

/// What a search fills at most, bytes.
const SEARCH_LEN_MAX: u64 = 16 << 20;

/// What a filesystem is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FsInfo {
    /// Its id.
    pub(crate) fsid: [u8; 16],
    /// Bytes of a tree block.
    pub(crate) node_bytes: u32,
    /// Bytes of a block of data.
    pub(crate) sector_bytes: u32,
    /// Bytes of a checksum of one.
    pub(crate) csum_bytes: usize,
    /// `csum_type`: the kind of checksum, where the kernel tells.
    pub(crate) csum_kind: u16,
}

/// What a scrub counted, `struct btrfs_scrub_progress`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScrubCounts {
    data_extents: u64,
    tree_extents: u64,
    data_bytes: u64,
    tree_bytes: u64,
    read_errors: u64,
    csum_errors: u64,
    verify_errors: u64,
    no_csum: u64,
    csum_discards: u64,
    super_errors: u64,
    malloc_errors: u64,
    uncorrectable_errors: u64,
    corrected_errors: u64,
    last_physical: u64,
    unverified_errors: u64,
}

/// `struct btrfs_ioctl_scrub_args`.
#[repr(C)]
struct ScrubArgs {
    devid: u64,
    start: u64,
    end: u64,
    flags: u64,
    progress: ScrubCounts,
    unused: [u64; 128 - 4 - 15],
}

/// `BTRFS_SCRUB_READONLY`: nothing is repaired.
const SCRUB_READONLY: u64 = 1;

impl ScrubCounts {
    /// Returns everything that should be 0, with its name. `csum_discards` is none of it: there 6.1
    /// counts checksums that it read ahead and did not need.
    pub(crate) fn errors(&self) -> [(&'static str, u64); 7] {
        [
            ("read errors", self.read_errors),
            ("checksum errors", self.csum_errors),
            ("verify errors", self.verify_errors),
            ("superblock errors", self.super_errors),
            ("uncorrectable errors", self.uncorrectable_errors),
            ("corrected errors", self.corrected_errors),
            ("unverified errors", self.unverified_errors),
        ]
    }
}

/// `BTRFS_LOGICAL_INO_ARGS_IGNORE_OFFSET`: every item that refers to any part of the extent.
const IGNORE_OFFSET: u64 = 1;

/// Room for the arguments of a search and for what it finds, aligned as the kernel needs it.
#[derive(Debug, Default)]
pub(crate) struct SearchBuffer(Vec<u64>);

impl SearchBuffer {
    /// Bytes of the arguments, before the items.
    pub(crate) const ARGS_BYTES: usize = size_of::<SearchArgs>();

    /// Returns a buffer with room for `len_bytes` of items.
    pub(crate) fn new(len_bytes: usize) -> SearchBuffer {
        let len_bytes = SearchBuffer::ARGS_BYTES + len_bytes;
        SearchBuffer(vec![0; len_bytes.div_ceil(8)])
    }

    /// Returns the bytes behind the arguments.
    pub(crate) fn items(&self) -> &[u8] {
        let (words, len_bytes) = (&self.0, self.0.len() * 8);
        // SAFETY: the words are `len_bytes` initialised bytes that live as long as `self`.
        let bytes = unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), len_bytes) };
        &bytes[SearchBuffer::ARGS_BYTES..]
    }

    /// Makes room for an item that did not fit, as much as the kernel told in `buf_size` that it
    /// needs; returns whether that is more than there was.
    fn grow(&mut self) -> bool {
        // SAFETY: the buffer is aligned for `u64` and longer than the arguments.
        let needed = unsafe { self.0.as_ptr().cast::<SearchArgs>().read() }.buf_size;
        let is_more = needed <= SEARCH_LEN_MAX && self.items().len() < needed as usize;
        if is_more {
            *self = SearchBuffer::new(needed as usize);
        }
        is_more
    }
}

/// Copies the first items of `range` that fit into the buffer, at most `nr_items_max`; returns how
/// many they are. The buffer grows if the first one does not fit. Leaves that were changed last
/// before the transaction `min_transid` are passed over.
///
/// # Errors
///
/// The errno of the call.
pub(crate) fn tree_search(
    fd: impl AsFd,
    tree: TreeId,
    range: KeyRange,
    nr_items_max: u32,
    min_transid: u64,
    buffer: &mut SearchBuffer,
) -> Result<u32, Errno> {
    let fd = fd.as_fd();
    loop {
        match search_once(fd, tree, range, nr_items_max, min_transid, buffer) {
            Err(Errno::EOVERFLOW) if buffer.grow() => {}
            result => return result,
        }
    }
}

/// Searches with the buffer as it is: `EOVERFLOW` if the first item does not fit.
fn search_once(
    fd: impl AsFd,
    tree: TreeId,
    range: KeyRange,
    nr_items_max: u32,
    min_transid: u64,
    buffer: &mut SearchBuffer,
) -> Result<u32, Errno> {
    let KeyRange { first, last } = range;
    let buf_size = buffer.items().len() as u64;
    let arguments = SearchArgs {
        tree_id: tree.0,
        min_objectid: first.object,
        max_objectid: last.object,
        min_offset: first.offset,
        max_offset: last.offset,
        min_transid,
        max_transid: u64::MAX,
        min_type: first.kind.into(),
        max_type: last.kind.into(),
        nr_items: nr_items_max,
        unused: 0,
        unused_words: [0; 4],
        buf_size,
    };
    let fd = fd.as_fd().as_raw_fd();
    let at = buffer.0.as_mut_ptr().cast::<SearchArgs>();
    // SAFETY: the buffer is aligned for `u64` and longer than the arguments.
    unsafe { at.write(arguments) };
    // SAFETY: the kernel reads the arguments and writes at most `buf_size` bytes behind them.
    unsafe { call(fd, request::BTRFS_IOC_TREE_SEARCH_V2, at.cast()) }?;
    // SAFETY: as above; the kernel wrote the arguments back.
    Ok(unsafe { at.read() }.nr_items)
}

/// Fills `buffer` with a `btrfs_data_container` of (inode number, file offset, root) for every item
/// that refers to the extent at `bytenr`.
///
/// # Errors
///
/// The errno of the call: `ENOENT` if nothing refers to it; `EINVAL` before 4.15.
pub(crate) fn logical_ino(fd: impl AsFd, bytenr: u64, buffer: &mut [u64]) -> Result<(), Errno> {
    let mut arguments = LogicalInoArgs {
        logical: bytenr,
        size: size_of_val(buffer) as u64,
        reserved: [0; 3],
        flags: IGNORE_OFFSET,
        inodes: buffer.as_mut_ptr() as u64,
    };
    let fd = fd.as_fd().as_raw_fd();
    let number = request::BTRFS_IOC_LOGICAL_INO_V2;
    // SAFETY: the kernel reads the arguments and writes at most `size` bytes to `inodes`.
    unsafe { call(fd, number, (&raw mut arguments).cast()) }.map(drop)
}

/// Scrubs the first device of the filesystem that `fd` is on, without repairing anything.
pub(crate) fn scrub(fd: impl AsFd) -> Result<ScrubCounts, Errno> {
    let mut arguments = ScrubArgs {
        devid: 1,
        start: 0,
        end: u64::MAX,
        flags: SCRUB_READONLY,
        progress: ScrubCounts::default(),
        unused: [0; 128 - 4 - 15],
    };
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel reads and writes 1024 bytes, which is what `arguments` has.
    unsafe { call(fd, request::BTRFS_IOC_SCRUB, (&raw mut arguments).cast()) }?;
    Ok(arguments.progress)
}

/// Returns what the filesystem of `fd` is like.
pub(crate) fn fs_info(fd: impl AsFd) -> Result<FsInfo, Errno> {
    let mut arguments = FsInfoArgs {
        max_id: 0,
        num_devices: 0,
        fsid: [0; 16],
        nodesize: 0,
        sectorsize: 0,
        clone_alignment: 0,
        csum_type: 0,
        csum_size: 0,
        flags: CSUM_INFO,
        generation: 0,
        metadata_uuid: [0; 16],
        reserved: [0; 944],
    };
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel reads and writes 1024 bytes, which is what `arguments` has.
    unsafe { call(fd, request::BTRFS_IOC_FS_INFO, (&raw mut arguments).cast()) }?;
    let is_told = arguments.flags & CSUM_INFO != 0 && 0 < arguments.csum_size;
    // Kernels that do not tell (before 5.10) know crc32c alone, or the other kinds since 5.5.
    let csum_bytes = if is_told { arguments.csum_size } else { 4 };
    Ok(FsInfo {
        fsid: arguments.fsid,
        node_bytes: arguments.nodesize,
        sector_bytes: arguments.sectorsize,
        csum_bytes: csum_bytes.into(),
        csum_kind: arguments.csum_type,
    })
}

/// Returns the tree of the subvolume that `fd` is in.
pub(crate) fn tree_of(fd: impl AsFd) -> Result<TreeId, Errno> {
    let mut arguments = InoLookupArgs {
        treeid: 0,
        objectid: ondisk::Key::FIRST_FREE,
        name: [0; 4080],
    };
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel reads and writes 4096 bytes, which is what `arguments` has.
    unsafe {
        call(
            fd,
            request::BTRFS_IOC_INO_LOOKUP,
            (&raw mut arguments).cast(),
        )
    }?;
    Ok(TreeId(arguments.treeid))
}

#[cfg(test)]
mod tests {
    use ondisk::Key;

    use super::*;

    impl SearchBuffer {
        /// Returns a buffer with these items in it.
        pub(crate) fn of_items<'a>(items: impl Iterator<Item = (Key, &'a [u8])>) -> SearchBuffer {
            let mut bytes: Vec<u8> = Vec::new();
            for (key, of_item) in items {
                let words = [0, key.object, key.offset];
                bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
                bytes.extend(u32::from(key.kind).to_ne_bytes());
                bytes.extend((of_item.len() as u32).to_ne_bytes());
                bytes.extend(of_item);
            }
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let mut words = vec![0; SearchBuffer::ARGS_BYTES / 8];
            let of_items = bytes.chunks_exact(8);
            words.extend(of_items.map(|word| word.try_into().map_or(0, u64::from_ne_bytes)));
            SearchBuffer(words)
        }
    }

    #[test]
    fn arguments_have_the_sizes_of_the_kernel() {
        assert_eq!(size_of::<SearchArgs>(), 112);
        assert_eq!(size_of::<LogicalInoArgs>(), 56);
        assert_eq!(size_of::<FsInfoArgs>(), 1024);
        assert_eq!(size_of::<ScrubArgs>(), 1024);
        assert_eq!(size_of::<InoLookupArgs>(), 4096);
    }
}
