//! What a run found out, kept for the next one: a hashfile.
//!
//! [`open_trees`] and [`open_files`] put it before a volume; what they return is a volume that
//! remembers. It keeps *facts*: which files refer to which extents, which values the blocks of
//! extents have, as of which transaction. It keeps no selections: what is in scope is decided anew
//! each time, so that options may change from run to run, and a run with a hashfile finds what one
//! without finds. `update` says what is believed and why.
//!
//! Besides, it keeps `answers`: what a run told, for as long as nothing changes at all.
//!
//! Where the trees of a btrfs can be asked (`trees`), they are asked only for what is newer than
//! the hashfile. Elsewhere (`files`) every file is looked at, and not read again if inode, size,
//! times and map are the same.
//!
//! A hashfile has a version and is about one filesystem. It is checked whole when it is opened,
//! before anything is written into it, and refused if anything is wrong ([`HashfileError`]); it is
//! never made anew where something is. One run at a time has it. Commits are whole or not there, a
//! run that is killed is resumed from the last one, at most some seconds back.

#![forbid(unsafe_code)]

mod answers;
mod bytes;
mod database;
mod error;
mod files;
mod rows;
mod storage;
mod tables;
mod trees;
mod update;
mod values;

use std::path::Path;

use volume::{History, Stamps, Volume};

pub use error::HashfileError;

/// Who is told how many files a walk has noted, before any of them comes with a page, and of about
/// how many if that can be told.
pub type OnNoted = Box<dyn Fn(u64, Option<u64>)>;

/// Puts the hashfile at `path` before a volume whose trees can be asked.
///
/// # Errors
/// If it cannot be used; it is left as it is.
pub fn open_trees(
    volume: Box<dyn History>,
    path: &Path,
    on_noted: OnNoted,
) -> Result<Box<dyn Volume>, HashfileError> {
    Ok(Box::new(trees::Remembering::open(volume, path, on_noted)?))
}

/// Puts the hashfile at `path` before a volume whose files have to be looked at one by one.
///
/// # Errors
/// If it cannot be used; it is left as it is.
pub fn open_files(volume: Box<dyn Stamps>, path: &Path) -> Result<Box<dyn Volume>, HashfileError> {
    Ok(Box::new(files::Remembering::open(volume, path)?))
}
