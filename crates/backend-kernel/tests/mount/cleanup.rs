//! What stays behind: nothing. What hangs or complains is told.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backend_kernel::{LoopbackOptions, Mount};
use data::Content;
use scenario::{Backend, Geometry, Op, Outcome, Probe, Verified};

use crate::Test;
use crate::subject::{Subject, name};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_dropped_mount_leaves_nothing",
        dropped_mount_leaves_nothing,
    ),
    (
        "a_killed_process_leaves_what_the_next_start_removes",
        killed_process_leaves_a_folder,
    ),
    (
        "a_process_that_cleans_up_for_a_signal_leaves_nothing",
        signal_leaves_nothing,
    ),
    ("the_kernel_log_is_listened_to", kernel_log_is_listened_to),
    (
        "an_operation_that_hangs_is_answered_and_the_backend_is_lost",
        hanging_operation,
    ),
    ("a_kept_image_holds_the_last_filesystem", kept_image),
    ("a_folder_without_room_is_refused", no_room),
    (
        "a_filesystem_that_was_tampered_with_is_found_damaged",
        tampered_image,
    ),
    (
        "a_small_filesystem_is_checked_before_it_is_thrown_away_and_another_one_is_not",
        checked_before_thrown_away,
    ),
];

/// How long the kernel may take to detach a device or end a process.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the folders in `parent` that processes with these numbers have made.
fn folders_of(parent: &Path, pid: u32) -> Vec<PathBuf> {
    let prefix = format!("xsame-mount-{pid}-");
    std::fs::read_dir(parent)
        .expect("the parent")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(&prefix))
        .collect()
}

/// Returns the loop devices that are attached to something in `folder`.
fn loops_in(folder: &Path) -> Vec<String> {
    let Ok(devices) = std::fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    devices
        .filter_map(|device| {
            std::fs::read_to_string(device.ok()?.path().join("loop/backing_file")).ok()
        })
        .filter(|image| image.starts_with(&*folder.to_string_lossy()))
        .collect()
}

/// A folder for images, removed when dropped.
pub(crate) struct ImageFolder(pub(crate) PathBuf);

impl ImageFolder {
    pub(crate) fn new(title: &str) -> ImageFolder {
        let path = std::env::temp_dir().join(format!("images-{title}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        ImageFolder(path)
    }

    pub(crate) fn options(&self) -> LoopbackOptions {
        LoopbackOptions {
            folder: Some(self.0.clone()),
            ..LoopbackOptions::default()
        }
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.0)
            .expect("the folder")
            .next()
            .is_none()
    }

    /// Waits for what the kernel does in its own time.
    #[track_caller]
    fn becomes(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < PATIENCE, "{what} in {}", self.0.display());
            std::thread::yield_now();
        }
    }
}

impl Drop for ImageFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn dropped_mount_leaves_nothing() {
    let images = ImageFolder::new("drop");
    let mut mount = Mount::loopback(images.options()).expect("a mount");
    mount.reset(&Geometry::default()).expect("a reset");
    mount
        .apply(&Op::File {
            name: name("A"),
            is_nocow: false,
        })
        .expect("a file");
    assert!(!images.is_empty());
    assert_eq!(loops_in(&images.0).len(), 1);
    drop(mount);
    assert!(images.is_empty());
    images.becomes("a loop device stays", || loops_in(&images.0).is_empty());
}

/// Starts this program again, to have a mount and then do as told; see [`hold_a_mount`].
fn start_child(images: &ImageFolder) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(crate::CHILD, format!("hold {}", images.0.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program");
    let mut said = String::new();
    let output = child.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut said).expect("a line");
    assert_eq!(said, "mounted\n");
    assert_eq!(loops_in(&images.0).len(), 1);
    child
}

/// What the program that [`start_child`] starts does: has a mount until a line comes, then cleans
/// up as for a signal and ends without dropping anything.
pub(crate) fn hold_a_mount(folder: &Path) {
    let options = LoopbackOptions {
        folder: Some(folder.to_owned()),
        ..LoopbackOptions::default()
    };
    let mut mount = Mount::loopback(options).expect("a mount");
    mount.reset(&Geometry::default()).expect("a reset");
    let a = name("A");
    mount
        .apply(&Op::File {
            name: a.clone(),
            is_nocow: false,
        })
        .expect("a file");
    println!("mounted");
    std::io::stdin()
        .read_line(&mut String::new())
        .expect("a line");
    backend_kernel::cleanup_all();
    let error = mount
        .observe(&Probe {
            name: a,
            expected_shape: None,
        })
        .expect_err("stopped");
    assert!(error.to_string().contains("being stopped"), "{error}");
    std::process::exit(0);
}

