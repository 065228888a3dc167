//! `xsame dupes` on a btrfs of its own: what it predicts is freed, to the byte, and every file
//! stays as it is. Needs root, a loop device and mkfs.btrfs, and mkfs.xfs for two of them; without
//! these a test is reported as ignored with the reason.

mod loopback;
mod seen;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use backend_kernel::ground;
use serde_json::Value;

use seen::{contents, used_bytes};

/// A test: its name, a sentence, and what it does.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    (
        "what_is_predicted_is_freed_and_every_file_stays_as_it_is",
        freed_as_predicted,
    ),
    (
        "of_compressed_files_the_bytes_on_disk_are_predicted_and_freed",
        freed_where_compressed,
    ),
    ("a_second_run_finds_nothing", nothing_twice),
    (
        "without_dedupe_a_plan_is_told_and_nothing_changes",
        plan_only,
    ),
    (
        "a_plan_that_takes_too_much_memory_is_told_and_nothing_changes",
        too_much_memory,
    ),
    ("a_user_without_privilege_frees_by_reading", unprivileged),
    ("files_of_all_kinds_end_nothing", kinds),
    (
        "what_changes_is_told_by_directory_and_drawn_on_a_page_that_fetches_nothing",
        by_directory,
    ),
];

/// Tests that need an XFS besides.
const XFS_TESTS: &[Test] = &[
    ("on_xfs_what_is_predicted_is_freed_by_reading", freed_on_xfs),
    (
        "on_xfs_a_user_without_privilege_frees_in_a_folder_of_their_own",
        unprivileged_on_xfs,
    ),
];

/// A user that owns nothing else.
const USER: u32 = 65534;
const KIB: usize = 1 << 10;
/// The smallest that mkfs.xfs makes, bytes.
const XFS_BYTES: u64 = 320 << 20;

fn main() {
    let no_xfs = why_no_xfs();
    let on_btrfs = TESTS.iter().map(|&(name, test)| (name, test, None));
    let on_xfs = XFS_TESTS
        .iter()
        .map(|&(name, test)| (name, test, no_xfs.clone()));
    loopback::run(on_btrfs.chain(on_xfs));
}

/// Returns what is missing for an XFS, if something is.
fn why_no_xfs() -> Option<String> {
    let made = ground::on_loopback(|top| on_xfs(top, |_| ()));
    match made {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why.replace('\n', ";")),
        Err(error) => Some(error.to_string().replace('\n', ";")),
    }
}

