//! A filesystem on which nothing changes: what was found is told again.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::{KIB, Test, btrfs, bytes, dupes, found, make, on_btrfs, run, split};

pub(crate) const TESTS: &[Test] = &[
    (
        "what_was_found_the_last_time_is_told_again_until_anything_changes",
        told_again,
    ),
    (
        "a_hashfile_on_the_filesystem_itself_is_no_part_of_what_is_looked_at",
        within,
    ),
];

fn told_again() {
    on_btrfs(|top, hashfile| {
        make(top);
        let folder = &top.join("volume/a");
        fs::write(folder.join("twin"), bytes(0, 20 * KIB)).expect("room");
        let look = |arguments: &str, is_remembered: bool| {
            let (expected, _) = found(arguments, None, folder);
            let (told, work) = found(arguments, Some(hashfile), folder);
            assert_eq!(told, expected, "{arguments}");
            assert_eq!(work.is_remembered, is_remembered, "{arguments}");
            work
        };
        look("", false);
        let work = look("", true);
        assert_eq!((work.read_bytes, work.nr_opened), (0, 0));
        look("-D --dry-run --plan-memory=1g", true);
        for other in ["--scan=read", "--rewrite=max", "--min-size=20500", "-b 8k"] {
            let work = [false, true].map(|is_remembered| look(other, is_remembered));
            assert!(work[1].nr_items < work[0].nr_items, "{work:?}");
        }
        let text = run(&mut dupes("-r", Some(hashfile), folder)).stdout;
        assert!(String::from_utf8_lossy(&text).contains("; nothing has changed since"));
        // None of these is in scope.
        let outside = top.join("volume/b/outside");
        fs::copy(folder.join("file-0"), &outside).expect("room");
        look("", false);
        btrfs(
            "-q subvolume snapshot -r",
            &[&top.join("volume"), &top.join("snapshot")],
        );
        look("", false);
        look("", true);
        let in_place = top.join("volume/nocow/file-2");
        let file = File::options().write(true).open(in_place).expect("a file");
        file.write_all_at(&[7; 100], 4096).expect("room");
        look("", false);
        look("", true);
        // One that is to be done is planned anew, one of which nothing is to be done is not.
        let dedupe = || {
            let output = run(&mut dupes("-rD --json", Some(hashfile), folder));
            let (said, work) = split(&output);
            (said["done"]["requests"].clone(), work.is_remembered)
        };
        let first = dedupe();
        assert!(first.0.as_u64() > Some(0) && !first.1, "{first:?}");
        assert_eq!(dedupe(), (0.into(), false));
        assert_eq!(dedupe(), (0.into(), true));
        look("", true);
    });
}

fn within() {
    on_btrfs(|top, elsewhere| {
        make(top);
        let (expected, _) = found("", None, top);
        let hashfile = &top.join("volume/hashes");
        for _ in 0..3 {
            let (told, work) = found("", Some(hashfile), top);
            assert_eq!(told, expected);
            assert!(!work.is_remembered, "it changes the filesystem itself");
        }
        let (told, _) = found("", Some(elsewhere), top);
        let [before, after] = [&expected, &told].map(|said| said["files"].as_u64());
        assert_eq!(
            before.map(|nr_files| nr_files + 1),
            after,
            "now it is a file"
        );
    });
}