fn killed_process_leaves_a_folder() {
    let images = ImageFolder::new("kill");
    let mut child = start_child(&images);
    child.kill().expect("a kill");
    child.wait().expect("an end");
    images.becomes("a loop device stays", || loops_in(&images.0).is_empty());
    // Images elsewhere than in the usual places are looked for where the next one is made.
    assert_eq!(folders_of(&images.0, child.id()).len(), 1);
    drop(Mount::loopback(images.options()).expect("a mount"));
    assert!(images.is_empty());
}

fn signal_leaves_nothing() {
    let images = ImageFolder::new("signal");
    let mut child = start_child(&images);
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"\n")
        .expect("a line");
    assert!(child.wait().expect("an end").success());
    assert!(images.is_empty());
    images.becomes("a loop device stays", || loops_in(&images.0).is_empty());
}

fn kernel_log_is_listened_to() {
    let images = ImageFolder::new("log");
    let mut subject = Subject(Mount::loopback(images.options()).expect("a mount"));
    subject.0.reset(&Geometry::default()).expect("a reset");
    let first = folders_of(&images.0, std::process::id())[0].join("first");
    let device = device_at(&thread_that_sees(&first), &first);
    let say = |line: &str| {
        // Without its end, a line is not given to readers before the next one comes.
        std::fs::write("/dev/kmsg", format!("{line}\n")).expect("a line in the log");
    };
    say(&format!(
        "BTRFS info (device {device}): a test of xsame says nothing"
    ));
    say("BTRFS error (device nobodys): a test of xsame says this to somebody else");
    subject.done(Op::Observe { names: Vec::new() });
    let error = format!("BTRFS error (device {device}): a test of xsame says this");
    say(&error);
    let answer = subject
        .0
        .apply(&Op::Observe { names: Vec::new() })
        .expect("an answer");
    assert_eq!(answer.complaints, [error]);
    subject.done(Op::Observe { names: Vec::new() });
}

/// Returns the last component of what is mounted at `point` for a thread.
fn device_at(thread: &Path, point: &Path) -> String {
    let table = std::fs::read_to_string(thread.join("mountinfo")).expect("a table");
    let at = format!(" {} ", point.display());
    let line = table
        .lines()
        .find(|line| line.contains(&at))
        .expect("a mount");
    let source = line
        .split(" - ")
        .nth(1)
        .and_then(|rest| rest.split(' ').nth(1));
    source
        .and_then(|path| path.rsplit('/').next())
        .expect("a device")
        .to_owned()
}

/// A frozen filesystem lets no writer in, and a writer that waits cannot be killed.
fn hanging_operation() {
    let images = ImageFolder::new("hang");
    let options = LoopbackOptions {
        time_limit: Duration::from_millis(200),
        ..images.options()
    };
    let mut mount = Mount::loopback(options).expect("a mount");
    mount.reset(&Geometry::default()).expect("a reset");
    let a = name("A");
    mount
        .apply(&Op::File {
            name: a.clone(),
            is_nocow: false,
        })
        .expect("a file");
    let first = folders_of(&images.0, std::process::id())[0].join("first");
    let thread = thread_that_sees(&first);
    freeze("-f", &thread, &first);
    let write = Op::Write {
        name: a.clone(),
        offset: 0,
        content: Content::byte(1, 1),
    };
    let answer = mount.apply(&write);
    freeze("-u", &thread, &first);
    assert_eq!(answer.expect("an answer").outcome, Outcome::Hangs);
    let error = mount.apply(&write).expect_err("the backend is lost");
    assert!(error.to_string().contains("did not come back"), "{error}");
    drop(mount);
    // Thawed, the thread that was left behind comes to its end and cleans up.
    images.becomes("a folder stays", || images.is_empty());
}

/// Returns the thread of this process in whose mount namespace something is mounted at `point`.
fn thread_that_sees(point: &Path) -> PathBuf {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the tasks");
    tasks
        .map(|task| task.expect("a task").path())
        .find(|task| {
            let table = std::fs::read_to_string(task.join("mountinfo")).unwrap_or_default();
            table.contains(&*point.to_string_lossy())
        })
        .expect("the thread of the backend")
}

fn freeze(flag: &str, thread: &Path, point: &Path) {
    // The path must be that of this process as others see it.
    let task = thread
        .file_name()
        .expect("a number")
        .to_string_lossy()
        .into_owned();
    let namespace = format!("/proc/{}/task/{task}/ns/mnt", std::process::id());
    let status = Command::new("nsenter")
        .arg(format!("--mount={namespace}"))
        .args(["fsfreeze", flag])
        .arg(point)
        .status()
        .expect("nsenter and fsfreeze of util-linux");
    assert!(status.success(), "fsfreeze {flag}: {status}");
}

