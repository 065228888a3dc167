//! Others write into the files while they are deduped: overwrite, append, truncate, rename, unlink.
//! Each keeps a journal of what every file has to hold; no byte may be another one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backend_kernel::ground;

use crate::Test;
use crate::running::{dupes, json_of, run, setting, stderr};
use crate::tree::{Numbers, PIECE, bytes, check_contents, contents, make, used_bytes};

pub(crate) const TESTS: &[Test] = &[
    (
        "who_writes_beside_a_run_finds_every_byte_as_it_was_written",
        written_beside,
        &[],
    ),
    (
        "snapshots_that_come_and_go_beside_a_run_end_nothing",
        snapshots_beside,
        &[],
    ),
];

/// How many write.
const NR_WRITERS: u64 = 2;
/// Longest file that a writer makes, bytes.
const SIZE_MAX: usize = 400 << 10;

/// What each file has to hold.
type Journal = BTreeMap<PathBuf, Vec<u8>>;

fn written_beside() {
    let time = Duration::from_millis(setting("XSAME_WRITERS_MS", 3000));
    let seed = setting("XSAME_SEED", 1);
    println!("seed {seed}");
    let result = ground::on_checked_loopback(|top| {
        let folder = top.join("folder");
        make(&folder);
        let snapshot = contents(&folder.join("snapshot"));
        let journals = shared_out(&folder);
        let has_to_end = AtomicBool::new(false);
        let (mut nr_whole, mut nr_partly) = (0, 0);
        let journals: Vec<(Journal, u64)> = std::thread::scope(|scope| {
            let writers: Vec<_> = journals
                .into_iter()
                .zip(1..)
                .map(|(journal, writer)| {
                    let has_to_end = &has_to_end;
                    scope.spawn(move || write(journal, Numbers(seed << 8 | writer), has_to_end))
                })
                .collect();
            let begin = Instant::now();
            let mut run_nr = 0;
            while begin.elapsed() < time {
                let scan = ["csum", "read"][run_nr % 2];
                run_nr += 1;
                let output = dupes(&format!("-rD --json --rewrite=max --scan={scan}"), &folder);
                match output.status.code() {
                    Some(0) => nr_whole += 1,
                    Some(1) => {
                        nr_partly += 1;
                        let said = json_of(&output);
                        let troubles = said["troubles"].as_array().expect("a list");
                        assert!(!troubles.is_empty(), "{said}");
                    }
                    _ => {
                        has_to_end.store(true, Ordering::SeqCst);
                        panic!("run {run_nr}: {output:?}");
                    }
                }
            }
            has_to_end.store(true, Ordering::SeqCst);
            let ended = writers.into_iter().map(|writer| writer.join());
            ended.map(|journal| journal.expect("a writer")).collect()
        });
        let nr_operations: u64 = journals.iter().map(|(_, nr)| nr).sum();
        println!("{nr_operations} operations beside {nr_whole} whole runs and {nr_partly} others");
        let mut expected = Journal::new();
        expected.extend(journals.into_iter().flat_map(|(journal, _)| journal));
        expected.extend(snapshot);
        check_contents(&folder, &expected, "after all");
        let used_before = used_bytes(&folder);
        let last = dupes("-rDq --rewrite=max", &folder);
        assert_eq!(last.status.code(), Some(0), "{}", stderr(&last));
        assert!(used_bytes(&folder) <= used_before);
        check_contents(&folder, &expected, "after a run with nobody beside it");
    });
    let ((), verified) = result.expect("a loopback btrfs");
    assert!(verified.complaints.is_empty(), "{verified:?}");
}

fn snapshots_beside() {
    let time = Duration::from_millis(setting("XSAME_WRITERS_MS", 3000)) / 2;
    let result = ground::on_checked_loopback(|top| {
        let folder = top.join("folder");
        make(&folder);
        let before = contents(&folder);
        let has_to_end = AtomicBool::new(false);
        let (mut nr_whole, mut nr_partly) = (0, 0);
        std::thread::scope(|scope| {
            let snapshots = scope.spawn(|| come_and_go(&folder, &has_to_end));
            let begin = Instant::now();
            let mut run_nr = 0;
            while begin.elapsed() < time {
                let arguments = [
                    "-rDq --rewrite=max --scan=csum",
                    "-rDq --rewrite=max --scan=read",
                    "-rDq --rewrite=never",
                ][run_nr % 3];
                run_nr += 1;
                let output = dupes(arguments, &folder);
                match output.status.code() {
                    Some(0) => nr_whole += 1,
                    Some(1) => nr_partly += 1,
                    _ => {
                        has_to_end.store(true, Ordering::SeqCst);
                        panic!("run {run_nr}: {output:?}");
                    }
                }
            }
            has_to_end.store(true, Ordering::SeqCst);
            let nr_snapshots = snapshots.join().expect("snapshots");
            println!(
                "{nr_snapshots} snapshots beside {nr_whole} whole runs and {nr_partly} others"
            );
        });
        check_contents(&folder, &before, "after all");
        let last = dupes("-rDq --rewrite=max", &folder);
        assert_eq!(last.status.code(), Some(0), "{}", stderr(&last));
        check_contents(&folder, &before, "after a run with nobody beside it");
    });
    let ((), verified) = result.expect("a loopback btrfs");
    assert!(verified.complaints.is_empty(), "{verified:?}");
}

