//! A real filesystem as a volume: what it says is what the trees say, however it is asked, and
//! what is moved is moved.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use backend_kernel::volume::{Opened, Options, Scan, SkipReason, open};
use backend_kernel::{ground, trees_at};
use data::Digest;
use scenario::{Storage, TreePlace, Trees};
use volume::{
    DedupeStatus, DedupeTarget, Extent, FileExtent, FileId, FileRange, Page, Place, Position,
    Reference, Volume,
};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    (
        "a_volume_says_of_files_and_extents_what_the_trees_say",
        says_what_trees_say,
    ),
    (
        "only_what_a_later_transaction_changed_comes_if_asked_so",
        newer,
    ),
    ("a_scope_is_what_was_named_and_not_excluded", scope),
    (
        "what_is_deduped_is_shared_in_read_only_snapshots_too",
        dedupes,
    ),
    (
        "a_temporary_has_the_flags_of_its_like_and_goes_with_its_space",
        temporaries,
    ),
];

const MIB: u64 = 1 << 20;

pub(crate) fn options(paths: &[PathBuf]) -> Options<'_> {
    Options {
        paths,
        is_recursive: true,
        is_excluded: None,
        min_bytes: 0,
        scan: Scan::Auto,
        nr_io_threads: 2,
        on_found: &|| {},
    }
}

/// Runs `work` on a btrfs with some files of every kind, with the folder of its top.
pub(crate) fn on_files(work: impl FnOnce(&Path) + Send) {
    let result = ground::on_loopback(|top| {
        make_files(top);
        work(top);
    });
    result.expect("a loopback btrfs");
}

