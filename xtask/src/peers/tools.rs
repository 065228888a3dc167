//! The tools: how they are installed and started.
//!
//! Each is started as its manual has it for a filesystem that can share blocks, and told to be
//! quiet. Where one only prepares (rmlint writes a script, fclones a list) both steps count.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::data::Set;
use crate::command::{cargo, find, finish, output, target_folder};

/// What a tool was asked to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Find duplicates, change nothing.
    Scan,
    /// Find and dedupe.
    Dedupe,
}

/// A tool with one way to call it.
pub(super) struct Tool {
    /// The word for `--tools`.
    pub(super) id: &'static str,
    /// What it is called in the table.
    pub(super) name: &'static str,
    /// What it is asked to do.
    pub(super) task: Task,
    /// A command for the shell; `{dir}` is the set, `{tmp}` a folder elsewhere.
    line: &'static str,
}

/// No tool, but what no tool can be faster than: the calls on *halves* by who knows what is equal.
pub(super) const CALLS_ALONE: &str = "calls-alone";

/// All of them; the table has them in this order.
pub(super) const TOOLS: &[Tool] = &[
    scan(
        "duperemove-scan-4k",
        "duperemove -b 4K",
        "duperemove -rq -b 4K {dir}",
    ),
    scan(
        "duperemove-scan-128k",
        "duperemove -b 128K",
        "duperemove -rq -b 128K {dir}",
    ),
    scan("jdupes-scan", "jdupes", "jdupes -rqm {dir}"),
    scan(
        "rmlint-scan",
        "rmlint",
        "rmlint -T df -o summary:stdout {dir}",
    ),
    scan(
        "fclones-scan",
        "fclones group",
        "{fclones} -q group -o {tmp}/groups {dir}",
    ),
    scan("xsame-scan", "xsame dupes", "{xsame} dupes -rq {dir}"),
    dedupe("duperemove", "duperemove", "duperemove -rdq {dir}"),
    dedupe(
        "duperemove-partial-128k",
        "duperemove partial 128K",
        "duperemove -rdq -b 128K --dedupe-options=partial {dir}",
    ),
    dedupe(
        "duperemove-partial-4k",
        "duperemove partial 4K",
        "duperemove -rdq -b 4K --dedupe-options=partial {dir}",
    ),
    dedupe("jdupes", "jdupes -B", "jdupes -rqB {dir}"),
    dedupe(
        "rmlint",
        "rmlint clone",
        "rmlint -T df -o sh:{tmp}/rmlint.sh -c sh:handler=clone {dir} && sh {tmp}/rmlint.sh -dq",
    ),
    dedupe(
        "fclones",
        "fclones dedupe",
        "{fclones} -q group -o {tmp}/groups {dir} && {fclones} -q dedupe < {tmp}/groups",
    ),
    dedupe(
        "xsame-never",
        "xsame --rewrite=never",
        "{xsame} dupes -rDq --rewrite=never {dir}",
    ),
    dedupe(
        "xsame-auto",
        "xsame --rewrite=auto",
        "{xsame} dupes -rDq --rewrite=auto {dir}",
    ),
    dedupe(
        "xsame-max",
        "xsame --rewrite=max",
        "{xsame} dupes -rDq --rewrite=max {dir}",
    ),
    dedupe(CALLS_ALONE, "the calls alone", "{calls} {dir}"),
];

const fn scan(id: &'static str, name: &'static str, line: &'static str) -> Tool {
    Tool {
        id,
        name,
        task: Task::Scan,
        line,
    }
}

const fn dedupe(id: &'static str, name: &'static str, line: &'static str) -> Tool {
    Tool {
        id,
        name,
        task: Task::Dedupe,
        line,
    }
}

impl Tool {
    /// Returns the command.
    pub(super) fn command(&self, dir: &Path, tmp: &Path) -> Command {
        command(self.line, dir, tmp)
    }

    /// Returns whether it is for a set.
    pub(super) fn is_for(&self, set: &Set) -> bool {
        match self.id {
            CALLS_ALONE => set.name == "halves",
            _ => set.is_scanned || self.task == Task::Dedupe,
        }
    }

