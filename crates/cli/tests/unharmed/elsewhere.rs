//! Other filesystems: XFS that shares blocks, those that do not, which is told at once, and a btrfs
//! without room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use backend_kernel::ground;

use crate::Test;
use crate::running::{dupes, json_of, number, run, stderr};
use crate::tree::{self, bytes, check_contents, contents, used_bytes};
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
    (
        "without_room_for_rewrites_what_can_be_done_is_and_told_to_the_byte",
        without_room,
        &["mount", "umount"],
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

/// Makes a filesystem with `mkfs`, an image of so many MiB or `tmpfs`, and mounts it.
fn mount(top: &Path, mkfs: &str, size_mib: u64) -> Mounted {
    let folder = top.join("mounted");
    fs::create_dir_all(&folder).expect("a folder");
    if mkfs == "tmpfs" {
        run(&format!("mount -t tmpfs none {}", folder.display()));
        return Mounted(folder);
    }
    let image = top.join("image");
    let file = File::create(&image).expect("an image");
    file.set_len(size_mib << 20).expect("a size");
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
        let mounted = mount(top, "mkfs.xfs -q -m reflink=1", 1024);
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
            let mounted = mount(top, mkfs, 1024);
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

fn without_room() {
    for rewrite in ["never", "max"] {
        let result = ground::on_loopback(|top| {
            let mounted = mount(top, "mkfs.btrfs -q -m single", 160);
            let folder = mounted.0.join("folder");
            tree::make(&folder);
            fill(&mounted.0);
            let before = contents(&folder);
            let used_before = used_bytes(&folder);
            let output = dupes(&format!("-rD --json --rewrite={rewrite}"), &folder);
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 1)), "{rewrite}: {output:?}");
            let said = json_of(&output);
            let freed = number(&said, "done", "freed_bytes");
            let written = number(&said, "done", "written_bytes");
            assert_eq!(used_before + written - freed, used_bytes(&folder), "{said}");
            check_contents(&folder, &before, rewrite);
            println!("{rewrite}: exit code {code:?}, {freed} freed, {written} written");
            // With room again another run does the rest.
            fs::remove_dir_all(mounted.0.join("filler")).expect("the filler");
            tree::sync(&folder);
            let output = dupes(&format!("-rDq --rewrite={rewrite}"), &folder);
            assert_eq!(output.status.code(), Some(0), "{rewrite}: {output:?}");
            check_contents(&folder, &before, rewrite);
        });
        result.expect("a loopback btrfs");
    }
}

/// Writes files until nothing fits any more.
fn fill(top: &Path) {
    let folder = top.join("filler");
    fs::create_dir(&folder).expect("a folder");
    for len in [4 << 20, 256 << 10, 16 << 10] {
        for file_nr in 0..200 {
            let path = folder.join(format!("{len}-{file_nr}"));
            let mut file = match File::create(&path) {
                Ok(file) => file,
                Err(_) => break,
            };
            let written = file.write_all(&bytes(file_nr << 32 | len as u64, len));
            if written.and_then(|()| file.sync_all()).is_err() {
                break;
            }
        }
    }
}
