//! The running kernel asked in place: [`Session`] carries operations out on the calling thread.
//!
//! It knows a [`Place`], not how that came to be mounted, and it has no time limit: if the kernel
//! hangs, so does the caller. [`crate::Mount`] adds both; an agent inside a guest uses it as it is.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode};
use scenario::{
    Answer, Backend, BackendError, Capabilities, CloneCall, DedupeCall, Exchange, Geometry, Layout,
    Name, Observation, Op, Probe, Reply, Verified,
};
use uapi::Errno;

use crate::calls::CallBuffers;
use crate::descriptors::Descriptors;
use crate::log::KernelLog;
use crate::observe::Observer;
use crate::operations::sync;
use crate::place::{Place, Tops, open_directory};
use crate::{errno_of, ioctl, layout, place, process, quota, same, system, tree};

/// From this release on, stamps tell every change (multigrain timestamps).
const FINE_TIMES_SINCE: uapi::Release = uapi::Release::new(6, 13, 0);

/// A run of operations on the running kernel, in a subvolume of its own.
#[derive(Debug)]
pub struct Session {
    pub(crate) place: Place,
    nr_resets: u64,
    run: Option<Run>,
    pub(crate) buffers: CallBuffers,
    pub(crate) observer: Observer,
    log: KernelLog,
    /// Whether quota groups are counted.
    has_quota: bool,
    /// Whether a run has remounted the filesystem read-only.
    pub(crate) is_readonly: bool,
    /// Whether somebody adopts what lies below the maps.
    tells_layouts: bool,
    /// What the last operation found wrong that the kernel's log does not tell.
    pub(crate) complaints: Vec<String>,
}

/// What belongs to one run.
#[derive(Debug)]
pub(crate) struct Run {
    /// The name of the run's subvolume in the place.
    top_name: String,
    pub(crate) tops: Tops,
    pub(crate) fds: Descriptors,
    /// Subvolumes and snapshots in the order of their making.
    pub(crate) subvolumes: Vec<Name>,
}

impl Session {
    /// Returns a session in `place`, before its first run.
    pub fn new(place: Place) -> Session {
        let log = KernelLog::open(place.device.clone());
        let mount = place::mount_of(&place.first);
        let compresses = mount.is_some_and(|mount| mount.options.contains("compress"));
        Session {
            place,
            nr_resets: 0,
            run: None,
            buffers: CallBuffers::default(),
            observer: Observer::new(compresses),
            log,
            has_quota: false,
            is_readonly: false,
            tells_layouts: false,
            complaints: Vec::new(),
        }
    }

    /// Returns whether the kernel's log can be read, so that complaints are seen.
    pub fn sees_kernel_log(&self) -> bool {
        self.log.is_readable()
    }

    /// Carries out one operation and then looks at what the exchange asks for.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the harness could not ask; errnos are outcomes.
    pub fn exchange(&mut self, exchange: &Exchange) -> Result<Reply, BackendError> {
        let answer = self.apply(&exchange.op)?;
        let (observations, layouts) = self.look(&exchange.probes)?;
        Ok(Reply {
            answer,
            observations,
            layouts,
        })
    }

    /// Ends the run, so that nothing is open in the place.
    ///
    /// # Errors
    ///
    /// [`BackendError::System`] if something of it cannot be deleted; it is closed in any case.
    pub(crate) fn leave(&mut self) -> Result<(), BackendError> {
        self.end_run()
    }

    /// Closes everything and leaves what the run has made.
    pub(crate) fn abandon(&mut self) {
        self.observer.forget_all();
        self.run = None;
    }

    /// Ends the run: closes everything and deletes its subvolume with all that is nested in it.
    fn end_run(&mut self) -> Result<(), BackendError> {
        self.observer.forget_all();
        let Some(run) = self.run.take() else {
            return Ok(());
        };
        let Run {
            top_name,
            tops,
            fds,
            mut subvolumes,
        } = run;
        // A deleted subvolume with an open descriptor in it is never cleaned.
        drop(fds);
        drop(tops);
        self.make_writable()?;
        let parent = open_directory(&self.place.first)?;
        let top = self.place.first.join(&top_name);
        // A rename may have put an older one into a newer one.
        subvolumes.sort_by_key(|name| name.components().count());
        for name in subvolumes.iter().rev() {
            let path = top.join(name.as_str());
            let (Some(folder), Some(last)) = (path.parent(), path.file_name()) else {
                continue;
            };
            if let (Ok(folder), Some(last)) = (open_directory(folder), last.to_str()) {
                // What resists (an immutable directory) is left to the slow way below.
                let _ = ioctl::destroy_subvolume(&folder, last);
            }
        }
        match ioctl::destroy_subvolume(&parent, &top_name) {
            Ok(()) => Ok(()),
            Err(_) => tree::remove(&parent, &top_name).map_err(|errno| {
                system(format!("delete the run's folder {}", top.display()), errno)
            }),
        }
    }

