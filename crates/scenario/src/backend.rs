//! The trait behind which a filesystem answers: the model, a real kernel by mount or by UML, the
//! flat reference.

use std::time::Duration;

use uapi::Release;

use crate::{Answer, Geometry, Layout, Observation, Op, Probe};

/// One filesystem that can be asked to do things and be looked at.
///
/// Errnos live in outcomes; a [`BackendError`] means that the harness could not ask.
pub trait Backend {
    /// Returns the name that reports print: `model linux-6.18`, `mount`, `uml 6.1.176`.
    fn name(&self) -> String;

    /// Returns what this backend can do and how its answers are to be read.
    fn capabilities(&self) -> Capabilities;

    /// Starts a run on an empty filesystem (or an empty subvolume of it) whose only name is `.`.
    /// Everything of an earlier run is gone.
    fn reset(&mut self, geometry: &Geometry) -> Result<(), BackendError>;

    /// Carries out one operation. [`Op::Observe`] is answered with [`crate::Outcome::Done`].
    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError>;

    /// Returns what is to be carried out in place of `op`: the same, but for the part of it whose
    /// result hangs on what this backend cannot know, as where an allocator puts extents.
    fn settled(&mut self, op: Op) -> Result<Op, BackendError> {
        Ok(op)
    }

    /// Looks at one file without changing it.
    fn observe(&mut self, probe: &Probe) -> Result<Observation, BackendError>;

    /// Returns what lies below the map of a file, if the filesystem is one on which somebody adopts
    /// that and this backend can tell.
    fn layout(&mut self, probe: &Probe) -> Result<Option<Layout>, BackendError> {
        let _ = probe;
        Ok(None)
    }

    /// Looks at files, at their maps and at what lies below.
    fn look(
        &mut self,
        probes: &[Probe],
    ) -> Result<(Vec<Observation>, Vec<Option<Layout>>), BackendError> {
        let mut observations = Vec::with_capacity(probes.len());
        let mut layouts = Vec::new();
        for probe in probes {
            observations.push(self.observe(probe)?);
        }
        for (nth, probe) in probes.iter().enumerate() {
            if let Some(layout) = self.layout(probe)? {
                layouts.resize(probes.len(), None);
                layouts[nth] = Some(layout);
            }
        }
        Ok((observations, layouts))
    }

    /// Ends the run and checks the whole filesystem by means of its own; returns what is wrong with
    /// it. Backends that have none find nothing. Only a reset may follow.
    fn verify(&mut self) -> Result<Verified, BackendError> {
        Ok(Verified::default())
    }

    /// Checks the filesystem as [`Backend::verify`] does if the next reset throws it away, for
    /// nobody could check it then; otherwise that is left for later. Only a reset may follow.
    fn retire(&mut self) -> Result<Verified, BackendError> {
        Ok(Verified::default())
    }

    /// Carries out operations in order, each followed by its probes. Backends at the end of a slow
    /// channel send them together.
    fn run(&mut self, batch: &[Exchange]) -> Result<Vec<Reply>, BackendError> {
        let mut replies = Vec::with_capacity(batch.len());
        for exchange in batch {
            let answer = self.apply(&exchange.op)?;
            let (observations, layouts) = self.look(&exchange.probes)?;
            replies.push(Reply {
                answer,
                observations,
                layouts,
            });
        }
        Ok(replies)
    }

    /// Carries out one exchange, and takes over from what another witness showed (`seen`) what
    /// `docs/envelope.md` lists as `adopt`: that becomes the state from which this one goes on. A
    /// witness that takes nothing over carries it out.
    fn adopt(&mut self, exchange: &Exchange, seen: &Reply) -> Result<Reply, BackendError> {
        let _ = seen;
        only(self.run(std::slice::from_ref(exchange))?, &self.name())
    }

    /// Takes the last exchange back and adopts it anew, from a later look of the other witness: a
    /// kernel completes ordered extents behind its caller's back, and until then its maps do not
    /// say where data came to lie. `None` from a witness that takes nothing over.
    fn adopt_again(
        &mut self,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Option<Reply>, BackendError> {
        let _ = (exchange, seen);
        Ok(None)
    }
}

/// Returns the reply to the one exchange that a backend was asked.
///
/// # Errors
///
/// [`BackendError::Channel`] if there is none.
pub fn only(replies: Vec<Reply>, name: &str) -> Result<Reply, BackendError> {
    replies
        .into_iter()
        .next()
        .ok_or_else(|| BackendError::Channel(format!("{name} did not answer an operation")))
}

/// What came of checking a whole filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is wrong, line by line.
    pub complaints: Vec<String>,
    /// What could not be looked for, and what brings it.
    pub left_out: Vec<String>,
}

impl Verified {
    /// Adds what another check found; what it left out like this one is told once.
    pub fn extend(&mut self, other: Verified) {
        self.complaints.extend(other.complaints);
        for line in other.left_out {
            if !self.left_out.contains(&line) {
                self.left_out.push(line);
            }
        }
    }
}

/// An operation and what to look at after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// The operation.
    pub op: Op,
    /// What to look at, in order.
    pub probes: Vec<Probe>,
}

/// The answer to an [`Exchange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What the operation answered.
    pub answer: Answer,
    /// What was seen, one for each probe.
    pub observations: Vec<Observation>,
    /// What lies below the maps, one for each probe; none where nobody adopts. Never compared, and
    /// not part of any text.
    pub layouts: Vec<Option<Layout>>,
}

/// What a backend can do. The harness asks this and never the backend's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The kernel's release, if a kernel answers.
    pub release: Option<Release>,
    /// Whether observations carry maps and blocks (`false`: bytes, sizes and statuses only).
    pub has_extents: bool,
    /// Whether it can tell what the trees say ([`Op::Tree`]).
    pub has_trees: bool,
    /// Whether a map tells of each extent by itself whether it is shared; otherwise one that
    /// touches the extent before it on disk may be told as that one is.
    pub has_exact_shares: bool,
    /// Whether stamps tell every change; otherwise two changes within `tick` may look like none.
    pub has_fine_times: bool,
    /// The grain of the inode clock.
    pub tick: Duration,
    /// Whether it can act as root (other callers, owners, read-only mounts).
    pub is_root: bool,
    /// Whether the filesystem is its own, to be remounted ([`Op::Remount`]).
    pub can_remount: bool,
    /// The most operations that may be under way in one [`Backend::run`].
    pub batch_max: usize,
    /// Whether contents, sizes and stamps are those of a real kernel.
    pub is_real: bool,
}

/// Why a backend could not be asked. Says what was wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Something that the backend needs is not there.
    #[error("{what}\n  remedy: {remedy}")]
    Missing {
        /// What is missing, and where it was looked for.
        what: String,
        /// What brings it.
        remedy: String,
    },
    /// A system call of the harness itself failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, with the path.
        action: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// What a tree says makes no sense.
    #[error(
        "the {tree} is damaged at {key}: {what}\n  remedy: look at it with btrfs check --readonly"
    )]
    Damaged {
        /// The tree.
        tree: String,
        /// The key of the item: (object type offset).
        key: String,
        /// What is wrong there.
        what: String,
    },
    /// The other side of a channel said something that is not in the language, or died.
    #[error("{0}")]
    Channel(String),
}
