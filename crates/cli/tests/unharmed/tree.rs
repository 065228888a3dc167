//! A folder with duplicates of all sorts ([`make`]), and what has to stay as it is ([`contents`]).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use backend_kernel::ground;

use crate::running::run;
use crate::seen;
pub(crate) use crate::seen::contents;

/// Bytes of a piece that is drawn from the pool or made anew.
pub(crate) const PIECE: usize = 32 << 10;
/// Pieces that many files have.
const NR_POOLED: u64 = 60;
/// Files of the tree.
const NR_FILES: u64 = 48;

/// Numbers that look random, the same for a seed.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// Returns bytes of a seed.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(numbers.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Makes files half of whose pieces are common, with tails that are not; some of them whole copies,
/// some without checksums; a part of them in a read-only snapshot.
pub(crate) fn make(folder: &Path) {
    run(&format!("btrfs subvolume create {}", folder.display()));
    let mut numbers = Numbers(8);
    fs::create_dir(folder.join("nocow")).expect("a folder");
    run(&format!("chattr +C {}/nocow", folder.display()));
    for file_nr in 0..NR_FILES {
        let mut content = Vec::new();
        for piece_nr in 0..6 {
            let seed = match numbers.below(2) {
                0 => numbers.below(NR_POOLED),
                _ => 1000 + file_nr * 100 + piece_nr,
            };
            content.extend(bytes(seed, PIECE));
        }
        let tail_len = numbers.below(8000) as usize;
        content.extend(bytes(100_000 + file_nr, tail_len));
        let name = match file_nr % 8 {
            7 => format!("nocow/{file_nr}"),
            _ => format!("{file_nr}"),
        };
        fs::write(folder.join(&name), &content).expect("a file");
        if file_nr % 12 == 0 {
            fs::write(folder.join(format!("copy-of-{name}")), &content).expect("a file");
        }
    }
    sync(folder);
    let snapshot = folder.join("snapshot");
    let (from, to) = (folder.display(), snapshot.display());
    run(&format!("btrfs subvolume snapshot -r {from} {to}"));
    for file_nr in (0..NR_FILES).step_by(5).filter(|nr| nr % 8 != 7) {
        let path = folder.join(format!("{file_nr}"));
        let mut content = fs::read(&path).expect("a file");
        content[PIECE..2 * PIECE].copy_from_slice(&bytes(3, PIECE));
        fs::write(&path, &content).expect("a file");
    }
    sync(folder);
}

/// Writes back and commits.
pub(crate) fn sync(folder: &Path) {
    let folder = fs::File::open(folder).expect("a folder");
    ground::commit(folder).expect("a commit");
}

/// Returns the used data bytes, as the filesystem tells after a commit.
pub(crate) fn used_bytes(folder: &Path) -> u64 {
    sync(folder);
    seen::used_bytes(folder)
}

/// Checks that every file has the bytes that it had, and that there are no others.
#[track_caller]
pub(crate) fn check_contents(folder: &Path, before: &BTreeMap<PathBuf, Vec<u8>>, what: &str) {
    let after = contents(folder);
    let names = |contents: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<PathBuf> {
        contents.keys().cloned().collect()
    };
    assert_eq!(names(&after), names(before), "{what}: files");
    for (path, bytes) in before {
        assert!(&after[path] == bytes, "{what}: {} changed", path.display());
    }
}
