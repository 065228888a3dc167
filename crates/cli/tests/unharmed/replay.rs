//! The trees of the model's properties again on a btrfs of the running kernel: [`trees`] draws
//! them, carries their operations out on files, and holds what a run does there against what it
//! does in the model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use backend_kernel::ground;
use backend_kernel::volume::{self as volumes, Scan};
use data::Digest;
use dupes::{InMemory, Options, Rewrite, ScanMode, Summary, Unwatched};
use fs_state::BLOCK;
use model::ModelVolume;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use random_trees::{FILES, FileName, FileOp, TreeOp, build, nr_cloned, tree};
use rustix::fs::{FallocateFlags, IFlags, copy_file_range, fallocate, ioctl_setflags};
use volume::Volume;

use crate::Test;
use crate::running::setting;

pub(crate) const TESTS: &[Test] = &[(
    "on_the_running_kernel_as_much_is_freed_as_in_the_model",
    trees,
    &[],
)];

/// Draws trees and compares what runs do to them.
fn trees() {
    let (nr_trees, seed) = (setting("XSAME_REPLAYS", 3), setting("XSAME_SEED", 1));
    println!("seed {seed}");
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut freed_bytes = 0;
    for tree_nr in 0..nr_trees {
        let ops = tree().new_tree(&mut runner).expect("a tree").current();
        for rewrite in [Rewrite::Never, Rewrite::Max] {
            for scan in [ScanMode::Checksums, ScanMode::Read] {
                let options = Options {
                    rewrite,
                    scan,
                    ..Options::default()
                };
                let what = format!("tree {tree_nr}, {rewrite:?}, {scan:?}: {ops:#?}");
                let compared = ground::on_loopback(|top| compare(top, &ops, &options, &what));
                freed_bytes += compared.expect("a loopback btrfs");
            }
        }
    }
    println!("{nr_trees} trees, {freed_bytes} bytes freed by four runs on each, as in the model");
}

/// Does it on both; returns how many bytes were freed.
fn compare(top: &Path, ops: &[TreeOp], options: &Options, what: &str) -> i64 {
    let mut model = build(ops);
    // What the filesystem is born with.
    let used_by_none = open(top, options).used_bytes().expect("a btrfs");
    carry_out(top, ops);
    let before = contents(top);
    for (path, digest) in contents_of_model(&mut model) {
        assert_eq!(before.get(&path), Some(&digest), "{path}, {what}");
    }
    let mut kernel = open(top, options);
    let of_kernel = freed_by(&mut *kernel, options);
    let of_model = freed_by(&mut model, options);
    let used = |used: u64| used - used_by_none;
    let (kernel_before, kernel_after) = (used(of_kernel.used_before), used(of_kernel.used_after));
    assert_eq!(kernel_before, of_model.used_before, "used before, {what}");
    assert_eq!(kernel_after, of_model.used_after, "used after, {what}");
    let (one, other) = (&of_kernel.rounds[0], &of_model.rounds[0]);
    assert_eq!(
        one.prediction.net_bytes(),
        other.prediction.net_bytes(),
        "{what}"
    );
    assert_eq!(one.done.net_bytes(), one.prediction.net_bytes(), "{what}");
    assert_eq!(contents(top), before, "contents change, {what}");
    for path in FILES {
        set_immutable(&top.join(path), false);
    }
    of_kernel.used_before.cast_signed() - of_kernel.used_after.cast_signed()
}

/// Opens everything on the filesystem.
fn open(top: &Path, options: &Options) -> Box<dyn Volume> {
    let paths = [top.to_owned()];
    let opened = volumes::open(&volumes::Options {
        paths: &paths,
        is_recursive: true,
        is_excluded: None,
        min_bytes: 0,
        scan: match options.scan {
            ScanMode::Checksums => Scan::Csum,
            ScanMode::Read => Scan::Read,
        },
        nr_io_threads: 1,
        on_found: &|| {},
    });
    opened.expect("a btrfs").volume.into_volume()
}

/// Runs the tool, which has to come to an end.
#[track_caller]
fn freed_by(volume: &mut dyn Volume, options: &Options) -> Summary {
    let summary = dupes::run(volume, options, &mut InMemory, &mut Unwatched);
    let summary = summary.expect("the run begins");
    assert!(summary.stopped.is_none(), "{:?}", summary.stopped);
    assert_eq!(summary.rounds[0].done.failures, []);
    summary
}

/// Returns what each file holds, by its path.
fn contents(folder: &Path) -> BTreeMap<String, Digest> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().expect("a type").is_file() {
            let bytes = fs::read(entry.path()).expect("a file");
            found.insert(name, Digest::of(&bytes));
        } else {
            let inner = contents(&entry.path());
            found.extend(
                inner
                    .into_iter()
                    .map(|(path, digest)| (format!("{name}/{path}"), digest)),
            );
        }
    }
    found
}

