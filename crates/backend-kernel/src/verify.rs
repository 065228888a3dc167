//! Checking a whole filesystem by means of its own: `btrfs check` of the unmounted device, a scrub
//! of the mounted one.
//!
//! Both say what they found wrong, line by line; nothing is repaired.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use scenario::{BackendError, Verified};

use crate::wait::wait_while;
use crate::{ioctl_trees, system_errno};

/// Where `btrfs` lies if it is not in the path.
const BTRFS_PATHS: [&str; 3] = ["btrfs", "/usr/sbin/btrfs", "/sbin/btrfs"];
/// The most lines of a check that are kept: the first ones say it all.
const LINES_MAX: usize = 20;

/// How long a device is waited for that is still in use, and how soon it is asked again: a mount
/// that was detached is gone a moment after its last user.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// Checks the btrfs on `device`, a device or an image that nobody writes to. Without the program
/// `btrfs` it is left out.
///
/// # Errors
///
/// [`BackendError::System`] if `btrfs` cannot be run.
pub fn check_device(device: &Path) -> Result<Verified, BackendError> {
    wait_until_free(device);
    check_by(&BTRFS_PATHS.map(Path::new), device)
}

/// Waits until nothing on a device is mounted, for a while: the check tells if something still is.
fn wait_until_free(device: &Path) {
    wait_while(PATIENCE, PAUSE, || {
        // Of a block device this asks whether somebody has it for himself (`bd_prepare_to_claim`).
        let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::open(device, flags, Mode::empty()).err() == Some(Errno::BUSY)
    });
}

/// Checks with the first of these programs that is there.
fn check_by(programs: &[&Path], device: &Path) -> Result<Verified, BackendError> {
    for program in programs {
        let arguments = ["check", "--readonly"];
        match Command::new(program).args(arguments).arg(device).output() {
            Ok(output) if output.status.success() => return Ok(Verified::default()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let told = said.lines().filter(|line| !is_progress(line));
                let mut lines: Vec<String> = told
                    .take(LINES_MAX)
                    .map(|line| format!("btrfs check: {}", line.trim()))
                    .collect();
                lines.push(format!("btrfs check: {}", output.status));
                return Ok(Verified {
                    complaints: lines,
                    left_out: Vec::new(),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(BackendError::System {
                    action: format!("run {} check", program.display()),
                    source,
                });
            }
        }
    }
    Ok(Verified {
        complaints: Vec::new(),
        left_out: vec![
            "btrfs check: btrfs is neither in the path nor in /usr/sbin; install btrfs-progs"
                .into(),
        ],
    })
}

/// Returns whether a line tells how far the check is, as `[1/7] checking root items` does.
fn is_progress(line: &str) -> bool {
    line.starts_with('[') || line.starts_with("Opening filesystem") || line.trim().is_empty()
}

/// Reads everything on the device of the mounted filesystem that `top` is on and holds it against
/// its checksums; returns what is wrong.
///
/// # Errors
///
/// [`BackendError::System`] if the kernel refuses.
pub(crate) fn scrub(top: impl AsFd) -> Result<Verified, BackendError> {
    let counts = ioctl_trees::scrub(top).map_err(|errno| system_errno("scrub", errno))?;
    let wrong = counts.errors().into_iter().filter(|(_, nr)| 0 < *nr);
    Ok(Verified {
        complaints: wrong
            .map(|(what, nr)| format!("scrub: {what}: {nr}"))
            .collect(),
        left_out: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_device_that_is_no_btrfs_is_complained_about() {
        let verified = check_device(Path::new("/dev/null")).expect("a verdict");
        let is_told = |line: &String| line.contains("exit status");
        let is_missing = |line: &String| line.contains("install btrfs-progs");
        assert!(
            verified.complaints.iter().any(is_told) || verified.left_out.iter().any(is_missing)
        );
    }

    #[test]
    fn a_check_whose_program_is_nowhere_is_left_out_by_name() {
        let nowhere = Path::new("/nowhere/btrfs");
        let verified = check_by(&[nowhere], Path::new("/dev/null")).expect("a verdict");
        assert_eq!(verified.complaints, [""; 0]);
        let [line] = verified.left_out.as_slice() else {
            panic!("one line: {verified:?}");
        };
        assert!(line.starts_with("btrfs check: "), "{line}");
    }

    #[test]
    fn a_check_that_cannot_start_is_an_error_that_names_it() {
        let folder = TempDir::new().expect("a folder");
        let program = folder.path().join("btrfs");
        fs::write(&program, "this may not be executed").expect("a file");
        let error = check_by(&[&program], Path::new("/dev/null")).expect_err("no program");
        let text = error.to_string();
        assert!(text.contains("btrfs check"), "{text}");
    }

    #[test]
    fn a_scrub_that_cannot_start_is_an_error_that_names_it() {
        let no_btrfs = File::open("/dev/null").expect("a file");
        let error = scrub(no_btrfs).expect_err("nothing to scrub");
        let text = error.to_string();
        assert!(text.contains("scrub"), "{text}");
    }
}
