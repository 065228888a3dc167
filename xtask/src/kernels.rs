//! `cargo xtask kernels`: fetches User Mode Linux kernels that the package manager offers into the
//! cache folder, and lists what is usable.
//!
//! Nothing is installed: each suite has an apt configuration of its own below the cache folder,
//! with the address that the machine's own apt sources name and the suite's name put in its place.
//! A kernel that needs a newer C library than the machine has gets that of its suite beside it.
//! What is in the cache folder is `RELEASE/linux`; how a kernel is chosen from it, `backend-uml`
//! knows. This file knows no host of any archive.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod sources;

use sources::Source;

/// The suites that are asked, oldest first, with the kernels that they had when this was written:
/// 5.10, 6.1, 6.12, 7.2.
const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "forky"];

/// The package, and the program in it.
const PACKAGE: &str = "user-mode-linux";
const PROGRAM: &str = "linux.uml";

/// The C library and the name of its dynamic loader.
const LIBRARY_PACKAGE: &str = "libc6";
const LOADER: &str = "ld-linux-x86-64.so.2";

const USAGE: &str = "usage: cargo xtask kernels [--list] [SUITE ...]";

/// Fetches the kernels of the suites in `args` (all known ones without any) unless they are in the
/// cache, and prints what is usable. `--list` fetches nothing.
///
/// # Errors
///
/// A text that says what to do, if not one kernel is usable. A suite that cannot be had is only
/// reported.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let (flags, suites): (Vec<&str>, Vec<&str>) = args
        .iter()
        .map(String::as_str)
        .partition(|arg| arg.starts_with('-'));
    let does_fetch = match flags[..] {
        [] => true,
        ["--list"] => false,
        _ => return Err(USAGE.to_owned()),
    };
    let cache = cache_folder().ok_or("set XSAME_KERNELS or HOME: where should kernels go?")?;
    if does_fetch {
        let suites = if suites.is_empty() {
            SUITES.to_vec()
        } else {
            suites
        };
        fetch_all(&cache, &suites)?;
    }
    let usable = list(&cache);
    if usable == 0 {
        let text = format!("no usable kernel: install the Debian package {PACKAGE}");
        return Err(text);
    }
    Ok(())
}

/// Fetches what is not in the cache; reports what cannot be had.
fn fetch_all(cache: &Path, suites: &[&str]) -> Result<(), String> {
    let source = sources::of_this_machine();
    for suite in suites {
        let known = cached(cache)
            .into_iter()
            .find(|kernel| kernel.suite == *suite);
        if let Some(kernel) = known {
            println!("{suite}: {} is in the cache", kernel.release);
            continue;
        }
        let staging = cache.join(format!("staging-{suite}-{}", std::process::id()));
        let fetched = match &source {
            Some(source) => fetch(cache, &staging, source, suite),
            None => Err("no apt source of this machine's distribution".to_owned()),
        };
        match fetched {
            Ok(release) => println!("{suite}: fetched {release}"),
            Err(reason) => println!("{suite}: skipped: {reason}"),
        }
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(|error| told(&staging, &error))?;
        }
    }
    Ok(())
}

/// Fetches the kernel of a suite. Returns its release.
fn fetch(cache: &Path, staging: &Path, source: &Source, suite: &str) -> Result<String, String> {
    let apt = Apt::new(staging, source, suite)?;
    apt.get(&["update", "-qq"])?;
    let kernel_folder = staging.join("kernel");
    apt.unpack(PACKAGE, &kernel_folder)?;
    let linux = staging.join("linux");
    let program = kernel_folder.join("usr/bin").join(PROGRAM);
    fs::copy(&program, &linux).map_err(|error| told(&program, &error))?;

    let mut library = None;
    if release_of(&linux).is_err() {
        let unpacked = staging.join("libc");
        apt.unpack(LIBRARY_PACKAGE, &unpacked)?;
        let folder = library_folder(&unpacked)
            .ok_or_else(|| format!("no {LOADER} in the suite's {LIBRARY_PACKAGE}"))?;
        point_at(&linux, &folder)?;
        library = Some(folder);
    }
    let release = release_of(&linux)?;

    let target = cache.join(&release);
    let _ = fs::remove_dir_all(&target);
    fs::create_dir_all(&target).map_err(|error| told(&target, &error))?;
    if let Some(folder) = library {
        let lib = target.join("lib");
        fs::create_dir_all(&lib).map_err(|error| told(&lib, &error))?;
        copy_files(&folder, &lib)?;
        point_at(&linux, &lib)?;
    }
    fs::write(target.join("suite"), suite).map_err(|error| told(&target, &error))?;
    // Last, since a kernel counts as there when this file is.
    let place = target.join("linux");
    fs::rename(&linux, &place).map_err(|error| told(&place, &error))?;
    release_of(&place)
}

