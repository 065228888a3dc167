//! The machine as a [`Volume`]: what a tool that plans would see of it.
//!
//! [`ModelVolume`] is the key type. The caller is root, so that snapshots can be seen and targets
//! of read-only ones too; every file is in scope. References are found from the items, not from
//! what extents count: a tool that trusted the wrong one would be found out by `fsck`.

use std::collections::BTreeMap;

use data::Content;
use fs_state::{BLOCK, FileExtent as Item, FsState, InodeId, Kind, SliceKind};
use ondisk::ChecksumKind;
use scenario::CallEnd;
use scenario::fd::{Access, Mount};
use scenario::op::Caller;
use uapi::Errno;
use uapi::dedupe::{self, DIFFERS, RequestBuilder, SAME};
use volume::{
    ChecksumStrength, Compression, DedupeStatus, DedupeTarget, Extent, ExtentReferences, File,
    FileExtent, FileId, FileRange, Page, Place, Position, Reference, ReferenceKind, SpaceRule,
    Volume, VolumeError,
};

use crate::frame::FrameEnd;
use crate::machine::Machine;
use crate::memory::UserMemory;
use crate::open_file::{OpenAt, OpenFile};

/// Files of one page.
const NR_FILES_OF_PAGE: usize = 16;
/// What one dedupe moves at most, `BTRFS_MAX_DEDUPE_LEN`.
const DEDUPE_LEN_MAX: u64 = 16 << 20;

/// A machine whose files are in scope.
#[derive(Clone, Debug)]
pub struct ModelVolume {
    machine: Machine,
    /// How many bits checksums have: fewer make them equal by chance.
    nr_checksum_bits: u32,
    /// What is open of our own files.
    temporaries: BTreeMap<FileId, i32>,
    nr_created: u64,
}

impl ModelVolume {
    /// Returns the volume of a machine, with checksums of crc32c.
    #[must_use]
    pub fn new(machine: Machine) -> ModelVolume {
        ModelVolume {
            machine,
            nr_checksum_bits: u32::BITS,
            temporaries: BTreeMap::new(),
            nr_created: 0,
        }
    }

    /// Returns the volume with checksums of which only so many bits are shown.
    #[must_use]
    pub fn with_checksum_bits(self, nr_checksum_bits: u32) -> ModelVolume {
        ModelVolume {
            nr_checksum_bits,
            ..self
        }
    }

    /// Returns the machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Returns the machine, to be changed behind the volume's back.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Returns the regular files that have a name, by their numbers.
    pub fn files(&mut self) -> BTreeMap<FileId, InodeId> {
        let fs = self.machine.fs_mut();
        let roots: Vec<_> = fs.roots().collect();
        let mut files = BTreeMap::new();
        for id in roots
            .into_iter()
            .flat_map(|root| fs.load_inodes(root))
            .collect::<Vec<_>>()
        {
            let inode = fs.inode(id);
            if inode.kind() == Kind::Regular && inode.nr_links() > 0 {
                files.insert(file_id(fs, id), id);
            }
        }
        files
    }

    /// Returns the inode of a file, one of our own too.
    fn inode(&mut self, file: FileId, action: &'static str) -> Result<InodeId, VolumeError> {
        if let Some(&fd) = self.temporaries.get(&file) {
            let open = self.machine.file(fd).and_then(OpenFile::inode);
            return open.ok_or(refused(file, action, Errno::EBADF));
        }
        let found = self.files().get(&file).copied();
        found.ok_or(refused(file, action, Errno::ENOENT))
    }

    fn open(&mut self, file: FileId) -> Result<i32, VolumeError> {
        let id = self.inode(file, "open")?;
        Ok(self.machine.open(OpenFile {
            at: OpenAt::Inode(id),
            access: Access::ReadOnly,
            mount: Mount::First,
        }))
    }
}

impl Volume for ModelVolume {
    fn block_bytes(&self) -> u64 {
        BLOCK
    }

    fn space_rule(&self) -> SpaceRule {
        SpaceRule::WholeExtents
    }

    fn checksum_strength(&self) -> Option<ChecksumStrength> {
        Some(ChecksumStrength::Weak)
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
        self.machine.fs_mut().sync();
        let files = self.files();
        let first = FileId {
            root: from.root,
            inode: from.inode,
        };
        let fs = self.machine.fs();
        for (&file, &id) in files.range(first..) {
            if page.files.len() == NR_FILES_OF_PAGE {
                return Ok(Some(Position::of(file)));
            }
            let is_old = |(_, item): (u64, Item<'_>)| {
                item.slice()
                    .is_some_and(|slice| slice.generation <= newer_than)
            };
            if 0 < newer_than && fs.items(id).all(is_old) {
                continue;
            }
            page.push_file(described(fs, id));
            fs.items(id)
                .for_each(|(key, item)| page.push_extent(file_extent(fs, key, item)));
        }
        Ok(None)
    }

