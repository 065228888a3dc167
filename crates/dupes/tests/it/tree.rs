//! Random trees: operations on a few files whose blocks are drawn from few contents, so that most
//! are there more than once, in extents that are cut differently.

use data::Content;
use fs_state::clone_extents::TimesUpdate;
use fs_state::{AttributeKind, BLOCK, FsState, InodeId};
use model::{Machine, ModelVolume};
use proptest::prelude::*;
use rules::Profile;

/// Blocks of a file, about.
const NR_BLOCKS: u64 = 14;
/// How many files there are.
pub(crate) const NR_FILES: usize = 5;
/// The files of a tree; those of the subvolume come last.
pub(crate) const FILES: [&str; NR_FILES] = ["a", "b", "nocow", "sub/c", "sub/d"];

/// One operation. Every one is total: what cannot be done is left out.
#[derive(Clone, Debug)]
pub(crate) enum TreeOp {
    /// Writes blocks of these contents, the last one cut to `tail` bytes if that is not 0.
    Write {
        file: usize,
        at: u64,
        blocks: Vec<u8>,
        tail: u64,
    },
    /// Writes back, so that what follows becomes another extent.
    Flush {
        file: usize,
    },
    Truncate {
        file: usize,
        size: u64,
    },
    Punch {
        file: usize,
        at: u64,
        nr: u64,
    },
    Allocate {
        file: usize,
        at: u64,
        nr: u64,
    },
    Clone {
        source: usize,
        from: u64,
        nr: u64,
        target: usize,
        to: u64,
    },
    Snapshot {
        is_readonly: bool,
    },
    Immutable {
        file: usize,
    },
}

/// Draws the operations of a tree.
pub(crate) fn tree() -> impl Strategy<Value = Vec<TreeOp>> {
    let file = || 0..FILES.len();
    let block = || 0..NR_BLOCKS;
    let tail = prop_oneof![3 => Just(0), 1 => prop_oneof![Just(100_u64), Just(3000)]];
    let write =
        (file(), block(), contents(), tail).prop_map(|(file, at, blocks, tail)| TreeOp::Write {
            file,
            at,
            blocks,
            tail,
        });
    let size = prop_oneof![
        (0..NR_BLOCKS).prop_map(|nr| nr * BLOCK),
        (0..NR_BLOCKS).prop_map(|nr| nr * BLOCK + 100),
    ];
    let clone = (file(), block(), 1..8_u64, file(), block());
    let op = prop_oneof![
        10 => write,
        4 => file().prop_map(|file| TreeOp::Flush { file }),
        1 => (file(), size).prop_map(|(file, size)| TreeOp::Truncate { file, size }),
        1 => (file(), block(), 1..4_u64).prop_map(|(file, at, nr)| TreeOp::Punch { file, at, nr }),
        1 => (file(), block(), 1..4_u64)
            .prop_map(|(file, at, nr)| TreeOp::Allocate { file, at, nr }),
        2 => clone.prop_map(|(source, from, nr, target, to)| TreeOp::Clone {
            source, from, nr, target, to
        }),
        1 => any::<bool>().prop_map(|is_readonly| TreeOp::Snapshot { is_readonly }),
        1 => prop::bool::weighted(0.2).prop_flat_map(move |is_set| {
            (Just(is_set), 0..FILES.len())
        }).prop_map(|(is_set, file)| match is_set {
            true => TreeOp::Immutable { file },
            false => TreeOp::Flush { file },
        }),
    ];
    prop::collection::vec(op, 3..28)
}

/// Draws contents of blocks: a stretch of one image, or anything; 0 is zeros.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => (1..10_u8, 1..9_u8).prop_map(|(first, nr)| (first..first + nr).collect()),
        2 => prop::collection::vec(0..8_u8, 1..9),
    ]
}

