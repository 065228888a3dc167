//! Filesystems that somebody else has made, and damaged ones among them: looked at through
//! `trees_at`, they are told as they are, or what is wrong is, with its tree and key.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use backend_kernel::{LoopbackOptions, Mount, image, trees_at};
use data::Content;
use scenario::{Backend, BackendError, Geometry, Op, Outcome, TreePlace, Trees};

use crate::Test;
use crate::cleanup::ImageFolder;
use crate::subject::name;

pub(crate) const TESTS: &[Test] = &[
    (
        "an_image_that_somebody_left_is_told_as_it_is",
        image_is_told,
    ),
    (
        "a_file_extent_item_of_no_extent_is_told_with_tree_and_key",
        item_of_no_extent,
    ),
    (
        "a_tree_block_that_fails_its_checksum_is_told_with_tree_and_key",
        damaged_block,
    ),
    (
        "whatever_bytes_a_leaf_has_it_is_told_or_refused",
        any_bytes_in_a_leaf,
    ),
    ("a_folder_below_the_top_of_a_subvolume_is_refused", no_top),
];

/// Small, so that it is copied soon.
const DEVICE_BYTES: u64 = 256 << 20;
/// Bytes of a tree block.
const BLOCK_LEN: usize = 16 << 10;
/// Bytes of its header, and of an item's key with the place of its data.
const HEADER_LEN: usize = 101;
const ITEM_LEN: usize = 25;
/// The type of file extent items, and where such an item has the address of its extent.
const EXTENT_DATA: u8 = 108;
const DISK_BYTENR: usize = 21;
/// How many leaves with random bytes are looked at.
const NR_LEAVES: u64 = 48;

/// A copied image of a filesystem that had one run, with the name of the run's subvolume.
struct Left {
    _folder: ImageFolder,
    path: PathBuf,
    run: String,
}

impl Left {
    /// Makes one with a file of that many extents.
    fn new(title: &str, nr_extents: u64) -> Left {
        let folder = ImageFolder::new(title);
        let mut mount = Mount::loopback(LoopbackOptions {
            keeps_image: true,
            ..folder.options()
        })
        .expect("a mount");
        let geometry = Geometry {
            device_bytes: DEVICE_BYTES,
            ..Geometry::default()
        };
        mount.reset(&geometry).expect("a reset");
        let file = name("A");
        let create = Op::File {
            name: file.clone(),
            is_nocow: false,
        };
        let write = |extent_idx| Op::Write {
            name: file.clone(),
            offset: extent_idx * (64 << 10),
            content: Content::pattern(7, 0, 8 << 10),
        };
        let writes = (0..nr_extents).map(write);
        for op in [create].into_iter().chain(writes).chain([Op::Sync]) {
            let answer = mount.apply(&op).expect("an answer");
            assert_eq!(answer.outcome, Outcome::Done);
        }
        // A mount that is dropped takes its runs along.
        let path = folder.0.join("copy");
        std::fs::copy(newest_image(&folder.0), &path).expect("a copy");
        drop(mount);
        let runs = image::on_image(&path, |top| {
            let entries = std::fs::read_dir(top).expect("the top");
            let names = entries.map(|entry| entry.expect("an entry"));
            let folders = names.filter(|entry| entry.path().is_dir());
            folders
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        });
        let run = runs.expect("a mount").pop().expect("a run");
        Left {
            _folder: folder,
            path,
            run,
        }
    }

    /// Returns what the trees of the run say.
    fn trees(&self) -> Result<Trees, BackendError> {
        image::on_image(&self.path, |top| trees_at(&top.join(&self.run))).flatten()
    }

    fn image(&self) -> File {
        let mut options = File::options();
        let image = options.read(true).write(true).open(&self.path);
        image.expect("the image")
    }

    /// Returns the leaf that holds the run's file extent items, if one has room for them all.
    fn leaf(&self) -> Leaf {
        let mut leaves = Leaf::all_with_file_extents(&self.image());
        leaves.pop().expect("a leaf with file extent items")
    }

    fn put(&self, leaf: &Leaf) {
        let image = self.image();
        image
            .write_all_at(&leaf.bytes, leaf.offset)
            .expect("a write");
        image.sync_all().expect("a sync");
    }
}

/// Returns the image that a mount in `folder` has made last.
fn newest_image(folder: &Path) -> PathBuf {
    let entries = |folder: &Path| std::fs::read_dir(folder).expect("a folder");
    let paths = entries(folder).map(|entry| entry.expect("an entry").path());
    let images = paths.flat_map(|work| entries(&work).map(|entry| entry.expect("an entry").path()));
    let is_image = |path: &PathBuf| path.to_string_lossy().contains("/image-");
    images.filter(is_image).max().expect("an image")
}

/// A leaf of a tree, and where the image has it.
#[derive(Clone)]
struct Leaf {
    offset: u64,
    bytes: Vec<u8>,
}

