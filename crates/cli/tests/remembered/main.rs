//! `xsame dupes --hashfile` on a btrfs of its own: what is found is what is found without, and
//! what has not changed is neither asked for nor read. Needs root, a loop device and mkfs.btrfs;
//! without them every test is reported as ignored with the reason.
//!
//! `XSAME_ROUNDS` says how often something happens between two runs, `XSAME_SEED` what; the
//! defaults keep `cargo test` short.

mod at_rest;
#[path = "../loopback/mod.rs"]
mod loopback;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use backend_kernel::ground;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;

/// A test: its name, a sentence, and what it does.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    (
        "whatever_happens_between_runs_they_find_what_runs_without_a_hashfile_find",
        histories,
    ),
    ("after_few_changes_little_is_asked_for_and_read", counted),
    ("a_run_that_is_killed_is_resumed_and_finds_the_same", killed),
    ("a_user_without_privilege_does_not_read_again", unprivileged),
    (
        "a_full_disk_is_told_and_what_was_written_is_kept",
        full_disk,
    ),
    ("other_filesystems_and_damage_are_refused", refused),
];

/// A user that owns nothing else.
const USER: u32 = 65534;
const KIB: usize = 1 << 10;

fn main() {
    loopback::run(
        TESTS
            .iter()
            .chain(at_rest::TESTS)
            .map(|&(name, test)| (name, test, None)),
    );
}

fn on_btrfs(work: impl FnOnce(&Path, &Path) + Send) {
    let result = ground::on_loopback(|top| {
        let elsewhere = TempDir::new().expect("a folder");
        work(top, &elsewhere.path().join("hashes"));
    });
    result.expect("a loopback btrfs");
}

fn asked(name: &str, default: u64) -> u64 {
    let asked = std::env::var(name).ok();
    asked
        .and_then(|asked| asked.parse().ok())
        .unwrap_or(default)
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn dupes(arguments: &str, hashfile: Option<&Path>, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsame"));
    command.arg("dupes").args(arguments.split_whitespace());
    if let Some(hashfile) = hashfile {
        command.arg("--hashfile").arg(hashfile);
    }
    command.arg(folder);
    command
}

/// Runs it and returns what it found, and what it had to do for that.
fn found(arguments: &str, hashfile: Option<&Path>, folder: &Path) -> (Value, Work) {
    let output = run(&mut dupes(
        &format!("-r --json {arguments}"),
        hashfile,
        folder,
    ));
    split(&output)
}

/// What a run did.
#[derive(Clone, Copy, Debug)]
struct Work {
    read_bytes: u64,
    nr_items: u64,
    nr_opened: u64,
    /// Whether it told what was found the last time.
    is_remembered: bool,
}

fn split(output: &Output) -> (Value, Work) {
    let mut said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let object = said.as_object_mut().expect("an object");
    let mut take = |name: &str| object.remove(name).expect("it is told");
    let mut number = |name: &str| take(name).as_u64().expect("a number");
    let work = Work {
        read_bytes: number("read_bytes"),
        nr_items: number("tree_items"),
        nr_opened: number("opened_files"),
        is_remembered: take("is_remembered").as_bool().expect("yes or no"),
    };
    // Shrinks by itself while the kernel gives deleted snapshots up.
    take("used_bytes");
    (said, work)
}

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes[..]);
    bytes
}

fn btrfs(words: &str, paths: &[&Path]) {
    run(Command::new("btrfs")
        .args(words.split_whitespace())
        .args(paths));
}

/// Lets something happen in a subvolume.
fn change(top: &Path, rng: &mut ChaCha8Rng) {
    let folder = top.join("volume");
    let path = |rng: &mut ChaCha8Rng| {
        let number: u32 = rng.random_range(0..60);
        folder.join(format!(
            "{}/file-{number}",
            ["a", "b", "nocow"][number as usize % 3]
        ))
    };
    let content = |rng: &mut ChaCha8Rng| {
        let len = rng.random_range(1..6) * 4 * KIB + [0, 0, 100][rng.random_range(0..3)];
        bytes(rng.random_range(0..12), len)
    };
    let target = path(rng);
    match rng.random_range(0..12) {
        0..3 => fs::write(&target, content(rng)).expect("room"),
        3..5 => {
            if let Ok(file) = File::options().write(true).open(&target) {
                let at = rng.random_range(0..4) * 4096;
                file.write_all_at(&bytes(rng.random_range(0..12), 4096), at)
                    .expect("room");
            }
        }
        5 => drop(fs::remove_file(&target)),
        6 => drop(fs::rename(path(rng), &target)),
        7 => {
            if let Ok(file) = File::options().write(true).open(&target) {
                file.set_len(rng.random_range(0..40_000)).expect("a length");
            }
        }
        8 => {
            let source = path(rng);
            if source.exists() && source != target {
                let mut copy = Command::new("cp");
                // Between files with and without checksums it is refused.
                let _ = copy
                    .arg("--reflink=always")
                    .arg(source)
                    .arg(&target)
                    .output();
            }
        }
        9 => {
            let snapshot = top.join(format!("snapshot-{}", rng.random_range(0..3)));
            match snapshot.exists() {
                true => btrfs("-q subvolume delete", &[&snapshot]),
                false => btrfs("-q subvolume snapshot -r", &[&folder, &snapshot]),
            }
        }
        10 => btrfs("filesystem sync", &[top]),
        _ => btrfs("-q balance start -f -d", &[top]),
    }
}

