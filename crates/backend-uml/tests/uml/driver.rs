//! A driver in a process of its own, to be killed: [`Driver`] holds it, [`drive`] is what it does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use libtest_mimic::Failed;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};
use scenario::{Backend, BackendError, Geometry};

use crate::{look, start};

/// A running driver whose kernel is ready, and all processes that belong to it.
pub(crate) struct Driver {
    pub(crate) child: Child,
    pub(crate) pid: Pid,
    pub(crate) folder: PathBuf,
    pub(crate) guard: Pid,
    processes: Vec<(Pid, OwnedFd)>,
}

/// The driver: starts a kernel, says so, waits for a word, then either ends the kernel or waits.
pub(crate) fn drive() -> ExitCode {
    let work = || -> Result<(), BackendError> {
        let mut uml = start(backend_uml::find(None)?)?;
        uml.reset(&Geometry::default())?;
        println!("ready");
        let mut word = String::new();
        let _ = std::io::stdin().read_line(&mut word);
        if word.trim() == "stay" {
            // A request that is under way makes the guest busy when its driver dies.
            let _ = uml.run(&[look("HANG", 0)]);
        }
        backend_uml::cleanup_all();
        assert!(uml.run(&[look("F0", 0)]).is_err());
        Ok(())
    };
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Driver {
    /// Starts a driver, waits until its kernel runs, tells it `word`.
    pub(crate) fn start(word: &str) -> Result<Driver, Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("driver")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("asked for")).read_line(&mut line)?;
        assert_eq!(line, "ready\n");
        let pid = Pid::from_child(&child);
        let marker = format!("/xsame-uml-{pid}-");
        let mut processes = Vec::new();
        let mut folder = None;
        let mut guard = None;
        for entry in fs::read_dir("/proc")?.flatten() {
            let number = entry
                .file_name()
                .to_str()
                .and_then(|text| text.parse::<i32>().ok());
            let Some(process) = number.and_then(Pid::from_raw) else {
                continue;
            };
            let Ok(arguments) = fs::read(entry.path().join("cmdline")) else {
                continue;
            };
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            let is_ours = |argument: &&str| argument.contains(&marker);
            if let Some(argument) = arguments.split('\0').find(is_ours) {
                let path = argument.split('=').next_back().unwrap_or_default();
                folder.get_or_insert_with(|| PathBuf::from(path));
                let handle = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
                processes.push((process, handle));
                if arguments.contains("\0guard\0") {
                    guard = Some(process);
                }
            }
        }
        // Guard, kernel, a helper or more, and what the kernel traces.
        assert!(4 <= processes.len(), "{processes:?}");
        let mut folder = folder.expect("a process with the folder among its arguments");
        while !folder
            .file_name()
            .is_some_and(|last| last.to_string_lossy().starts_with("xsame-uml-"))
        {
            folder.pop();
        }
        assert!(folder.exists());
        let mut stdin = child.stdin.take().expect("asked for");
        writeln!(stdin, "{word}")?;
        let guard = guard.expect("a guard among the processes");
        Ok(Driver {
            child,
            pid,
            folder,
            guard,
            processes,
        })
    }

    /// Waits until driver and guard are gone.
    pub(crate) fn has_ended(&self) -> Result<(), Failed> {
        wait_for(
            self.pid,
            &rustix::process::pidfd_open(self.pid, PidfdFlags::empty())?,
        )?;
        let guard = self
            .processes
            .iter()
            .find(|(process, _)| *process == self.guard);
        guard.map_or(Ok(()), |(process, handle)| wait_for(*process, handle))
    }

    /// Waits until every process of the kernel is gone.
    pub(crate) fn has_nothing_left(&self) -> Result<(), Failed> {
        self.processes
            .iter()
            .try_for_each(|(process, handle)| wait_for(*process, handle))
    }
}

/// Waits until a process has ended.
fn wait_for(process: Pid, handle: &OwnedFd) -> Result<(), Failed> {
    let limit = Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    let mut polled = [PollFd::new(handle, PollFlags::IN)];
    match rustix::event::poll(&mut polled, Some(&limit))? {
        0 => Err(format!("process {} is still there", process.as_raw_nonzero()).into()),
        _ => Ok(()),
    }
}
