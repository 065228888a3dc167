//! Filesystems for the runs: a [`Master`] made once for a set, a [`struct@Copy`] for each run.
//!
//! Images go with their owner, loop devices detach themselves with their mount.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::data::Set;
use super::optimum;
use crate::command::output;

/// Bytes of a block.
const BLOCK: usize = 4096;
/// Mounted for every run; the rest is what the kernel does by itself.
const OPTIONS: &str = "loop,noatime";

/// What a set is like before anybody dedupes it.
#[derive(Clone)]
pub(super) struct Facts {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) is: &'static str,
    /// Used data bytes.
    pub(super) used_bytes: u64,
    /// Bytes of its distinct blocks.
    pub(super) distinct_bytes: u64,
    /// The least that can be left of whole extents, where that is searched for.
    pub(super) optimum_bytes: Option<u64>,
    /// Whether what is used is less than what files are.
    pub(super) is_compressed: bool,
    /// The seconds after which a tool is stopped.
    pub(super) limit_s: u64,
    /// How often each tool ran, cold and warm.
    pub(super) nr_runs: usize,
    /// The load average while they ran: what else the machine did.
    pub(super) load: f64,
}

/// A filesystem with a set on it, not mounted.
pub(super) struct Master {
    facts: Facts,
    digest: u128,
    folder: PathBuf,
    options: String,
}

/// A copy of a master, mounted.
pub(super) struct Copy {
    mounted: Mounted,
}

/// A filesystem for one measurement, empty at first. Its image has no name, so that it is gone with
/// the mount.
pub(super) struct Scratch {
    mounted: Mounted,
}

impl Scratch {
    /// Makes it in a folder.
    pub(super) fn new(folder: &Path, device_bytes: u64) -> Result<Scratch, String> {
        let (image, point) = (folder.join("image"), folder.join("mount"));
        fs::create_dir_all(&point).map_err(|error| format!("make {}: {error}", point.display()))?;
        make(&image, device_bytes)?;
        let mounted = Mounted::new(image, point, true, OPTIONS)?;
        fs::remove_file(&mounted.image)
            .map_err(|error| format!("remove {}: {error}", mounted.image.display()))?;
        mounted.bypass_cache()?;
        Ok(Scratch { mounted })
    }

    /// Returns where it is mounted.
    pub(super) fn point(&self) -> &Path {
        &self.mounted.point
    }

    /// Commits.
    pub(super) fn sync(&self) -> Result<(), String> {
        self.mounted.sync()
    }

    /// Returns the used data bytes, after a commit.
    pub(super) fn used_bytes(&self) -> Result<u64, String> {
        self.mounted.sync()?;
        self.mounted.used_bytes()
    }
}

/// Makes an image with an empty btrfs.
fn make(image: &Path, device_bytes: u64) -> Result<(), String> {
    let made = File::create(image).and_then(|file| file.set_len(device_bytes));
    made.map_err(|error| format!("make {}: {error}", image.display()))?;
    let mut mkfs = Command::new("mkfs.btrfs");
    output(mkfs.args(["-q", "-f", "-m", "single"]).arg(image)).map(drop)
}

/// A mounted image.
struct Mounted {
    image: PathBuf,
    point: PathBuf,
    /// Whether the image goes with the mount.
    is_copy: bool,
}

impl Master {
    /// Makes the filesystem in a folder.
    pub(super) fn new(
        set: &Set,
        parent: &Path,
        nr_runs: usize,
        limit_s: u64,
    ) -> Result<Master, String> {
        println!("making {}: {}", set.name, set.is);
        let point = parent.join("mount");
        fs::create_dir_all(&point).map_err(|error| format!("make {}: {error}", point.display()))?;
        let mut master = Master {
            facts: Facts {
                name: set.name,
                is: set.is,
                used_bytes: 0,
                distinct_bytes: 0,
                optimum_bytes: None,
                is_compressed: set.is_compressed(),
                limit_s,
                nr_runs,
                load: 0.0,
            },
            digest: 0,
            folder: parent.to_owned(),
            options: match set.options {
                "" => OPTIONS.to_owned(),
                own => format!("{OPTIONS},{own}"),
            },
        };
        let image = master.image();
        make(&image, set.device_bytes)?;
        let mounted = Mounted::new(image, master.point(), false, &master.options)?;
        set.write(&mounted.point)?;
        mounted.sync()?;
        master.facts.used_bytes = mounted.used_bytes()?;
        let mut blocks = HashSet::new();
        master.digest = digest(&mounted.point, |bytes| {
            blocks.extend(bytes.chunks(BLOCK).map(xxh3_128));
        })?;
        let distinct_bytes = (blocks.len() * BLOCK) as u64;
        master.facts.distinct_bytes = distinct_bytes;
        if set.has_optimum {
            let optimum = optimum::used_bytes(&mounted.point, &mounted.image)?;
            master.facts.optimum_bytes = Some(optimum);
        }
        println!(
            "  {:.1} MB used, {:.1} MB distinct{}",
            master.facts.used_bytes as f64 / 1e6,
            distinct_bytes as f64 / 1e6,
            match master.facts.optimum_bytes {
                None => String::new(),
                Some(bytes) => format!(
                    ", {:.1} MB the optimum of whole extents",
                    bytes as f64 / 1e6
                ),
            },
        );
        drop(mounted);
        Ok(master)
    }