fn make(top: &Path) {
    let folder = top.join("volume");
    btrfs("-q subvolume create", &[&folder]);
    for name in ["a", "b", "nocow"] {
        fs::create_dir(folder.join(name)).expect("a folder");
    }
    run(Command::new("chattr").arg("+C").arg(folder.join("nocow")));
    for number in 0..60_u64 {
        let name = ["a", "b", "nocow"][number as usize % 3];
        let content = bytes(number % 25, 20 * KIB + number as usize % 2 * 50);
        fs::write(folder.join(format!("{name}/file-{number}")), content).expect("room");
    }
    btrfs("filesystem sync", &[top]);
}

fn histories() {
    let seed = asked("XSAME_SEED", 20_130_806);
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    on_btrfs(|top, hashfile| {
        make(top);
        let mut nr_remembered = 0;
        for round_idx in 0..asked("XSAME_ROUNDS", 12) {
            for _ in 0..rng.random_range(0..6) {
                change(top, &mut rng);
            }
            let scan = ["--scan=csum", "--scan=read"][rng.random_range(0..2)];
            let scope = ["", "", "--min-size=20k", "--exclude=b"][rng.random_range(0..4)];
            let rewrite = ["never", "auto", "max"][rng.random_range(0..3)];
            let arguments = format!("{scan} --rewrite={rewrite} {scope}");
            let (expected, plain) = found(&arguments, None, top);
            let (with, first) = found(&arguments, Some(hashfile), top);
            assert_eq!(with, expected, "round {round_idx} with {arguments}");
            assert!(first.read_bytes <= plain.read_bytes, "{first:?} {plain:?}");
            let (with, second) = found(&arguments, Some(hashfile), top);
            assert_eq!(with, expected, "round {round_idx} again with {arguments}");
            assert_eq!(second.read_bytes, 0, "nothing has changed");
            // What the kernel does later of its own, for a snapshot that is gone, is a change.
            nr_remembered += u32::from(second.is_remembered);
            if rng.random_bool(0.3) {
                let command = format!("-rD --json {arguments}");
                let done = split(&run(&mut dupes(&command, Some(hashfile), top))).0;
                let predicted = &expected["predicted"];
                assert_eq!(
                    done["done"]["freed_bytes"], predicted["freed_bytes"],
                    "{done}"
                );
            }
        }
        assert!(0 < nr_remembered);
    });
}

fn counted() {
    on_btrfs(|top, hashfile| {
        // Beside it is a file that is preallocated: it may get checksums, and is asked for them.
        let top = &top.join("data");
        fs::create_dir(top).expect("a folder");
        for folder_idx in 0..20 {
            let folder = top.join(format!("folder-{folder_idx}"));
            fs::create_dir(&folder).expect("a folder");
            for file_idx in 0..150_u64 {
                let content = bytes(folder_idx * 100 + file_idx, 8 * KIB);
                fs::write(folder.join(format!("file-{file_idx}")), content).expect("room");
            }
        }
        btrfs("filesystem sync", &[top]);
        let (_, first) = found("--scan=read", Some(hashfile), top);
        assert!(
            3000 <= first.nr_opened && 10_000 < first.nr_items,
            "{first:?}"
        );
        assert_eq!(first.read_bytes, 3000 * 8 * KIB as u64);
        let (_, second) = found("--scan=read", Some(hashfile), top);
        assert_eq!((second.read_bytes, second.nr_opened), (0, 0), "{second:?}");
        assert!(second.nr_items < 100, "{second:?}");
        let csum = |hashfile| found("--scan=csum", Some(hashfile), top).1;
        let (fourth, fifth) = (csum(hashfile), csum(hashfile));
        assert_eq!(fourth.nr_opened, 0, "{fourth:?}");
        assert!(fifth.nr_items < 100, "{fifth:?} {fourth:?}");
        for file_idx in 0..15 {
            let path = top.join(format!("folder-{file_idx}/file-{file_idx}"));
            fs::write(path, bytes(5000 + file_idx, 8 * KIB)).expect("room");
        }
        btrfs("filesystem sync", &[top]);
        let (_, third) = found("--scan=read", Some(hashfile), top);
        assert_eq!(third.read_bytes, 15 * 8 * KIB as u64, "{third:?}");
        assert_eq!(third.nr_opened, 15, "{third:?}");
        // The leaves that they are in, with their neighbours.
        assert!(third.nr_items < first.nr_items / 3, "{third:?} {first:?}");
    });
}

