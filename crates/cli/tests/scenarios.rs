//! One scenario for each rule and one for each patch between releases, in a file of its name: on
//! the model in every role, and on the real kernels that are there.
//!
//! The scenario of a rule shows the rule decide; that of a patch is answered differently without
//! the patch. Others show what operations do to the trees.
//!
//! `XSAME_BLESS=1 cargo test -p cli --test scenarios` writes what the model answers into the files
//! as what is expected; where the filesystem compresses, what the kernels answer that are there.
//! What it wrote is to be read, and held against kernels.

mod witnesses;

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};

use harness::transcript::{self, Entry};
use libtest_mimic::{Arguments, Failed, Trial};
use model::Sequential;
use rules::series::SERIES;
use rules::{PROFILE_NAMES, Patch, Profile, Reach, Rule};
use scenario::text::{Line, ResultBlock, Scenario};
use scenario::{Backend, Op};

use witnesses::{Check, Witnesses};

/// Where the scenarios of rules are.
const RULES: &str = "scenarios";
/// Where those of patches are.
const PATCHES: &str = "patches";
/// Where those are that look at the trees.
const TREES: &str = "trees";

/// Where those are whose filesystem compresses: kernels answer, and the model adopts what their
/// compressor made of the data.
const COMPRESSED: &str = "compressed";

/// The releases of the User Mode Linux kernels that are asked, where they are there.
const UML_RELEASES: [&str; 4] = ["5.10", "6.1", "6.12", "7.2"];

/// The rules that no operation reaches, not even on the model. Their scenarios say why, and show
/// what comes nearest.
const OUT_OF_REACH: &[&str] = &[
    "active-swapfile",
    "block-smaller-than-page",
    "clone-root-readonly",
    "no-space",
    "send-in-progress",
    "source-not-a-file",
    "source-shrank",
];

/// The patches that one caller alone cannot see, and why.
const UNSEEN: &[(&str, &str)] = &[(
    "lock-target-range-only",
    "a lock that is not taken shows to a second caller only",
)];

/// A scenario with the name of its rule or patch.
type Named = (String, Arc<Scenario>);

