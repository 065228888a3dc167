//! A filesystem seen through the maps of its files, by anybody: [`MapVolume`].
//!
//! `FIEMAP` tells where data lies, not which extent it is a part of, nor who else refers to it.
//! So each block is taken to be freed with its last reference, and what is shared may be shared
//! with somebody out of scope.

mod extents;
mod stamps;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{Access, CWD, FileType, Mode, OFlags, access, fstat, fstatfs, openat, syncfs};
use rustix::io::Errno as Io;
use rustix::process::geteuid;
use scenario::BackendError;
use uapi::fiemap::{
    FIEMAP_EXTENT_LAST, FIEMAP_EXTENT_SHARED, FIEMAP_FLAG_SYNC, FiemapExtent, FiemapHeader,
};
use uapi::{Errno, request};
use volume::{
    ChecksumStrength, DedupeRequest, DedupeStatus, DedupeTarget, Extent, ExtentReferences, File,
    FileExtent, FileId, FileRange, Page, Place, Position, SpaceRule, Volume, VolumeError, Work,
};
use zerocopy::{FromBytes, IntoBytes};

use super::files::{self, Descriptors, of_file, write_error};
use super::scope::Scope;
use super::seen::{Seen, references_in};
use super::{Opened, Options, Sight, commit, fatal, sharing};
use crate::{errno_of, ioctl, ioctl_space, ioctl_trees, system, system_errno};
use extents::file_extent_of;

/// A page is full with so many files or file extents.
const PAGE_LEN: usize = 1 << 14;
/// Extents that are asked for at once.
const NR_EXTENTS: usize = 512;
/// The least that is the same in the kernels of today.
const DEDUPE_LEN_MAX: u64 = 16 << 20;

/// The volume.
#[derive(Debug)]
pub(super) struct MapVolume {
    fd: OwnedFd,
    files: BTreeMap<FileId, PathBuf>,
    min_bytes: u64,
    is_btrfs: bool,
    block_bytes: u64,
    descriptors: Descriptors,
    nr_io_threads: usize,
    /// What the pages told, by address, as far as it is sorted.
    seen: Vec<Seen>,
    is_sorted: bool,
    /// Files whose maps are others by now.
    moved: BTreeSet<FileId>,
    /// Files that the walk has met.
    nr_walked: usize,
}

impl MapVolume {
    pub(super) fn open(options: &Options<'_>, mut scope: Scope) -> Result<Opened, BackendError> {
        let fd = scope.clone_fd()?;
        let is_btrfs = scope.is_btrfs();
        let block_bytes = match is_btrfs {
            true => ioctl_trees::fs_info(&fd)
                .map_err(|errno| system_errno("ask what the filesystem is like", errno))?
                .sector_bytes
                .into(),
            false => {
                let stat = fstatfs(&fd).map_err(|errno| system("look at the filesystem", errno))?;
                stat.f_bsize.unsigned_abs().max(4096)
            }
        };
        let files = scope.for_map(options);
        if !is_btrfs {
            sharing::require(files.values())?;
        }
        let volume = MapVolume {
            fd,
            files,
            min_bytes: options.min_bytes,
            is_btrfs,
            block_bytes,
            descriptors: Descriptors::new(),
            nr_io_threads: options.nr_io_threads,
            seen: Vec::new(),
            is_sorted: true,
            moved: BTreeSet::new(),
            nr_walked: 0,
        };
        Ok(Opened {
            volume: Sight::Maps(Box::new(volume)),
            has_checksums: false,
            skipped: scope.skipped,
        })
    }

    /// Returns the file: for writing if that is allowed, for a kernel lets ordinary users share
    /// only what they may write.
    fn fd(&mut self, file: FileId) -> Result<Arc<OwnedFd>, Errno> {
        let files = &self.files;
        self.descriptors.get(file, || {
            let path = files.get(&file).ok_or(Errno::ENOENT)?;
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let open = |access| openat(CWD, path.as_path(), flags | access, Mode::empty());
            // Reading is no access, if this is the owner to say so.
            let fd = open(OFlags::RDWR | OFlags::NOATIME)
                .or_else(|_| open(OFlags::RDWR))
                .or_else(|_| open(OFlags::RDONLY));
            let fd = fd.map_err(errno_of)?;
            let stat = fstat(&fd).map_err(errno_of)?;
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            match is_file && stat.st_ino == file.inode {
                true => Ok(fd),
                // Another one has its name by now.
                false => Err(Errno::ESTALE),
            }
        })
    }

