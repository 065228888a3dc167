//! `xsame`: the command line. It brings model, backends and harness together, which know nothing
//! of each other.
//!
//! Each subcommand is a module with a `run` that says what came of it as an [`Exit`]; only `main`
//! turns that into a number.
#![forbid(unsafe_code)]

mod agent;
mod arguments;
mod bench;
mod caught;
mod diff;
mod dupes;
mod exit;
mod explain;
mod fmt;
mod freedoms;
mod print;
mod progress;
mod run;
mod same;
mod same_compat;
mod signals;
mod tree;
mod verdict;
mod witness;

use std::process::ExitCode;

use backend_kernel::HugePages;
use clap::Parser;

use arguments::{Arguments, Command};
use exit::Exit;

#[global_allocator]
static ALLOCATOR: HugePages = HugePages;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are errors of clap's too, but go to stdout.
            let is_wrong = error.use_stderr();
            drop(error.print());
            let is_bisecting = std::env::args_os().any(|argument| argument == "--bisect");
            return match is_wrong {
                true => Exit::Unusable.code(is_bisecting),
                false => ExitCode::SUCCESS,
            };
        }
    };
    if let Command::Agent(arguments) = &arguments.command {
        return agent::run(arguments);
    }
    caught::silence_caught_panics();
    let is_bisecting = arguments.is_bisecting();
    if let Err(error) = signals::clean_up_on_signals() {
        eprintln!("xsame: signals cannot be waited for, Ctrl-C may leave mounts behind: {error}");
    }
    let exit = match arguments.command {
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Same(arguments) => same::run(&arguments),
        Command::Dupes(arguments) => dupes::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Tree(arguments) => tree::run(&arguments),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Agent(_) => Ok(Exit::Unusable),
    };
    signals::wait_if_ending();
    let exit = exit.unwrap_or_else(|report| {
        eprintln!("{report:?}");
        Exit::Unusable
    });
    exit.code(is_bisecting)
}