    fn begin_run(&mut self) -> Result<(), BackendError> {
        self.nr_resets += 1;
        let top_name = format!("run-{}", self.nr_resets);
        let parent = open_directory(&self.place.first)?;
        ioctl::create_subvolume(&parent, &top_name).map_err(|errno| {
            let folder = self.place.first.display();
            crate::system_errno(
                &format!("create the subvolume {top_name} in {folder}"),
                errno,
            )
        })?;
        let tops = Tops::open(&self.place, &top_name)?;
        // The mode of a model's top, whatever the umask of the caller.
        rustix::fs::fchmod(tops.first(), Mode::from_raw_mode(0o755))
            .map_err(|errno| system("set the mode of the run's folder", errno))?;
        // The first fsync in a subvolume that is not committed yet would commit everything.
        sync(&parent)?;
        let fds = Descriptors::default();
        self.run = Some(Run {
            top_name,
            tops,
            fds,
            subvolumes: Vec::new(),
        });
        Ok(())
    }

    /// Returns the device of the filesystem if quota groups are counted there.
    pub(crate) fn quota_device(&self) -> Option<PathBuf> {
        let device = self.place.device.as_ref().filter(|_| self.has_quota)?;
        Some(Path::new("/dev").join(device))
    }

    /// Returns the run, which there is after a reset.
    pub(crate) fn run_mut(&mut self) -> Result<(&mut Run, &mut CallBuffers), BackendError> {
        match &mut self.run {
            Some(run) => Ok((run, &mut self.buffers)),
            None => Err(BackendError::Channel(
                "the backend was asked before its reset".into(),
            )),
        }
    }
}

impl Backend for Session {
    fn name(&self) -> String {
        format!(
            "mount {}",
            same::kernel_release().map_or_else(String::new, |r| r.to_string())
        )
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    /// Starts a run in a fresh subvolume; the geometry is that of the place, whatever is asked, but
    /// for quota groups.
    fn reset(&mut self, geometry: &Geometry) -> Result<(), BackendError> {
        self.end_run()?;
        if self.has_quota != geometry.has_quota {
            let top = open_directory(&self.place.first)?;
            quota::turn(top.as_fd(), geometry.has_quota)?;
            self.has_quota = geometry.has_quota;
        }
        self.tells_layouts = geometry.is_small();
        self.begin_run()?;
        // What the log said of earlier runs is not this one's.
        drop(self.log.complaints());
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        let outcome = self.carry_out(op)?;
        if let Op::Clone(CloneCall { source, .. }) | Op::Dedupe(DedupeCall { source, .. }) = op {
            self.settle(source);
        }
        let mut complaints = std::mem::take(&mut self.complaints);
        complaints.extend(self.log.complaints());
        Ok(Answer {
            complaints,
            ..Answer::plain(outcome)
        })
    }

    /// Ends the run and scrubs the filesystem; its device is not this session's to unmount.
    fn verify(&mut self) -> Result<Verified, BackendError> {
        self.abandon();
        self.make_writable()?;
        let top = open_directory(&self.place.first)?;
        sync(&top)?;
        crate::verify::scrub(top)
    }

    fn observe(&mut self, probe: &Probe) -> Result<Observation, BackendError> {
        let Some(run) = &mut self.run else {
            return Err(BackendError::Channel(
                "the backend was asked before its reset".into(),
            ));
        };
        self.observer.observe(&mut run.fds, &run.tops, probe)
    }

    fn layout(&mut self, probe: &Probe) -> Result<Option<Layout>, BackendError> {
        let Some(run) = self.run.as_mut().filter(|_| self.tells_layouts) else {
            return Ok(None);
        };
        let Ok(FileType::RegularFile) = run.fds.kind(&run.tops, &probe.name) else {
            return Ok(None);
        };
        match run.fds.readable(&run.tops, &probe.name) {
            Ok(fd) => layout::of(fd).map(Some),
            Err(_) => Ok(None),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody is left to tell; the next start removes what is left.
        let _ = self.end_run();
    }
}

/// Returns what the running kernel can do for this process.
pub(crate) fn capabilities() -> Capabilities {
    let release = same::kernel_release();
    Capabilities {
        release,
        has_extents: true,
        has_exact_shares: true,
        has_trees: process::is_root(),
        has_fine_times: release.is_some_and(|release| FINE_TIMES_SINCE <= release),
        tick: tick(),
        is_root: process::is_root(),
        can_remount: false,
        batch_max: 1024,
        is_real: true,
    }
}

/// Returns the grain of the coarse clock, which stamps inodes.
fn tick() -> Duration {
    let resolution = rustix::time::clock_getres(rustix::time::ClockId::RealtimeCoarse);
    Duration::new(
        u64::try_from(resolution.tv_sec).unwrap_or(0),
        u32::try_from(resolution.tv_nsec).unwrap_or(10_000_000),
    )
}

/// Returns the parent of `name` and its last component; the top has no parent.
pub(crate) fn split(name: &Name) -> Option<(&str, &str)> {
    if name.is_top() {
        return None;
    }
    Some(
        name.as_str()
            .rsplit_once('/')
            .unwrap_or((".", name.as_str())),
    )
}

/// Returns a system call's error as an outcome's errno.
pub(crate) fn refused<T>(result: rustix::io::Result<T>) -> Result<T, Errno> {
    result.map_err(errno_of)
}