/// An apt that sees one suite and installs nothing.
struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn new(folder: &Path, source: &Source, suite: &str) -> Result<Apt, String> {
        for part in ["lists/partial", "cache/archives/partial", "debs"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(|error| told(&path, &error))?;
        }
        let list = folder.join("sources.list");
        fs::write(&list, source.line(suite)).map_err(|error| told(&list, &error))?;
        // With nothing installed, nothing installed counts as newer than what the suite has.
        let status = folder.join("status");
        fs::write(&status, "").map_err(|error| told(&status, &error))?;
        let at = |part: &str| folder.join(part).display().to_string();
        let options = vec![
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            "Debug::NoLocking=1".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        Ok(Apt {
            folder: folder.to_owned(),
            options,
        })
    }

    fn get(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new("apt-get");
        for option in &self.options {
            command.args(["-o", option]);
        }
        finish(
            command
                .args(arguments)
                .current_dir(self.folder.join("debs")),
        )
    }

    /// Downloads a package and unpacks it to `target`.
    fn unpack(&self, package: &str, target: &Path) -> Result<(), String> {
        self.get(&["download", "-qq", package])?;
        let debs = self.folder.join("debs");
        let begin = format!("{package}_");
        let deb = files_of(&debs)
            .into_iter()
            .find(|path| name_of(path).starts_with(&begin))
            .ok_or_else(|| format!("apt-get download {package} left no file"))?;
        finish(Command::new("dpkg").arg("-x").arg(deb).arg(target))
    }
}

/// Makes `linux` use the C library in `folder`.
fn point_at(linux: &Path, folder: &Path) -> Result<(), String> {
    let mut patchelf = Command::new("patchelf");
    patchelf.arg("--set-interpreter").arg(folder.join(LOADER));
    patchelf.arg("--set-rpath").arg(folder).arg(linux);
    finish(&mut patchelf).map_err(|error| {
        format!("needs a newer C library: {error} (the Debian package patchelf is needed)")
    })
}

/// Returns the folder of the unpacked package that has the loader.
fn library_folder(unpacked: &Path) -> Option<PathBuf> {
    ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"]
        .map(|part| unpacked.join(part))
        .into_iter()
        .find(|folder| folder.join(LOADER).exists())
}

fn copy_files(from: &Path, to: &Path) -> Result<(), String> {
    for path in files_of(from) {
        if path.is_file() {
            fs::copy(&path, to.join(name_of(&path))).map_err(|error| told(&path, &error))?;
        }
    }
    Ok(())
}

/// Returns whether the cache has a kernel of a release such as `6.12`, whatever its patch level.
pub(crate) fn is_cached(release: &str) -> bool {
    let begin = format!("{release}.");
    let kernels = cache_folder().map(|folder| cached(&folder));
    let mut kernels = kernels.unwrap_or_default().into_iter();
    kernels.any(|kernel| kernel.release.starts_with(&begin))
}

/// A kernel in the cache.
struct Cached {
    release: String,
    suite: String,
    linux: PathBuf,
}

/// Returns the kernels in the cache, whether they run or not.
fn cached(cache: &Path) -> Vec<Cached> {
    let mut kernels: Vec<Cached> = files_of(cache)
        .into_iter()
        .map(|folder| Cached {
            release: name_of(&folder),
            suite: fs::read_to_string(folder.join("suite")).unwrap_or_default(),
            linux: folder.join("linux"),
        })
        .filter(|kernel| kernel.linux.is_file())
        .collect();
    kernels.sort_by_key(|kernel| numbers(&kernel.release));
    kernels
}

/// Prints every kernel in the search path and the cache. Returns how many are usable.
fn list(cache: &Path) -> usize {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path)
        .map(|folder| folder.join(PROGRAM))
        .find(|p| p.is_file());
    let cached = cached(cache).into_iter().map(|kernel| kernel.linux);
    let mut nr_usable = 0;
    for linux in installed.into_iter().chain(cached) {
        match release_of(&linux) {
            Ok(release) => {
                nr_usable += 1;
                println!("usable: --backend uml={release} ({})", linux.display());
            }
            Err(reason) => println!("not usable: {}: {reason}", linux.display()),
        }
    }
    nr_usable
}

/// Asks a kernel for its release.
fn release_of(linux: &Path) -> Result<String, String> {
    let output = Command::new(linux)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| told(linux, &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let release = text.lines().last().unwrap_or_default().trim();
    if release.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(release.to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(complaint
        .lines()
        .next()
        .unwrap_or("it tells no release")
        .to_owned())
}

/// Returns the numbers of a release, for sorting.
fn numbers(release: &str) -> Vec<u32> {
    release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok())
        .collect()
}

/// Returns where kernels are kept: as `backend_uml::cache_folder`.
fn cache_folder() -> Option<PathBuf> {
    let variable = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("XSAME_KERNELS").or_else(|| {
        let cache = variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))?;
        Some(cache.join("xsame/kernels"))
    })
}

fn finish(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let is_error = |line: &&str| line.starts_with("E:");
    let line = complaint
        .lines()
        .find(is_error)
        .or(complaint.lines().next());
    Err(format!(
        "{program}: {}",
        line.unwrap_or("failed without a word")
    ))
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
