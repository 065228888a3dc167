//! Sequences of operations as a state machine: the model says what has to be seen, another witness
//! shows it, and after every operation the model's state has to be sound.
//!
//! Sequences are drawn and shrunk by proptest over a small domain of files and blocks. Nothing here
//! knows what an operation should do.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::panic;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use backend_kernel::{LoopbackOptions, Mount};
use harness::Comparer;
use libtest_mimic::{Arguments, Failed, Trial};
use model::Sequential;
use proptest::strategy::{BoxedStrategy, Strategy};
use proptest::test_runner::{Config, TestError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use reference::Reference;
use rules::Profile;
use scenario::{Backend, Exchange, Geometry, Name, Observation, Op, Probe, Reply, map_shape};
use strategies::proptest_ops;

/// The most operations after the prelude of a sequence.
const NR_OPS_MAX: usize = 20;
/// How many sequences the flat reference and a mutant see.
const NR_CASES: u32 = 64;
/// How many sequences a real kernel sees.
const NR_KERNEL_CASES: u32 = 16;
/// How often a sequence is made shorter on a real kernel before it is shown, and in a mutant.
const NR_FEW_SHRINKS: u32 = 64;
/// What is looked at after every operation: all names of the small domain that can be files.
const NAMES: [&str; 9] = ["A", "B", "C", "D", "E", "S/A", "S/B", "S/C", "S/D"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        Trial::test("the_flat_reference_shows_what_the_model_says", || {
            hold::<Flat>(NR_CASES, u32::MAX)
        }),
        Trial::test(
            "a_mutant_does_not_show_what_the_model_says",
            || match hold::<Mutant>(NR_CASES, NR_FEW_SHRINKS) {
                Ok(()) => Err("nothing was found".into()),
                Err(_) => Ok(()),
            },
        ),
        kernel_trial(arguments.list),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(IDLE.lock().unwrap_or_else(PoisonError::into_inner).take());
    backend_kernel::cleanup_all();
    conclusion.exit_code()
}

/// Returns the test of the running kernel, ignored with the reason where it cannot run.
fn kernel_trial(is_listing: bool) -> Trial {
    let name = "the_running_kernel_shows_what_the_model_says";
    let why_not = match is_listing {
        true => Some("not looked for while listing".to_owned()),
        false => RunningKernel::look().err(),
    };
    match why_not {
        None => Trial::test(name, || {
            hold::<RunningKernel>(NR_KERNEL_CASES, NR_FEW_SHRINKS)
        }),
        Some(reason) => {
            Trial::test(format!("{name} (ignored: {reason})"), || Ok(())).with_ignored_flag(true)
        }
    }
}

/// Holds sequences on a witness against the model; shows the shortest that it finds to differ.
fn hold<W: Shows>(cases: u32, max_shrink_iters: u32) -> Result<(), Failed> {
    let config = Config {
        cases,
        max_shrink_iters,
        failure_persistence: None,
        ..Config::default()
    };
    let sequences = Expected::<W>::sequential_strategy(1..=NR_OPS_MAX);
    let outcome = TestRunner::new(config.clone()).run(&sequences, |(state, steps, nr_seen)| {
        Observed::<W>::test_sequential(config.clone(), state, steps, nr_seen);
        Ok(())
    });
    outcome.map_err(|error| match error {
        TestError::Fail(reason, (_, steps, _)) => {
            let lines: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
            format!("{reason}\nafter the prelude:\n{}", lines.join("\n")).into()
        }
        TestError::Abort(reason) => format!("given up: {reason}").into(),
    })
}

/// A witness that can be held against the model.
trait Shows: 'static {
    type Backend: Backend;
    /// Whether it can tell what its trees say.
    const HAS_TREES: bool = true;

    /// Returns the profile of the model.
    fn profile() -> Result<Profile, String> {
        Profile::by_name("linux-6.18").map_err(|error| error.to_string())
    }

    /// Returns a witness for one sequence.
    fn open() -> Result<Self::Backend, String>;

    /// Takes a witness back that showed what it should.
    fn keep(_backend: Self::Backend) {}
}

/// The flat reference: bytes, sizes and statuses.
struct Flat;

impl Shows for Flat {
    type Backend = Reference;
    const HAS_TREES: bool = false;

    fn open() -> Result<Reference, String> {
        Ok(Reference::new())
    }
}

/// The model with a bug in it: shows that these tests can fail.
struct Mutant;

impl Shows for Mutant {
    type Backend = Sequential;

    fn open() -> Result<Sequential, String> {
        let mutated = Self::profile()?.with_mutant("canary");
        mutated
            .map(Sequential::new)
            .map_err(|error| error.to_string())
    }
}

/// The running kernel on a btrfs of our own.
struct RunningKernel;

/// The mount between two sequences. A sequence that fails takes its mount with it.
static IDLE: Mutex<Option<Mount>> = Mutex::new(None);

impl RunningKernel {
    /// Makes the mount, if there is a profile for the kernel.
    fn look() -> Result<(), String> {
        let mount = Mount::loopback(LoopbackOptions::default()).map_err(|error| {
            let text = error.to_string();
            text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
        })?;
        profile_of(&mount)?;
        IDLE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(mount);
        Ok(())
    }
}

