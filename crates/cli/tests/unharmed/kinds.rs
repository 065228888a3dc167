//! Errors of single files: what is no file, what changes between plan and deed, what cannot be
//! read. Each is told, skipped, and ends nothing.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use backend_kernel::ground;
use backend_kernel::volume::{self, Scan};
use dupes::{InMemory, Options, Phase, Rewrite, ScanMode, Stopped, Watch, Why};
use uapi::Errno;

use crate::Test;
use crate::running::{dupes, json_of, number, run, stderr};
use crate::tree::{bytes, check_contents, contents, sync, used_bytes};

pub(crate) const TESTS: &[Test] = &[
    (
        "what_is_no_file_is_told_where_it_was_named_and_ends_nothing",
        no_files,
        &["mknod", "mkfifo", "mount"],
    ),
    (
        "files_that_change_before_their_turn_are_told_and_the_others_shared",
        changed_before_their_turn,
        &["chattr"],
    ),
    (
        "an_active_swap_file_is_told_and_the_others_shared",
        swap_file,
        &["mkswap", "swapon", "swapoff"],
    ),
    (
        "a_file_that_cannot_be_read_is_told_and_the_others_shared",
        unreadable,
        &["filefrag", "btrfs-map-logical", "dd"],
    ),
];

const LEN: usize = 128 << 10;

/// Makes a folder with two equal files.
fn make_pair(folder: &Path) {
    fs::create_dir(folder).expect("a folder");
    for name in ["one", "two"] {
        fs::write(folder.join(name), bytes(1, LEN)).expect("a file");
    }
}

fn no_files() {
    let result = ground::on_loopback(|top| {
        let folder = top.join("folder");
        make_pair(&folder);
        let of = |name: &str| folder.join(name).display().to_string();
        std::os::unix::fs::symlink("one", folder.join("link")).expect("a link");
        std::os::unix::fs::symlink("nowhere", folder.join("dangling")).expect("a link");
        run(&format!("mkfifo {}", of("fifo")));
        run(&format!("mknod {} c 1 3", of("null")));
        run(&format!("mknod {} b 7 255", of("block")));
        let _socket = UnixListener::bind(folder.join("socket")).expect("a socket");
        let elsewhere = folder.join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder");
        run(&format!("mount -t tmpfs none {}", elsewhere.display()));
        fs::write(elsewhere.join("file"), bytes(1, LEN)).expect("a file");
        sync(&folder);
        let whys = [
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("fifo", "neither a file nor a folder"),
            ("null", "neither a file nor a folder"),
            ("block", "neither a file nor a folder"),
            ("socket", "neither a file nor a folder"),
            ("elsewhere", "on another filesystem"),
        ];
        let (before, used_before) = (contents(&folder), used_bytes(&folder));
        // In a folder they are told to those who ask.
        let asked = dupes("-rD -v", &folder);
        assert_eq!(asked.status.code(), Some(1), "{asked:?}");
        for (name, why) in whys {
            let told = format!("{}: left out: {why}", of(name));
            assert!(stderr(&asked).contains(&told), "{told}: {asked:?}");
        }
        let unasked = dupes("-rD", &folder);
        assert_eq!(unasked.status.code(), Some(0), "{unasked:?}");
        // What is named is told in any case.
        let names: Vec<String> = whys.iter().map(|(name, _)| of(name)).collect();
        let named = format!(
            "-rD {} {} {} {}",
            of("one"),
            names.join(" "),
            of("elsewhere/file"),
            of("gone")
        );
        let named = dupes(&named, &folder);
        assert_eq!(named.status.code(), Some(1), "{named:?}");
        let others = [
            ("elsewhere/file", "on another filesystem"),
            ("gone", "it has vanished (ENOENT)"),
        ];
        for (name, why) in whys.into_iter().chain(others) {
            let told = format!("{}: left out: {why}", of(name));
            assert!(stderr(&named).contains(&told), "{told}: {named:?}");
        }
        assert_eq!(
            used_before - used_bytes(&folder),
            LEN as u64,
            "the pair is shared"
        );
        check_contents(&folder, &before, "no files");
        run(&format!("umount {}", elsewhere.display()));
    });
    result.expect("a loopback btrfs");
}

