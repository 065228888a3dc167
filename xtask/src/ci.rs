//! `cargo xtask ci`: the whole of CI, stage by stage. What a stage cannot do on this machine it
//! says by name, with the reason; it does not fail for it.

mod differential;

use std::time::{Duration, Instant};

use crate::command::{cargo, finish};
use crate::{answers, fuzz, tidy};

/// What a stage left out: a name with the reason, each.
pub(crate) type LeftOut = Vec<String>;

/// A part of CI.
struct Stage {
    name: &'static str,
    /// What it shows.
    title: &'static str,
    run: fn() -> Result<LeftOut, String>,
}

/// The stages in order, cheap ones first. The corpora of fuzzing are replayed by `test`.
const STAGES: &[Stage] = &[
    Stage {
        name: "fmt",
        title: "formatting",
        run: || {
            finish(&mut cargo(&["fmt", "--all", "--check"]))?;
            let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
            whole(finish(&mut cargo(&fuzz)))
        },
    },
    Stage {
        name: "clippy",
        title: "lints",
        run: || {
            let lint = [
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ];
            whole(finish(&mut cargo(&lint)))
        },
    },
    Stage {
        name: "test",
        title: "the README's test command",
        run: || whole(finish(&mut cargo(&["test", "--no-fail-fast"]))),
    },
    Stage {
        name: "doc",
        title: "documentation",
        run: || {
            let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--keep-going"]);
            whole(finish(doc.env("RUSTDOCFLAGS", "-Dwarnings")))
        },
    },
    Stage {
        name: "tidy",
        title: "rules of the house",
        run: || {
            tidy::run(&[])?;
            whole(answers::run(&["--check".to_owned()]))
        },
    },
    Stage {
        name: "diff",
        title: "model against real kernels",
        run: differential::run,
    },
    Stage {
        name: "fuzz",
        title: "fuzz targets build",
        run: fuzz::build,
    },
];

/// Runs the stages that `args` names, all of them without any. A failed stage does not keep the
/// others from running.
///
/// # Errors
///
/// A text that names what failed.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    if let Some(unknown) = args
        .iter()
        .find(|arg| STAGES.iter().all(|stage| stage.name != arg.as_str()))
    {
        let names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        return Err(format!("no stage {unknown}: there are {}", names.join(" ")));
    }
    let begin = Instant::now();
    let mut summary = Vec::new();
    let mut failed = Vec::new();
    let wanted = |stage: &&Stage| args.is_empty() || args.iter().any(|arg| arg == stage.name);
    for stage in STAGES.iter().filter(wanted) {
        println!("\n=== {}: {} ===", stage.name, stage.title);
        let stage_begin = Instant::now();
        let result = (stage.run)();
        let time = seconds(stage_begin.elapsed());
        let verdict = match result {
            Ok(left_out) if left_out.is_empty() => "fine".to_owned(),
            Ok(left_out) => format!("fine, without {}", left_out.join("; without ")),
            Err(complaint) => {
                println!("{complaint}");
                failed.push(stage.name);
                format!("FAILED: {complaint}")
            }
        };
        summary.push(format!("{time:>7}  {:<7} {verdict}", stage.name));
    }
    println!("\n=== CI: {} ===", seconds(begin.elapsed()));
    summary.iter().for_each(|line| println!("{line}"));
    match failed[..] {
        [] => Ok(()),
        _ => Err(format!("failed: {}", failed.join(" "))),
    }
}

/// Returns the result of a stage that leaves nothing out.
fn whole(result: Result<(), String>) -> Result<LeftOut, String> {
    result.map(|()| LeftOut::new())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