impl Shows for RunningKernel {
    type Backend = Mount;

    fn profile() -> Result<Profile, String> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.as_ref() {
            Some(mount) => profile_of(mount),
            None => profile_of(&Self::open()?),
        }
    }

    fn open() -> Result<Mount, String> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mount = idle.map_or_else(|| Mount::loopback(LoopbackOptions::default()), Ok);
        mount.map_err(|error| error.to_string())
    }

    fn keep(mount: Mount) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.replace(mount);
    }
}

/// Returns the profile of the release of a kernel.
fn profile_of(mount: &Mount) -> Result<Profile, String> {
    let name = mount.name();
    let release = mount.capabilities().release;
    let (profile, is_exact) = Profile::nearest(release.ok_or("the kernel tells no release")?);
    match is_exact {
        true => Ok(profile),
        false => Err(format!("no profile is that of {name}")),
    }
}

/// The model after some operations.
#[derive(Clone)]
struct State {
    model: Sequential,
    /// What was asked and answered so far.
    bouts: Vec<(Exchange, Reply)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model after {} operations", self.bouts.len())
    }
}

/// An operation, shown as a scenario has it.
#[derive(Clone)]
struct Step(Op);

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the model says about sequences that `W` shows.
struct Expected<W>(PhantomData<W>);

impl<W: Shows> ReferenceStateMachine for Expected<W> {
    type State = State;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<State> {
        let start = |prelude: Vec<Op>| {
            let model = Sequential::new(or_fail(W::profile()));
            let empty = State {
                model,
                bouts: Vec::new(),
            };
            prelude.into_iter().fold(empty, State::after)
        };
        proptest_ops::ops(0).prop_map(start).boxed()
    }

    fn transitions(_state: &State) -> BoxedStrategy<Step> {
        let told = |op| match op {
            Op::Tree if !W::HAS_TREES => Op::Sync,
            op => op,
        };
        proptest_ops::op()
            .prop_map(move |op| Step(told(op)))
            .boxed()
    }

    fn apply(state: State, Step(op): &Step) -> State {
        state.after(op.clone())
    }
}

impl State {
    /// Returns the state after one more operation; all names are looked at.
    fn after(mut self, op: Op) -> State {
        let fixed = NAMES.iter().filter_map(|text| Name::new(text));
        let names: BTreeSet<Name> = fixed.chain(op.names().into_iter().cloned()).collect();
        let probes = names.into_iter().map(|name| Probe {
            name,
            expected_shape: None,
        });
        let mut exchange = Exchange {
            op,
            probes: probes.collect(),
        };
        let reply = only(&mut self.model, &exchange);
        for (probe, seen) in exchange.probes.iter_mut().zip(&reply.observations) {
            probe.expected_shape = match seen {
                Observation::File { map, .. } => Some(map_shape(map)),
                _ => None,
            };
        }
        self.bouts.push((exchange, reply));
        self
    }
}

/// A witness that is held against the model.
struct Observed<W: Shows> {
    backend: W::Backend,
    comparer: Comparer,
}

impl<W: Shows> Observed<W> {
    /// Asks what the model was asked, and compares.
    fn follow(&mut self, (exchange, expected): &(Exchange, Reply)) {
        let seen = only(&mut self.backend, exchange);
        let differences = self.comparer.compare(exchange, expected, &seen);
        if !differences.is_empty() {
            let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
            fail(format!("{}:\n{}", exchange.op, lines.join("\n")));
        }
    }
}

impl<W: Shows> StateMachineTest for Observed<W> {
    type SystemUnderTest = Observed<W>;
    type Reference = Expected<W>;

    fn init_test(state: &State) -> Observed<W> {
        let mut backend = or_fail(W::open());
        or_fail(backend.reset(&Geometry::default()));
        let comparer = Comparer::new(&state.model.capabilities(), &backend.capabilities());
        let mut observed = Observed { backend, comparer };
        state.bouts.iter().for_each(|bout| observed.follow(bout));
        observed
    }

    fn apply(mut observed: Observed<W>, state: &State, _step: Step) -> Observed<W> {
        let last = state.bouts.last().expect("the operation has been applied");
        observed.follow(last);
        observed
    }

    fn check_invariants(_observed: &Observed<W>, state: &State) {
        let violations = state.model.machine().fs().fsck();
        if !violations.is_empty() {
            fail(format!("the model's state is not sound: {violations:?}"));
        }
    }

    fn teardown(observed: Observed<W>, _state: State) {
        W::keep(observed.backend);
    }
}

/// Returns the reply to one exchange.
fn only(backend: &mut impl Backend, exchange: &Exchange) -> Reply {
    let replies = or_fail(backend.run(std::slice::from_ref(exchange)));
    let reply = replies.into_iter().next();
    reply.unwrap_or_else(|| fail(format!("{} did not answer", backend.name())))
}

fn or_fail<T, E: fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| fail(error.to_string()))
}

/// Ends a sequence. Proptest catches it; the panic hook is left out, for shrinking comes here
/// often.
fn fail(why: String) -> ! {
    panic::resume_unwind(Box::new(why))
}