    fn file(&mut self, file: FileId) -> Result<Option<File>, VolumeError> {
        let found = self.inode(file, "look at").ok();
        Ok(found.map(|id| described(self.machine.fs(), id)))
    }

    fn file_extents(
        &mut self,
        range: FileRange,
        found: &mut Vec<FileExtent>,
    ) -> Result<(), VolumeError> {
        let id = self.inode(range.file, "look at")?;
        self.machine.fs_mut().flush(id);
        let fs = self.machine.fs();
        let items = fs.items(id).map(|(key, item)| file_extent(fs, key, item));
        found.extend(
            items.filter(|item| item.offset < range.end() && range.offset < item.offset + item.len),
        );
        Ok(())
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        let mut by_address: BTreeMap<u64, Vec<Reference>> = BTreeMap::new();
        let mut files = self.files();
        for (&file, &fd) in &self.temporaries {
            files.extend(
                self.machine
                    .file(fd)
                    .and_then(OpenFile::inode)
                    .map(|id| (file, id)),
            );
        }
        let fs = self.machine.fs();
        for (file, id) in files {
            for item in fs.items(id).map(|(key, item)| file_extent(fs, key, item)) {
                let (extent, within, kind) = match item.place {
                    Place::Hole | Place::Inline => continue,
                    Place::Data { extent, within } => (extent, within, ReferenceKind::Data),
                    Place::Preallocated { extent, within } => {
                        (extent, within, ReferenceKind::Preallocated)
                    }
                };
                by_address
                    .entry(extent.address)
                    .or_default()
                    .push(Reference {
                        file,
                        offset: item.offset,
                        within,
                        len: item.len,
                        kind,
                    });
            }
        }
        let answer = |extent: &Extent| ExtentReferences {
            address: extent.address,
            references: by_address.remove(&extent.address).unwrap_or_default(),
            is_complete: true,
        };
        Ok(extents.iter().map(answer).collect())
    }

