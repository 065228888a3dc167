//! Open files: what a descriptor stands for, and how the checks see it.

use fs_state::{FsState, InodeId, Kind};
use rules::view::{FileKind, FileView};
use scenario::fd::{Access, Mount, Target};

/// An entry of the descriptor table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// What it is open on.
    pub at: OpenAt,
    /// How it was opened.
    pub access: Access,
    /// Through which mount of the run's filesystem.
    pub mount: Mount,
}

/// What a file is open on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAt {
    /// An inode of the run's filesystem.
    Inode(InodeId),
    /// `/dev/null`.
    Null,
    /// The reading end of a pipe.
    PipeRead,
    /// The writing end of a pipe.
    PipeWrite,
    /// A socket.
    Socket,
    /// A file of 64 KiB on a tmpfs.
    Tmpfs,
    /// `/proc/self/status`.
    Proc,
}

/// Bytes of the file that stands for [`Target::Tmpfs`].
const TMPFS_FILE_BYTES: u64 = 64 << 10;
/// The number of the run's superblock; the others have the numbers of their mounts.
const RUN_SUPERBLOCK: u8 = 0;

impl OpenAt {
    /// Returns what a special target of the language is open on; `None` for names and for numbers
    /// that are not open.
    #[must_use]
    pub fn special(target: &Target) -> Option<OpenAt> {
        match target {
            Target::Null => Some(OpenAt::Null),
            Target::PipeRead => Some(OpenAt::PipeRead),
            Target::PipeWrite => Some(OpenAt::PipeWrite),
            Target::Socket => Some(OpenAt::Socket),
            Target::Tmpfs => Some(OpenAt::Tmpfs),
            Target::Proc => Some(OpenAt::Proc),
            Target::Name(_) | Target::Closed | Target::MinusOne => None,
        }
    }
}

impl OpenFile {
    /// Returns the inode, if it is one of the run's filesystem.
    #[must_use]
    pub fn inode(&self) -> Option<InodeId> {
        match self.at {
            OpenAt::Inode(id) => Some(id),
            _ => None,
        }
    }

    /// Returns how the checks see it.
    #[must_use]
    #[inline]
    pub fn view(&self, fs: &FsState) -> FileView {
        match self.at {
            OpenAt::Inode(id) => self.inode_view(fs, id),
            OpenAt::Null => special_view(16, FileKind::Other, 0o666),
            OpenAt::PipeRead => FileView {
                is_writable: false,
                ..special_view(17, FileKind::Other, 0o600)
            },
            OpenAt::PipeWrite => FileView {
                is_readable: false,
                ..special_view(17, FileKind::Other, 0o600)
            },
            OpenAt::Socket => special_view(18, FileKind::Other, 0o777),
            OpenAt::Tmpfs => FileView {
                size: TMPFS_FILE_BYTES,
                ..special_view(19, FileKind::Regular, 0o777)
            },
            OpenAt::Proc => special_view(20, FileKind::Regular, 0o444),
        }
    }

    #[inline]
    fn inode_view(&self, fs: &FsState, id: InodeId) -> FileView {
        let inode = fs.inode(id);
        let kind = match inode.kind() {
            Kind::Regular => FileKind::Regular,
            Kind::Directory => FileKind::Directory,
            Kind::Fifo => FileKind::Fifo,
        };
        // A directory opens read-only, whatever the language calls its access.
        let is_file = kind != FileKind::Directory;
        FileView {
            kind,
            is_readable: self.access != Access::WriteOnly,
            is_writable: is_file && self.access != Access::ReadOnly,
            is_appending: self.access == Access::Append,
            mount: mount_number(self.mount),
            is_mount_readonly: self.mount == Mount::ReadOnly || fs.is_mounted_readonly(),
            superblock: RUN_SUPERBLOCK,
            has_remap: kind == FileKind::Regular,
            has_btrfs_ioctl: matches!(kind, FileKind::Regular | FileKind::Directory),
            inode: id.0,
            size: inode.size(),
            uid: inode.uid(),
            mode: inode.mode(),
            is_nodatasum: inode.is_nodatasum(),
            is_immutable: inode.is_immutable(),
            is_root_readonly: fs.is_root_readonly(id),
        }
    }
}

/// Returns the number of a mount of the run's filesystem.
fn mount_number(mount: Mount) -> u8 {
    match mount {
        Mount::First => 0,
        Mount::Second => 1,
        Mount::ReadOnly => 2,
    }
}

/// Returns a read-write file of root's on a filesystem and mount of its own.
fn special_view(number: u8, kind: FileKind, mode: u16) -> FileView {
    FileView {
        kind,
        is_readable: true,
        is_writable: true,
        is_appending: false,
        mount: number,
        is_mount_readonly: false,
        superblock: number,
        has_remap: false,
        has_btrfs_ioctl: false,
        inode: 0,
        size: 0,
        uid: 0,
        mode,
        is_nodatasum: false,
        is_immutable: false,
        is_root_readonly: false,
    }
}
