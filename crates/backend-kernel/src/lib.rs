//! The running kernel as a backend: [`Mount`] on a btrfs that it makes on a loop device, or in a
//! directory of the user's; [`Session`], the same without time limits and without making anything;
//! [`same`], one raw call for the command line; [`ground`], a filesystem for many of them;
//! [`mod@volume`], a filesystem to dedupe. [`HugePages`] is an allocator for programs with it.
//!
//! This crate acts and looks. It does not know what any operation should do: it must not depend on
//! the model, nor on anything that the model is made of. All `unsafe` code of the project is in
//! `huge_pages.rs`, `ioctl.rs`, `ioctl_handle.rs`, `ioctl_quota.rs`, `ioctl_space.rs`,
//! `ioctl_trees.rs`, `mmap.rs`, `mmap_pages.rs` and `process.rs`.
//!
//! # Where it works
//!
//! [`Mount::loopback`] puts its image in `$TMPDIR` if that is set, else in `/dev/shm` if twice its
//! size is free there and four times its size of memory, else in the system's folder for temporary
//! files. Mounts are made in a mount namespace of one thread, so that they vanish with the process,
//! however it ends; the image is unlinked once it is attached. What a killed process can leave is
//! an empty folder `xsame-mount-PID-…`, removed by the next start or by [`remove_leftovers`].
#![deny(unsafe_code)]

mod calls;
mod deletion;
mod descriptors;
mod directory;
pub mod ground;
mod huge_pages;
pub mod image;
mod ioctl;
mod ioctl_handle;
mod ioctl_quota;
mod ioctl_space;
mod ioctl_trees;
mod layout;
mod leftovers;
mod links;
mod log;
mod loopback;
mod map;
mod memory;
mod mmap;
mod mmap_pages;
mod mount;
mod mounting;
mod observe;
mod operations;
mod place;
mod process;
mod quota;
mod remount;
pub mod same;
mod search;
mod session;
mod settle;
mod stores;
mod tree;
mod tree_blocks;
mod trees;
mod verify;
pub mod volume;
mod wait;
mod watchdog;
mod worker;

use scenario::BackendError;
use uapi::Errno;

pub use huge_pages::HugePages;
pub use leftovers::{cleanup_all, remove_leftovers};
pub use loopback::make_filesystem;
pub use mount::{LoopbackOptions, Mount};
pub use mounting::{mount_device, mount_options};
pub use place::Place;
pub use process::die_with_parent;
pub use session::Session;
pub use trees::{subvolumes_in, trees_at};
pub use verify::check_device;

/// Has the disk serve everybody else first, for this thread and those that it starts.
///
/// # Errors
///
/// [`BackendError::System`] with what the kernel says.
pub fn be_idle() -> Result<(), BackendError> {
    process::set_idle_io().map_err(|source| BackendError::System {
        action: "ask the disk to serve others first".to_owned(),
        source,
    })
}

/// Returns the errno as the language names it.
fn errno_of(errno: rustix::io::Errno) -> Errno {
    Errno::new(errno.raw_os_error()).unwrap_or(Errno::EIO)
}

/// Returns the error for a failed system call of the harness itself.
fn system(action: impl Into<String>, errno: rustix::io::Errno) -> BackendError {
    BackendError::System {
        action: action.into(),
        source: errno.into(),
    }
}

/// Returns the error for a failed ioctl of the harness itself.
fn system_errno(action: &str, errno: Errno) -> BackendError {
    let source = std::io::Error::from_raw_os_error(errno.raw());
    BackendError::System {
        action: action.to_owned(),
        source,
    }
}

/// Returns the error for something that must be there and is not.
fn missing(what: impl Into<String>, remedy: &str) -> BackendError {
    BackendError::Missing {
        what: what.into(),
        remedy: remedy.to_owned(),
    }
}
