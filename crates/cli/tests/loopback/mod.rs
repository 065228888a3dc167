//! Tests that need a btrfs of their own: [`run`].

use backend_kernel::ground;
use libtest_mimic::{Arguments, Trial};

/// Runs tests and ends the process. Each is its name, a sentence; what it does; and what it lacks
/// besides root, a loop device and mkfs.btrfs, if anything. What lacks something is reported as
/// ignored with the reason.
pub(crate) fn run(tests: impl Iterator<Item = (&'static str, fn(), Option<String>)>) -> ! {
    let arguments = Arguments::from_args();
    // Asked once: what is missing for one is missing for all.
    let reason = ground::on_loopback(|_| ())
        .err()
        .map(|error| error.to_string().replace('\n', ";"));
    let trials = tests.map(|(name, test, missing)| match reason.clone().or(missing) {
        None => Trial::test(name, move || {
            test();
            Ok(())
        }),
        Some(reason) => {
            Trial::test(format!("{name} (ignored: {reason})"), || Ok(())).with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit()
}
