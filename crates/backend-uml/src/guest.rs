//! The driver's end of one running kernel: [`Guest`]. It does not know the language of requests
//! and replies, and it starts a kernel once: after its death another guest is made.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use scenario::{BackendError, Geometry};
use uapi::Release;

use crate::channel::{self, Decoder, Frame, Kind, Request};
use crate::live::{self, Guard, Id};
use crate::machine::Machine;
use crate::{UmlOptions, guard, image, work};

/// How long a kernel may take from its start to the agent's first word.
const BOOT_TIME_MAX: Duration = Duration::from_secs(60);

/// How much of the end of the log is told in errors, in bytes.
const LOG_TAIL_LEN: u64 = 4096;

/// A running kernel with an agent that is ready.
pub(crate) struct Guest {
    id: Id,
    geometry: Geometry,
    frames: ChildStdout,
    decoder: Decoder,
    channel: PathBuf,
    log: PathBuf,
    next_sequence: u64,
    release: Release,
}

/// What came of waiting for a frame.
#[derive(Debug)]
pub(crate) enum Event {
    /// The guest said this.
    Frame(Frame),
    /// It said nothing within the time limit.
    Silence,
    /// Its kernel is no more.
    End,
}

impl Guest {
    /// Starts a kernel over a filesystem of this geometry and waits for its agent.
    pub(crate) fn start(options: &UmlOptions, geometry: &Geometry) -> Result<Guest, BackendError> {
        let folder = work::create(options.memory_mib << 20)?;
        let id = live::add(folder.clone());
        let mut guest =
            start_in(&folder, id, options, geometry).inspect_err(|_| live::remove(id))?;
        let kernel = options.kernel.display();
        match guest.wait(BOOT_TIME_MAX)? {
            Event::Frame(Frame {
                kind: Kind::Hello,
                payload,
            }) => {
                guest.release = payload
                    .parse()
                    .map_err(|error| BackendError::Channel(format!("{kernel}: {error}")))?;
                Ok(guest)
            }
            Event::Frame(frame) => Err(BackendError::Channel(format!(
                "the guest of {kernel} could not be set up: {}",
                frame.payload
            ))),
            Event::Silence => Err(BackendError::Channel(format!(
                "{kernel} did not boot within {} s; its log ends:\n{}",
                BOOT_TIME_MAX.as_secs(),
                guest.log_tail(),
            ))),
            Event::End => Err(BackendError::Channel(format!(
                "{kernel} ended while booting; its log ends:\n{}",
                guest.log_tail(),
            ))),
        }
    }

    /// Returns the geometry of the filesystem.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the release that runs.
    pub(crate) fn release(&self) -> Release {
        self.release
    }

    /// Returns the image that the guest's filesystem is on.
    pub(crate) fn image(&self) -> PathBuf {
        self.channel.with_file_name(IMAGE)
    }

    /// Hands a request to the guest.
    pub(crate) fn send(&mut self, request: &Request) -> Result<(), BackendError> {
        let path = self.channel.join(channel::request_name(self.next_sequence));
        fs::write(&path, request.print()).map_err(|source| system("write", &path, source))?;
        self.next_sequence += 1;
        match live::ring(self.id) {
            // A dead kernel is noticed, with its last words, by whoever waits for the answer.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|source| system("ring the doorbell of", &path, source)),
        }
    }

    /// Waits for the next frame, at most `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Event, BackendError> {
        let deadline = Instant::now() + limit;
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(frame) = self.decoder.take() {
                return Ok(Event::Frame(frame));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Event::Silence);
            }
            if !self.is_readable(left)? {
                continue;
            }
            match self.frames.read(&mut buffer) {
                Ok(0) => return Ok(Event::End),
                Ok(len) => self.decoder.push(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(system("read the answers of", &self.channel, source)),
            }
        }
    }

    /// Returns what the console said last.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let start = text.len().saturating_sub(LOG_TAIL_LEN as usize);
        String::from_utf8_lossy(&text[start..]).into_owned()
    }

    /// Returns the lines of the console from the first that announces a panic on, or `None` if
    /// the kernel did not panic.
    pub(crate) fn panic_lines(&self) -> Option<Vec<String>> {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let is_bad = |line: &&str| {
            ["Kernel panic", "BUG:", "kernel BUG at", "WARNING:", "Oops"]
                .iter()
                .any(|word| line.contains(word))
        };
        text.contains("Kernel panic").then(|| {
            text.lines()
                .filter(is_bad)
                .map(|line| line.trim().to_owned())
                .collect()
        })
    }

    /// Removes the request files that the guest has read.
    pub(crate) fn forget_requests(&mut self) {
        if let Some(last) = self.next_sequence.checked_sub(1) {
            let _ = fs::remove_file(self.channel.join(channel::request_name(last)));
        }
    }

    fn is_readable(&self, limit: Duration) -> Result<bool, BackendError> {
        let mut polled = [PollFd::new(&self.frames, PollFlags::IN)];
        let limit = Timespec::try_from(limit).unwrap_or_default();
        match rustix::event::poll(&mut polled, Some(&limit)) {
            Ok(nr_ready) => Ok(0 < nr_ready),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(system("wait for", &self.channel, errno.into())),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        live::remove(self.id);
    }
}

/// The name of the image beside the channel's folder.
const IMAGE: &str = "image";

/// Prepares `folder` and starts a guard with a kernel in it.
fn start_in(
    folder: &Path,
    id: Id,
    options: &UmlOptions,
    geometry: &Geometry,
) -> Result<Guest, BackendError> {
    let channel = folder.join("channel");
    fs::create_dir(&channel).map_err(|source| system("create", &channel, source))?;
    let image = folder.join(IMAGE);
    image::make(&image, geometry)?;
    let log = folder.join("log");
    let log_file = File::create(&log).map_err(|source| system("create", &log, source))?;
    let machine = Machine {
        memory_mib: options.memory_mib,
        image: &image,
        folder,
        channel: &channel,
        program: &options.agent,
        program_args: &options.agent_args,
        mount_options: &backend_kernel::mount_options(geometry),
    };
    let arguments = machine.arguments().ok_or_else(|| BackendError::Missing {
        what: format!(
            "a path without quotation marks: {}",
            options.agent.display()
        ),
        remedy: "move the program: a kernel's command line cannot name it".to_owned(),
    })?;
    let mut process = Command::new(&options.agent)
        .args(&options.agent_args)
        .args(guard::arguments(
            options.cpu.unwrap_or_else(next_cpu),
            folder,
            &options.kernel,
        ))
        .args(arguments)
        .env("TMPDIR", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log_file)
        // Control-C on a terminal is for the driver; the guard follows it.
        .process_group(0)
        .spawn()
        .map_err(|source| system("start", &options.agent, source))?;
    let line = process.stdin.take().expect("standard input was asked for");
    let frames = process
        .stdout
        .take()
        .expect("standard output was asked for");
    live::attach(id, Guard { process, line });
    Ok(Guest {
        id,
        geometry: geometry.clone(),
        frames,
        decoder: Decoder::default(),
        channel,
        log,
        next_sequence: 0,
        release: Release::default(),
    })
}

/// Returns a CPU of those that this process may use, the last first, another one each time.
fn next_cpu() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else {
        return 0;
    };
    let cpus: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
        .rev()
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    cpus.get(NEXT.fetch_add(1, Ordering::Relaxed) % cpus.len().max(1))
        .copied()
        .unwrap_or(0)
}

fn system(action: &str, path: &Path, source: io::Error) -> BackendError {
    BackendError::System {
        action: format!("{action} {}", path.display()),
        source,
    }
}