impl Leaf {
    /// Finds the leaves with file extent items of a subvolume that is not the top one, in order.
    fn all_with_file_extents(image: &File) -> Vec<Leaf> {
        let len = image.metadata().expect("its length").len();
        let fsid = read(image, (64 << 10) + 32, 16);
        let mut leaves = BTreeMap::new();
        for offset in (1 << 20..len).step_by(BLOCK_LEN) {
            if read(image, offset + 32, 16) != fsid {
                continue;
            }
            let bytes = read(image, offset, BLOCK_LEN);
            let leaf = Leaf { offset, bytes };
            let is_of_run = leaf.bytes[100] == 0 && 256 <= leaf.owner();
            if is_of_run && leaf.file_extent().is_some() {
                // Of those that begin alike, the one of the latest generation is in the tree.
                leaves.insert((leaf.file_offset(), leaf.generation()), leaf);
            }
        }
        leaves.into_values().collect()
    }

    /// Returns the file offset that the leaf begins with.
    fn file_offset(&self) -> u64 {
        self.word(HEADER_LEN + 9)
    }

    fn generation(&self) -> u64 {
        self.word(80)
    }

    fn owner(&self) -> u64 {
        self.word(88)
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("8 bytes"))
    }

    fn nr_items(&self) -> usize {
        u32::from_le_bytes(self.bytes[96..100].try_into().expect("4 bytes")) as usize
    }

    /// Returns where the data of the first file extent item that refers to an extent lies.
    fn file_extent(&self) -> Option<usize> {
        (0..self.nr_items()).find_map(|item_idx| {
            let item = HEADER_LEN + item_idx * ITEM_LEN;
            let header = self.bytes.get(item..item + ITEM_LEN)?;
            let data = u32::from_le_bytes(header[17..21].try_into().ok()?) as usize + HEADER_LEN;
            let is_extent = header[8] == EXTENT_DATA && self.bytes.get(data + 20) == Some(&1);
            is_extent.then_some(data)
        })
    }

    /// Makes the checksum of the block right.
    fn seal(&mut self) {
        let checksum = crc32c::crc32c(&self.bytes[32..]);
        self.bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        self.bytes[4..32].fill(0);
    }
}

fn read(image: &File, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    image.read_exact_at(&mut bytes, offset).expect("the image");
    bytes
}

fn image_is_told() {
    let left = Left::new("told", 2);
    assert!(image::is_image(&left.path));
    assert!(!image::is_image(Path::new("/dev/null")));
    let trees = left.trees().expect("the trees");
    let [root] = trees.roots.as_slice() else {
        panic!("one subvolume: {trees:?}");
    };
    let items: Vec<_> = root.inodes.iter().flat_map(|inode| &inode.items).collect();
    let is_extent = |place| matches!(place, TreePlace::Extent { .. });
    assert_eq!(
        items.iter().filter(|item| is_extent(item.place)).count(),
        2,
        "{trees:?}"
    );
    assert_eq!(trees.extents.len(), 2);
}

fn item_of_no_extent() {
    let left = Left::new("nowhere", 2);
    let before = left.trees().expect("the trees");
    let away = before
        .extents
        .iter()
        .map(|extent| extent.extent.0 + extent.len);
    // Behind every extent of the run, and in the same chunk.
    let nowhere = away.max().expect("an extent") + (1 << 20);
    let mut leaf = left.leaf();
    let data = leaf.file_extent().expect("a file extent item");
    leaf.bytes[data + DISK_BYTENR..][..8].copy_from_slice(&nowhere.to_le_bytes());
    leaf.seal();
    left.put(&leaf);
    let error = left
        .trees()
        .map(drop)
        .expect_err("an extent that is not there");
    let text = error.to_string();
    assert!(matches!(error, BackendError::Damaged { .. }), "{text}");
    let key = format!("({nowhere} 168 8192)");
    assert!(
        text.contains("extent tree") && text.contains(&key),
        "{text}"
    );
}

fn damaged_block() {
    let left = Left::new("block", 700);
    let leaves = Leaf::all_with_file_extents(&left.image());
    // The first and the last one are needed for opening the subvolume. Some of the others are of
    // the past.
    let ends = [leaves.first(), leaves.last()].map(|leaf| leaf.map(Leaf::file_offset));
    for leaf in &leaves {
        if !ends.contains(&Some(leaf.file_offset())) {
            let mut leaf = leaf.clone();
            leaf.bytes[BLOCK_LEN - 1] ^= 0xff;
            left.put(&leaf);
        }
    }
    let error = left
        .trees()
        .map(drop)
        .expect_err("a block that cannot be read");
    let text = error.to_string();
    assert!(
        text.contains("search the tree 25") && text.contains("from (257 108 "),
        "{text}"
    );
}

fn any_bytes_in_a_leaf() {
    let left = Left::new("any", 2);
    let sound = left.leaf();
    let data = sound.file_extent().expect("a file extent item");
    let mut nr_told = 0;
    for seed in 0..NR_LEAVES {
        let noise = Content::pattern(seed, 0, 16).to_vec();
        // Half of them in a file extent item, half anywhere.
        let at = match seed % 2 {
            0 => data + usize::from(noise[0]) % 53,
            _ => HEADER_LEN + usize::from(noise[1]) * 61 % (BLOCK_LEN - HEADER_LEN),
        };
        let mut leaf = sound.clone();
        leaf.bytes[at] = noise[2];
        leaf.seal();
        left.put(&leaf);
        match left.trees() {
            Ok(_) => nr_told += 1,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(nr_told < NR_LEAVES, "nothing was ever refused");
}

fn no_top() {
    let error = trees_at(Path::new("/proc/self")).expect_err("no btrfs");
    assert!(error.to_string().contains("not the top of a subvolume"));
}
