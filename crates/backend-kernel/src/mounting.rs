//! Mounting a btrfs three times, with every option that changes what is observed.
//!
//! It does not know where the device comes from, nor who unmounts.

use std::ffi::CString;
use std::fs;
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno as Io;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use scenario::{BackendError, Compression, DataMode, Geometry};

use crate::place::Place;
use crate::{missing, system};

/// The names of the mount points in their folder: writable, writable again, read-only.
pub(crate) const POINTS: [&str; 3] = ["first", "second", "readonly"];
/// What to do about a lack of privilege.
pub(crate) const NEEDS_ROOT: &str =
    "run as root with CAP_SYS_ADMIN, or use the uml backend, or mount=DIR with a folder on btrfs";

/// The least that is allocated, bytes.
const BLOCK_LEN: u64 = 4096;
/// What the chunk of the room gives back, bytes.
const GIVEN_BACK_LEN: u64 = 64 << 10;
/// More than the first data chunk of any device has, bytes.
const CHUNK_FILE_LEN: u64 = 16 << 20;
/// Two thirds of what a mixed filesystem of 16 MiB has for data, bytes.
const SMALL_ROOM_LEN: u64 = 6 << 20;

/// So that neither device nor distribution decides. `noatime` is a flag beside them.
const OPTIONS: &str = "nossd,nodiscard,space_cache=v2,commit=300,max_inline=2048";

/// Returns the options with which a filesystem of this geometry is mounted, `noatime` left out.
#[must_use]
pub fn mount_options(geometry: &Geometry) -> String {
    let data = match geometry.data {
        DataMode::Checked => "datacow,datasum",
        DataMode::NoSum => "datacow,nodatasum",
        DataMode::NoCow => "nodatacow",
    };
    match geometry.compress {
        Compression::None => format!("{OPTIONS},{data}"),
        compress => format!("{OPTIONS},{data},compress-force={}", compress.name()),
    }
}

/// Mounts the btrfs on `device` in `folder`: at `first`, at `second` once more, and at `readonly`
/// read-only, with the options that the geometry says; makes these folders if they are not there.
/// The caller unmounts, or its mount namespace vanishes with it.
///
/// # Errors
///
/// [`BackendError::Missing`] without privilege or without btrfs in the kernel.
pub fn mount_device(
    device: &Path,
    folder: &Path,
    geometry: &Geometry,
) -> Result<Place, BackendError> {
    for name in POINTS {
        make_point(&folder.join(name))?;
    }
    let [first, second, readonly] = POINTS.map(|name| folder.join(name));
    let options = CString::new(mount_options(geometry))
        .map_err(|error| BackendError::Channel(format!("mount options: {error}")))?;
    let options = Some(options.as_c_str());
    mount(device, &first, "btrfs", MountFlags::NOATIME, options)
        .map_err(|errno| mount_error(&device.display().to_string(), &first, errno))?;
    bind(&first, &second)?;
    bind_readonly(&first, &readonly)?;
    let room_len = match geometry.is_small() {
        true => SMALL_ROOM_LEN,
        false => CHUNK_FILE_LEN,
    };
    take_room(&first, room_len)?;
    let device = device
        .file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned);
    Ok(place(folder, device))
}

/// Makes the filesystem allocate a data chunk larger than the one it was made with, and keeps it: a
/// chunk allocated during a run would turn the fsyncs of its transaction into commits. On a small
/// filesystem it leaves less to a run, which fills the rest with fewer and smaller files.
///
/// The commit that inserts the item of a new block group may lose its used bytes, and one that
/// finds other used bytes puts that right ("A new block group" in `docs/findings.md`). So a commit
/// follows in which the chunk gives an extent back: the room is allocated around a block that it
/// has already, as two extents side by side, of which the second goes.
fn take_room(top: &Path, len: u64) -> Result<(), BackendError> {
    let path = top.join("room");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let allocate = || -> rustix::io::Result<()> {
        let room = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))?;
        if rustix::fs::fstat(&room)?.st_size != 0 {
            // It was mounted before.
            return Ok(());
        }
        for (offset, len) in [(len, BLOCK_LEN), (0, len + BLOCK_LEN + GIVEN_BACK_LEN)] {
            rustix::fs::fallocate(&room, FallocateFlags::empty(), offset, len)?;
        }
        rustix::fs::syncfs(&room)?;
        rustix::fs::ftruncate(&room, len)?;
        rustix::fs::syncfs(&room)
    };
    allocate().map_err(|errno| system(format!("allocate {}", path.display()), errno))
}

/// Returns the place that [`mount_device`] makes in `folder`.
pub(crate) fn place(folder: &Path, device: Option<String>) -> Place {
    let [first, second, readonly] = POINTS.map(|name| folder.join(name));
    Place {
        first,
        second: Some(second),
        readonly: Some(readonly),
        device,
        is_ours: true,
    }
}

/// Unmounts what [`mount_device`] has mounted in `folder`.
pub(crate) fn unmount_all(folder: &Path) {
    for name in POINTS.iter().rev() {
        unmount_now_or_later(&folder.join(name));
    }
}

/// Unmounts what is mounted at `path`, later if it is busy.
pub(crate) fn unmount_now_or_later(path: &Path) {
    if unmount(path, UnmountFlags::NOFOLLOW).is_err() {
        // Not mounted any more, or detached now and gone when its last user is.
        let _ = unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
}

/// Makes a folder to mount at, if it is not there.
pub(crate) fn make_point(path: &Path) -> Result<(), BackendError> {
    match fs::create_dir(path) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
            let action = format!("make the mount point {}", path.display());
            Err(BackendError::System { action, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Remounts the filesystem of `place` read-only or read-write.
pub(crate) fn remount(place: &Place, is_readonly: bool) -> rustix::io::Result<()> {
    let access = match is_readonly {
        true => MountFlags::RDONLY,
        false => MountFlags::empty(),
    };
    mount_remount(&place.first, MountFlags::NOATIME | access, c"")
}

/// Mounts what is at `source` at `target` too.
pub(crate) fn bind(source: &Path, target: &Path) -> Result<(), BackendError> {
    mount_bind(source, target).map_err(|errno| mount_error("a bind mount", target, errno))
}

/// Mounts what is at `source` at `target` too, read-only.
pub(crate) fn bind_readonly(source: &Path, target: &Path) -> Result<(), BackendError> {
    bind(source, target)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOATIME;
    mount_remount(target, flags, c"")
        .map_err(|errno| mount_error("a read-only bind mount", target, errno))
}

fn mount_error(what: &str, point: &Path, errno: Io) -> BackendError {
    match errno {
        Io::NODEV => missing(
            "this kernel has no btrfs (it is not in /proc/filesystems)",
            "load it: modprobe btrfs; or use the uml backend, whose kernel has it",
        ),
        Io::PERM | Io::ACCESS => missing(
            format!("{what} may not be mounted at {}: {errno}", point.display()),
            NEEDS_ROOT,
        ),
        errno => system(format!("mount {what} at {}", point.display()), errno),
    }
}
