//! The thread that asks the kernel: [`Worker`], a session with the ground it stands on, takes
//! [`Command`]s and tells its progress.
//!
//! It does not know who waits for it, nor what happens when it is late.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use rustix::fs::statvfs;
use scenario::{Backend, BackendError, Exchange, Geometry, Op, Reply, Verified};

use crate::directory::Directory;
use crate::loopback::Loopback;
use crate::place::{Place, open_directory};
use crate::session::Session;
use crate::watchdog::Watched;
use crate::{leftovers, missing, same};

/// The time limit of making, replacing and removing a filesystem.
pub(crate) const SETUP_LIMIT: Duration = Duration::from_secs(60);
/// The time limit of an operation that writes everything back, and of looking at a file.
const LONG_LIMIT: Duration = Duration::from_secs(60);
/// The time limit of checking a whole filesystem.
const VERIFY_LIMIT: Duration = Duration::from_secs(300);
/// How many runs one filesystem of ours sees: deleted runs leave their traces in free space.
const NR_RUNS_PER_IMAGE: u64 = 256;

/// What the worker is told to do. It answers each with one result.
#[derive(Debug)]
pub(crate) enum Command {
    Reset(Geometry),
    Run(Vec<Exchange>),
    /// What is wrong goes a way of its own.
    Verify,
    /// Verify if the next reset makes the filesystem anew.
    Retire,
}

/// What runs stand on.
#[derive(Debug)]
pub(crate) enum Ground {
    Loopback(Loopback),
    Directory(Directory),
}

impl Ground {
    fn place(&self) -> Place {
        match self {
            Ground::Loopback(loopback) => loopback.place(),
            Ground::Directory(directory) => directory.place(),
        }
    }
}

/// The state of the worker's thread. Fields are dropped in this order: descriptors before mounts.
#[derive(Debug)]
pub(crate) struct Worker {
    session: Session,
    ground: Ground,
    nr_runs: u64,
    watched: Arc<Watched<Reply>>,
    verified: Sender<Verified>,
    time_limit: Duration,
}

impl Worker {
    pub(crate) fn new(
        ground: Ground,
        watched: Arc<Watched<Reply>>,
        verified: Sender<Verified>,
        time_limit: Duration,
    ) -> Result<Worker, BackendError> {
        let place = ground.place();
        if !same::is_known_by(open_directory(&place.first)?) {
            return Err(missing(
                "btrfs in this kernel does not know the extent-same ioctl (new in 3.12)",
                "boot a newer kernel, or use the uml backend, which brings one",
            ));
        }
        let session = Session::new(place);
        Ok(Worker {
            session,
            ground,
            nr_runs: 0,
            watched,
            verified,
            time_limit,
        })
    }

    /// Says that it is there, then carries out what it is told to until nobody tells it anything.
    pub(crate) fn serve(
        &mut self,
        orders: &Receiver<Command>,
        answers: &Sender<Result<(), BackendError>>,
    ) {
        self.watched.rest();
        if answers.send(Ok(())).is_err() {
            return;
        }
        while let Ok(command) = orders.recv() {
            let result = match command {
                Command::Reset(geometry) => {
                    self.watched.begin(SETUP_LIMIT);
                    self.reset(&geometry)
                }
                Command::Run(batch) => self.run(&batch),
                Command::Verify => {
                    self.watched.begin(VERIFY_LIMIT);
                    self.verify().and_then(|verified| self.tell(verified))
                }
                Command::Retire => {
                    self.watched.begin(VERIFY_LIMIT);
                    self.retire().and_then(|verified| self.tell(verified))
                }
            };
            self.watched.rest();
            if answers.send(result).is_err() {
                break;
            }
        }
    }

    fn reset(&mut self, geometry: &Geometry) -> Result<(), BackendError> {
        stop_if_told()?;
        if let Ground::Directory(_) = &self.ground {
            check_usual(geometry)?;
        }
        if let Ground::Loopback(loopback) = &mut self.ground {
            let is_worn = is_worn(loopback, self.nr_runs);
            if is_worn || loopback.geometry() != geometry {
                self.session.leave()?;
                loopback.renew(geometry)?;
                self.session = Session::new(loopback.place());
                self.nr_runs = 0;
            }
        }
        self.nr_runs += 1;
        self.session.reset(geometry)
    }

    fn run(&mut self, batch: &[Exchange]) -> Result<(), BackendError> {
        for exchange in batch {
            stop_if_told()?;
            self.watched.begin(self.limit(&exchange.op));
            let answer = self.session.apply(&exchange.op)?;
            self.watched.begin(LONG_LIMIT.max(self.time_limit));
            let (observations, layouts) = self.session.look(&exchange.probes)?;
            self.watched.push(Reply {
                answer,
                observations,
                layouts,
            });
        }
        Ok(())
    }

    /// Ends the run and checks the filesystem, if it is ours. The next run is on a fresh one.
    fn verify(&mut self) -> Result<Verified, BackendError> {
        match &mut self.ground {
            Ground::Loopback(loopback) => {
                self.session.abandon();
                self.nr_runs = NR_RUNS_PER_IMAGE;
                loopback.verify()
            }
            Ground::Directory(_) => Ok(Verified {
                complaints: Vec::new(),
                left_out: vec!["the filesystem of the directory is not ours to check".into()],
            }),
        }
    }

    /// Ends the run and checks the filesystem if the next reset makes it anew.
    fn retire(&mut self) -> Result<Verified, BackendError> {
        match &self.ground {
            Ground::Loopback(loopback) if is_worn(loopback, self.nr_runs) => self.verify(),
            Ground::Loopback(_) | Ground::Directory(_) => Ok(Verified::default()),
        }
    }

    fn tell(&self, verified: Verified) -> Result<(), BackendError> {
        // Nobody listens any more if this fails, and then nobody wants to know.
        drop(self.verified.send(verified));
        Ok(())
    }

    fn limit(&self, op: &Op) -> Duration {
        match op {
            Op::Sync
            | Op::Remount { .. }
            | Op::Tree
            | Op::Delete { .. }
            | Op::Fsync { .. }
            | Op::Flush { .. }
            | Op::Fiemap { .. }
            | Op::DirectWrite { .. }
            | Op::MappedWrite { .. }
            | Op::Snapshot { .. } => LONG_LIMIT.max(self.time_limit),
            _ => self.time_limit,
        }
    }
}

/// Returns whether the next run is to have a fresh filesystem. On a small one what earlier runs
/// left would take the room of later ones.
fn is_worn(loopback: &Loopback, nr_runs: u64) -> bool {
    loopback.geometry().is_small()
        || NR_RUNS_PER_IMAGE <= nr_runs
        || is_half_full(&loopback.place())
}

/// Returns whether less than half of the filesystem is free: the allocator then cuts extents.
fn is_half_full(place: &Place) -> bool {
    statvfs(&place.first).is_ok_and(|stat| stat.f_bavail < stat.f_blocks / 2)
}

/// Checks that runs in a directory ask for nothing that its filesystem would have to be changed
/// for.
fn check_usual(geometry: &Geometry) -> Result<(), BackendError> {
    let usual = Geometry {
        device_bytes: geometry.device_bytes,
        ..Geometry::default()
    };
    if *geometry == usual {
        return Ok(());
    }
    Err(missing(
        format!("the filesystem of a directory is not ours to change: {geometry}"),
        "leave the keys of mkfs out, or use the mount backend without a directory (as root) or uml",
    ))
}

fn stop_if_told() -> Result<(), BackendError> {
    match leftovers::is_stopping() {
        true => Err(BackendError::Channel("the program is being stopped".into())),
        false => Ok(()),
    }
}
