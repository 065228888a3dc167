//! The command line of a kernel: [`Machine`]. It does not start anything.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::agent;

/// The device of the filesystem inside the guest.
pub(crate) const DEVICE: &str = "/dev/ubda";

/// What a kernel is started with.
pub(crate) struct Machine<'a> {
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// The file behind [`DEVICE`].
    pub(crate) image: &'a Path,
    /// The work folder.
    pub(crate) folder: &'a Path,
    /// The folder that carries requests.
    pub(crate) channel: &'a Path,
    /// The program that is init, and its first arguments.
    pub(crate) program: &'a Path,
    /// Its arguments before those of the agent.
    pub(crate) program_args: &'a [OsString],
    /// The options with which the filesystem is mounted.
    pub(crate) mount_options: &'a str,
}

impl Machine<'_> {
    /// Returns the arguments of the kernel, or `None` if one contains a quotation mark, which the
    /// kernel's command line cannot carry.
    pub(crate) fn arguments(&self) -> Option<Vec<OsString>> {
        let mut arguments: Vec<OsString> = [
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            // The guest changes nothing outside, even if it is root there.
            "ro",
            "quiet",
            // The serial line carries doorbell and frames. The console, kernel messages and what
            // init prints, goes to standard error: the log.
            "con=null",
            "con0=null,fd:2",
            "ssl=null",
            "ssl0=fd:0,fd:1",
            // Given here, or the kernel adds it behind the arguments of init.
            "console=tty0",
        ]
        .map(OsString::from)
        .into();
        arguments.push(format!("mem={}M", self.memory_mib).into());
        arguments.push(parameter("ubda=", self.image)?);
        arguments.push(parameter("uml_dir=", self.folder)?);
        arguments.push(parameter("init=", self.program)?);
        arguments.push("--".into());
        for argument in self.program_args {
            arguments.push(parameter("", argument)?);
        }
        for argument in agent::guest_arguments(self.channel, DEVICE, self.mount_options) {
            arguments.push(parameter("", &argument)?);
        }
        Some(arguments)
    }
}

/// Returns `name` followed by `value`, quoted as the kernel's parser wants it.
fn parameter(name: &str, value: impl AsRef<OsStr>) -> Option<OsString> {
    let value = value.as_ref();
    let bytes = value.as_encoded_bytes();
    if bytes.contains(&b'"') {
        return None;
    }
    let mut parameter = OsString::from(name);
    if bytes.iter().any(u8::is_ascii_whitespace) {
        parameter.push("\"");
        parameter.push(value);
        parameter.push("\"");
    } else {
        parameter.push(value);
    }
    Some(parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_blanks_are_quoted_and_quotation_marks_refused() {
        assert_eq!(parameter("init=", "/a/b"), Some("init=/a/b".into()));
        assert_eq!(parameter("init=", "/a b/c"), Some("init=\"/a b/c\"".into()));
        assert_eq!(parameter("init=", "/a\"b"), None);
    }
}
