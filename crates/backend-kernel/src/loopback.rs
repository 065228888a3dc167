//! A btrfs of our own: [`Loopback`], a sparse image on a loop device that detaches itself, mounted
//! three times in a folder that is removed with it.
//!
//! It does not know what happens on the filesystem. The image is unlinked as soon as it is
//! attached, so that even a killed process leaves no data behind.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, OFlags, open, statvfs};
use rustix::io::Errno as Io;
use scenario::{BackendError, Geometry, Verified};
use uapi::Errno;

use crate::leftovers::{Folder, SHM};
use crate::mounting::{self, NEEDS_ROOT};
use crate::place::{Place, open_directory};
use crate::{ioctl, missing, system, system_errno, verify};

/// How often another process may snatch the free loop device away.
const NR_ATTEMPTS_MAX: u32 = 50;
/// Where `mkfs.btrfs` lies if it is not in the path.
const MKFS_PATHS: [&str; 3] = ["mkfs.btrfs", "/usr/sbin/mkfs.btrfs", "/sbin/mkfs.btrfs"];
/// The most room that an image of any size is given before it is made anew, in bytes.
const IMAGE_ROOM: u64 = 1 << 30;

/// A mounted image.
#[derive(Debug)]
pub(crate) struct Loopback {
    geometry: Geometry,
    nr_images: u32,
    keeps_image: bool,
    is_mounted: bool,
    device: Option<String>,
    folder: Folder,
}

impl Loopback {
    /// Makes an image of this geometry in `parent` (or in a place with room for it) and mounts it
    /// in the calling thread's mount namespace.
    pub(crate) fn new(
        geometry: &Geometry,
        parent: Option<&Path>,
        keeps_image: bool,
    ) -> Result<Loopback, BackendError> {
        let room = geometry.device_bytes.min(IMAGE_ROOM);
        let parent = match parent {
            Some(parent) if room <= available_bytes(parent) => parent.to_owned(),
            Some(parent) => return Err(no_room(room, parent)),
            None => roomy_parent(room)?,
        };
        let mut loopback = Loopback {
            geometry: geometry.clone(),
            nr_images: 0,
            keeps_image,
            is_mounted: false,
            device: None,
            folder: Folder::work(&parent)?,
        };
        loopback.make()?;
        Ok(loopback)
    }

    /// Replaces the filesystem by a fresh one of this geometry. Nothing may be open on it.
    pub(crate) fn renew(&mut self, geometry: &Geometry) -> Result<(), BackendError> {
        self.unmount();
        self.geometry = geometry.clone();
        self.make()
    }

    /// Unmounts, checks the device, mounts again and scrubs; returns what is wrong. Nothing may be
    /// open on the filesystem.
    pub(crate) fn verify(&mut self) -> Result<Verified, BackendError> {
        let Some(device) = self.device.clone() else {
            return Ok(Verified::default());
        };
        let path = Path::new("/dev").join(device);
        // Nobody else holds the device while nothing is mounted, and it would detach itself.
        let held = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| system(format!("open {}", path.display()), errno))?;
        mounting::unmount_all(self.folder.path());
        let mut verified = verify::check_device(&path)?;
        let place = mounting::mount_device(&path, self.folder.path(), &self.geometry)?;
        drop(held);
        verified.extend(verify::scrub(open_directory(&place.first)?)?);
        Ok(verified)
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the folder of the filesystem through its three mounts.
    pub(crate) fn place(&self) -> Place {
        mounting::place(self.folder.path(), self.device.clone())
    }

    fn make(&mut self) -> Result<(), BackendError> {
        self.nr_images += 1;
        let path = self.folder.path().join(format!("image-{}", self.nr_images));
        let image = create_image(&path, self.geometry.device_bytes)?;
        make_filesystem(&path, &self.geometry)?;
        let (number, device) = attach(&image, &path)?;
        if !self.keeps_image {
            fs::remove_file(&path).map_err(|source| BackendError::System {
                action: format!("unlink the image {}", path.display()),
                source,
            })?;
        }
        self.device = Some(format!("loop{number}"));
        self.is_mounted = true;
        mounting::mount_device(
            Path::new(&format!("/dev/loop{number}")),
            self.folder.path(),
            &self.geometry,
        )?;
        // From here on the mount alone holds the device.
        drop(device);
        Ok(())
    }

    fn unmount(&mut self) {
        if std::mem::take(&mut self.is_mounted) {
            mounting::unmount_all(self.folder.path());
        }
        self.device = None;
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.unmount();
        if self.keeps_image {
            let image = self.folder.path().join(format!("image-{}", self.nr_images));
            let kept = self.folder.path().with_extension("img");
            let _ = fs::rename(image, kept);
        }
    }
}

