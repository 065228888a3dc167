//! The machine as a [`Backend`]: one operation after the other, nobody else being there.
//!
//! [`Sequential`] is the key type. Descriptors (`descriptors`) are opened at first use and kept,
//! operations (`operations`) are what the system calls of a run's language come to. It knows what
//! the other witness answered only where that is to be adopted (`adopt`).

mod adopt;
mod calls;
mod compressed;
mod descriptors;
mod observe;
mod operations;
mod plans;
mod readonly;
mod trees;

use std::collections::BTreeSet;
use std::time::Duration;

use fs_state::MountOptions;
use ondisk::{ChecksumKind, Compression};
use rules::Profile;
use scenario::{
    Answer, Backend, BackendError, Capabilities, DataMode, Exchange, Geometry, Layout, Observation,
    Op, Outcome, Probe, Reply, Verified, only,
};

use crate::machine::Machine;
use adopt::SeenExtent;
use descriptors::Descriptors;
use observe::Stamps;

/// A machine that answers operations one by one.
#[derive(Clone, Debug)]
pub struct Sequential {
    machine: Machine,
    /// The checksums of the filesystem.
    checksum: ChecksumKind,
    /// How it compresses data.
    compression: Compression,
    descriptors: Descriptors,
    stamps: Stamps,
    /// What every further operation answers once a call did not come back.
    last_words: Option<Outcome>,
    /// Whether the filesystem leaves something to a kernel.
    adopts: bool,
    /// Whether space may be short.
    is_small: bool,
    /// Where files of the other witness were last seen to have extents.
    seen_extents: BTreeSet<SeenExtent>,
    /// What of them was preallocated, (start, end) in the file.
    seen_prealloc: Vec<(SeenExtent, (u64, u64))>,
    /// Where they had them here.
    own_extents: BTreeSet<SeenExtent>,
    /// What there was before the last exchange that was adopted.
    before: Option<Box<Sequential>>,
}

/// How many operations may be under way in one batch: as many as there are.
const BATCH_MAX: usize = usize::MAX;

impl Sequential {
    /// Returns a machine of this profile with an empty filesystem.
    #[must_use]
    pub fn new(profile: Profile) -> Sequential {
        Sequential::over(Machine::new(profile), ChecksumKind::default())
    }

    fn over(machine: Machine, checksum: ChecksumKind) -> Sequential {
        Sequential {
            machine,
            checksum,
            compression: Compression::None,
            descriptors: Descriptors::default(),
            stamps: Stamps::default(),
            last_words: None,
            adopts: false,
            is_small: false,
            seen_extents: BTreeSet::new(),
            seen_prealloc: Vec::new(),
            own_extents: BTreeSet::new(),
            before: None,
        }
    }

    /// Returns the machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Returns the machine, to be changed behind the operations' back.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}

impl Backend for Sequential {
    fn name(&self) -> String {
        format!("model {}", self.machine.profile().name)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            release: None,
            has_extents: true,
            has_trees: true,
            has_exact_shares: !self.machine.profile().behaviour.maps_from_cache,
            has_fine_times: true,
            tick: Duration::ZERO,
            is_root: true,
            can_remount: true,
            batch_max: BATCH_MAX,
            is_real: false,
        }
    }

    /// Starts a run on an empty filesystem; the model's device is full only where it adopts that.
    fn reset(&mut self, geometry: &Geometry) -> Result<(), BackendError> {
        let options = MountOptions {
            node_bytes: geometry.node_bytes,
            is_nodatasum: geometry.data != DataMode::Checked,
            is_nodatacow: geometry.data == DataMode::NoCow,
            compresses: geometry.compress != Compression::None,
        };
        let profile = self.machine.profile().clone();
        let mut machine = Machine::mounted(profile, options);
        if geometry.has_quota {
            machine.fs_mut().count_quota();
        }
        *self = Sequential {
            compression: geometry.compress,
            adopts: geometry.leaves_choices(),
            is_small: geometry.is_small(),
            ..Sequential::over(machine, geometry.checksum)
        };
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        if let Some(outcome) = &self.last_words {
            return Ok(Answer::plain(outcome.clone()));
        }
        let answer = self.carry_out(op);
        if matches!(answer.outcome, Outcome::Hangs | Outcome::Panics) {
            self.last_words = Some(answer.outcome.clone());
        }
        Ok(answer)
    }

    fn settled(&mut self, op: Op) -> Result<Op, BackendError> {
        Ok(self.with_known_cuts(op))
    }

    fn verify(&mut self) -> Result<Verified, BackendError> {
        let violations = self.machine.fs().fsck();
        Ok(Verified {
            complaints: violations.iter().map(|v| format!("fsck: {v}")).collect(),
            left_out: Vec::new(),
        })
    }

    fn observe(&mut self, probe: &Probe) -> Result<Observation, BackendError> {
        Ok(self.look_at(&probe.name))
    }

    fn layout(&mut self, probe: &Probe) -> Result<Option<Layout>, BackendError> {
        Ok(match self.is_small {
            true => self.layout_of(&probe.name),
            false => None,
        })
    }

    fn adopt(&mut self, exchange: &Exchange, seen: &Reply) -> Result<Reply, BackendError> {
        if self.adopts {
            return self.adopt_first(exchange, seen);
        }
        only(self.run(std::slice::from_ref(exchange))?, &self.name())
    }

    fn adopt_again(
        &mut self,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Option<Reply>, BackendError> {
        match self.adopts {
            true => self.adopt_later(exchange, seen).map(Some),
            false => Ok(None),
        }
    }
}
