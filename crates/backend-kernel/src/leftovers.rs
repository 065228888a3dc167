//! Nothing is left behind: folders in use are registered, so that a signal's thread can remove
//! them ([`cleanup_all`]), and those of processes that died otherwise are found by name at the
//! next start ([`remove_leftovers`]).
//!
//! It knows names of folders, mounts and loop devices, not what happens in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};
use scenario::BackendError;

use crate::mounting::{POINTS, unmount_now_or_later};
use crate::{ioctl, place, process, system, tree};

/// How the folder for mount points and images is called, before the mark of its process.
const WORK_PREFIX: &str = "xsame-mount-";
/// How our folder in a directory of the user's is called, before the mark of its process.
const GUEST_PREFIX: &str = ".xsame-";
/// The fast place for images.
pub(crate) const SHM: &str = "/dev/shm";

/// How often the removal of a folder in use is tried.
const NR_ATTEMPTS_MAX: u32 = 8;

/// Folders that this process has made and not removed yet.
static FOLDERS: Mutex<Vec<(PathBuf, FolderKind)>> = Mutex::new(Vec::new());
/// Set when the process is about to end: no backend begins anything from then on.
static IS_STOPPING: AtomicBool = AtomicBool::new(false);
/// Numbers the folders of this process.
static NR_FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that is ours alone; removed when dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    path: PathBuf,
    kind: FolderKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FolderKind {
    /// Holds mount points and images only.
    Work,
    /// Lies on a btrfs of the user's and holds runs.
    Guest,
}

impl Folder {
    /// Makes a folder for mount points and images in `parent`.
    pub(crate) fn work(parent: &Path) -> Result<Folder, BackendError> {
        Folder::create(parent, WORK_PREFIX, FolderKind::Work)
    }

    /// Makes a folder for runs in a directory of the user's.
    pub(crate) fn guest(parent: &Path) -> Result<Folder, BackendError> {
        Folder::create(parent, GUEST_PREFIX, FolderKind::Guest)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn create(parent: &Path, prefix: &str, kind: FolderKind) -> Result<Folder, BackendError> {
        let number = NR_FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{prefix}{}-{number}", process::mark()));
        rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755))
            .map_err(|errno| system(format!("make the folder {}", path.display()), errno))?;
        folders().push((path.clone(), kind));
        Ok(Folder { path, kind })
    }

    fn remove(path: &Path, kind: FolderKind) {
        match kind {
            FolderKind::Work => remove_work(path),
            FolderKind::Guest => remove_guest(path),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        Folder::remove(&self.path, self.kind);
        folders().retain(|(path, _)| *path != self.path);
    }
}

/// Removes every mount, image and folder that this process has made, and keeps its backends from
/// making more. For the end of the process: to be called from a thread that waits for signals.
pub fn cleanup_all() {
    IS_STOPPING.store(true, Ordering::SeqCst);
    let left = std::mem::take(&mut *folders());
    for (path, kind) in left {
        Folder::remove(&path, kind);
    }
}

/// Returns whether [`cleanup_all`] has been called.
pub(crate) fn is_stopping() -> bool {
    IS_STOPPING.load(Ordering::Relaxed)
}

/// Removes mounts, loop devices, images and folders that processes left behind which live no
/// more. What cannot be removed (somebody else's) stays.
pub fn remove_leftovers() {
    for parent in [std::env::temp_dir(), PathBuf::from(SHM)] {
        remove_leftovers_in(&parent);
    }
    detach_dead_loops();
}

/// Removes mounts, images and folders that dead processes left in `parent`.
pub(crate) fn remove_leftovers_in(parent: &Path) {
    for path in dead_folders(parent, WORK_PREFIX) {
        remove_work(&path);
    }
}

/// Removes what dead processes left in a directory of the user's.
pub(crate) fn remove_dead_guests(directory: &Path) {
    for path in dead_folders(directory, GUEST_PREFIX) {
        remove_guest(&path);
    }
}

fn folders() -> std::sync::MutexGuard<'static, Vec<(PathBuf, FolderKind)>> {
    // The list is whole even if somebody panicked while holding it.
    FOLDERS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn dead_folders(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let is_dead = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        name.strip_prefix(prefix).is_some_and(process::is_dead)
    };
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(is_dead)
        .collect()
}

/// Removes a work folder: unmounts what is mounted below it, then deletes names that are ours.
/// Never goes into a folder, so that nothing mounted there can be touched.
fn remove_work(path: &Path) {
    for point in place::mounts()
        .iter()
        .rev()
        .filter(|mount| mount.point.starts_with(path))
    {
        unmount_now_or_later(&point.point);
    }
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with("image-") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    for name in POINTS {
        let _ = fs::remove_dir(path.join(name));
    }
    let _ = fs::remove_dir(path);
}

fn remove_guest(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let (Ok(parent), Some(name)) = (place::open_directory(parent), name.to_str()) else {
        return;
    };
    for _ in 0..NR_ATTEMPTS_MAX {
        // An operation that is under way may put something back; no other begins.
        match tree::remove(&parent, name) {
            Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::NOENT) => {}
            Ok(()) | Err(_) => return,
        }
    }
}

/// Detaches loop devices on images of dead processes. They detach themselves at their last close,
/// unless the process died between two steps on a kernel before 5.8.
fn detach_dead_loops() {
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(image) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        let mark = image.split_once(WORK_PREFIX).map_or("", |parts| parts.1);
        let mark = mark.split('/').next().unwrap_or("");
        if process::is_dead(mark) {
            let device = Path::new("/dev").join(entry.file_name());
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            if let Ok(device) = rustix::fs::open(device, flags, Mode::empty()) {
                let _ = ioctl::detach_loop(&device);
            }
        }
    }
}
