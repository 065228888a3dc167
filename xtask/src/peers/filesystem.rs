//! Filesystems for the runs: a [`Master`] made once for a set, a [`struct@Copy`] for each run.
//!
//! Images go with their owner, loop devices detach themselves with their mount.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::data::Set;
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
}

/// A filesystem with a set on it, not mounted.
pub(super) struct Master {
    facts: Facts,
    digest: u128,
    folder: PathBuf,
}

/// A copy of a master, mounted.
pub(super) struct Copy {
    mounted: Mounted,
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
    pub(super) fn new(set: &Set, parent: &Path) -> Result<Master, String> {
        println!("making {}: {}", set.name, set.is);
        let point = parent.join("mount");
        fs::create_dir_all(&point).map_err(|error| format!("make {}: {error}", point.display()))?;
        let mut master = Master {
            facts: Facts {
                name: set.name,
                is: set.is,
                used_bytes: 0,
                distinct_bytes: 0,
            },
            digest: 0,
            folder: parent.to_owned(),
        };
        let image = master.image();
        let made = File::create(&image).and_then(|file| file.set_len(set.device_bytes));
        made.map_err(|error| format!("make {}: {error}", image.display()))?;
        output(
            Command::new("mkfs.btrfs")
                .args(["-q", "-f", "-m", "single"])
                .arg(&image),
        )?;
        let mounted = Mounted::new(image, master.point(), false)?;
        set.write(&mounted.point)?;
        mounted.sync()?;
        master.facts.used_bytes = mounted.used_bytes()?;
        let (digest, distinct_bytes) = read_all(&mounted.point)?;
        master.digest = digest;
        master.facts.distinct_bytes = distinct_bytes;
        println!(
            "  {:.1} MB used, {:.1} MB distinct",
            master.facts.used_bytes as f64 / 1e6,
            distinct_bytes as f64 / 1e6,
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

    /// Returns a fresh copy.
    pub(super) fn copy(&self) -> Result<Copy, String> {
        let image = self.folder.join("copy");
        output(
            Command::new("cp")
                .args(["--sparse=always"])
                .arg(self.image())
                .arg(&image),
        )?;
        let mounted = Mounted::new(image, self.point(), true)?;
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

    /// Forgets what was read, so that the next run reads it from the device.
    pub(super) fn drop_caches(&self) -> Result<(), String> {
        self.mounted.sync()?;
        fs::write("/proc/sys/vm/drop_caches", "3").map_err(|error| format!("drop_caches: {error}"))
    }

    /// Reads every file once.
    pub(super) fn warm(&self) -> Result<(), String> {
        read_all(&self.mounted.point).map(drop)
    }

    /// Checks that every byte is as in the master, and the filesystem whole.
    pub(super) fn check(&self, master: &Master) -> Result<(), String> {
        let (digest, _) = read_all(&self.mounted.point)?;
        if digest != master.digest {
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
    fn new(image: PathBuf, point: PathBuf, is_copy: bool) -> Result<Mounted, String> {
        output(
            Command::new("mount")
                .args(["-o", OPTIONS])
                .arg(&image)
                .arg(&point),
        )?;
        Ok(Mounted {
            image,
            point,
            is_copy,
        })
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

/// Reads every file below `top`; returns a digest of names and contents, and how many bytes of
/// distinct blocks there are.
fn read_all(top: &Path) -> Result<(u128, u64), String> {
    let mut digest = Xxh3::new();
    let mut blocks = HashSet::new();
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
            digest.update(
                path.strip_prefix(top)
                    .unwrap_or(&path)
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            let mut file = File::open(&path).map_err(|error| format!("{error}"))?;
            loop {
                bytes.clear();
                let mut piece = (&mut file).take(1 << 20);
                let read = piece.read_to_end(&mut bytes);
                if read.map_err(|error| format!("read {}: {error}", path.display()))? == 0 {
                    break;
                }
                digest.update(&bytes);
                blocks.extend(bytes.chunks(BLOCK).map(xxh3_128));
            }
        }
    }
    Ok((digest.digest128(), (blocks.len() * BLOCK) as u64))
}
