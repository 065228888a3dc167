//! `xsame fmt`: scenario files in canonical form.

use std::path::Path;

use miette::{Report, miette};
use scenario::text::Scenario;

use crate::arguments::FmtArguments;
use crate::exit::Exit;
use crate::print;
use crate::run::read_text;

/// Runs the subcommand. Nothing is written unless every file can be read.
pub(crate) fn run(arguments: &FmtArguments) -> Result<Exit, Report> {
    let mut changed = Vec::new();
    for path in &arguments.files {
        let text = read_text(path)?;
        let scenario =
            Scenario::parse(&text).map_err(|error| miette!("{}: {error}", path.display()))?;
        let canonical = scenario.to_string();
        let is_stdin = path == Path::new("-");
        if is_stdin && !arguments.check {
            print::text(&canonical);
        } else if canonical != text {
            changed.push((path, canonical));
        }
    }
    for (path, canonical) in &changed {
        if arguments.check {
            print::line(format!("not canonical: {}", path.display()));
        } else {
            std::fs::write(path, canonical)
                .map_err(|error| miette!("cannot write {}: {error}", path.display()))?;
        }
    }
    let is_found = arguments.check && !changed.is_empty();
    Ok(if is_found { Exit::Found } else { Exit::Fine })
}