/// Runs `work` with the top of an XFS whose image lies in a folder.
fn on_xfs(folder: &Path, work: impl FnOnce(&Path)) -> Result<(), String> {
    let mut mkfs = Command::new("mkfs.xfs");
    mkfs.args(["-q", "-m", "reflink=1"]);
    loopback::on_image(folder, XFS_BYTES, &mut mkfs, work)
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

fn freed_where_compressed() {
    const LEN: usize = 512 * KIB;
    // Half of each byte says something.
    let bytes = |seed: usize| -> Vec<u8> {
        let word = |at: usize| (at.wrapping_mul(0x9E37_79B9) ^ seed.wrapping_mul(0x85EB_CA6B)) >> 9;
        (0..LEN).map(|at| b'a' + word(at) as u8 % 16).collect()
    };
    for (rewrite, scan) in [("never", "csum"), ("max", "read")] {
        let result = ground::on_loopback(|top| {
            let used_by_none = used_bytes(top);
            let folder = top.join("folder");
            fs::create_dir(&folder).expect("a folder");
            run(Command::new("btrfs")
                .args(["property", "set"])
                .arg(&folder)
                .args(["compression", "zstd"]));
            for (name, seed) in [("one", 1), ("two", 1), ("three", 1), ("other", 2)] {
                fs::write(folder.join(name), bytes(seed)).expect("a file");
            }
            run(Command::new("btrfs").args(["filesystem", "sync"]).arg(top));
            let (before, used_before) = (contents(&folder), used_bytes(top) - used_by_none);
            assert!(used_before < 3 * LEN as u64, "nothing is compressed");
            let arguments = format!("-rD --json --rewrite={rewrite} --scan={scan}");
            let output = dupes(&arguments, &folder);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let said = json_of(&output);
            let predicted = said["predicted"]["freed_bytes"].as_u64();
            let used_after = used_bytes(top) - used_by_none;
            assert!(used_after < used_before, "{scan}: {said}");
            assert_eq!(predicted, Some(used_before - used_after), "{scan}: {said}");
            assert!(contents(&folder) == before, "a file has changed");
        });
        result.expect("a loopback btrfs");
    }
}

fn by_directory() {
    for rewrite in ["never", "max"] {
        on_duplicates(|folder| {
            let inner = folder.join("<inner>");
            fs::create_dir(&inner).expect("a folder");
            let bytes = fs::read(folder.join("one")).expect("a file");
            fs::write(inner.join("one"), bytes).expect("a file");
            run(Command::new("btrfs")
                .args(["filesystem", "sync"])
                .arg(folder));
            let page = folder.join("page.html");
            let arguments = format!("-rD --json --rewrite={rewrite} --html {}", page.display());
            let said = json_of(&dupes(&arguments, folder));
            let directories = said["directories"].as_array().expect("a list");
            let of = |value: &Value| value.as_u64().expect("a number");
            for part in ["freed_bytes", "written_bytes"] {
                for (kind, whole) in [("predicted", "predicted"), ("real", "done")] {
                    let sum: u64 = directories.iter().map(|it| of(&it[kind][part])).sum();
                    assert_eq!(sum, of(&said[whole][part]), "{part} {kind}: {said}");
                }
            }
            assert!(1 < directories.len(), "{said}");
            let page = fs::read_to_string(page).expect("a page");
            for part in ["<svg", "as predicted to the byte", "&lt;inner&gt;"] {
                assert!(page.contains(part), "{part}: {page}");
            }
            for part in ["http:", "https:", "<inner>", "src=", "url("] {
                assert!(!page.contains(part), "{part}: {page}");
            }
        });
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

fn too_much_memory() {
    on_duplicates(|folder| {
        let (before, used_before) = (contents(folder), used_bytes(folder));
        let output = dupes("-rD --plan-memory=1k", folder);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("more than 1 KiB of memory"), "{said}");
        assert!(said.contains("--plan-memory"), "{said}");
        assert_eq!(used_bytes(folder), used_before);
        assert!(contents(folder) == before, "a file has changed");
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

/// Makes files on XFS of which some are equal, one in part; returns the bytes of whole blocks that
/// are there twice.
fn make_on_xfs(folder: &Path) -> u64 {
    fs::create_dir(folder).expect("a folder");
    // No block of it is like another one.
    let bytes = |seed: u64, len: usize| -> Vec<u8> {
        let word = |at: u64| {
            at.wrapping_add(seed << 32)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                >> 40
        };
        (0..len as u64).map(|at| word(at) as u8).collect()
    };
    let common = bytes(1, 256 * KIB);
    let files = [
        ("one", [common.clone(), vec![7; 77]].concat()),
        ("two", [common.clone(), vec![7; 77]].concat()),
        ("shifted", [bytes(2, 64 * KIB), common].concat()),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content).expect("a file");
    }
    run(Command::new("sync").arg("-f").arg(folder));
    (2 * 256 + 4) * KIB as u64
}

fn freed_on_xfs() {
    let on_btrfs = |top: &Path| {
        let made = on_xfs(top, |xfs| {
            let folder = xfs.join("folder");
            let twice = make_on_xfs(&folder);
            let before = contents(&folder);
            let output = dupes("-rD --json", &folder);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let said = json_of(&output);
            let of = |part: &str, name: &str| said[part][name].as_u64().expect("a number");
            assert!(0 < said["read_bytes"].as_u64().expect("a number"), "{said}");
            assert_eq!(of("predicted", "freed_bytes"), twice, "{said}");
            assert_eq!(of("done", "freed_bytes"), twice, "{said}");
            // The filesystem's own trees grow a little meanwhile.
            let change = of("done", "used_bytes_before") - of("done", "used_bytes_after");
            assert!(twice * 9 / 10 < change && change <= twice, "{said}");
            assert!(contents(&folder) == before, "a file has changed");
        });
        made.expect("an XFS");
    };
    ground::on_loopback(on_btrfs).expect("a loopback btrfs");
}

fn unprivileged_on_xfs() {
    let on_btrfs = |top: &Path| {
        let made = on_xfs(top, |xfs| {
            let own = xfs.join("own");
            let twice = make_on_xfs(&own);
            for name in ["", "one", "two", "shifted"] {
                let path = own.join(name);
                std::os::unix::fs::chown(&path, Some(USER), Some(USER)).expect("an owner");
            }
            for open in [top, xfs] {
                fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("a mode");
            }
            let program = xfs.join("xsame");
            run(Command::new("cp")
                .arg(env!("CARGO_BIN_EXE_xsame"))
                .arg(&program));
            let before = contents(&own);
            let output = as_user(&program, "-rD --json", &own);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let said = json_of(&output);
            assert_eq!(said["done"]["freed_bytes"], twice, "{said}");
            assert!(contents(&own) == before, "a file has changed");
        });
        made.expect("an XFS");
    };
    ground::on_loopback(on_btrfs).expect("a loopback btrfs");
}

/// Runs the program as somebody who owns nothing else.
fn as_user(program: &Path, arguments: &str, folder: &Path) -> Output {
    Command::new(program)
        .arg("dupes")
        .args(arguments.split_whitespace())
        .arg(folder)
        .uid(USER)
        .gid(USER)
        .output()
        .expect("the program starts")
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
        let output = as_user(&program, "-rD --json", &own);
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
            "gone: left out: it has vanished (ENOENT)",
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
