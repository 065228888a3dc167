//! `xsame same`, as far as it goes on any filesystem.

use std::fs;

use tempfile::tempdir;

use crate::program::{check_refused, xsame};

#[test]
fn wrong_use_is_told() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("a"), "a").expect("a file");
    let check = |arguments: &str, part: &str| check_refused(folder.path(), arguments, &[part]);
    check("same 4k a 0", "OFFSET");
    check("same 4k a 0 a", "OFFSET");
    check("same 4k a 0 a 0 a", "no offset");
    check("same many a 0 a 0", "many");
    check("same 4k a zero a 0", "zero");
    check("same 4k nowhere 0 a 0", "nowhere");
    check("same 4k a 0 nowhere 0", "nowhere");
}

#[test]
fn compat_says_what_btrfs_extent_same_says() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("a"), "a").expect("a file");
    let check = |arguments: &str, code: i32, stdout: &str, stderr: &str| {
        let ended = xsame(folder.path(), arguments);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.stdout, stdout);
        assert!(ended.stderr.contains(stderr), "{ended:?}");
    };
    let usage = "Usage: btrfs-extent-same len file1 loff1 file2 loff2\n";
    check("same --compat", 1, usage, "");
    check("same --compat 4096 a 0 a", 1, usage, "");
    // It would have taken 4k for 4.
    check("same --compat 4k a 0 a 0", 1, usage, "");
    let begun = "Deduping 2 total files\n(0, 4096): a\n";
    let no_file = "Could not open file nowhere: (2) No such file or directory";
    check("same --compat 4096 a 0 nowhere 0", 254, begun, no_file);
}
