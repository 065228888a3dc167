//! `xsame dupes` on a btrfs of its own: what it predicts is freed, to the byte, and every file
//! stays as it is. Needs root, a loop device and mkfs.btrfs; without them every test is reported
//! as ignored with the reason.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use backend_kernel::ground;
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

/// A test: its name, a sentence, and what it does.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    (
        "what_is_predicted_is_freed_and_every_file_stays_as_it_is",
        freed_as_predicted,
    ),
    ("a_second_run_finds_nothing", nothing_twice),
    (
        "without_dedupe_a_plan_is_told_and_nothing_changes",
        plan_only,
    ),
    ("a_user_without_privilege_frees_by_reading", unprivileged),
    ("files_of_all_kinds_end_nothing", kinds),
];

/// A user that owns nothing else.
const USER: u32 = 65534;
const KIB: usize = 1 << 10;

fn main() {
    let arguments = Arguments::from_args();
    let reason = ground::on_loopback(|_| ())
        .err()
        .map(|error| error.to_string().replace('\n', ";"));
    let trials = TESTS.iter().map(|&(name, test)| match &reason {
        None => Trial::test(name, move || {
            test();
            Ok(())
        }),
        Some(reason) => {
            Trial::test(format!("{name} (ignored: {reason})"), || Ok(())).with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// Runs `work` with a folder of duplicates on a btrfs.
fn on_duplicates(work: impl FnOnce(&Path) + Send) {
    let result = ground::on_loopback(|top| {
        let folder = top.join("folder");
        make(&folder);
        run(Command::new("btrfs").args(["filesystem", "sync"]).arg(top));
        work(&folder);
    });
    result.expect("a loopback btrfs");
}

/// Makes files of which some are equal, some in part, one of them in a read-only snapshot.
fn make(folder: &Path) {
    run(Command::new("btrfs")
        .args(["subvolume", "create"])
        .arg(folder));
    let bytes = |seed: usize, len: usize| -> Vec<u8> {
        let word = |at: usize| (at.wrapping_mul(0x9E37_79B9) ^ seed.wrapping_mul(0x85EB_CA6B)) >> 9;
        (0..len).map(|at| word(at) as u8).collect()
    };
    let write = |name: &str, parts: &[Vec<u8>]| {
        fs::write(folder.join(name), parts.concat()).expect("a file");
    };
    for copy in ["one", "two", "three"] {
        write(copy, &[bytes(1, 300 * KIB + 77)]);
    }
    let common = bytes(2, 512 * KIB);
    write("left", &[common.clone(), bytes(3, 64 * KIB)]);
    write("right", &[bytes(4, 64 * KIB), common]);
    write("zeros", &[vec![0; 256 * KIB]]);
    write("tiny", &[vec![7; 100]]);
    run(Command::new("btrfs")
        .args(["filesystem", "sync"])
        .arg(folder));
    let snapshot = folder.join("snapshot");
    run(Command::new("btrfs")
        .args(["subvolume", "snapshot", "-r"])
        .arg(folder)
        .arg(snapshot));
    write("two", &[bytes(1, 300 * KIB + 77)]);
    File::create(folder.join("empty")).expect("a file");
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn dupes(arguments: &str, folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xsame"))
        .arg("dupes")
        .args(arguments.split_whitespace())
        .arg(folder)
        .output()
        .expect("the program starts")
}

fn json_of(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Returns the contents of all files below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() => found.extend(contents(&path)),
            kind if kind.is_file() => {
                let bytes = fs::read(&path).expect("a file");
                found.insert(path, bytes);
            }
            _ => {}
        }
    }
    found
}

fn used_bytes(folder: &Path) -> u64 {
    let mut command = Command::new("btrfs");
    let output = command
        .args(["filesystem", "df", "--raw"])
        .arg(folder)
        .output();
    let said = String::from_utf8(output.expect("btrfs starts").stdout).expect("text");
    let line = said.lines().find(|line| line.starts_with("Data"));
    let used = line.and_then(|line| line.split("used=").nth(1));
    used.and_then(|used| used.trim().parse().ok())
        .expect("a number")
}

fn freed_as_predicted() {
    for rewrite in ["never", "auto", "max"] {
        for scan in ["csum", "read"] {
            on_duplicates(|folder| {
                let (before, used_before) = (contents(folder), used_bytes(folder));
                let output = dupes(
                    &format!("-rD --json --rewrite={rewrite} --scan={scan}"),
                    folder,
                );
                assert_eq!(output.status.code(), Some(0), "{output:?}");
                let said = json_of(&output);
                let of = |part: &str, name: &str| said[part][name].as_u64().expect("a number");
                let predicted = of("predicted", "freed_bytes") - of("predicted", "written_bytes");
                assert!(600 * 1024 < predicted, "{said}");
                let used_after = used_bytes(folder);
                assert_eq!(
                    used_before - used_after,
                    predicted,
                    "{rewrite} {scan}: {said}"
                );
                assert_eq!(of("done", "used_bytes_after"), used_after);
                assert!(contents(folder) == before, "a file has changed");
            });
        }
    }
}

fn nothing_twice() {
    on_duplicates(|folder| {
        dupes("-rDq --rewrite=max", folder);
        let said = json_of(&dupes("-rD --json --rewrite=max", folder));
        assert_eq!(said["predicted"]["moved_bytes"], 0, "{said}");
        assert_eq!(said["done"]["requests"], 0, "{said}");
    });
}

fn plan_only() {
    on_duplicates(|folder| {
        let used_before = used_bytes(folder);
        for arguments in ["-r", "-rD --dry-run"] {
            let output = dupes(arguments, folder);
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(said.contains("predicted: "), "{said}");
            assert!(said.contains("/folder/"), "{said}");
            assert!(!said.contains("done: "), "{said}");
        }
        run(Command::new("btrfs")
            .args(["filesystem", "sync"])
            .arg(folder));
        assert_eq!(used_bytes(folder), used_before);
    });
}

fn unprivileged() {
    on_duplicates(|folder| {
        let own = folder.join("own");
        fs::create_dir(&own).expect("a folder");
        for name in ["a", "b"] {
            let path = own.join(name);
            fs::write(&path, vec![9; 128 * KIB]).expect("a file");
            std::os::unix::fs::chown(&path, Some(USER), Some(USER)).expect("an owner");
        }
        std::os::unix::fs::chown(&own, Some(USER), Some(USER)).expect("an owner");
        for open in [folder, folder.parent().expect("the top")] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        // It may not run what lies in somebody's home.
        let program = folder.join("xsame");
        // Copied by another process: what this one has open for writing, a child of another test
        // may inherit, and then it cannot be started.
        run(Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_xsame"))
            .arg(&program));
        run(Command::new("btrfs")
            .args(["filesystem", "sync"])
            .arg(folder));
        let before = contents(&own);
        let output = Command::new(&program)
            .args(["dupes", "-rD", "--json"])
            .arg(&own)
            .uid(USER)
            .gid(USER)
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = json_of(&output);
        assert!(0 < said["read_bytes"].as_u64().expect("a number"), "{said}");
        assert!(
            128 * 1024 <= said["done"]["moved_bytes"].as_u64().expect("a number"),
            "{said}"
        );
        assert!(contents(&own) == before, "a file has changed");
    });
}

fn kinds() {
    on_duplicates(|folder| {
        std::os::unix::fs::symlink("one", folder.join("link")).expect("a link");
        run(Command::new("mkfifo").arg(folder.join("fifo")));
        run(Command::new("chattr").arg("+i").arg(folder.join("three")));
        let listed = format!("{0}/link {0}/fifo {0}/gone", folder.display());
        let output = dupes(&format!("-rD {listed}"), folder);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        for part in [
            "link: left out: a symbolic link",
            "fifo: left out: neither a file nor a folder",
            "gone: left out: ENOENT",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let second = dupes("-rD", folder);
        assert_eq!(
            second.status.code(),
            Some(0),
            "links in folders are no trouble: {second:?}"
        );
        run(Command::new("chattr").arg("-i").arg(folder.join("three")));
    });
}
