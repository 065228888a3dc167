//! A volume with trees that remembers: [`Remembering`].
//!
//! To whoever looks for duplicates it is the volume that it stands before: pages come from the
//! database once that is up to date, values of blocks too, everything else from the volume.

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use redb::ReadableTableMetadata;
use volume::{
    Extent, ExtentReferences, File, FileExtent, FileId, History, Learned, Page, Position, Recalled,
    ValueKind, Volume, VolumeError,
};

use crate::OnNoted;
use crate::answers;
use crate::bytes::put;
use crate::database::{Database, FILES, NR_RUNS, Subject, Way};
use crate::error::HashfileError;
use crate::rows::{take_extents, take_file};
use crate::tables::Trouble;
use crate::update::{self, Updated};
use crate::values::{self, Pending};

/// A page is full with so many file extents or files.
const PAGE_LEN: usize = 1 << 16;

/// The volume.
pub(crate) struct Remembering {
    inner: Box<dyn History>,
    database: Database,
    updated: Updated,
    pending: Pending,
    /// The number of this run, once it has learned something.
    run: Option<u64>,
    /// Whether it learned something that nobody has confirmed.
    has_learned: bool,
    /// Whether the hashfile is on the filesystem that it is about: to remember an answer there
    /// would be the change that outdates it.
    is_within: bool,
    /// The last transaction before a question was asked.
    asked_after: Option<u64>,
    /// Rows of files that pages were made of, and how many there are.
    nr_told: u64,
    nr_rows: u64,
    on_noted: OnNoted,
}

impl Remembering {
    pub(crate) fn open(
        mut inner: Box<dyn History>,
        path: &Path,
        on_noted: OnNoted,
    ) -> Result<Remembering, HashfileError> {
        let subject = Subject {
            filesystem: inner.filesystem(),
            way: Way::Trees,
            block_bytes: inner.block_bytes(),
        };
        let database = Database::open(path, &subject)?;
        Ok(Remembering {
            is_within: inner.leave_out(database.fd()),
            database,
            inner,
            updated: Updated::default(),
            pending: Pending::new(),
            run: None,
            has_learned: false,
            asked_after: None,
            nr_told: 0,
            nr_rows: 0,
            on_noted,
        })
    }

    fn update(&mut self) -> Result<(), VolumeError> {
        self.flush()?;
        let updated = update::update(&mut *self.inner, &mut self.database, &self.on_noted);
        self.updated = updated.map_err(|trouble| match trouble {
            Trouble::Volume(error) => error,
            Trouble::Hashfile(error) => fatal(&error),
        })?;
        self.run = None;
        self.has_learned = false;
        Ok(())
    }

    /// Returns a question with what is in scope, as the key of its answer.
    fn key_of(&self, question: &[u64]) -> Vec<u8> {
        let mut hasher = DefaultHasher::new();
        self.inner.hash_scope(&mut hasher);
        let mut key = Vec::new();
        question.iter().for_each(|number| put(&mut key, *number));
        put(&mut key, hasher.finish());
        key
    }