fn make_files(top: &Path) {
    let bytes = |seed: u8, len: u64| -> Vec<u8> {
        (0..len)
            .map(|at| (at * 7 + at / 251 * u64::from(seed) + u64::from(seed)) as u8)
            .collect()
    };
    fs::create_dir(top.join("folder")).expect("a folder");
    fs::write(top.join("folder/plain"), bytes(1, MIB + 100)).expect("a file");
    fs::write(top.join("folder/twin"), bytes(1, MIB + 100)).expect("a file");
    fs::write(top.join("tiny"), "inline").expect("a file");
    let sparse = File::create(top.join("sparse")).expect("a file");
    sparse
        .write_all_at(&bytes(2, 65536), 40 * MIB)
        .expect("a write");
    sparse
        .write_all_at(&bytes(3, 65536), 4096)
        .expect("a write");
    let nocow = top.join("nocow");
    File::create(&nocow).expect("a file");
    run(Command::new("chattr").arg("+C").arg(&nocow));
    fs::write(&nocow, bytes(4, 200_000)).expect("a file");
    let prealloc = top.join("prealloc");
    run(Command::new("fallocate")
        .args(["-l", "300000"])
        .arg(&prealloc));
    let file = File::options().write(true).open(&prealloc).expect("a file");
    file.write_all_at(&bytes(5, 8192), 65536).expect("a write");
    commit(top);
    // Parts of one extent, seen from two files and at two places.
    run(Command::new("cp")
        .args(["--reflink=always"])
        .arg(top.join("folder/plain"))
        .arg(top.join("clone")));
    let clone = File::options()
        .write(true)
        .open(top.join("clone"))
        .expect("a file");
    clone
        .write_all_at(&bytes(6, 12288), 40960)
        .expect("a write");
    let snapshot = ["subvolume", "snapshot", "-r"];
    commit(top);
    run(Command::new("btrfs")
        .args(snapshot)
        .arg(top)
        .arg(top.join("snapshot")));
    fs::write(top.join("folder/twin"), bytes(9, MIB)).expect("a file");
    commit(top);
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn commit(top: &Path) {
    ground::commit(File::open(top).expect("the top")).expect("a commit");
}

pub(crate) fn opened(options: &Options<'_>) -> Box<dyn Volume> {
    open(options).expect("a volume").volume.into_volume()
}

/// Returns every file with its file extents.
pub(crate) fn walk(volume: &mut dyn Volume, newer_than: u64) -> BTreeMap<FileId, Vec<FileExtent>> {
    let mut found = BTreeMap::new();
    let mut page = Page::default();
    let mut from = Some(Position::default());
    while let Some(position) = from {
        from = volume
            .next_page(position, newer_than, &mut page)
            .expect("a page");
        assert_eq!(page.errors, []);
        for (file, extents) in page.iter() {
            let of_file: &mut Vec<FileExtent> = found.entry(file.id).or_default();
            of_file.extend(extents);
        }
    }
    found
}

/// Returns the extent of a place, with the first byte within it.
fn extent_of(place: &Place) -> Option<(Extent, u64)> {
    match *place {
        Place::Hole | Place::Inline => None,
        Place::Preallocated { extent, within } | Place::Data { extent, within } => {
            Some((extent, within))
        }
    }
}

fn by_name(volume: &mut dyn Volume, end: &str) -> FileId {
    let files: Vec<FileId> = walk(volume, 0).into_keys().collect();
    let is_it = |file: &FileId| volume.path(*file).is_some_and(|path| path.ends_with(end));
    files.into_iter().find(is_it).expect("the file is in scope")
}

fn says_what_trees_say() {
    on_files(|top| {
        let paths = [top.to_owned()];
        let mut volume = opened(&options(&paths));
        let found = walk(&mut *volume, 0);
        let mut roots: Vec<u64> = found.keys().map(|file| file.root).collect();
        roots.dedup();
        assert_eq!(roots.len(), 2, "the top and its snapshot");
        for (root, folder) in roots
            .into_iter()
            .zip([top.to_owned(), top.join("snapshot")])
        {
            let trees = trees_at(&folder).expect("trees");
            check_files(&mut *volume, root, &found, &trees);
            check_extents(&mut *volume, &found, &trees);
        }
    });
}

fn check_files(
    volume: &mut dyn Volume,
    root: u64,
    found: &BTreeMap<FileId, Vec<FileExtent>>,
    trees: &Trees,
) {
    let inodes = trees.roots.iter().flat_map(|root| &root.inodes);
    for inode in inodes.filter(|inode| inode.kind == scenario::FileKind::Regular) {
        let id = FileId {
            root,
            inode: inode.ino,
        };
        let file = volume.file(id).expect("a file").expect("it is there");
        assert_eq!(file.size, inode.size);
        assert_eq!(
            file.is_nodatasum,
            inode.flags.has(ondisk::InodeFlags::NODATASUM)
        );
        let extents = found.get(&id).expect("it is on a page");
        let said: Vec<_> = extents
            .iter()
            .map(|it| {
                let place = extent_of(&it.place);
                let place =
                    place.map(|(extent, within)| (extent.address, extent.disk_bytes, within));
                (
                    it.offset,
                    it.len,
                    place,
                    matches!(it.place, Place::Preallocated { .. }),
                )
            })
            .collect();
        let expected: Vec<_> = inode
            .items
            .iter()
            .map(|it| match it.place {
                TreePlace::Inline { .. } | TreePlace::Hole => (it.offset, it.len, None, false),
                TreePlace::Extent {
                    is_prealloc,
                    extent: Storage(address),
                    disk_len,
                    skip,
                } => (
                    it.offset,
                    it.len,
                    Some((address, disk_len, skip)),
                    is_prealloc,
                ),
            })
            .collect();
        assert_eq!(said, expected, "{id}");
        // Any part of it is told alike.
        for part in extents {
            let offset = part.offset + 4096 * u64::from(4096 < part.len);
            let range = FileRange {
                file: id,
                offset,
                len: 1,
            };
            let mut again = Vec::new();
            volume
                .file_extents(range, &mut again)
                .expect("file extents");
            assert_eq!(again, [*part]);
        }
    }
}

fn check_extents(
    volume: &mut dyn Volume,
    found: &BTreeMap<FileId, Vec<FileExtent>>,
    trees: &Trees,
) {
    let all: BTreeMap<u64, Extent> = found
        .values()
        .flatten()
        .filter_map(|it| extent_of(&it.place))
        .map(|(extent, _)| (extent.address, extent))
        .collect();
    let remembered: Vec<Vec<Reference>> = trees
        .extents
        .iter()
        .map(|it| references_of(volume, all[&it.extent.0], 1))
        .collect();
    // What the walk saw is forgotten: the kernel is asked, and the trees are walked.
    volume.sync().expect("a commit");
    for (tree_extent, remembered) in trees.extents.iter().zip(remembered) {
        let Storage(address) = tree_extent.extent;
        let extent = all[&address];
        let asked = references_of(volume, extent, 1);
        // So many that a pass over the trees is less work.
        let walked = references_of(volume, extent, 20_000);
        assert_eq!(asked, remembered);
        assert_eq!(walked, remembered);
        let mut places: Vec<(u64, u64)> =
            asked.iter().map(|it| (it.file.inode, it.offset)).collect();
        places.sort_unstable();
        let mut expected: Vec<(u64, u64)> = tree_extent
            .refs
            .iter()
            .map(|it| (it.ino, it.offset))
            .collect();
        expected.sort_unstable();
        assert_eq!(places, expected);

        let mut checksums = Vec::new();
        volume
            .checksums(address, extent.disk_bytes, &mut checksums)
            .expect("checksums");
        assert_eq!(checksums.len() as u64, extent.disk_bytes / 4096);
        let mut expected = vec![None; checksums.len()];
        for run in &tree_extent.csums {
            let (first, nr_blocks) = (run.offset / 4096, run.len / 4096);
            let blocks = first as usize..(first + nr_blocks) as usize;
            let bytes: Vec<u8> = checksums[blocks.clone()]
                .iter()
                .flat_map(|csum| (csum.expect("a checksum") as u32).to_le_bytes())
                .collect();
            assert_eq!(Digest::of(&bytes), run.digest);
            expected[blocks.clone()].copy_from_slice(&checksums[blocks]);
        }
        assert_eq!(checksums, expected, "there are no others");
    }
}

/// Returns what refers to an extent, asked for so many times at once; it is always the same.
fn references_of(volume: &mut dyn Volume, extent: Extent, nr_times: usize) -> Vec<Reference> {
    let many: Vec<Extent> = std::iter::repeat_n(extent, nr_times).collect();
    let mut found = volume.references(&many).expect("references");
    assert_eq!(found.len(), nr_times);
    for one in &mut found {
        assert!(one.is_complete);
        one.references.sort();
    }
    assert!(
        found
            .iter()
            .all(|one| one.references == found[0].references)
    );
    found.swap_remove(0).references
}

fn newer() {
    on_files(|top| {
        let paths = [top.to_owned()];
        let mut volume = opened(&options(&paths));
        let before = walk(&mut *volume, 0);
        let newest = before.keys().filter_map(|file| volume.file(*file).ok()?);
        let newest = newest.map(|file| file.generation).max().expect("files");
        assert_eq!(walk(&mut *volume, newest), BTreeMap::new());
        fs::write(top.join("folder/new"), vec![7; 5000]).expect("a file");
        commit(top);
        let after = walk(&mut *volume, newest);
        assert_eq!(after.len(), 1);
        let (file, extents) = after.into_iter().next().expect("one");
        assert!(
            volume
                .path(file)
                .is_some_and(|path| path.ends_with("/folder/new"))
        );
        assert_eq!(extents.len(), 1);
    });
}

fn scope() {
    on_files(|top| {
        std::os::unix::fs::symlink("tiny", top.join("link")).expect("a link");
        let names = |options: &Options<'_>| {
            let Opened {
                volume, skipped, ..
            } = open(options).expect("a volume");
            let mut volume = volume.into_volume();
            let files: Vec<FileId> = walk(&mut *volume, 0).into_keys().collect();
            let strip = |path: String| path.replace(&format!("{}/", top.display()), "");
            let mut names: Vec<String> = files
                .into_iter()
                .filter_map(|file| volume.path(file))
                .map(strip)
                .filter(|name| !name.ends_with("room"))
                .collect();
            names.sort();
            (names.join(" "), skipped.len())
        };
        let paths = [top.join("folder"), top.join("tiny"), top.join("link")];
        let named = Options {
            is_recursive: false,
            ..options(&paths)
        };
        let found = ("folder/plain folder/twin tiny".to_owned(), 1);
        assert_eq!(names(&named), found);
        assert_eq!(
            names(&Options {
                min_bytes: 7,
                ..named
            })
            .0,
            "folder/plain folder/twin"
        );
        let is_excluded = |path: &Path| path.ends_with("snapshot") || path.ends_with("plain");
        let whole = [top.to_owned()];
        let excluded = Options {
            is_excluded: Some(&is_excluded),
            ..options(&whole)
        };
        let found = ("clone folder/twin nocow prealloc sparse tiny".to_owned(), 1);
        assert_eq!(names(&excluded), found);
        let flat = Options {
            is_recursive: false,
            ..options(&whole)
        };
        // The two folders are told, and so is the link.
        assert_eq!(
            names(&flat),
            ("clone nocow prealloc sparse tiny".to_owned(), 3)
        );
        assert_eq!(names(&options(&whole)).0.split(' ').count(), 14);
        let elsewhere = [top.to_owned(), PathBuf::from("/proc/self/stat")];
        let skipped = open(&options(&elsewhere)).expect("a volume").skipped;
        assert_eq!(skipped[0].why, SkipReason::OtherFilesystem);
    });
}

