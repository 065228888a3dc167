//! One inode, without storage: [`Inode`], and what others may see of it, [`FileView`].
//!
//! It does not know its name.

use data::{Content, Digest};
use scenario::FileKind;

/// Where an inode is in [`crate::tree::Tree`].
pub(crate) type InodeIdx = usize;

/// What kind of inode it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory within a subvolume.
    Directory,
    /// The top directory of a subvolume or snapshot.
    SubvolumeTop,
    /// The empty directory that a snapshot has where its source has a subvolume.
    Stub,
    /// A fifo.
    Fifo,
}

impl Kind {
    /// Returns whether names can be below it.
    #[must_use]
    pub fn is_directory(self) -> bool {
        match self {
            Kind::Directory | Kind::SubvolumeTop | Kind::Stub => true,
            Kind::Regular | Kind::Fifo => false,
        }
    }
}

impl From<Kind> for FileKind {
    fn from(kind: Kind) -> FileKind {
        match kind {
            Kind::Regular => FileKind::Regular,
            Kind::Directory | Kind::SubvolumeTop | Kind::Stub => FileKind::Directory,
            Kind::Fifo => FileKind::Fifo,
        }
    }
}

/// What the oracle knows of one file.
#[derive(Clone, Copy, Debug)]
pub struct FileView<'a> {
    /// The kind.
    pub kind: Kind,
    /// The bytes below EOF; empty for what is not a regular file.
    pub content: &'a Content,
    /// The low twelve bits of the mode.
    pub mode: u16,
    /// Owner and group.
    pub uid: u32,
    /// Whether its data has no checksums (`chattr +C`, or a mount option).
    pub is_nocow: bool,
    /// `chattr +i`.
    pub is_immutable: bool,
    /// `chattr +a`.
    pub is_append: bool,
    /// Whether it lies in a read-only snapshot.
    pub is_readonly: bool,
}

/// An inode: attributes and bytes.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) kind: Kind,
    pub(crate) content: Content,
    /// The digest of `content`, once it was asked for.
    digest: Option<Digest>,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) is_nocow: bool,
    /// Whether its data has no checksums; always so of regular files that are `is_nocow`.
    pub(crate) is_unchecked: bool,
    pub(crate) is_immutable: bool,
    pub(crate) is_append: bool,
    /// Whether the subvolume that it belongs to is read-only.
    pub(crate) is_readonly: bool,
    pub(crate) stamps: Stamps,
    /// How many names it has.
    pub(crate) nr_links: u32,
}

/// The times that are told apart, in operations since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    pub(crate) mtime: u64,
    pub(crate) ctime: u64,
}

impl Inode {
    pub(crate) fn new(kind: Kind, mode: u16, now: u64) -> Inode {
        Inode {
            kind,
            content: Content::new(),
            digest: None,
            mode,
            uid: 0,
            is_nocow: false,
            is_unchecked: false,
            is_immutable: false,
            is_append: false,
            is_readonly: false,
            stamps: Stamps {
                mtime: now,
                ctime: now,
            },
            nr_links: 1,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.content.len()
    }

    /// Returns the bytes, to be changed: the digest is forgotten, both times move.
    pub(crate) fn change_content(&mut self, now: u64) -> &mut Content {
        self.digest = None;
        self.stamps = Stamps {
            mtime: now,
            ctime: now,
        };
        &mut self.content
    }

    pub(crate) fn digest(&mut self) -> Digest {
        *self.digest.get_or_insert_with(|| self.content.digest())
    }

    pub(crate) fn view(&self) -> FileView<'_> {
        FileView {
            kind: self.kind,
            content: &self.content,
            mode: self.mode,
            uid: self.uid,
            is_nocow: self.is_nocow || self.is_unchecked,
            is_immutable: self.is_immutable,
            is_append: self.is_append,
            is_readonly: self.is_readonly,
        }
    }
}
