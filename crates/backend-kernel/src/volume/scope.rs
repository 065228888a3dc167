//! Which files are in scope: [`Scope`].
//!
//! A folder is walked by listing it; no file is opened. A whole subvolume of a btrfs is not even
//! walked: its tree says what is in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, fstatfs, openat, statat};
use scenario::BackendError;
use uapi::Errno;
use volume::{FileId, VolumeError};

use super::pages::RootScope;
use super::trees::Trees;
use super::{Options, SkipReason, Skipped};
use crate::{errno_of, ioctl_trees, missing, place};

/// `BTRFS_SUPER_MAGIC`.
const BTRFS_MAGIC: u64 = 0x9123_683E;
/// Folders in folders are followed so deep: more than a path can name.
const DEPTH_MAX: usize = 4096;

const LOOK: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);
const LOOK_INTO: OFlags = LOOK.union(OFlags::DIRECTORY);

/// Opens a folder to be listed. Listing is no access if this is the owner to say so: it would
/// change the folder, once a day at least, and with it the filesystem.
fn open_folder(at: impl AsFd, path: impl rustix::path::Arg + Copy) -> rustix::io::Result<OwnedFd> {
    let open = |flags| openat(at.as_fd(), path, flags, Mode::empty());
    open(LOOK_INTO | OFlags::NOATIME).or_else(|_| open(LOOK_INTO))
}

/// A path that was named.
#[derive(Debug)]
struct Top {
    path: PathBuf,
    id: FileId,
    is_folder: bool,
}

/// What was named, all on one filesystem.
#[derive(Debug)]
pub(super) struct Scope {
    tops: Vec<Top>,
    /// A folder or file on the filesystem.
    fd: OwnedFd,
    filesystem: Filesystem,
    /// The subvolume of each device number, `None` for other filesystems.
    roots: FxHashMap<u64, Option<u64>>,
    /// What cannot be in scope.
    pub(super) skipped: Vec<Skipped>,
}

/// Which filesystem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filesystem {
    /// A btrfs by its id: each subvolume has a device number of its own.
    Btrfs([u8; 16]),
    /// Another one by its device number.
    Other(u64),
}

/// A file that was found.
type Visit<'a> = &'a mut dyn FnMut(FileId, PathBuf);

impl Scope {
    /// Looks at the paths that were named.
    pub(super) fn new(options: &Options<'_>) -> Result<Scope, BackendError> {
        let mut skipped = Vec::new();
        let mut skip = |path: &Path, why| {
            skipped.push(Skipped {
                path: path.to_owned(),
                why,
            });
        };
        let mut named = Vec::new();
        for path in options.paths {
            match statat(CWD, path.as_path(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(errno) => skip(path, SkipReason::Refused(errno_of(errno))),
                Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => named.push((path, stat.st_dev, stat.st_ino, false)),
                    FileType::Directory => named.push((path, stat.st_dev, stat.st_ino, true)),
                    FileType::Symlink => skip(path, SkipReason::Symlink),
                    _ => skip(path, SkipReason::NotAFile),
                },
            }
        }
        let opened = named.iter().find_map(|(path, ..)| {
            let opened = openat(CWD, path.as_path(), LOOK, Mode::empty());
            opened
                .map_err(|errno| skip(path, SkipReason::Refused(errno_of(errno))))
                .ok()
        });
        let Some(fd) = opened else {
            let why = skipped
                .first()
                .map_or_else(String::new, |Skipped { path, why }| {
                    format!(": {}: {why}", path.display())
                });
            return Err(missing(
                format!("none of the paths can be looked at{why}"),
                "name files or folders that exist and may be read",
            ));
        };
        let mut scope = Scope {
            filesystem: filesystem_of(&fd)
                .map_err(|errno| crate::system_errno("look at the filesystem", errno))?,
            fd,
            tops: Vec::with_capacity(named.len()),
            roots: FxHashMap::default(),
            skipped,
        };
        for (path, dev, inode, is_folder) in named {
            let root = scope.root_of(dev, || openat(CWD, path.as_path(), LOOK, Mode::empty()));
            match root {
                Err(why) => scope.skip(path.clone(), why),
                Ok(root) => scope.tops.push(Top {
                    path: path.clone(),
                    id: FileId { root, inode },
                    is_folder,
                }),
            }
        }
        Ok(scope)
    }

