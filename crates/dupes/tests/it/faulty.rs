//! A volume on which something goes wrong.

use std::collections::BTreeSet;

use fs_state::{AttributeKind, BLOCK, FsState};
use model::ModelVolume;
use random_trees::{FileName, block};
use uapi::Errno;
use volume::{
    DedupeStatus, DedupeTarget, Extent, ExtentReferences, File, FileExtent, FileId, FileRange,
    Page, Position, Volume, VolumeError,
};

/// What goes wrong. A number says with which call of its kind, counted from 0.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A read answers `EIO`.
    Read(u32),
    /// A dedupe as a whole answers this.
    Dedupe(u32, Errno),
    /// The targets of a dedupe from one on answer this, and nothing is done for them.
    Targets(u32, usize, Errno),
    /// A dedupe does the first block of its range and says so.
    Short(u32),
    /// A dedupe does nothing and says that all of it was done.
    Overstated(u32),
    /// The file extents of a file cannot be read.
    Look(u32),
    /// There is no room for a write into a temporary file.
    Write(u32),
    /// There is no room when a temporary file is written back.
    Flush(u32),
    /// Before a dedupe or a write, somebody does something to a file ([`disturb`]).
    Writer {
        before: u32,
        file: FileName,
        at: u64,
        seed: u8,
    },
    /// Whoever runs the tool kills it before a dedupe or a write.
    Kill(u32),
    /// The same, with any call, be it of the scan.
    KillAnywhere(u32),
}

/// A volume with faults.
pub(crate) struct Faulty {
    pub(crate) inner: ModelVolume,
    faults: Vec<Fault>,
    nr_calls: u32,
    is_dead: bool,
    nr_looks: u32,
    nr_reads: u32,
    /// Calls of the kernel so far.
    pub(crate) nr_dedupes: u32,
    nr_writes: u32,
    nr_flushes: u32,
    nr_changes: u32,
    /// The temporary files that there are.
    pub(crate) temporaries: Vec<FileId>,
    /// Extents that somebody else wrote, by address.
    pub(crate) of_writer: BTreeSet<u64>,
}

impl Faulty {
    pub(crate) fn new(inner: ModelVolume, faults: Vec<Fault>) -> Faulty {
        Faulty {
            inner,
            faults,
            nr_calls: 0,
            is_dead: false,
            nr_looks: 0,
            nr_reads: 0,
            nr_dedupes: 0,
            nr_writes: 0,
            nr_flushes: 0,
            nr_changes: 0,
            temporaries: Vec::new(),
            of_writer: BTreeSet::new(),
        }
    }

    /// Ends the process that ran the tool: its temporary files are gone.
    pub(crate) fn into_survivor(mut self) -> ModelVolume {
        for temporary in std::mem::take(&mut self.temporaries) {
            self.inner.remove(temporary).expect("the model removes");
        }
        self.inner
    }

    /// Returns how often anything was about to be changed.
    pub(crate) fn nr_changes(&self) -> u32 {
        self.nr_changes
    }

    /// Lets those who write beside us do what they did among so many changes, and nobody else.
    pub(crate) fn only_writers(&mut self, nr_changes: u32) {
        for _ in 0..nr_changes {
            self.before_change().expect("a writer kills nobody");
        }
    }

    fn addresses(&self) -> BTreeSet<u64> {
        let extents = self.inner.machine().fs().extents();
        extents.iter().map(|(_, extent)| extent.bytenr()).collect()
    }

    /// Lets everything happen that happens before something is changed.
    fn before_change(&mut self) -> Result<(), VolumeError> {
        let now = self.nr_changes;
        self.nr_changes += 1;
        for fault in self.faults.clone() {
            match fault {
                Fault::Kill(before) if before == now => self.is_dead = true,
                Fault::Writer {
                    before,
                    file,
                    at,
                    seed,
                } if before == now => {
                    let old = self.addresses();
                    let fs = self.inner.machine_mut().fs_mut();
                    disturb(fs, file, at, seed);
                    let new = self.addresses();
                    self.of_writer.extend(new.difference(&old));
                }
                _ => {}
            }
        }
        self.if_alive()
    }

    /// Counts a call; after a kill every one fails.
    fn call(&mut self) -> Result<(), VolumeError> {
        let now = count(&mut self.nr_calls);
        let is_now = |fault: &Fault| matches!(fault, Fault::KillAnywhere(at) if *at == now);
        self.is_dead |= self.faults.iter().any(is_now);
        self.if_alive()
    }

    fn if_alive(&self) -> Result<(), VolumeError> {
        match self.is_dead {
            true => Err(VolumeError::Fatal("killed".to_owned())),
            false => Ok(()),
        }
    }
}

/// Returns the number of this call, and counts it.
fn count(nr: &mut u32) -> u32 {
    *nr += 1;
    *nr - 1
}

