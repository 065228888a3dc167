//! Runs real User Mode Linux kernels. This program is its own agent: called with `agent` it is
//! guard or init, called with `stub-agent` too, but then the backend inside is a stub that knows a
//! few names. What the operations answer is tested elsewhere.

mod driver;
mod stub;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use backend_uml::{Uml, UmlOptions, agent};
use data::Content;
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::Signal;
use scenario::{
    Backend, BackendError, Caller, DedupeCall, ElementAnswer, Exchange, Fd, Geometry, Mount, Name,
    Observation, Op, Outcome, Probe,
};

use crate::driver::Driver;
use crate::stub::Stub;

type Test = fn(PathBuf) -> Result<(), Failed>;

const TESTS: [(&str, Test); 10] = [
    (
        "a_dedupe_in_the_guest_shares_storage",
        a_dedupe_in_the_guest_shares_storage,
    ),
    ("a_batch_is_answered_in_order", a_batch_is_answered_in_order),
    (
        "replies_longer_than_any_buffer_arrive_whole",
        replies_longer_than_any_buffer_arrive_whole,
    ),
    (
        "a_panic_is_the_last_reply_and_reset_boots_again",
        a_panic_is_the_last_reply,
    ),
    (
        "a_hang_is_the_last_reply_and_reset_boots_again",
        a_hang_is_the_last_reply,
    ),
    (
        "a_crash_of_the_agent_is_not_blamed_on_the_kernel",
        a_crash_of_the_agent_is_an_error,
    ),
    (
        "a_guest_that_cannot_be_set_up_says_why",
        a_guest_that_cannot_be_set_up_says_why,
    ),
    (
        "nothing_outlives_a_killed_driver",
        nothing_outlives_a_killed_driver,
    ),
    (
        "the_next_start_ends_what_outlives_driver_and_guard",
        the_next_start_ends_what_outlives,
    ),
    ("cleanup_all_leaves_nothing", cleanup_all_leaves_nothing),
];

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|role| role.to_str()) {
        Some("agent") => agent::run(&args[1..]),
        Some("stub-agent") => agent::run_over(&args[1..], |mounts| Ok(Box::new(Stub::new(mounts)))),
        Some("broken-agent") => agent::run_over(&args[1..], |_| {
            Err(BackendError::Channel("no backend in this one".to_owned()))
        }),
        Some("driver") => driver::drive(),
        _ => test(),
    }
}

fn test() -> ExitCode {
    let arguments = Arguments::from_args();
    let kernel = find();
    let trials = TESTS
        .into_iter()
        .map(|(name, test)| match &kernel {
            Ok(kernel) => {
                let kernel = kernel.clone();
                Trial::test(name, move || test(kernel))
            }
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().next().unwrap_or_default().to_owned();
                Trial::test(name, || Ok(()))
                    .with_kind(reason)
                    .with_ignored_flag(true)
            }
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

// The tests, each with a kernel of its own.

fn a_batch_is_answered_in_order(kernel: PathBuf) -> Result<(), Failed> {
    let mut uml = start(kernel)?;
    uml.reset(&Geometry::default())?;
    let batch: Vec<Exchange> = (0..600)
        .map(|number| look(&format!("F{number}"), number))
        .collect();
    let replies = uml.run(&batch)?;
    assert_eq!(replies.len(), batch.len());
    for (number, reply) in (0_u64..).zip(&replies) {
        assert_eq!(reply.answer.outcome, Outcome::Done);
        assert_eq!(reply.observations, [Stub::directory(number)]);
    }
    let capabilities = uml.capabilities();
    assert_eq!(capabilities.release, Some(uml.release()));
    assert_eq!(uml.name(), format!("uml {}", uml.release()));
    Ok(())
}

fn replies_longer_than_any_buffer_arrive_whole(kernel: PathBuf) -> Result<(), Failed> {
    let mut uml = start(kernel)?;
    uml.reset(&Geometry::default())?;
    for nr_runs in [1, 100, 3_000, 40_000] {
        let seen = uml.observe(&probe("LONG", nr_runs))?;
        assert_eq!(seen, Stub::file(nr_runs));
    }
    Ok(())
}

fn a_panic_is_the_last_reply(kernel: PathBuf) -> Result<(), Failed> {
    let mut uml = start(kernel)?;
    uml.reset(&Geometry::default())?;
    let replies = uml.run(&[look("F0", 0), look("PANIC", 0), look("F1", 1)])?;
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0].answer.outcome, Outcome::Done);
    assert_eq!(replies[1].answer.outcome, Outcome::Panics);
    let complaints = &replies[1].answer.complaints;
    assert!(
        complaints.iter().any(|line| line.contains("Kernel panic")),
        "{complaints:?}"
    );
    is_usable_after_reset(&mut uml)
}

fn a_hang_is_the_last_reply(kernel: PathBuf) -> Result<(), Failed> {
    let mut options = stub_options(kernel)?;
    options.exchange_time_max = Duration::from_secs(3);
    let mut uml = Uml::start(options)?;
    uml.reset(&Geometry::default())?;
    let replies = uml.run(&[look("F0", 0), look("HANG", 0), look("F1", 1)])?;
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0].answer.outcome, Outcome::Done);
    assert_eq!(replies[1].answer.outcome, Outcome::Hangs);
    is_usable_after_reset(&mut uml)
}

