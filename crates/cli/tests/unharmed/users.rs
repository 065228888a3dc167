//! No privileges beyond the caller's: an ordinary user frees what is its own, by reading, and is
//! told what it may not look at; what only root may have shared stays as it is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use backend_kernel::ground;

use crate::Test;
use crate::running::{XSAME, dupes, json_of, number, run, stderr};
use crate::tree::{bytes, check_contents, contents, sync, used_bytes};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_user_frees_its_own_and_is_told_what_it_may_not_see",
        own_files,
        &["setpriv"],
    ),
    (
        "read_only_snapshots_are_shared_for_root_and_stay_for_a_user",
        read_only_snapshots,
        &["setpriv"],
    ),
];

/// A user that owns nothing else.
const USER: u32 = 65534;
const LEN: usize = 128 << 10;

/// Lets the user into a folder, and puts the program where it may run it.
pub(crate) fn invite(folder: &Path) -> PathBuf {
    for open in [folder, folder.parent().expect("the top")] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let program = folder.join("xsame");
    // Copied by another process: what this one has open for writing, a child of another test may
    // inherit, and then it cannot be started.
    run(&format!("cp {XSAME} {}", program.display()));
    program
}

/// Gives a path to the user.
pub(crate) fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).expect("an owner");
}

/// Runs `xsame dupes` as the user.
pub(crate) fn dupes_as_user(program: &Path, arguments: &str, path: &Path) -> Output {
    let user = USER.to_string();
    let output = Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
        .args(["--bounding-set=-all", "--no-new-privs"])
        .arg(program)
        .arg("dupes")
        .args(arguments.split_whitespace())
        .arg(path)
        .output();
    output.expect("setpriv starts")
}

fn own_files() {
    let result = ground::on_checked_loopback(|top| {
        let folder = top.join("folder");
        fs::create_dir(&folder).expect("a folder");
        let program = invite(&folder);
        let own = folder.join("own");
        fs::create_dir(&own).expect("a folder");
        for name in ["a", "b", "of-root", "closed"] {
            fs::write(own.join(name), bytes(9, LEN)).expect("a file");
        }
        fs::create_dir(own.join("locked")).expect("a folder");
        fs::write(own.join("locked/c"), bytes(9, LEN)).expect("a file");
        [own.clone(), own.join("a"), own.join("b")]
            .iter()
            .for_each(|path| give(path));
        let mode = |path: &str, mode| {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(own.join(path), mode).expect("a mode");
        };
        mode("of-root", 0o644);
        mode("closed", 0o600);
        mode("locked", 0o700);
        let before = contents(&own);
        let used_before = used_bytes(&folder);
        let output = dupes_as_user(&program, "-rD --json --rewrite=max", &own);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = json_of(&output);
        let troubles = said["troubles"].to_string();
        for refused in ["own/closed", "own/locked"] {
            assert!(troubles.contains(refused), "{refused}: {said}");
        }
        assert!(troubles.contains("EACCES"), "{said}");
        // Both go to what the user may read and not have changed.
        assert_eq!(used_before - used_bytes(&folder), 2 * LEN as u64, "{said}");
        assert_eq!(
            number(&said, "done", "freed_bytes"),
            2 * LEN as u64,
            "{said}"
        );
        assert_eq!(number(&said, "predicted", "freed_bytes"), 2 * LEN as u64);
        check_contents(&own, &before, "as a user");
        let csum = dupes_as_user(&program, "-rD --scan=csum", &own);
        assert_eq!(csum.status.code(), Some(2), "{csum:?}");
        assert!(stderr(&csum).contains("only root may read the checksums"));
        let nothing = dupes_as_user(&program, "-rD", &own.join("locked"));
        assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
        assert!(stderr(&nothing).contains("EACCES"), "{nothing:?}");
    });
    let ((), verified) = result.expect("a loopback btrfs");
    assert!(verified.complaints.is_empty(), "{verified:?}");
}

fn read_only_snapshots() {
    let result = ground::on_checked_loopback(|top| {
        let folder = top.join("folder");
        fs::create_dir(&folder).expect("a folder");
        let program = invite(&folder);
        let volume = folder.join("volume");
        run(&format!("btrfs subvolume create {}", volume.display()));
        fs::write(volume.join("file"), bytes(9, LEN)).expect("a file");
        give(&volume.join("file"));
        give(&volume);
        sync(&folder);
        let snapshot = folder.join("snapshot");
        let (from, to) = (volume.display(), snapshot.display());
        run(&format!("btrfs subvolume snapshot -r {from} {to}"));
        // The same bytes, in an extent of its own.
        fs::remove_file(volume.join("file")).expect("an unlink");
        fs::write(volume.join("file"), bytes(9, LEN)).expect("a file");
        fs::write(volume.join("second"), bytes(10, LEN)).expect("a file");
        give(&volume.join("file"));
        let second = folder.join("second");
        sync(&folder);
        let (from, to) = (volume.display(), second.display());
        run(&format!("btrfs subvolume snapshot -r {from} {to}"));
        fs::remove_file(volume.join("file")).expect("an unlink");
        sync(&folder);
        let before = contents(&folder);
        let used_before = used_bytes(&folder);
        for path in [&snapshot, &second] {
            assert!(path.join("file").is_file());
        }
        let output = dupes_as_user(&program, "-rD --json", &folder);
        let said = json_of(&output);
        assert_eq!(number(&said, "done", "moved_bytes"), 0, "{said}");
        assert_eq!(number(&said, "done", "requests"), 0, "{said}");
        assert_eq!(used_bytes(&folder), used_before);
        let output = dupes("-rD --json", &folder);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = json_of(&output);
        assert_eq!(number(&said, "done", "freed_bytes"), LEN as u64, "{said}");
        assert_eq!(used_bytes(&folder), used_before - LEN as u64, "{said}");
        check_contents(&folder, &before, "snapshots");
    });
    let ((), verified) = result.expect("a loopback btrfs");
    assert!(verified.complaints.is_empty(), "{verified:?}");
}
