//! `xsame run`: a scenario file on one witness.

use std::io::Read;
use std::path::Path;

use harness::transcript;
use miette::{Report, miette};
use scenario::text::{Line, Scenario};

use crate::arguments::RunArguments;
use crate::exit::Exit;
use crate::print;
use crate::witness::{self, WitnessName};

/// Runs the subcommand.
pub(crate) fn run(arguments: &RunArguments) -> Result<Exit, Report> {
    let scenario = read(&arguments.file)?;
    let (own_profile, _) = witness::profile(&arguments.profile, None)?;
    let opened = witness::open(&arguments.backend, &own_profile, false)?;
    let mut backend = opened.backend;
    opened
        .remarks
        .iter()
        .for_each(|remark| eprintln!("{remark}"));
    let (profile, remark) = witness::profile(&arguments.profile, Some(backend.as_ref()))?;
    if arguments.backend != WitnessName::Model {
        remark.iter().for_each(|remark| eprintln!("{remark}"));
    }
    eprintln!("{}, expectations of {}", backend.name(), profile.name);
    print::line(&scenario.geometry);
    let mut nr_unmet = 0;
    let entries = transcript::run(
        backend.as_mut(),
        &scenario,
        &profile.name,
        &mut |line, entry| {
            nr_unmet += u64::from(!entry.is_met);
            print_entry(line, entry);
        },
    );
    let entries = entries.map_err(witness::report)?;
    let nr_left = scenario.lines.len() - entries.len();
    if 0 < nr_left {
        eprintln!("{nr_left} operations were not carried out: nothing answers any more");
    }
    if 0 < nr_unmet {
        eprintln!(
            "{nr_unmet} of {} operations did not answer as expected",
            entries.len()
        );
        return Ok(Exit::Found);
    }
    Ok(Exit::Fine)
}

/// Prints an operation as the file has it, with the results that came.
fn print_entry(line: &Line, entry: &transcript::Entry) {
    line.comments.iter().for_each(print::line);
    print::line(&entry.op);
    for result in &entry.lines {
        print::line(format!("  = {result}"));
    }
    if !entry.is_met {
        print::line("# not as expected:");
        for expected in entry.expected.iter().flatten() {
            print::line(format!("#   = {expected}"));
        }
    }
}

/// Reads and parses a scenario; `-` is stdin.
pub(crate) fn read(path: &Path) -> Result<Scenario, Report> {
    let text = read_text(path)?;
    Scenario::parse(&text).map_err(|error| miette!("{}: {error}", path.display()))
}

/// Reads a text file; `-` is stdin.
pub(crate) fn read_text(path: &Path) -> Result<String, Report> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| {
        miette!(
            help = "name a scenario file that can be read, or - for stdin",
            "cannot read {}: {error}",
            path.display()
        )
    })
}
