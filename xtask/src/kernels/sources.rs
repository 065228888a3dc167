//! The machine's own apt sources: [`of_this_machine`]. It reads both formats, and only what tells
//! where the distribution's main archive is.

use std::fs;
use std::path::{Path, PathBuf};

const SOURCES_LIST: &str = "/etc/apt/sources.list";
const SOURCES_FOLDER: &str = "/etc/apt/sources.list.d";

/// Where an archive is, and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    uri: String,
    signed_by: Option<String>,
}

impl Source {
    /// Returns the line of a `sources.list` for `suite` of this archive.
    pub(super) fn line(&self, suite: &str) -> String {
        let Source { uri, signed_by } = self;
        match signed_by {
            Some(keys) => format!("deb [signed-by={keys}] {uri} {suite} main\n"),
            None => format!("deb {uri} {suite} main\n"),
        }
    }
}

/// Returns the archive from which this machine's own release comes.
pub(super) fn of_this_machine() -> Option<Source> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let suite = suite.trim_matches('"');
    let mut paths: Vec<PathBuf> = vec![SOURCES_LIST.into()];
    let entries = fs::read_dir(SOURCES_FOLDER).into_iter().flatten().flatten();
    paths.extend(entries.map(|entry| entry.path()));
    paths.sort();
    paths.iter().find_map(|path| of_file(path, suite))
}

fn of_file(path: &Path, suite: &str) -> Option<Source> {
    let text = fs::read_to_string(path).ok()?;
    match path.extension()?.to_str()? {
        "list" => of_lines(&text, suite),
        "sources" => of_paragraphs(&text, suite),
        _ => None,
    }
}

/// Reads lines like `deb [signed-by=KEYS] URI SUITE COMPONENT ...`.
fn of_lines(text: &str, suite: &str) -> Option<Source> {
    text.lines().find_map(|line| {
        let rest = line
            .trim()
            .strip_prefix("deb")?
            .strip_prefix([' ', '\t'])?
            .trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        let is_wanted = words.next()? == suite && words.any(|component| component == "main");
        let signed_by = options
            .split_whitespace()
            .find_map(|word| word.strip_prefix("signed-by="));
        is_wanted.then(|| Source {
            uri: uri.to_owned(),
            signed_by: signed_by.map(str::to_owned),
        })
    })
}

/// Reads paragraphs of fields. A field that goes on in further lines (an embedded key) is taken
/// for absent.
fn of_paragraphs(text: &str, suite: &str) -> Option<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .split(|line| line.trim().is_empty())
        .find_map(|paragraph| {
            let field = |name: &str| {
                paragraph.iter().find_map(|line| {
                    let (found, value) = line.split_once(':')?;
                    found.eq_ignore_ascii_case(name).then_some(value.trim())
                })
            };
            let has = |name, wanted: &str| {
                field(name).is_some_and(|value| value.split_whitespace().any(|word| word == wanted))
            };
            let is_wanted =
                has("Types", "deb") && has("Suites", suite) && has("Components", "main");
            let uri = field("URIs")?.split_whitespace().next()?;
            let signed_by = field("Signed-By").filter(|keys| keys.starts_with('/'));
            is_wanted.then(|| Source {
                uri: uri.to_owned(),
                signed_by: signed_by.map(str::to_owned),
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAGRAPHS: &str = "\
Types: deb
# a comment
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: http://archive.example/debian-security
Suites: bookworm-security
Components: main
";

    #[test]
    fn both_formats_give_address_and_keys() {
        let line =
            "deb [signed-by=/usr/share/keyrings/k.gpg] http://archive.example/debian trixie main\n";
        let source = of_paragraphs(PARAGRAPHS, "bookworm").expect("a source");
        assert_eq!(source.line("trixie"), line);
        assert_eq!(of_lines(line, "trixie"), Some(source));
    }

    #[test]
    fn other_suites_components_and_types_are_passed_over() {
        assert_eq!(of_paragraphs(PARAGRAPHS, "bullseye"), None);
        assert_eq!(of_lines("deb http://a.example x contrib\n", "x"), None);
        assert_eq!(of_lines("deb-src http://a.example x main\n", "x"), None);
        assert_eq!(of_lines("# deb http://a.example x main\n", "x"), None);
    }
}
