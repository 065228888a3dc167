//! Walks: a tree that is searched in several parts at once is seen as by one search after the
//! other, from wherever a walk goes on.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use backend_kernel::{Place, Session, ground};
use scenario::{Backend, Geometry, Op, Outcome};
use volume::{FileExtent, Page, Position, Volume};

use crate::Test;
use crate::volume_of_trees;
use crate::volume_of_trees::{on_files, opened, options};

pub(crate) const TESTS: &[Test] = &[
    (
        "threads_that_search_a_tree_see_what_one_search_after_the_other_sees",
        sees_the_same,
    ),
    (
        "a_walk_that_goes_on_from_anywhere_sees_the_rest_of_one_walk",
        goes_on_from_anywhere,
    ),
    (
        "a_page_from_the_middle_of_a_file_goes_on_where_it_was",
        pages_from_the_middle,
    ),
    (
        "a_walk_that_is_given_up_leaves_no_thread_on_the_filesystem",
        given_up,
    ),
];

/// File extents of a small file.
const NR_EXTENTS: u64 = 1000;
/// Files that share all of them.
const NR_CLONES: u64 = 40;
/// How often all of them are in the largest file: its items alone are more than a search brings.
const NR_TIMES: u64 = 30;
/// Files without any, each time.
const NR_EMPTY: u64 = 6000;
/// What lies between the begins of two file extents, bytes.
const STEP: u64 = 8192;

/// Runs `work` on a btrfs with a subvolume that some searches bring: files with many extents, then
/// unused inode numbers, files without extents, one that some searches bring, and more without.
fn on_large_tree(work: impl FnOnce(&Path) + Send) {
    let result = ground::on_loopback(|top| {
        // What a session made goes with it.
        let session = make_files(top);
        work(top);
        drop(session);
    });
    result.expect("a loopback btrfs");
}

fn make_files(top: &Path) -> Session {
    let mut session = Session::new(Place {
        first: top.to_owned(),
        second: None,
        readonly: None,
        device: None,
        is_ours: true,
    });
    session.reset(&Geometry::default()).expect("a reset");
    let mut apply = |line: &str| {
        let op: Op = line.parse().expect("an operation");
        let answer = session.apply(&op).expect("an answer");
        assert_eq!(answer.outcome, Outcome::Done, "{line}");
    };
    let subvolume = top.join("run-1");
    let empty = |name: &str, nr: u64| subvolume.join(format!("{name}-{nr}"));
    let make = |name: &str| {
        for nr in 0..NR_EMPTY {
            File::create(empty(name, nr)).expect("a file");
        }
    };
    apply("file A");
    apply("pwrite A 0 4k 0x61");
    apply("flush A");
    for nr in 1..NR_EXTENTS {
        apply(&format!("clone A 0 4k => A {}", nr * STEP));
    }
    for nr in 0..NR_CLONES {
        apply(&format!("file C{nr}"));
        apply(&format!("clone A 0 0 => C{nr} 0"));
    }
    make("gone");
    make("before");
    apply("file L");
    for nr in 0..NR_TIMES {
        apply(&format!("clone A 0 0 => L {}", nr * NR_EXTENTS * STEP));
    }
    make("behind");
    for nr in 0..NR_EMPTY {
        fs::remove_file(empty("gone", nr)).expect("a file goes");
    }
    apply("sync");
    session
}

type Files = Vec<(volume::File, Vec<FileExtent>)>;

/// Returns every file from a position on, in order, and where the pages begin.
fn walk(volume: &mut dyn Volume, from: Position) -> (Files, Vec<Position>) {
    let (mut files, mut begins): (Files, _) = (Vec::new(), Vec::new());
    let mut page = Page::default();
    let mut next = Some(from);
    while let Some(position) = next {
        begins.push(position);
        next = volume.next_page(position, 0, &mut page).expect("a page");
        for (file, extents) in page.iter() {
            match files.last_mut() {
                // The page before ended in the middle of it.
                Some((last, of_last)) if last.id == file.id => {
                    assert!(0 < position.offset, "a file comes again for nothing");
                    of_last.extend(extents);
                }
                _ => files.push((*file, extents.to_vec())),
            }
        }
    }
    (files, begins)
}

