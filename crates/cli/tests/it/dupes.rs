//! `xsame dupes`, as far as it goes on any filesystem.

use std::fs;

use tempfile::tempdir;

use crate::program::check_refused;

#[test]
fn wrong_use_is_told() {
    let folder = tempdir().expect("a folder");
    fs::write(folder.path().join("a"), "a").expect("a file");
    let check = |arguments: &str, part: &str| check_refused(folder.path(), arguments, &[part]);
    check("dupes", "PATH");
    check("dupes nowhere", "nowhere");
    check("dupes --min-size=much a", "much");
    check("dupes --exclude=[ a", "--exclude [");
    check("dupes --rewrite=some a", "never, auto, max");
    // The list on stdin is empty.
    check("dupes -", "no paths given");
}
