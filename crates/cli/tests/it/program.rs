//! Running the program: [`xsame`].

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
