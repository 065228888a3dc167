//! What happens to a filesystem between two runs.

use fs_state::FsState;
use proptest::prelude::*;
use proptest::sample::select;
use random_trees::{FileName, FileOp, file_ops};

/// The files; those of the subvolume come last.
const FILES: [FileName; 7] = ["a", "b", "nocow", "c", "sub/d", "sub/e", "sub/nocow"];
/// Names of snapshots, and whether they are read-only.
const SNAPSHOTS: [(&str, bool); 3] = [
    ("snapshot-0", true),
    ("snapshot-1", false),
    ("snapshot-2", true),
];

/// One operation. Every one is total: what cannot be done is left out.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    File(FileOp),
    Snapshot {
        name: &'static str,
        is_readonly: bool,
    },
    DeleteSnapshot {
        name: &'static str,
    },
    Unlink {
        file: FileName,
    },
    Rename {
        source: FileName,
        target: FileName,
    },
    /// Commits, so that what is freed may be used again.
    Commit,
}

/// Draws operations.
pub(crate) fn ops(nr: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    let file = || select(&FILES[..]);
    let snapshot = || select(&SNAPSHOTS[..]);
    let op = prop_oneof![
        20 => file_ops(&FILES).prop_map(Op::File),
        1 => snapshot().prop_map(|(name, is_readonly)| Op::Snapshot { name, is_readonly }),
        1 => snapshot().prop_map(|(name, _)| Op::DeleteSnapshot { name }),
        2 => file().prop_map(|file| Op::Unlink { file }),
        1 => (file(), file()).prop_map(|(source, target)| Op::Rename { source, target }),
        1 => Just(Op::Commit),
    ];
    prop::collection::vec(op, nr)
}

/// Makes the files.
pub(crate) fn begin(fs: &mut FsState) {
    fs.create_subvol("sub").expect("an empty filesystem");
    for name in FILES {
        fs.create_file(name, name.ends_with("nocow"))
            .expect("a new name");
    }
}

/// Does what an operation says.
pub(crate) fn apply(fs: &mut FsState, op: &Op) {
    match op {
        Op::File(op) => op.apply(fs),
        Op::Snapshot { name, is_readonly } => {
            let _ = fs.snapshot("sub", name, *is_readonly);
        }
        Op::DeleteSnapshot { name } => {
            let _ = fs.delete_subvol(name);
        }
        Op::Unlink { file } => {
            let _ = fs.unlink(file);
        }
        Op::Rename { source, target } => {
            let _ = fs.rename(source, target);
        }
        Op::Commit => fs.sync(),
    }
}
