//! The backend itself: [`Uml`]. It does not know how a kernel is started and what init does in
//! it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::slice;
use std::time::Duration;

use scenario::text::protocol;
use scenario::{
    Answer, Backend, BackendError, Capabilities, Exchange, Geometry, Observation, Op, Outcome,
    Probe, Reply, Verified,
};
use uapi::Release;

use crate::channel::{Frame, Kind, Request};
use crate::guest::{Event, Guest};
use crate::{IMAGE_BYTES, work};

/// The most exchanges in one request.
const BATCH_MAX: usize = 256;

/// One tick of a kernel with `HZ=100`.
const TICK: Duration = Duration::from_millis(10);

/// How long a scrub may take.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a reset may take: it waits for the cleaner of deleted subvolumes.
const RESET_TIME_MAX: Duration = Duration::from_secs(300);

/// The first release whose inode clock is finer than a tick.
const FINE_TIMES_SINCE: Release = Release::new(6, 13, 0);

/// How a kernel is started and driven.
#[derive(Clone, Debug)]
pub struct UmlOptions {
    /// The kernel, see [`crate::find`].
    pub kernel: PathBuf,
    /// The program that is guard outside and init inside. Its path must be absolute and readable
    /// by the user who runs it, and not below `/dev` or `/proc`.
    pub agent: PathBuf,
    /// The arguments with which `agent` calls [`crate::agent::run`] with the rest of them.
    pub agent_args: Vec<OsString>,
    /// Memory of the guest in MiB.
    pub memory_mib: u64,
    /// The CPU that the kernel is pinned to; `None`: one of those allowed.
    pub cpu: Option<usize>,
    /// How long one exchange may take until it counts as [`Outcome::Hangs`].
    pub exchange_time_max: Duration,
}

impl UmlOptions {
    /// Returns options for `kernel` with this very program, called with the argument `agent`.
    ///
    /// # Errors
    ///
    /// [`BackendError::System`] if the path of the running program is not known.
    pub fn new(kernel: PathBuf) -> Result<UmlOptions, BackendError> {
        let agent = std::env::current_exe().map_err(|source| BackendError::System {
            action: "tell the path of the running program".to_owned(),
            source,
        })?;
        Ok(UmlOptions {
            kernel,
            agent,
            agent_args: vec!["agent".into()],
            memory_mib: 1024,
            cpu: None,
            exchange_time_max: Duration::from_secs(60),
        })
    }
}

/// A User Mode Linux kernel with an empty btrfs of 1 GiB.
///
/// After [`Outcome::Hangs`] and [`Outcome::Panics`] nothing can be asked until the next reset,
/// which starts another kernel. [`Backend::run`] then returns fewer replies than it was given
/// exchanges: the one that met the end is the last.
pub struct Uml {
    options: UmlOptions,
    guest: Option<Guest>,
    release: Release,
}

impl Uml {
    /// Starts a kernel and waits until it is ready. What dead drivers have left is removed first.
    ///
    /// # Errors
    ///
    /// [`BackendError::Missing`] if there is no room for its memory, [`BackendError::Channel`]
    /// with the end of its log if it does not come up.
    pub fn start(options: UmlOptions) -> Result<Uml, BackendError> {
        work::remove_leftovers();
        let guest = Guest::start(&options, &Geometry::default())?;
        let release = guest.release();
        Ok(Uml {
            options,
            guest: Some(guest),
            release,
        })
    }

    /// Returns the release of the kernel.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    fn guest(&mut self) -> Result<&mut Guest, BackendError> {
        self.guest.as_mut().ok_or_else(|| {
            let text = "the guest kernel has died; reset starts another".to_owned();
            BackendError::Channel(text)
        })
    }

    /// Asks for up to [`BATCH_MAX`] exchanges. Returns as many replies, or fewer if the kernel
    /// met its end.
    fn run_batch(&mut self, batch: &[Exchange]) -> Result<Vec<Reply>, BackendError> {
        let limit = self.options.exchange_time_max;
        let guest = self.guest()?;
        guest.send(&Request::Run(protocol::print_exchanges(batch)))?;
        let mut replies = Vec::with_capacity(batch.len());
        loop {
            match guest.wait(limit)? {
                Event::Frame(Frame {
                    kind: Kind::Reply,
                    payload,
                }) => {
                    let Some(exchange) = batch.get(replies.len()) else {
                        return Err(self.give_up("more replies than exchanges"));
                    };
                    match parse_reply(&payload, exchange) {
                        Ok(reply) => replies.push(reply),
                        Err(text) => return Err(self.give_up(&text)),
                    }
                }
                Event::Frame(Frame {
                    kind: Kind::Done, ..
                }) if replies.len() == batch.len() => {
                    guest.forget_requests();
                    return Ok(replies);
                }
                Event::Frame(Frame { payload, .. }) => return Err(self.give_up(&payload)),
                Event::Silence => {
                    self.guest = None;
                    replies.push(last_reply(Outcome::Hangs, Vec::new()));
                    return Ok(replies);
                }
                Event::End => {
                    let Some(lines) = guest.panic_lines() else {
                        return Err(self.give_up("the guest kernel ended"));
                    };
                    self.guest = None;
                    replies.push(last_reply(Outcome::Panics, lines));
                    return Ok(replies);
                }
            }
        }
    }

    /// Ends a guest that can no longer be understood. Returns the error that says so.
    fn give_up(&mut self, why: &str) -> BackendError {
        let log = self
            .guest
            .take()
            .map_or_else(String::new, |guest| guest.log_tail());
        let name = self.name();
        if log.is_empty() {
            BackendError::Channel(format!("{name}: {why}"))
        } else {
            BackendError::Channel(format!("{name}: {why}; the log ends:\n{log}"))
        }
    }

    /// Asks for one exchange.
    fn ask(&mut self, exchange: Exchange) -> Result<Reply, BackendError> {
        let mut replies = self.run_batch(slice::from_ref(&exchange))?;
        replies.pop().ok_or_else(|| self.give_up("no reply"))
    }
}

