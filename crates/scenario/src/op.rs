//! Operations: one line of a scenario each. Every operation is total: a request that no kernel
//! accepts is a legal operation whose answer is an errno.

use data::Content;

use crate::{Fd, Name};

/// One operation. Offsets and lengths are bytes.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "the fields are the words of the line, in bytes where numbers"
)]
pub enum Op {
    /// Creates an empty regular file with mode 0644 owned by root.
    File { name: Name, is_nocow: bool },
    /// Creates a directory.
    Dir { name: Name },
    /// Creates a fifo.
    Fifo { name: Name },
    /// Creates a subvolume and commits; dirty data stays dirty.
    Subvol { name: Name },
    /// Snapshots the subvolume `source`; the source's dirty data is flushed by the kernel.
    /// Commits.
    Snapshot {
        source: Name,
        target: Name,
        is_readonly: bool,
    },
    /// Deletes a subvolume or snapshot, every descriptor in it closed first; waits until the
    /// cleaner has dropped what its tree refers to, then commits. Dirty data elsewhere stays
    /// dirty, unless writeback under way holds an inode of it: then everything is written back.
    Delete { name: Name },
    /// Makes `target` a second name of the file `source`, `link(2)`.
    Link { source: Name, target: Name },
    /// `rename(2)`: descriptors and what is below a directory go on under the new name, those on
    /// what was replaced are closed. Nothing happens if both are names of one file.
    Rename { source: Name, target: Name },
    /// Removes a name of a regular file or a fifo. Closes every descriptor on it first; if
    /// `is_held`, all but the read-write one, and the name stands for that open file until `close`
    /// or until an operation is to make the name anew, which closes it first.
    Unlink { name: Name, is_held: bool },
    /// Closes every descriptor on a name. On btrfs a close can start writeback, and the last one
    /// ends a file that has no name any more.
    Close { name: Name },
    /// One `pwrite(2)` through a read-write descriptor.
    Write {
        name: Name,
        offset: u64,
        content: Content,
    },
    /// Writes back the file, then one `pwrite(2)` with `O_DIRECT` from aligned memory through a
    /// read-write descriptor, then writes back the file again: of dirty pages in its way a direct
    /// write does not tell reliably, and what it starts completes behind the caller's back.
    DirectWrite {
        name: Name,
        offset: u64,
        content: Content,
    },
    /// Stores into the file's pages through a shared mapping of its own, then `msync(2)` of that
    /// with `MS_SYNC`, and what [`Op::Fsync`] does besides: that is an fsync. Nothing is stored if
    /// any byte lies behind the page of EOF: then the answer is `EFAULT`. Of the page of EOF, what
    /// is stored behind EOF is lost.
    MappedWrite {
        name: Name,
        offset: u64,
        content: Content,
    },
    /// One `ftruncate(2)`.
    Truncate { name: Name, size: u64 },
    /// One `fallocate(2)`, with `FALLOC_FL_KEEP_SIZE` if `keeps_size`.
    Fallocate {
        name: Name,
        offset: u64,
        len: u64,
        keeps_size: bool,
    },
    /// `fallocate(2)` with `FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE`.
    Punch { name: Name, offset: u64, len: u64 },
    /// `fallocate(2)` with `FALLOC_FL_ZERO_RANGE`, and `FALLOC_FL_KEEP_SIZE` if `keeps_size`.
    Zero {
        name: Name,
        offset: u64,
        len: u64,
        keeps_size: bool,
    },
    /// Writes back the file's dirty data and waits for its ordered extents, without a commit.
    Flush { name: Name },
    /// The file's map with `FIEMAP_FLAG_SYNC`: a flush, then a walk of back references, which keeps
    /// later changes of them apart from earlier ones.
    Fiemap { name: Name },
    /// `fsync(2)`, then waits for the file's ordered extents and commits; other files' dirty data
    /// stays dirty. Whether an fsync commits by itself depends on what else its transaction has.
    Fsync { name: Name },
    /// Commits the filesystem (`BTRFS_IOC_SYNC`), all dirty data included.
    Sync,
    /// Remounts the filesystem, through all its mounts at once. Read-only: closes every descriptor
    /// first, and commits. What is only ours to mount can be remounted.
    Remount { is_readonly: bool },
    /// Waits until the clock that stamps inodes has moved.
    Tick,
    /// Sets or clears an inode attribute, as `chattr(1)` does.
    Chattr {
        name: Name,
        attribute: Attribute,
        is_set: bool,
    },
    /// `fchmod(2)`; `mode` is the low twelve bits.
    Chmod { name: Name, mode: u16 },
    /// `fchown(2)` of owner and group.
    Chown { name: Name, uid: u32 },
    /// `FICLONERANGE`.
    Clone(CloneCall),
    /// `FIDEDUPERANGE`.
    Dedupe(DedupeCall),
    /// Commits as [`Op::Sync`] does, drops the clean pages of every file from the page cache, and
    /// tells what the trees say.
    Tree,
    /// Looks at files; no operation on the filesystem.
    Observe { names: Vec<Name> },
}

