//! Every measured case that operations can express, on the model in the role of each kernel that
//! answered it, and on those of these kernels that are there.
//!
//! `answers/answers.jsonl` is what was measured, the scenarios beside it are generated from it
//! (`cargo xtask answers`). What a scenario does not say is held against the measurement here:
//! contents that stay, and the facts of a case's `x`.

mod facts;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use scenario::Op;
use scenario::text::{Notes, Scenario, results_match};
use serde_json::Value;

use witnesses::{Check, Kernel, Witnesses};

/// The kernels of the measurement with the profiles that stand for them.
const KERNELS: [(&str, &str); 3] = [
    ("linux-3.13", "3.13"),
    ("linux-6.1", "6.1"),
    ("linux-6.18", "6.18"),
];

/// Those of them that are User Mode Linux kernels and can be had.
const UML_RELEASES: [&str; 1] = ["6.1"];

/// Where the posted fourth revision answers otherwise than the merged code, with the reason that
/// the posting gives. Everywhere else it must answer as 3.13 does.
const V4_DELTA: &[(&str, &[&str], &str)] = &[
    (
        "x-3M-differs-2nd-MiB",
        &["B differs 1m"],
        "btrfs_extent_same loops over the range at 1 MB increments: progress is known",
    ),
    (
        "x-unmapped-after-1-of-2",
        &["EFAULT", "B same 4k"],
        "arguments are copied into and out of userspace on demand",
    ),
    (
        "x-unmapped-after-100-of-120",
        &["EFAULT", "B same 4k x100"],
        "arguments are copied into and out of userspace on demand",
    ),
];

/// A measured case.
struct Case {
    /// The name of its scenario.
    name: String,
    scenario: Scenario,
    /// Answers by kernel.
    answers: Value,
}

fn main() {
    let arguments = Arguments::from_args();
    let witnesses = Witnesses::find(arguments.list, &UML_RELEASES);
    let (cases, nr_measured) = cases();
    let nr_cases = cases.len();
    let mut trials = vec![
        Trial::test("every_measured_case_is_a_scenario_or_listed", move || {
            every_case_is_there(nr_cases, nr_measured)
        }),
        Trial::test("the_delta_of_v4_names_cases_that_are_there", {
            let names: BTreeSet<String> = cases.iter().map(|case| case.name.clone()).collect();
            move || delta_is_of_cases(&names)
        }),
    ];
    for case in &cases {
        let name = format!("{} answers as measured", case.name);
        for (profile, _) in KERNELS {
            trials.push(witnesses::on_model(&name, profile, check(case)));
        }
        let v4 = format!("{} answers as 3.13 but for the listed delta", case.name);
        trials.push(witnesses::on_model(&v4, "v4", check_v4(case)));
        for kernel in witnesses.kernels() {
            trials.push(on_kernel(kernel, &name, case));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    witnesses.end();
    conclusion.exit();
}

fn on_kernel(kernel: &Kernel, name: &str, case: &Arc<Case>) -> Trial {
    kernel.trial(name, check(case))
}

/// Returns the test that a witness answers as its kernel did.
fn check(case: &Arc<Case>) -> Check {
    let case = Arc::clone(case);
    Box::new(move |backend, profile| {
        let entries = witnesses::play(backend, &case.scenario, profile)?;
        let kernel = KERNELS.iter().find(|(known, _)| *known == profile);
        let (_, kernel) = kernel.ok_or_else(|| format!("{profile} was not measured"))?;
        facts::check(&entries, &case.answers[kernel]["x"], kernel)
    })
}

/// Returns the test that v4 answers as 3.13 did, or as the delta says.
fn check_v4(case: &Arc<Case>) -> Check {
    let case = Arc::clone(case);
    Box::new(move |backend, profile| {
        let entries = witnesses::play(backend, &case.scenario, profile)?;
        let measured = case.measured();
        let (line, entry) = (&case.scenario.lines[measured], &entries[measured]);
        let of_3_13 = line.expected_for("linux-3.13").unwrap_or(&[]);
        let is_as_3_13 = results_match(of_3_13, &entry.lines, Notes::Ignored);
        let listed = V4_DELTA.iter().find(|(name, ..)| *name == case.name);
        let Some((_, lines, reason)) = listed else {
            return match is_as_3_13 {
                true => Ok(()),
                false => Err(format!("{:?}, 3.13: {of_3_13:?}", entry.lines).into()),
            };
        };
        if is_as_3_13 {
            return Err(format!("as 3.13, although {reason}").into());
        }
        match results_match(lines, &entry.lines, Notes::Ignored) {
            true => Ok(()),
            false => Err(format!("{:?} and not {lines:?}: {reason}", entry.lines).into()),
        }
    })
}

impl Case {
    /// Returns which operation was measured: the last dedupe.
    fn measured(&self) -> usize {
        let is_dedupe = |op: &Op| matches!(op, Op::Dedupe(_));
        let dedupes = self.scenario.ops().enumerate();
        let last = dedupes.filter(|(_, op)| is_dedupe(op)).last();
        last.map_or(0, |(idx, _)| idx)
    }
}

/// Returns the cases that have a scenario, and how many were measured.
fn cases() -> (Vec<Arc<Case>>, usize) {
    let path = witnesses::beside("answers/answers.jsonl");
    let measured: BTreeMap<String, Value> = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is a case"))
        .map(|case: Value| {
            let name = case["case"].as_str().expect("a case has a name");
            (name.to_owned(), case["answers"].clone())
        })
        .collect();
    let nr_measured = measured.len();
    let cases = witnesses::scenarios("answers")
        .into_iter()
        .map(|(name, scenario)| {
            let title = scenario.comments.first().map_or("", String::as_str);
            let case = title
                .strip_prefix("# As measured: ")
                .and_then(|title| title.strip_suffix('.'))
                .unwrap_or_else(|| panic!("{name}.scn does not name its case"));
            let answers = measured
                .get(case)
                .unwrap_or_else(|| panic!("{name}.scn: {case} was not measured"))
                .clone();
            Arc::new(Case {
                name,
                scenario,
                answers,
            })
        })
        .collect();
    (cases, nr_measured)
}

fn every_case_is_there(nr_cases: usize, nr_measured: usize) -> Result<(), Failed> {
    let list = fs::read_to_string(witnesses::beside("answers/not-expressible.txt"))?;
    let nr_left_out = list.lines().count();
    if nr_cases + nr_left_out == nr_measured {
        return Ok(());
    }
    Err(format!("{nr_cases} scenarios and {nr_left_out} left out of {nr_measured}").into())
}

fn delta_is_of_cases(names: &BTreeSet<String>) -> Result<(), Failed> {
    for (name, ..) in V4_DELTA {
        if !names.contains(*name) {
            return Err(format!("{name} is no case").into());
        }
    }
    Ok(())
}