    /// Returns what the set is like.
    pub(super) fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// Returns the folder for everything but the set.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a fresh copy, of which nothing is in the page cache.
    pub(super) fn copy(&self) -> Result<Copy, String> {
        let image = self.folder.join("copy");
        output(
            Command::new("cp")
                .args(["--sparse=always"])
                .arg(self.image())
                .arg(&image),
        )?;
        let mounted = Mounted::new(image, self.point(), true, &self.options)?;
        Ok(Copy { mounted })
    }

    fn image(&self) -> PathBuf {
        self.folder.join("master")
    }

    fn point(&self) -> PathBuf {
        self.folder.join("mount")
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.image());
    }
}

impl Copy {
    /// Returns the folder that the set is in.
    pub(super) fn point(&self) -> &Path {
        &self.mounted.point
    }

    /// Returns the used data bytes, after a commit.
    pub(super) fn used_bytes(&self) -> Result<u64, String> {
        self.mounted.sync()?;
        self.mounted.used_bytes()
    }

    /// Reads every file once.
    pub(super) fn warm(&self) -> Result<(), String> {
        read_all(&self.mounted.point, |_| {}, |_| {})
    }

    /// Checks that every byte is as in the master, and the filesystem whole.
    pub(super) fn check(&self, master: &Master) -> Result<(), String> {
        if digest(&self.mounted.point, |_| {})? != master.digest {
            return Err("a file is not what it was before".to_owned());
        }
        output(
            Command::new("btrfs")
                .args(["scrub", "start", "-B", "-r"])
                .arg(self.point()),
        )?;
        output(Command::new("umount").arg(self.point()))?;
        let checked = output(
            Command::new("btrfs")
                .args(["check", "--force"])
                .arg(&self.mounted.image),
        );
        checked.map(drop)
    }
}

impl Mounted {
    fn new(
        image: PathBuf,
        point: PathBuf,
        is_copy: bool,
        options: &str,
    ) -> Result<Mounted, String> {
        output(
            Command::new("mount")
                .args(["-o", options])
                .arg(&image)
                .arg(&point),
        )?;
        Ok(Mounted {
            image,
            point,
            is_copy,
        })
    }

    /// Keeps the image out of the page cache, where the filesystem that it is on can do that:
    /// all that is read would be there twice.
    fn bypass_cache(&self) -> Result<(), String> {
        let mut findmnt = Command::new("findmnt");
        let device = output(findmnt.args(["-n", "-o", "SOURCE"]).arg(&self.point))?;
        let mut losetup = Command::new("losetup");
        // If it cannot, runs on much data take longer, and are none the less right.
        let _ = output(losetup.arg("--direct-io=on").arg(device.trim()));
        Ok(())
    }

    fn sync(&self) -> Result<(), String> {
        output(
            Command::new("btrfs")
                .args(["filesystem", "sync"])
                .arg(&self.point),
        )
        .map(drop)
    }

    fn used_bytes(&self) -> Result<u64, String> {
        let mut command = Command::new("btrfs");
        let said = output(command.args(["filesystem", "df", "--raw"]).arg(&self.point))?;
        let line = said.lines().find(|line| line.starts_with("Data"));
        let used = line.and_then(|line| line.split("used=").nth(1));
        used.and_then(|used| used.trim().parse().ok())
            .ok_or(format!("btrfs filesystem df says {said:?}"))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = output(Command::new("umount").arg(&self.point));
        if self.is_copy {
            let _ = fs::remove_file(&self.image);
        }
    }
}

/// Returns a digest of names and contents of every file below `top`; `visit` sees the contents.
fn digest(top: &Path, mut visit: impl FnMut(&[u8])) -> Result<u128, String> {
    let digest = RefCell::new(Xxh3::new());
    read_all(
        top,
        |path| {
            let name = path.strip_prefix(top).unwrap_or(path).as_os_str();
            digest.borrow_mut().update(name.as_encoded_bytes());
        },
        |bytes| {
            digest.borrow_mut().update(bytes);
            visit(bytes);
        },
    )?;
    Ok(digest.into_inner().digest128())
}

/// Reads every file below `top` in pieces of whole blocks; `begin` is told where one begins.
fn read_all(
    top: &Path,
    mut begin: impl FnMut(&Path),
    mut visit: impl FnMut(&[u8]),
) -> Result<(), String> {
    let mut folders = vec![top.to_owned()];
    let mut bytes = Vec::new();
    while let Some(folder) = folders.pop() {
        let wrong = |error| format!("list {}: {error}", folder.display());
        let entries: Result<Vec<_>, _> = fs::read_dir(&folder).map_err(wrong)?.collect();
        let mut paths: Vec<PathBuf> = entries.map_err(wrong)?.iter().map(|it| it.path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            begin(&path);
            let mut file = File::open(&path).map_err(|error| format!("{error}"))?;
            loop {
                bytes.clear();
                let mut piece = (&mut file).take(1 << 20);
                let read = piece.read_to_end(&mut bytes);
                if read.map_err(|error| format!("read {}: {error}", path.display()))? == 0 {
                    break;
                }
                visit(&bytes);
            }
        }
    }
    Ok(())
}
