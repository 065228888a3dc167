//! Scan: pages of files become a [`Catalog`], each extent once however many files and snapshots
//! have it.
//!
//! Holes and preallocated ranges are skipped, inline data has no storage to share. What refers to
//! storage is sorted by address and then gathered, so that memory is needed for extents and not
//! for references. It reads no data; [`crate::hash`] does.

mod gather;

use volume::{Compression, Extent, File, FileExtent, FileId, Page, Place, Position, SpaceRule};
use volume::{Volume, VolumeError};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::bits::Bits;
use crate::catalog::{Catalog, Shower};
use crate::report::{Report, Stopped};
use crate::sort::{Record, Room, Sorted, Sorter};
use crate::watch::{Phase, Watch};

/// The part of the memory for sorting that the files get.
const FILES_PART: usize = 8;

/// What a file extent refers to, in the order of storage and then of files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Shown {
    /// Address of the extent; where the rule is that of blocks, of the first byte.
    address: u64,
    /// Index of the file.
    file: u32,
    /// Blocks that the extent takes on disk.
    nr_disk_blocks: u32,
    /// Blocks before it in the file, and [`Flags`] below.
    place: u64,
    /// Blocks that the extent has.
    nr_ram_blocks: u32,
    /// First block within the extent.
    within: u32,
    /// Blocks that are shown.
    nr_blocks: u32,
    /// How many bytes of the last one, if that is not whole.
    tail_len: u32,
}

/// What else a record tells, in as many bits as file offsets leave: they are below 2^63, and
/// multiples of 4,096.
struct Flags;

impl Flags {
    const BITS: u32 = 12;
    const NODATASUM: u64 = 1 << 8;
    const PREALLOC: u64 = 1 << 9;
    /// The algorithm is in the bits below.
    const COMPRESSED: u64 = 1 << 10;
}

/// A file by its index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Numbered {
    idx: u64,
    root: u64,
    inode: u64,
    size: u64,
}

impl Record for Shown {
    fn number(&self) -> u64 {
        self.address
    }
}

impl Record for Numbered {
    fn number(&self) -> u64 {
        self.idx
    }
}

impl Shown {
    fn has(&self, flag: u64) -> bool {
        self.place & flag != 0
    }

    /// Returns the file offset, bytes.
    fn offset(&self, block: u64) -> u64 {
        (self.place >> Flags::BITS) * block
    }

    fn extent(&self, block: u64) -> Extent {
        Extent {
            address: self.address,
            disk_bytes: u64::from(self.nr_disk_blocks) * block,
            ram_bytes: u64::from(self.nr_ram_blocks) * block,
            compression: match self.has(Flags::COMPRESSED) {
                true => Compression::Algorithm(self.place as u8),
                false => Compression::None,
            },
        }
    }
}

/// A walk over everything in scope.
struct Scan<'r, 's> {
    block: u64,
    rule: SpaceRule,
    shown: Sorter<'r, 's, Shown>,
    files: Sorter<'r, 's, Numbered>,
    /// How many files have an index, and the last one that has.
    nr_files: u32,
    last: Option<FileId>,
}

/// Walks everything in scope.
///
/// # Errors
/// If the volume cannot be walked, scratch space fails, or the watch says stop.
pub(crate) fn scan(
    volume: &mut dyn Volume,
    room: &Room<'_>,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Catalog, Stopped> {
    let mut scan = Scan {
        block: volume.block_bytes(),
        rule: volume.space_rule(),
        shown: room.sorter(1),
        files: room.sorter(FILES_PART),
        nr_files: 0,
        last: None,
    };
    let mut page = Page::default();
    let mut from = Some(Position::default());
    let mut last = None;
    while let Some(position) = from {
        page.clear();
        from = volume.next_page(position, 0, &mut page)?;
        for (file, file_extents) in page.iter() {
            // One that fills a page comes again on the next.
            report.nr_files += u64::from(last.replace(file.id) != Some(file.id));
            for file_extent in file_extents {
                report.scanned_bytes += scan.add(file, file_extent)?;
            }
        }
        report.errors.append(&mut page.errors);
        let total = volume.nr_files_about(report.nr_files);
        watch.at(Phase::Scan, report.nr_files, total)?;
    }
    let catalog = scan.into_catalog()?;
    report.nr_extents = catalog.len() as u64;
    Ok(catalog)
}

