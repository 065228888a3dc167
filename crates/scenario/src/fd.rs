//! What a file descriptor of an operation stands for.
//!
//! A backend opens the descriptor for an [`Fd`] when it is first used and keeps it open until the
//! name is unlinked or the run ends, so that no close comes between two operations: on btrfs a
//! close can start writeback.

use crate::Name;

/// A descriptor as an operation names it: `A`, `A:ro`, `A:ro,second`, `%closed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fd {
    /// What it is open on.
    pub target: Target,
    /// How it was opened. Read-write for everything that is not a file, a directory or a fifo.
    pub access: Access,
    /// Through which mount it was opened.
    pub mount: Mount,
    /// Whether the number handed to the kernel has bit 32 set: only the low 32 bits are looked at.
    pub has_high_bit: bool,
}

/// What a descriptor is open on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A file, directory or fifo of the run's filesystem.
    Name(Name),
    /// A number that was open once and is closed now.
    Closed,
    /// The number -1.
    MinusOne,
    /// `/dev/null`.
    Null,
    /// The reading end of a pipe.
    PipeRead,
    /// The writing end of a pipe.
    PipeWrite,
    /// A socket.
    Socket,
    /// A regular file of 64 KiB of zeros on a tmpfs, a filesystem without remap.
    Tmpfs,
    /// `/proc/self/status`.
    Proc,
}

/// The access mode of an open file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// `O_RDWR` (directories: `O_RDONLY`, the only way to open them).
    #[default]
    ReadWrite,
    /// `O_RDONLY`.
    ReadOnly,
    /// `O_WRONLY`.
    WriteOnly,
    /// `O_RDWR | O_APPEND`.
    Append,
    /// `O_PATH`.
    Path,
}

/// The mount through which a file was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mount {
    /// The first mount, writable.
    #[default]
    First,
    /// A second mount of the same filesystem, writable.
    Second,
    /// A third mount of the same filesystem, read-only.
    ReadOnly,
}

impl Fd {
    /// Returns a descriptor opened read-write on `name` through the first mount.
    pub fn file(name: Name) -> Fd {
        Fd::with_access(name, Access::ReadWrite)
    }

    /// Returns a descriptor opened with `access` on `name` through the first mount.
    pub fn with_access(name: Name, access: Access) -> Fd {
        Fd {
            target: Target::Name(name),
            access,
            mount: Mount::First,
            has_high_bit: false,
        }
    }

    /// Returns a descriptor on something that has no name in the run's filesystem.
    pub fn special(target: Target) -> Fd {
        Fd {
            target,
            access: Access::ReadWrite,
            mount: Mount::First,
            has_high_bit: false,
        }
    }

    /// Returns the name that the descriptor is open on, if it has one.
    pub fn name(&self) -> Option<&Name> {
        match &self.target {
            Target::Name(name) => Some(name),
            _ => None,
        }
    }
}
