//! Tests of the running kernel as a backend. They need root, a loop device, btrfs and
//! mkfs.btrfs; where one of them is missing, every test is reported as ignored with the reason.
//!
//! They assert what this crate promises, on facts that hold for every kernel since 5.10.

mod calls;
mod cleanup;
mod directory;
mod files;
mod subject;

use libtest_mimic::{Arguments, Trial};

/// A test: its name, a sentence, and what it does.
type Test = (&'static str, fn());

fn main() {
    let arguments = Arguments::from_args();
    // Asked once: what is missing for one is missing for all.
    let reason = backend_kernel::Mount::loopback(backend_kernel::LoopbackOptions::default())
        .err()
        .map(|error| error.to_string().replace('\n', ";"));
    let tests = [files::TESTS, calls::TESTS, directory::TESTS, cleanup::TESTS].concat();
    let trials = tests.into_iter().map(|(name, test)| match &reason {
        None => Trial::test(name, move || {
            test();
            Ok(())
        }),
        Some(reason) => {
            Trial::test(format!("{name} (ignored: {reason})"), || Ok(())).with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