impl Scan<'_, '_> {
    /// Adds what a file extent refers to; returns its bytes of data.
    fn add(&mut self, file: &File, file_extent: &FileExtent) -> Result<u64, Stopped> {
        let (extent, within, is_prealloc) = match file_extent.place {
            Place::Hole | Place::Inline => return Ok(0),
            Place::Preallocated { extent, within } => (extent, within, true),
            Place::Data { extent, within } => (extent, within, false),
        };
        // What lies behind the last block of the file cannot be compared.
        let file_end = file.size.next_multiple_of(self.block);
        let left = file_end.saturating_sub(file_extent.offset);
        let len = match is_prealloc {
            true => file_extent.len,
            false => file_extent.len.min(left),
        };
        if len == 0 {
            return Ok(0);
        }
        let is_last = left == len && !is_prealloc;
        let begin = match self.rule.is_by_extents() {
            true => 0,
            false => within,
        };
        let shown = Shown {
            address: extent.address + begin,
            file: self.file_idx(file)?,
            nr_disk_blocks: self.nr_blocks(extent.disk_bytes),
            place: (file_extent.offset / self.block) << Flags::BITS
                | flags_of(file, &extent, is_prealloc),
            nr_ram_blocks: self.nr_blocks(extent.ram_bytes),
            within: self.nr_blocks(within - begin),
            nr_blocks: self.nr_blocks(len),
            tail_len: if is_last {
                (file.size % self.block) as u32
            } else {
                0
            },
        };
        self.shown.push(shown)?;
        Ok(if is_prealloc { 0 } else { len })
    }

    /// Returns the index of a file; they come in order, one more than once if it is long.
    fn file_idx(&mut self, file: &File) -> Result<u32, Stopped> {
        if self.last != Some(file.id) {
            let is_in_order = self.last.is_none_or(|last| last < file.id);
            if !is_in_order || self.nr_files == u32::MAX {
                let why = match is_in_order {
                    true => "more than 4,294,967,295 files are too many for one run".to_owned(),
                    false => format!("{} came behind those that follow it", file.id),
                };
                return Err(VolumeError::Fatal(why).into());
            }
            self.files.push(Numbered {
                idx: self.nr_files.into(),
                root: file.id.root,
                inode: file.id.inode,
                size: file.size,
            })?;
            self.last = Some(file.id);
            self.nr_files += 1;
        }
        Ok(self.nr_files - 1)
    }

    fn nr_blocks(&self, bytes: u64) -> u32 {
        u32::try_from(bytes / self.block).unwrap_or(u32::MAX)
    }

    /// Gathers everything by storage.
    fn into_catalog(self) -> Result<Catalog, Stopped> {
        let mut shown = self.shown.finish()?;
        let mut catalog = Catalog::new(self.block, Vec::new());
        match self.rule.is_by_extents() {
            true => gather::extents(&mut shown, &mut catalog)?,
            false => gather::blocks(&mut shown, &mut catalog)?,
        }
        drop(shown);
        keep_showers(&mut catalog, self.nr_files, self.files.finish()?)?;
        catalog.index();
        Ok(catalog)
    }
}

fn flags_of(file: &File, extent: &Extent, is_prealloc: bool) -> u64 {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let compression = match extent.compression {
        Compression::None => 0,
        Compression::Algorithm(number) => Flags::COMPRESSED | u64::from(number),
    };
    compression | flag(file.is_nodatasum, Flags::NODATASUM) | flag(is_prealloc, Flags::PREALLOC)
}

/// Keeps of all files those that show a part: those of snapshots hardly ever do.
fn keep_showers(
    catalog: &mut Catalog,
    nr_files: u32,
    mut files: Sorted<Numbered>,
) -> Result<(), Stopped> {
    let mut is_shower = Bits::new(nr_files.into());
    catalog.each_part(|part| is_shower.set(part.file.into()));
    let is_shower = is_shower.ranked();
    while let Some(file) = files.next()? {
        if is_shower.has(file.idx) {
            catalog.push_file(Shower {
                id: FileId {
                    root: file.root,
                    inode: file.inode,
                },
                size: file.size,
            });
        }
    }
    catalog.each_part(|part| part.file = is_shower.rank(part.file.into()) as u32);
    Ok(())
}
