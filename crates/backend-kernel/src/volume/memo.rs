//! What the last walk saw, kept while it is not too much: [`Memo`].
//!
//! A walk over whole trees sees every reference that a plan asks for right after it. Whoever
//! changes something through the volume makes it forget.

use volume::{Extent, File, FileId, Reference};

/// Most references and files that are kept: about 170 MB.
const NR_MAX: usize = 2 << 20;

/// When files were created: what it takes to open one by number. A file that has the number of
/// another one by now is not opened, so that this may be kept whatever changes.
#[derive(Debug, Default)]
pub(super) struct Births {
    /// In the order of the files, with the generation of each.
    files: Vec<(FileId, u64)>,
}

impl Births {
    pub(super) fn add(&mut self, file: FileId, generation: u64) {
        // Walks of what changed meanwhile begin anew.
        if self.files.last().is_none_or(|(last, _)| *last < file) && self.files.len() < NR_MAX {
            self.files.push((file, generation));
        }
    }

    /// Returns the generation that created a file, if it was seen.
    pub(super) fn of(&self, file: FileId) -> Option<u64> {
        let found = self.files.binary_search_by_key(&file, |(file, _)| *file);
        found.ok().map(|idx| self.files[idx].1)
    }
}

/// What the last walk saw.
#[derive(Debug, Default)]
pub(super) struct Memo {
    state: State,
    /// Each reference behind the address of its extent.
    references: Vec<(u64, Reference)>,
    /// In the order of the walk, which is that of the files.
    files: Vec<File>,
    /// The subvolumes that were walked.
    roots: Vec<u64>,
}

/// How much of a walk it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing.
    #[default]
    Empty,
    /// Everything so far.
    Filling,
    /// All of it, sorted by address.
    Whole,
}

impl Memo {
    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Memo::default();
    }

    /// Begins with a walk.
    pub(super) fn begin(&mut self) {
        self.forget();
        self.state = State::Filling;
    }

    pub(super) fn add_file(&mut self, file: File) {
        if self.has_room() {
            self.files.push(file);
        }
    }

    pub(super) fn add_reference(&mut self, address: u64, reference: Reference) {
        if self.has_room() {
            self.references.push((address, reference));
        }
    }

    /// Notes that the tree of a subvolume has been walked to its end.
    pub(super) fn end_root(&mut self, root: u64) {
        self.roots.push(root);
    }

    /// Notes that the walk is at its end.
    pub(super) fn end(&mut self) {
        if self.state == State::Filling {
            self.references
                .sort_unstable_by_key(|(address, _)| *address);
            self.state = State::Whole;
        }
    }

    /// Returns whether it has every reference from these subvolumes.
    pub(super) fn knows(&self, roots: &[u64]) -> bool {
        self.state == State::Whole && roots.iter().all(|root| self.roots.contains(root))
    }

    /// Returns what refers to an extent.
    pub(super) fn references_of(&self, extent: &Extent) -> impl Iterator<Item = Reference> {
        let address = extent.address;
        let first = self.references.partition_point(|(at, _)| *at < address);
        let rest = self.references[first..].iter();
        rest.take_while(move |(at, _)| *at == address)
            .map(|(_, reference)| *reference)
    }

    /// Returns a file that the walk saw.
    pub(super) fn file(&self, id: FileId) -> Option<File> {
        if self.state != State::Whole {
            return None;
        }
        let found = self.files.binary_search_by_key(&id, |file| file.id);
        found.ok().map(|file_idx| self.files[file_idx])
    }

    fn has_room(&mut self) -> bool {
        if NR_MAX <= self.references.len().max(self.files.len()) {
            self.forget();
        }
        self.state == State::Filling
    }
}