    /// Writes what was learned.
    fn flush(&mut self) -> Result<(), VolumeError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut flush = || -> Result<(), HashfileError> {
            let write = self.database.write()?;
            self.pending.write(&self.database, &write)?;
            if let Some(run) = self.run {
                update::set(&self.database, &write, NR_RUNS, run)?;
            }
            update::commit(&self.database, write)
        };
        flush().map_err(|error| fatal(&error))
    }

    /// Fills a page with files in scope.
    fn fill(&mut self, from: Position, page: &mut Page) -> Result<Option<Position>, HashfileError> {
        let database = &self.database;
        let wrong = |error| database.wrong(error);
        let read = database.read()?;
        let files = read.open_table(FILES).map_err(|it| database.wrong(it))?;
        if from == Position::default() {
            self.nr_told = 0;
            self.nr_rows = files.len().map_err(wrong)?;
        }
        let mut extents: Vec<FileExtent> = Vec::new();
        let mut current: Option<(File, bool)> = None;
        let inner = &mut self.inner;
        let mut end_file =
            |current: Option<(File, bool)>, extents: &mut Vec<FileExtent>, page: &mut Page| {
                let Some((file, is_named)) = current else {
                    return;
                };
                inner.replay(&file, extents);
                if is_named && inner.is_in_scope(&file) {
                    page.push_file(file);
                    extents.drain(..).for_each(|it| page.push_extent(it));
                }
                extents.clear();
            };
        for entry in files.range((from.root, from.inode, 0)..).map_err(wrong)? {
            let (key, row) = entry.map_err(wrong)?;
            let (root, inode, row_idx) = key.value();
            let bytes = &mut row.value();
            if row_idx == 0 {
                let id = FileId { root, inode };
                end_file(current.take(), &mut extents, page);
                if PAGE_LEN <= page.file_extents.len().max(page.files.len()) {
                    return Ok(Some(Position::of(id)));
                }
                let file = take_file(bytes, id).map_err(|_| database.malformed())?;
                current = Some(file);
            }
            take_extents(bytes, &mut extents).map_err(|_| database.malformed())?;
            self.nr_told += 1;
        }
        end_file(current.take(), &mut extents, page);
        Ok(None)
    }
}

/// Returns the error of a run whose hashfile fails.
pub(crate) fn fatal(error: &HashfileError) -> VolumeError {
    VolumeError::Fatal(error.to_string())
}

impl Drop for Remembering {
    fn drop(&mut self) {
        // Whoever stops in the middle keeps what was found out; if it cannot be written, the next
        // run finds it out again.
        let _ = self.flush();
    }
}

impl Volume for Remembering {
    volume::forward! { to (self.inner):
        block_bytes space_rule checksum_strength dedupe_len_max file file_extents checksums read
        hash_blocks work read_ahead dedupe nr_at_once dedupe_all create write begin_flush flush
        remove sync used_bytes path
    }

    fn next_page(
        &mut self,
        from: Position,
        _newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        page.clear();
        if from == Position::default() {
            self.update()?;
            self.inner.begin_replay();
        }
        let next = self.fill(from, page).map_err(|error| fatal(&error))?;
        if next.is_none() {
            self.inner.end_replay(&self.updated.roots);
        }
        Ok(next)
    }

    fn walked(&self) -> Option<f64> {
        (0 < self.nr_rows).then(|| self.nr_told as f64 / self.nr_rows as f64)
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        // A plan begins: everything is hashed. What nobody changed meanwhile is true for good.
        if self.has_learned {
            self.update()?;
        }
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
        values::recall(&self.database, kind, extents, recalled).map_err(|error| fatal(&error))
    }

    fn learn(&mut self, kind: ValueKind, learned: Learned<'_>) -> Result<(), VolumeError> {
        let run = match self.run {
            Some(run) => run,
            None => {
                let before = update::number(&self.database, NR_RUNS);
                1 + before.map_err(|error| fatal(&error))?
            }
        };
        self.run = Some(run);
        self.has_learned = true;
        self.pending.add(kind, &learned, self.updated.transid, run);
        match self.pending.is_due() {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn recall_answer(&mut self, question: &[u64]) -> Result<Option<Vec<u64>>, VolumeError> {
        if self.is_within {
            return Ok(None);
        }
        let transid = self.inner.moment()?.transid;
        self.asked_after = Some(transid);
        let recalled = answers::recall(&self.database, &self.key_of(question), transid);
        recalled.map_err(|error| fatal(&error))
    }

    fn learn_answer(
        &mut self,
        question: &[u64],
        answer: &mut dyn Iterator<Item = u64>,
    ) -> Result<(), VolumeError> {
        let Some(asked_after) = self.asked_after else {
            return Ok(());
        };
        // What somebody changed meanwhile has outdated it already.
        if self.inner.moment()?.transid != asked_after {
            return Ok(());
        }
        let key = self.key_of(question);
        let learned = answers::learn(&mut self.database, &key, asked_after, answer);
        learned.map_err(|error| fatal(&error))
    }
}
