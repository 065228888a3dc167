//! The backend that `xsame` uses on the running kernel: [`Mount`], a [`Session`] in a thread of its
//! own, with the filesystem that it runs on and a time limit for every operation.
//!
//! A batch is one message to that thread and one back; operations within it cost no switch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use scenario::{
    Answer, Backend, BackendError, Capabilities, Exchange, Geometry, Observation, Op, Outcome,
    Probe, Reply, Verified,
};

use crate::directory::Directory;
use crate::loopback::Loopback;
use crate::session::capabilities;
use crate::wait::wait_while;
use crate::watchdog::{Waited, Watched};
use crate::worker::{Command, Ground, SETUP_LIMIT, Worker};
use crate::{leftovers, memory, missing, process};

/// How [`Mount::loopback`] makes its filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackOptions {
    /// Size of the image and of sectors.
    pub geometry: Geometry,
    /// Where the image and the mount points lie; chosen by free space if `None`.
    pub folder: Option<PathBuf>,
    /// Whether the last image stays, as `xsame-mount-….img` in that folder.
    pub keeps_image: bool,
    /// The time limit of an operation; `sync`, `fsync`, `flush` and observations have 60 s if that
    /// is more.
    pub time_limit: Duration,
}

impl Default for LoopbackOptions {
    fn default() -> LoopbackOptions {
        LoopbackOptions {
            geometry: Geometry::default(),
            folder: None,
            keeps_image: false,
            time_limit: Duration::from_secs(10),
        }
    }
}

/// The running kernel, on a btrfs of our own or in a directory of the user's.
#[derive(Debug)]
pub struct Mount {
    name: String,
    capabilities: Capabilities,
    commands: Option<Sender<Command>>,
    results: Receiver<Result<(), BackendError>>,
    watched: Arc<Watched<Reply>>,
    verified: Receiver<Verified>,
    worker: Option<JoinHandle<()>>,
    /// Why nothing more can be asked.
    failure: Option<String>,
}

impl Mount {
    /// Makes a btrfs on a loop device and mounts it, after removing what dead processes left.
    ///
    /// # Errors
    ///
    /// [`BackendError::Missing`] without root, loop device, btrfs, mkfs.btrfs, room or memory.
    pub fn loopback(options: LoopbackOptions) -> Result<Mount, BackendError> {
        if !process::is_root() {
            return Err(missing(
                "a btrfs on a loop device can be made by root only",
                "run as root, or use the uml backend, or mount=DIR with a folder on btrfs",
            ));
        }
        memory::check()?;
        leftovers::remove_leftovers();
        let LoopbackOptions {
            geometry,
            folder,
            keeps_image,
            time_limit,
        } = options;
        if let Some(folder) = &folder {
            leftovers::remove_leftovers_in(folder);
        }
        Mount::start(time_limit, move || {
            process::unshare_mounts().map_err(|error| {
                missing(
                    format!("this process may not have mounts of its own: {error}"),
                    "run with CAP_SYS_ADMIN, or use the uml backend",
                )
            })?;
            Loopback::new(&geometry, folder.as_deref(), keeps_image).map(Ground::Loopback)
        })
        .map(|mut mount| {
            mount.capabilities.can_remount = true;
            mount
        })
    }

    /// Uses a folder of its own, `.xsame-PID-…`, in a directory on a mounted btrfs.
    ///
    /// As root it mounts that folder twice more, where only this process sees it. Mount options and
    /// geometry are the user's.
    ///
    /// # Errors
    ///
    /// [`BackendError::Missing`] if `path` is no directory on btrfs, or memory is short.
    pub fn directory(path: &Path) -> Result<Mount, BackendError> {
        memory::check()?;
        leftovers::remove_leftovers();
        let path = path.to_owned();
        Mount::start(LoopbackOptions::default().time_limit, move || {
            if process::is_root() {
                process::unshare_mounts().map_err(|source| BackendError::System {
                    action: "give the backend's thread mounts of its own".into(),
                    source,
                })?;
            }
            Directory::new(&path).map(Ground::Directory)
        })
    }

    fn start(
        time_limit: Duration,
        make: impl FnOnce() -> Result<Ground, BackendError> + Send + 'static,
    ) -> Result<Mount, BackendError> {
        let watched = Arc::new(Watched::new());
        watched.begin(SETUP_LIMIT);
        let (commands, orders) = mpsc::channel();
        let (answers, results) = mpsc::channel();
        let (found, verified) = mpsc::channel();
        let worker_watched = Arc::clone(&watched);
        let worker = std::thread::Builder::new()
            .name("xsame-kernel".into())
            .spawn(move || {
                let made = make()
                    .and_then(|ground| Worker::new(ground, worker_watched, found, time_limit));
                match made {
                    Ok(mut worker) => worker.serve(&orders, &answers),
                    // Nobody listens any more if this fails, and then nobody wants to know.
                    Err(error) => drop(answers.send(Err(error))),
                }
            })
            .map_err(|source| BackendError::System {
                action: "start a thread".into(),
                source,
            })?;
        let mut mount = Mount {
            name: "mount".to_owned(),
            capabilities: capabilities(),
            commands: Some(commands),
            results,
            watched,
            verified,
            worker: Some(worker),
            failure: None,
        };
        match mount.wait("making the filesystem")? {
            Finished::InTime => {}
            Finished::Never => return Err(mount.failed()),
        }
        if let Some(release) = mount.capabilities.release {
            mount.name = format!("mount {release}");
        }
        Ok(mount)
    }

