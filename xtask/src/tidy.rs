//! `cargo xtask tidy`: the rules of the house that no compiler checks. Each finding is printed
//! with its place; what is allowed, and why, stands in tables beside each check.

mod code;
mod edges;
mod layout;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::root;

/// A place where a rule is broken.
pub(crate) struct Finding {
    /// Path from the top folder.
    path: String,
    /// From 1.
    line: usize,
    says: String,
}

/// A file from the top folder on, with its text.
struct File {
    path: String,
    text: String,
}

/// The folders whose files are ours to keep tidy.
const FOLDERS: [&str; 6] = [".ci", ".cargo", "crates", "docs", "fuzz", "xtask"];
/// Folders that tools fill.
const GENERATED: [&str; 4] = ["target", "artifacts", "corpus", "coverage"];
/// Files that people write, by the ends of their names.
const WRITTEN: [&str; 6] = ["rs", "toml", "md", "scn", "run", "sh"];

/// Checks everything.
///
/// # Errors
///
/// The number of findings, which are printed.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("usage: cargo xtask tidy".to_owned());
    }
    let root = root();
    let files = files(&root)?;
    let mut findings = layout::check(&root, &files);
    findings.extend(edges::check()?);
    findings.extend(files.iter().flat_map(sources::check));
    for Finding { path, line, says } in &findings {
        println!("{path}:{line}: {says}");
    }
    match findings.len() {
        0 => {
            println!("{} files are tidy", files.len());
            Ok(())
        }
        nr_findings => Err(format!("{nr_findings} findings")),
    }
}

/// Returns all written files, in the order of their paths.
fn files(root: &Path) -> Result<Vec<File>, String> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|name| root.join(name)).collect();
    let mut paths = vec![root.join("README.md"), root.join("Cargo.toml")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !GENERATED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if WRITTEN.iter().any(|end| name.ends_with(end)) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let paths = paths.into_iter().filter(|path| path.is_file());
    paths
        .map(|path| {
            let told = |error| format!("{}: {error}", path.display());
            let text = fs::read_to_string(&path).map_err(told)?;
            let path = path.strip_prefix(root).unwrap_or(&path);
            let path = path.to_string_lossy().into_owned();
            Ok(File { path, text })
        })
        .collect()
}