fn main() -> ExitCode {
    if std::env::var_os("XSAME_BLESS").is_some() {
        return bless();
    }
    let arguments = Arguments::from_args();
    let witnesses = Witnesses::find(arguments.list, &UML_RELEASES);
    let of_rules: Vec<Named> = named(RULES);
    let of_patches: Vec<Named> = named(PATCHES);
    let names = |scenarios: &[Named]| scenarios.iter().map(|(name, _)| name.clone()).collect();
    let (rule_names, patch_names) = (names(&of_rules), names(&of_patches));
    let mut trials = vec![
        Trial::test(
            "every_rule_has_a_scenario_and_every_scenario_a_rule",
            move || every_rule_has_one(&rule_names),
        ),
        Trial::test(
            "every_patch_has_a_scenario_and_every_scenario_a_patch",
            move || every_patch_has_one(&patch_names),
        ),
    ];
    let of_trees = named(TREES);
    for (name, scenario) in of_rules.iter().chain(&of_patches).chain(&of_trees) {
        let title = format!("{name} is as its scenario says");
        for profile in PROFILE_NAMES {
            trials.push(witnesses::on_model(&title, profile, check(scenario)));
        }
        for kernel in witnesses.kernels() {
            trials.push(kernel.trial(&title, check(scenario)));
        }
    }
    for (name, scenario) in named(COMPRESSED) {
        let title = format!("{name} is as its scenario says, and the model follows");
        for kernel in witnesses.kernels() {
            trials.push(kernel.trial(&title, check_following(&scenario)));
        }
    }
    for (name, scenario) in of_rules {
        let title = match OUT_OF_REACH.contains(&name.as_str()) {
            true => format!("{name} decides nothing, as its scenario says"),
            false => format!("{name} decides its scenario"),
        };
        trials.push(Trial::test(title, move || check_deciding(&name, &scenario)));
    }
    for (name, scenario) in of_patches {
        let title = format!("{name} changes what its scenario answers");
        trials.push(Trial::test(title, move || check_telling(&name, &scenario)));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    witnesses.end();
    conclusion.exit_code()
}

/// Returns the scenarios of a folder.
fn named(folder: &str) -> Vec<Named> {
    witnesses::scenarios(folder)
        .into_iter()
        .map(|(name, scenario)| (name, Arc::new(scenario)))
        .collect()
}

fn check(scenario: &Arc<Scenario>) -> Check {
    let scenario = Arc::clone(scenario);
    Box::new(move |backend, profile| witnesses::play(backend, &scenario, profile).map(drop))
}

/// Shows that a kernel answers as the scenario says, and the model too, which adopts.
fn check_following(scenario: &Arc<Scenario>) -> Check {
    let scenario = Arc::clone(scenario);
    Box::new(move |backend, profile| {
        let mut model = Sequential::new(Profile::by_name(profile)?);
        play_both(&mut model, backend, &scenario, profile)
    })
}

/// Runs a scenario on a kernel with what it expects under `profile`, and on the model, which adopts
/// what is the kernel's to decide.
fn play_both(
    model: &mut dyn Backend,
    kernel: &mut dyn Backend,
    scenario: &Scenario,
    profile: &str,
) -> Result<(), Failed> {
    let mut both = harness::Witnesses {
        expected: model,
        observed: kernel,
    };
    let replies = transcript::run_both(&mut both, scenario)?;
    let capabilities = [both.expected.capabilities(), both.observed.capabilities()];
    let mut unmet = String::new();
    for (line, (of_model, of_kernel)) in scenario.lines.iter().zip(replies) {
        for (reply, capabilities) in [of_model, of_kernel].iter().zip(&capabilities) {
            witnesses::show_unmet(&Entry::new(line, reply, profile, capabilities), &mut unmet);
        }
    }
    if unmet.is_empty() {
        Ok(())
    } else {
        Err(format!("not as expected under {profile}:\n{unmet}").into())
    }
}

/// Holds the files against the rules that there are.
fn every_rule_has_one(names: &BTreeSet<String>) -> Result<(), Failed> {
    let mut complaints = Vec::new();
    let rules = rules::document::all_rules();
    for Rule { id, reach, .. } in &rules {
        if !names.contains(*id) {
            complaints.push(format!("{id} has no scenario"));
        }
        if OUT_OF_REACH.contains(id) && !matches!(reach, Reach::ModelOnly(_)) {
            complaints.push(format!("{id} is out of reach, but kernels show it"));
        }
    }
    let listed = OUT_OF_REACH.iter().copied();
    for name in names.iter().map(String::as_str).chain(listed) {
        if !rules.iter().any(|rule| rule.id == name) {
            complaints.push(format!("{name} is no rule"));
        }
    }
    match complaints.is_empty() {
        true => Ok(()),
        false => Err(complaints.join("\n").into()),
    }
}

/// Holds the files against the patches that there are.
fn every_patch_has_one(names: &BTreeSet<String>) -> Result<(), Failed> {
    let mut complaints = Vec::new();
    for Patch { id, .. } in SERIES {
        let is_unseen = UNSEEN.iter().any(|(unseen, _)| unseen == id);
        match (names.contains(*id), is_unseen) {
            (true, false) | (false, true) => {}
            (false, false) => complaints.push(format!("{id} has no scenario")),
            (true, true) => complaints.push(format!("{id} has a scenario, but nothing shows it")),
        }
    }
    for name in names {
        if !SERIES.iter().any(|patch| patch.id == name) {
            complaints.push(format!("{name} is no patch"));
        }
    }
    match complaints.is_empty() {
        true => Ok(()),
        false => Err(complaints.join("\n").into()),
    }
}

/// Shows that the model answers the scenario in one way before the patch, in another with it.
fn check_telling(patch: &str, scenario: &Scenario) -> Result<(), Failed> {
    let sides = Profile::around(patch).ok_or_else(|| format!("{patch} is no patch"))?;
    let (before, after) = sides?;
    match results(scenario, before)? == results(scenario, after)? {
        false => Ok(()),
        true => Err(format!("{patch} changes nothing").into()),
    }
}

/// Shows that the rule decides something in its scenario, or that it is out of reach.
fn check_deciding(rule: &str, scenario: &Scenario) -> Result<(), Failed> {
    let decides = decides(rule, scenario)?;
    match (decides, OUT_OF_REACH.contains(&rule)) {
        (true, false) | (false, true) => Ok(()),
        (false, false) => {
            Err(format!("{rule} decides nothing under any profile and in no mutant").into())
        }
        (true, true) => Err(format!("{rule} is within reach").into()),
    }
}

/// Returns whether the rule decides something, under a profile or in a mutant.
fn decides(rule: &str, scenario: &Scenario) -> Result<bool, Failed> {
    let mut roles: Vec<Profile> = Vec::new();
    for name in PROFILE_NAMES {
        roles.push(Profile::by_name(name)?);
    }
    for id in rules::mutants::ids() {
        roles.push(Profile::latest()?.with_mutant(id)?);
    }
    let note = format!("[{rule}]");
    for role in roles {
        let lines = results(scenario, role)?;
        if lines.iter().flatten().any(|line| line.ends_with(&note)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the result lines of each operation on the model; fewer after a hang or a panic.
fn results(scenario: &Scenario, profile: Profile) -> Result<Vec<Vec<String>>, Failed> {
    let name = profile.name.clone();
    let mut model = Sequential::new(profile);
    let entries = transcript::run(&mut model, scenario, &name, &mut |_, _| {})?;
    Ok(entries.into_iter().map(|entry| entry.lines).collect())
}

/// Writes what the model answers into the files.
fn bless() -> ExitCode {
    let kernels = Witnesses::find(false, &UML_RELEASES);
    let folders = [RULES, PATCHES, TREES, COMPRESSED].into_iter();
    for (folder, (name, scenario)) in folders.flat_map(|folder| {
        let scenarios = named(folder).into_iter();
        scenarios.map(move |named| (folder, named))
    }) {
        let path = witnesses::beside(folder).join(format!("{name}.scn"));
        let blessed = match folder {
            COMPRESSED => blessed_by_kernels(&scenario, &kernels),
            _ => blessed(&scenario),
        };
        let written = blessed.and_then(|blessed| Ok(fs::write(&path, blessed.to_string())?));
        if let Err(error) = written {
            eprintln!("{}: {:?}", path.display(), error.message());
            return ExitCode::FAILURE;
        }
    }
    kernels.end();
    ExitCode::SUCCESS
}

/// Returns the scenario with the model's answers to all that decides or shows something.
fn blessed(scenario: &Scenario) -> Result<Scenario, Failed> {
    let mut answers = Vec::new();
    for name in PROFILE_NAMES {
        answers.push((*name, results(scenario, Profile::by_name(name)?)?));
    }
    Ok(with_answers(scenario, &answers))
}

/// Returns the scenario with the answers of the kernels that are there.
fn blessed_by_kernels(scenario: &Scenario, kernels: &Witnesses) -> Result<Scenario, Failed> {
    let mut answers: Vec<(&str, Vec<Vec<String>>)> = Vec::new();
    for kernel in kernels.kernels() {
        let Ok((kernel, profile)) = &kernel.found else {
            continue;
        };
        let mut kernel = kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let mut model = Sequential::new(Profile::by_name(profile)?);
        let mut both = harness::Witnesses {
            expected: &mut model,
            observed: kernel.as_mut(),
        };
        let replies = transcript::run_both(&mut both, scenario)?;
        let lines = scenario.lines.iter().zip(replies);
        let shown = lines.map(|(line, (_, reply))| transcript::shown(&line.op, &reply));
        answers.push((profile, shown.collect()));
    }
    answers.sort_by_key(|(name, _)| PROFILE_NAMES.iter().position(|known| known == name));
    Ok(with_answers(scenario, &answers))
}

fn with_answers(scenario: &Scenario, answers: &[(&str, Vec<Vec<String>>)]) -> Scenario {
    let is_telling = |op: &Op| {
        matches!(
            op,
            Op::Dedupe(_) | Op::Clone(_) | Op::Observe { .. } | Op::Tree
        )
    };
    let mut blessed = scenario.clone();
    for (idx, line) in blessed.lines.iter_mut().enumerate() {
        if is_telling(&line.op) {
            expect(line, idx, answers);
        }
    }
    blessed
}

/// Sets what is expected of an operation: the newest profile's answer for all that give it too.
fn expect(line: &mut Line, idx: usize, answers: &[(&str, Vec<Vec<String>>)]) {
    let newest = answers.last().and_then(|(_, lines)| lines.get(idx));
    line.results.clear();
    for (name, lines) in answers {
        match lines.get(idx) {
            Some(lines) if Some(lines) != newest => line.results.push(ResultBlock {
                guard: Some((*name).to_owned()),
                lines: lines.clone(),
            }),
            _ => {}
        }
    }
    line.results.extend(newest.map(|lines| ResultBlock {
        guard: None,
        lines: lines.clone(),
    }));
}
