//! `xsame` on filesystems that cannot be believed: damaged trees are told with tree and key, and
//! a check that cannot start by its name; the exit code is 2.
//!
//! Needs root, a loop device and mkfs.btrfs; without them every test is reported as ignored with
//! the reason.

mod loopback;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A test: its name, a sentence, and what it does.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    (
        "a_sound_image_is_told_and_a_damaged_one_refused_with_tree_and_key",
        damaged_image,
    ),
    ("a_check_that_cannot_start_is_named", check_cannot_start),
];

/// Bytes of a tree block, of its header, and of an item's key with the place of its data.
const BLOCK_LEN: u64 = 16 << 10;
const HEADER_LEN: usize = 101;
const ITEM_LEN: usize = 25;
/// `BTRFS_FS_TREE_OBJECTID` and `BTRFS_EXTENT_DATA_KEY`.
const FS_TREE: u64 = 5;
const EXTENT_DATA: u8 = 108;
/// Where a file extent item has its type and the address of its extent.
const TYPE: usize = 20;
const DISK_BYTENR: usize = 21;
/// An address at which nothing is.
const NOWHERE: u64 = 1 << 40;

fn main() {
    loopback::run(TESTS.iter().map(|&(name, test)| (name, test, None)));
}

/// Returns the command `xsame` with these arguments, separated by blanks.
fn xsame(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsame"));
    command.args(arguments.split_whitespace());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn damaged_image() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("image");
    make_image(folder.path(), &path);
    let tree = || xsame("tree").arg(&path).output().expect("xsame starts");
    let told = tree();
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    damage(&path);
    let refused = tree();
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let key = format!("({NOWHERE} 168 65536)");
    for part in ["extent tree", key.as_str(), "there is no such"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn check_cannot_start() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("btrfs"), "may not be executed").expect("a file");
    let run = xsame("diff --backend mount --steps 20 --seed 1")
        .env("PATH", folder.path())
        .current_dir(folder.path())
        .output()
        .expect("xsame starts");
    let said = stderr(&run);
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("btrfs check"), "{said}");
}

/// Makes an image of a filesystem with one file of one extent.
fn make_image(folder: &Path, path: &Path) {
    let root = folder.join("root");
    fs::create_dir(&root).expect("a folder");
    fs::write(root.join("A"), vec![7; 64 << 10]).expect("a file");
    let image = File::create(path).expect("an image");
    image.set_len(256 << 20).expect("an image");
    let made = Command::new("mkfs.btrfs")
        .args(["-q", "-m", "single", "--rootdir"])
        .args([root.as_path(), path])
        .output()
        .expect("mkfs.btrfs starts");
    assert!(made.status.success(), "{made:?}");
}

/// Has the file's extent be nowhere, in blocks with sound checksums.
fn damage(path: &Path) {
    let image = File::options().read(true).write(true).open(path);
    let image = image.expect("the image");
    let read = |offset, len| {
        let mut bytes = vec![0; len];
        image.read_exact_at(&mut bytes, offset).expect("the image");
        bytes
    };
    let filesystem = read((64 << 10) + 32, 16);
    let len = image.metadata().expect("its length").len();
    let mut nr_damaged = 0;
    for offset in (1 << 20..len).step_by(BLOCK_LEN as usize) {
        if read(offset + 32, 16) != filesystem {
            continue;
        }
        let mut bytes = read(offset, BLOCK_LEN as usize);
        if let Some(item) = file_extent(&bytes) {
            bytes[item + DISK_BYTENR..][..8].copy_from_slice(&NOWHERE.to_le_bytes());
            let checksum = crc32c::crc32c(&bytes[32..]);
            bytes[..4].copy_from_slice(&checksum.to_le_bytes());
            image.write_all_at(&bytes, offset).expect("a write");
            nr_damaged += 1;
        }
    }
    assert!(0 < nr_damaged, "no leaf has the file extent item");
}

/// Returns where the first file extent item that refers to an extent lies in a leaf of the top
/// subvolume.
fn file_extent(block: &[u8]) -> Option<usize> {
    let word = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("4 bytes"));
    let is_leaf = block[100] == 0 && u64::from(word(88)) == FS_TREE;
    let mut items = (0..word(96) as usize).map(|idx| HEADER_LEN + idx * ITEM_LEN);
    items.find_map(|item| {
        let data = HEADER_LEN + word(item + 17) as usize;
        let is_it = is_leaf && block[item + 8] == EXTENT_DATA && block[data + TYPE] == 1;
        is_it.then_some(data)
    })
}
