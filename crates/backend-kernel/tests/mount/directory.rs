//! A directory of the user's, on a btrfs that the test mounts where everybody sees it.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use backend_kernel::Mount;
use data::Content;
use scenario::{
    Access, Attribute, Backend, CallEnd, DataMode, DedupeCall, Fd, Geometry, Observation, Op,
    Outcome, Probe,
};
use uapi::Errno;

use crate::Test;
use crate::subject::{Subject, element, fd, name};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_directory_that_is_not_on_btrfs_is_named_with_its_filesystem",
        not_btrfs,
    ),
    (
        "a_directory_is_used_as_root_and_left_as_it_was",
        used_as_root,
    ),
    (
        "a_directory_is_used_without_privilege_and_left_as_it_was",
        used_without_privilege,
    ),
    (
        "a_mount_option_that_a_directory_is_asked_for_is_refused_by_its_name",
        a_mount_option_is_refused_by_its_name,
    ),
    (
        "what_a_dead_process_left_in_a_directory_is_removed",
        leftovers_are_removed,
    ),
];

/// A btrfs mounted in a temporary folder, unmounted and removed when dropped.
struct UserFilesystem {
    folder: PathBuf,
}

impl UserFilesystem {
    fn new(title: &str) -> UserFilesystem {
        let folder = std::env::temp_dir().join(format!("user-{title}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("btrfs")).expect("a folder");
        let image = folder.join("image");
        let file = std::fs::File::create(&image).expect("an image");
        file.set_len(256 << 20).expect("an image");
        let filesystem = UserFilesystem { folder };
        run("mkfs.btrfs", &["-q".as_ref(), image.as_ref()]);
        let top = filesystem.top();
        run(
            "mount",
            &["-o".as_ref(), "loop".as_ref(), image.as_ref(), top.as_ref()],
        );
        filesystem
    }

    fn top(&self) -> PathBuf {
        self.folder.join("btrfs")
    }

    #[track_caller]
    fn is_empty(&self) {
        let names: Vec<_> = std::fs::read_dir(self.top())
            .expect("the top")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert!(names.is_empty(), "{names:?}");
    }
}

impl Drop for UserFilesystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.top()).status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let status = Command::new(program)
        .args(arguments)
        .status()
        .expect(program);
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

fn subject(path: &Path) -> Subject {
    let mut mount = Mount::directory(path).expect("a directory on btrfs");
    mount.reset(&Geometry::default()).expect("a reset");
    Subject(mount)
}

fn not_btrfs() {
    for (path, expected) in [
        ("/proc", "/proc is on proc, not on btrfs"),
        ("/nowhere", "/nowhere:"),
    ] {
        let error = Mount::directory(path.as_ref()).expect_err("no btrfs");
        let text = error.to_string();
        assert!(
            text.starts_with(expected) && text.contains("remedy: "),
            "{text}"
        );
    }
}

fn used_as_root() {
    let filesystem = UserFilesystem::new("root");
    let mut subject = subject(&filesystem.top());
    assert!(subject.0.capabilities().is_root);
    let a = subject.file("A", Content::pattern(1, 0, 4096));
    let b = subject.file("B", Content::pattern(1, 0, 4096));
    let readonly = Fd {
        mount: scenario::fd::Mount::ReadOnly,
        access: Access::ReadOnly,
        ..fd(&b)
    };
    let call = DedupeCall::new(fd(&a), 0, 4096, readonly, 0);
    assert_eq!(subject.dedupe(call).1, [element(Errno::EROFS.status(), 0)]);
    let second = Fd {
        mount: scenario::fd::Mount::Second,
        ..fd(&b)
    };
    assert_eq!(
        subject
            .dedupe(DedupeCall::new(fd(&a), 0, 4096, second, 0))
            .1,
        [element(0, 4096)]
    );
    subject.done(Op::Snapshot {
        source: name("."),
        target: name("S"),
        is_readonly: true,
    });
    subject.done(Op::Chattr {
        name: a,
        attribute: Attribute::Immutable,
        is_set: true,
    });
    drop(subject);
    filesystem.is_empty();
}

/// Runs this program again without privilege: see [`without_privilege`].
fn used_without_privilege() {
    let filesystem = UserFilesystem::new("nobody");
    let top = filesystem.top();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&top, open).expect("permissions");
    // Where the other user may reach it.
    let program = filesystem.folder.join("program");
    // Another test's child may inherit what this process has open for writing, and what is open
    // for writing cannot be started: so another process writes it.
    let own = std::env::current_exe().expect("this program");
    let copied = Command::new("cp").arg(own).arg(&program).status();
    assert!(copied.expect("cp starts").success());
    let output = Command::new(&program)
        .env(crate::CHILD, format!("directory {}", top.display()))
        .current_dir("/")
        .gid(1234)
        .uid(1234)
        .output()
        .expect("this program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    filesystem.is_empty();
}

/// What the program that [`used_without_privilege`] starts does.
pub(crate) fn without_privilege(path: &Path) {
    let refused = Mount::loopback(backend_kernel::LoopbackOptions::default());
    let text = refused.expect_err("no privilege").to_string();
    assert!(
        text.contains("root only") && text.contains("remedy: "),
        "{text}"
    );
    let mut subject = subject(path);
    assert!(!subject.0.capabilities().is_root);
    let a = subject.file("A", Content::pattern(1, 0, 4096));
    let b = subject.file("B", Content::pattern(1, 0, 4096));
    let (end, elements, _) = subject.dedupe(DedupeCall::new(fd(&a), 0, 4096, fd(&b), 0));
    assert_eq!((end, elements), (CallEnd::Returned, vec![element(0, 4096)]));
    // Files are "owned by root", whoever that is.
    assert_eq!(subject.look(&a).0.uid, 0);
    let second = Fd {
        mount: scenario::fd::Mount::Second,
        ..fd(&b)
    };
    let call = Op::Dedupe(DedupeCall::new(fd(&a), 0, 0, second, 0));
    let text = subject
        .0
        .apply(&call)
        .expect_err("there is no second mount")
        .to_string();
    assert!(text.contains("second mount"), "{text}");
    subject.done(Op::Subvol { name: name("S") });
    subject.file("S/A", Content::byte(1, 10));
    subject.done(Op::Snapshot {
        source: name("S"),
        target: name("R"),
        is_readonly: true,
    });
    subject.0.reset(&Geometry::default()).expect("a reset");
    let probe = Probe {
        name: a,
        expected_shape: None,
    };
    assert_eq!(
        subject.0.observe(&probe).expect("a look"),
        Observation::Absent
    );
    subject.done(Op::Subvol { name: name("S") });
    assert_eq!(
        subject.outcome(Op::Unlink {
            name: name("S"),
            is_held: false
        }),
        Outcome::Failed(Errno::EISDIR)
    );
}

fn a_mount_option_is_refused_by_its_name() {
    let filesystem = UserFilesystem::new("options");
    let mut subject = subject(&filesystem.top());
    let geometry = Geometry {
        data: DataMode::NoCow,
        ..Geometry::default()
    };
    let error = subject.0.reset(&geometry).expect_err("it is not ours");
    assert!(error.to_string().contains("data=nodatacow"), "{error}");
}

fn leftovers_are_removed() {
    let filesystem = UserFilesystem::new("left");
    // No process has this number and this start.
    let left = filesystem.top().join(".xsame-1-999999999999999-0");
    std::fs::create_dir(&left).expect("a folder");
    std::fs::write(left.join("file"), "left").expect("a file");
    let kept = filesystem.top().join(".xsame-notes");
    std::fs::create_dir(&kept).expect("a folder");
    drop(subject(&filesystem.top()));
    assert!(!left.exists() && kept.exists());
}
