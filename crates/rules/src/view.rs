//! What the checks of each stage may look at: plain values, copied before the check is asked.
//!
//! A check can read only what its view has, so a check of the pair stage cannot look at locked
//! state, and none can change anything. How a view is filled is the model's business.

/// Bytes of a block and of a page: the sector size that this model has.
pub const BLOCK_BYTES: u64 = 4096;

/// Who makes the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerView {
    /// Whether it has `CAP_SYS_ADMIN` (and every other capability).
    pub is_admin: bool,
    /// Its filesystem uid, and its only gid.
    pub uid: u32,
}

/// What kind of inode a descriptor is open on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A fifo.
    Fifo,
    /// A device, an anonymous pipe or a socket.
    Other,
}

/// An open file, as anybody who holds no lock sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileView {
    /// The kind of its inode.
    pub kind: FileKind,
    /// Whether it was opened for reading.
    pub is_readable: bool,
    /// Whether it was opened for writing.
    pub is_writable: bool,
    /// Whether it was opened with `O_APPEND`.
    pub is_appending: bool,
    /// Which mount it was opened through.
    pub mount: u8,
    /// Whether that mount is read-only.
    pub is_mount_readonly: bool,
    /// Which superblock its inode belongs to.
    pub superblock: u8,
    /// Whether its operations have clone and dedupe (`remap_file_range`).
    pub has_remap: bool,
    /// Whether its operations take btrfs's own ioctls.
    pub has_btrfs_ioctl: bool,
    /// The inode's number within its superblock, in the order of lock addresses.
    pub inode: u32,
    /// Bytes below EOF.
    pub size: u64,
    /// The owner; the group has the same number.
    pub uid: u32,
    /// The low twelve bits of the mode.
    pub mode: u16,
    /// Whether its data has no checksums.
    pub is_nodatasum: bool,
    /// Whether the inode is immutable.
    pub is_immutable: bool,
    /// Whether the subvolume is read-only.
    pub is_root_readonly: bool,
}

/// Before anything is copied from user memory.
#[derive(Clone, Copy, Debug)]
pub struct EntryView {
    /// The file of the ioctl.
    pub file: FileView,
}

/// When only `dest_count` has been read.
#[derive(Clone, Copy, Debug)]
pub struct CountView {
    /// Bytes of header and elements by that count.
    pub request_bytes: u64,
}

/// The whole request, in kernel memory.
#[derive(Clone, Copy, Debug)]
pub struct CallView {
    /// The file of the ioctl.
    pub source: FileView,
    /// `src_offset`.
    pub source_offset: u64,
    /// `src_length`, as far as the plan has clamped it.
    pub len: u64,
    /// `reserved1`.
    pub reserved1: u16,
    /// `reserved2`.
    pub reserved2: u32,
    /// The filesystem's block in bytes.
    pub block_bytes: u64,
}

/// One element whose descriptor is resolved; no lock is held.
#[derive(Clone, Copy, Debug)]
pub struct PairView {
    /// Who calls.
    pub caller: CallerView,
    /// The source.
    pub source: FileView,
    /// The target.
    pub target: FileView,
    /// Start in the source, bytes.
    pub source_offset: u64,
    /// Start in the target, bytes.
    pub target_offset: u64,
    /// Bytes to dedupe.
    pub len: u64,
    /// `reserved` of the element.
    pub reserved: u32,
}

/// An inode of the run's filesystem under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeView {
    /// Bytes below EOF.
    pub size: u64,
    /// Whether its data has no checksums.
    pub is_nodatasum: bool,
    /// Whether it is immutable.
    pub is_immutable: bool,
    /// Whether it is an active swap file.
    pub is_swapfile: bool,
    /// Whether a send of its subvolume is under way.
    pub is_root_sending: bool,
}

/// Both inodes, locked.
#[derive(Clone, Copy, Debug)]
pub struct LockedView {
    /// The source.
    pub source: InodeView,
    /// The target.
    pub target: InodeView,
    /// Whether the target's subvolume is read-only.
    pub is_target_root_readonly: bool,
}

/// Both inodes and both ranges, as one step of the plan leaves them.
#[derive(Clone, Copy, Debug)]
pub struct RangeView {
    /// The source.
    pub source: InodeView,
    /// The target.
    pub target: InodeView,
    /// Whether both are one inode.
    pub is_same_inode: bool,
    /// Start in the source, bytes.
    pub source_offset: u64,
    /// Start in the target, bytes.
    pub target_offset: u64,
    /// Bytes to compare and to report as achieved.
    pub len: u64,
    /// Bytes whose extents move: `len`, up to a block's end where a tail goes along.
    pub aligned_len: u64,
}

impl FileView {
    /// Returns whether `inode_permission` grants writing to a caller without capabilities.
    #[must_use]
    pub fn permits_write(&self, caller: CallerView) -> bool {
        let bits = if caller.uid == self.uid { 0o200 } else { 0o002 };
        let is_shut = self.is_immutable || (self.is_root_readonly && self.kind != FileKind::Fifo);
        !is_shut && self.mode & bits != 0
    }

    /// Returns whether both are open on one inode.
    #[must_use]
    pub fn is_same_inode(&self, other: &FileView) -> bool {
        self.superblock == other.superblock && self.inode == other.inode
    }
}

/// Returns whether a signed 64-bit file position cannot hold the range.
#[must_use]
pub fn is_negative_or_overflowing(offset: u64, len: u64) -> bool {
    let Ok(offset) = i64::try_from(offset) else {
        return true;
    };
    let Ok(len) = i64::try_from(len) else {
        return true;
    };
    offset.checked_add(len).is_none()
}

/// Returns whether `offset` lies at a block's start.
#[must_use]
pub fn is_aligned(offset: u64) -> bool {
    offset.is_multiple_of(BLOCK_BYTES)
}
