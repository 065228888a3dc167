//! What happens to a filesystem between two runs.

use data::Content;
use fs_state::clone_extents::TimesUpdate;
use fs_state::{BLOCK, FsState};
use proptest::prelude::*;

/// Blocks of a file, about.
const NR_BLOCKS: u64 = 12;
/// Names of files; those of the subvolume come last.
const NAMES: [&str; 7] = ["a", "b", "nocow", "c", "sub/d", "sub/e", "sub/nocow"];
/// Names of snapshots.
const SNAPSHOTS: [&str; 3] = ["snapshot-0", "snapshot-1", "snapshot-2"];

/// One operation. Every one is total: what cannot be done is left out.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write {
        file: usize,
        at: u64,
        blocks: Vec<u8>,
        tail: u64,
    },
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
        snapshot: usize,
    },
    DeleteSnapshot {
        snapshot: usize,
    },
    Unlink {
        file: usize,
    },
    Rename {
        source: usize,
        target: usize,
    },
    /// Commits, so that what is freed may be used again.
    Commit,
}

/// Draws operations.
pub(crate) fn ops(nr: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    let file = || 0..NAMES.len();
    let block = || 0..NR_BLOCKS;
    let tail = prop_oneof![3 => Just(0), 1 => Just(100_u64)];
    let blocks = prop_oneof![
        3 => (1..10_u8, 1..7_u8).prop_map(|(first, nr)| (first..first + nr).collect::<Vec<u8>>()),
        2 => prop::collection::vec(0..8_u8, 1..7),
    ];
    let write = (file(), block(), blocks, tail).prop_map(|(file, at, blocks, tail)| Op::Write {
        file,
        at,
        blocks,
        tail,
    });
    let size = prop_oneof![
        block().prop_map(|nr| nr * BLOCK),
        block().prop_map(|nr| nr * BLOCK + 100),
    ];
    let clone = (file(), block(), 1..7_u64, file(), block());
    let snapshot = || 0..SNAPSHOTS.len();
    prop::collection::vec(
        prop_oneof![
            10 => write,
            3 => file().prop_map(|file| Op::Flush { file }),
            2 => (file(), size).prop_map(|(file, size)| Op::Truncate { file, size }),
            1 => (file(), block(), 1..4_u64).prop_map(|(file, at, nr)| Op::Punch { file, at, nr }),
            2 => (file(), block(), 1..4_u64)
                .prop_map(|(file, at, nr)| Op::Allocate { file, at, nr }),
            2 => clone.prop_map(|(source, from, nr, target, to)| Op::Clone {
                source, from, nr, target, to
            }),
            1 => snapshot().prop_map(|snapshot| Op::Snapshot { snapshot }),
            1 => snapshot().prop_map(|snapshot| Op::DeleteSnapshot { snapshot }),
            2 => file().prop_map(|file| Op::Unlink { file }),
            1 => (file(), file()).prop_map(|(source, target)| Op::Rename { source, target }),
            1 => Just(Op::Commit),
        ],
        nr,
    )
}

/// Makes the files.
pub(crate) fn begin(fs: &mut FsState) {
    fs.create_subvol("sub").expect("an empty filesystem");
    for name in NAMES {
        fs.create_file(name, name.ends_with("nocow"))
            .expect("a new name");
    }
}

/// Does what an operation says.
pub(crate) fn apply(fs: &mut FsState, op: &Op) {
    match op {
        Op::Write {
            file,
            at,
            blocks,
            tail,
        } => {
            let name = NAMES[*file];
            let found = fs.lookup(name).ok();
            let Some(id) = found.or_else(|| fs.create_file(name, name.ends_with("nocow")).ok())
            else {
                return;
            };
            let mut content = Content::new();
            blocks.iter().for_each(|seed| content.append(block(*seed)));
            if *tail > 0 {
                content.truncate(content.len() - BLOCK + tail);
            }
            let _ = fs.write(id, at * BLOCK, &content);
        }
        Op::Flush { file } => {
            if let Ok(id) = fs.lookup(NAMES[*file]) {
                fs.flush(id);
            }
        }
        Op::Truncate { file, size } => {
            if let Ok(id) = fs.lookup(NAMES[*file]) {
                let _ = fs.truncate(id, *size);
            }
        }
        Op::Punch { file, at, nr } => {
            if let Ok(id) = fs.lookup(NAMES[*file]) {
                let _ = fs.punch_hole(id, at * BLOCK, nr * BLOCK);
            }
        }
        Op::Allocate { file, at, nr } => {
            if let Ok(id) = fs.lookup(NAMES[*file]) {
                let _ = fs.fallocate(id, at * BLOCK, nr * BLOCK, false);
            }
        }
        Op::Clone {
            source,
            from,
            nr,
            target,
            to,
        } => clone(fs, *source, *from, *nr, *target, *to),
        Op::Snapshot { snapshot } => {
            let _ = fs.snapshot("sub", SNAPSHOTS[*snapshot], snapshot % 2 == 0);
        }
        Op::DeleteSnapshot { snapshot } => {
            let _ = fs.delete_subvol(SNAPSHOTS[*snapshot]);
        }
        Op::Unlink { file } => {
            let _ = fs.unlink(NAMES[*file]);
        }
        Op::Rename { source, target } => {
            let _ = fs.rename(NAMES[*source], NAMES[*target]);
        }
        Op::Commit => fs.sync(),
    }
}

/// Clones whole blocks within both files, as far as there are any.
fn clone(fs: &mut FsState, source: usize, from: u64, nr: u64, target: usize, to: u64) {
    let (Ok(source), Ok(target)) = (fs.lookup(NAMES[source]), fs.lookup(NAMES[target])) else {
        return;
    };
    fs.flush(source);
    fs.flush(target);
    let nr_blocks = |id| fs.inode(id).size() / BLOCK;
    let left = nr_blocks(source).saturating_sub(from);
    let nr = nr.min(left).min(nr_blocks(target).saturating_sub(to));
    let is_alike = fs.inode(source).is_nodatasum() == fs.inode(target).is_nodatasum();
    let overlaps = source == target && from < to + nr && to < from + nr;
    if nr > 0 && is_alike && !overlaps {
        let len = nr * BLOCK;
        let times = TimesUpdate::Now;
        fs.clone_extents(source, from * BLOCK, len, len, target, to * BLOCK, times);
    }
}

fn block(seed: u8) -> Content {
    match seed {
        0 => Content::zeros(BLOCK),
        seed => Content::pattern(u64::from(seed), 0, BLOCK),
    }
}
