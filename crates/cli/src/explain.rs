//! `xsame explain`: what a rule or a mutant is about.

use miette::{Report, miette};
use rules::{document, mutants};

use crate::arguments::ExplainArguments;
use crate::exit::Exit;
use crate::print;

/// Runs the subcommand.
pub(crate) fn run(arguments: &ExplainArguments) -> Result<Exit, Report> {
    let Some(id) = &arguments.rule else {
        for rule in document::all_rules() {
            print::line(format!("{}: {}", rule.id, rule.sentence));
        }
        for mutant in mutants::MUTANTS {
            print::line(format!("{} (mutant): {}", mutant.id, mutant.subject));
        }
        return Ok(Exit::Fine);
    };
    if let Some(rule) = rules::rule(id) {
        print::line(format!("{}: {}", rule.id, rule.sentence));
        print::line(format!("  ends with: {}", rule.end));
        print::line(format!("  decided in: {}", rule.cite));
        print::line(format!("  can be shown by: {}", rule.reach));
        return Ok(Exit::Fine);
    }
    if let Some(mutant) = mutants::MUTANTS.iter().find(|mutant| mutant.id == id) {
        print::line(format!("{} (mutant): {}", mutant.id, mutant.subject));
        print::line(format!("  read in: {}", mutant.cite));
        return Ok(Exit::Fine);
    }
    Err(miette!(
        help = "ids stand in brackets behind results; `xsame explain` lists them all",
        "there is no rule {id:?}"
    ))
}
