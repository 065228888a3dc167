//! A whole filesystem: [`build`].

use fs_state::FsState;
use model::{Machine, ModelVolume};
use proptest::prelude::*;
use proptest::sample::select;
use rules::Profile;

use crate::file_op::{FileName, FileOp, file_ops};

/// The files of a tree; those of the subvolume come last.
pub const FILES: [FileName; 5] = ["a", "b", "nocow", "sub/c", "sub/d"];

/// One operation on a filesystem with [`FILES`].
#[derive(Clone, Debug)]
pub enum TreeOp {
    /// Something happens to files.
    File(FileOp),
    /// The subvolume is snapshotted, as `snapshot-` and a number from 0 on.
    Snapshot {
        /// Whether the snapshot is read-only.
        is_readonly: bool,
    },
}

/// Draws the operations of a tree.
pub fn tree() -> impl Strategy<Value = Vec<TreeOp>> {
    let op = prop_oneof![
        95 => file_ops(&FILES).prop_map(TreeOp::File),
        5 => any::<bool>().prop_map(|is_readonly| TreeOp::Snapshot { is_readonly }),
        1 => select(&FILES[..]).prop_map(|file| TreeOp::File(FileOp::Immutable { file })),
    ];
    prop::collection::vec(op, 3..28)
}

/// Returns a volume with the tree.
///
/// # Panics
///
/// If the model refuses what an empty filesystem has room for.
pub fn build(ops: &[TreeOp]) -> ModelVolume {
    let profile = Profile::latest().expect("a profile");
    let mut machine = Machine::new(profile);
    let fs = machine.fs_mut();
    fs.create_subvol("sub").expect("an empty filesystem");
    for name in FILES {
        fs.create_file(name, name.ends_with("nocow"))
            .expect("a new name");
    }
    let mut nr_snapshots = 0;
    for op in ops {
        apply(fs, op, &mut nr_snapshots);
    }
    fs.sync();
    ModelVolume::new(machine)
}

fn apply(fs: &mut FsState, op: &TreeOp, nr_snapshots: &mut u32) {
    match op {
        TreeOp::File(op) => op.apply(fs),
        TreeOp::Snapshot { is_readonly } => {
            let name = format!("snapshot-{nr_snapshots}");
            *nr_snapshots += 1;
            fs.snapshot("sub", &name, *is_readonly).expect("a new name");
        }
    }
}