fn sees_the_same() {
    on_large_tree(|top| {
        let paths = [top.join("run-1")];
        let mut options = options(&paths);
        options.nr_io_threads = 1;
        let (alone, _) = walk(&mut *opened(&options), Position::default());
        assert_eq!(alone.len() as u64, 1 + NR_CLONES + 2 * NR_EMPTY + 1);
        assert!(alone.is_sorted_by_key(|(file, _)| file.id));
        let of_files = alone.iter().map(|(_, extents)| extents.len() as u64);
        // With what lies between, where holes have items of their own.
        assert!(NR_EXTENTS * (1 + NR_CLONES + NR_TIMES) <= of_files.sum());
        for nr_threads in [2, 5] {
            options.nr_io_threads = nr_threads;
            let (found, _) = walk(&mut *opened(&options), Position::default());
            // There are too many to print.
            assert!(found == alone, "{nr_threads} threads");
        }
    });
}

fn goes_on_from_anywhere() {
    on_large_tree(|top| {
        let paths = [top.join("run-1")];
        let options = options(&paths);
        let (all, begins) = walk(&mut *opened(&options), Position::default());
        assert!(1 < begins.len(), "all is on one page");
        let (longest, _) = all.iter().max_by_key(|(_, it)| it.len()).expect("files");
        let within = [1, NR_TIMES / 2, NR_TIMES - 1].map(|nr| Position {
            offset: nr * NR_EXTENTS * STEP,
            ..Position::of(longest.id)
        });
        let middle = all[all.len() / 2].0.id;
        let others = [Position::of(middle), Position::behind(middle)];
        for from in begins.into_iter().chain(within).chain(others) {
            // Nothing was searched ahead for who comes from somewhere else.
            let (rest, _) = walk(&mut *opened(&options), from);
            let expected: Files = all
                .iter()
                .filter(|(file, _)| (from.root, from.inode) <= (file.id.root, file.id.inode))
                .map(|(file, extents)| {
                    let is_cut = from.inode == file.id.inode;
                    let is_left = |it: &&FileExtent| !is_cut || from.offset <= it.offset;
                    (*file, extents.iter().filter(is_left).copied().collect())
                })
                .collect();
            assert!(rest == expected, "from {from:?}");
        }
    });
}

fn pages_from_the_middle() {
    on_files(|top| {
        let paths = [top.to_owned()];
        let mut volume = opened(&options(&paths));
        let all = volume_of_trees::walk(&mut *volume, 0);
        for (file, extents) in &all {
            if let Some(extent) = extents.first() {
                let from = Position {
                    offset: extent.offset + 1,
                    ..Position::of(*file)
                };
                let mut page = Page::default();
                volume.next_page(from, 0, &mut page).expect("a page");
                let mut rest = page
                    .iter()
                    .map(|(file, extents)| (file.id, extents.to_vec()));
                let (first, left) = rest.next().expect("the file again");
                assert_eq!((first, &left[..]), (*file, &extents[1..]));
                let behind = all.range(file..).skip(1);
                let behind: Vec<_> = behind.map(|(file, it)| (*file, it.clone())).collect();
                assert_eq!(rest.collect::<Vec<_>>(), behind);
            }
        }
    });
}

fn given_up() {
    on_large_tree(|top| {
        let paths = [top.join("run-1")];
        let nr_open_before = nr_open_on(&paths[0]);
        let mut volume = opened(&options(&paths));
        let mut page = Page::default();
        let next = volume.next_page(Position::default(), 0, &mut page);
        assert!(next.expect("a page").is_some());
        assert!(nr_open_before < nr_open_on(&paths[0]));
        drop(volume);
        assert_eq!(nr_open_on(&paths[0]), nr_open_before);
    });
}

/// Returns how many descriptors of this process are on the subvolume of a folder.
fn nr_open_on(folder: &Path) -> usize {
    let device = fs::metadata(folder).expect("a folder").dev();
    let open = fs::read_dir("/proc/self/fd").expect("descriptors");
    let open = open.filter_map(|entry| fs::metadata(entry.ok()?.path()).ok());
    open.filter(|open| open.dev() == device).count()
}
