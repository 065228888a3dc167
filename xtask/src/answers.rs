//! `xtask answers`: one scenario for each measured case that operations can express.
//!
//! What a case sets up is a table written by hand (`setups.txt`); what is expected of it comes from
//! `answers.jsonl` alone. The generator does not know what any operation means, and it does not
//! ask the model.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What the cases set up; the file says how it is written.
const SETUPS: &str = include_str!("answers/setups.txt");

/// The kernels whose answers are expected, and the profiles that stand for them.
const KERNELS: [(&str, &str); 3] = [
    ("3.13", "linux-3.13"),
    ("6.1", "linux-6.1"),
    ("6.18", "linux-6.18"),
];

/// The contents of a file for which a setup says nothing.
const USUAL_CONTENT: &str = "256k seed=1@0";

/// Where the cases and their scenarios lie.
const FOLDER: &str = "crates/cli/tests/answers";

/// Writes the scenarios anew, or with `--check` tells which are not as they would be written.
///
/// # Errors
///
/// A message that names the file or the case.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let is_check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: xtask answers [--check]".to_owned()),
    };
    let folder = folder()?;
    let cases = read_cases(&folder.join("answers.jsonl"))?;
    let wanted = files(&cases)?;
    let mut stale = Vec::new();
    for (name, text) in &wanted {
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        if is_check {
            stale.push(name.clone());
        } else {
            write(&path, text)?;
        }
    }
    for name in orphans(&folder, &wanted)? {
        if is_check {
            stale.push(name);
        } else {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(|error| about(&path, &error))?;
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not as the generator writes them: {}\n  remedy: cargo xtask answers",
        stale.join(", ")
    ))
}

/// The table of setups.
#[derive(Debug, Default)]
struct Setups {
    /// Operations by case.
    ops: BTreeMap<&'static str, String>,
    /// Contents by `@NAME`.
    contents: BTreeMap<&'static str, String>,
    /// Reasons by case that operations cannot express.
    reasons: BTreeMap<&'static str, String>,
}

impl Setups {
    fn parse(table: &'static str) -> Result<Setups, String> {
        let mut setups = Setups::default();
        let mut last: Option<&mut String> = None;
        for line in table.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(' ') {
                let text = last.as_mut().ok_or("setups.txt begins in the middle")?;
                **text += " ";
                **text += line.trim();
                continue;
            }
            let (kind, name, text) = if let Some((name, reason)) = line.split_once(" -- ") {
                (&mut setups.reasons, name, reason)
            } else if let Some((name, text)) = line.split_once(':') {
                let is_content = name.starts_with('@');
                let kind = match is_content {
                    true => &mut setups.contents,
                    false => &mut setups.ops,
                };
                (kind, name, text)
            } else {
                return Err(format!("setups.txt: not a case: {line}"));
            };
            last = Some(kind.entry(name).or_default());
            if let Some(entry) = last.as_mut() {
                **entry = text.trim().to_owned();
            }
        }
        Ok(setups)
    }
}

/// Returns every file that is generated, by name.
fn files(cases: &[Value]) -> Result<BTreeMap<String, String>, String> {
    let setups = Setups::parse(SETUPS)?;
    let mut wanted = BTreeMap::new();
    let mut left_out = String::new();
    for case in cases {
        let name = text(case, "case")?;
        match (setups.ops.get(name), setups.reasons.get(name)) {
            (Some(setup), None) => {
                let ops = expand(setup, &setups.contents);
                let scenario = scenario(name, &ops, &case["answers"])
                    .map_err(|error| format!("case {name}: {error}"))?;
                wanted.insert(format!("{}.scn", file_name(name)), scenario);
            }
            (None, Some(reason)) => {
                let _ = writeln!(left_out, "{name}: {reason}");
            }
            _ => {
                return Err(format!(
                    "case {name} needs a setup, or a reason to have none"
                ));
            }
        }
    }
    wanted.insert("not-expressible.txt".to_owned(), left_out);
    Ok(wanted)
}

