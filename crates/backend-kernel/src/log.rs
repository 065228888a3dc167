//! The kernel's log as an oracle: [`KernelLog`] picks the lines that complain about btrfs or about
//! the filesystem under test.
//!
//! It does not know which operation is under way; whoever reads after each operation does.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, SeekFrom, open, seek};
use rustix::io::{Errno, read};

/// Where the kernel's messages can be read as records.
const PATH: &str = "/dev/kmsg";
/// Longest report that is kept, in lines.
const NR_LINES_MAX: usize = 60;
/// Lines that begin a report of several lines.
const BEGINNINGS: [&str; 10] = [
    "cut here",
    "WARNING:",
    "BUG:",
    "kernel BUG",
    "Oops",
    "general protection fault",
    "Unable to handle kernel",
    "INFO: task",
    "INFO: possible",
    "KASAN:",
];
/// Lines that end one.
const ENDINGS: [&str; 2] = ["end trace", "</TASK>"];
/// What makes a report one about our subject.
const SUBJECTS: [&str; 6] = ["btrfs", "BTRFS", "dedupe", "remap_", "fs/iomap", "xsame"];

/// The log from the moment of opening on.
#[derive(Debug)]
pub(crate) struct KernelLog {
    kmsg: Option<OwnedFd>,
    buffer: Vec<u8>,
    filter: Filter,
}

impl KernelLog {
    /// Opens the log at its end. Where it may not be read, it will have no lines.
    pub(crate) fn open(device: Option<String>) -> KernelLog {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let kmsg = open(PATH, flags, Mode::empty())
            .and_then(|fd| seek(&fd, SeekFrom::End(0)).map(|_| fd))
            .ok();
        let filter = Filter {
            device,
            report: Vec::new(),
        };
        KernelLog {
            kmsg,
            filter,
            ..KernelLog::closed()
        }
    }

    /// Returns the last reports in the log, complete or not: for when an operation hangs, and the
    /// thread that reads the log hangs with it.
    pub(crate) fn last_words() -> Vec<String> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(kmsg) = open(PATH, flags, Mode::empty()) else {
            return Vec::new();
        };
        let mut log = KernelLog {
            kmsg: Some(kmsg),
            ..KernelLog::closed()
        };
        let mut complaints = log.complaints();
        complaints.append(&mut log.filter.report);
        complaints.split_off(complaints.len().saturating_sub(NR_LINES_MAX))
    }

    fn closed() -> KernelLog {
        KernelLog {
            kmsg: None,
            buffer: vec![0; 8192],
            filter: Filter::default(),
        }
    }

    /// Returns whether the log can be read.
    pub(crate) fn is_readable(&self) -> bool {
        self.kmsg.is_some()
    }

    /// Returns what was complained about since the last call.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        let Some(kmsg) = &self.kmsg else {
            return complaints;
        };
        loop {
            match read(kmsg, &mut self.buffer[..]) {
                Ok(0) => break,
                Ok(len) => {
                    let record = String::from_utf8_lossy(&self.buffer[..len]);
                    self.filter.take(message(&record), &mut complaints);
                }
                // Overwritten before we came to it: go on with what is there.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(_) => break,
            }
        }
        complaints
    }
}

/// Returns the text of a record: `6,339,5140900,-;text\n KEY=value`.
fn message(record: &str) -> &str {
    let text = record.split_once(';').map_or(record, |parts| parts.1);
    text.lines().next().unwrap_or("")
}

/// Decides line by line what is a complaint.
#[derive(Debug, Default)]
struct Filter {
    device: Option<String>,
    /// The lines of a report that has begun.
    report: Vec<String>,
}

impl Filter {
    fn take(&mut self, line: &str, complaints: &mut Vec<String>) {
        let begins = BEGINNINGS.iter().any(|beginning| line.contains(beginning));
        if !begins && self.report.is_empty() {
            if self.is_btrfs_complaint(line) {
                complaints.push(line.to_owned());
            }
            return;
        }
        self.report.push(line.to_owned());
        let ends = ENDINGS.iter().any(|ending| line.contains(ending));
        if ends || NR_LINES_MAX <= self.report.len() {
            let report = std::mem::take(&mut self.report);
            if report
                .iter()
                .any(|line| SUBJECTS.iter().any(|subject| line.contains(subject)))
            {
                complaints.extend(report);
            }
        }
    }

    /// Returns whether a line of btrfs itself complains, and not about somebody else's device.
    fn is_btrfs_complaint(&self, line: &str) -> bool {
        let Some(at) = line.find("BTRFS ") else {
            return false;
        };
        let is_ours = match (&self.device, line.split_once("(device ")) {
            // `(device loop3)` or `(device loop3 state EA)`.
            (Some(device), Some((_, rest))) => {
                rest.split([' ', ')', ':']).next() == Some(device.as_str())
            }
            (None, _) | (_, None) => true,
        };
        let level = line[at + "BTRFS ".len()..]
            .split([' ', ':'])
            .next()
            .unwrap_or("");
        let is_level = matches!(level, "error" | "critical" | "alert" | "emergency");
        let phrases = [
            "csum failed",
            "forced readonly",
            "corrupt",
            "abort",
            "checksum",
        ];
        is_ours && (is_level || phrases.iter().any(|phrase| line.contains(phrase)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expected: &[&str]) {
        let mut filter = Filter {
            device: Some("loop3".into()),
            report: Vec::new(),
        };
        let mut complaints = Vec::new();
        for line in lines {
            filter.take(line, &mut complaints);
        }
        assert_eq!(complaints, expected);
    }

    #[test]
    fn an_error_on_our_device_is_a_complaint() {
        let line = "BTRFS error (device loop3 state A): bad tree block";
        check(&[line], &[line]);
        let line = "BTRFS warning (device loop3): csum failed root 5 ino 257";
        check(&[line], &[line]);
    }

    #[test]
    fn errors_on_other_devices_and_news_are_not() {
        check(&["BTRFS error (device loop4): bad tree block"], &[]);
        check(
            &["BTRFS info (device loop3): enabling free space tree"],
            &[],
        );
        check(&["usb 1-1: BUG or feature"], &[]);
    }

    #[test]
    fn a_warning_is_kept_whole_if_it_is_about_btrfs() {
        let lines = [
            "------------[ cut here ]------------",
            "WARNING: CPU: 1 PID: 7 at fs/btrfs/inode.c:1 btrfs_evict_inode+0x1/0x2",
            "---[ end trace 0000000000000000 ]---",
        ];
        check(&lines, &lines);
        check(
            &[
                "WARNING: CPU: 1 PID: 7 at net/core/dev.c:1 x+0x1/0x2",
                "end trace",
            ],
            &[],
        );
    }

    #[test]
    fn a_record_gives_its_first_line_of_text() {
        assert_eq!(
            message("6,339,5140900,-;text; more\n SUBSYSTEM=x\n"),
            "text; more"
        );
    }
}
