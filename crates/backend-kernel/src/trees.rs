//! What the trees say of a run's subvolumes, read through tree searches.
//!
//! Everything is committed before: a search sees the trees and nothing that is delayed. References
//! are resolved by the kernel itself, from the back references, so that they can be held against
//! the items.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use data::Digest;
use ondisk::{
    ExtentItem, FileExtentItem, FileExtentPlace, InodeItem, ItemError, Key, KeyRange, TreeId,
};
use rustix::fs::{Advice, Dir, FileType, Mode, OFlags, fadvise, openat};
use scenario::{
    BackendError, FileKind, Name, Outcome, Storage, TreeCsums, TreeExtent, TreeInode, TreeItem,
    TreePlace, TreeRef, TreeRoot, Trees,
};
use uapi::Errno;

use crate::descriptors::Descriptors;
use crate::place::open_directory;
use crate::search::{TreeSearch, damaged};
use crate::session::Session;
use crate::{ioctl, ioctl_trees, missing, system, system_errno};

/// Words of a buffer for resolved references: 2 of its header, 3 for each.
const REFS_LEN: usize = 2 + 3 * 21_000;
/// Bytes of a block with a checksum.
const BLOCK: u64 = 4096;
/// Bytes of a crc32c.
const CSUM_LEN: u64 = 4;
/// More than the blocks have whose checksums fit into one item, bytes.
const CSUM_ITEM_REACH: u64 = 64 << 20;
/// How long trees that change between two searches are looked at anew, and how soon.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

