//! What one seed likes to draw: [`Weights`].
//!
//! Every seed multiplies the weights of the rarer operations by factors of its own, so that runs
//! differ in kind. Writes and dedupes vary little: without both a run proves nothing.

use crate::dice::Dice;
use crate::swarm::SwarmOptions;

/// What to draw next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Write,
    Dedupe,
    Clone,
    Inline,
    Truncate,
    Fallocate,
    Punch,
    Zero,
    DirectWrite,
    MappedWrite,
    Fiemap,
    Flush,
    Fsync,
    Sync,
    Create,
    Unlink,
    Link,
    Rename,
    Close,
    Attribute,
    Owner,
    Directory,
    Snapshot,
    Delete,
    Remount,
    Large,
}

/// What can be drawn, how likely by default, and whether a seed may do without.
const DRAWS: [(Draw, u32, bool); 26] = [
    (Draw::Write, 4400, false),
    (Draw::Dedupe, 2700, false),
    (Draw::Clone, 400, true),
    (Draw::Inline, 520, false),
    (Draw::Truncate, 250, true),
    (Draw::Fallocate, 200, true),
    (Draw::Punch, 200, true),
    (Draw::Zero, 120, true),
    (Draw::DirectWrite, 150, true),
    (Draw::MappedWrite, 120, true),
    (Draw::Fiemap, 60, true),
    (Draw::Flush, 400, true),
    (Draw::Fsync, 200, true),
    (Draw::Sync, 150, true),
    (Draw::Create, 150, true),
    (Draw::Unlink, 120, true),
    (Draw::Link, 60, true),
    (Draw::Rename, 90, true),
    (Draw::Close, 60, true),
    (Draw::Attribute, 100, true),
    (Draw::Owner, 80, true),
    (Draw::Directory, 40, true),
    (Draw::Snapshot, 25, true),
    (Draw::Delete, 20, true),
    (Draw::Remount, 10, true),
    (Draw::Large, 7, false),
];

/// Factors in tenths by which a seed likes an operation.
const FACTORS: [u32; 6] = [0, 3, 10, 10, 15, 25];

/// The largest sizes of files, bytes. Each file that an operation touches is read whole.
const SIZE_CLASSES: [u64; 4] = [128 << 10, 256 << 10, 512 << 10, 1 << 20];
/// How likely each of them is.
const SIZE_CLASS_WEIGHTS: [u32; SIZE_CLASSES.len()] = [30, 35, 25, 10];

/// The choices of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    draws: [u32; DRAWS.len()],
    /// By kind of content, see `material.rs`.
    pub(crate) materials: [u32; 4],
    /// By shape of a write, see `file_ops.rs`.
    pub(crate) shapes: [u32; 5],
    /// By purpose of a dedupe: useful, differing, at an edge.
    pub(crate) purposes: [u32; 3],
    /// How many files a run tries to have.
    pub(crate) nr_files: usize,
    /// No file is made larger than this, bytes; but for `large_ops.rs`.
    pub(crate) file_size_max: u64,
    /// The longest write, blocks.
    pub(crate) write_blocks_max: u64,
    /// The longest useful dedupe, blocks.
    pub(crate) dedupe_blocks_max: u64,
    /// How many percent of the copies and small files that could be written to are taken.
    pub(crate) special_percent: u64,
    /// In a run for snapshots, how many percent of the operations make or delete one.
    pub(crate) snapshot_percent: u64,
}

impl Weights {
    /// Draws the weights of a seed.
    pub(crate) fn draw(dice: &mut Dice, options: &SwarmOptions) -> Weights {
        let draws = DRAWS.map(|(_, weight, is_rare)| {
            if is_rare {
                weight * dice.one_of(&FACTORS) / 10
            } else {
                jitter(dice, weight)
            }
        });
        let size_class = SIZE_CLASSES[dice.weighted(&SIZE_CLASS_WEIGHTS)];
        let weights = Weights {
            draws,
            materials: [45, 15, 20, 20].map(|weight| jitter(dice, weight)),
            shapes: [62, 14, 10, 8, 6].map(|weight| jitter(dice, weight)),
            purposes: [57, 22, 21].map(|weight| jitter(dice, weight)),
            nr_files: dice.between(4, 12) as usize,
            file_size_max: options.max_file_bytes.min(size_class),
            write_blocks_max: dice.one_of(&[24, 32, 64]),
            dedupe_blocks_max: dice.one_of(&[8, 16, 16]),
            special_percent: 25,
            snapshot_percent: 0,
        };
        match options.snapshots {
            Some(_) => weights.for_snapshots(dice),
            None if options.is_small => weights.for_small(dice),
            None => weights,
        }
    }

    /// Returns the weights of a run with many snapshots, each of which copies every file.
    fn for_snapshots(self, dice: &mut Dice) -> Weights {
        Weights {
            nr_files: dice.between(2, 5) as usize,
            file_size_max: self.file_size_max.min(SIZE_CLASSES[0]),
            write_blocks_max: dice.one_of(&[4, 8, 24]),
            special_percent: 70,
            snapshot_percent: dice.between(12, 24),
            ..self
        }
    }

    /// Returns the weights for a filesystem that is to become full: more files than fit, and none
    /// so large that one write takes all that is free.
    fn for_small(self, dice: &mut Dice) -> Weights {
        Weights {
            nr_files: dice.between(14, 30) as usize,
            write_blocks_max: dice.one_of(&[16, 24, 32]),
            ..self
        }
    }

    /// Returns what to draw next.
    pub(crate) fn next(&self, dice: &mut Dice) -> Draw {
        DRAWS[dice.weighted(&self.draws)].0
    }
}

/// Returns a weight that is up to a seventh off.
fn jitter(dice: &mut Dice, weight: u32) -> u32 {
    weight * dice.between(12, 16) as u32 / 14
}
