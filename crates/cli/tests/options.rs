//! `xsame dupes` on a btrfs of its own, option by option: what is asked for is done. Needs root, a
//! loop device and mkfs.btrfs; without these a test is reported as ignored with the reason.

mod loopback;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use backend_kernel::ground;
use serde_json::Value;

/// A test: its name, a sentence, and what it does.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("a_list_on_stdin_has_its_files_deduped", lists),
    ("what_is_equal_is_told_with_all_its_places", equals_are_told),
    ("shorter_runs_than_asked_for_are_left_alone", short_runs),
    (
        "what_is_twice_in_one_file_only_can_be_left_alone",
        within_files,
    ),
    ("the_number_of_threads_changes_nothing_else", threads),
    ("the_largest_gain_is_done_first", largest_first),
    ("the_disk_serves_others_first", idle),
    (
        "a_page_that_cannot_be_written_is_told_before_anything_is_done",
        page_first,
    ),
    ("a_user_is_told_the_most_that_can_be_freed", at_most),
    ("checksums_of_every_kind_tell_what_is_equal", checksum_kinds),
];

/// A user that owns nothing else.
const USER: u32 = 65534;
const KIB: usize = 1 << 10;
const IMAGE_BYTES: u64 = 256 << 20;

fn main() {
    loopback::run(TESTS.iter().map(|&(name, test)| (name, test, None)));
}

/// Returns bytes of which no block is like another one.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let word = |at: u64| {
        let mixed = at
            .wrapping_add(seed << 32)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed >> 40
    };
    (0..len as u64).map(|at| word(at) as u8).collect()
}

/// Runs `work` with a folder on a btrfs that has these files.
fn on_files(files: &[(&str, Vec<u8>)], work: impl FnOnce(&Path) + Send) {
    let result = ground::on_loopback(|top| {
        let folder = top.join("folder");
        fs::create_dir(&folder).expect("a folder");
        write(&folder, files);
        work(&folder);
    });
    result.expect("a loopback btrfs");
}

fn write(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, content) in files {
        fs::write(folder.join(name), content).expect("a file");
    }
    let synced = Command::new("sync").arg("-f").arg(folder).status();
    assert!(synced.expect("sync starts").success());
}

fn dupes(arguments: &str, folder: &Path) -> Output {
    let mut command = command(arguments);
    command.arg(folder).output().expect("the program starts")
}

fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xsame"));
    command.arg("dupes").args(arguments.split_whitespace());
    command
}