fn contents_of_model(volume: &mut ModelVolume) -> BTreeMap<String, Digest> {
    let fs = volume.machine_mut().fs_mut();
    let in_snapshots = (0..).map_while(|nr| {
        let names = ["c", "d"].map(|name| format!("snapshot-{nr}/{name}"));
        fs.lookup(&names[0]).is_ok().then_some(names)
    });
    let in_snapshots: Vec<String> = in_snapshots.flatten().collect();
    let paths = FILES.iter().map(|path| (*path).to_owned());
    let mut found = BTreeMap::new();
    for path in paths.chain(in_snapshots) {
        let id = fs.lookup(&path).expect("a file");
        found.insert(path, fs.content(id).digest());
    }
    found
}

/// Carries the operations out as [`build`] does in the model.
fn carry_out(top: &Path, ops: &[TreeOp]) {
    btrfs(&["subvolume", "create"], &[&top.join("sub")]);
    for name in FILES {
        let file = File::create_new(top.join(name)).expect("a new name");
        if name.ends_with("nocow") {
            ioctl_setflags(&file, IFlags::NOCOW).expect("an empty file");
        }
    }
    let mut nr_snapshots = 0;
    let mut immutable = BTreeSet::new();
    for op in ops {
        match op {
            TreeOp::File(op) => carry_out_one(top, op, &mut immutable),
            TreeOp::Snapshot { is_readonly } => {
                let name = format!("snapshot-{nr_snapshots}");
                nr_snapshots += 1;
                let words: &[&str] = match is_readonly {
                    true => &["subvolume", "snapshot", "-r"],
                    false => &["subvolume", "snapshot"],
                };
                btrfs(words, &[&top.join("sub"), &top.join(name)]);
            }
        }
    }
    ground::commit(File::open(top).expect("a folder")).expect("a commit");
}

fn carry_out_one(top: &Path, op: &FileOp, immutable: &mut BTreeSet<FileName>) {
    let writable = |name: FileName| {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).open(top.join(name));
        (!immutable.contains(name)).then(|| opened.expect("a file"))
    };
    match *op {
        FileOp::Write {
            file,
            at,
            ref blocks,
            tail,
        } => {
            if let Some(file) = writable(file) {
                let content = FileOp::content(blocks, tail).to_vec();
                file.write_all_at(&content, at * BLOCK).expect("a write");
            }
        }
        FileOp::Flush { file } => {
            let file = File::open(top.join(file)).expect("a file");
            file.sync_all().expect("a sync");
        }
        FileOp::Truncate { file, size } => {
            if let Some(file) = writable(file) {
                file.set_len(size).expect("a truncate");
            }
        }
        FileOp::Punch { file, at, nr } => {
            if let Some(file) = writable(file) {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(file, flags, at * BLOCK, nr * BLOCK).expect("a hole");
            }
        }
        FileOp::Allocate { file, at, nr } => {
            if let Some(file) = writable(file) {
                let flags = FallocateFlags::empty();
                fallocate(file, flags, at * BLOCK, nr * BLOCK).expect("room");
            }
        }
        FileOp::Clone {
            source,
            from,
            nr,
            target,
            to,
        } => {
            let is_alike = source.ends_with("nocow") == target.ends_with("nocow");
            if let (Some(one), Some(other)) = (writable(source), writable(target)) {
                clone(&one, from, nr, &other, to, is_alike, source == target);
            }
        }
        FileOp::Immutable { file } => {
            set_immutable(&top.join(file), true);
            immutable.insert(file);
        }
    }
}

/// Clones whole blocks within both files, as far as there are any.
fn clone(source: &File, from: u64, nr: u64, target: &File, to: u64, is_alike: bool, is_same: bool) {
    source.sync_all().expect("a sync");
    target.sync_all().expect("a sync");
    let nr_blocks = |file: &File| file.metadata().expect("a file").len() / BLOCK;
    let (from_of, to_of) = ((from, nr_blocks(source)), (to, nr_blocks(target)));
    let nr = nr_cloned(from_of, to_of, nr, is_same);
    if 0 < nr && is_alike {
        let (mut from, mut to) = (from * BLOCK, to * BLOCK);
        let len = (nr * BLOCK) as usize;
        // On one btrfs, whole blocks are cloned.
        let copied = copy_file_range(source, Some(&mut from), target, Some(&mut to), len);
        assert_eq!(copied, Ok(len));
    }
}

fn set_immutable(path: &Path, is_set: bool) {
    let file = File::open(path).expect("a file");
    let flags = rustix::fs::ioctl_getflags(&file).expect("flags");
    let flags = match is_set {
        true => flags | IFlags::IMMUTABLE,
        false => flags - IFlags::IMMUTABLE,
    };
    ioctl_setflags(&file, flags).expect("root may");
}

fn btrfs(words: &[&str], paths: &[&Path]) {
    let output = Command::new("btrfs").args(words).args(paths).output();
    let output = output.expect("btrfs starts");
    assert!(output.status.success(), "{words:?}: {output:?}");
}
