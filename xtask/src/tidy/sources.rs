//! What a file may contain: [`check`], line by line.

use super::code::only_code;
use super::{File, Finding, edges};

/// Most lines of a Rust file, and longest line in characters.
const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;

/// Files that may have unsafe code: those that are named for it.
const UNSAFE: &[&str] = &[
    "crates/backend-kernel/src/huge_pages.rs",
    "crates/backend-kernel/src/ioctl.rs",
    "crates/backend-kernel/src/ioctl_handle.rs",
    "crates/backend-kernel/src/ioctl_quota.rs",
    "crates/backend-kernel/src/ioctl_space.rs",
    "crates/backend-kernel/src/ioctl_trees.rs",
    "crates/backend-kernel/src/mmap.rs",
    "crates/backend-kernel/src/mmap_pages.rs",
    "crates/backend-kernel/src/process.rs",
];

/// Where releases may be compared, with the reason. Everywhere else a difference between kernels
/// is a patch.
const RELEASE_COMPARED: &[(&str, &str)] = &[
    ("crates/uapi/src/release.rs", "it defines their order"),
    ("crates/rules/src/profile", "it folds the patches"),
    ("crates/backend-uml/src/uml.rs", FINE_TIMES),
    ("crates/backend-kernel/src/session.rs", FINE_TIMES),
    (
        "crates/cli/src/same.rs",
        "it names the remedy for a kernel without the ioctl",
    ),
];

const FINE_TIMES: &str = "how fine a kernel's clock is decides what can be seen, not what is right";

/// Words that code never has.
const NEVER: &[(&str, &str)] = &[
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("dbg!", "take it out"),
    ("#[ignore", "say at run time why a test cannot run"),
    ("#[should_panic", "assert what happens instead"),
    ("cfg(feature", "one program, not 2^n"),
];

/// Where a program may end but in `main`, with the reason.
const EXITS: &[(&str, &str)] = &[(
    "crates/cli/src/signals.rs",
    "a signal ends the program whatever main is doing",
)];

/// Words that a crate that only computes never has in its `src`.
const NEVER_PURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "Instant::",
    "SystemTime",
    "println!",
    "eprintln!",
];

/// Names that say nothing.
const NAMELESS: [&str; 6] = [
    "utils.rs",
    "util.rs",
    "common.rs",
    "helpers.rs",
    "manager.rs",
    "context.rs",
];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Findings {
        file,
        found: Vec::new(),
    };
    text(&mut findings);
    if file.path.ends_with(".rs") {
        rust(&mut findings);
    }
    findings.found
}

/// The findings of one file.
struct Findings<'a> {
    file: &'a File,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, line: usize, says: impl Into<String>) {
        self.found.push(Finding {
            path: self.file.path.clone(),
            line,
            says: says.into(),
        });
    }

    /// Adds a finding for each line of `text` for which `is_wrong` holds.
    fn lines(&mut self, text: &str, says: &str, is_wrong: impl Fn(&str) -> bool) {
        for (line, number) in text.lines().zip(1..) {
            if is_wrong(line) {
                self.add(number, says);
            }
        }
    }
}

/// Checks what holds for every written file.
fn text(findings: &mut Findings<'_>) {
    let File { text, .. } = findings.file;
    // In two parts, or this file would have it.
    let unfinished = concat!("FIX", "ME");
    findings.lines(text, "space at the end of the line", |line| {
        line.ends_with([' ', '\t'])
    });
    findings.lines(text, "unfinished", |line| line.contains(unfinished));
    if !text.is_empty() && !text.ends_with('\n') {
        findings.add(text.lines().count(), "no newline at the end");
    }
}

/// Checks what holds for Rust files.
fn rust(findings: &mut Findings<'_>) {
    let File { path, text } = findings.file;
    if !text.starts_with("//! ") {
        findings.add(1, "the first line is not `//! ` with what the file is");
    }
    let nr_lines = text.lines().count();
    if LINES_MAX < nr_lines {
        findings.add(LINES_MAX, format!("{nr_lines} lines: has it one subject?"));
    }
    if NAMELESS
        .iter()
        .any(|name| path.ends_with(&format!("/{name}")))
    {
        findings.add(1, "name the thing");
    }
    // The formatter knows of code, and leaves literals alone.
    findings.lines(text, "comment longer than 100 columns", |line| {
        line.trim_start().starts_with("//") && COLUMNS_MAX < line.chars().count()
    });

    let code = only_code(text);
    for (word, remedy) in NEVER {
        findings.lines(&code, &format!("{word}: {remedy}"), |line| {
            line.contains(word)
        });
    }
    unsafe_code(findings, &code);
    if path.contains("/src/") {
        of_src(findings, &code);
    }
}

