//! `cargo xtask fuzz`: every fuzz target for a while, by cargo-fuzz on the nightly compiler. Which
//! targets there are, `fuzz/Cargo.toml` says.

use std::fs;
use std::process::Command;

use crate::ci::LeftOut;
use crate::command::{cargo, finish, output, root};

const USAGE: &str = "usage: cargo xtask fuzz [--time 60s] [--minimise] [TARGET ...]";
/// How long a target runs if nothing is said, in seconds.
const SECONDS: u64 = 60;
/// Longest input; the longest request of 127 elements has 4,088 bytes.
const INPUT_LEN_MAX: u32 = 4096;

/// What was asked for.
struct Wanted {
    seconds: u64,
    does_minimise: bool,
    targets: Vec<String>,
}

/// Fuzzes the targets in `args` (all without any); new inputs go to the committed corpora. With
/// `--minimise`, only those are kept then that reach something of their own.
///
/// # Errors
///
/// A text that names the target that crashed and where its input is, or what is missing.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let wanted = parse(args)?;
    if let Some(reason) = lacks() {
        return Err(reason.to_owned());
    }
    for target in &wanted.targets {
        println!("\n=== {target}: {} s ===", wanted.seconds);
        if 0 < wanted.seconds {
            let time = format!("-max_total_time={}", wanted.seconds);
            let len = format!("-max_len={INPUT_LEN_MAX}");
            let options = ["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"];
            let mut fuzz = cargo(&["+nightly", "fuzz", "run", target, "--", &time, &len]);
            finish(fuzz.args(options))?;
        }
        if wanted.does_minimise {
            // Without counters: one input for each edge, not for each number of times.
            let cmin = ["+nightly", "fuzz", "cmin", target, "--", "-use_counters=0"];
            finish(&mut cargo(&cmin))?;
        }
    }
    Ok(())
}

/// Builds every target, if this machine can.
pub(crate) fn build() -> Result<LeftOut, String> {
    match lacks() {
        None => finish(&mut cargo(&["+nightly", "fuzz", "build"])).map(|()| LeftOut::new()),
        Some(reason) => Ok(vec![format!("the fuzz build ({reason})")]),
    }
}

fn parse(args: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        seconds: SECONDS,
        does_minimise: false,
        targets: Vec::new(),
    };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--time" => {
                let time = words.next().ok_or(USAGE)?;
                let number = time.strip_suffix('s').unwrap_or(time);
                wanted.seconds = number.parse().map_err(|_| USAGE)?;
            }
            "--minimise" => wanted.does_minimise = true,
            target if !target.starts_with('-') => wanted.targets.push(target.to_owned()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if wanted.targets.is_empty() {
        wanted.targets = targets()?;
    }
    Ok(wanted)
}

/// Returns the names of all targets.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let told = |error| format!("{}: {error}", folder.display());
    let mut names: Vec<String> = fs::read_dir(&folder)
        .map_err(told)?
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Returns what is missing for fuzzing, if anything is.
fn lacks() -> Option<&'static str> {
    // Asked this way, since cargo +nightly might fetch a toolchain that is not there.
    let toolchains = output(Command::new("rustup").args(["toolchain", "list"]));
    let has_nightly = toolchains.is_ok_and(|list| list.lines().any(|l| l.starts_with("nightly")));
    if !has_nightly {
        Some("no nightly compiler: rustup toolchain install nightly")
    } else if output(&mut cargo(&["fuzz", "--version"])).is_err() {
        Some("no cargo-fuzz: cargo install cargo-fuzz")
    } else {
        None
    }
}
