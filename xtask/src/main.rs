//! `cargo xtask`: what the repository does with itself.
//!
//! Each subcommand is a module with a `run` that takes the words behind its name. None of them
//! knows the crates from inside: they start programs, read files and compare.
#![forbid(unsafe_code)]

mod answers;
mod ci;
mod command;
mod fuzz;
mod kernels;
mod peers;
mod tidy;

use std::process::ExitCode;

/// A subcommand by name, with what it does.
type Subcommand = (
    &'static str,
    &'static str,
    fn(&[String]) -> Result<(), String>,
);

const SUBCOMMANDS: &[Subcommand] = &[
    (
        "answers",
        "[--check]: write the scenarios of the measured answers anew",
        answers::run,
    ),
    (
        "ci",
        "[STAGE ...]: the whole of CI, or only these stages of it",
        ci::run,
    ),
    (
        "fuzz",
        "[--time 60s] [TARGET ...]: fuzz every target for so long; --minimise: keep few inputs",
        fuzz::run,
    ),
    (
        "kernels",
        "[--list] [SUITE ...]: fetch User Mode Linux kernels and list what is usable",
        kernels::run,
    ),
    (
        "peers",
        "[--sets A,B] [--tools A,B] [--runs 3] [--limit SECONDS] [--out FOLDER] [--xsame PROGRAM]: \
         measure tools that dedupe side by side; --write FOLDER: write the sets there and stop; \
         --growth PERCENT: how the time of xsame grows with many equals",
        peers::run,
    ),
    (
        "tidy",
        ": check the rules that no compiler checks",
        tidy::run,
    ),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = words.first().map(String::as_str);
    let found = SUBCOMMANDS.iter().find(|(name, ..)| Some(*name) == wanted);
    let Some((name, _, run)) = found else {
        for (name, does, _) in SUBCOMMANDS {
            eprintln!("cargo xtask {name} {does}");
        }
        return ExitCode::from(2);
    };
    match run(&words[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("cargo xtask {name}: {complaint}");
            ExitCode::FAILURE
        }
    }
}
