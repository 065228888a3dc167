//! What the trees say of a run's subvolumes, read through tree searches.
//!
//! Everything is committed before: a search sees the trees and nothing that is delayed. References
//! are resolved by the kernel itself, from the back references, so that they can be held against
//! the items.

mod extents;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use ondisk::{
    FileExtentItem, FileExtentPlace, InodeItem, ItemError, Key, KeyRange, NameItem, TreeId,
};
use rustix::fs::{Advice, Dir, FileType, Mode, OFlags, fadvise, openat};
use rustix::io::Errno as Io;
use scenario::{
    BackendError, FileKind, Name, Outcome, Storage, TreeInode, TreeItem, TreePlace, TreeRoot, Trees,
};
use uapi::Errno;

use crate::descriptors::Descriptors;
use crate::operations::sync;
use crate::place::open_directory;
use crate::search::TreeSearch;
use crate::session::Session;
use crate::{ioctl, ioctl_trees, missing, quota, system, system_errno};

/// How long trees that change between two searches are looked at anew, and how soon.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

impl Session {
    /// Commits, empties the page cache of the run's files, and reads the trees.
    pub(crate) fn tree(&mut self) -> Result<Outcome, BackendError> {
        let parent = open_directory(&self.place.first)?;
        let (device, is_readonly) = (self.quota_device(), self.is_readonly);
        let (run, _) = self.run_mut()?;
        let top = run.tops.first();
        let mut names = vec![Name::top()];
        names.extend(run.subvolumes.iter().cloned());
        let nr_held = nr_without_names(&run.fds);
        let start = Instant::now();
        loop {
            sync(top)?;
            let may_look_again = start.elapsed() < PATIENCE;
            match read_trees(top, &names) {
                // Something in the background may still have been at work.
                Err(BackendError::Damaged { .. }) if may_look_again => {}
                Err(error) => return Err(error),
                // Unlinked inodes are evicted behind everybody's back.
                Ok((trees, _)) if nr_held < nr_orphans(&trees) && may_look_again => {
                    std::thread::sleep(PAUSE);
                }
                Ok((mut trees, ids)) => {
                    let had_lost_count = match &device {
                        Some(device) => quota::add_usages(top, device, &ids, &mut trees)?,
                        None => false,
                    };
                    if !is_readonly {
                        begin_transaction(&parent)?;
                    }
                    drop_clean_pages(top)?;
                    run.fds.held_fds().try_for_each(drop_pages)?;
                    if had_lost_count {
                        let text =
                            "quota: the kernel lost count (BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT)";
                        self.complaints.push(text.to_owned());
                    }
                    return Ok(Outcome::Trees(Box::new(trees)));
                }
            }
        }
    }
}

/// Returns what the trees say of the subvolume whose top is the folder `path`, and of the data
/// extents that it refers to. Everything is committed before, unless nothing can be.
///
/// # Errors
///
/// [`BackendError::Missing`] if `path` is no subvolume of a btrfs or the caller is not root,
/// [`BackendError::Damaged`] if what an item says makes no sense, [`BackendError::System`] if the
/// kernel does not hand the trees out.
pub fn trees_at(path: &Path) -> Result<Trees, BackendError> {
    let top = open_directory(path)?;
    if let Err(errno) = ioctl::is_subvolume_readonly(&top) {
        let what = format!("{} is not the top of a subvolume: {errno}", path.display());
        return Err(missing(
            what,
            "name a folder that btrfs subvolume show knows",
        ));
    }
    let start = Instant::now();
    loop {
        match ioctl::sync_filesystem(&top) {
            Ok(()) | Err(Errno::EROFS) => {}
            Err(errno) => return Err(system_errno("commit the filesystem", errno)),
        }
        match read_trees(top.as_fd(), &[Name::top()]) {
            // Somebody may have been at work on it.
            Err(BackendError::Damaged { .. }) if start.elapsed() < PATIENCE => {}
            result => return result.map(|(trees, _)| trees),
        }
    }
}