impl Session {
    /// Commits, empties the page cache of the run's files, and reads the trees.
    pub(crate) fn tree(&mut self) -> Result<Outcome, BackendError> {
        let parent = open_directory(&self.place.first)?;
        let (run, _) = self.run_mut()?;
        let top = run.tops.first();
        let mut names = vec![Name::top()];
        names.extend(run.subvolumes.iter().cloned());
        let nr_held = nr_without_names(&run.fds);
        let start = Instant::now();
        loop {
            ioctl::sync_filesystem(top)
                .map_err(|errno| system_errno("commit the filesystem", errno))?;
            let may_look_again = start.elapsed() < PATIENCE;
            match read_trees(top, &names) {
                // Something in the background may still have been at work.
                Err(BackendError::Damaged { .. }) if may_look_again => {}
                Err(error) => return Err(error),
                // Unlinked inodes are evicted behind everybody's back.
                Ok(trees) if nr_held < nr_orphans(&trees) && may_look_again => {
                    std::thread::sleep(PAUSE);
                }
                Ok(trees) => {
                    begin_transaction(&parent)?;
                    drop_clean_pages(top)?;
                    run.fds.held_fds().try_for_each(drop_pages)?;
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
            result => return result,
        }
    }
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
fn begin_transaction(parent: &OwnedFd) -> Result<(), BackendError> {
    let mode = rustix::fs::fstat(parent)
        .map(|stat| Mode::from_raw_mode(stat.st_mode))
        .map_err(|errno| system("look at the folder of the runs", errno))?;
    rustix::fs::fchmod(parent, mode)
        .map_err(|errno| system("touch the folder of the runs", errno))?;
    ioctl::sync_filesystem(parent).map_err(|errno| system_errno("commit the filesystem", errno))
}

/// Reads the trees of the subvolumes `names` below `top`. Those that are no more are left out.
fn read_trees(top: BorrowedFd<'_>, names: &[Name]) -> Result<Trees, BackendError> {
    let mut search = TreeSearch::new(top);
    let mut root_names = BTreeMap::new();
    let mut roots = Vec::new();
    for name in names {
        let Ok(folder) = openat(top, name.as_str(), FOLDER_FLAGS, Mode::empty()) else {
            continue;
        };
        let tree = ioctl_trees::tree_of(&folder)
            .map_err(|errno| system_errno(&format!("ask for the tree of {name}"), errno))?;
        let is_readonly = ioctl::is_subvolume_readonly(&folder)
            .map_err(|errno| system_errno(&format!("ask for the flags of {name}"), errno))?;
        root_names.insert(tree, name.clone());
        roots.push(TreeRoot {
            name: name.clone(),
            is_readonly,
            inodes: read_inodes(&mut search, tree)?,
        });
    }
    roots.sort_by(|one, two| one.name.cmp(&two.name));
    let extents = read_extents(&mut search, top, &roots, &root_names)?;
    Ok(Trees { roots, extents })
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

fn tree_item(offset: u64, item: &FileExtentItem) -> TreeItem {
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

/// Reads the extents that the items of `roots` refer to.
fn read_extents(
    search: &mut TreeSearch<'_>,
    top: BorrowedFd<'_>,
    roots: &[TreeRoot],
    root_names: &BTreeMap<TreeId, Name>,
) -> Result<Vec<TreeExtent>, BackendError> {
    let items = roots.iter().flat_map(|root| &root.inodes);
    let items = items.flat_map(|inode| &inode.items);
    let wanted: BTreeSet<(u64, u64)> = items
        .filter_map(|item| match item.place {
            TreePlace::Extent {
                extent: Storage(bytenr),
                disk_len,
                ..
            } => Some((bytenr, disk_len)),
            TreePlace::Inline { .. } | TreePlace::Hole => None,
        })
        .collect();
    let csums = read_csums(search, &wanted)?;
    let mut buffer = vec![0; REFS_LEN];
    let mut extents = Vec::with_capacity(wanted.len());
    for &(bytenr, len) in &wanted {
        let key = Key {
            object: bytenr,
            kind: Key::EXTENT_ITEM,
            offset: len,
        };
        let mut is_there = false;
        let only = KeyRange {
            first: key,
            last: key,
        };
        search.each(TreeId::EXTENT, only, |item| {
            is_there = ExtentItem::decode(item.bytes)?.is_data;
            Ok(())
        })?;
        if !is_there {
            let what = "there is no such data extent, and a file extent item refers to it";
            return Err(damaged(TreeId::EXTENT, key, &what));
        }
        extents.push(TreeExtent {
            extent: Storage(bytenr),
            len,
            refs: resolve(top, bytenr, root_names, &mut buffer)?,
            csums: csums_of(&csums, bytenr, len),
        });
    }
    Ok(extents)
}

/// Returns everything that refers to the extent, as the kernel resolves its back references.
fn resolve(
    top: BorrowedFd<'_>,
    bytenr: u64,
    root_names: &BTreeMap<TreeId, Name>,
    buffer: &mut [u64],
) -> Result<Vec<TreeRef>, BackendError> {
    match ioctl_trees::logical_ino(top, bytenr, buffer) {
        Ok(()) => {}
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        Err(errno) => {
            let action = format!("resolve the back references of the extent at {bytenr}");
            return Err(system_errno(&action, errno));
        }
    }
    // Two words of header: bytes left and missing, elements there and missed, each 32 bits.
    let counts = buffer[1].to_ne_bytes();
    let (nr_words, nr_missed) = counts.split_at(4);
    let count = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes) as usize;
    let (nr_words, nr_missed) = (count(nr_words), count(nr_missed));
    if 0 < nr_missed {
        return Err(BackendError::Channel(format!(
            "the extent at {bytenr} has more references than fit into a buffer of {} bytes",
            size_of_val(buffer)
        )));
    }
    let words = &buffer[2..];
    let mut refs: Vec<TreeRef> = words[..nr_words.min(words.len())]
        .chunks_exact(3)
        .map(|words| TreeRef {
            root: root_names.get(&TreeId(words[2])).cloned(),
            ino: words[0],
            offset: words[1],
        })
        .collect();
    refs.sort();
    Ok(refs)
}

/// The checksums of a range of the filesystem, by the address of its first block.
type CsumItems = BTreeMap<u64, Vec<u8>>;

/// Reads the checksum items that can be about `wanted`.
fn read_csums(
    search: &mut TreeSearch<'_>,
    wanted: &BTreeSet<(u64, u64)>,
) -> Result<CsumItems, BackendError> {
    let mut items = CsumItems::new();
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
        return Ok(items);
    };
    let of = KeyRange::of(Key::CSUM_OBJECT, Key::EXTENT_CSUM);
    let range = KeyRange {
        first: Key {
            offset: first.0.saturating_sub(CSUM_ITEM_REACH),
            ..of.first
        },
        last: Key {
            offset: last.0.saturating_add(last.1),
            ..of.last
        },
    };
    search.each(TreeId::CSUM, range, |item| {
        items.insert(item.key.offset, item.bytes.to_vec());
        Ok(())
    })?;
    Ok(items)
}

/// Returns what of an extent has checksums.
fn csums_of(items: &CsumItems, bytenr: u64, len: u64) -> Vec<TreeCsums> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    let (start, end) = (bytenr, bytenr + len);
    let before = items.range(..=start).next_back();
    let after = items.range(start + 1..end);
    for (&at, bytes) in before.into_iter().chain(after) {
        let item_end = at + bytes.len() as u64 / CSUM_LEN * BLOCK;
        let (from, to) = (at.max(start), item_end.min(end));
        if to <= from {
            continue;
        }
        let part = |address: u64| ((address - at) / BLOCK * CSUM_LEN) as usize;
        let part = &bytes[part(from)..part(to)];
        let run_end = |run: &(u64, Vec<u8>)| run.0 + run.1.len() as u64 / CSUM_LEN * BLOCK + bytenr;
        match runs.last_mut() {
            Some(run) if run_end(run) == from => run.1.extend_from_slice(part),
            _ => runs.push((from - bytenr, part.to_vec())),
        }
    }
    let csums = runs.into_iter().map(|(offset, bytes)| TreeCsums {
        offset,
        len: bytes.len() as u64 / CSUM_LEN * BLOCK,
        digest: Digest::of(&bytes),
    });
    csums.collect()
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
