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

use crate::{find, look, start};

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
        let mut uml = start(find()?)?;
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
        let [guard] = children(pid)?[..] else {
            return Err("the driver has no guard, or more than one".into());
        };
        let mut processes = Vec::new();
        let mut unseen = vec![guard];
        while let Some(process) = unseen.pop() {
            let handle = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
            processes.push((process, handle));
            unseen.extend(children(process)?);
        }
        // Guard, kernel, and at least one process in the guest.
        assert!(3 <= processes.len(), "{processes:?}");
        let arguments = fs::read(format!("/proc/{pid}/cmdline", pid = guard.as_raw_nonzero()))?;
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let folder = arguments
            .split('\0')
            .skip_while(|argument| *argument != "guard")
            .nth(2);
        let folder = PathBuf::from(folder.unwrap_or_default());
        assert!(folder.join("image").exists(), "{arguments:?}");
        let mut stdin = child.stdin.take().expect("asked for");
        writeln!(stdin, "{word}")?;
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

/// Returns the processes that `parent` has started and that still run.
fn children(parent: Pid) -> Result<Vec<Pid>, Failed> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The name, in parentheses, may contain anything; the parent is field 4.
        let Some((before, after)) = stat.split_once(" (").zip(stat.rsplit_once(") ")) else {
            continue;
        };
        let numbers = (before.0.parse(), after.1.split(' ').nth(1).map(str::parse));
        if let (Ok(process), Some(Ok(ppid))) = numbers
            && Pid::from_raw(ppid) == Some(parent)
        {
            children.extend(Pid::from_raw(process));
        }
    }
    Ok(children)
}