/// Something done to a file, with what the file holds then; `None` if it is gone.
type Change = (&'static str, fn(&Path) -> Option<Vec<u8>>);

const CHANGES: [Change; 8] = [
    ("overwritten", |path| {
        let file = OpenOptions::new().write(true).open(path).expect("a file");
        file.write_all_at(b"x", LEN as u64 / 2).expect("a write");
        Some(fs::read(path).expect("a file"))
    }),
    ("truncated", |path| {
        let file = OpenOptions::new().write(true).open(path).expect("a file");
        file.set_len(5000).expect("a truncate");
        Some(fs::read(path).expect("a file"))
    }),
    ("emptied", |path| {
        fs::write(path, "").expect("a file");
        Some(Vec::new())
    }),
    ("vanished", |path| {
        fs::remove_file(path).expect("an unlink");
        None
    }),
    ("replaced", |path| {
        let other = path.with_extension("other");
        fs::write(&other, bytes(77, LEN)).expect("a file");
        fs::rename(&other, path).expect("a rename");
        Some(bytes(77, LEN))
    }),
    ("made immutable", |path| {
        run(&format!("chattr +i {}", path.display()));
        Some(fs::read(path).expect("a file"))
    }),
    ("closed to all", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).expect("a mode");
        Some(fs::read(path).expect("root may"))
    }),
    ("left alone", |path| Some(fs::read(path).expect("a file"))),
];

/// A watch that does something before the first request.
struct Meanwhile<F>(Option<F>);

impl<F: FnOnce()> Watch for Meanwhile<F> {
    fn at(&mut self, phase: Phase, _: u64, _: Option<u64>) -> Result<(), Stopped> {
        if phase == Phase::Execute
            && let Some(act) = self.0.take()
        {
            act();
        }
        Ok(())
    }
}

fn changed_before_their_turn() {
    for scan in [Scan::Csum, Scan::Read] {
        // Each of a pair is the one that the other is moved to in one of the two.
        for victim in ["a", "z"] {
            let result = ground::on_checked_loopback(|top| change_pairs(top, scan, victim));
            let ((), verified) = result.expect("a loopback btrfs");
            assert!(verified.complaints.is_empty(), "{scan:?}: {verified:?}");
        }
    }
}

/// Makes a pair of equal files for each change, and changes one of each before the first request.
fn change_pairs(top: &Path, scan: Scan, victim: &str) {
    let folder = top.join("folder");
    fs::create_dir(&folder).expect("a folder");
    let path_of = |change_idx: usize, name: &str| folder.join(format!("{change_idx}-{name}"));
    for change_idx in 0..CHANGES.len() {
        for name in ["a", "z"] {
            let content = bytes(1000 + change_idx as u64, LEN);
            fs::write(path_of(change_idx, name), content).expect("a file");
        }
    }
    let mut expected: BTreeMap<PathBuf, Vec<u8>> = contents(&folder);
    let paths = [folder.clone()];
    let opened = volume::open(&volume::Options {
        paths: &paths,
        is_recursive: true,
        is_excluded: None,
        min_bytes: 0,
        scan,
        nr_io_threads: 1,
        on_found: &|| {},
    });
    let mut volume = opened.expect("the folder").volume.into_volume();
    let options = Options {
        scan: match scan {
            Scan::Read => ScanMode::Read,
            _ => ScanMode::Checksums,
        },
        rewrite: Rewrite::Max,
        nr_rounds_max: 1,
        ..Options::default()
    };
    let mut watch = Meanwhile(Some(|| {
        for ((_, change), change_idx) in CHANGES.iter().zip(0..) {
            let path = path_of(change_idx, victim);
            match change(&path) {
                Some(content) => expected.insert(path, content),
                None => expected.remove(&path),
            };
        }
    }));
    let summary = dupes::run(&mut *volume, &options, &mut InMemory, &mut watch);
    let summary = summary.expect("the run begins");
    assert!(summary.stopped.is_none(), "{:?}", summary.stopped);
    let done = &summary.rounds[0].done;
    let told: BTreeMap<String, &Why> = done
        .failures
        .iter()
        .map(|failure| {
            let path = volume.path(failure.range.file);
            (
                path.unwrap_or_else(|| failure.range.file.to_string()),
                &failure.why,
            )
        })
        .collect();
    let what = format!("{scan:?} {victim}: {:?}", done.failures);
    let mut whys: Vec<String> = told.values().map(|why| format!("{why:?}")).collect();
    let mut whys_expected: Vec<String> = CHANGES
        .iter()
        .filter_map(|(change, _)| why_of(change, scan, victim))
        .map(|why| format!("{why:?}"))
        .collect();
    whys.sort();
    whys_expected.sort();
    assert_eq!(whys, whys_expected, "{what}");
    // Nothing of the others is told: what is left alone is shared.
    let is_of_last = |path: &String| path.contains(&format!("/{}-", CHANGES.len() - 1));
    assert!(!told.keys().any(is_of_last), "left alone: {what}");
    assert!(LEN as u64 <= done.freed_bytes, "left alone: {what}");
    check_contents(&folder, &expected, &what);
    let immutable = path_of(5, victim);
    run(&format!("chattr -i {}", immutable.display()));
}