/// Returns a volume with the tree.
pub(crate) fn build(ops: &[TreeOp]) -> ModelVolume {
    let profile = Profile::latest().expect("a profile");
    let mut machine = Machine::new(profile);
    let fs = machine.fs_mut();
    fs.create_subvol("sub").expect("an empty filesystem");
    for name in FILES {
        fs.create_file(name, name == "nocow").expect("a new name");
    }
    let mut nr_snapshots = 0;
    for op in ops {
        apply(fs, op, &mut nr_snapshots);
    }
    fs.sync();
    ModelVolume::new(machine)
}

fn apply(fs: &mut FsState, op: &TreeOp, nr_snapshots: &mut u32) {
    let writable = |fs: &mut FsState, file: usize| {
        let id = fs.lookup(FILES[file]).ok()?;
        (!fs.inode(id).is_immutable()).then_some(id)
    };
    match op {
        TreeOp::Write {
            file,
            at,
            blocks,
            tail,
        } => {
            let Some(id) = writable(fs, *file) else {
                return;
            };
            let mut content = Content::new();
            blocks.iter().for_each(|seed| content.append(block(*seed)));
            if *tail > 0 {
                content.truncate(content.len() - BLOCK + tail);
            }
            let _ = fs.write(id, at * BLOCK, &content);
        }
        TreeOp::Flush { file } => {
            if let Ok(id) = fs.lookup(FILES[*file]) {
                fs.flush(id);
            }
        }
        TreeOp::Truncate { file, size } => {
            if let Some(id) = writable(fs, *file) {
                let _ = fs.truncate(id, *size);
            }
        }
        TreeOp::Punch { file, at, nr } => {
            if let Some(id) = writable(fs, *file) {
                let _ = fs.punch_hole(id, at * BLOCK, nr * BLOCK);
            }
        }
        TreeOp::Allocate { file, at, nr } => {
            if let Some(id) = writable(fs, *file) {
                let _ = fs.fallocate(id, at * BLOCK, nr * BLOCK, false);
            }
        }
        TreeOp::Clone {
            source,
            from,
            nr,
            target,
            to,
        } => {
            let (source, target) = (writable(fs, *source), writable(fs, *target));
            if let (Some(source), Some(target)) = (source, target) {
                clone(fs, source, *from, *nr, target, *to);
            }
        }
        TreeOp::Snapshot { is_readonly } => {
            let name = format!("snapshot-{nr_snapshots}");
            *nr_snapshots += 1;
            fs.snapshot("sub", &name, *is_readonly).expect("a new name");
        }
        TreeOp::Immutable { file } => {
            if let Ok(id) = fs.lookup(FILES[*file]) {
                let _ = fs.set_attribute(id, AttributeKind::Immutable, true);
            }
        }
    }
}

/// Clones whole blocks within both files, as far as there are any.
fn clone(fs: &mut FsState, source: InodeId, from: u64, nr: u64, target: InodeId, to: u64) {
    fs.flush(source);
    fs.flush(target);
    let nr_blocks = |id| fs.inode(id).size() / BLOCK;
    let left = nr_blocks(source)
        .saturating_sub(from)
        .min(nr_blocks(target).saturating_sub(to));
    let nr = nr.min(left);
    let is_alike = fs.inode(source).is_nodatasum() == fs.inode(target).is_nodatasum();
    let overlaps = source == target && from < to + nr && to < from + nr;
    if nr > 0 && is_alike && !overlaps {
        let len = nr * BLOCK;
        let times = TimesUpdate::Now;
        fs.clone_extents(source, from * BLOCK, len, len, target, to * BLOCK, times);
    }
}

/// Returns a block of contents.
pub(crate) fn block(seed: u8) -> Content {
    match seed {
        0 => Content::zeros(BLOCK),
        seed => Content::pattern(u64::from(seed), 0, BLOCK),
    }
}

/// Does what somebody does beside us: overwrites a block of a file and has it written back, cuts
/// the file there, unlinks it or makes it immutable.
pub(crate) fn disturb(fs: &mut FsState, file: usize, at: u64, seed: u8) {
    let Ok(id) = fs.lookup(FILES[file]) else {
        return;
    };
    if fs.inode(id).is_immutable() {
        return;
    }
    let _ = match seed % 8 {
        0 => {
            if let Ok(id) = fs.unlink(FILES[file]) {
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
