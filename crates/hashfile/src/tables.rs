//! The tables while something is written: [`Tables`], and what a change of a file means for the
//! values that are remembered.

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use rustc_hash::FxHashSet;
use volume::{Extent, FileExtent, FileId, History, Told, VolumeError};

use crate::database::{CHECKSUMS, CONFIRMED, Database, FILES, FOLDERS, HASHES, NAMELESS, ROOTS};
use crate::error::HashfileError;
use crate::rows::{
    FileRow, FolderRow, NR_EXTENTS_OF_ROW, RootRow, ValuesHead, extent_of, put_extent, put_file,
    take_extents, take_file,
};
use crate::update::number;

/// Why an update ended.
#[derive(Debug)]
pub(crate) enum Trouble {
    Volume(VolumeError),
    Hashfile(HashfileError),
}

impl From<VolumeError> for Trouble {
    fn from(error: VolumeError) -> Trouble {
        Trouble::Volume(error)
    }
}

impl From<HashfileError> for Trouble {
    fn from(error: HashfileError) -> Trouble {
        Trouble::Hashfile(error)
    }
}

/// The tables, while something is written.
pub(crate) struct Tables<'w> {
    database: &'w Database,
    pub(crate) roots: Table<'w, u64, &'static [u8]>,
    pub(crate) files: Table<'w, (u64, u64, u64), &'static [u8]>,
    pub(crate) folders: Table<'w, (u64, u64), &'static [u8]>,
    pub(crate) nameless: Table<'w, (u64, u64), ()>,
    values: [Table<'w, u64, &'static [u8]>; 2],
    /// Whether there are values at all that could be outdated.
    has_values: bool,
    confirmed: u64,
}

