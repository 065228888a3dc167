//! Bringing the database up to date with the trees: [`update`].
//!
//! A subvolume that was walked to its end is asked only for what later transactions changed; what
//! is gone shows in its folder. What is believed afterwards, and why:
//!
//! - Rows of files: an inode whose transaction is not newer is as it was, but for its file extents
//!   in leaves that are newer; those are compared (balancing moves extents behind an inode's back).
//! - Values of an extent: it is the same extent if the transaction that allocated it is not newer
//!   than the values, and what is written in an extent with checksums never changes. Where a file
//!   has come to refer to an extent that values are known of, the extent tree is asked. Values of
//!   data without checksums, which is overwritten in place, go with any change of the file.
//! - Values that the last run found out: they may be of what somebody wrote while it ran. Those of
//!   files that did change go; then the rest is *confirmed*.

use std::time::Instant;

use redb::{ReadableTable, WriteTransaction};
use rustc_hash::FxHashSet;
use volume::{Compression, Extent, FileExtent, FileId, History, Newer, Subvolume, Told};

use crate::OnNoted;
use crate::database::{
    ABOUT, CHECKSUM_KIND, CHECKSUMS, CONFIRMED, Database, FILES, HASHES, NAMELESS, NR_RUNS, ROOTS,
    TO_BE_SWEPT,
};
use crate::error::HashfileError;
use crate::rows::{FileRow, FolderRow, RootRow, ValuesHead, extent_of, take_extents, take_file};
use crate::tables::{Collected, Tables, Trouble, is_another};
use crate::values::WAIT_MAX;

/// Items that are walked before it is looked whether a commit is due.
const NR_ITEMS_OF_PORTION: u64 = 1 << 16;
/// Items between two commits of a walk at most.
const NR_ITEMS_OF_COMMIT: u64 = 1 << 20;
/// The first inode of every subvolume.
const FIRST_INODE: u64 = 256;

/// What an update left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Updated {
    /// The transaction up to which everything is known.
    pub(crate) transid: u64,
    /// The subvolumes that are known whole.
    pub(crate) roots: Vec<u64>,
}

/// Brings the database up to date; tells how far a walk is.
pub(crate) fn update(
    volume: &mut dyn History,
    database: &mut Database,
    on_noted: &OnNoted,
) -> Result<Updated, Trouble> {
    let moment = volume.moment()?;
    sweep(volume, database)?;
    let known = known_roots(database)?;
    let checksum_kind = volume.checksum_kind();
    if number(database, CHECKSUM_KIND)? != checksum_kind {
        let write = database.write()?;
        set_checksum_kind(database, &write, checksum_kind)?;
        commit(database, write)?;
    }
    let mut updated = Updated {
        transid: moment.transid,
        roots: Vec::new(),
    };
    for (root, row) in &known {
        let is_there = |it: &&Subvolume| it.root == *root && it.uuid == row.uuid;
        if !moment.subvolumes.iter().any(|it| is_there(&it)) {
            let write = database.write()?;
            forget_root(database, &write, *root)?;
            set(database, &write, TO_BE_SWEPT, 1)?;
            commit(database, write)?;
        }
    }
    let in_scope = volume.roots_in_scope();
    let mut nr_noted = 0;
    for subvolume in &moment.subvolumes {
        let root = subvolume.root;
        let is_known =
            |(known, row): &&(u64, RootRow)| *known == root && row.uuid == subvolume.uuid;
        let mut row = match known.iter().find(is_known) {
            Some((_, row)) => *row,
            None if in_scope.contains(&root) => RootRow {
                uuid: subvolume.uuid,
                transid: moment.transid,
                walked_to: FIRST_INODE,
            },
            None => continue,
        };
        if FIRST_INODE < row.walked_to {
            catch_up(volume, database, root, &mut row, moment.transid)?;
        }
        if row.walked_to != RootRow::END && in_scope.contains(&root) {
            row.transid = moment.transid;
            walk(volume, database, root, &mut row, |volume, nr_files| {
                nr_noted += nr_files;
                on_noted(nr_noted, volume.nr_files_about(nr_noted));
            })?;
        }
        if row.walked_to == RootRow::END {
            updated.roots.push(root);
        }
    }
    let (nr_runs, confirmed) = (number(database, NR_RUNS)?, number(database, CONFIRMED)?);
    if confirmed < nr_runs {
        let write = database.write()?;
        set(database, &write, CONFIRMED, nr_runs)?;
        commit(database, write)?;
    }
    Ok(updated)
}

/// Returns a number that the database has about itself; 0 if it has none.
pub(crate) fn number(database: &Database, name: &str) -> Result<u64, HashfileError> {
    let read = database.read()?;
    let about = read.open_table(ABOUT).map_err(|it| database.wrong(it))?;
    let found = about.get(name).map_err(|it| database.wrong(it))?;
    Ok(found.map_or(0, |number| number.value()))
}