/// Returns the names of the subvolumes that lie in the one whose top is the folder `path`, but for
/// those in others in it: [`trees_at`] leaves all of them out.
///
/// # Errors
///
/// As [`trees_at`].
pub fn subvolumes_in(path: &Path) -> Result<Vec<String>, BackendError> {
    let top = open_directory(path)?;
    let tree = ioctl_trees::tree_of(&top)
        .map_err(|errno| system_errno(&format!("ask for the tree of {}", path.display()), errno))?;
    let references = KeyRange::of(tree.0, Key::ROOT_REF);
    let mut names = Vec::new();
    TreeSearch::new(top.as_fd()).each(TreeId::ROOT, references, |item| {
        let name = NameItem::decode_root_ref(item.bytes)?.name;
        names.push(String::from_utf8_lossy(name).into_owned());
        Ok(())
    })?;
    Ok(names)
}

/// Returns how many inodes without a name the run holds open.
fn nr_without_names(fds: &Descriptors) -> usize {
    let stats = fds.held_fds().filter_map(|fd| rustix::fs::fstat(fd).ok());
    let orphans = stats.filter(|stat| stat.st_nlink == 0);
    let inodes: BTreeSet<_> = orphans.map(|stat| (stat.st_dev, stat.st_ino)).collect();
    inodes.len()
}

/// Returns how many inodes there are that have no name.
fn nr_orphans(trees: &Trees) -> usize {
    let inodes = trees.roots.iter().flat_map(|root| &root.inodes);
    inodes.filter(|inode| inode.nlink == 0).count()
}

/// Commits a transaction of its own: a page takes the extent map that begins with it along only if
/// the map is older than the last transaction.
pub(crate) fn begin_transaction(parent: &OwnedFd) -> Result<(), BackendError> {
    let mode = rustix::fs::fstat(parent)
        .map(|stat| Mode::from_raw_mode(stat.st_mode))
        .map_err(|errno| system("look at the folder of the runs", errno))?;
    match rustix::fs::fchmod(parent, mode) {
        // It joins one before it finds no space in it (`btrfs_dirty_inode`, fs/btrfs/inode.c).
        Ok(()) | Err(rustix::io::Errno::NOSPC) => {}
        Err(errno) => return Err(system("touch the folder of the runs", errno)),
    }
    sync(parent)
}

/// Reads the trees of the subvolumes `names` below `top`. Those that are no more are left out.
fn read_trees(
    top: BorrowedFd<'_>,
    names: &[Name],
) -> Result<(Trees, BTreeMap<TreeId, Name>), BackendError> {
    let mut search = TreeSearch::new(top);
    let mut root_names = BTreeMap::new();
    let mut roots = Vec::new();
    for name in names {
        let folder = match openat(top, name.as_str(), FOLDER_FLAGS, Mode::empty()) {
            Ok(folder) => folder,
            Err(Io::NOENT | Io::NOTDIR) => continue,
            Err(errno) => return Err(system(format!("open the subvolume {name}"), errno)),
        };
        let tree = ioctl_trees::tree_of(&folder)
            .map_err(|errno| system_errno(&format!("ask for the tree of {name}"), errno))?;
        let is_readonly = ioctl::is_subvolume_readonly(&folder)
            .map_err(|errno| system_errno(&format!("ask for the flags of {name}"), errno))?;
        root_names.insert(tree, name.clone());
        roots.push(TreeRoot {
            name: name.clone(),
            is_readonly,
            usage: None,
            inodes: read_inodes(&mut search, tree)?,
        });
    }
    roots.sort_by(|one, two| one.name.cmp(&two.name));
    let extents = extents::read_extents(&mut search, top, &roots, &root_names)?;
    Ok((Trees { roots, extents }, root_names))
}