fn kept_image() {
    let images = ImageFolder::new("keep");
    let options = LoopbackOptions {
        keeps_image: true,
        ..images.options()
    };
    drop(Mount::loopback(options).expect("a mount"));
    let kept: Vec<_> = std::fs::read_dir(&images.0)
        .expect("the folder")
        .flatten()
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let len = kept[0].metadata().expect("an image").len();
    assert_eq!(len, Geometry::default().device_bytes);
}

fn no_room() {
    let images = ImageFolder::new("room");
    let finish = |command: &mut Command| {
        let status = command.status().expect("mount and umount of util-linux");
        assert!(status.success(), "{command:?}: {status}");
    };
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
    finish(mount.arg(&images.0));
    let refused = Mount::loopback(images.options()).err();
    let nowhere = LoopbackOptions {
        folder: Some(images.0.join("nix")),
        ..images.options()
    };
    let lost = Mount::loopback(nowhere).err();
    let is_empty = images.is_empty();
    finish(Command::new("umount").arg(&images.0));

    let text = refused.expect("no room").to_string();
    assert!(
        text.contains("an image needs") && text.contains("remedy: "),
        "{text}"
    );
    let text = lost.expect("no folder").to_string();
    assert!(text.contains("which is no folder"), "{text}");
    assert!(is_empty);
}

/// Returns the image in `folder`, which is kept.
fn image_in(folder: &Path, number: u32) -> PathBuf {
    let works = folders_of(folder, std::process::id());
    let work = works.first().expect("a work folder");
    work.join(format!("image-{number}"))
}

fn tampered_image() {
    let folder = ImageFolder::new("tampered");
    let mut mount = tampered_mount(&folder, &Geometry::default(), 1);
    let verified = mount.verify().expect("a check");
    assert!(has_damage(&verified), "{verified:?}");
    // The next run is on a fresh filesystem, and that is clean.
    mount.reset(&Geometry::default()).expect("a reset");
    let verified = mount.verify().expect("a check");
    assert_eq!(verified.complaints, Vec::<String>::new());
}

fn checked_before_thrown_away() {
    let small = Geometry {
        device_bytes: 16 << 20,
        node_bytes: 4096,
        is_mixed: true,
        ..Geometry::default()
    };
    let folder = ImageFolder::new("thrown-away");
    // The first run made the second image already.
    let mut mount = tampered_mount(&folder, &small, 2);
    let verified = mount.retire().expect("a check");
    assert!(has_damage(&verified), "{verified:?}");
    mount.reset(&small).expect("a reset");
    let verified = mount.retire().expect("a check");
    assert_eq!(verified.complaints, Vec::<String>::new());
    drop(mount);

    let folder = ImageFolder::new("kept");
    let mut mount = tampered_mount(&folder, &Geometry::default(), 1);
    let verified = mount.retire().expect("nothing to be checked");
    assert_eq!(verified.complaints, Vec::<String>::new());
    mount
        .reset(&Geometry::default())
        .expect("the same filesystem");
}

/// Returns whether a scrub found bytes that their checksums do not fit.
fn has_damage(verified: &Verified) -> bool {
    let mut lines = verified.complaints.iter();
    lines.any(|line| line.starts_with("scrub: checksum errors: "))
}

/// Returns a mount with a file of which one byte was changed in the image with this number.
fn tampered_mount(folder: &ImageFolder, geometry: &Geometry, number: u32) -> Mount {
    let options = LoopbackOptions {
        geometry: geometry.clone(),
        keeps_image: true,
        ..folder.options()
    };
    let mut mount = Mount::loopback(options).expect("a mount");
    mount.reset(geometry).expect("a reset");
    let marked = Content::pattern(0x5eed, 0, 64 << 10);
    let file = name("A");
    let create = Op::File {
        name: file.clone(),
        is_nocow: false,
    };
    let write = Op::Write {
        name: file,
        offset: 0,
        content: marked.clone(),
    };
    for op in [create, write, Op::Sync] {
        assert_eq!(mount.apply(&op).expect("an answer").outcome, Outcome::Done);
    }
    tamper(&image_in(&folder.0, number), &marked.to_vec());
    mount
}

/// Changes one byte of `marked` where the image holds it.
fn tamper(image: &Path, marked: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(image)
        .expect("the image");
    let len = file.metadata().expect("its length").len().min(4 << 30);
    let mut block = vec![0; 4096];
    let at = (0..len).step_by(4096).find(|at| {
        file.read_exact_at(&mut block, *at).expect("a block");
        block == marked[..4096]
    });
    let at = at.expect("the marked block is in the image");
    file.write_all_at(&[!marked[0]], at).expect("a write");
    file.sync_all().expect("a sync");
}
