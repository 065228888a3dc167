//! A btrfs that somebody left in an image: [`on_image`] looks at it and changes nothing.
//!
//! No time limit here: if the kernel hangs, so does the caller.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, mount};
use scenario::BackendError;

use crate::leftovers::Folder;
use crate::mounting::{self, NEEDS_ROOT};
use crate::{ground, loopback, missing, process, system};

/// Where the first superblock has its `magic`, and what it is.
const MAGIC_OFFSET: u64 = (64 << 10) + 64;
const MAGIC: &[u8; 8] = b"_BHRfS_M";
/// The mount point that the folder is cleaned of.
const POINT: &str = "readonly";

/// Returns whether the file holds a btrfs, as far as its first superblock tells.
pub fn is_image(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut magic, MAGIC_OFFSET));
    read.is_ok() && &magic == MAGIC
}

/// Mounts the image read-only in a thread of its own and runs `work` there with the folder of its
/// top. Nothing is written to the image.
///
/// # Errors
///
/// [`BackendError::Missing`] without privilege, loop device or btrfs; [`BackendError::System`] if
/// the kernel does not mount it.
pub fn on_image<T: Send>(
    path: &Path,
    work: impl FnOnce(&Path) -> T + Send,
) -> Result<T, BackendError> {
    if !process::is_root() {
        return Err(missing(
            format!("the image {} can be mounted by root only", path.display()),
            NEEDS_ROOT,
        ));
    }
    ground::in_thread(move || {
        let mounted = Mounted::new(path)?;
        Ok(work(&mounted.folder.path().join(POINT)))
    })
}

/// A mounted image. The mount holds the device, and the device the image.
struct Mounted {
    folder: Folder,
}

impl Mounted {
    fn new(path: &Path) -> Result<Mounted, BackendError> {
        let image: OwnedFd = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| system(format!("open the image {}", path.display()), errno))?;
        let folder = Folder::work(&std::env::temp_dir())?;
        let point = folder.path().join(POINT);
        mounting::make_point(&point)?;
        let (number, _device) = loopback::attach(&image, path)?;
        let device_path = format!("/dev/loop{number}");
        mount(&device_path, &point, "btrfs", MountFlags::RDONLY, None)
            .map_err(|errno| system(format!("mount the image {}", path.display()), errno))?;
        Ok(Mounted { folder })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        mounting::unmount_now_or_later(&self.folder.path().join(POINT));
    }
}