fn a_crash_of_the_agent_is_an_error(kernel: PathBuf) -> Result<(), Failed> {
    let mut uml = start(kernel)?;
    uml.reset(&Geometry::default())?;
    let error = uml
        .run(&[look("CRASH", 0)])
        .expect_err("nobody answers")
        .to_string();
    assert!(error.contains("the stub crashes"), "{error}");
    is_usable_after_reset(&mut uml)
}

fn a_guest_that_cannot_be_set_up_says_why(kernel: PathBuf) -> Result<(), Failed> {
    let mut options = UmlOptions::new(kernel)?;
    options.agent_args = vec!["broken-agent".into()];
    let error = Uml::start(options).err().expect("no backend").to_string();
    assert!(error.contains("no backend in this one"), "{error}");
    Ok(())
}

fn nothing_outlives_a_killed_driver(_: PathBuf) -> Result<(), Failed> {
    let driver = Driver::start("stay")?;
    rustix::process::kill_process(driver.pid, Signal::KILL)?;
    driver.has_nothing_left()?;
    assert!(
        !driver.folder.exists(),
        "{} is still there",
        driver.folder.display()
    );
    Ok(())
}

fn the_next_start_ends_what_outlives(_: PathBuf) -> Result<(), Failed> {
    let driver = Driver::start("stay")?;
    // The guard dies before it can see what becomes of the driver.
    rustix::process::kill_process(driver.guard, Signal::KILL)?;
    rustix::process::kill_process(driver.pid, Signal::KILL)?;
    driver.has_ended()?;
    backend_uml::remove_leftovers();
    driver.has_nothing_left()?;
    assert!(
        !driver.folder.exists(),
        "{} is still there",
        driver.folder.display()
    );
    Ok(())
}

fn cleanup_all_leaves_nothing(_: PathBuf) -> Result<(), Failed> {
    let mut driver = Driver::start("clean")?;
    driver.has_nothing_left()?;
    assert!(
        !driver.folder.exists(),
        "{} is still there",
        driver.folder.display()
    );
    // It goes on living and finds its kernel dead.
    assert!(driver.child.wait()?.success());
    Ok(())
}

fn a_dedupe_in_the_guest_shares_storage(kernel: PathBuf) -> Result<(), Failed> {
    let mut uml = Uml::start(UmlOptions::new(kernel)?)?;
    for _ in 0..2 {
        // Everything of an earlier run is gone.
        uml.reset(&Geometry::default())?;
        let (source, target) = (name("A"), name("B"));
        let mut batch = Vec::new();
        for file in [&source, &target] {
            let content = Content::pattern(7, 0, 64 << 10);
            batch.push(Op::File {
                name: file.clone(),
                is_nocow: false,
            });
            batch.push(Op::Write {
                name: file.clone(),
                offset: 0,
                content,
            });
        }
        batch.push(Op::Sync);
        // Across mounts older kernels refuse.
        let on_second = |name| Fd {
            mount: Mount::Second,
            ..Fd::file(name)
        };
        let mut call =
            DedupeCall::new(on_second(source), 0, 64 << 10, on_second(target.clone()), 0);
        call.caller = Caller::User;
        batch.push(Op::Dedupe(call));
        let probes = vec![Probe {
            name: target,
            expected_shape: None,
        }];
        let batch: Vec<Exchange> = batch
            .into_iter()
            .map(|op| Exchange {
                op,
                probes: probes.clone(),
            })
            .collect();
        let replies = uml.run(&batch)?;
        assert!(
            replies
                .iter()
                .all(|reply| reply.answer.complaints.is_empty()),
            "{replies:?}"
        );
        let (first, last) = (&replies[0], &replies[replies.len() - 1]);
        assert_eq!(first.observations, [Observation::Absent]);
        let Outcome::Dedupe { elements, .. } = &last.answer.outcome else {
            return Err(format!("{last:?}").into());
        };
        assert_eq!(
            elements[..],
            [ElementAnswer {
                status: 0,
                bytes_deduped: 64 << 10
            }]
        );
        let [Observation::File { map, .. }] = &last.observations[..] else {
            return Err(format!("{last:?}").into());
        };
        assert!(map.iter().all(|run| run.flags.is_shared), "{map:?}");
    }
    Ok(())
}

fn is_usable_after_reset(uml: &mut Uml) -> Result<(), Failed> {
    assert!(uml.run(&[look("F3", 3)]).is_err());
    uml.reset(&Geometry::default())?;
    assert_eq!(uml.observe(&probe("F3", 3))?, Stub::directory(3));
    Ok(())
}

/// Returns the kernel that `XSAME_UML` means, as behind `--backend uml=`, else the installed one.
fn find() -> Result<PathBuf, BackendError> {
    backend_uml::find(std::env::var("XSAME_UML").ok().as_deref())
}

/// Starts a kernel with the stub in it.
fn start(kernel: PathBuf) -> Result<Uml, BackendError> {
    Uml::start(stub_options(kernel)?)
}

fn stub_options(kernel: PathBuf) -> Result<UmlOptions, BackendError> {
    let mut options = UmlOptions::new(kernel)?;
    options.agent_args = vec!["stub-agent".into()];
    Ok(options)
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name of the language")
}

fn probe(text: &str, number: u64) -> Probe {
    Probe {
        name: name(text),
        expected_shape: Some(number << 12),
    }
}

/// Returns an exchange that does what the stub does for the name, then looks at it.
fn look(text: &str, number: u64) -> Exchange {
    Exchange {
        op: Op::File {
            name: name(text),
            is_nocow: false,
        },
        probes: vec![probe(text, number)],
    }
}