/// Returns the scenario of a case.
fn scenario(name: &str, ops: &[String], answers: &Value) -> Result<String, String> {
    let measured = ops
        .iter()
        .rposition(|op| op.starts_with("dedupe "))
        .ok_or("the setup has no dedupe")?;
    let looked_at = format!("observe {}", files_of(ops).join(" "));
    let mut scenario = format!("# As measured: {name}.\nmkfs size=64g sectorsize=4k\n");
    for (idx, op) in ops.iter().enumerate() {
        if idx == measured {
            let _ = writeln!(scenario, "{looked_at}\n{op}");
            for (kernel, profile) in KERNELS {
                for line in expectation(op, &answers[kernel])? {
                    let _ = writeln!(scenario, "  ={profile} {line}");
                }
            }
            let _ = writeln!(scenario, "{looked_at}");
        } else {
            let _ = writeln!(scenario, "{op}");
        }
    }
    // What comes behind the call is looked at too.
    if measured + 1 < ops.len() {
        let _ = writeln!(scenario, "{looked_at}");
    }
    Ok(scenario)
}

/// Returns the operations of a setup: `make NAME [nocow] [CONTENT]` is a file with contents on
/// disk, everything else is an operation as it is written.
fn expand(setup: &str, contents: &BTreeMap<&str, String>) -> Vec<String> {
    let mut ops = Vec::new();
    for step in setup
        .split([';', '\n'])
        .map(str::trim)
        .filter(|step| !step.is_empty())
    {
        let Some(made) = step.strip_prefix("make ") else {
            ops.push(step.to_owned());
            continue;
        };
        let (name, rest) = made.split_once(' ').unwrap_or((made, ""));
        let (flag, content) = match rest.strip_prefix("nocow") {
            Some(content) => (" nocow", content.trim()),
            None => ("", rest),
        };
        let content = match contents.get(content) {
            Some(content) => content.as_str(),
            None if content.is_empty() => USUAL_CONTENT,
            None => content,
        };
        ops.push(format!("file {name}{flag}"));
        ops.push(format!("pwrite {name} 0 {content}"));
        ops.push(format!("fsync {name}"));
    }
    ops
}

/// Returns the regular files of a setup, those of a snapshot included.
fn files_of(ops: &[String]) -> Vec<String> {
    let mut files = Vec::new();
    for op in ops {
        let words: Vec<&str> = op.split(' ').collect();
        match words.as_slice() {
            ["file", name, ..] => files.push((*name).to_owned()),
            ["snapshot", source, target, ..] => {
                let below = format!("{source}/");
                let inside = files.iter().filter_map(|file| file.strip_prefix(&below));
                let copies: Vec<String> = inside.map(|file| format!("{target}/{file}")).collect();
                files.extend(copies);
            }
            _ => {}
        }
    }
    files
}

/// Returns the result lines of what one kernel answered.
fn expectation(op: &str, answer: &Value) -> Result<Vec<String>, String> {
    if let Some(crash) = answer["crash"].as_str() {
        let is_hang = crash.starts_with("hang");
        return Ok(vec![if is_hang { "hangs" } else { "panics" }.to_owned()]);
    }
    let (fds, memory) = elements(op)?;
    let mut lines: Vec<(String, usize)> = Vec::new();
    let nr_seen = nr_readable(memory).unwrap_or(usize::MAX);
    for (fd, result) in fds.iter().zip(results(answer)?).take(nr_seen) {
        let line = format!("{fd} {result}");
        match lines.last_mut() {
            Some((last, nr_times)) if *last == line => *nr_times += 1,
            _ => lines.push((line, 1)),
        }
    }
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|(line, nr_times)| match nr_times {
            1 => line,
            _ => format!("{line} x{nr_times}"),
        })
        .collect();
    match errno(&answer["errno"])? {
        Some(errno) => lines.insert(0, errno),
        None if lines.is_empty() => lines.push("ok".to_owned()),
        None => {}
    }
    Ok(lines)
}

