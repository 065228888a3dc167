//! A btrfs seen through its trees, by root: [`TreeVolume`].
//!
//! Files are opened to be read, deduped or created, by number and for reading only: the kernel lets
//! root share the data of a file that is open for reading, in read-only snapshots too.

mod history;

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ondisk::{FileExtentItem, Key, KeyRange, TreeId};
use rustc_hash::FxHashMap;
use rustix::fs::{CWD, Mode, OFlags, openat};
use scenario::BackendError;
use uapi::Errno;
use volume::{
    ChecksumStrength, DedupeRequest, DedupeStatus, DedupeTarget, Extent, ExtentReferences, File,
    FileExtent, FileId, FileRange, Page, Position, SpaceRule, Volume, VolumeError, Work,
};

use super::csums::Csums;
use super::files::{self, Descriptors, of_file, write_error};
use super::items::{file_extent_of, file_of};
use super::pages::Pages;
use super::references;
use super::scope::Scope;
use super::trees::{FS_TREE, Size, Trees};
use super::{Opened, Options, Scan, Sight, commit, fatal};
use crate::ioctl_handle::open_inode;
use crate::{ioctl_space, ioctl_trees, system_errno};

/// `BTRFS_MAX_DEDUPE_LEN`: longer ranges are cut by the kernel, or were refused once.
const DEDUPE_LEN_MAX: u64 = 16 << 20;
/// How far before a place the file extent that reaches over it can begin, bytes, tried one after
/// the other: no extent of data is longer than 128 MiB, none preallocated longer than 256 MiB.
const BEFORE: [u64; 4] = [0, 1 << 20, 16 << 20, 256 << 20];
/// So many names of files are kept, to be told again.
const NR_NAMES_MAX: usize = 1 << 16;
/// Names are put together from so many parts at most.
const NR_PARTS_MAX: usize = 4096;
/// How long an inode that nothing holds any more may take to go.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

/// The volume.
#[derive(Debug)]
pub(super) struct TreeVolume {
    trees: Trees,
    pages: Pages,
    csums: Csums,
    block_bytes: u64,
    csum_bytes: usize,
    csum_kind: u16,
    filesystem: [u8; 16],
    has_checksums: bool,
    descriptors: Descriptors,
    /// Folders and files that were named or told of, with their names.
    names: FxHashMap<FileId, PathBuf>,
    /// Folders for temporaries, if there can be none beside a file.
    folders: Vec<PathBuf>,
    nr_io_threads: usize,
    is_committed: bool,
    /// Temporaries that were given up and may still be there.
    removed: Vec<FileId>,
}

impl TreeVolume {
    pub(super) fn open(options: &Options<'_>, mut scope: Scope) -> Result<Opened, BackendError> {
        let fd = scope.clone_fd()?;
        let info = ioctl_trees::fs_info(&fd)
            .map_err(|errno| system_errno("ask what the filesystem is like", errno))?;
        let mut trees = Trees::new(fd, info.node_bytes, options.nr_io_threads);
        let in_scope = scope.for_trees(&mut trees, options);
        let in_scope = in_scope.map_err(|error| BackendError::Channel(error.to_string()))?;
        let has_checksums = options.scan != Scan::Read;
        let volume = TreeVolume {
            trees,
            pages: Pages::new(in_scope, options.min_bytes),
            csums: Csums::new(info.sector_bytes.into(), info.csum_bytes),
            block_bytes: info.sector_bytes.into(),
            csum_bytes: info.csum_bytes,
            csum_kind: info.csum_kind,
            filesystem: info.fsid,
            has_checksums,
            descriptors: Descriptors::new(),
            names: scope
                .names()
                .map(|(file, path)| (file, path.to_owned()))
                .collect(),
            folders: scope.folders().take(1).map(PathBuf::from).collect(),
            nr_io_threads: options.nr_io_threads,
            is_committed: false,
            removed: Vec::new(),
        };
        Ok(Opened {
            volume: Sight::Trees(Box::new(volume)),
            has_checksums,
            skipped: scope.skipped,
        })
    }

    /// Returns the file, open for reading.
    fn fd(&mut self, file: FileId) -> Result<Arc<OwnedFd>, Errno> {
        let (trees, births) = (&mut self.trees, &self.pages.births);
        self.descriptors.get(file, || {
            // Reading is no access: it would change the inode, and all would be newer next time.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOATIME;
            let open = |trees: &Trees, generation| {
                open_inode(trees.fd(), file.root, file.inode, generation, flags)
            };
            if let Some(generation) = births.of(file) {
                match open(trees, generation) {
                    // It is gone, or another one has its number.
                    Err(Errno::ESTALE) => {}
                    result => return result,
                }
            }
            let inode = trees.inode(file.root, file.inode);
            let inode = inode.map_err(|_| Errno::EIO)?.ok_or(Errno::ENOENT)?;
            open(trees, inode.generation)
        })
    }

