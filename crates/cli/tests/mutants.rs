//! Bugs of history put into the model: a differential run must find each within its steps, whatever
//! the seed, and leave a scenario of a few operations that shows it.
//!
//! The model without the bug stands in for a kernel everywhere; on the running kernel the same is
//! asked of it. Nothing here knows what any of the bugs is.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use backend_kernel::{LoopbackOptions, Mount};
use libtest_mimic::{Arguments, Failed, Trial};
use rules::mutants;
use scenario::Op;
use scenario::text::Scenario;

/// The seeds with which a bug has to be found.
const SEEDS: [u64; 3] = [1, 2, 3];
/// Within how many operations, and how many may be left.
const LIMITS: (u64, usize) = (2000, 6);
/// The same for what the trees show.
const TREE_LIMITS: (u64, usize) = (500, 5);
/// The bugs that the trees show.
const OF_TREES: &[&str] = &[
    "split-not-counted",
    "backref-underflow-offset",
    "clone-inline-nonzero-off",
    "clone-truncated-inline-leak",
    "clone-qgroup-excl",
];
/// The bugs that show in what quota groups count.
const OF_QUOTA: &[&str] = &["clone-qgroup-excl"];
/// The exit code of a run that found something.
const FOUND: i32 = 1;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let why_no_kernel = match arguments.list {
        true => Some("not looked for while listing".to_owned()),
        false => Mount::loopback(LoopbackOptions::default())
            .err()
            .map(|error| error.to_string().replace('\n', ";")),
    };
    let mut trials = Vec::new();
    for id in mutants::ids() {
        let title = id.replace('-', "_");
        trials.push(Trial::test(
            format!("{title}_is_found_and_shrunk_on_the_model"),
            move || seeds(id, "model"),
        ));
        let name = format!("{title}_is_found_and_shrunk_on_the_running_kernel");
        trials.push(match &why_no_kernel {
            None => Trial::test(name, move || seeds(id, "mount")),
            Some(reason) => Trial::test(format!("{name} (ignored: {reason})"), || Ok(()))
                .with_ignored_flag(true),
        });
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    backend_kernel::cleanup_all();
    conclusion.exit_code()
}

/// Runs all seeds on a backend.
fn seeds(mutant: &str, backend: &str) -> Result<(), Failed> {
    SEEDS
        .into_iter()
        .try_for_each(|seed| is_found_and_shrunk(mutant, backend, seed))
}

fn is_found_and_shrunk(mutant: &str, backend: &str, seed: u64) -> Result<(), Failed> {
    let (nr_steps, nr_ops_max) = match OF_TREES.contains(&mutant) {
        true => TREE_LIMITS,
        false => LIMITS,
    };
    let folder = tempfile::tempdir()?;
    let quota = match OF_QUOTA.contains(&mutant) {
        true => " --quota",
        false => "",
    };
    let arguments = format!(
        "diff --backend {backend} --mutant {mutant} --seed {seed} --steps {nr_steps}{quota}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_xsame"))
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let told = || format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    if output.status.code() != Some(FOUND) {
        return Err(format!("{arguments}: not found ({})\n{}", output.status, told()).into());
    }
    let nr_ops = nr_ops_of(folder.path())?;
    if nr_ops_max < nr_ops {
        return Err(format!("{arguments}: {nr_ops} operations left\n{}", told()).into());
    }
    Ok(())
}

/// Returns how many operations the shrunk scenario in a folder has that count.
fn nr_ops_of(folder: &Path) -> Result<usize, Failed> {
    let mut counts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if name.ends_with(".scn") && !name.ends_with(".whole.scn") {
            let scenario = Scenario::parse(&fs::read_to_string(&path)?)?;
            counts.push(scenario.ops().filter(|op| counts_as_op(op)).count());
        }
    }
    match counts.as_slice() {
        [nr_ops] => Ok(*nr_ops),
        counts => Err(format!("{} scenarios were written", counts.len()).into()),
    }
}

/// Returns whether an operation is more than a declaration, a look or a time to write back.
fn counts_as_op(op: &Op) -> bool {
    !matches!(
        op,
        Op::File { .. } | Op::Flush { .. } | Op::Sync | Op::Tree | Op::Observe { .. }
    )
}
