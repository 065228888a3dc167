//! `xsame tree`: what a scenario leaves in the trees, of the model and of another witness side by
//! side; or what the trees of a filesystem say that somebody else has made.

use std::path::Path;

use backend_kernel::{image, subvolumes_in, trees_at};
use harness::{Witnesses, transcript};
use miette::{Report, miette};
use scenario::text::{Line, Scenario};
use scenario::{Answer, Backend, BackendError, Op, Outcome, Trees, side_by_side};

use crate::arguments::TreeArguments;
use crate::exit::Exit;
use crate::witness::{self, WitnessName};
use crate::{print, run};

/// Runs the subcommand.
pub(crate) fn run(arguments: &TreeArguments) -> Result<Exit, Report> {
    if arguments.file.is_dir() {
        return alone(arguments, seen_at(&arguments.file));
    }
    if image::is_image(&arguments.file) {
        let seen = image::on_image(&arguments.file, seen_at).flatten();
        return alone(arguments, seen);
    }
    let scenario = run::read(&arguments.file)?;
    let profile = arguments.profile.as_deref().unwrap_or("auto");
    let (own_profile, _) = witness::profile(profile, None)?;
    let backend = arguments.backend.as_ref().unwrap_or(&WitnessName::Auto);
    let opened = witness::open(backend, &own_profile, false)?;
    let mut observed = opened.backend;
    let (profile, remark) = witness::profile(profile, Some(observed.as_ref()))?;
    opened
        .remarks
        .iter()
        .chain(&remark)
        .for_each(|remark| eprintln!("{remark}"));
    let mut expected = witness::model(witness::mutated(profile, &arguments.mutant)?);
    let (left, right) = match scenario.geometry.leaves_choices() {
        true => trees_of_both(expected.as_mut(), observed.as_mut(), scenario)?,
        false => (
            trees(expected.as_mut(), &scenario)?,
            trees(observed.as_mut(), &scenario)?,
        ),
    };
    let pairs = side_by_side(&left.trees, &right.trees);
    let text = |line: &Option<String>| line.as_deref().map_or_else(String::new, shortened);
    let width = pairs.iter().map(|pair| text(&pair.left).len()).max();
    let width = width.unwrap_or(0).max(expected.name().len());
    print::line(format!(
        "  {:width$}   {}",
        expected.name(),
        observed.name()
    ));
    for pair in &pairs {
        let mark = if pair.is_equal() { ' ' } else { '!' };
        let line = format!("{mark} {:width$} | {}", text(&pair.left), text(&pair.right));
        print::line(line.trim_end());
    }
    let nr_odd = pairs.iter().filter(|pair| !pair.is_equal()).count();
    eprintln!("{nr_odd} of {} lines differ", pairs.len());
    let complaints = [left.complaints, right.complaints].concat();
    complaints
        .iter()
        .for_each(|text| eprintln!("wrong: {text}"));
    Ok(match nr_odd == 0 && complaints.is_empty() {
        true => Exit::Fine,
        false => Exit::Found,
    })
}

/// Returns the trees of the subvolume at a path, and the subvolumes in it, which they leave out.
fn seen_at(path: &Path) -> Result<(Trees, Vec<String>), BackendError> {
    Ok((trees_at(path)?, subvolumes_in(path)?))
}

/// Prints the trees of a filesystem that nobody else is asked about.
fn alone(
    arguments: &TreeArguments,
    seen: Result<(Trees, Vec<String>), BackendError>,
) -> Result<Exit, Report> {
    let is_for_scenario =
        arguments.backend.is_some() || arguments.profile.is_some() || !arguments.mutant.is_empty();
    if is_for_scenario {
        return Err(miette!(
            help = "leave --backend, --profile and --mutant out, or name a scenario",
            "{} is a filesystem, and the running kernel alone is asked about it",
            arguments.file.display()
        ));
    }
    let (trees, left_out) = seen.map_err(witness::report)?;
    trees
        .lines()
        .into_iter()
        .for_each(|line| print::line(line.text));
    if !left_out.is_empty() {
        eprintln!(
            "left out: subvolumes in this one: {}\n  remedy: name the folder of one, mounted",
            left_out.join(" ")
        );
    }
    Ok(Exit::Fine)
}

/// What a witness tells of its trees.
struct Told {
    trees: Trees,
    /// What it found wrong with them, each with its name.
    complaints: Vec<String>,
}

/// Carries a scenario out and looks at the trees.
fn trees(backend: &mut dyn Backend, scenario: &Scenario) -> Result<Told, Report> {
    check_has_trees(backend)?;
    // What each operation answers is for `xsame run` to tell.
    transcript::run(backend, scenario, "", &mut |_, _| {}).map_err(witness::report)?;
    let answer = backend.apply(&Op::Tree).map_err(witness::report)?;
    told(&backend.name(), answer)
}

/// Carries a scenario out on both, so that the expected one can adopt what is left to a kernel, and
/// looks at the trees.
fn trees_of_both(
    expected: &mut dyn Backend,
    observed: &mut dyn Backend,
    mut scenario: Scenario,
) -> Result<(Told, Told), Report> {
    check_has_trees(observed)?;
    scenario.lines.push(Line::new(Op::Tree));
    let names = (expected.name(), observed.name());
    let mut witnesses = Witnesses { expected, observed };
    let replies = transcript::run_both(&mut witnesses, &scenario).map_err(witness::report)?;
    let last = replies.into_iter().last();
    let (left, right) = last.ok_or_else(|| miette!("nothing was asked"))?;
    Ok((told(&names.0, left.answer)?, told(&names.1, right.answer)?))
}

fn check_has_trees(backend: &dyn Backend) -> Result<(), Report> {
    if backend.capabilities().has_trees {
        return Ok(());
    }
    Err(miette!(
        help = "run as root, or name another backend: model, mount, uml",
        "{} cannot tell what its trees say",
        backend.name()
    ))
}

/// Returns the trees that a backend told.
fn told(name: &str, answer: Answer) -> Result<Told, Report> {
    let complaints = answer.complaints.iter();
    let complaints = complaints.map(|text| format!("{name}: {text}")).collect();
    match answer.outcome {
        Outcome::Trees(trees) => Ok(Told {
            trees: *trees,
            complaints,
        }),
        outcome => Err(miette!(
            "{name} answers {outcome:?} when asked for its trees"
        )),
    }
}

/// Returns a line with its digests cut short: they only have to look different.
fn shortened(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once(':') {
        Some((range, digest)) if word.starts_with("csum=") => {
            format!("{range}:{}", digest.get(..8).unwrap_or(digest))
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