    fn send(&mut self, command: Command) -> Result<(), BackendError> {
        if self.failure.is_some() {
            return Err(self.failed());
        }
        let is_sent = self
            .commands
            .as_ref()
            .is_some_and(|to| to.send(command).is_ok());
        if !is_sent {
            self.failure = Some("the backend's thread is gone".into());
            return Err(self.failed());
        }
        Ok(())
    }

    fn wait(&mut self, what: &str) -> Result<Finished, BackendError> {
        match self.watched.wait(&self.results) {
            Waited::Sent(result) => result.map(|()| Finished::InTime),
            Waited::Hangs => {
                self.failure = Some(format!(
                    "{what} did not come back within its time limit; the thread that waits for \
                     the kernel cannot be stopped, so start again"
                ));
                Ok(Finished::Never)
            }
            Waited::Gone => {
                self.failure = Some(format!("the backend's thread died in {what}"));
                Err(self.failed())
            }
        }
    }

    fn failed(&self) -> BackendError {
        let text = self
            .failure
            .as_deref()
            .unwrap_or("the backend's thread is gone");
        BackendError::Channel(text.to_owned())
    }

    /// Has the worker check the filesystem; returns what it says.
    fn checked(&mut self, command: Command) -> Result<Verified, BackendError> {
        self.send(command)?;
        match self.wait("checking the filesystem")? {
            Finished::InTime => {}
            Finished::Never => return Err(self.failed()),
        }
        self.verified
            .try_recv()
            .map_err(|_| BackendError::Channel("the check said nothing".into()))
    }

    /// Carries out a batch that the worker may keep.
    fn run_owned(&mut self, batch: Vec<Exchange>) -> Result<Vec<Reply>, BackendError> {
        // An earlier batch that ended with an error may have left some.
        drop(self.watched.take());
        self.send(Command::Run(batch))?;
        let finished = self.wait("an operation")?;
        let mut replies = self.watched.take();
        if let Finished::Never = finished {
            let complaints = crate::log::KernelLog::last_words();
            let answer = Answer {
                complaints,
                ..Answer::plain(Outcome::Hangs)
            };
            replies.push(Reply {
                answer,
                observations: Vec::new(),
                layouts: Vec::new(),
            });
        }
        Ok(replies)
    }
}

/// Whether something came to its end.
enum Finished {
    InTime,
    Never,
}

impl Backend for Mount {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn reset(&mut self, geometry: &Geometry) -> Result<(), BackendError> {
        self.send(Command::Reset(geometry.clone()))?;
        match self.wait("a reset")? {
            Finished::InTime => Ok(()),
            Finished::Never => Err(self.failed()),
        }
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        let exchange = Exchange {
            op: op.clone(),
            probes: Vec::new(),
        };
        let reply = self.run_owned(vec![exchange])?.pop();
        reply.map(|reply| reply.answer).ok_or_else(|| self.failed())
    }

    fn observe(&mut self, probe: &Probe) -> Result<Observation, BackendError> {
        let op = Op::Observe { names: Vec::new() };
        let exchange = Exchange {
            op,
            probes: vec![probe.clone()],
        };
        let reply = self.run_owned(vec![exchange])?.pop();
        reply
            .and_then(|mut reply| reply.observations.pop())
            .ok_or_else(|| self.failed())
    }

    /// Carries out a batch. If an operation or an observation hangs, the last reply is
    /// [`Outcome::Hangs`], the exchanges after it have none, and nothing more can be asked.
    fn run(&mut self, batch: &[Exchange]) -> Result<Vec<Reply>, BackendError> {
        self.run_owned(batch.to_vec())
    }

    fn verify(&mut self) -> Result<Verified, BackendError> {
        self.checked(Command::Verify)
    }

    fn retire(&mut self) -> Result<Verified, BackendError> {
        self.checked(Command::Retire)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.commands = None;
        let Some(worker) = self.worker.take() else {
            return;
        };
        // Wait for it to unmount and remove; a thread that hangs is left behind.
        let limit = if self.failure.is_some() {
            Duration::ZERO
        } else {
            SETUP_LIMIT
        };
        wait_while(limit, Duration::from_micros(200), || !worker.is_finished());
        if worker.is_finished() {
            // It has told its troubles already, or there is nobody to tell.
            drop(worker.join());
        }
        // Else cleanup_all() removes its folders, and the end of the process its mounts.
    }
}