fn dedupes() {
    on_files(|top| {
        let paths = [top.to_owned()];
        let mut volume = opened(&options(&paths));
        let source = by_name(&mut *volume, "/folder/plain");
        let target = by_name(&mut *volume, "/snapshot/folder/twin");
        let range = |file| FileRange {
            file,
            offset: 0,
            len: MIB + 100,
        };
        volume.read_ahead(&[range(source), range(target)]);
        let statuses = volume.dedupe(
            range(source),
            &[
                DedupeTarget {
                    file: target,
                    offset: 0,
                },
                DedupeTarget {
                    file: FileId {
                        inode: 1 << 40,
                        ..target
                    },
                    offset: 0,
                },
            ],
        );
        let gone = DedupeStatus::Refused(uapi::Errno::ENOENT);
        let same = DedupeStatus::Same { bytes: MIB + 100 };
        assert_eq!(statuses.expect("the call"), [same, gone]);
        let mut places = [source, target].map(|file| {
            let mut extents = Vec::new();
            volume
                .file_extents(range(file), &mut extents)
                .expect("extents");
            extents.into_iter().map(|it| it.place).collect::<Vec<_>>()
        });
        places[0].dedup();
        assert_eq!(places[0], places[1], "they share storage");
        let before = volume.used_bytes().expect("used bytes");
        volume.sync().expect("a commit");
        let freed = before - volume.used_bytes().expect("used bytes");
        assert_eq!(
            freed,
            (MIB + 100).next_multiple_of(4096),
            "the twin's extent is gone"
        );
    });
}

fn temporaries() {
    on_files(|top| {
        let paths = [top.to_owned()];
        let mut volume = opened(&options(&paths));
        volume.sync().expect("a commit");
        let before = volume.used_bytes().expect("used bytes");
        for (like, is_nodatasum) in [("/nocow", true), ("/snapshot/folder/plain", false)] {
            let like = by_name(&mut *volume, like);
            let file = volume.create(like).expect("a temporary");
            volume.write(file, 0, &[42; 10_000]).expect("a write");
            volume.flush(file).expect("a flush");
            let inode = volume.file(file).expect("a look").expect("it is there");
            assert_eq!((inode.is_nodatasum, inode.size), (is_nodatasum, 10_000));
            let mut extents = Vec::new();
            let range = FileRange {
                file,
                offset: 0,
                len: 10_000,
            };
            volume.file_extents(range, &mut extents).expect("extents");
            assert_eq!(extents.len(), 1, "it has its extent");
            volume.sync().expect("a commit");
            assert_eq!(volume.used_bytes(), Ok(before + 12_288));
            volume.remove(file).expect("a removal");
            volume.sync().expect("a commit");
            assert_eq!(volume.used_bytes(), Ok(before));
        }
    });
}