impl Backend for Uml {
    fn name(&self) -> String {
        format!("uml {}", self.release)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            release: Some(self.release),
            has_extents: true,
            has_exact_shares: true,
            has_trees: true,
            has_fine_times: FINE_TIMES_SINCE <= self.release,
            tick: TICK,
            is_root: true,
            can_remount: true,
            batch_max: BATCH_MAX,
            is_real: true,
        }
    }

    fn reset(&mut self, geometry: &Geometry) -> Result<(), BackendError> {
        if geometry.device_bytes != IMAGE_BYTES {
            return Err(BackendError::Missing {
                what: format!("a device of {} bytes for UML", geometry.device_bytes),
                remedy: format!("ask for {IMAGE_BYTES} bytes: its filesystem comes ready made"),
            });
        }
        // Mount options are what a filesystem is mounted with: since 6.8 a remount does not change
        // how new files hold their data.
        self.guest = self
            .guest
            .take()
            .filter(|guest| guest.geometry() == geometry);
        if self.guest.is_none() {
            self.guest = Some(Guest::start(&self.options, geometry)?);
        }
        let guest = self.guest()?;
        guest.send(&Request::Reset(geometry.clone()))?;
        match guest.wait(RESET_TIME_MAX)? {
            Event::Frame(Frame {
                kind: Kind::Done, ..
            }) => {
                guest.forget_requests();
                Ok(())
            }
            Event::Frame(Frame { payload, .. }) => Err(self.give_up(&payload)),
            Event::Silence => Err(self.give_up("the guest did not finish a reset in time")),
            Event::End => Err(self.give_up("the guest kernel ended during a reset")),
        }
    }

    /// Scrubs in the guest, before and after mounting anew there; the image is checked from
    /// outside, once the guest is done with it.
    fn verify(&mut self) -> Result<Verified, BackendError> {
        let guest = self.guest()?;
        let image = guest.image();
        guest.send(&Request::Verify)?;
        let mut scrubbed = Verified::default();
        loop {
            match guest.wait(VERIFY_TIME_MAX)? {
                Event::Frame(Frame {
                    kind: Kind::Complaints,
                    payload,
                }) => scrubbed.complaints.extend(lines(&payload)),
                Event::Frame(Frame {
                    kind: Kind::LeftOut,
                    payload,
                }) => scrubbed.left_out.extend(lines(&payload)),
                Event::Frame(Frame {
                    kind: Kind::Done, ..
                }) => break,
                Event::Frame(Frame { payload, .. }) => return Err(self.give_up(&payload)),
                Event::Silence => return Err(self.give_up("the guest did not finish a scrub")),
                Event::End => return Err(self.give_up("the guest kernel ended during a scrub")),
            }
        }
        guest.forget_requests();
        let mut verified = backend_kernel::check_device(&image)?;
        verified.extend(scrubbed);
        Ok(verified)
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        Ok(self
            .ask(Exchange {
                op: op.clone(),
                probes: Vec::new(),
            })?
            .answer)
    }

    fn observe(&mut self, probe: &Probe) -> Result<Observation, BackendError> {
        let op = Op::Observe {
            names: vec![probe.name.clone()],
        };
        let reply = self.ask(Exchange {
            op,
            probes: vec![probe.clone()],
        })?;
        match reply.observations.into_iter().next() {
            Some(observation) => Ok(observation),
            None => Err(self.give_up("the guest kernel died while a file was looked at")),
        }
    }

    fn run(&mut self, batch: &[Exchange]) -> Result<Vec<Reply>, BackendError> {
        let mut replies = Vec::with_capacity(batch.len());
        for part in batch.chunks(BATCH_MAX) {
            replies.extend(self.run_batch(part)?);
            if self.guest.is_none() {
                break;
            }
        }
        Ok(replies)
    }
}

fn lines(payload: &str) -> impl Iterator<Item = String> {
    payload.lines().map(str::to_owned)
}

fn parse_reply(payload: &str, exchange: &Exchange) -> Result<Reply, String> {
    let replies = protocol::parse_replies(payload, slice::from_ref(exchange));
    let mut replies = replies.map_err(|error| format!("not a reply: {error}\n{payload}"))?;
    replies.pop().ok_or_else(|| "an empty reply".to_owned())
}

/// Returns the reply to an exchange during which the kernel met its end.
fn last_reply(outcome: Outcome, complaints: Vec<String>) -> Reply {
    Reply {
        answer: Answer {
            complaints,
            ..Answer::plain(outcome)
        },
        observations: Vec::new(),
        layouts: Vec::new(),
    }
}
