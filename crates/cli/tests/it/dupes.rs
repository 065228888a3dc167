//! `xsame dupes`, as far as it goes on any filesystem.

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
    check("dupes", "PATH");
    check("dupes nowhere", "nowhere");
    check("dupes --min-size=much a", "much");
    check("dupes --exclude=[ a", "--exclude [");
    check("dupes --rewrite=some a", "never, auto, max");
    // The list on stdin is empty.
    check("dupes -", "no paths given");
}
