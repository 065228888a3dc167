//! Tests of the running kernel as a backend. They need root, a loop device, btrfs and
//! mkfs.btrfs; where one of them is missing, every test is reported as ignored with the reason.
//!
//! They assert what this crate promises, on facts that hold for every kernel since 5.10.

mod calls;
mod cleanup;
mod damage;
mod directory;
mod files;
mod looks;
mod moments;
mod subject;
mod volume_of_trees;
mod walks;

use libtest_mimic::{Arguments, Trial};

/// A test: its name, a sentence, and what it does.
type Test = (&'static str, fn());

/// The variable that tells this program to be a child of one of its tests: a word and a path.
const CHILD: &str = "XSAME_MOUNT_TEST_CHILD";

fn main() {
    if let Ok(task) = std::env::var(CHILD) {
        return be_a_child(&task);
    }
    let arguments = Arguments::from_args();
    // Asked once: what is missing for one is missing for all.
    let reason = backend_kernel::Mount::loopback(backend_kernel::LoopbackOptions::default())
        .err()
        .map(|error| error.to_string().replace('\n', ";"));
    let tests = [
        files::TESTS,
        calls::TESTS,
        directory::TESTS,
        cleanup::TESTS,
        damage::TESTS,
        looks::TESTS,
        moments::TESTS,
        volume_of_trees::TESTS,
        walks::TESTS,
    ]
    .concat();
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

fn be_a_child(task: &str) {
    match task.split_once(' ') {
        Some(("directory", path)) => directory::without_privilege(path.as_ref()),
        Some(("hold", path)) => cleanup::hold_a_mount(path.as_ref()),
        _ => panic!("no test has a child that does {task:?}"),
    }
}
