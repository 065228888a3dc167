//! What lies where: the top level, the crates' folders, a scenario for each rule.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{File, Finding};

/// What the top level has; `true` for what it must have. Names that begin with a dot are free.
const TOP: &[(&str, bool)] = &[
    ("Cargo.lock", true),
    ("Cargo.toml", true),
    ("LICENSE-APACHE", true),
    ("LICENSE-MIT", true),
    ("README.md", true),
    ("crates", true),
    ("docs", true),
    ("fuzz", true),
    ("target", false),
    ("xtask", true),
];

/// Where each rule has the scenario that shows it, and where those that only mutants have.
const SCENARIOS: [&str; 2] = ["crates/cli/tests/scenarios", "crates/cli/tests/mutants"];
/// Where the rules are.
const TABLES: &str = "crates/rules/src/";
/// What the README promises CI runs.
const TEST_COMMAND: &str = "cargo test";

pub(super) fn check(root: &Path, files: &[File]) -> Vec<Finding> {
    let mut findings = top_level(root);
    findings.extend(crate_folders(files));
    findings.extend(scenario_for_each_rule(files));
    let readme = files.iter().find(|file| file.path == "README.md");
    if let Some(readme) = readme.filter(|readme| !readme.text.contains(TEST_COMMAND)) {
        findings.push(at(
            &readme.path,
            1,
            format!("does not name `{TEST_COMMAND}`"),
        ));
    }
    findings
}

fn top_level(root: &Path) -> Vec<Finding> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        found.insert(entry.file_name().to_string_lossy().into_owned());
    }
    let unknown = found
        .iter()
        .filter(|name| !name.starts_with('.') && TOP.iter().all(|(known, _)| known != name))
        .map(|name| at(name, 1, "the top level has no place for it".to_owned()));
    let missing = TOP
        .iter()
        .filter(|(name, is_needed)| *is_needed && !found.contains(*name))
        .map(|(name, _)| at(name, 1, "is missing".to_owned()));
    unknown.chain(missing).collect()
}

/// Checks that each crate is called what its folder is called.
fn crate_folders(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some(folder) = file
            .path
            .strip_prefix("crates/")
            .and_then(|path| path.strip_suffix("/Cargo.toml"))
        else {
            continue;
        };
        if !file.text.contains(&format!("name = \"{folder}\"\n")) {
            findings.push(at(&file.path, 2, format!("is not called {folder}")));
        }
    }
    findings
}

/// Checks that each rule has its scenario, and each scenario there its rule.
fn scenario_for_each_rule(files: &[File]) -> Vec<Finding> {
    let rules = rule_ids(files);
    let scenarios: Vec<(&str, &str)> = files
        .iter()
        .filter_map(|file| Some((file.path.as_str(), scenario_name(&file.path)?)))
        .collect();
    if scenarios.is_empty() {
        println!(
            "left out: a scenario for each rule ({} has none)",
            SCENARIOS[0]
        );
        return Vec::new();
    }
    let without = rules
        .iter()
        .filter(|(_, _, id)| scenarios.iter().all(|(_, name)| name != id))
        .map(|(path, line, id)| at(path, *line, format!("no {}/{id}.scn", SCENARIOS[0])));
    let without_rule = scenarios
        .iter()
        .filter(|(_, name)| rules.iter().all(|(_, _, id)| id != name))
        .map(|(path, name)| at(path, 1, format!("no rule is called {name}")));
    without.chain(without_rule).collect()
}

/// Returns the name of the rule whose scenario the file is, if it is one.
fn scenario_name(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/')?;
    let name = name.strip_suffix(".scn")?;
    SCENARIOS.contains(&folder).then_some(name)
}

/// Returns every rule's place and id, as the tables' source spells them.
fn rule_ids(files: &[File]) -> Vec<(&str, usize, &str)> {
    let tables = files.iter().filter(|file| file.path.starts_with(TABLES));
    tables
        .flat_map(|file| {
            let mut is_in_rule = false;
            file.text
                .lines()
                .zip(1..)
                .filter_map(move |(line, number)| {
                    if line.contains("Rule = Rule {") || line.contains("Rule = &Rule {") {
                        is_in_rule = true;
                    }
                    let id = line.trim().strip_prefix("id: \"")?.strip_suffix("\",")?;
                    std::mem::take(&mut is_in_rule).then_some((file.path.as_str(), number, id))
                })
        })
        .collect()
}

fn at(path: &str, line: usize, says: String) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        says,
    }
}