    /// Returns a folder that files like `like` can be created in.
    fn folders_for(&mut self, like: FileId) -> Vec<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut found = Vec::new();
        if let Ok(Some((folder, _))) = self.trees.name(like.root, like.inode)
            && let Ok(Some(inode)) = self.trees.inode(like.root, folder)
        {
            let fd = self.trees.fd();
            found.extend(open_inode(fd, like.root, folder, inode.generation, flags));
        }
        for folder in &self.folders {
            found.extend(openat(CWD, folder.as_path(), flags, Mode::empty()));
        }
        found
    }

    /// Returns the file extent that a range begins with, if all of the range is in that.
    fn sole_extent(&mut self, range: FileRange) -> Result<Option<FileExtent>, VolumeError> {
        let key = Key {
            object: range.file.inode,
            kind: Key::EXTENT_DATA,
            offset: range.offset,
        };
        let mut found = None;
        let (tree, keys) = (TreeId(range.file.root), KeyRange::only(key));
        self.trees.each(Size::One, tree, keys, 0, |item| {
            let extent = file_extent_of(item.key.offset, &FileExtentItem::decode(item.bytes)?);
            found = (range.end() <= item.key.offset.saturating_add(extent.len)).then_some(extent);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Appends the file extents of a range, if one at its begin or before it is found when the
    /// search begins `before` bytes before.
    fn file_extents_from(
        &mut self,
        range: FileRange,
        before: u64,
        found: &mut Vec<FileExtent>,
    ) -> Result<bool, VolumeError> {
        let start = range.offset.saturating_sub(before);
        let key = |offset| Key {
            object: range.file.inode,
            kind: Key::EXTENT_DATA,
            offset,
        };
        let keys = KeyRange {
            first: key(start),
            last: key(range.end().saturating_sub(1)),
        };
        let mut has_first = start == 0;
        let tree = TreeId(range.file.root);
        self.trees.each(Size::Small, tree, keys, 0, |item| {
            let offset = item.key.offset;
            has_first |= offset <= range.offset;
            let extent = file_extent_of(offset, &FileExtentItem::decode(item.bytes)?);
            if range.offset < offset.saturating_add(extent.len) {
                found.push(extent);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(has_first)
    }

    /// Waits until the temporaries that were given up are gone: somebody in the kernel may still
    /// hold them, and their extents with them.
    fn wait_for_removed(&mut self) -> Result<(), VolumeError> {
        let start = Instant::now();
        while let Some(&file) = self.removed.last() {
            if self.trees.inode(file.root, file.inode)?.is_none() || PATIENCE < start.elapsed() {
                self.removed.pop();
                continue;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Volume for TreeVolume {
    volume::forward! { to (self.descriptors): write begin_flush flush }

    fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    fn space_rule(&self) -> SpaceRule {
        SpaceRule::WholeExtents
    }

    fn checksum_strength(&self) -> Option<ChecksumStrength> {
        let strength = match self.csum_bytes {
            ..8 => ChecksumStrength::Weak,
            _ => ChecksumStrength::Strong,
        };
        self.has_checksums.then_some(strength)
    }

    fn dedupe_len_max(&self) -> u64 {
        DEDUPE_LEN_MAX
    }

    fn next_page(
        &mut self,
        from: Position,
        newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        if from == Position::default() || !self.is_committed {
            commit(self.trees.fd())?;
            self.is_committed = true;
            self.csums.forget();
        }
        self.pages.next(&mut self.trees, from, newer_than, page)
    }

    fn walked(&self) -> Option<f64> {
        self.pages.walked()
    }

    fn file(&mut self, file: FileId) -> Result<Option<File>, VolumeError> {
        if let Some(fd) = self.descriptors.temporary(file) {
            let looked = files::look_at_temporary(file, fd);
            return looked
                .map(Some)
                .map_err(|errno| of_file(file, "look at", errno));
        }
        if let Some(file) = self.pages.memo.file(file) {
            return Ok(Some(file));
        }
        let inode = self.trees.inode(file.root, file.inode)?;
        Ok(inode.map(|inode| file_of(file.root, file.inode, &inode)))
    }

    fn file_extents(
        &mut self,
        range: FileRange,
        found: &mut Vec<FileExtent>,
    ) -> Result<(), VolumeError> {
        // Mostly that is it, and for more the kernel looks at all that is left of the leaf.
        if let Some(extent) = self.sole_extent(range)? {
            found.push(extent);
            return Ok(());
        }
        let nr_before = found.len();
        for before in BEFORE {
            found.truncate(nr_before);
            if self.file_extents_from(range, before, found)? {
                break;
            }
        }
        Ok(())
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        let pace = self.pages.pace();
        references::of(&mut self.trees, extents, &self.pages.memo, pace)
    }

    fn checksums(
        &mut self,
        address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        if !self.has_checksums {
            let nr_blocks = len.div_ceil(self.block_bytes);
            found.extend((0..nr_blocks).map(|_| None));
            return Ok(());
        }
        self.csums.append(&mut self.trees, address, len, found)
    }

    fn read(&mut self, file: FileId, offset: u64, bytes: &mut [u8]) -> Result<usize, VolumeError> {
        files::read(self.fd(file), file, offset, bytes)
    }

    fn hash_blocks(
        &mut self,
        ranges: &[FileRange],
        hash: fn(&[u8]) -> u64,
        found: &mut Vec<Result<Vec<u64>, VolumeError>>,
    ) -> Result<(), VolumeError> {
        let (block, nr_threads) = (self.block_bytes, self.nr_io_threads);
        let open = |file| self.fd(file);
        files::hash_blocks(ranges, block, nr_threads, open, hash, found);
        Ok(())
    }

    fn work(&self) -> Work {
        Work {
            nr_items: self.trees.nr_items,
            nr_opened: self.descriptors.nr_opened,
        }
    }

    fn read_ahead(&mut self, ranges: &[FileRange]) {
        files::read_ahead(ranges, |file| self.fd(file));
    }

    fn dedupe(
        &mut self,
        source: FileRange,
        targets: &[DedupeTarget],
    ) -> Result<Vec<DedupeStatus>, VolumeError> {
        self.pages.forget();
        files::dedupe(&DedupeRequest { source, targets }, |file| self.fd(file))
    }

    fn nr_at_once(&self) -> usize {
        self.nr_io_threads
    }

    fn dedupe_all(
        &mut self,
        requests: &[DedupeRequest<'_>],
        found: &mut Vec<Result<Vec<DedupeStatus>, VolumeError>>,
    ) -> Result<(), VolumeError> {
        self.pages.forget();
        let nr_threads = self.nr_io_threads;
        files::dedupe_all(requests, nr_threads, |file| self.fd(file), found);
        Ok(())
    }

    fn create(&mut self, like: FileId) -> Result<FileId, VolumeError> {
        let wrong = |errno| write_error(like, "create a file beside", errno);
        self.pages.forget();
        let inode = self.trees.inode(like.root, like.inode)?;
        let inode = inode.ok_or_else(|| wrong(Errno::ENOENT))?;
        let is_nodatasum = file_of(like.root, like.inode, &inode).is_nodatasum;
        let mut last = Errno::ENOENT;
        for folder in self.folders_for(like) {
            match files::create(folder, is_nodatasum) {
                Err(errno) => last = errno,
                Ok(fd) => {
                    let root = ioctl_trees::tree_of(&fd).map_err(wrong)?.0;
                    let inode = files::inode_of(&fd).map_err(wrong)?;
                    let file = FileId { root, inode };
                    self.descriptors.keep_temporary(file, fd);
                    return Ok(file);
                }
            }
        }
        Err(wrong(last))
    }

    fn remove(&mut self, file: FileId) -> Result<(), VolumeError> {
        if self.descriptors.remove_temporary(file) {
            self.removed.push(file);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), VolumeError> {
        self.pages.forget();
        commit(self.trees.fd())?;
        self.is_committed = true;
        if !self.removed.is_empty() {
            self.wait_for_removed()?;
            commit(self.trees.fd())?;
        }
        Ok(())
    }

    fn used_bytes(&mut self) -> Result<u64, VolumeError> {
        let used = ioctl_space::data_bytes(self.trees.fd());
        used.map_err(|errno| fatal("ask for the used space", errno))
    }

    fn path(&mut self, file: FileId) -> Option<String> {
        let mut parts: Vec<(Vec<u8>, FileId)> = Vec::new();
        let mut at = file;
        let mut path = loop {
            if let Some(name) = self.names.get(&at) {
                break name.clone();
            }
            let is_top = at.inode == Key::FIRST_FREE;
            if is_top && at.root == FS_TREE || NR_PARTS_MAX < parts.len() {
                break PathBuf::from("/");
            }
            let name = match is_top {
                true => {
                    let (root, inode, name) = self.trees.name_of_root(at.root).ok()??;
                    at = FileId { root, inode };
                    name
                }
                false => {
                    let (inode, name) = self.trees.name(at.root, at.inode).ok()??;
                    at.inode = inode;
                    name
                }
            };
            parts.push((name, at));
        };
        // Folders are asked for again, with the next file in them.
        while let Some((name, folder)) = parts.pop() {
            self.names.entry(folder).or_insert_with(|| path.clone());
            path.push(OsStr::from_bytes(&name));
        }
        if self.names.len() < NR_NAMES_MAX {
            self.names.entry(file).or_insert_with(|| path.clone());
        }
        Some(path.display().to_string())
    }
}