/// Returns what is told of a pair of which one, "a" the source or "z" the target, was changed.
fn why_of(change: &str, scan: Scan, victim: &str) -> Option<Why> {
    match (change, scan, victim) {
        ("overwritten", ..) => Some(Why::Differs),
        ("truncated" | "emptied", ..) => Some(Why::Refused(Errno::EINVAL)),
        // What was read is still open, and shared for whoever else has it open.
        ("vanished" | "replaced", Scan::Csum, _) => Some(Why::Refused(Errno::ENOENT)),
        ("made immutable", _, "z") => Some(Why::Refused(Errno::EPERM)),
        _ => None,
    }
}

/// A swap file in use, until this is dropped.
struct Swapping(PathBuf);

impl Drop for Swapping {
    fn drop(&mut self) {
        run(&format!("swapoff {}", self.0.display()));
    }
}

fn swap_file() {
    let result = ground::on_loopback(|top| {
        let folder = top.join("folder");
        make_pair(&folder);
        let nocow = folder.join("nocow");
        fs::create_dir(&nocow).expect("a folder");
        run(&format!("chattr +C {}", nocow.display()));
        let swap = nocow.join("swap");
        fs::write(&swap, bytes(5, 1 << 20)).expect("a file");
        fs::set_permissions(&swap, fs::Permissions::from_mode(0o600)).expect("a mode");
        run(&format!("mkswap {}", swap.display()));
        let copy = fs::read(&swap).expect("a file");
        fs::write(nocow.join("copy"), copy).expect("a file");
        sync(&folder);
        run(&format!("swapon {}", swap.display()));
        let swapping = Swapping(swap.clone());
        let pair_before = used_bytes(&folder);
        for scan in ["csum", "read"] {
            let output = dupes(&format!("-rD --rewrite=max --scan={scan}"), &folder);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(stderr(&output).contains("ETXTBSY"), "{output:?}");
        }
        assert_eq!(used_bytes(&folder), pair_before - LEN as u64);
        assert_eq!(fs::read(folder.join("two")).expect("a file"), bytes(1, LEN));
        drop(swapping);
        let output = dupes("-rD --rewrite=max", &folder);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(used_bytes(&folder), pair_before - LEN as u64 - (1 << 20));
    });
    result.expect("a loopback btrfs");
}

fn unreadable() {
    for scan in ["csum", "read"] {
        let result = ground::on_loopback(|top| {
            let folder = top.join("folder");
            make_pair(&folder);
            for name in ["damaged", "whole"] {
                fs::write(folder.join(name), bytes(2, LEN)).expect("a file");
            }
            sync(&folder);
            damage(top, &folder.join("damaged"));
            let used_before = used_bytes(&folder);
            let output = dupes(&format!("-rD --json --rewrite=max --scan={scan}"), &folder);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let said = json_of(&output);
            let troubles = said["troubles"].to_string();
            assert!(troubles.contains("EIO"), "{said}");
            assert_eq!(number(&said, "done", "freed_bytes"), LEN as u64, "{said}");
            assert_eq!(used_before - used_bytes(&folder), LEN as u64, "{scan}");
            assert_eq!(
                fs::read(folder.join("whole")).expect("a file"),
                bytes(2, LEN)
            );
        });
        result.expect("a loopback btrfs");
    }
}

/// Overwrites a block of a file on the device, and forgets what is cached of it.
fn damage(top: &Path, file: &Path) {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").expect("mounts");
    let of_top = mounts.lines().find(|line| {
        let point = line.split(' ').nth(1);
        point.is_some_and(|point| top.starts_with(point) && line.contains("btrfs"))
    });
    let device = of_top.and_then(|line| line.split(' ').next());
    let device = device.expect("the device of the mount");
    let map = run(&format!("filefrag -b4096 -e -v {}", file.display()));
    let first = map.lines().find(|line| line.trim_start().starts_with("0:"));
    let block = first.and_then(|line| line.split(':').nth(2)?.split("..").next());
    let block: u64 = block
        .and_then(|block| block.trim().parse().ok())
        .unwrap_or_else(|| panic!("no block in {map}"));
    let mapped = run(&format!("btrfs-map-logical -l {} {device}", block * 4096));
    let physical = mapped
        .split_whitespace()
        .skip_while(|word| *word != "physical");
    let physical: u64 = physical
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no place in {mapped}"));
    let device = OpenOptions::new()
        .write(true)
        .open(device)
        .expect("the device");
    device
        .write_all_at(&[0xEE; 4096], physical)
        .expect("a write");
    device.sync_all().expect("a sync");
    run(&format!("dd if={} iflag=nocache count=0", file.display()));
}