/// Sets a number that the database has about itself.
pub(crate) fn set(
    database: &Database,
    write: &WriteTransaction,
    name: &str,
    number: u64,
) -> Result<(), HashfileError> {
    let mut about = write.open_table(ABOUT).map_err(|it| database.wrong(it))?;
    let inserted = about.insert(name, number);
    inserted.map(drop).map_err(|it| database.wrong(it))
}

pub(crate) fn commit(database: &Database, write: WriteTransaction) -> Result<(), HashfileError> {
    write.commit().map_err(|it| database.wrong(it))
}

fn known_roots(database: &Database) -> Result<Vec<(u64, RootRow)>, HashfileError> {
    let wrong = |error| database.wrong(error);
    let read = database.read()?;
    let roots = read.open_table(ROOTS).map_err(|it| database.wrong(it))?;
    let mut found = Vec::new();
    for entry in roots.iter().map_err(wrong)? {
        let (root, row) = entry.map_err(wrong)?;
        let row = RootRow::decode(row.value()).map_err(|_| database.malformed())?;
        found.push((root.value(), row));
    }
    Ok(found)
}

/// The filesystem's checksums are of another kind than before: theirs are worth nothing.
fn set_checksum_kind(
    database: &Database,
    write: &WriteTransaction,
    kind: u64,
) -> Result<(), HashfileError> {
    let mut table = write
        .open_table(CHECKSUMS)
        .map_err(|it| database.wrong(it))?;
    table
        .retain(|_, _| false)
        .map_err(|it| database.wrong(it))?;
    drop(table);
    set(database, write, CHECKSUM_KIND, kind)
}

/// Forgets the values of extents that went with subvolumes that an earlier run saw to be gone: the
/// kernel gives trees up in its own time.
fn sweep(volume: &mut dyn History, database: &mut Database) -> Result<(), Trouble> {
    if number(database, TO_BE_SWEPT)? == 0 {
        return Ok(());
    }
    let write = database.write()?;
    for definition in [CHECKSUMS, HASHES] {
        let table = write.open_table(definition);
        let mut table = table.map_err(|it| database.wrong(it))?;
        let mut outdated = Vec::new();
        for entry in table.iter().map_err(|it| database.wrong(it))? {
            let (address, row) = entry.map_err(|it| database.wrong(it))?;
            let head = ValuesHead::take(&mut row.value());
            let head = head.map_err(|_| database.malformed())?;
            let extent = Extent {
                address: address.value(),
                disk_bytes: head.disk_bytes,
                ram_bytes: head.disk_bytes,
                compression: Compression::None,
            };
            if is_another(volume, &extent, &head)? {
                outdated.push(extent.address);
            }
        }
        for address in outdated {
            table.remove(address).map_err(|it| database.wrong(it))?;
        }
    }
    set(database, &write, TO_BE_SWEPT, 0)?;
    commit(database, write)?;
    Ok(())
}

/// Removes everything of a subvolume that is gone, but values: others may share its extents.
fn forget_root(
    database: &Database,
    write: &WriteTransaction,
    root: u64,
) -> Result<(), HashfileError> {
    let wrong = |error| database.wrong(error);
    let mut tables = Tables::open(database, write)?;
    tables
        .files
        .retain_in((root, 0, 0)..=(root, u64::MAX, u64::MAX), |_, _| false)
        .map_err(wrong)?;
    let inodes = (root, 0)..=(root, u64::MAX);
    tables
        .folders
        .retain_in(inodes.clone(), |_, _| false)
        .map_err(wrong)?;
    tables
        .nameless
        .retain_in(inodes, |_, ()| false)
        .map_err(wrong)?;
    tables.roots.remove(root).map_err(wrong)?;
    Ok(())
}

/// Applies what changed in a subvolume since it was looked at.
fn catch_up(
    volume: &mut dyn History,
    database: &mut Database,
    root: u64,
    row: &mut RootRow,
    transid: u64,
) -> Result<(), Trouble> {
    let changed = changed(volume, database, root, row)?;
    if changed.is_empty() {
        return Ok(());
    }
    let write = database.write()?;
    {
        let mut tables = Tables::open(database, &write)?;
        let mut suspects = Vec::new();
        let mut seen = FxHashSet::default();
        for inode in changed {
            seen.insert(inode);
            let id = FileId { root, inode };
            tables.refresh(volume, id, &mut suspects)?;
        }
        // What has left its folder is gone or somewhere else. With a folder all that was in it may
        // have gone.
        while let Some(inode) = suspects.pop() {
            if inode < row.walked_to && seen.insert(inode) {
                let id = FileId { root, inode };
                tables.refresh(volume, id, &mut suspects)?;
            }
        }
        row.transid = transid;
        tables.put_root(root, row)?;
    }
    commit(database, write)?;
    Ok(())
}

