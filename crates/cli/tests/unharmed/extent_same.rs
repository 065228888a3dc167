//! `xsame same`: `--compat` says and does what duperemove's `btrfs-extent-same` does, side by side
//! on the same files; `--strict` tells by its exit code whether everything is shared.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use backend_kernel::ground;

use crate::Test;
use crate::running::{XSAME, run};
use crate::tree::{bytes, sync};

pub(crate) const TESTS: &[Test] = &[
    (
        "compat_is_btrfs_extent_same_word_for_word",
        compat,
        &["btrfs-extent-same"],
    ),
    ("strict_tells_whether_everything_is_the_same", strict, &[]),
];

/// Words that both are given.
const WORDS: [&str; 22] = [
    "65536 a 0 b 0",
    "65536 a 0 b 0 c 0 d 0",
    "65536 a 0 d 0 b 0",
    "65613 a 0 b 0",
    "4096 a 4096 b 4096",
    "100 a 0 b 0",
    "4096 a 100 b 0",
    "4096 a 0 b 100",
    "4096 a 0 a 8192",
    "4096 a 0 a 0",
    "0 a 0 b 0",
    "65536 a 4096 b 0",
    "131072 a 0 b 0",
    "4096 a 9999999 b 0",
    "65536 a 0 dir 0",
    "65536 dir 0 a 0",
    "4096 a 0 nowhere 0",
    "4096 nowhere 0 a 0",
    "65536 a 0 snapshot/b 0",
    "65536 snapshot/a 0 c 0",
    "4096 a 0 b",
    "4096 a 0",
];

/// Makes files of which three are equal, and a read-only snapshot of them.
fn make(folder: &Path) {
    run(&format!("btrfs subvolume create {}", folder.display()));
    let equal = bytes(1, (64 << 10) + 77);
    for name in ["a", "b", "c"] {
        fs::write(folder.join(name), &equal).expect("a file");
    }
    fs::write(folder.join("d"), bytes(2, 64 << 10)).expect("a file");
    fs::create_dir(folder.join("dir")).expect("a folder");
    sync(folder);
    let (from, to) = (folder.display(), folder.join("snapshot"));
    run(&format!(
        "btrfs subvolume snapshot -r {from} {}",
        to.display()
    ));
}

fn started(program: &str, first: &[&str], words: &str, folder: &Path) -> Output {
    let output = Command::new(program)
        .args(first)
        .args(words.split_whitespace())
        .current_dir(folder)
        .output();
    output.expect("the program starts")
}

fn compat() {
    let result = ground::on_loopback(|top| {
        // Each on files of its own: what one has shared, the other would find shared.
        let [ours, theirs] = ["ours", "theirs"].map(|name| top.join(name));
        make(&ours);
        make(&theirs);
        let many: String = (0..127)
            .map(|nr| format!(" b {}", nr % 16 * 4096))
            .collect();
        let too_many = format!("4096 a 0{many} c 0");
        let many = format!("4096 a 0{many}");
        let all = WORDS
            .iter()
            .copied()
            .chain([many.as_str(), too_many.as_str(), ""]);
        for words in all {
            let one = started(XSAME, &["same", "--compat"], words, &ours);
            let other = started("btrfs-extent-same", &[], words, &theirs);
            let told = |output: &Output| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (
                    output.status.code(),
                    text(&output.stdout),
                    text(&output.stderr),
                )
            };
            assert_eq!(told(&one), told(&other), "{words}");
        }
    });
    result.expect("a loopback btrfs");
}

fn strict() {
    let result = ground::on_loopback(|top| {
        let folder = top.join("folder");
        make(&folder);
        let check = |words: &str, plain: i32, strict: i32| {
            for (option, code) in [(None, plain), (Some("--strict"), strict)] {
                let first: Vec<&str> = ["same"].into_iter().chain(option).collect();
                let output = started(XSAME, &first, words, &folder);
                assert_eq!(output.status.code(), Some(code), "{words}: {output:?}");
            }
        };
        check("64k a 0 b 0", 0, 0);
        check("64k a 0 b 0 d 0", 0, 1);
        check("4k a 0 b 100", 0, 1);
        check("64k a 0 dir 0", 0, 1);
        check("64k a 0 nowhere 0", 2, 2);
        check("64k a 4k b 0", 2, 2);
    });
    result.expect("a loopback btrfs");
}
