//! Looks at trees that one search after the other does not bring: an item is larger than the
//! buffer, or somebody is at work meanwhile.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use backend_kernel::{Place, Session, ground, image, subvolumes_in, trees_at};
use data::Content;
use rustix::io::ReadWriteFlags;
use scenario::{Backend, Geometry, Op, Outcome};

use crate::Test;
use crate::cleanup::ImageFolder;

pub(crate) const TESTS: &[Test] = &[
    (
        "an_item_larger_than_the_buffer_is_searched_for_again_with_room_for_it",
        larger_than_the_buffer,
    ),
    (
        "trees_that_change_between_two_searches_are_read_anew",
        changed_meanwhile,
    ),
    (
        "subvolumes_in_a_subvolume_are_left_out_and_named",
        nested_are_named,
    ),
    (
        "a_look_at_the_trees_leaves_no_page_of_a_file_cached",
        leaves_nothing_cached,
    ),
];

/// Bytes of a file whose checksums, 32 bytes for each block, fill an item of 64 KiB.
const FILE_LEN: u64 = 8 << 20;
/// How often trees are looked at that change.
const NR_LOOKS: usize = 200;

fn larger_than_the_buffer() {
    let folder = ImageFolder::new("large-item");
    let root = folder.0.join("root");
    std::fs::create_dir(&root).expect("a folder");
    let bytes = Content::pattern(3, 0, FILE_LEN).to_vec();
    std::fs::write(root.join("A"), bytes).expect("a file");
    let path = folder.0.join("image");
    let image = File::create(&path).expect("an image");
    image.set_len(256 << 20).expect("an image");
    let made = Command::new("mkfs.btrfs")
        .args(["-q", "--nodesize", "64k", "--csum", "blake2", "--rootdir"])
        .args([&root, &path])
        .output()
        .expect("mkfs.btrfs starts");
    assert!(made.status.success(), "{made:?}");
    let trees = image::on_image(&path, trees_at).flatten();
    let extents = trees.expect("the trees").extents;
    let csums = extents.iter().flat_map(|extent| &extent.csums);
    assert_eq!(csums.map(|csums| csums.len).sum::<u64>(), FILE_LEN);
}

fn changed_meanwhile() {
    let looks = ground::on_loopback(|top| {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| change_until(top, &is_over));
            let looks: Vec<_> = (0..NR_LOOKS).map(|_| trees_at(top)).collect();
            is_over.store(true, Ordering::Relaxed);
            looks
        })
    });
    for trees in looks.expect("a loopback btrfs") {
        trees.expect("nothing is damaged");
    }
}

fn nested_are_named() {
    let (named, of_nested, nr_roots) = ground::on_loopback(|top| {
        for path in ["A", "A/B", "C.1"] {
            let made = Command::new("btrfs")
                .args(["-q", "subvolume", "create"])
                .arg(top.join(path))
                .status()
                .expect("btrfs starts");
            assert!(made.success(), "{path}");
        }
        let mut named = subvolumes_in(top).expect("names");
        named.sort();
        let of_nested = subvolumes_in(&top.join("A")).expect("names");
        let nr_roots = trees_at(top).expect("trees").roots.len();
        (named, of_nested, nr_roots)
    })
    .expect("a loopback btrfs");
    assert_eq!(named, ["A", "C.1"]);
    assert_eq!(of_nested, ["B"]);
    assert_eq!(nr_roots, 1);
}

fn leaves_nothing_cached() {
    const LINES: &str = "dir D
subvol V
file A
file D/A
file V/A
pwrite A 0 64k seed=1@0
pwrite D/A 0 64k seed=2@0
pwrite V/A 0 64k 0x61
snapshot V D/S
sync
observe";
    const NAMES: [&str; 4] = ["A", "D/A", "V/A", "D/S/A"];
    let cached = ground::on_loopback(|top| {
        let place = Place {
            first: top.to_owned(),
            second: None,
            readonly: None,
            device: None,
            is_ours: true,
        };
        let mut session = Session::new(place);
        session.reset(&Geometry::default()).expect("a reset");
        let mut apply = |line: &str| {
            let op: Op = line.parse().expect("an operation");
            let answer = session.apply(&op).expect("an answer");
            assert!(!matches!(answer.outcome, Outcome::Failed(_)), "{line}");
        };
        LINES.lines().for_each(&mut apply);
        let files = NAMES.map(|name| File::open(top.join("run-1").join(name)).expect("a file"));
        for file in &files {
            file.read_exact_at(&mut [0; 4096], 0).expect("a read");
        }
        let before = files.each_ref().map(is_cached);
        apply("tree");
        (before, files.each_ref().map(is_cached))
    });
    assert_eq!(cached.expect("a loopback btrfs"), ([true; 4], [false; 4]));
}

/// Returns whether the first byte of a file can be read without waiting for its device.
fn is_cached(file: &File) -> bool {
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    match rustix::io::preadv2(file, &mut buffers, 0, ReadWriteFlags::NOWAIT) {
        Ok(len) => 0 < len,
        Err(rustix::io::Errno::AGAIN) => false,
        Err(errno) => panic!("a read that does not wait: {errno}"),
    }
}

/// Writes files anew, in extents that take the place of the old ones, and commits.
fn change_until(top: &Path, is_over: &AtomicBool) {
    let create = |name: &str| File::create(top.join(name)).expect("a file");
    let files = ["A", "B", "C", "D"].map(create);
    for seed in 0.. {
        for file in &files {
            let bytes = Content::pattern(seed, 0, 64 << 10).to_vec();
            file.write_all_at(&bytes, 0).expect("a write");
            file.sync_data().expect("a sync");
            if is_over.load(Ordering::Relaxed) {
                return;
            }
        }
        ground::commit(&files[0]).expect("a commit");
    }
}
