//! A volume whose files are looked at one by one, and that remembers: [`Remembering`].
//!
//! Every file is looked at in each run, for nothing tells which of them changed. It is not read
//! again if its inode number, size, `mtime` and `ctime` are as they were, and its map too: then
//! the blocks at the addresses of the map are what they were. A file that was changed so shortly
//! before it was looked at that another change would have the same time is not remembered.
//! Compressed extents are read again: their maps do not tell which part a file refers to.

use std::path::Path;
use std::time::Instant;

use redb::ReadableTable;
use rustc_hash::FxHashMap;
use volume::{
    Compression, Extent, ExtentReferences, FileExtent, FileId, Learned, Page, Place, Position,
    Recalled, Stamp, Stamps, ValueKind, Volume, VolumeError,
};

use crate::bytes::{Malformed, put, take};
use crate::database::{Database, MAPS, Subject, Way};
use crate::error::HashfileError;
use crate::rows::{ValueRun, ValuesRow};
use crate::trees::fatal;
use crate::update::commit;
use crate::values::{BYTES_MAX, WAIT_MAX};

/// A part of a file's map that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapped {
    offset: u64,
    address: u64,
    len: u64,
}

/// A file as a run sees it.
#[derive(Clone, Debug)]
struct Seen {
    stamp: Stamp,
    map: Vec<Mapped>,
}

/// A part of storage that a remembered file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    address: u64,
    len: u64,
    file: FileId,
    offset: u64,
}

/// The volume.
pub(crate) struct Remembering {
    inner: Box<dyn Stamps>,
    database: Database,
    block_bytes: u64,
    seen: FxHashMap<FileId, Seen>,
    /// What files show that are as they were, by address once it is asked for.
    shown: Vec<Shown>,
    is_sorted: bool,
    /// The row that was read last.
    row: Option<(FileId, ValuesRow)>,
    /// Hashes that are to be written, by file and block of the file.
    pending: FxHashMap<FileId, ValuesRow>,
    nr_pending_bytes: usize,
    pending_since: Instant,
}

impl Remembering {
    pub(crate) fn open(
        mut inner: Box<dyn Stamps>,
        path: &Path,
    ) -> Result<Remembering, HashfileError> {
        let block_bytes = inner.block_bytes();
        let subject = Subject {
            filesystem: inner.filesystem(),
            way: Way::Files,
            block_bytes,
        };
        let database = Database::open(path, &subject)?;
        inner.leave_out(database.fd());
        Ok(Remembering {
            database,
            inner,
            block_bytes,
            seen: FxHashMap::default(),
            shown: Vec::new(),
            is_sorted: true,
            row: None,
            pending: FxHashMap::default(),
            nr_pending_bytes: 0,
            pending_since: Instant::now(),
        })
    }

    /// Notes what a page tells, and which of its files are as they were.
    fn note(&mut self, page: &Page) -> Result<(), HashfileError> {
        let database = &self.database;
        let read = database.read()?;
        let maps = read.open_table(MAPS).map_err(|it| database.wrong(it))?;
        for (file, file_extents) in page.iter() {
            let Some(stamp) = self.inner.stamp(file.id) else {
                continue;
            };
            let map: Vec<Mapped> = file_extents.iter().filter_map(mapped).collect();
            let key = (file.id.root, file.id.inode);
            let row = maps.get(key).map_err(|it| database.wrong(it))?;
            let seen = Seen { stamp, map };
            let is_as_it_was = match row {
                None => false,
                Some(row) => {
                    let known = seen.take_same(&mut row.value());
                    known.map_err(|Malformed| database.malformed())?
                }
            };
            if is_as_it_was {
                self.is_sorted = false;
                self.shown.extend(seen.map.iter().map(|mapped| Shown {
                    address: mapped.address,
                    len: mapped.len,
                    file: file.id,
                    offset: mapped.offset,
                }));
            }
            if stamp.is_settled {
                self.seen.insert(file.id, seen);
            }
        }
        Ok(())
    }

