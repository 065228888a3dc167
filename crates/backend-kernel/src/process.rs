//! What concerns this process, its threads and its children: callers without privilege, private
//! mounts, children that end with their parent, marks by which a later start tells whether a
//! process still lives.
#![expect(unsafe_code, reason = "a file that talks to the kernel raw")]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{Gid, Uid};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, Signal};
use rustix::thread;
use scenario::op::Caller;

/// Gives the calling thread mounts of its own: they vanish with it, however it ends.
///
/// # Errors
///
/// What `unshare(2)` says; `EPERM` without `CAP_SYS_ADMIN`.
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: only the mount namespace (and with it, working directory and umask) of this thread is
    // unshared; descriptors stay shared, so no other thread's can dangle.
    unsafe { thread::unshare_unsafe(thread::UnshareFlags::NEWNS) }?;
    // Where the root is no mount of its own (chroot), this fails; our mounts are then unmounted by
    // hand like everybody else's.
    let _ = mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    );
    Ok(())
}

/// Returns whether the process may act as any caller.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs `call` as [`Caller::User`] on this thread alone, then becomes root again.
///
/// # Errors
///
/// What the system says if the thread cannot change its caller or stays privileged.
pub(crate) fn as_user<T>(call: impl FnOnce() -> T) -> io::Result<T> {
    let groups = rustix::process::getgroups()?;
    let _privileged = Privileged { groups };
    let (uid, gid) = (
        Uid::from_raw(Caller::USER_UID),
        Gid::from_raw(Caller::USER_UID),
    );
    thread::set_thread_groups(&[])?;
    // The saved ids stay 0, or there would be no way back.
    thread::set_thread_res_gid(gid, gid, Gid::ROOT)?;
    thread::set_thread_res_uid(uid, uid, Uid::ROOT)?;
    if !thread::capabilities(None)?.effective.is_empty() {
        return Err(io::Error::other(
            "effective capabilities survive a change of uid",
        ));
    }
    Ok(call())
}

/// A thread that becomes root again when this is dropped.
struct Privileged {
    groups: Vec<Gid>,
}

impl Drop for Privileged {
    fn drop(&mut self) {
        // The uid first: with it come the capabilities that the others need.
        let restored = thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
            .and_then(|()| thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT))
            .and_then(|()| thread::set_thread_groups(&self.groups));
        // Going on as another caller would make every later answer wrong.
        restored.expect("a thread whose saved uid is 0 becomes root again");
    }
}

/// Has the disk serve everybody else first: threads that begin from now on, and this one.
///
/// # Errors
///
/// What `ioprio_set(2)` says.
pub(crate) fn set_idle_io() -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_IDLE: libc::c_int = 3;
    const CLASS_SHIFT: libc::c_int = 13;
    let priority = CLASS_IDLE << CLASS_SHIFT;
    // SAFETY: the call takes numbers only; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the child that `command` starts get `signal` when the thread that starts it ends.
///
/// User Mode Linux ends all its processes on SIGTERM; on SIGKILL its helpers and the processes
/// that it traces live on.
pub fn die_with_parent(command: &mut Command, signal: Signal) {
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

/// Returns the mark of this process in names of folders: its id and when it started.
pub(crate) fn mark() -> String {
    let pid = std::process::id();
    format!("{pid}-{}", start_ticks(pid).unwrap_or(0))
}

/// Returns whether `mark` is of a process that lives no more. False for what is no mark.
pub(crate) fn is_dead(mark: &str) -> bool {
    let mut numbers = mark.splitn(3, '-');
    let Some(pid) = numbers.next().and_then(|text| text.parse().ok()) else {
        return false;
    };
    let Some(start) = numbers.next().and_then(|text| text.parse::<u64>().ok()) else {
        return false;
    };
    start_ticks(pid) != Some(start)
}

/// Returns when a process started, in ticks since boot.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field may contain blanks and parentheses; field 22 is the 20th after it.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive() {
        assert!(!is_dead(&mark()));
        assert!(!is_dead(&format!("{}-0", mark())));
    }

    #[test]
    fn a_process_of_the_same_number_but_another_start_is_another() {
        assert!(is_dead(&format!("{}-1", std::process::id())));
    }

    #[test]
    fn a_text_that_is_no_mark_is_not_dead() {
        assert!(!is_dead("something"));
        assert!(!is_dead(""));
    }
}
