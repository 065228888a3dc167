//! The process between driver and kernel: [`run`]. It makes sure that the kernel does not outlive
//! the driver.
//!
//! User Mode Linux is several processes, and it goes on running when its driver is killed. The
//! guard's standard input is a pipe whose writing end only the driver has; when that end closes
//! the guard kills the kernel's process group and removes the work folder. If the guard itself is
//! killed the kernel gets SIGTERM, upon which it ends all its processes.
//!
//! It does not know what is said over the pipes: the kernel inherits them.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::thread;

use backend_kernel::die_with_parent;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::CpuSet;

/// Returns the arguments that make an agent program a guard over `kernel`.
pub(crate) fn arguments(cpu: usize, folder: &Path, kernel: &Path) -> [OsString; 4] {
    [
        "guard".into(),
        cpu.to_string().into(),
        folder.into(),
        kernel.into(),
    ]
}

/// Runs the kernel given by `args` (CPU, work folder, kernel, arguments of the kernel) until it
/// ends or the driver does, then removes the work folder.
pub fn run(args: &[OsString]) -> ExitCode {
    let [cpu, folder, kernel, kernel_args @ ..] = args else {
        eprintln!("guard: expected a CPU, a folder, a kernel and its arguments");
        return ExitCode::from(2);
    };
    let cpu = cpu.to_str().and_then(|text| text.parse().ok());
    let result = guard(cpu, kernel, kernel_args);
    // The driver may be reading the log right now; it removes the folder as well.
    if is_alone() {
        let _ = std::fs::remove_dir_all(folder);
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guard: cannot run {}: {error}", kernel.display());
            ExitCode::FAILURE
        }
    }
}

fn guard(cpu: Option<usize>, kernel: &OsString, kernel_args: &[OsString]) -> io::Result<()> {
    // Whoever kills all processes named like the program spares this one, which then cleans up.
    let _ = rustix::thread::set_name(c"uml-guard");
    // A kernel that panics aborts: a core of its whole memory is of no use.
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    if let Some(cpu) = cpu {
        // Left free the kernel is three times slower: every system call hops between processes.
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        rustix::thread::sched_setaffinity(None, &cpus)?;
    }
    // What the kernel leaves when it dies becomes ours, and is gone when we say that it is.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut command = Command::new(kernel);
    command.args(kernel_args).process_group(0);
    die_with_parent(&mut command, Signal::TERM);
    let mut child = command.spawn()?;
    // Otherwise the driver would not see the end of the stream when the kernel dies.
    silence_stdout()?;
    let group = group_of(&child);
    thread::spawn(move || {
        wait_until_alone();
        kill(group);
    });
    child.wait()?;
    kill(group);
    reap_all();
    Ok(())
}

/// Returns the group that the child was made the leader of.
fn group_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        // An error means that no process of the group is left.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// Waits for every child, those inherited from the kernel included.
fn reap_all() {
    while matches!(
        rustix::process::wait(WaitOptions::empty()),
        Ok(Some(_)) | Err(rustix::io::Errno::INTR)
    ) {}
}

fn silence_stdout() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(&null)?)
}

/// Waits until nobody holds the writing end of standard input.
fn wait_until_alone() {
    while !poll_is_alone(None) {}
}

/// Returns whether nobody holds the writing end of standard input.
fn is_alone() -> bool {
    poll_is_alone(Some(&rustix::event::Timespec::default()))
}

fn poll_is_alone(timeout: Option<&rustix::event::Timespec>) -> bool {
    let stdin = rustix::stdio::stdin();
    // No event is asked for: a pipe without writers is reported in any case, and the bytes in it
    // are the kernel's.
    let mut polled = [PollFd::new(&stdin, PollFlags::empty())];
    match rustix::event::poll(&mut polled, timeout) {
        Ok(_) => polled[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR),
        Err(rustix::io::Errno::INTR) => false,
        // Without a way to ask, the safe answer is that the driver is gone.
        Err(_) => true,
    }
}
