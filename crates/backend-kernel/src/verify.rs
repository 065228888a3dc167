//! Checking a whole filesystem by means of its own: `btrfs check` of the unmounted device, a scrub
//! of the mounted one.
//!
//! Both say what they found wrong, line by line; nothing is repaired.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use scenario::BackendError;

use crate::{ioctl_trees, missing, system_errno};

/// Where `btrfs` lies if it is not in the path.
const BTRFS_PATHS: [&str; 3] = ["btrfs", "/usr/sbin/btrfs", "/sbin/btrfs"];
/// The most lines of a check that are kept: the first ones say it all.
const LINES_MAX: usize = 20;

/// Checks the btrfs on `device`, which is not mounted; returns what is wrong with it.
///
/// # Errors
///
/// [`BackendError::Missing`] without `btrfs`, [`BackendError::System`] if it cannot be run.
pub(crate) fn check_device(device: &Path) -> Result<Vec<String>, BackendError> {
    for program in BTRFS_PATHS {
        let arguments = ["check", "--readonly"];
        match Command::new(program).args(arguments).arg(device).output() {
            Ok(output) if output.status.success() => return Ok(Vec::new()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let told = said.lines().filter(|line| !is_progress(line));
                let mut lines: Vec<String> = told
                    .take(LINES_MAX)
                    .map(|line| format!("btrfs check: {}", line.trim()))
                    .collect();
                lines.push(format!("btrfs check: {}", output.status));
                return Ok(lines);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(BackendError::System {
                    action: format!("run {program} check"),
                    source,
                });
            }
        }
    }
    Err(missing(
        "btrfs is neither in the path nor in /usr/sbin, so the filesystem cannot be checked",
        "install the package btrfs-progs, or say --deep-every 0",
    ))
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
pub(crate) fn scrub(top: impl AsFd) -> Result<Vec<String>, BackendError> {
    let counts = ioctl_trees::scrub(top).map_err(|errno| system_errno("scrub", errno))?;
    let wrong = counts.errors().into_iter().filter(|(_, nr)| 0 < *nr);
    Ok(wrong
        .map(|(what, nr)| format!("scrub: {what}: {nr}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_no_btrfs_is_complained_about() {
        match check_device(Path::new("/dev/null")) {
            Ok(lines) => assert!(lines.iter().any(|line| line.contains("exit status"))),
            Err(BackendError::Missing { what, .. }) => assert!(what.starts_with("btrfs is")),
            Err(error) => panic!("{error}"),
        }
    }
}
