//! Pages of files with their file extents: how a volume is walked without being in memory.

use std::ops::Range;

use crate::{File, FileExtent, FileId, VolumeError};

/// Where a walk goes on; the order is that of the files, then of their offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Subvolume.
    pub root: u64,
    /// Inode number.
    pub inode: u64,
    /// File offset, bytes.
    pub offset: u64,
}

/// Some files in order, with their file extents. Whoever walks keeps one and has it filled again.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The files. One whose file extents do not fit comes again on the next page.
    pub files: Vec<PageFile>,
    /// The file extents of all of them, in the order of the files and then of offsets.
    pub file_extents: Vec<FileExtent>,
    /// Files that could not be looked at: reported, not walked.
    pub errors: Vec<VolumeError>,
}

/// A file of a page.
#[derive(Clone, Debug)]
pub struct PageFile {
    /// The file.
    pub file: File,
    /// Which of [`Page::file_extents`] are the file's.
    pub file_extents: Range<usize>,
}

impl Page {
    /// Empties the page.
    pub fn clear(&mut self) {
        self.files.clear();
        self.file_extents.clear();
        self.errors.clear();
    }

    /// Adds a file; [`Page::push_extent`] then adds to it.
    pub fn push_file(&mut self, file: File) {
        let start = self.file_extents.len();
        self.files.push(PageFile {
            file,
            file_extents: start..start,
        });
    }

    /// Adds a file extent of the file that was added last.
    pub fn push_extent(&mut self, file_extent: FileExtent) {
        self.file_extents.push(file_extent);
        if let Some(last) = self.files.last_mut() {
            last.file_extents.end = self.file_extents.len();
        }
    }

    /// Returns every file with its file extents.
    pub fn iter(&self) -> impl Iterator<Item = (&File, &[FileExtent])> {
        let extents = |file: &PageFile| &self.file_extents[file.file_extents.clone()];
        self.files
            .iter()
            .map(move |file| (&file.file, extents(file)))
    }
}

impl Position {
    /// Returns the begin of a file.
    #[must_use]
    pub fn of(file: FileId) -> Position {
        Position {
            root: file.root,
            inode: file.inode,
            offset: 0,
        }
    }

    /// Returns the place behind a file.
    #[must_use]
    pub fn behind(file: FileId) -> Position {
        Position {
            inode: file.inode.saturating_add(1),
            ..Position::of(file)
        }
    }
}
