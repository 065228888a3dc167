//! Work folders: where they are made, whose they are, and how those of dead drivers are removed.
//!
//! A folder is named by the process that made it: `xsame-uml-PID-STARTTIME-N`. It does not know
//! what is in a folder.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::StatVfsMountFlags;
use rustix::process::{Pid, Signal};
use scenario::BackendError;

const PREFIX: &str = "xsame-uml-";

/// The image and what the kernel writes beside it, in bytes, with room to spare.
const FREE_BYTES_BESIDE_MEMORY: u64 = 256 << 20;

/// Makes a new work folder on a filesystem that has room for a kernel with `memory_bytes`.
pub(crate) fn create(memory_bytes: u64) -> Result<PathBuf, BackendError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let base = base(memory_bytes)?;
    let pid = std::process::id();
    let start = start_time(pid).unwrap_or(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = base.join(format!("{PREFIX}{pid}-{start}-{number}"));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                let action = format!("create the work folder {}", folder.display());
                return Err(BackendError::System { action, source });
            }
        }
    }
}

/// Removes the work folders of drivers that are no longer alive, and ends what still runs in them.
/// What belongs to other users is left alone.
pub fn remove_leftovers() {
    for base in bases() {
        let Ok(entries) = fs::read_dir(base) else {
            continue;
        };
        for entry in entries.flatten() {
            if is_leftover(&entry.file_name().to_string_lossy()) {
                end_processes_of(&entry.path());
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Kills every process that has `folder` in one of its arguments, as all of a kernel's have.
fn end_processes_of(folder: &Path) {
    let folder = folder.as_os_str().as_encoded_bytes();
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        let Ok(arguments) = fs::read(process.path().join("cmdline")) else {
            continue;
        };
        let is_of_folder = arguments.split(|byte| *byte == 0).any(|argument| {
            argument == folder || argument.strip_prefix(b"uml_dir=") == Some(folder)
        });
        if is_of_folder {
            // Guard and kernel lead groups of their own; helpers lead none.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// Returns whether a folder of this name was made by a process that is not alive.
fn is_leftover(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let mut numbers = rest.split('-').map(str::parse::<u64>);
    let (Some(Ok(pid)), Some(Ok(start))) = (numbers.next(), numbers.next()) else {
        return false;
    };
    u32::try_from(pid).ok().and_then(start_time) != Some(start)
}

/// Returns when a process was started, in clock ticks since boot, if it is alive.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything; field 3 comes right behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (state != "Z").then_some(start)
}

fn bases() -> [PathBuf; 2] {
    [PathBuf::from("/dev/shm"), std::env::temp_dir()]
}

/// Returns the first place with room for the memory of a kernel, from which it may execute.
fn base(memory_bytes: u64) -> Result<PathBuf, BackendError> {
    let needed = memory_bytes + FREE_BYTES_BESIDE_MEMORY;
    for base in bases() {
        let Ok(stat) = rustix::fs::statvfs(&base) else {
            continue;
        };
        let is_executable = !stat.f_flag.contains(StatVfsMountFlags::NOEXEC);
        let is_writable = rustix::fs::access(&base, rustix::fs::Access::WRITE_OK).is_ok();
        let has_room = needed <= stat.f_bavail.saturating_mul(stat.f_frsize);
        if is_executable && is_writable && has_room {
            return Ok(base);
        }
    }
    let [first, second] = bases();
    Err(BackendError::Missing {
        what: format!(
            "{} MiB for the memory of a User Mode Linux kernel, looked for in {} and {}",
            needed >> 20,
            first.display(),
            second.display(),
        ),
        remedy: "point TMPDIR at a folder with that much room, on a filesystem mounted without \
                 noexec"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_dead_processes_are_leftovers() {
        let pid = std::process::id();
        let start = start_time(pid).expect("this process is alive");
        assert!(!is_leftover(&format!("{PREFIX}{pid}-{start}-0")));
        assert!(is_leftover(&format!("{PREFIX}{pid}-{}-0", start + 1)));
        assert!(is_leftover(&format!("{PREFIX}999999999-1-0")));
        assert!(!is_leftover("xsame-other-1-1-0"));
        assert!(!is_leftover(&format!("{PREFIX}x-1-0")));
    }
}