/// Returns what a run says that has to end well.
fn said(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn freed(said: &Value) -> u64 {
    let freed = said["predicted"]["freed_bytes"].as_u64();
    freed.unwrap_or_else(|| panic!("no number: {said}"))
}

fn lists() {
    let files = ["a", "b", "left out"].map(|name| (name, bytes(1, 128 * KIB)));
    on_files(&files, |folder| {
        let path = |name: &str| folder.join(name).display().to_string();
        let (a, b) = (path("a"), path("b"));
        for (arguments, list) in [
            ("-D --json -", format!("{a}\n{b}\n")),
            ("-D --json -0 -", format!("{a}\0{b}")),
            ("-D --json --fdupes", format!("{a}\n{b}\n\n{a}\n\n")),
        ] {
            write(folder, &files);
            let mut child = command(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the program starts");
            let mut stdin = child.stdin.take().expect("a pipe");
            stdin.write_all(list.as_bytes()).expect("a reader");
            drop(stdin);
            let output = child.wait_with_output().expect("an end");
            let said = said(&output);
            assert_eq!(said["files"], 2, "{arguments}: {said}");
            assert_eq!(
                said["done"]["freed_bytes"],
                128 << 10,
                "{arguments}: {said}"
            );
        }
    });
}

fn equals_are_told() {
    let common = bytes(1, 128 * KIB);
    let shifted = [bytes(2, 64 * KIB), common.clone()].concat();
    let mut files = vec![("shifted", shifted)];
    let copies = ["c0", "c1", "c2", "c3", "c4", "c5", "c6"];
    files.extend(copies.map(|name| (name, common.clone())));
    on_files(&files, |folder| {
        let text = |arguments: &str| {
            let output = dupes(arguments, folder);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        };
        let told = text("-r");
        assert!(
            told.contains("7 copies") || told.contains("8 copies"),
            "{told}"
        );
        assert!(told.contains(" more\n"), "{told}");
        assert!(told.contains("nothing has been changed: -D"), "{told}");
        let verbose = text("-rv");
        for name in copies {
            let place = format!("/{name} at 0\n");
            assert!(verbose.contains(&place), "{name}: {verbose}");
        }
        assert!(verbose.contains("extents that go:\n"), "{verbose}");
        let said = said(&dupes("-rv --json", folder));
        let places = said["groups"][0]["places"].as_array().expect("a list");
        assert_eq!(
            Some(places.len() as u64),
            said["groups"][0]["copies"].as_u64(),
            "{said}"
        );
        for place in places {
            let (file, offset) = (place["file"].as_str(), place["offset"].as_u64());
            let content = fs::read(file.expect("a name")).expect("a file");
            let offset = offset.expect("a number") as usize;
            let len = said["groups"][0]["bytes"].as_u64().expect("a number") as usize;
            assert!(content[offset..offset + len] == common[..len], "{place}");
        }
        let done = text("-rD");
        assert!(done.contains(" copies: "), "{done}");
        assert!(done.contains("\ndone: "), "{done}");
        assert!(!done.contains("nothing has been changed"), "{done}");
    });
}

fn short_runs() {
    let files = [
        ("long", bytes(1, 256 * KIB)),
        ("long too", bytes(1, 256 * KIB)),
        ("short", bytes(2, 16 * KIB)),
        ("short too", bytes(2, 16 * KIB)),
    ];
    on_files(&files, |folder| {
        let all = freed(&said(&dupes("-r --json", folder)));
        let long = freed(&said(&dupes("-r --json -b 64k", folder)));
        assert_eq!((all, long), (272 << 10, 256 << 10));
    });
}

fn within_files() {
    let twice = [bytes(1, 64 * KIB), bytes(1, 64 * KIB)].concat();
    on_files(&[("twice", Vec::new())], |folder| {
        // Two extents, so that one of them can go.
        let mut file = fs::File::create(folder.join("twice")).expect("a file");
        for half in twice.chunks(64 * KIB) {
            file.write_all(half).expect("space");
            file.sync_all().expect("a disk");
        }
        let with = |options: &str| freed(&said(&dupes(&format!("-r --json {options}"), folder)));
        assert_eq!(with(""), 64 << 10);
        assert_eq!(with("--dedupe-options=same"), 64 << 10);
        assert_eq!(with("--dedupe-options=nosame"), 0);
        let output = dupes("-r --json --dedupe-options=nofiemap,partial", folder);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("nofiemap has no meaning here"), "{told}");
        assert!(told.contains("partial has no meaning here"), "{told}");
        assert_eq!(freed(&said(&output)), 64 << 10);
    });
}

fn threads() {
    let files = ["a", "b", "c"].map(|name| (name, bytes(1, 300 * KIB)));
    on_files(&files, |folder| {
        let alone = said(&dupes(
            "-r --json --scan=read --io-threads=1 --cpu-threads=1",
            folder,
        ));
        let many = said(&dupes("-rx --json --scan=read --io-threads=7", folder));
        assert_eq!(alone, many);
        // -d is -D, as in duperemove.
        let done = said(&dupes("-rd --json --scan=read --cpu-threads=3", folder));
        assert_eq!(
            done["done"]["freed_bytes"],
            alone["predicted"]["freed_bytes"]
        );
    });
}

fn largest_first() {
    let mut files = Vec::new();
    for name in ["a small", "b small"] {
        files.push((name, bytes(1, 64 * KIB)));
    }
    for name in ["y large", "z large"] {
        files.push((name, bytes(2, 1024 * KIB)));
    }
    on_files(&files, |folder| {
        let output = dupes("-rD --json --limit=4k", folder);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said: Value = serde_json::from_slice(&output.stdout).expect("an object");
        assert_eq!(said["done"]["freed_bytes"], 1 << 20, "{said}");
        assert_eq!(said["done"]["is_complete"], false, "{said}");
    });
}

fn idle() {
    on_files(&[("a", bytes(1, 4 * KIB))], |folder| {
        let mut child = command("--io-class=idle -q -")
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It waits for the list: its class was set before.
        let mut class = String::new();
        for _ in 0..500 {
            let pid = child.id().to_string();
            let told = Command::new("ionice").args(["-p", &pid]).output();
            class = String::from_utf8(told.expect("ionice starts").stdout).expect("text");
            if class.trim() == "idle" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(class.trim(), "idle");
        let list = folder.join("a").display().to_string();
        stdin.write_all(list.as_bytes()).expect("a reader");
        drop(stdin);
        assert!(child.wait().expect("an end").success());
    });
}

fn page_first() {
    let files = ["a", "b"].map(|name| (name, bytes(1, 128 * KIB)));
    on_files(&files, |folder| {
        for page in ["/proc/nowhere/page.html", "/"] {
            let output = dupes(&format!("-rD --html {page}"), folder);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(told.contains("cannot write the page"), "{told}");
        }
        // Nothing was done: all is still there to be freed.
        assert_eq!(freed(&said(&dupes("-r --json", folder))), 128 << 10);
        let page = folder.join("page.html");
        fs::write(&page, "of before").expect("a file");
        let _ = said(&dupes(
            &format!("-rD --json --html {}", page.display()),
            folder,
        ));
        assert!(fs::read_to_string(&page).expect("a page").contains("<svg"));
        let names: Vec<_> = fs::read_dir(folder).expect("a folder").flatten().collect();
        assert_eq!(names.len(), 3, "{names:?}");
        // A bare name is one in the folder where we are.
        let mut here = command("-r --json --html bare.html --hashfile bare");
        let output = here.arg(folder).current_dir(folder).output();
        let _ = said(&output.expect("the program starts"));
        assert!(folder.join("bare.html").is_file() && folder.join("bare").is_file());
    });
}

fn at_most() {
    // One extent of which a half is somewhere else, too: it stays whole.
    let common = bytes(1, 64 * KIB);
    let half = [common.clone(), bytes(2, 64 * KIB)].concat();
    on_files(&[("half", half), ("whole", common)], |folder| {
        let program = folder.parent().expect("the top").join("xsame");
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_xsame"))
            .arg(&program)
            .status();
        assert!(copied.expect("cp starts").success());
        let top = folder.parent().expect("the top");
        fs::set_permissions(top, fs::Permissions::from_mode(0o755)).expect("a mode");
        for path in [folder.to_owned(), folder.join("half"), folder.join("whole")] {
            chown(path, Some(USER), Some(USER)).expect("an owner");
        }
        let as_user = |arguments: &str| {
            let mut command = Command::new(&program);
            command
                .arg("dupes")
                .args(arguments.split_whitespace())
                .arg(folder);
            command
                .uid(USER)
                .gid(USER)
                .output()
                .expect("the program starts")
        };
        let as_root = said(&dupes("-r --json --rewrite=never", folder));
        assert_eq!(as_root["predicted"]["is_at_most"], false, "{as_root}");
        let plan = as_user("-r");
        let told = String::from_utf8_lossy(&plan.stdout);
        assert!(
            told.contains("predicted: at most 64.00 KiB freed"),
            "{told}"
        );
        assert!(
            told.contains("only root sees where they begin and end"),
            "{told}"
        );
        let done = said(&as_user("-rD --json"));
        assert_eq!(done["predicted"]["is_at_most"], true, "{done}");
        let used = |name: &str| done["done"][name].as_u64().expect("a number");
        let change = used("used_bytes_before") - used("used_bytes_after");
        assert!(change <= freed(&done), "{done}");
    });
}

fn checksum_kinds() {
    let result = ground::on_loopback(|top| {
        for kind in ["crc32c", "xxhash", "sha256", "blake2"] {
            let mut mkfs = Command::new("mkfs.btrfs");
            mkfs.args(["-q", "-f", "--csum", kind]);
            let made = loopback::on_image(top, IMAGE_BYTES, &mut mkfs, |filesystem| {
                let folder = filesystem.join("folder");
                fs::create_dir(&folder).expect("a folder");
                let without = folder.join("without");
                fs::create_dir(&without).expect("a folder");
                let status = Command::new("chattr").arg("+C").arg(&without).status();
                assert!(status.expect("chattr starts").success());
                let common = bytes(1, 256 * KIB);
                let shifted = [bytes(2, 64 * KIB), common.clone()].concat();
                write(
                    &folder,
                    &[
                        ("one", common.clone()),
                        ("two", common.clone()),
                        ("shifted", shifted),
                        ("inline", vec![7; 100]),
                        ("inline too", vec![7; 100]),
                        ("without/one", common.clone()),
                        ("without/two", common.clone()),
                    ],
                );
                let told = said(&dupes("-rD --json --scan=csum --rewrite=max", &folder));
                let of = |part: &str, name: &str| told[part][name].as_i64().expect("a number");
                // Data with and without checksums never shares storage. Only the latter is read;
                // crc32c is confirmed by the kernel's compare, or by reading a little.
                assert!(
                    (2 * 256) << 10 <= of("predicted", "freed_bytes"),
                    "{kind}: {told}"
                );
                let net = of("predicted", "freed_bytes") - of("predicted", "written_bytes");
                assert_eq!(net, (3 * 256) << 10, "{kind}: {told}");
                let change = of("done", "used_bytes_before") - of("done", "used_bytes_after");
                assert_eq!(change, net, "{kind}: {told}");
                let read = told["read_bytes"].as_u64().expect("a number");
                assert!(
                    ((2 * 256) << 10..(3 * 256) << 10).contains(&read),
                    "{kind}: {told}"
                );
                for name in ["one", "two", "without/one", "without/two"] {
                    let content = fs::read(folder.join(name)).expect("a file");
                    assert!(content == common, "{kind}: {name}");
                }
            });
            made.unwrap_or_else(|why| panic!("{kind}: {why}"));
        }
    });
    result.expect("a loopback btrfs");
}
