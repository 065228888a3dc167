//! The file with its tables: [`Database`].
//!
//! Why redb: it is one file; a commit is whole or not there, whenever the process or the machine
//! dies; every page has a checksum, so that damage is found before anything is believed; it is
//! plain Rust without a C compiler or an unsafe line of ours; and it reads from storage of ours,
//! which is how a file that turns out to be somebody else's is left as it is. (SQLite would have
//! brought a query language that nothing here needs, and no checksums.)

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Builder, DatabaseError, ReadTransaction, ReadableDatabase, StorageError, TableDefinition,
    TableError, WriteTransaction,
};

use crate::error::{HashfileError, system};
use crate::storage::Storage;

/// The version of the tables and rows. Another one is refused.
const VERSION: u64 = 1;
/// What a redb file begins with.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Memory for pages of the file, bytes.
const CACHE_BYTES: usize = 64 << 20;

/// What the file is about: numbers by name.
pub(crate) const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
/// The subvolumes by number.
pub(crate) const ROOTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("roots");
/// Files by subvolume, inode and number of the row.
pub(crate) const FILES: TableDefinition<'_, (u64, u64, u64), &[u8]> = TableDefinition::new("files");
/// Folders by subvolume and inode.
pub(crate) const FOLDERS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("folders");
/// Files without a name, by subvolume and inode: they go without a trace in any folder.
pub(crate) const NAMELESS: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("nameless");
/// Checksums by the address of the extent.
pub(crate) const CHECKSUMS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("checksums");
/// Hashes by the address of the extent.
pub(crate) const HASHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("hashes");
/// Files that were looked at one by one, by subvolume and inode.
pub(crate) const MAPS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("maps");

/// `ABOUT`: the version of the format.
const VERSION_NAME: &str = "version";
/// `ABOUT`: the halves of the filesystem's UUID.
const FILESYSTEM_NAMES: [&str; 2] = ["filesystem", "filesystem-2"];
/// `ABOUT`: [`Way`].
const WAY_NAME: &str = "way";
/// `ABOUT`: bytes of a block.
const BLOCK_NAME: &str = "block";
/// `ABOUT`: the kind of checksums that are remembered.
pub(crate) const CHECKSUM_KIND: &str = "checksum-kind";
/// `ABOUT`: 1 if extents may be gone whose values are still there.
pub(crate) const TO_BE_SWEPT: &str = "to-be-swept";
/// `ABOUT`: how many runs learned something.
pub(crate) const NR_RUNS: &str = "runs";
/// `ABOUT`: what runs up to this one learned is known not to have changed meanwhile.
pub(crate) const CONFIRMED: &str = "confirmed";

/// How a filesystem is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through its trees.
    Trees = 1,
    /// File by file.
    Files = 2,
}

/// What a file is to be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) filesystem: [u8; 16],
    pub(crate) way: Way,
    pub(crate) block_bytes: u64,
}

/// An open hashfile.
pub(crate) struct Database {
    path: PathBuf,
    /// Locked as long as this lives.
    file: Arc<File>,
    redb: redb::Database,
    /// Whether writes reach the file; until something is to be written they do not.
    is_direct: bool,
}

