//! A directory of the user's on a mounted btrfs: [`Directory`] touches one folder of its own in it.
//!
//! It changes neither mount options nor anything else of the user's filesystem.

use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use scenario::BackendError;

use crate::leftovers::{self, Folder};
use crate::mounting::{POINTS, bind, bind_readonly, make_point};
use crate::place::{self, Place};
use crate::{missing, process, system};

/// `f_type` of btrfs.
const BTRFS_SUPER_MAGIC: i64 = 0x9123_683e;

/// Our folder in the user's directory, and where it is mounted once more if we are root.
#[derive(Debug)]
pub(crate) struct Directory {
    place: Place,
    mounts: Option<Folder>,
    guest: Folder,
}

impl Directory {
    /// Makes a folder of our own in `path`; removes those of dead processes.
    pub(crate) fn new(path: &Path) -> Result<Directory, BackendError> {
        let path = checked(path)?;
        leftovers::remove_dead_guests(&path);
        let guest = Folder::guest(&path)?;
        let device = place::mount_of(&path)
            .and_then(|mount| mount.source.rsplit('/').next().map(str::to_owned));
        let first = guest.path().to_owned();
        let place = Place {
            first,
            second: None,
            readonly: None,
            device,
            is_ours: false,
        };
        let mut directory = Directory {
            place,
            mounts: None,
            guest,
        };
        if process::is_root() {
            directory.mount()?;
        }
        Ok(directory)
    }

    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    fn mount(&mut self) -> Result<(), BackendError> {
        let folder = self.mounts.insert(Folder::work(&std::env::temp_dir())?);
        let [_, second, readonly] = POINTS.map(|name| folder.path().join(name));
        make_point(&second)?;
        make_point(&readonly)?;
        bind(self.guest.path(), &second)?;
        bind_readonly(self.guest.path(), &readonly)?;
        self.place.second = Some(second);
        self.place.readonly = Some(readonly);
        Ok(())
    }
}

/// Returns the path without links, if it is a directory on btrfs.
fn checked(path: &Path) -> Result<PathBuf, BackendError> {
    let remedy = "name a folder on a mounted btrfs, or leave it out to have one made (needs root)";
    let shown = path.display();
    let real = path
        .canonicalize()
        .map_err(|error| missing(format!("{shown}: {error}"), remedy))?;
    if !real.is_dir() {
        return Err(missing(format!("{shown} is not a directory"), remedy));
    }
    let stat = statfs(&real).map_err(|errno| system(format!("ask what {shown} is on"), errno))?;
    if stat.f_type != BTRFS_SUPER_MAGIC {
        let fs_type = place::mount_of(&real)
            .map_or_else(|| format!("type {:#x}", stat.f_type), |mount| mount.fs_type);
        return Err(missing(
            format!("{shown} is on {fs_type}, not on btrfs"),
            remedy,
        ));
    }
    Ok(real)
}
