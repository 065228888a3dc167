//! The backend in the guest: [`Stub`] knows a few names and no filesystem.

use std::fs;
use std::time::Duration;

use backend_uml::agent::Mounts;
use scenario::{
    Answer, Backend, BackendError, Capabilities, FileKind, Geometry, MapFlags, MapRun, Observation,
    Op, Outcome, Probe, Stat, Storage,
};

/// Answers [`Stub::directory`], or [`Stub::file`] for `LONG`, with the number that the probe's
/// hint carries. Making a file `PANIC`, `HANG` or `CRASH` does that.
pub(crate) struct Stub {
    mounts: Mounts,
    has_reset: bool,
}

impl Stub {
    pub(crate) fn new(mounts: &Mounts) -> Stub {
        Stub {
            mounts: mounts.clone(),
            has_reset: false,
        }
    }

    fn stat(kind: FileKind, number: u64) -> Stat {
        Stat {
            kind,
            size: number,
            blocks: 0,
            mode: 0o644,
            uid: 0,
            mtime_changed: false,
            ctime_changed: false,
        }
    }

    pub(crate) fn directory(number: u64) -> Observation {
        Observation::Other {
            stat: Stub::stat(FileKind::Directory, number),
        }
    }

    pub(crate) fn file(nr_runs: u64) -> Observation {
        let run = |number: u64| MapRun {
            offset: number << 13,
            len: 4096,
            storage: Some(Storage(number << 20)),
            flags: MapFlags::default(),
        };
        Observation::File {
            stat: Stub::stat(FileKind::Regular, nr_runs << 13),
            content: data::Digest::of(b"stub"),
            map: (0..nr_runs).map(run).collect(),
        }
    }
}

impl Backend for Stub {
    fn name(&self) -> String {
        "stub".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            release: None,
            has_extents: false,
            has_exact_shares: true,
            has_trees: false,
            has_fine_times: false,
            tick: Duration::ZERO,
            is_root: false,
            can_remount: false,
            batch_max: 1,
            is_real: false,
        }
    }

    fn reset(&mut self, _: &Geometry) -> Result<(), BackendError> {
        let wrong = |what: &str| BackendError::Channel(what.to_owned());
        fs::write(self.mounts.first.join("probe"), "x").map_err(|_| wrong("first"))?;
        fs::write(self.mounts.second.join("probe"), "y").map_err(|_| wrong("second"))?;
        let seen = fs::read_to_string(self.mounts.readonly.join("probe"));
        if seen.map_err(|_| wrong("read-only"))? != "y" {
            return Err(wrong("the mounts show different filesystems"));
        }
        if fs::write(self.mounts.readonly.join("probe"), "z").is_ok() {
            return Err(wrong("the read-only mount can be written"));
        }
        self.has_reset = true;
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        assert!(self.has_reset);
        if let Op::File { name, .. } = op {
            match name.as_str() {
                "PANIC" => fs::write("/proc/sysrq-trigger", "c").expect("a panic"),
                "HANG" => loop {
                    std::thread::park();
                },
                "CRASH" => panic!("the stub crashes"),
                _ => {}
            }
        }
        Ok(Outcome::Done.into())
    }

    fn observe(&mut self, probe: &Probe) -> Result<Observation, BackendError> {
        let number = probe.expected_shape.unwrap_or(0) >> 12;
        match probe.name.as_str() {
            "LONG" => Ok(Stub::file(number)),
            _ => Ok(Stub::directory(number)),
        }
    }
}