/// Makes snapshots in the folder and deletes them until it has to end; returns how many.
fn come_and_go(folder: &Path, has_to_end: &AtomicBool) -> u64 {
    let mut nr_snapshots = 0;
    while !has_to_end.load(Ordering::SeqCst) {
        let options = ["-r", ""][nr_snapshots as usize % 2];
        let (from, to) = (
            folder.display(),
            folder.join(format!("passing-{nr_snapshots}")),
        );
        let to = to.display();
        run(&format!("btrfs subvolume snapshot {options} {from} {to}"));
        std::thread::sleep(Duration::from_millis(20));
        run(&format!("btrfs subvolume delete {to}"));
        nr_snapshots += 1;
    }
    nr_snapshots
}

/// Gives each writer some of the files.
fn shared_out(folder: &Path) -> Vec<Journal> {
    let mut journals = vec![Journal::new(); NR_WRITERS as usize];
    let of_folder = contents(folder).into_iter();
    let own = of_folder.filter(|(path, _)| !path.starts_with(folder.join("snapshot")));
    for ((path, content), file_nr) in own.zip(0..) {
        journals[file_nr % NR_WRITERS as usize].insert(path, content);
    }
    journals
}

/// Writes until it has to end; returns the journal and how many operations it did.
fn write(mut journal: Journal, mut numbers: Numbers, has_to_end: &AtomicBool) -> (Journal, u64) {
    let mut nr_operations = 0;
    while !has_to_end.load(Ordering::SeqCst) {
        operate(&mut journal, &mut numbers, nr_operations);
        nr_operations += 1;
        std::thread::sleep(Duration::from_micros(numbers.below(2000)));
    }
    (journal, nr_operations)
}

/// Does one operation on one file, and looks at it.
fn operate(journal: &mut Journal, numbers: &mut Numbers, operation_nr: u64) {
    let file_idx = numbers.below(journal.len() as u64) as usize;
    let path = journal.keys().nth(file_idx).expect("a file").clone();
    let mut content = journal.remove(&path).expect("a file");
    let kept = match numbers.below(10) {
        0..=4 => {
            overwrite(&path, &mut content, numbers);
            path
        }
        5 => {
            let file = open(&path);
            let len = numbers.below(SIZE_MAX as u64) as usize;
            file.set_len(len as u64).expect("a truncate");
            content.resize(len, 0);
            path
        }
        6 => {
            let renamed = path.with_file_name(format!("renamed-{operation_nr}-{}", numbers.next()));
            fs::rename(&path, &renamed).expect("a rename");
            renamed
        }
        7 => {
            fs::remove_file(&path).expect("an unlink");
            content = bytes(numbers.below(60), PIECE + numbers.below(9000) as usize);
            fs::write(&path, &content).expect("a file");
            path
        }
        8 => {
            open(&path).sync_all().expect("a sync");
            path
        }
        _ => path,
    };
    let found = fs::read(&kept).expect("the file that was written");
    assert!(
        found == content,
        "{} is not as it was written",
        kept.display()
    );
    journal.insert(kept, content);
}

fn open(path: &Path) -> File {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.expect("a file")
}

/// Writes what other files have too, or what none has, at a block or anywhere.
fn overwrite(path: &Path, content: &mut Vec<u8>, numbers: &mut Numbers) {
    let len = 1 + numbers.below(PIECE as u64) as usize;
    let written = match numbers.below(2) {
        0 => bytes(numbers.below(60), len),
        _ => bytes(numbers.next(), len),
    };
    let at = numbers.below((SIZE_MAX - len) as u64) as usize;
    let at = match numbers.below(2) {
        0 => at / 4096 * 4096,
        _ => at,
    };
    open(path)
        .write_all_at(&written, at as u64)
        .expect("a write");
    if content.len() < at + len {
        content.resize(at + len, 0);
    }
    content[at..at + len].copy_from_slice(&written);
}