    pub(super) fn is_btrfs(&self) -> bool {
        matches!(self.filesystem, Filesystem::Btrfs(_))
    }

    /// Returns another descriptor on the filesystem.
    pub(super) fn clone_fd(&self) -> Result<OwnedFd, BackendError> {
        let cloned = self.fd.try_clone();
        cloned.map_err(|source| BackendError::System {
            action: "clone a descriptor".to_owned(),
            source,
        })
    }

    /// Returns the inodes in scope of each subvolume.
    pub(super) fn for_trees(
        &mut self,
        trees: &mut Trees,
        options: &Options<'_>,
    ) -> Result<BTreeMap<u64, RootScope>, VolumeError> {
        let mut found: BTreeMap<u64, RootScope> = BTreeMap::new();
        let tops = std::mem::take(&mut self.tops);
        let mounts = place::mounts();
        for top in &tops {
            let is_whole = top.is_folder
                && options.is_recursive
                && options.is_excluded.is_none()
                && top.id.inode == ondisk::Key::FIRST_FREE
                && has_no_mounts_below(&top.path, &mounts);
            if !is_whole {
                self.visit(top, options, &mut |file, _| {
                    let of_root = found.entry(file.root);
                    if let RootScope::Some(inodes) =
                        of_root.or_insert_with(|| RootScope::Some(Vec::new()))
                    {
                        inodes.push(file.inode);
                    }
                });
                continue;
            }
            let mut roots = vec![top.id.root];
            while let Some(root) = roots.pop() {
                if found.insert(root, RootScope::All) != Some(RootScope::All) {
                    roots.extend(trees.roots_in(root)?);
                }
            }
        }
        for scope in found.values_mut() {
            if let RootScope::Some(inodes) = scope {
                inodes.sort_unstable();
                inodes.dedup();
            }
        }
        self.tops = tops;
        Ok(found)
    }

    /// Returns the files in scope with a name of each.
    pub(super) fn for_map(&mut self, options: &Options<'_>) -> BTreeMap<FileId, PathBuf> {
        let mut found = BTreeMap::new();
        let tops = std::mem::take(&mut self.tops);
        for top in &tops {
            self.visit(top, options, &mut |file, path| {
                found.entry(file).or_insert(path);
            });
        }
        self.tops = tops;
        found
    }

    /// Returns the folders that were named, and the files.
    pub(super) fn names(&self) -> impl Iterator<Item = (FileId, &Path)> {
        self.tops.iter().map(|top| (top.id, top.path.as_path()))
    }

