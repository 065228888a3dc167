//! What happens to a file: [`FileOp`].

use data::Content;
use fs_state::clone_extents::TimesUpdate;
use fs_state::{AttributeKind, BLOCK, FsState, InodeId};
use proptest::prelude::*;
use proptest::sample::select;

/// Blocks of a file, about.
pub const NR_BLOCKS: u64 = 14;

/// A path of a file. What ends with `nocow` is created without checksums.
pub type FileName = &'static str;

/// One operation on files. Offsets and lengths are blocks, sizes and tails bytes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of the calls")]
pub enum FileOp {
    /// Writes blocks of these contents ([`block`]), the last one cut to `tail` bytes if that is not
    /// 0; creates the file if it is not there.
    Write {
        file: FileName,
        at: u64,
        blocks: Vec<u8>,
        tail: u64,
    },
    /// Writes back, so that what follows becomes another extent.
    Flush { file: FileName },
    /// Cuts or grows the file.
    Truncate { file: FileName, size: u64 },
    /// Makes a hole.
    Punch { file: FileName, at: u64, nr: u64 },
    /// Preallocates.
    Allocate { file: FileName, at: u64, nr: u64 },
    /// Writes back both files, then clones whole blocks within both, as far as there are any.
    Clone {
        source: FileName,
        from: u64,
        nr: u64,
        target: FileName,
        to: u64,
    },
    /// Makes the file immutable: nothing of the above but a flush happens to it any more.
    Immutable { file: FileName },
}

/// Draws operations on these files, all but [`FileOp::Immutable`].
pub fn file_ops(files: &'static [FileName]) -> impl Strategy<Value = FileOp> {
    let file = || select(files);
    let at = || 0..NR_BLOCKS;
    let tail = prop_oneof![3 => Just(0), 1 => prop_oneof![Just(100_u64), Just(3000)]];
    let write = (file(), at(), contents(), tail);
    let size = (at(), prop_oneof![Just(0), Just(100)]).prop_map(|(nr, tail)| nr * BLOCK + tail);
    let range = || (file(), at(), 1..4_u64);
    let clone = (file(), at(), 1..8_u64, file(), at());
    prop_oneof![
        10 => write.prop_map(|(file, at, blocks, tail)| FileOp::Write { file, at, blocks, tail }),
        4 => file().prop_map(|file| FileOp::Flush { file }),
        1 => (file(), size).prop_map(|(file, size)| FileOp::Truncate { file, size }),
        1 => range().prop_map(|(file, at, nr)| FileOp::Punch { file, at, nr }),
        1 => range().prop_map(|(file, at, nr)| FileOp::Allocate { file, at, nr }),
        2 => clone.prop_map(|(source, from, nr, target, to)| FileOp::Clone {
            source, from, nr, target, to
        }),
    ]
}

/// Draws contents of blocks: a stretch of one image, or anything; 0 is zeros.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => (1..10_u8, 1..9_u8).prop_map(|(first, nr)| (first..first + nr).collect::<Vec<u8>>()),
        2 => prop::collection::vec(0..8_u8, 1..9),
    ]
}

/// Returns the block of a number: zeros for 0, else what no other number has.
pub fn block(seed: u8) -> Content {
    match seed {
        0 => Content::zeros(BLOCK),
        seed => Content::pattern(u64::from(seed), 0, BLOCK),
    }
}

impl FileOp {
    /// Returns what a write writes.
    pub fn content(blocks: &[u8], tail: u64) -> Content {
        let mut content = Content::new();
        blocks.iter().for_each(|seed| content.append(block(*seed)));
        if 0 < tail {
            content.truncate(content.len() - BLOCK + tail);
        }
        content
    }

    /// Does it.
    pub fn apply(&self, fs: &mut FsState) {
        match *self {
            FileOp::Write {
                file,
                at,
                ref blocks,
                tail,
            } => {
                if fs.lookup(file).is_err() {
                    let _ = fs.create_file(file, file.ends_with("nocow"));
                }
                if let Some(id) = writable(fs, file) {
                    let _ = fs.write(id, at * BLOCK, &FileOp::content(blocks, tail));
                }
            }
            FileOp::Flush { file } => {
                if let Ok(id) = fs.lookup(file) {
                    fs.flush(id);
                }
            }
            FileOp::Truncate { file, size } => {
                if let Some(id) = writable(fs, file) {
                    let _ = fs.truncate(id, size);
                }
            }
            FileOp::Punch { file, at, nr } => {
                if let Some(id) = writable(fs, file) {
                    let _ = fs.punch_hole(id, at * BLOCK, nr * BLOCK);
                }
            }
            FileOp::Allocate { file, at, nr } => {
                if let Some(id) = writable(fs, file) {
                    let _ = fs.fallocate(id, at * BLOCK, nr * BLOCK, false);
                }
            }
            FileOp::Clone {
                source,
                from,
                nr,
                target,
                to,
            } => {
                let (source, target) = (writable(fs, source), writable(fs, target));
                if let (Some(source), Some(target)) = (source, target) {
                    clone(fs, source, from, nr, target, to);
                }
            }
            FileOp::Immutable { file } => {
                if let Ok(id) = fs.lookup(file) {
                    let _ = fs.set_attribute(id, AttributeKind::Immutable, true);
                }
            }
        }
    }
}

fn writable(fs: &mut FsState, file: FileName) -> Option<InodeId> {
    let id = fs.lookup(file).ok()?;
    (!fs.inode(id).is_immutable()).then_some(id)
}

/// Clones whole blocks within both files, as far as there are any.
fn clone(fs: &mut FsState, source: InodeId, from: u64, nr: u64, target: InodeId, to: u64) {
    fs.flush(source);
    fs.flush(target);
    let nr_blocks = |id| fs.inode(id).size() / BLOCK;
    let nr = nr_cloned(
        (from, nr_blocks(source)),
        (to, nr_blocks(target)),
        nr,
        source == target,
    );
    let is_alike = fs.inode(source).is_nodatasum() == fs.inode(target).is_nodatasum();
    if nr > 0 && is_alike {
        let len = nr * BLOCK;
        let times = TimesUpdate::Now;
        fs.clone_extents(source, from * BLOCK, len, len, target, to * BLOCK, times);
    }
}

/// Returns how many of `nr` blocks a [`FileOp::Clone`] clones, from the first number of `source` to
/// that of `target`, of which each has as many as the second says: what lies within both files, and
/// nothing if it would overlap within one.
#[must_use]
pub fn nr_cloned(source: (u64, u64), target: (u64, u64), nr: u64, is_same: bool) -> u64 {
    let left = |(from, nr_blocks): (u64, u64)| nr_blocks.saturating_sub(from);
    let nr = nr.min(left(source)).min(left(target));
    let overlaps = is_same && source.0 < target.0 + nr && target.0 < source.0 + nr;
    if overlaps { 0 } else { nr }
}