/// Does what somebody does beside us: overwrites a block of a file and has it written back, cuts
/// the file there, unlinks it or makes it immutable.
fn disturb(fs: &mut FsState, file: FileName, at: u64, seed: u8) {
    let Ok(id) = fs.lookup(file) else {
        return;
    };
    if fs.inode(id).is_immutable() {
        return;
    }
    let _ = match seed % 8 {
        0 => {
            if let Ok(id) = fs.unlink(file) {
                fs.put(id);
            }
            return;
        }
        1 | 2 => fs.truncate(id, at * BLOCK + 100),
        3 => fs.set_attribute(id, AttributeKind::Immutable, true),
        _ => fs.write(id, at * BLOCK, &block(seed)).map(drop),
    };
    fs.flush(id);
}

impl Volume for Faulty {
    volume::forward! { to (self.inner):
        block_bytes space_rule checksum_strength read_ahead path
    }

    /// Short, so that requests are many.
    fn dedupe_len_max(&self) -> u64 {
        3 * BLOCK
    }

    fn next_page(
        &mut self,
        from: Position,
        newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        self.call()?;
        self.inner.next_page(from, newer_than, page)
    }

    fn file(&mut self, file: FileId) -> Result<Option<File>, VolumeError> {
        self.call()?;
        self.inner.file(file)
    }

    fn file_extents(
        &mut self,
        range: FileRange,
        found: &mut Vec<FileExtent>,
    ) -> Result<(), VolumeError> {
        self.call()?;
        let now = count(&mut self.nr_looks);
        if self
            .faults
            .iter()
            .any(|fault| matches!(fault, Fault::Look(at) if *at == now))
        {
            return Err(VolumeError::File {
                file: range.file,
                action: "look at",
                errno: Errno::EIO,
            });
        }
        self.inner.file_extents(range, found)
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        self.call()?;
        self.inner.references(extents)
    }

    fn checksums(
        &mut self,
        address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        self.call()?;
        self.inner.checksums(address, len, found)
    }

    fn read(&mut self, file: FileId, offset: u64, bytes: &mut [u8]) -> Result<usize, VolumeError> {
        self.call()?;
        let now = count(&mut self.nr_reads);
        if self
            .faults
            .iter()
            .any(|fault| matches!(fault, Fault::Read(at) if *at == now))
        {
            return Err(VolumeError::File {
                file,
                action: "read",
                errno: Errno::EIO,
            });
        }
        self.inner.read(file, offset, bytes)
    }

    fn dedupe(
        &mut self,
        source: FileRange,
        targets: &[DedupeTarget],
    ) -> Result<Vec<DedupeStatus>, VolumeError> {
        self.call()?;
        self.before_change()?;
        let now = count(&mut self.nr_dedupes);
        for fault in self.faults.clone() {
            match fault {
                Fault::Dedupe(at, errno) if at == now => {
                    return Err(VolumeError::File {
                        file: source.file,
                        action: "dedupe from",
                        errno,
                    });
                }
                Fault::Targets(at, first, errno) if at == now => {
                    let (tried, left) = targets.split_at(first.min(targets.len()));
                    let mut statuses = match tried {
                        [] => Vec::new(),
                        tried => self.inner.dedupe(source, tried)?,
                    };
                    statuses.extend(left.iter().map(|_| DedupeStatus::Refused(errno)));
                    return Ok(statuses);
                }
                Fault::Short(at) if at == now && BLOCK < source.len => {
                    let len = BLOCK;
                    return self.inner.dedupe(FileRange { len, ..source }, targets);
                }
                Fault::Overstated(at) if at == now => {
                    let bytes = source.len;
                    return Ok(vec![DedupeStatus::Same { bytes }; targets.len()]);
                }
                _ => {}
            }
        }
        self.inner.dedupe(source, targets)
    }

    fn create(&mut self, like: FileId) -> Result<FileId, VolumeError> {
        self.call()?;
        let file = self.inner.create(like)?;
        self.temporaries.push(file);
        Ok(file)
    }

    fn write(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Result<(), VolumeError> {
        self.call()?;
        self.before_change()?;
        let now = count(&mut self.nr_writes);
        if self
            .faults
            .iter()
            .any(|fault| matches!(fault, Fault::Write(at) if *at == now))
        {
            return Err(VolumeError::Full { action: "write" });
        }
        self.inner.write(file, offset, bytes)
    }

    fn flush(&mut self, file: FileId) -> Result<(), VolumeError> {
        self.call()?;
        let now = count(&mut self.nr_flushes);
        if self
            .faults
            .iter()
            .any(|fault| matches!(fault, Fault::Flush(at) if *at == now))
        {
            return Err(VolumeError::Full { action: "flush" });
        }
        self.inner.flush(file)
    }

    fn remove(&mut self, file: FileId) -> Result<(), VolumeError> {
        self.call()?;
        self.temporaries.retain(|temporary| *temporary != file);
        self.inner.remove(file)
    }

    fn sync(&mut self) -> Result<(), VolumeError> {
        self.call()?;
        self.inner.sync()
    }

    fn used_bytes(&mut self) -> Result<u64, VolumeError> {
        self.call()?;
        self.inner.used_bytes()
    }
}
