//! A filesystem as a tool sees it that plans where data lives: files with their file extents, the
//! extents with everything that refers to them, checksums, and the few calls that move data.
//!
//! [`Volume`] is the trait, [`File`], [`FileExtent`] and [`Reference`] are what it hands out.
//! Beside `scenario::Backend`, which asks one filesystem to do things by name and compares, a
//! volume has addresses and inode numbers and compares nothing. Which files are *in scope* is
//! decided when a volume is opened; who the caller is, too.
//!
//! Words: an *extent* is a stretch of the device that is allocated and freed at once; a *file
//! extent* is the item by which a file refers to a part of it (`struct btrfs_file_extent_item`);
//! a *block* is the unit of sharing. It does not know what duplicates are.

#![forbid(unsafe_code)]

mod error;
mod extent;
mod file;
mod forward;
mod history;
mod page;
mod recall;
mod remap;
mod volume;

pub use error::VolumeError;
pub use extent::{
    Compression, Extent, ExtentReferences, FileExtent, Place, Reference, ReferenceKind,
};
pub use file::{File, FileId, FileRange};
pub use history::{History, Moment, Newer, Stamp, Stamps, Subvolume, Told};
pub use page::{Page, PageFile, Position};
pub use recall::{Learned, Recalled, Run, ValueKind};
pub use remap::{DedupeRequest, DedupeStatus, DedupeTarget, NR_TARGETS_MAX};
pub use volume::{ChecksumStrength, SpaceRule, Volume, Work};
