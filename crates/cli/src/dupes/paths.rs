//! The paths that were named: on the command line, or in a list on stdin.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use miette::{Report, miette};

use crate::arguments::DupesArguments;

/// Returns the paths. A list has one a line, or one before each zero byte; what fdupes prints is
/// such a list with empty lines between groups.
pub(crate) fn named(arguments: &DupesArguments) -> Result<Vec<PathBuf>, Report> {
    let is_list = |path: &PathBuf| path.as_os_str() == "-";
    let reads_list = arguments.fdupes || arguments.paths.iter().any(is_list);
    if arguments.null && !reads_list {
        return Err(miette!(
            help = "put - among the paths, and the list on stdin",
            "-0 is about a list on stdin, and none is to be read"
        ));
    }
    let mut paths: Vec<PathBuf> = arguments.paths.clone();
    paths.retain(|path| !is_list(path));
    if reads_list {
        let mut list = Vec::new();
        std::io::stdin().read_to_end(&mut list).map_err(|error| {
            miette!(
                help = "give names, one a line, on stdin, or name the files as arguments",
                "the list of files on stdin cannot be read: {error}"
            )
        })?;
        let end = if arguments.null { b'\0' } else { b'\n' };
        let words = list.split(|byte| *byte == end).filter(|it| !it.is_empty());
        paths.extend(words.map(|word| PathBuf::from(OsStr::from_bytes(word))));
    }
    match paths.is_empty() {
        false => Ok(paths),
        true => Err(miette!(
            help = "name files or folders, or - for a list of them on stdin",
            "no paths given"
        )),
    }
}

/// Returns what matches any of the patterns: a whole path, or its last part where a pattern has no
/// slash.
pub(crate) fn excluded(patterns: &[String]) -> Result<GlobSet, Report> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let whole = match pattern.contains('/') {
            true => pattern.clone(),
            false => format!("**/{pattern}"),
        };
        let glob = GlobBuilder::new(&whole).literal_separator(true).build();
        set.add(glob.map_err(|error| refused(pattern, &error))?);
    }
    set.build().map_err(|error| refused("", &error))
}

fn refused(pattern: &str, error: &globset::Error) -> Report {
    miette!(
        help = "* and ? stand for letters of a name, ** for folders, [ab] for one of them; put a \
                backslash before those that are meant as they are",
        "--exclude {pattern}: {error}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_slash_is_about_the_last_part() {
        let excluded = excluded(&["*.iso".to_owned(), "/a/*/c".to_owned()]).expect("patterns");
        assert!(excluded.is_match("/x/y.iso"));
        assert!(excluded.is_match("y.iso"));
        assert!(!excluded.is_match("/x.iso/y"));
        assert!(excluded.is_match("/a/b/c"));
        assert!(!excluded.is_match("/a/b/b/c"));
    }
}