/// Reads the inode items and file extent items of a subvolume's tree.
fn read_inodes(search: &mut TreeSearch<'_>, tree: TreeId) -> Result<Vec<TreeInode>, BackendError> {
    let all = KeyRange {
        first: Key {
            object: Key::FIRST_FREE,
            kind: 0,
            offset: 0,
        },
        last: Key {
            object: Key::LAST_FREE,
            kind: u8::MAX,
            offset: u64::MAX,
        },
    };
    let mut inodes: Vec<TreeInode> = Vec::new();
    let mut last = None;
    search.each(tree, all, |item| {
        match item.key.kind {
            Key::INODE_ITEM => {
                let inode = InodeItem::decode(item.bytes)?;
                last = Some(item.key.object);
                inodes.extend(tree_inode(item.key.object, &inode));
            }
            Key::EXTENT_DATA => {
                if last == Some(item.key.object)
                    && inodes
                        .last()
                        .is_none_or(|inode| inode.ino != item.key.object)
                {
                    // The target of a symbolic link.
                    return Ok(());
                }
                let extent = FileExtentItem::decode(item.bytes)?;
                let of_inode = |inode: &&mut TreeInode| inode.ino == item.key.object;
                let inode = inodes.last_mut().filter(of_inode);
                let inode = inode.ok_or(ItemError::Unknown {
                    item: "a file extent item",
                    field: "inode",
                    value: item.key.object,
                })?;
                inode.items.push(tree_item(item.key.offset, &extent));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(inodes)
}

/// Returns the inode, if it is of a kind that scenarios know.
fn tree_inode(ino: u64, item: &InodeItem) -> Option<TreeInode> {
    let kind = match FileType::from_raw_mode(item.mode) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Fifo => FileKind::Fifo,
        _ => return None,
    };
    Some(TreeInode {
        ino,
        kind,
        nlink: item.nlink,
        size: item.size,
        nbytes: item.nbytes,
        flags: item.flags,
        items: Vec::new(),
    })
}

pub(crate) fn tree_item(offset: u64, item: &FileExtentItem) -> TreeItem {
    let (len, place) = match item.place {
        FileExtentPlace::Inline { len } => (item.ram_bytes, TreePlace::Inline { disk_len: len }),
        FileExtentPlace::Hole { len } => (len, TreePlace::Hole),
        FileExtentPlace::Extent {
            is_prealloc,
            bytenr,
            disk_len,
            offset,
            len,
        } => {
            let place = TreePlace::Extent {
                is_prealloc,
                extent: Storage(bytenr),
                disk_len,
                skip: offset,
            };
            (len, place)
        }
    };
    TreeItem {
        offset,
        len,
        ram_bytes: item.ram_bytes,
        compression: item.compression,
        place,
    }
}

const FOLDER_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Drops the clean pages of a file.
fn drop_pages(file: BorrowedFd<'_>) -> Result<(), BackendError> {
    fadvise(file, 0, None, Advice::DontNeed)
        .map_err(|errno| system("drop the pages of a file of the run", errno))
}

/// Drops the clean pages of every regular file below `folder`.
fn drop_clean_pages(folder: BorrowedFd<'_>) -> Result<(), BackendError> {
    let listed = |errno| system("list a folder of the run", errno);
    for entry in Dir::read_from(folder).map_err(listed)? {
        let entry = entry.map_err(listed)?;
        let name = entry.file_name();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = |flags| -> Result<OwnedFd, BackendError> {
            openat(folder, name, flags, Mode::empty()).map_err(|errno| {
                system(format!("open {} of the run", name.to_string_lossy()), errno)
            })
        };
        match entry.file_type() {
            FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                drop_clean_pages(opened(FOLDER_FLAGS)?.as_fd())?;
            }
            FileType::RegularFile => {
                drop_pages(opened(flags)?.as_fd())?;
            }
            _ => {}
        }
    }
    Ok(())
}