    /// Returns the folders that were named, and those of the files.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.tops.iter().filter_map(|top| match top.is_folder {
            true => Some(top.path.as_path()),
            false => top.path.parent(),
        })
    }

    fn skip(&mut self, path: PathBuf, why: SkipReason) {
        self.skipped.push(Skipped { path, why });
    }

    fn visit(&mut self, top: &Top, options: &Options<'_>, visit: Visit<'_>) {
        let is_excluded = options.is_excluded.is_some_and(|is| is(&top.path));
        match top.is_folder {
            _ if is_excluded => {}
            false => {
                (options.on_found)();
                visit(top.id, top.path.clone());
            }
            true => match open_folder(CWD, top.path.as_path()) {
                Ok(fd) => self.walk(&fd, &top.path, top.id.root, options, DEPTH_MAX, visit),
                Err(errno) => self.skip(top.path.clone(), SkipReason::Refused(errno_of(errno))),
            },
        }
    }

    /// Visits every file below a folder.
    fn walk(
        &mut self,
        folder: &OwnedFd,
        path: &Path,
        root: u64,
        options: &Options<'_>,
        depth_left: usize,
        visit: Visit<'_>,
    ) {
        let entries = match Dir::read_from(folder) {
            Ok(entries) => entries,
            Err(errno) => return self.skip(path.to_owned(), SkipReason::Refused(errno_of(errno))),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => {
                    return self.skip(path.to_owned(), SkipReason::Refused(errno_of(errno)));
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            if options.is_excluded.is_some_and(|is| is(&path)) {
                continue;
            }
            let kind = match entry.file_type() {
                // Filesystems need not say.
                FileType::Unknown => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(errno) => {
                        self.skip(path, SkipReason::Refused(errno_of(errno)));
                        continue;
                    }
                },
                kind => kind,
            };
            match kind {
                FileType::RegularFile => {
                    let inode = entry.ino();
                    (options.on_found)();
                    visit(FileId { root, inode }, path);
                }
                FileType::Directory if !options.is_recursive || depth_left == 0 => {
                    self.skip(path, SkipReason::Folder);
                }
                FileType::Directory => {
                    let inner = open_folder(folder, name).map_err(errno_of);
                    let rooted = inner.map_err(SkipReason::Refused).and_then(|inner| {
                        let dev = fstat(&inner).map_err(|it| SkipReason::Refused(errno_of(it)))?;
                        let opened = || inner.try_clone().map_err(|_| rustix::io::Errno::MFILE);
                        let root = self.root_of(dev.st_dev, opened)?;
                        Ok((inner, root))
                    });
                    match rooted {
                        Err(why) => self.skip(path, why),
                        Ok((inner, root)) => {
                            self.walk(&inner, &path, root, options, depth_left - 1, visit);
                        }
                    }
                }
                FileType::Symlink => self.skip(path, SkipReason::Symlink),
                _ => self.skip(path, SkipReason::NotAFile),
            }
        }
    }

    /// Returns the subvolume of a device number, found out with what `open` opens.
    fn root_of(
        &mut self,
        dev: u64,
        open: impl FnOnce() -> rustix::io::Result<OwnedFd>,
    ) -> Result<u64, SkipReason> {
        let known = match self.roots.get(&dev) {
            Some(root) => *root,
            None => {
                let refused = SkipReason::Refused;
                let fd = open().map_err(|errno| refused(errno_of(errno)))?;
                let is_ours = filesystem_of(&fd).map_err(refused)? == self.filesystem;
                let root = match (is_ours, self.filesystem) {
                    (false, _) => None,
                    (true, Filesystem::Other(_)) => Some(0),
                    (true, Filesystem::Btrfs(_)) => {
                        Some(ioctl_trees::tree_of(&fd).map_err(refused)?.0)
                    }
                };
                self.roots.insert(dev, root);
                root
            }
        };
        known.ok_or(SkipReason::OtherFilesystem)
    }
}

/// Returns which filesystem a descriptor is on.
fn filesystem_of(fd: impl AsFd) -> Result<Filesystem, Errno> {
    let magic = fstatfs(&fd).map_err(errno_of)?.f_type;
    if magic as u64 == BTRFS_MAGIC {
        return Ok(Filesystem::Btrfs(ioctl_trees::fs_info(fd)?.fsid));
    }
    let stat = fstat(fd).map_err(errno_of)?;
    Ok(Filesystem::Other(stat.st_dev))
}

/// Returns whether a descriptor is on the btrfs with this id.
pub(super) fn is_on_btrfs(fd: impl AsFd, id: [u8; 16]) -> bool {
    filesystem_of(fd) == Ok(Filesystem::Btrfs(id))
}

/// Returns whether two descriptors are on one filesystem.
pub(super) fn are_together(one: impl AsFd, other: impl AsFd) -> bool {
    filesystem_of(one).is_ok_and(|filesystem| filesystem_of(other) == Ok(filesystem))
}

/// Returns whether nothing is mounted in the folder, so that its tree says what is in it.
fn has_no_mounts_below(path: &Path, mounts: &[place::MountLine]) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let is_below = |point: &Path| point != path && point.starts_with(&path);
    !mounts.iter().any(|mount| is_below(&mount.point))
}