    /// Looks at a file; `None` if another one has its name by now.
    fn look(&mut self, id: FileId) -> Result<Option<File>, VolumeError> {
        let fd = match self.fd(id) {
            Err(Errno::ENOENT | Errno::ESTALE) => return Ok(None),
            Err(errno) => return Err(of_file(id, "open", errno)),
            Ok(fd) => fd,
        };
        let stat = fstat(&fd).map_err(|errno| of_file(id, "look at", errno_of(errno)))?;
        let flags = ioctl::inode_flags(&fd).unwrap_or(0);
        let access = rustix::fs::fcntl_getfl(&fd).map_or(OFlags::RDONLY, |it| it & OFlags::RWMODE);
        let user = geteuid();
        // Who owns a file need not write to it to have it shared, but it has to lie where one may.
        let is_owner = user.as_raw() == stat.st_uid;
        let may_share =
            access == OFlags::RDWR || user.is_root() || is_owner && !self.is_on_read_only(id);
        Ok(Some(File {
            id,
            size: stat.st_size.unsigned_abs(),
            is_nodatasum: flags & request::FS_NOCOW_FL != 0,
            is_movable: may_share && flags & request::FS_IMMUTABLE_FL == 0,
            generation: 0,
        }))
    }

    /// Returns whether a file lies in a read-only subvolume or mount.
    fn is_on_read_only(&self, id: FileId) -> bool {
        let path = self.files.get(&id);
        let asked = path.map(|path| access(path.as_path(), Access::WRITE_OK));
        asked == Some(Err(Io::ROFS))
    }

    /// Calls `visit` with each extent of the map of a range, as it is once data is written back.
    fn map(
        &mut self,
        range: FileRange,
        mut visit: impl FnMut(&FiemapExtent, u64),
    ) -> Result<(), VolumeError> {
        let wrong = |errno| of_file(range.file, "map", errno);
        let fd = self.fd(range.file).map_err(wrong)?;
        let len = size_of::<FiemapHeader>() + NR_EXTENTS * size_of::<FiemapExtent>();
        let mut buffer = vec![0; len];
        let mut at = range.offset;
        while at < range.end() {
            let header = FiemapHeader {
                start: at.into(),
                length: (range.end() - at).into(),
                flags: FIEMAP_FLAG_SYNC.into(),
                extent_count: (NR_EXTENTS as u32).into(),
                ..Default::default()
            };
            buffer[..size_of::<FiemapHeader>()].copy_from_slice(header.as_bytes());
            ioctl::fiemap(&fd, &mut buffer).map_err(wrong)?;
            let (header, rest) = FiemapHeader::ref_from_prefix(&buffer)
                .map_err(|_| VolumeError::Fatal("a map is shorter than its header".to_owned()))?;
            let nr_mapped = (header.mapped_extents.get() as usize).min(NR_EXTENTS);
            let (extents, _) = <[FiemapExtent]>::ref_from_prefix_with_elems(rest, nr_mapped)
                .map_err(|_| VolumeError::Fatal("a map is shorter than it says".to_owned()))?;
            let Some(last) = extents.last() else {
                return Ok(());
            };
            extents
                .iter()
                .for_each(|extent| visit(extent, self.block_bytes));
            if last.flags.get() & FIEMAP_EXTENT_LAST != 0 {
                return Ok(());
            }
            at = at.max(last.logical.get().saturating_add(last.length.get()));
        }
        Ok(())
    }

    /// Adds a file to a page, unless it is too small or gone.
    fn add(&mut self, id: FileId, page: &mut Page) -> Result<(), VolumeError> {
        let Some(file) = self.look(id)? else {
            return Err(of_file(id, "look at", Errno::ENOENT));
        };
        if file.size < self.min_bytes.max(1) {
            return Ok(());
        }
        let found = self.whole_map(id)?;
        page.push_file(file);
        for (file_extent, is_shared) in found {
            page.push_extent(file_extent);
            self.see(id, &file_extent, is_shared);
        }
        Ok(())
    }

    /// Returns the file extents of a file, and whether each is shared.
    fn whole_map(&mut self, file: FileId) -> Result<Vec<(FileExtent, bool)>, VolumeError> {
        let mut found = Vec::new();
        let whole = FileRange {
            file,
            offset: 0,
            len: i64::MAX as u64,
        };
        self.map(whole, |extent, block_bytes| {
            let is_shared = extent.flags.get() & FIEMAP_EXTENT_SHARED != 0;
            found.extend(file_extent_of(extent, block_bytes).map(|it| (it, is_shared)));
        })?;
        Ok(found)
    }

    /// Notes where a file extent lies.
    fn see(&mut self, file: FileId, file_extent: &FileExtent, is_shared: bool) {
        if let Place::Data { extent, .. } | Place::Preallocated { extent, .. } = file_extent.place {
            self.is_sorted = false;
            self.seen.push(Seen {
                address: extent.address,
                file,
                offset: file_extent.offset,
                len: file_extent.len,
                is_shared,
            });
        }
    }

