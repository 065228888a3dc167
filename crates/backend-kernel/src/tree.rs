//! Removing a folder with everything in it, immutable files and read-only snapshots included.
//!
//! This is the slow and thorough way. It does not cross into other mounts: a mount point in the
//! folder makes it fail.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, statat, unlinkat};
use rustix::io::{Errno, Result};
use uapi::request;

use crate::ioctl;

/// The inode number of a subvolume's top.
const SUBVOLUME_INO: u64 = 256;
/// Folders in folders that are followed.
const DEPTH_MAX: u32 = 200;

/// Removes `name` from the directory `parent` with everything below it.
pub(crate) fn remove(parent: impl AsFd, name: &str) -> Result<()> {
    let name = std::ffi::CString::new(name).map_err(|_| Errno::INVAL)?;
    remove_at(parent.as_fd(), &name, DEPTH_MAX)
}

fn remove_at(parent: BorrowedFd<'_>, name: &CStr, depth_left: u32) -> Result<()> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let is_subvolume = is_directory && stat.st_ino as u64 == SUBVOLUME_INO;
    if !is_directory {
        make_removable(parent, name, OFlags::empty());
        return unlinkat(parent, name, AtFlags::empty());
    }
    let depth_left = depth_left.checked_sub(1).ok_or(Errno::LOOP)?;
    if let Some(folder) = make_removable(parent, name, OFlags::DIRECTORY) {
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                remove_at(folder.as_fd(), entry.file_name(), depth_left)?;
            }
        }
    }
    if is_subvolume
        && let Ok(name) = name.to_str()
        && ioctl::destroy_subvolume(parent, name).is_ok()
    {
        return Ok(());
    }
    // Since 4.18 an empty subvolume goes the same way, for its owner too.
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Clears what protects a file or folder; returns it opened, if it can be.
fn make_removable(parent: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Option<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat2(parent, name, flags, Mode::empty(), ResolveFlags::NO_XDEV).ok()?;
    // Each may fail: it is then no subvolume, or nothing protects it, or the removal will say so.
    let _ = ioctl::make_subvolume_writable(&fd);
    let protection = request::FS_IMMUTABLE_FL | request::FS_APPEND_FL;
    if let Ok(flags) = ioctl::inode_flags(&fd)
        && flags & protection != 0
    {
        let _ = ioctl::set_inode_flags(&fd, flags & !protection);
    }
    Some(fd)
}
