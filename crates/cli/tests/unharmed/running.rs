//! Running programs: `xsame` ([`dupes`], [`start`]), and others that have to succeed ([`run`]).

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The program.
pub(crate) const XSAME: &str = env!("CARGO_BIN_EXE_xsame");

/// Returns a number that the environment sets, or `default`.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    let asked = std::env::var(name).ok();
    asked
        .and_then(|asked| asked.parse().ok())
        .unwrap_or(default)
}

/// Returns whether a program is in the path.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs a program that has to succeed, arguments separated by blanks; returns what it printed.
#[track_caller]
pub(crate) fn run(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the command `xsame dupes` with these arguments, for a folder or a file.
pub(crate) fn command(arguments: &str, path: &Path) -> Command {
    let mut command = Command::new(XSAME);
    command
        .arg("dupes")
        .args(arguments.split_whitespace())
        .arg(path);
    command
}

/// Runs `xsame dupes`.
pub(crate) fn dupes(arguments: &str, path: &Path) -> Output {
    let output = command(arguments, path).output();
    output.expect("the program starts")
}

/// Starts `xsame dupes` and does not wait.
pub(crate) fn start(arguments: &str, path: &Path) -> Child {
    let mut command = command(arguments, path);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Returns the object that it printed.
#[track_caller]
pub(crate) fn json_of(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Returns a number of what it printed.
#[track_caller]
pub(crate) fn number(said: &Value, part: &str, name: &str) -> u64 {
    let number = said[part][name].as_u64();
    number.unwrap_or_else(|| panic!("no number {part}.{name}: {said}"))
}

/// Returns what it printed to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