/// An inode attribute that `chattr(1)` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `FS_NOCOW_FL`, `+C`.
    Nocow,
    /// `FS_IMMUTABLE_FL`, `+i`.
    Immutable,
    /// `FS_APPEND_FL`, `+a`.
    Append,
}

/// A `FICLONERANGE` request.
#[derive(Clone, Debug, PartialEq)]
pub struct CloneCall {
    /// `src_fd`.
    pub source: Fd,
    /// `src_offset`.
    pub source_offset: u64,
    /// `src_length`; 0 means up to the source's EOF.
    pub len: u64,
    /// The descriptor on which the ioctl is called.
    pub target: Fd,
    /// `dest_offset`.
    pub target_offset: u64,
}

/// A `FIDEDUPERANGE` request: everything that decides its bytes and where they lie in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct DedupeCall {
    /// The descriptor on which the ioctl is called.
    pub source: Fd,
    /// `src_offset`.
    pub source_offset: u64,
    /// `src_length`.
    pub len: u64,
    /// The elements in memory.
    pub targets: Vec<DedupeTarget>,
    /// `dest_count`, if it is not the number of `targets`.
    pub count: Option<u16>,
    /// `reserved1`.
    pub reserved1: u16,
    /// `reserved2`.
    pub reserved2: u32,
    /// Who calls.
    pub caller: Caller,
    /// Where the request lies.
    pub memory: CallMemory,
}

/// One element of a dedupe request. Its out fields are sent as [`DedupeTarget::UNTOUCHED_BYTES`]
/// and [`DedupeTarget::UNTOUCHED_STATUS`], so that "never written" can be told from any answer.
#[derive(Clone, Debug, PartialEq)]
pub struct DedupeTarget {
    /// `dest_fd`.
    pub fd: Fd,
    /// `dest_offset`.
    pub offset: u64,
    /// `reserved`.
    pub reserved: u32,
}

impl DedupeTarget {
    /// `bytes_deduped` as sent.
    pub const UNTOUCHED_BYTES: u64 = 0xdead;
    /// `status` as sent.
    pub const UNTOUCHED_STATUS: i32 = 77;
}

/// Who makes a call. Descriptors are opened by root in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Caller {
    /// uid 0 with all capabilities.
    #[default]
    Root,
    /// uid and gid [`Caller::USER_UID`], no capability, no supplementary group.
    User,
}

impl Caller {
    /// The uid and gid of [`Caller::User`].
    pub const USER_UID: u32 = 1234;
}

/// The memory in which a dedupe request lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallMemory {
    /// Readable and writable everywhere.
    #[default]
    Whole,
    /// Unmapped from the end of this many elements on: that end is a page boundary.
    UnmappedAfter(u16),
    /// Read-only from the end of this many elements on: that end is a page boundary.
    ReadonlyAfter(u16),
    /// Unmapped from byte 12 of the header on.
    HalfHeader,
    /// No memory at all: the pointer has this value, below any mapping.
    Pointer(u16),
}

impl DedupeCall {
    /// Returns a plain request of one element.
    pub fn new(source: Fd, source_offset: u64, len: u64, target: Fd, offset: u64) -> DedupeCall {
        DedupeCall {
            source,
            source_offset,
            len,
            targets: vec![DedupeTarget {
                fd: target,
                offset,
                reserved: 0,
            }],
            count: None,
            reserved1: 0,
            reserved2: 0,
            caller: Caller::Root,
            memory: CallMemory::Whole,
        }
    }

    /// Returns the `dest_count` that is sent.
    pub fn dest_count(&self) -> u16 {
        self.count
            .unwrap_or(u16::try_from(self.targets.len()).unwrap_or(u16::MAX))
    }
}

impl Op {
    /// Returns the name that the operation makes, if it makes one.
    pub fn made_name(&self) -> Option<&Name> {
        match self {
            Op::File { name, .. } | Op::Dir { name } | Op::Fifo { name } | Op::Subvol { name } => {
                Some(name)
            }
            Op::Snapshot { target, .. } | Op::Link { target, .. } | Op::Rename { target, .. } => {
                Some(target)
            }
            _ => None,
        }
    }
}