    /// Looks at the maps that have changed: who still refers to what was to go is asked after it.
    fn look_again(&mut self) -> Result<(), VolumeError> {
        let moved = std::mem::take(&mut self.moved);
        if moved.is_empty() {
            return Ok(());
        }
        self.seen.retain(|seen| !moved.contains(&seen.file));
        for file in moved {
            match self.whole_map(file) {
                Ok(found) => found
                    .iter()
                    .for_each(|(file_extent, is_shared)| self.see(file, file_extent, *is_shared)),
                // What cannot be asked any more does not refer to what it did.
                Err(error) if error.is_of_one_file() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Volume for MapVolume {
    volume::forward! { to (self.descriptors): write begin_flush flush }

    fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    fn space_rule(&self) -> SpaceRule {
        match self.is_btrfs {
            true => SpaceRule::UnseenExtents,
            false => SpaceRule::Blocks,
        }
    }

    fn checksum_strength(&self) -> Option<ChecksumStrength> {
        None
    }

    fn dedupe_len_max(&self) -> u64 {
        DEDUPE_LEN_MAX
    }

    fn next_page(
        &mut self,
        from: Position,
        _newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        page.clear();
        if from == Position::default() {
            self.seen.clear();
            self.moved.clear();
            self.nr_walked = 0;
        }
        let first = FileId {
            root: from.root,
            inode: from.inode,
        };
        let ids: Vec<FileId> = self
            .files
            .range(first..)
            .map(|(id, _)| *id)
            .take(PAGE_LEN + 1)
            .collect();
        for (nr_done, id) in ids.iter().enumerate() {
            if PAGE_LEN <= page.file_extents.len().max(nr_done) {
                return Ok(Some(Position::of(*id)));
            }
            self.nr_walked += 1;
            match self.add(*id, page) {
                Err(error) if error.is_of_one_file() => page.errors.push(error),
                result => result?,
            }
        }
        Ok(None)
    }

    fn walked(&self) -> Option<f64> {
        let nr_files = self.files.len();
        (0 < nr_files).then(|| self.nr_walked as f64 / nr_files as f64)
    }

    fn file(&mut self, file: FileId) -> Result<Option<File>, VolumeError> {
        self.look(file)
    }

    fn file_extents(
        &mut self,
        range: FileRange,
        found: &mut Vec<FileExtent>,
    ) -> Result<(), VolumeError> {
        self.map(range, |extent, block_bytes| {
            found.extend(file_extent_of(extent, block_bytes));
        })
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        self.look_again()?;
        if !self.is_sorted {
            self.seen.sort_unstable();
            self.is_sorted = true;
        }
        let longest = self.seen.iter().map(|seen| seen.len).max().unwrap_or(0);
        Ok(extents
            .iter()
            .map(|extent| references_in(&self.seen, extent, longest))
            .collect())
    }

    fn checksums(
        &mut self,
        _address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        let nr_blocks = len.div_ceil(self.block_bytes);
        found.extend((0..nr_blocks).map(|_| None));
        Ok(())
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
            nr_items: 0,
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
        self.moved.extend(targets.iter().map(|target| target.file));
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
        let targets = requests.iter().flat_map(|request| request.targets);
        self.moved.extend(targets.map(|target| target.file));
        let nr_threads = self.nr_io_threads;
        files::dedupe_all(requests, nr_threads, |file| self.fd(file), found);
        Ok(())
    }

    fn create(&mut self, like: FileId) -> Result<FileId, VolumeError> {
        let wrong = |errno| write_error(like, "create a file beside", errno);
        let file = self.look(like)?.ok_or_else(|| wrong(Errno::ENOENT))?;
        let folder = self.files.get(&like).and_then(|path| path.parent());
        let folder = folder.ok_or_else(|| wrong(Errno::ENOENT))?;
        let folder = match folder.as_os_str().is_empty() {
            true => ".".as_ref(),
            false => folder,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, folder, flags, Mode::empty()).map_err(|it| wrong(errno_of(it)))?;
        let fd = files::create(folder, file.is_nodatasum).map_err(wrong)?;
        let file = FileId {
            root: like.root,
            inode: files::inode_of(&fd).map_err(wrong)?,
        };
        self.descriptors.keep_temporary(file, fd);
        Ok(file)
    }

    fn remove(&mut self, file: FileId) -> Result<(), VolumeError> {
        self.descriptors.remove_temporary(file);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), VolumeError> {
        match self.is_btrfs {
            true => commit(&self.fd),
            false => syncfs(&self.fd)
                .map_err(|errno| fatal("write back the filesystem", errno_of(errno))),
        }
    }

    fn used_bytes(&mut self) -> Result<u64, VolumeError> {
        let wrong = |errno| fatal("ask for the used space", errno);
        if self.is_btrfs {
            return ioctl_space::data_bytes(self.fd.as_fd()).map_err(wrong);
        }
        let stat = fstatfs(&self.fd).map_err(|errno| wrong(errno_of(errno)))?;
        let used_blocks = stat.f_blocks.saturating_sub(stat.f_bfree);
        Ok(used_blocks.saturating_mul(stat.f_bsize.unsigned_abs()))
    }

    fn path(&mut self, file: FileId) -> Option<String> {
        let path = self.files.get(&file)?;
        Some(path.display().to_string())
    }
}