fn killed() {
    on_btrfs(|top, hashfile| {
        for file_idx in 0..400_u64 {
            let content = bytes(file_idx % 300, 64 * KIB);
            fs::write(top.join(format!("file-{file_idx}")), content).expect("room");
        }
        btrfs("filesystem sync", &[top]);
        let (expected, plain) = found("--scan=read", None, top);
        for millis in [3, 10, 20, 40, 80] {
            let mut command = dupes("-rq --scan=read", Some(hashfile), top);
            let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
            std::thread::sleep(Duration::from_millis(millis));
            let _ = child.kill();
            child.wait().expect("it ends");
        }
        let (with, first) = found("--scan=read", Some(hashfile), top);
        assert_eq!(with, expected);
        assert!(first.read_bytes <= plain.read_bytes);
        assert_eq!(found("--scan=read", Some(hashfile), top).1.read_bytes, 0);
    });
}

fn unprivileged() {
    on_btrfs(|top, _| {
        let own = top.join("own");
        fs::create_dir(&own).expect("a folder");
        for number in 0..20_u64 {
            fs::write(
                own.join(format!("file-{number}")),
                bytes(number % 7, 64 * KIB),
            )
            .expect("room");
        }
        let program = top.join("xsame");
        run(Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_xsame"))
            .arg(&program));
        run(Command::new("chmod").arg("755").arg(top).arg(&program));
        run(Command::new("chown")
            .arg("-R")
            .arg(USER.to_string())
            .arg(&own));
        btrfs("filesystem sync", &[top]);
        let home = top.join("home");
        fs::create_dir(&home).expect("a folder");
        run(Command::new("chown").arg(USER.to_string()).arg(&home));
        // Changes shortly before a run are not relied on.
        std::thread::sleep(Duration::from_millis(200));
        let found = |hashfile: Option<&str>| {
            let mut command = Command::new(&program);
            command.args(["dupes", "-r", "--json"]).uid(USER).gid(USER);
            if let Some(name) = hashfile {
                command.arg("--hashfile").arg(home.join(name));
            }
            split(&run(command.arg(&own)))
        };
        let (expected, plain) = found(None);
        let (with, first) = found(Some("hashes"));
        assert_eq!(with, expected);
        assert_eq!(first.read_bytes, plain.read_bytes);
        let (with, second) = found(Some("hashes"));
        assert_eq!((with, second.read_bytes), (expected, 0));
        let changed = File::options().write(true).open(own.join("file-3"));
        changed
            .expect("a file")
            .write_all_at(&[1; 100], 0)
            .expect("room");
        std::thread::sleep(Duration::from_millis(200));
        let (expected, _) = found(None);
        let (with, third) = found(Some("hashes"));
        assert_eq!((with, third.read_bytes), (expected, 64 * KIB as u64));
    });
}

fn full_disk() {
    on_btrfs(|top, hashfile| {
        for number in 0..3000_u64 {
            fs::write(
                top.join(format!("file-{number}")),
                bytes(number % 2000, 4 * KIB),
            )
            .expect("room");
        }
        btrfs("filesystem sync", &[top]);
        let small = hashfile.parent().expect("a folder").join("small");
        fs::create_dir(&small).expect("a folder");
        let mount = |options: &str| {
            let mut command = Command::new("mount");
            run(command
                .args(["-t", "tmpfs", "-o", options, "none"])
                .arg(&small));
        };
        // The file is made with the size of its first region, and grows with what is in it.
        mount("size=150k");
        let unmounted = Unmounted(small.clone());
        let hashes = small.join("hashes");
        let output = dupes("-r --scan=read", Some(&hashes), top)
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for part in ["cannot write the hashfile", "hashes", "free space"] {
            assert!(said.replace("\n  │ ", " ").contains(part), "{part}: {said}");
        }
        mount("remount,size=64m");
        let (expected, plain) = found("--scan=read", None, top);
        let (with, first) = found("--scan=read", Some(&hashes), top);
        assert_eq!(with, expected);
        assert!(first.read_bytes <= plain.read_bytes);
        assert_eq!(found("--scan=read", Some(&hashes), top).1.read_bytes, 0);
        drop(unmounted);
    });
}

/// A folder that is unmounted in the end, however that comes.
struct Unmounted(PathBuf);

impl Drop for Unmounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

fn refused() {
    on_btrfs(|top, hashfile| {
        fs::write(top.join("file"), bytes(1, 64 * KIB)).expect("room");
        found("--scan=read", Some(hashfile), top);
        let check = |folder: &Path, says: &str| {
            let before = fs::read(hashfile).expect("a file");
            let output = dupes("-r", Some(hashfile), folder)
                .output()
                .expect("it starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(says), "{says}: {said}");
            assert!(
                fs::read(hashfile).expect("a file") == before,
                "it has changed"
            );
        };
        let result = ground::on_loopback(|other| {
            fs::write(other.join("file"), bytes(1, 64 * KIB)).expect("room");
            check(other, "remembers the filesystem");
        });
        result.expect("another btrfs");
        let whole = fs::read(hashfile).expect("a file");
        fs::write(hashfile, &whole[..whole.len() / 2]).expect("room");
        check(top, "is damaged");
    });
}