impl Database {
    /// Opens a hashfile that is about `subject`; makes it if there is none.
    pub(crate) fn open(path: &Path, subject: &Subject) -> Result<Database, HashfileError> {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, subject)?,
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                return Err(foreign(path, "it is a folder"));
            }
            Err(error) => return Err(system("open", path, error)),
        };
        let meta = file.metadata().map_err(|it| system("look at", path, it))?;
        if !meta.is_file() {
            return Err(foreign(path, "it is no regular file"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(HashfileError::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(system("lock", path, error)),
        }
        let file = Arc::new(file);
        if meta.len() == 0 {
            return Err(foreign(path, "it is empty"));
        }
        let mut magic = [0; MAGIC.len()];
        match std::os::unix::fs::FileExt::read_exact_at(&*file, &mut magic, 0) {
            Ok(()) if magic == MAGIC => {}
            Ok(()) => return Err(foreign(path, "its first bytes are not those of one")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(foreign(path, "it is too short"));
            }
            Err(error) => return Err(system("read", path, error)),
        }
        let overlaid = Storage::overlaid(Arc::clone(&file));
        let storage = overlaid.map_err(|error| system("read", path, error))?;
        // Every page is checked. What the checks do not catch may panic in redb.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Builder::new();
            builder.set_check_integrity_on_open(true);
            builder.set_cache_size(CACHE_BYTES);
            builder.create_with_backend(storage)
        }));
        let redb = match opened {
            Ok(opened) => opened.map_err(|error| opening(path, error))?,
            Err(_) => return Err(damaged(path, "its pages contradict each other")),
        };
        let database = Database {
            path: path.to_owned(),
            file,
            redb,
            is_direct: false,
        };
        database.check(subject)?;
        Ok(database)
    }

    /// Returns the file itself.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Begins to read.
    pub(crate) fn read(&self) -> Result<ReadTransaction, HashfileError> {
        self.redb.begin_read().map_err(|it| self.wrong(it))
    }

    /// Begins to write; from now on it reaches the file.
    pub(crate) fn write(&mut self) -> Result<WriteTransaction, HashfileError> {
        if !self.is_direct {
            let storage = Storage::direct(Arc::clone(&self.file));
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES);
            let opened = builder.create_with_backend(storage);
            self.redb = opened.map_err(|error| opening(&self.path, error))?;
            self.is_direct = true;
        }
        self.redb.begin_write().map_err(|it| self.wrong(it))
    }

    /// Returns the error for what redb says.
    pub(crate) fn wrong(&self, error: impl Into<redb::Error>) -> HashfileError {
        match error.into() {
            redb::Error::Io(source) => system("write", &self.path, source),
            redb::Error::PreviousIo => system(
                "write",
                &self.path,
                io::Error::other("an earlier write failed"),
            ),
            error => damaged(&self.path, error),
        }
    }

    /// Returns the error for a row that makes no sense.
    pub(crate) fn malformed(&self) -> HashfileError {
        damaged(&self.path, "a row makes no sense")
    }

    /// Checks that it is about `subject`.
    fn check(&self, subject: &Subject) -> Result<(), HashfileError> {
        let read = self.read()?;
        let about = match read.open_table(ABOUT) {
            Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => {
                return Err(foreign(&self.path, "it is a database of something else"));
            }
            about => about.map_err(|it| self.wrong(it))?,
        };
        let number = |name: &str| {
            let found = about.get(name).map_err(|it| self.wrong(it))?;
            let found = found.map(|number| number.value());
            found.ok_or_else(|| foreign(&self.path, "it is a database of something else"))
        };
        let found = number(VERSION_NAME)?;
        if found != VERSION {
            return Err(HashfileError::Version {
                path: self.path.clone(),
                found,
                known: VERSION,
            });
        }
        let mut halves = [0; 16];
        for (half, name) in halves.chunks_exact_mut(8).zip(FILESYSTEM_NAMES) {
            half.copy_from_slice(&number(name)?.to_be_bytes());
        }
        let other = |found: String, wanted: String| HashfileError::Other {
            path: self.path.clone(),
            found,
            wanted,
        };
        let way = number(WAY_NAME)?;
        if halves != subject.filesystem {
            let name = |uuid| format!("the filesystem {}", uuid_text(uuid));
            return Err(other(name(&halves), name(&subject.filesystem)));
        }
        if way != subject.way as u64 {
            let of = |way| match way == Way::Trees as u64 {
                true => "the trees of the filesystem, as root sees them",
                false => "the filesystem file by file, as other users see it",
            };
            return Err(other(of(way).to_owned(), of(subject.way as u64).to_owned()));
        }
        let block = number(BLOCK_NAME)?;
        if block != subject.block_bytes {
            let of = |bytes| format!("blocks of {bytes} bytes");
            return Err(other(of(block), of(subject.block_bytes)));
        }
        Ok(())
    }
}

/// Makes a hashfile that knows nothing; it gets its name once it is whole.
fn create(path: &Path, subject: &Subject) -> Result<File, HashfileError> {
    let wrong = |source| system("create", path, source);
    // The folder of a bare name is empty: to `tempfile` that is the one where we are.
    let folder = path.parent().unwrap_or(path);
    // A link that leads nowhere is no place for a new file.
    if fs::symlink_metadata(path).is_ok() {
        return Err(wrong(io::ErrorKind::NotFound.into()));
    }
    let named = tempfile::Builder::new()
        .prefix(".xsame-hashfile-")
        .tempfile_in(folder)
        .map_err(wrong)?;
    let file = named.as_file().try_clone().map_err(wrong)?;
    let made = fill(Arc::new(file), subject);
    made.map_err(|error| match error {
        redb::Error::Io(source) => wrong(source),
        error => damaged(path, error),
    })?;
    match named.persist_noclobber(path) {
        Ok(file) => Ok(file),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(HashfileError::Busy(path.to_owned()))
        }
        Err(error) => Err(wrong(error.error)),
    }
}

/// Makes the tables.
fn fill(file: Arc<File>, subject: &Subject) -> Result<(), redb::Error> {
    let redb = Builder::new().create_with_backend(Storage::direct(file))?;
    let write = redb.begin_write()?;
    {
        let mut about = write.open_table(ABOUT)?;
        about.insert(VERSION_NAME, VERSION)?;
        for (half, name) in subject.filesystem.chunks_exact(8).zip(FILESYSTEM_NAMES) {
            let mut number = [0; 8];
            number.copy_from_slice(half);
            about.insert(name, u64::from_be_bytes(number))?;
        }
        about.insert(WAY_NAME, subject.way as u64)?;
        about.insert(BLOCK_NAME, subject.block_bytes)?;
        write.open_table(ROOTS)?;
        write.open_table(FILES)?;
        write.open_table(FOLDERS)?;
        write.open_table(NAMELESS)?;
        write.open_table(CHECKSUMS)?;
        write.open_table(HASHES)?;
        write.open_table(MAPS)?;
    }
    write.commit()?;
    redb.close()?;
    Ok(())
}

/// Returns what it means that redb does not open a file.
fn opening(path: &Path, error: DatabaseError) -> HashfileError {
    match error {
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            io::ErrorKind::UnexpectedEof => damaged(path, "it is shorter than it says"),
            io::ErrorKind::InvalidData => damaged(path, source),
            _ => system("open", path, source),
        },
        DatabaseError::UpgradeRequired(version) => foreign(
            path,
            format!("it is a database of redb's old format {version}"),
        ),
        error => damaged(path, error),
    }
}

fn foreign(path: &Path, what: impl ToString) -> HashfileError {
    HashfileError::Foreign {
        path: path.to_owned(),
        what: what.to_string(),
    }
}

fn damaged(path: &Path, what: impl ToString) -> HashfileError {
    HashfileError::Damaged {
        path: path.to_owned(),
        what: what.to_string(),
    }
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts.map(|part| hex[part].to_owned()).join("-")
}
