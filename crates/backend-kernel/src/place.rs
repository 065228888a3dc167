//! Where runs happen: [`Place`], a folder of a btrfs as seen through up to three mounts, and
//! [`Tops`], the top of one run through each of them.
//!
//! It does not know how the filesystem came to be mounted.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use scenario::BackendError;
use scenario::fd::Mount;

use crate::system;

/// A folder of a mounted btrfs in which runs get a subvolume each, as seen through its mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Through the first mount, writable.
    pub first: PathBuf,
    /// Through a second writable mount, if there is one.
    pub second: Option<PathBuf>,
    /// Through a read-only mount, if there is one.
    pub readonly: Option<PathBuf>,
    /// The last component of the block device, as the kernel's log names it: `loop3`.
    pub device: Option<String>,
    /// Whether the filesystem is mounted for runs alone, and may be remounted.
    pub is_ours: bool,
}

/// The top of one run as seen through the mounts.
#[derive(Debug)]
pub(crate) struct Tops {
    first: OwnedFd,
    second: Option<OwnedFd>,
    readonly: Option<OwnedFd>,
}

impl Tops {
    /// Opens the folder `run` of `place` through every mount.
    pub(crate) fn open(place: &Place, run: &str) -> Result<Tops, BackendError> {
        let top = |folder: &PathBuf| open_directory(&folder.join(run));
        Ok(Tops {
            first: top(&place.first)?,
            second: place.second.as_ref().map(top).transpose()?,
            readonly: place.readonly.as_ref().map(top).transpose()?,
        })
    }

    /// Returns the top through the first mount.
    pub(crate) fn first(&self) -> BorrowedFd<'_> {
        self.first.as_fd()
    }

    /// Returns the top through `mount`.
    ///
    /// # Errors
    ///
    /// [`BackendError::Missing`] if there is no such mount.
    pub(crate) fn get(&self, mount: Mount) -> Result<BorrowedFd<'_>, BackendError> {
        let (top, which) = match mount {
            Mount::First => (Some(&self.first), "first"),
            Mount::Second => (self.second.as_ref(), "second"),
            Mount::ReadOnly => (self.readonly.as_ref(), "read-only"),
        };
        top.map(AsFd::as_fd).ok_or_else(|| BackendError::Missing {
            what: format!("there is no {which} mount of the filesystem under test"),
            remedy: "run as root, so that one can be made, or leave such descriptors out".into(),
        })
    }
}

/// Opens a directory for reading.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, BackendError> {
    open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| system(format!("open the folder {}", path.display()), errno))
}

/// A line of the table of mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountLine {
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The filesystem's type.
    pub(crate) fs_type: String,
    /// What is mounted: a block device, mostly.
    pub(crate) source: String,
    /// The filesystem's own options.
    pub(crate) options: String,
}

/// Returns the mounts that this thread sees, in the order of their making.
pub(crate) fn mounts() -> Vec<MountLine> {
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    table.lines().filter_map(parse_mount).collect()
}

/// Returns the mount that `path` lies on.
pub(crate) fn mount_of(path: &Path) -> Option<MountLine> {
    let covers = |mount: &MountLine| path.starts_with(&mount.point);
    // Of mounts at the same point the last one covers the others.
    mounts()
        .into_iter()
        .filter(covers)
        .max_by_key(|mount| mount.point.components().count())
}

/// Parses `36 35 98:0 /root /point options tags - type source options`.
fn parse_mount(line: &str) -> Option<MountLine> {
    let (before, after) = line.split_once(" - ")?;
    let point = PathBuf::from(unescaped(before.split(' ').nth(4)?));
    let mut after = after.split(' ');
    let fs_type = after.next()?.to_owned();
    let source = unescaped(after.next()?);
    let options = after.next().unwrap_or_default().to_owned();
    Some(MountLine {
        point,
        fs_type,
        source,
        options,
    })
}

/// Returns the text with blanks and the like, which the table writes as `\040`.
fn unescaped(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (escape, plain)| {
            text.replace(escape, plain)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_gives_point_type_and_source() {
        let line = r"36 35 98:0 /a /mnt/with\040blank rw,noatime shared:1 - btrfs /dev/loop3 rw";
        let mount = parse_mount(line).expect("a mount");
        assert_eq!(mount.point, Path::new("/mnt/with blank"));
        assert_eq!(
            (mount.fs_type.as_str(), mount.source.as_str()),
            ("btrfs", "/dev/loop3")
        );
    }

    #[test]
    fn what_is_no_line_of_mountinfo_is_left_out() {
        assert_eq!(parse_mount("36 35"), None);
    }
}