/// Checks what holds for the crates themselves, not for their tests.
fn of_src(findings: &mut Findings<'_>, code: &str) {
    let path = findings.file.path.as_str();
    let is_of = |name: &str| path.starts_with(&format!("crates/{name}/src/"));
    if edges::pure_crates().any(is_of) {
        for word in NEVER_PURE {
            let says = format!("{word}: this crate computes only");
            findings.lines(code, &says, |line| line.contains(word));
        }
    }
    if is_of("rules") {
        let says = "rules decide, steps act";
        findings.lines(code, says, |line| line.contains("&mut FsState"));
    }
    if is_of("harness") {
        let says = "harness looks at capabilities, not at a backend's name";
        let names = ["backend", "expected", "observed"].map(|of| format!("{of}.name() =="));
        findings.lines(code, says, |line| {
            names.iter().any(|name| line.contains(name))
        });
    }
    let may_compare = |(place, _): &(&str, &str)| path.starts_with(place);
    if path.starts_with("crates/") && !RELEASE_COMPARED.iter().any(may_compare) {
        let says = "compares releases: write a patch";
        findings.lines(code, says, compares_release);
    }
    let may_exit = |(place, _): &(&str, &str)| path == *place;
    if !EXITS.iter().any(may_exit) {
        let says = "main alone decides the exit code";
        findings.lines(code, says, |line| line.contains("process::exit"));
    }
    // What is only for tests is a module of tests.
    for ((line, next), number) in code.lines().zip(code.lines().skip(1)).zip(1..) {
        if line.trim() == "#[cfg(test)]" && !next.trim().starts_with("mod tests") {
            findings.add(number, "only `mod tests` is cfg(test)");
        }
    }
}

fn unsafe_code(findings: &mut Findings<'_>, code: &str) {
    let path = findings.file.path.as_str();
    if UNSAFE.contains(&path) {
        return;
    }
    let says = "unsafe code belongs to the files that are named for it";
    let words = |line: &str| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(is_unsafe)
    };
    findings.lines(code, says, words);
    let is_crate_root = path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
    let folder = path.split("/src/").next().unwrap_or_default();
    let has_unsafe_file = UNSAFE
        .iter()
        .any(|file| file.starts_with(&format!("{folder}/")));
    let level = if has_unsafe_file { "deny" } else { "forbid" };
    if is_crate_root && !code.contains(&format!("#![{level}(unsafe_code)]")) {
        findings.add(1, format!("lacks #![{level}(unsafe_code)]"));
    }
}

fn is_unsafe(word: &str) -> bool {
    word == "unsafe"
}

/// Returns whether a line has a release beside an operator of comparison.
fn compares_release(line: &str) -> bool {
    let line = line.to_lowercase();
    let operators = [" < ", " <= ", " > ", " >= ", " == ", " != ", ".cmp("];
    line.contains("release") && operators.iter().any(|operator| line.contains(operator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let found: Vec<String> = check(&file)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.says))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_tidy_file_has_no_finding() {
        let text = "//! A file.\n\nfn f<'a>(s: &'a str) -> bool {\n    s == \"todo!\"\n}\n";
        check_file("crates/model/src/f.rs", text, &[]);
    }

    #[test]
    fn a_pure_crate_reads_no_file() {
        let text = "//! A file.\nuse std::fs;\n";
        let says = "2: std::fs: this crate computes only";
        check_file("crates/model/src/f.rs", text, &[says]);
        check_file("crates/model/tests/it/f.rs", text, &[]);
        check_file("crates/cli/src/f.rs", text, &[]);
    }

    #[test]
    fn releases_are_compared_where_patches_are_folded() {
        let text = "//! A file.\nconst IS_OLD: bool = release < FIRST;\n";
        let says = "2: compares releases: write a patch";
        check_file("crates/model/src/f.rs", text, &[says]);
        check_file("crates/rules/src/profile/fold.rs", text, &[]);
    }

    #[test]
    fn a_library_forbids_unsafe_code() {
        let says = "1: lacks #![forbid(unsafe_code)]";
        check_file("crates/model/src/lib.rs", "//! A crate.\n", &[says]);
    }
}