    fn checksums(
        &mut self,
        address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        let first = found.len();
        found.resize(first + (len / BLOCK) as usize, None);
        for (_, extent) in self.machine.fs().extents().iter() {
            let (begin, end) = (extent.bytenr(), extent.bytenr() + extent.len());
            for at in (begin.max(address)..end.min(address + len)).step_by(BLOCK as usize) {
                let within = at - begin;
                if extent.has_csums(within, within + BLOCK) {
                    let block = extent.content().slice(within..within + BLOCK);
                    let value =
                        checksum(&block) & (u64::MAX >> (u64::BITS - self.nr_checksum_bits));
                    found[first + ((at - address) / BLOCK) as usize] = Some(value);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, file: FileId, offset: u64, bytes: &mut [u8]) -> Result<usize, VolumeError> {
        let id = self.inode(file, "read")?;
        let fs = self.machine.fs_mut();
        let size = fs.inode(id).size();
        let end = size
            .min(offset.saturating_add(bytes.len() as u64))
            .max(offset);
        fs.read_pages(id, offset, end);
        let len = (end - offset) as usize;
        if len > 0 {
            fs.content(id).read_at(offset, &mut bytes[..len]);
        }
        Ok(len)
    }

    fn read_ahead(&mut self, _ranges: &[FileRange]) {}

    fn dedupe(
        &mut self,
        source: FileRange,
        targets: &[DedupeTarget],
    ) -> Result<Vec<DedupeStatus>, VolumeError> {
        let source_fd = self.open(source.file)?;
        let mut request = RequestBuilder::new(source.offset, source.len);
        let mut fds = vec![source_fd];
        for target in targets {
            // A target that is gone is refused by itself.
            let fd = self.open(target.file).unwrap_or(-1);
            fds.push(fd);
            request = request.target(i64::from(fd), target.offset);
        }
        let mut memory = UserMemory::new(request.build());
        let report = self
            .machine
            .ioctl_dedupe(Caller::Root, source_fd, &mut memory);
        fds.into_iter().for_each(|fd| self.machine.close(fd));
        match report.end {
            FrameEnd::Ended(CallEnd::Returned) => Ok(statuses(memory.readable())),
            FrameEnd::Ended(CallEnd::Failed(errno)) => {
                Err(refused(source.file, "dedupe from", errno))
            }
            FrameEnd::Hangs | FrameEnd::Panics => {
                Err(VolumeError::Fatal("the kernel died of a dedupe".to_owned()))
            }
        }
    }

    fn create(&mut self, like: FileId) -> Result<FileId, VolumeError> {
        let like_id = self.inode(like, "create a file beside")?;
        let fs = self.machine.fs_mut();
        let is_nocow = fs.inode(like_id).is_nodatasum();
        let name = format!(".temporary-{}", self.nr_created);
        let error = |errno| refused(like, "create a file beside", errno);
        let id = fs.create_file(&name, is_nocow).map_err(error)?;
        fs.unlink(&name).map_err(error)?;
        self.nr_created += 1;
        let file = file_id(fs, id);
        let fd = self.machine.open(OpenFile {
            at: OpenAt::Inode(id),
            access: Access::ReadWrite,
            mount: Mount::First,
        });
        self.temporaries.insert(file, fd);
        Ok(file)
    }

    fn write(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Result<(), VolumeError> {
        let id = self.inode(file, "write")?;
        let fs = self.machine.fs_mut();
        let written = fs.write(id, offset, &Content::literal(bytes));
        written
            .map(drop)
            .map_err(|errno| refused(file, "write", errno))
    }

    fn flush(&mut self, file: FileId) -> Result<(), VolumeError> {
        let id = self.inode(file, "flush")?;
        self.machine.fs_mut().flush(id);
        Ok(())
    }

    fn remove(&mut self, file: FileId) -> Result<(), VolumeError> {
        if let Some(fd) = self.temporaries.remove(&file) {
            self.machine.close(fd);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), VolumeError> {
        self.machine.fs_mut().sync();
        Ok(())
    }

    fn used_bytes(&mut self) -> Result<u64, VolumeError> {
        let extents = self.machine.fs().extents();
        Ok(extents.iter().map(|(_, extent)| extent.len()).sum())
    }

    fn path(&mut self, _file: FileId) -> Option<String> {
        None
    }
}

fn refused(file: FileId, action: &'static str, errno: Errno) -> VolumeError {
    VolumeError::File {
        file,
        action,
        errno,
    }
}

fn file_id(fs: &FsState, id: InodeId) -> FileId {
    let inode = fs.inode(id);
    FileId {
        root: u64::from(inode.root().0),
        inode: inode.ino(),
    }
}

fn described(fs: &FsState, id: InodeId) -> File {
    let inode = fs.inode(id);
    File {
        id: file_id(fs, id),
        size: inode.size(),
        is_nodatasum: inode.is_nodatasum(),
        is_movable: !inode.is_immutable(),
        generation: 0,
    }
}

fn file_extent(fs: &FsState, key: u64, item: Item<'_>) -> FileExtent {
    let (generation, place) = match item {
        Item::Inline(_) => (0, Place::Inline),
        Item::Regular(slice) => {
            let extent = fs.extents().get(slice.extent);
            let extent = Extent {
                address: extent.bytenr(),
                disk_bytes: extent.len(),
                ram_bytes: extent.ram_len(),
                compression: Compression::None,
            };
            let within = slice.offset;
            let place = match slice.kind {
                SliceKind::Written => Place::Data { extent, within },
                SliceKind::Prealloc => Place::Preallocated { extent, within },
            };
            (slice.generation, place)
        }
    };
    FileExtent {
        offset: key,
        len: item.end(key) - key,
        generation,
        place,
    }
}

/// Returns the crc32c of a block, as the filesystem stores it.
fn checksum(block: &Content) -> u64 {
    let mut checksums = Vec::new();
    ChecksumKind::Crc32c.append(&block.to_vec(), &mut checksums);
    let mut number = [0; 8];
    number[..checksums.len()].copy_from_slice(&checksums);
    u64::from_le_bytes(number)
}

/// Returns what a reply says of its targets.
fn statuses(reply: &[u8]) -> Vec<DedupeStatus> {
    let elements = dedupe::elements(reply).unwrap_or_default();
    let status = |element: &dedupe::DedupeElement| match element.status.get() {
        SAME => DedupeStatus::Same {
            bytes: element.bytes_deduped.get(),
        },
        DIFFERS => DedupeStatus::Differs,
        // A status that is none says that nothing was done either.
        errno => DedupeStatus::Refused(Errno::from_status(errno).unwrap_or(Errno::EIO)),
    };
    elements.iter().map(status).collect()
}
