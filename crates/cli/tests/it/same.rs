//! `xsame same`, as far as it goes on any filesystem.

use std::fs;

use tempfile::tempdir;

use crate::program::xsame;

#[test]
fn wrong_use_is_told() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("a"), "a").expect("a file");
    let check = |arguments: &str, part: &str| {
        let ended = xsame(folder.path(), arguments);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    };
    check("same 4k a 0", "OFFSET");
    check("same 4k a 0 a", "OFFSET");
    check("same 4k a 0 a 0 a", "no offset");
    check("same many a 0 a 0", "many");
    check("same 4k a zero a 0", "zero");
    check("same 4k nowhere 0 a 0", "nowhere");
    check("same 4k a 0 nowhere 0", "nowhere");
}