/// Returns a folder with room for an image: `$TMPDIR` if it is set, else `/dev/shm` if that much
/// memory can be spared twice, else the system's folder for temporary files.
fn roomy_parent(room: u64) -> Result<PathBuf, BackendError> {
    let (shm, temporary) = (PathBuf::from(SHM), std::env::temp_dir());
    let is_chosen = std::env::var_os("TMPDIR").is_some();
    let memory = crate::memory::available_bytes().unwrap_or(0);
    let twice = room.saturating_mul(2);
    if !is_chosen && twice <= available_bytes(&shm) && twice.saturating_mul(2) <= memory {
        return Ok(shm);
    }
    if available_bytes(&temporary) < room {
        return Err(no_room(room, &temporary));
    }
    Ok(temporary)
}

/// Returns how much can be written to the filesystem of `path`; 0 if there is none.
fn available_bytes(path: &Path) -> u64 {
    statvfs(path).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn no_room(room: u64, path: &Path) -> BackendError {
    if !path.is_dir() {
        return missing(
            format!(
                "images are to be made in {}, which is no folder",
                path.display()
            ),
            "make it, or set TMPDIR to a folder with room",
        );
    }
    missing(
        format!(
            "an image needs {} MiB in {}, where {} MiB are free",
            room >> 20,
            path.display(),
            available_bytes(path) >> 20,
        ),
        "free some space, or set TMPDIR to a folder that has it",
    )
}

fn create_image(path: &Path, device_bytes: u64) -> Result<OwnedFd, BackendError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    open(path, flags, Mode::from_raw_mode(0o600))
        .and_then(|image| rustix::fs::ftruncate(&image, device_bytes).map(|()| image))
        .map_err(|errno| system(format!("create the image {}", path.display()), errno))
}

/// Makes a btrfs of this geometry in the file at `path`, which has its size.
///
/// # Errors
///
/// [`BackendError::Missing`] without `mkfs.btrfs`, [`BackendError::System`] with what it says.
pub fn make_filesystem(path: &Path, geometry: &Geometry) -> Result<(), BackendError> {
    for program in MKFS_PATHS {
        let output = Command::new(program)
            .args([
                "-q",
                "-f",
                "-m",
                "single",
                "-s",
                &geometry.sector_bytes.to_string(),
                "-n",
                &geometry.node_bytes.to_string(),
                "--csum",
                geometry.checksum.name(),
            ])
            .args(geometry.is_mixed.then_some("--mixed"))
            .arg(path)
            .output();
        match output {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let action = format!(
                    "make a btrfs as {geometry}: {program} says: {}",
                    said.trim(),
                );
                let source = std::io::Error::other(output.status.to_string());
                return Err(BackendError::System { action, source });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(BackendError::System {
                    action: format!("run {program}"),
                    source,
                });
            }
        }
    }
    Err(missing(
        "mkfs.btrfs is neither in the path nor in /usr/sbin",
        "install the package btrfs-progs, or use the uml backend, which needs none",
    ))
}

/// Attaches the image to a free loop device; returns its number and it, open. The device is
/// read-only if the image is opened for reading only.
pub(crate) fn attach(image: &OwnedFd, path: &Path) -> Result<(u32, OwnedFd), BackendError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let control = open("/dev/loop-control", flags, Mode::empty()).map_err(|errno| {
        let remedy = match errno {
            Io::NOENT | Io::NODEV | Io::NXIO => {
                "load the module: modprobe loop; or use the uml backend"
            }
            _ => NEEDS_ROOT,
        };
        missing(
            format!("there is no loop device: /dev/loop-control: {errno}"),
            remedy,
        )
    })?;
    for _ in 0..NR_ATTEMPTS_MAX {
        let number = ioctl::free_loop_device(&control).map_err(|errno| {
            missing(format!("there is no free loop device: {errno}"), NEEDS_ROOT)
        })?;
        let device = open(format!("/dev/loop{number}"), flags, Mode::empty()).map_err(|errno| {
            missing(
                format!("the loop device /dev/loop{number} cannot be opened: {errno}"),
                &format!("give it a node: mknod /dev/loop{number} b 7 {number}; {NEEDS_ROOT}"),
            )
        })?;
        match ioctl::attach_loop(&device, image) {
            Ok(()) => return Ok((number, device)),
            Err(Errno::EBUSY) => std::thread::yield_now(),
            Err(errno) => {
                let action = format!("attach {} to /dev/loop{number}", path.display());
                return Err(system_errno(&action, errno));
            }
        }
    }
    Err(missing(
        format!("{NR_ATTEMPTS_MAX} times another process took the free loop device"),
        "try again, or detach unused ones: losetup -D",
    ))
}