/// Returns the descriptor of each element of a dedupe line, and its `memory=` if it has one.
fn elements(op: &str) -> Result<(Vec<&str>, Option<&str>), String> {
    let (_, list) = op.split_once(" =>").ok_or("no => in the dedupe")?;
    let mut words = list.split_whitespace().peekable();
    let (mut fds, mut memory) = (Vec::new(), None);
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("memory=") {
            memory = Some(value);
        } else if !word.contains('=') {
            words.next().ok_or("an element without offset")?;
            let nr_times = words
                .peek()
                .and_then(|word| word.strip_prefix('x')?.parse().ok());
            if nr_times.is_some() {
                words.next();
            }
            fds.extend(std::iter::repeat_n(word, nr_times.unwrap_or(1)));
        }
    }
    Ok((fds, memory))
}

/// Returns how many elements can still be read after the call, where not all can.
fn nr_readable(memory: Option<&str>) -> Option<usize> {
    memory?.strip_prefix("unmapped-after:")?.parse().ok()
}

/// Returns the result of each element as words.
fn results(answer: &Value) -> Result<Vec<String>, String> {
    // Long lists are run-length coded; `info` then has their beginning only.
    let list = if answer["rle"].is_array() {
        &answer["rle"]
    } else {
        &answer["info"]
    };
    let mut results = Vec::new();
    for entry in list.as_array().ok_or("no list of elements")? {
        let nr_times = entry[2].as_u64().unwrap_or(1);
        let result = result(&entry[0], &entry[1])?;
        results.extend((0..nr_times).map(|_| result.clone()));
    }
    Ok(results)
}

/// Returns one element's out fields as words.
fn result(status: &Value, bytes: &Value) -> Result<String, String> {
    if status == "untouched" && bytes == "untouched" {
        return Ok("untouched".to_owned());
    }
    let bytes = bytes.as_u64().ok_or_else(|| format!("bytes {bytes}"))?;
    let behind = if bytes == 0 {
        String::new()
    } else {
        format!(" {}", size(bytes))
    };
    match status.as_i64() {
        Some(0) => Ok(format!("same {}", size(bytes))),
        Some(1) => Ok(format!("differs{behind}")),
        Some(_) => Err(format!("status {status}")),
        None => {
            let errno = errno(status)?.ok_or("a status without value")?;
            Ok(format!("{errno}{behind}"))
        }
    }
}

/// Returns the name of an errno as scenarios have it; `None` for success.
fn errno(value: &Value) -> Result<Option<String>, String> {
    match value.as_str() {
        Some("ENOTSUP") => Ok(Some("EOPNOTSUPP".to_owned())),
        Some(name) => Ok(Some(name.to_owned())),
        None if value == 0 => Ok(None),
        None => Err(format!("errno {value}")),
    }
}

/// Returns bytes with the largest suffix that divides them.
fn size(bytes: u64) -> String {
    for (shift, suffix) in [(40, "t"), (30, "g"), (20, "m"), (10, "k")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{suffix}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Returns a case's name in letters that every file system takes.
fn file_name(case: &str) -> String {
    let mut name = String::with_capacity(case.len());
    for c in case.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => name.push(c),
            '^' => name.push_str("to"),
            '+' => name.push_str("plus"),
            _ if !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    name.trim_end_matches('-').to_owned()
}

/// Returns the folder of the scenarios.
fn folder() -> Result<PathBuf, String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    top.map(|top| top.join(FOLDER))
        .ok_or_else(|| "xtask has no folder above it".to_owned())
}

/// Returns the measured cases.
fn read_cases(path: &Path) -> Result<Vec<Value>, String> {
    let text = fs::read_to_string(path).map_err(|error| about(path, &error))?;
    let parse = |line| serde_json::from_str(line).map_err(|error| about(path, &error));
    text.lines().map(parse).collect()
}

/// Returns the generated files that nothing generates any more.
fn orphans(folder: &Path, wanted: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let mut orphans = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| about(folder, &error))? {
        let entry = entry.map_err(|error| about(folder, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".scn") && !wanted.contains_key(&name) {
            orphans.push(name);
        }
    }
    Ok(orphans)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| about(path, &error))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key]
        .as_str()
        .ok_or_else(|| format!("a case without {key}"))
}

fn about(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