    /// Returns whether it says beforehand what will be used.
    pub(super) fn predicts(&self) -> bool {
        self.task == Task::Dedupe && self.id.starts_with("xsame")
    }

    /// Returns the command of a tool that predicts; what it says goes to `said.json` in `tmp`.
    pub(super) fn proof(&self, dir: &Path, tmp: &Path) -> Command {
        let line = self.line.replace("-rDq", "-rD --json") + " > {tmp}/said.json";
        command(&line, dir, tmp)
    }

    /// Returns the line as it stands in the docs.
    pub(super) fn shown(&self) -> String {
        let line = self.line.replace("{fclones}", "fclones");
        let line = line.replace("{xsame}", "xsame");
        let line = line.replace("{calls}", "calls_alone");
        line.replace("{dir}", "DIR").replace("{tmp}", "TMP")
    }
}

fn command(line: &str, dir: &Path, tmp: &Path) -> Command {
    let line = line
        .replace("{fclones}", &fclones().display().to_string())
        .replace("{xsame}", &xsame().display().to_string())
        .replace("{calls}", &calls_alone().display().to_string())
        .replace("{dir}", &dir.display().to_string())
        .replace("{tmp}", &tmp.display().to_string());
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(tmp);
    command
}

/// Installs what is missing of the tools that are asked for, all if `wanted` is empty.
///
/// # Errors
///
/// A text with the command that failed.
pub(super) fn install(wanted: &[String]) -> Result<(), String> {
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|tool| tool.starts_with(name));
    let packages = ["duperemove", "jdupes", "rmlint", "time"];
    let missing: Vec<&str> = packages
        .into_iter()
        .filter(|name| (*name == "time" || is_wanted(name)) && find(name).is_none())
        .collect();
    if !missing.is_empty() {
        let mut command = Command::new("apt-get");
        command.args(["install", "-y", "--no-install-recommends"]);
        finish(command.args(missing))?;
    }
    if is_wanted("xsame") && XSAME.get().is_none() {
        finish(&mut cargo(&["build", "--release", "-p", "cli"]))?;
    }
    if is_wanted(CALLS_ALONE) {
        let example = ["--example", "calls_alone"];
        finish(cargo(&["build", "--release", "-p", "backend-kernel"]).args(example))?;
    }
    if is_wanted("fclones") && !fclones().is_file() {
        let folder = peers_folder();
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        finish(cargo(&["install", "fclones", "--root"]).arg(&folder))?;
    }
    Ok(())
}

/// Returns what the measurement depends on, as phrases: kernel, processors, versions.
pub(super) fn circumstances() -> Vec<String> {
    let first = |program: &str, arguments: &[&str]| {
        let said = output(Command::new(program).args(arguments)).ok()?;
        said.lines().next().map(|line| line.trim().to_owned())
    };
    let nr_processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found = vec![format!("{nr_processors} processors")];
    // What a distribution adds to the release says where it was built, not what it does.
    let kernel = first("uname", &["-sr"]);
    found.extend(kernel.map(|it| it.split('-').next().unwrap_or(&it).to_owned()));
    for package in ["btrfs-progs", "duperemove", "jdupes", "rmlint"] {
        let asked = ["-W", "-f", "${Version}", package];
        found.extend(first("dpkg-query", &asked).map(|version| format!("{package} {version}")));
    }
    let fclones = fclones().display().to_string();
    found.extend(first(&fclones, &["--version"]));
    found
}

/// Returns where what is installed and measured is kept.
pub(super) fn peers_folder() -> PathBuf {
    target_folder().join("peers")
}

fn calls_alone() -> PathBuf {
    target_folder().join("release/examples/calls_alone")
}

fn fclones() -> PathBuf {
    peers_folder().join("bin/fclones")
}

/// The program that is measured, if it is not the one that is built here.
static XSAME: OnceLock<PathBuf> = OnceLock::new();

/// Measures this program instead of building one.
pub(super) fn use_xsame(path: &Path) {
    let _ = XSAME.set(path.to_owned());
}

/// Returns where xsame is.
pub(super) fn xsame() -> PathBuf {
    let own = || target_folder().join("release/xsame");
    XSAME.get().cloned().unwrap_or_else(own)
}