    /// Reads what is remembered of a file that is as it was.
    fn load(&mut self, file: FileId) -> Result<(), HashfileError> {
        if self.row.as_ref().is_some_and(|(id, _)| *id == file) {
            return Ok(());
        }
        let database = &self.database;
        let read = database.read()?;
        let maps = read.open_table(MAPS).map_err(|it| database.wrong(it))?;
        let row = maps.get((file.root, file.inode));
        let row = row.map_err(|it| database.wrong(it))?;
        let decoded = row.map_or(Ok(ValuesRow::default()), |row| {
            let bytes = &mut row.value();
            skip_seen(bytes)?;
            ValuesRow::decode(bytes)
        });
        let values = decoded.map_err(|Malformed| database.malformed())?;
        self.row = Some((file, values));
        Ok(())
    }

    /// Appends what is remembered of a stretch of storage.
    fn recall_one(
        &mut self,
        extent: &Extent,
        longest: u64,
        found: &mut Vec<(u32, u32, u64)>,
    ) -> Result<(), HashfileError> {
        let (begin, end) = (extent.address, extent.address + extent.disk_bytes);
        let is_before = |it: &Shown| it.address.saturating_add(longest) <= begin;
        let mut shown_idx = self.shown.partition_point(is_before);
        while let Some(&shown) = self.shown.get(shown_idx).filter(|it| it.address < end) {
            shown_idx += 1;
            if shown.address.saturating_add(shown.len) <= begin {
                continue;
            }
            self.load(shown.file)?;
            let block = self.block_bytes;
            let of_file = shown.offset..shown.offset + shown.len;
            let Some((_, row)) = &self.row else {
                continue;
            };
            for run in &row.runs {
                let last = run.values.len().saturating_sub(1);
                for (skip, value) in run.values.iter().enumerate() {
                    let offset = (u64::from(run.first) + skip as u64) * block;
                    let address = shown
                        .address
                        .wrapping_add(offset.wrapping_sub(shown.offset));
                    if of_file.contains(&offset) && (begin..end).contains(&address) {
                        let tail_len = if skip == last { run.tail_len } else { 0 };
                        found.push((((address - begin) / block) as u32, tail_len, *value));
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup_by_key(|(within, tail_len, _)| (*within, *tail_len));
        Ok(())
    }

    fn recall_all(
        &mut self,
        extents: &[Extent],
        recalled: &mut Recalled,
    ) -> Result<(), HashfileError> {
        if !self.is_sorted {
            self.shown.sort_unstable();
            self.is_sorted = true;
        }
        let longest = self.shown.iter().map(|it| it.len).max().unwrap_or(0);
        let mut found = Vec::new();
        for (extent, asked_idx) in extents.iter().zip(0..) {
            if extent.compression != Compression::None {
                continue;
            }
            found.clear();
            self.recall_one(extent, longest, &mut found)?;
            for (within, tail_len, value) in &found {
                recalled.push(asked_idx, *within, *tail_len, std::iter::once(*value));
            }
        }
        Ok(())
    }

    /// Writes what was learned.
    fn flush_pending(&mut self) -> Result<(), HashfileError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let write = self.database.write()?;
        let database = &self.database;
        {
            let maps = write.open_table(MAPS);
            let mut maps = maps.map_err(|it| database.wrong(it))?;
            for (file, new) in std::mem::take(&mut self.pending) {
                let Some(seen) = self.seen.get(&file) else {
                    continue;
                };
                let key = (file.root, file.inode);
                let mut row = ValuesRow::default();
                let old = maps.get(key).map_err(|it| database.wrong(it))?;
                if let Some(old) = &old {
                    let bytes = &mut old.value();
                    let malformed = |Malformed| database.malformed();
                    if seen.take_same(bytes).map_err(malformed)? {
                        row = ValuesRow::decode(bytes).map_err(malformed)?;
                    }
                }
                drop(old);
                new.runs.into_iter().for_each(|run| row.add(run));
                let mut bytes = Vec::new();
                seen.put(&mut bytes);
                bytes.extend(row.encode());
                let inserted = maps.insert(key, &bytes[..]);
                inserted.map_err(|it| database.wrong(it))?;
            }
        }
        self.nr_pending_bytes = 0;
        self.row = None;
        commit(database, write)
    }
}

/// Returns the part of a file's map that holds data where its address says.
fn mapped(file_extent: &FileExtent) -> Option<Mapped> {
    match file_extent.place {
        Place::Data { extent, within } if extent.compression == Compression::None => Some(Mapped {
            offset: file_extent.offset,
            address: extent.address + within,
            len: file_extent.len,
        }),
        _ => None,
    }
}

impl Seen {
    fn put(&self, bytes: &mut Vec<u8>) {
        put(bytes, self.stamp.size);
        put(bytes, self.stamp.mtime.cast_unsigned());
        put(bytes, self.stamp.ctime.cast_unsigned());
        put(bytes, self.map.len() as u64);
        for mapped in &self.map {
            put(bytes, mapped.offset);
            put(bytes, mapped.address);
            put(bytes, mapped.len);
        }
    }

    /// Takes what a row says of a file; returns whether that is as it is now.
    fn take_same(&self, bytes: &mut &[u8]) -> Result<bool, Malformed> {
        let mut own = Vec::new();
        self.put(&mut own);
        let before = *bytes;
        skip_seen(bytes)?;
        Ok(before[..before.len() - bytes.len()] == own)
    }
}

/// Takes what a row says of a file.
fn skip_seen(bytes: &mut &[u8]) -> Result<(), Malformed> {
    for _ in 0..3 {
        take(bytes)?;
    }
    let nr_mapped = take(bytes)?;
    for _ in 0..nr_mapped {
        for _ in 0..3 {
            take(bytes)?;
        }
    }
    Ok(())
}

impl Drop for Remembering {
    fn drop(&mut self) {
        // Whoever stops in the middle keeps what was found out; if it cannot be written, the next
        // run finds it out again.
        let _ = self.flush_pending();
    }
}

impl Volume for Remembering {
    volume::forward! { to (self.inner):
        space_rule checksum_strength dedupe_len_max file file_extents checksums read hash_blocks
        work read_ahead dedupe nr_at_once dedupe_all create write begin_flush flush remove sync
        used_bytes path walked
    }

    fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    fn next_page(
        &mut self,
        from: Position,
        newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        if from == Position::default() {
            self.flush_pending().map_err(|error| fatal(&error))?;
            self.seen.clear();
            self.shown.clear();
            self.row = None;
        }
        let next = self.inner.next_page(from, newer_than, page)?;
        self.note(page).map_err(|error| fatal(&error))?;
        Ok(next)
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        self.flush_pending().map_err(|error| fatal(&error))?;
        self.inner.references(extents)
    }

    fn remembers(&self) -> bool {
        true
    }

    fn recall(
        &mut self,
        kind: ValueKind,
        extents: &[Extent],
        recalled: &mut Recalled,
    ) -> Result<(), VolumeError> {
        match kind {
            ValueKind::Checksum => Ok(()),
            ValueKind::Hash => self
                .recall_all(extents, recalled)
                .map_err(|error| fatal(&error)),
        }
    }

    fn learn(&mut self, kind: ValueKind, learned: Learned<'_>) -> Result<(), VolumeError> {
        let is_plain = learned.extent.compression == Compression::None;
        let file = learned.shown.file;
        if kind == ValueKind::Checksum || !is_plain || !self.seen.contains_key(&file) {
            return Ok(());
        }
        let Ok(first) = u32::try_from(learned.shown.offset / self.block_bytes) else {
            return Ok(());
        };
        if self.pending.is_empty() {
            self.pending_since = Instant::now();
        }
        self.pending.entry(file).or_default().add(ValueRun {
            first,
            tail_len: learned.tail_len,
            values: learned.values.to_vec(),
        });
        self.nr_pending_bytes += learned.values.len() * 8 + 64;
        let is_due = BYTES_MAX <= self.nr_pending_bytes;
        match is_due || WAIT_MAX <= self.pending_since.elapsed() {
            true => self.flush_pending().map_err(|error| fatal(&error)),
            false => Ok(()),
        }
    }
}
