//! Bugs of history put into the model: a differential run must find each within its steps, whatever
//! the seed, and leave a scenario of a few operations that shows it.
//!
//! The model without the bug stands in for a kernel everywhere; on the running kernel the same is
//! asked of it. What is a matter of the trees has to show in them, or to the model's own check,
//! whatever else shows it. Nothing here knows what any of the bugs is.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use backend_kernel::{LoopbackOptions, Mount};
use harness::{Witnesses, transcript};
use libtest_mimic::{Arguments, Failed, Trial};
use model::Sequential;
use rules::{Profile, mutants};
use scenario::text::{Line, Scenario};
use scenario::{Backend, Op, Outcome, side_by_side};
use uapi::Release;

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
/// The bugs that need a filesystem of another kind, with the options that make it.
const MODES: [(&str, &str); 2] = [
    ("clone-qgroup-excl", "--quota --snapshots 20"),
    ("clone-truncated-inline-leak", "--compress zstd"),
];
/// The exit code of a run that found something.
const FOUND: i32 = 1;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let kernel = match arguments.list {
        true => Err("not looked for while listing".to_owned()),
        false => match Mount::loopback(LoopbackOptions::default()) {
            Ok(mount) => Ok(mount.capabilities().release),
            Err(error) => Err(error.to_string().replace('\n', ";")),
        },
    };
    let mut trials = Vec::new();
    for id in mutants::ids() {
        let title = id.replace('-', "_");
        trials.push(Trial::test(
            format!("{title}_is_found_and_shrunk_on_the_model"),
            move || seeds(id, "model", None),
        ));
        let name = format!("{title}_is_found_and_shrunk_on_the_running_kernel");
        trials.push(match &kernel {
            &Ok(release) => Trial::test(name, move || seeds(id, "mount", release)),
            Err(reason) => Trial::test(format!("{name} (ignored: {reason})"), || Ok(()))
                .with_ignored_flag(true),
        });
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    backend_kernel::cleanup_all();
    conclusion.exit_code()
}

/// Runs all seeds on a backend, a kernel of this release if it is one.
fn seeds(mutant: &str, backend: &str, release: Option<Release>) -> Result<(), Failed> {
    let sound = match release {
        Some(release) => Profile::nearest(release).0,
        None => Profile::latest()?,
    };
    SEEDS
        .into_iter()
        .try_for_each(|seed| is_found_and_shrunk(mutant, backend, &sound, seed))
}

fn is_found_and_shrunk(
    mutant: &str,
    backend: &str,
    sound: &Profile,
    seed: u64,
) -> Result<(), Failed> {
    let is_of_trees = OF_TREES.contains(&mutant);
    let (nr_steps, nr_ops_max) = match is_of_trees {
        true => TREE_LIMITS,
        false => LIMITS,
    };
    let folder = tempfile::tempdir()?;
    let mode = MODES.iter().find(|(id, _)| *id == mutant);
    let mode = mode.map_or("", |(_, options)| options);
    let arguments = format!(
        "diff --backend {backend} --mutant {mutant} --seed {seed} --steps {nr_steps} {mode}"
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
    let scenario = shrunk_in(folder.path())?;
    let nr_ops = scenario.ops().filter(|op| counts_as_op(op)).count();
    if nr_ops_max < nr_ops {
        return Err(format!("{arguments}: {nr_ops} operations left\n{}", told()).into());
    }
    if is_of_trees && !shows_in_trees(&scenario, sound, mutant)? {
        return Err(format!("{arguments}: the trees do not show it\n{}", told()).into());
    }
    Ok(())
}

/// Returns whether the trees differ after some operation of a scenario, or whether the model with
/// the bug finds something wrong with its own state there, before it goes on to panic.
fn shows_in_trees(scenario: &Scenario, sound: &Profile, mutant: &str) -> Result<bool, Failed> {
    for nr_lines in 1..=scenario.lines.len() {
        let mut lines = scenario.lines[..nr_lines].to_vec();
        lines.push(Line::new(Op::Tree));
        let scenario = Scenario {
            lines,
            ..scenario.clone()
        };
        let mut expected = Sequential::new(sound.with_mutant(mutant)?);
        let mut observed = Sequential::new(sound.clone());
        let mut witnesses = Witnesses {
            expected: &mut expected,
            observed: &mut observed,
        };
        let replies = transcript::run_both(&mut witnesses, &scenario)?;
        let (left, right) = replies.last().ok_or("nothing was asked")?;
        let (Outcome::Trees(own), Outcome::Trees(other)) =
            (&left.answer.outcome, &right.answer.outcome)
        else {
            return Err("the trees were not told".into());
        };
        let pairs = side_by_side(own, other);
        if !left.answer.complaints.is_empty() || pairs.iter().any(|pair| !pair.is_equal()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the shrunk scenario in a folder.
fn shrunk_in(folder: &Path) -> Result<Scenario, Failed> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if name.ends_with(".scn") && !name.ends_with(".whole.scn") {
            found.push(Scenario::parse(&fs::read_to_string(&path)?)?);
        }
    }
    match found.pop() {
        Some(scenario) if found.is_empty() => Ok(scenario),
        _ => Err("not one scenario was written".into()),
    }
}

/// Returns whether an operation is more than a declaration, a look or a time to write back.
fn counts_as_op(op: &Op) -> bool {
    !matches!(
        op,
        Op::File { .. } | Op::Flush { .. } | Op::Sync | Op::Tree | Op::Observe { .. }
    )
}
