//! What can be seen of a folder on a btrfs, before and after: [`contents`], [`used_bytes`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the contents of all files below a folder.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

/// Returns the used data bytes of the filesystem, as it tells them.
pub(crate) fn used_bytes(folder: &Path) -> u64 {
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
