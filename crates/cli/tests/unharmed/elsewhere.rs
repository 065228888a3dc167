//! Other filesystems: XFS that shares blocks, and those that do not, which is told at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use backend_kernel::ground;

use crate::Test;
use crate::running::{dupes, json_of, number, run, stderr};
use crate::tree::{bytes, check_contents, contents};
use crate::users::{dupes_as_user, give, invite};

pub(crate) const TESTS: &[Test] = &[
    (
        "on_xfs_blocks_are_freed_by_reading_for_root_and_for_a_user",
        on_xfs,
        &["mkfs.xfs", "mount", "umount", "filefrag", "setpriv"],
    ),
    (
        "where_blocks_cannot_be_shared_that_is_told_and_nothing_done",
        where_nothing_is_shared,
        &["mkfs.xfs", "mkfs.ext4", "mount", "umount"],
    ),
];

const LEN: usize = 256 << 10;

/// A filesystem that is unmounted when this is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        run(&format!("umount {}", self.0.display()));
    }
}

/// Makes a filesystem with `mkfs`, an image or `tmpfs`, and mounts it.
fn mount(top: &Path, mkfs: &str) -> Mounted {
    let folder = top.join("mounted");
    fs::create_dir_all(&folder).expect("a folder");
    if mkfs == "tmpfs" {
        run(&format!("mount -t tmpfs none {}", folder.display()));
        return Mounted(folder);
    }
    let image = top.join("image");
    let file = File::create(&image).expect("an image");
    file.set_len(1 << 30).expect("a size");
    drop(file);
    run(&format!("{mkfs} {}", image.display()));
    run(&format!(
        "mount -o loop {} {}",
        image.display(),
        folder.display()
    ));
    Mounted(folder)
}

/// Makes equal files, and some that are equal in part, at another offset.
fn make(folder: &Path) {
    fs::create_dir(folder).expect("a folder");
    for name in ["a", "b", "c"] {
        fs::write(folder.join(name), bytes(1, LEN + 77)).expect("a file");
    }
    let own = |seed| bytes(seed, LEN / 4);
    fs::write(folder.join("left"), [bytes(2, LEN), own(3)].concat()).expect("a file");
    fs::write(folder.join("right"), [own(4), bytes(2, LEN)].concat()).expect("a file");
}

fn on_xfs() {
    let result = ground::on_loopback(|top| {
        let mounted = mount(top, "mkfs.xfs -q -m reflink=1");
        let program = invite(&mounted.0.join(""));
        for who in ["root", "user"] {
            let folder = mounted.0.join(who);
            make(&folder);
            for path in contents(&folder).keys().chain([&folder]) {
                give(path);
            }
            run("sync -f .");
            let before = contents(&folder);
            let output = match who {
                "root" => dupes("-rD --json --rewrite=max", &folder),
                _ => dupes_as_user(&program, "-rD --json --rewrite=max", &folder),
            };
            assert_eq!(output.status.code(), Some(0), "{who}: {output:?}");
            let said = json_of(&output);
            let freed = number(&said, "done", "freed_bytes");
            // Two whole copies with their tails, and what is common at other offsets.
            assert_eq!(freed, 3 * LEN as u64 + 2 * 4096, "{who}: {said}");
            assert_eq!(number(&said, "predicted", "freed_bytes"), freed, "{said}");
            assert_eq!(number(&said, "done", "written_bytes"), 0, "{said}");
            let used_before = number(&said, "done", "used_bytes_before");
            let used_after = number(&said, "done", "used_bytes_after");
            assert!(used_after < used_before, "{said}");
            let map = run(&format!("filefrag -v {}", folder.join("c").display()));
            assert!(map.contains("shared"), "{map}");
            check_contents(&folder, &before, who);
            let again = dupes("-rD --json --rewrite=max", &folder);
            assert_eq!(number(&json_of(&again), "done", "requests"), 0, "{again:?}");
        }
    });
    result.expect("a loopback btrfs");
}

fn where_nothing_is_shared() {
    for mkfs in ["mkfs.ext4 -q", "mkfs.xfs -q -m reflink=0", "tmpfs"] {
        let result = ground::on_loopback(|top| {
            let mounted = mount(top, mkfs);
            let folder = mounted.0.join("folder");
            make(&folder);
            let before = contents(&folder);
            for arguments in ["-rD", "-r", "-rD --scan=read"] {
                let output = dupes(arguments, &folder);
                assert_eq!(
                    output.status.code(),
                    Some(2),
                    "{mkfs} {arguments}: {output:?}"
                );
                let said = stderr(&output);
                assert!(said.contains("cannot share"), "{mkfs} {arguments}: {said}");
                assert!(output.stdout.is_empty(), "{mkfs} {arguments}: {output:?}");
            }
            let csum = dupes("-rD --scan=csum", &folder);
            assert_eq!(csum.status.code(), Some(2), "{mkfs}: {csum:?}");
            check_contents(&folder, &before, mkfs);
        });
        result.expect("a loopback btrfs");
    }
}
