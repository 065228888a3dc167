//! Running the program: [`xsame`]; [`check_refused`] where it is used in a wrong way.

use std::path::Path;
use std::process::Command;

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Returns the last line on stdout.
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or("")
    }
}

/// Runs the program in a folder, arguments separated by blanks.
pub(crate) fn xsame(folder: &Path, arguments: &str) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_xsame"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the program starts");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Checks that wrong use is refused, with words that have all of these parts.
#[track_caller]
pub(crate) fn check_refused(folder: &Path, arguments: &str, parts: &[&str]) {
    let ended = xsame(folder, arguments);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stdout, "");
    for part in parts {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
}
