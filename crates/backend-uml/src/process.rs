//! The one unsafe thing: asking the system, between fork and exec, for a signal when the parent
//! dies. It does not know which program is started.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal};

/// Makes the child that `command` starts get `signal` when the thread that starts it ends.
///
/// User Mode Linux ends all its processes on SIGTERM; on SIGKILL its helpers and the processes
/// that it traces live on.
pub(crate) fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    let ask = move || -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // The parent may have died before the request.
        if rustix::process::getppid() != Some::<Pid>(parent) {
            return Err(io::Error::from_raw_os_error(
                rustix::io::Errno::SRCH.raw_os_error(),
            ));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: the closure makes
    // two system calls and allocates nothing (an errno in `io::Error` is a plain number).
    unsafe {
        command.pre_exec(ask);
    }
}
