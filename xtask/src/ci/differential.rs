//! The stage `diff`: the release build of `xsame` holds the model against every kernel that this
//! machine has. A kernel that is missing is left out by name; one that is there has to agree.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::LeftOut;
use crate::command::{cargo, find, finish, target_folder};
use crate::kernels;

/// The seeds that the running kernel is asked.
const SEEDS: [u32; 3] = [1, 2, 3];
/// Runs on filesystems of another kind, one with many snapshots and a compressed one, by the
/// running kernel.
const MODES: [&[&str]; 6] = [
    &["--quota"],
    &["--data", "nodatacow"],
    &["--data", "nodatasum"],
    &["--csum", "blake2", "--nodesize", "4k"],
    &["--snapshots", "20"],
    &["--compress", "zstd"],
];
/// Those of them in which the oldest and the newest kernel of the cache differ most.
const CACHED_MODES: [&[&str]; 2] = [&["--quota"], &["--compress", "zstd"]];
/// The releases that these are asked of.
const CACHED_MODES_RELEASES: [&str; 2] = ["5.10", "7.2"];
/// The User Mode Linux kernels of the cache that are asked besides the installed one.
const CACHED_RELEASES: [&str; 3] = ["5.10", "6.12", "7.2"];
/// uid and gid of `nobody`.
const NOBODY: u32 = 65534;

pub(super) fn run() -> Result<LeftOut, String> {
    finish(&mut cargo(&["build", "--release", "--bin", "xsame"]))?;
    let xsame = target_folder().join("release/xsame");
    let folder = Folder::new(&xsame)?;
    let mut left_out = LeftOut::new();

    let mut failed = Vec::new();
    let mut compare = |xsame, backend: &str, steps, seed, mode: &[&str]| {
        failed.extend(diff(xsame, &folder.0, backend, steps, seed, mode).err());
    };

    match mount_lacks() {
        None => {
            for seed in SEEDS {
                compare(Command::new(&xsame), "mount", 5000, seed, &[]);
            }
            for mode in MODES {
                compare(Command::new(&xsame), "mount", 1500, 1, mode);
            }
        }
        Some(reason) => left_out.push(format!("mount ({reason})")),
    }
    match find("linux.uml") {
        Some(_) => compare(folder.unprivileged()?, "uml", 2000, 1, &[]),
        None => left_out.push("uml (install the Debian package user-mode-linux)".to_owned()),
    }
    // The cache is that of the caller, and nobody else may be able to read it.
    for release in CACHED_RELEASES {
        let backend = format!("uml={release}");
        match kernels::is_cached(release) {
            true => {
                compare(Command::new(&xsame), &backend, 2000, 1, &[]);
                let is_in_modes = CACHED_MODES_RELEASES.contains(&release);
                for mode in CACHED_MODES.iter().filter(|_| is_in_modes) {
                    compare(Command::new(&xsame), &backend, 1000, 1, mode);
                }
            }
            false => left_out.push(format!("{backend} (cargo xtask kernels fetches it)")),
        }
    }
    compare(Command::new(&xsame), "reference", 5000, 1, &[]);
    // How the model grows, as far as that takes seconds.
    let mut scale = Command::new(&xsame);
    failed.extend(finish(scale.args(["bench", "--scale", "--extents", "100000"])).err());
    match failed.is_empty() {
        true => Ok(left_out),
        false => Err(failed.join("; ")),
    }
}

/// Runs one comparison. Files that show a divergence go to `out`.
fn diff(
    mut xsame: Command,
    out: &Path,
    backend: &str,
    steps: u32,
    seed: u32,
    mode: &[&str],
) -> Result<(), String> {
    let steps = steps.to_string();
    let seed = seed.to_string();
    xsame.args(["diff", "--backend", backend]);
    xsame.args(["--steps", &steps, "--seed", &seed, "--out"]);
    finish(xsame.arg(out).args(mode))
}

/// Returns what keeps the running kernel from being asked, if anything does.
fn mount_lacks() -> Option<&'static str> {
    let knows_btrfs = || {
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let is_known = known.lines().any(|line| line.trim() == "btrfs");
        is_known
            || Command::new("modprobe")
                .args(["-q", "btrfs"])
                .status()
                .is_ok_and(|status| status.success())
    };
    if !is_root() {
        Some("needs root")
    } else if find("mkfs.btrfs").is_none() {
        Some("install the Debian package btrfs-progs")
    } else if !Path::new("/dev/loop-control").exists() {
        Some("no loop devices here")
    } else if !knows_btrfs() {
        Some("this kernel has no btrfs")
    } else {
        None
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A folder that everybody may write to, with a copy of the program; gone when dropped, unless it
/// has files that show a divergence.
struct Folder(PathBuf);

impl Folder {
    fn new(xsame: &Path) -> Result<Folder, String> {
        let path = env::temp_dir().join(format!("xsame-ci-{}", std::process::id()));
        let told = |error| format!("cannot prepare {}: {error}", path.display());
        fs::create_dir_all(path.join("home")).map_err(told)?;
        fs::copy(xsame, path.join("xsame")).map_err(told)?;
        for open in [&path, &path.join("home")] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).map_err(told)?;
            if is_root() {
                chown(open, Some(NOBODY), Some(NOBODY)).map_err(told)?;
            }
        }
        Ok(Folder(path))
    }

    /// Returns the program as a user without privileges starts it.
    fn unprivileged(&self) -> Result<Command, String> {
        let xsame = self.0.join("xsame");
        if !is_root() {
            return Ok(Command::new(xsame));
        }
        let setpriv = find("setpriv").ok_or("no setpriv: install the Debian package util-linux")?;
        let mut command = Command::new(setpriv);
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
        command.arg(xsame);
        command
            .current_dir(&self.0)
            .env("HOME", self.0.join("home"));
        // These may name folders of root's.
        for name in ["XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"] {
            command.env_remove(name);
        }
        Ok(command)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let own = ["home", "xsame"];
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let found = entries.filter(|entry| own.iter().all(|own| entry.file_name() != *own));
        if found.count() == 0 {
            drop(fs::remove_dir_all(&self.0));
        } else {
            println!("what shows the divergence is in {}", self.0.display());
        }
    }
}