/// Returns the inodes of a subvolume that may have changed since it was looked at.
fn changed(
    volume: &mut dyn History,
    database: &Database,
    root: u64,
    row: &RootRow,
) -> Result<Vec<u64>, Trouble> {
    let read = database.read()?;
    let files = read.open_table(FILES).map_err(|it| database.wrong(it))?;
    let mut changed: Vec<u64> = Vec::new();
    let mut known: (u64, Vec<FileExtent>) = (u64::MAX, Vec::new());
    let mut trouble = None;
    let mut is_moved = |inode: u64, extent: &FileExtent| -> Result<bool, HashfileError> {
        let wrong = |error| database.wrong(error);
        if known.0 != inode {
            known.1.clear();
            let id = FileId { root, inode };
            let rows = (root, inode, 0)..=(root, inode, u64::MAX);
            for (row_idx, entry) in files.range(rows).map_err(wrong)?.enumerate() {
                let (_, row) = entry.map_err(wrong)?;
                let bytes = &mut row.value();
                if row_idx == 0 {
                    take_file(bytes, id).map_err(|_| database.malformed())?;
                }
                take_extents(bytes, &mut known.1).map_err(|_| database.malformed())?;
            }
            known.0 = inode;
        }
        let found = known.1.binary_search_by_key(&extent.offset, |it| it.offset);
        Ok(!found.is_ok_and(|idx| known.1[idx] == *extent))
    };
    volume.newer(root, row.transid, &mut |newer| match newer {
        Newer::Inode { inode, transid } => {
            if row.transid < transid && inode < row.walked_to {
                changed.push(inode);
            }
        }
        Newer::Extent { inode, extent } => {
            let is_new = changed.last() == Some(&inode) || row.walked_to <= inode;
            if is_new || extent_of(&extent).is_none() || trouble.is_some() {
                return;
            }
            match is_moved(inode, &extent) {
                Ok(true) => changed.push(inode),
                Ok(false) => {}
                Err(error) => trouble = Some(error),
            }
        }
    })?;
    if let Some(error) = trouble {
        return Err(error.into());
    }
    let nameless = read.open_table(NAMELESS).map_err(|it| database.wrong(it))?;
    let inodes = nameless.range((root, 0)..=(root, u64::MAX));
    for entry in inodes.map_err(|it| database.wrong(it))? {
        let (key, _) = entry.map_err(|it| database.wrong(it))?;
        changed.push(key.value().1);
    }
    changed.sort_unstable();
    changed.dedup();
    Ok(changed)
}

/// Walks what has not been walked of a subvolume, and commits now and then; tells how many files
/// are noted each time that some are.
fn walk(
    volume: &mut dyn History,
    database: &mut Database,
    root: u64,
    row: &mut RootRow,
    mut tell: impl FnMut(&dyn History, u64),
) -> Result<(), Trouble> {
    while row.walked_to != RootRow::END {
        let write = database.write()?;
        {
            let mut tables = Tables::open(database, &write)?;
            let start = Instant::now();
            let mut nr_items = 0;
            while row.walked_to != RootRow::END
                && nr_items < NR_ITEMS_OF_COMMIT
                && start.elapsed() < WAIT_MAX
            {
                let mut portion = Portion::default();
                let mut told = |told| portion.add(told);
                let next = volume.walk(root, row.walked_to, NR_ITEMS_OF_PORTION, &mut told)?;
                portion.end();
                nr_items += NR_ITEMS_OF_PORTION;
                for file in &portion.files {
                    tables.change_file(volume, None, file)?;
                }
                for (inode, children) in portion.folders {
                    tables.put_folder(root, inode, &FolderRow::new(children))?;
                }
                row.walked_to = next.unwrap_or(RootRow::END);
                tell(volume, portion.files.len() as u64);
            }
            tables.put_root(root, row)?;
        }
        commit(database, write)?;
    }
    Ok(())
}

/// Inodes of a walk.
#[derive(Debug, Default)]
struct Portion {
    files: Vec<FileRow>,
    folders: Vec<(u64, Vec<u64>)>,
    current: Collected,
}

impl Portion {
    fn add(&mut self, told: Told) {
        if matches!(told, Told::File { .. } | Told::Folder { .. }) {
            self.end();
        }
        self.current.add(told);
    }

    fn end(&mut self) {
        let Collected { file, folder } = std::mem::take(&mut self.current);
        self.files.extend(file);
        self.folders.extend(folder);
    }
}