impl<'w> Tables<'w> {
    pub(crate) fn open(
        database: &'w Database,
        write: &'w WriteTransaction,
    ) -> Result<Tables<'w>, HashfileError> {
        let wrong = |error| database.wrong(error);
        let values = [
            write.open_table(CHECKSUMS).map_err(wrong)?,
            write.open_table(HASHES).map_err(wrong)?,
        ];
        let mut has_values = false;
        for table in &values {
            has_values |= !table.is_empty().map_err(|it| database.wrong(it))?;
        }
        Ok(Tables {
            database,
            roots: write.open_table(ROOTS).map_err(wrong)?,
            files: write.open_table(FILES).map_err(wrong)?,
            folders: write.open_table(FOLDERS).map_err(wrong)?,
            nameless: write.open_table(NAMELESS).map_err(wrong)?,
            values,
            has_values,
            confirmed: number(database, CONFIRMED)?,
        })
    }

    pub(crate) fn put_root(&mut self, root: u64, row: &RootRow) -> Result<(), HashfileError> {
        let bytes = row.encode();
        let inserted = self.roots.insert(root, &bytes[..]);
        inserted.map(drop).map_err(|it| self.database.wrong(it))
    }

    /// Returns what is known of a file.
    fn file(&self, id: FileId) -> Result<Option<FileRow>, HashfileError> {
        let wrong = |error| self.database.wrong(error);
        let FileId { root, inode } = id;
        let mut found: Option<FileRow> = None;
        let rows = (root, inode, 0)..=(root, inode, u64::MAX);
        for entry in self.files.range(rows).map_err(wrong)? {
            let (_, row) = entry.map_err(wrong)?;
            let bytes = &mut row.value();
            let malformed = |_| self.database.malformed();
            if found.is_none() {
                let (file, is_named) = take_file(bytes, id).map_err(malformed)?;
                found = Some(FileRow {
                    file,
                    is_named,
                    file_extents: Vec::new(),
                });
            }
            if let Some(found) = &mut found {
                take_extents(bytes, &mut found.file_extents).map_err(malformed)?;
            }
        }
        Ok(found)
    }

    fn remove_file(&mut self, id: FileId) -> Result<(), HashfileError> {
        let wrong = |error| self.database.wrong(error);
        let FileId { root, inode } = id;
        let rows = (root, inode, 0)..=(root, inode, u64::MAX);
        self.files.retain_in(rows, |_, _| false).map_err(wrong)?;
        self.nameless.remove((root, inode)).map_err(wrong)?;
        Ok(())
    }

    fn put_file(&mut self, row: &FileRow) -> Result<(), HashfileError> {
        let FileId { root, inode } = row.file.id;
        let mut bytes = Vec::new();
        put_file(&mut bytes, &row.file, row.is_named);
        let mut chunks = row.file_extents.chunks(NR_EXTENTS_OF_ROW);
        let mut row_idx = 0;
        loop {
            let chunk = chunks.next().unwrap_or_default();
            chunk.iter().for_each(|it| put_extent(&mut bytes, it));
            let inserted = self.files.insert((root, inode, row_idx), &bytes[..]);
            inserted.map_err(|it| self.database.wrong(it))?;
            bytes.clear();
            row_idx += 1;
            if chunks.len() == 0 {
                break;
            }
        }
        if !row.is_named {
            let inserted = self.nameless.insert((root, inode), ());
            inserted.map_err(|it| self.database.wrong(it))?;
        }
        Ok(())
    }

    fn folder(&self, root: u64, inode: u64) -> Result<Option<FolderRow>, HashfileError> {
        let found = self.folders.get((root, inode));
        let found = found.map_err(|it| self.database.wrong(it))?;
        let decoded = found.map(|row| FolderRow::decode(row.value()));
        decoded.transpose().map_err(|_| self.database.malformed())
    }

    pub(crate) fn put_folder(
        &mut self,
        root: u64,
        inode: u64,
        row: &FolderRow,
    ) -> Result<(), HashfileError> {
        let bytes = row.encode();
        let inserted = self.folders.insert((root, inode), &bytes[..]);
        inserted.map(drop).map_err(|it| self.database.wrong(it))
    }

    /// Forgets the values of an extent if `is_outdated` says so of what it is told of them.
    fn forget_values(
        &mut self,
        address: u64,
        mut is_outdated: impl FnMut(&ValuesHead) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        if !self.has_values {
            return Ok(());
        }
        for table in &mut self.values {
            let found = table.get(address).map_err(|it| self.database.wrong(it))?;
            let head = found.map(|row| ValuesHead::take(&mut row.value()));
            let head = head.transpose().map_err(|_| self.database.malformed())?;
            if let Some(head) = head
                && is_outdated(&head)?
            {
                let removed = table.remove(address);
                removed.map_err(|it| self.database.wrong(it))?;
            }
        }
        Ok(())
    }

    /// Forgets the values of extents of a file that has changed: those that nobody has confirmed,
    /// and those of extents that it has no more, if these are gone.
    fn leave(
        &mut self,
        volume: &mut dyn History,
        old: &FileRow,
        kept: &[FileExtent],
    ) -> Result<(), Trouble> {
        if !self.has_values {
            return Ok(());
        }
        let confirmed = self.confirmed;
        let kept: FxHashSet<u64> = kept
            .iter()
            .filter_map(extent_of)
            .map(|it| it.address)
            .collect();
        for extent in old.file_extents.iter().filter_map(extent_of) {
            self.forget_values(extent.address, |head| {
                let is_left = !kept.contains(&extent.address);
                Ok(confirmed < head.run || is_left && is_another(volume, &extent, head)?)
            })?;
        }
        Ok(())
    }

    /// Writes what a file is now, and forgets the values that it puts in doubt.
    pub(crate) fn change_file(
        &mut self,
        volume: &mut dyn History,
        old: Option<&FileRow>,
        new: &FileRow,
    ) -> Result<(), Trouble> {
        if let Some(old) = old {
            self.leave(volume, old, &new.file_extents)?;
        }
        let is_old = |it: &FileExtent| {
            let of = |old: &FileRow| {
                old.file_extents
                    .binary_search_by_key(&it.offset, |it| it.offset)
                    .is_ok_and(|idx| old.file_extents[idx] == *it)
            };
            old.is_some_and(of)
        };
        let mut asked = None;
        for file_extent in &new.file_extents {
            let Some(extent) = extent_of(file_extent) else {
                continue;
            };
            // Neighbours are often parts of one extent.
            if asked == Some(extent.address) || is_old(file_extent) && !new.file.is_nodatasum {
                continue;
            }
            asked = Some(extent.address);
            self.forget_values(extent.address, |head| {
                let is_overwritten = new.file.is_nodatasum && head.transid < new.file.generation;
                Ok(is_overwritten || is_another(volume, &extent, head)?)
            })?;
        }
        if old.is_some() {
            self.remove_file(new.file.id)?;
        }
        self.put_file(new)?;
        Ok(())
    }

    /// Looks at an inode that may have changed, or gone; adds what may have gone with it.
    pub(crate) fn refresh(
        &mut self,
        volume: &mut dyn History,
        id: FileId,
        suspects: &mut Vec<u64>,
    ) -> Result<bool, Trouble> {
        let FileId { root, inode } = id;
        let old_folder = self.folder(root, inode)?;
        let mut collected = Collected::default();
        let is_there = volume.inode(root, inode, &mut |told| collected.add(told))?;
        let new_folder = collected
            .folder
            .map(|(_, children)| FolderRow::new(children));
        if let Some(old) = &old_folder {
            let is_left = |child: &&u64| match &new_folder {
                Some(new) => new.0.binary_search(child).is_ok(),
                None => false,
            };
            suspects.extend(old.0.iter().filter(|child| !is_left(child)));
        }
        match (&new_folder, &old_folder) {
            (Some(new), _) => self.put_folder(root, inode, new)?,
            (None, Some(_)) => {
                let removed = self.folders.remove((root, inode));
                removed.map_err(|it| self.database.wrong(it))?;
            }
            (None, None) => {}
        }
        let old = self.file(id)?;
        match (&collected.file, &old) {
            (Some(new), _) => self.change_file(volume, old.as_ref(), new)?,
            (None, Some(old)) => {
                self.leave(volume, old, &[])?;
                self.remove_file(id)?;
            }
            (None, None) => {}
        }
        Ok(is_there)
    }
}

/// Returns whether what is at the address of an extent is another one than what values are of.
pub(crate) fn is_another(
    volume: &mut dyn History,
    extent: &Extent,
    head: &ValuesHead,
) -> Result<bool, Trouble> {
    let generation = volume.extent_generation(extent)?;
    Ok(generation.is_none_or(|generation| head.transid < generation))
}

/// One inode, as it is told.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) file: Option<FileRow>,
    pub(crate) folder: Option<(u64, Vec<u64>)>,
}

impl Collected {
    pub(crate) fn add(&mut self, told: Told) {
        match told {
            Told::File { file, is_named } => {
                self.file = Some(FileRow {
                    file,
                    is_named,
                    file_extents: Vec::new(),
                });
            }
            Told::Extent(file_extent) => {
                let file = self
                    .file
                    .as_mut()
                    .filter(|_| extent_of(&file_extent).is_some());
                if let Some(file) = file {
                    file.file_extents.push(file_extent);
                }
            }
            Told::Folder { inode } => self.folder = Some((inode, Vec::new())),
            Told::Child { inode } => {
                if let Some((_, children)) = &mut self.folder {
                    children.push(inode);
                }
            }
        }
    }
}
