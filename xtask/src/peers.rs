//! `cargo xtask peers`: the deduplicating programs side by side, on the same data sets.
//!
//! For each set a filesystem is made once and copied for each run, so that every run begins with
//! the same extents. What is printed and written to `docs/peers.md` is the median of the runs;
//! sets that are not measured this time are there as they were the last time.
//! Everything happens in a mount and process namespace of its own, on unlinked images: however
//! the run ends, nothing stays behind.

mod chart;
mod data;
mod filesystem;
mod growth;
mod measure;
mod optimum;
mod points;
mod record;
mod report;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::command::{find, finish};
use data::Set;
use points::Point;
use record::Record;
use tools::Tool;

/// The word by which the program knows that it is in its namespaces.
const INSIDE: &str = "--inside";

/// What to run.
struct Options {
    sets: Vec<Set>,
    tools: Vec<String>,
    nr_runs: usize,
    limit_s: u64,
    out: Option<PathBuf>,
    write: Option<PathBuf>,
    /// Percent of what is made to see how time grows; `None` if the tools are measured.
    growth: Option<u64>,
}

/// Installs the peers and measures them all.
///
/// # Errors
///
/// A text, if this is not root, a program is missing, or a tool changed the contents of a file.
pub(crate) fn run(words: &[String]) -> Result<(), String> {
    if let [inside, folder, words @ ..] = words
        && inside == INSIDE
    {
        return measure_all(Path::new(folder), &parse(words)?);
    }
    let options = parse(words)?;
    if let Some(folder) = &options.write {
        return options.sets.iter().try_for_each(|set| set.write(folder));
    }
    // Before it takes its time, not behind that.
    if let Some(out) = &options.out {
        fs::create_dir_all(out).map_err(|error| format!("make {}: {error}", out.display()))?;
    }
    match options.growth {
        None => tools::install(&options.tools)?,
        Some(_) => tools::install(&["xsame".to_owned()])?,
    }
    let name = format!("xsame-peers-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
    let result = enter(&folder, words);
    // Nothing is in it but points of mounts: those were in the namespace.
    let _ = fs::remove_dir_all(&folder);
    result
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        sets: data::SETS.to_vec(),
        tools: Vec::new(),
        nr_runs: 3,
        limit_s: 120,
        out: None,
        write: None,
        growth: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} has no value behind it"));
        match word.as_str() {
            "--sets" => {
                let set = |name: &str| {
                    let known = data::SETS.iter().find(|set| set.name == name);
                    known.copied().ok_or(format!("there is no set {name}"))
                };
                options.sets = value()?.split(',').map(set).collect::<Result<_, _>>()?;
            }
            "--tools" => {
                let tool = |id: &str| {
                    let known = tools::TOOLS.iter().find(|tool| tool.id == id);
                    known.map(|tool| tool.id.to_owned()).ok_or_else(|| {
                        let ids: Vec<&str> = tools::TOOLS.iter().map(|tool| tool.id).collect();
                        format!("there is no tool {id}, there are {}", ids.join(", "))
                    })
                };
                options.tools = value()?.split(',').map(tool).collect::<Result<_, _>>()?;
            }
            "--runs" => options.nr_runs = number(value()?)?.max(1) as usize,
            "--limit" => options.limit_s = number(value()?)?,
            "--out" => options.out = Some(PathBuf::from(value()?)),
            "--write" => options.write = Some(PathBuf::from(value()?)),
            "--xsame" => tools::use_xsame(Path::new(value()?)),
            "--growth" => options.growth = Some(number(value()?)?),
            word => {
                let known = "--sets, --tools, --runs, --limit, --out, --xsame, --write, --growth";
                return Err(format!("{word}: {known}"));
            }
        }
    }
    Ok(options)
}

/// Returns how many processes want a processor, on average over some minutes.
fn load() -> f64 {
    let said = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let word = said.split(' ').nth(1).unwrap_or_default();
    word.parse().unwrap_or(0.0)
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

/// Runs this program in namespaces that die with it, also by a signal.
fn enter(folder: &Path, words: &[String]) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    find("unshare").ok_or("there is no unshare: install util-linux")?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    unshare
        .arg(own)
        .args(["peers", INSIDE])
        .arg(folder)
        .args(words);
    let child = unshare.stdin(Stdio::null()).spawn();
    let child = child.map_err(|error| format!("cannot run unshare: {error}"))?;
    let child = Arc::new(Mutex::new(child));
    let of_signals = Arc::clone(&child);
    let signals = [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ];
    let mut signals = signal_hook::iterator::Signals::new(signals)
        .map_err(|error| format!("signals cannot be waited for: {error}"))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if let Ok(mut child) = of_signals.lock() {
                // The kernel kills everything in its process namespace with it.
                let _ = child.kill();
            }
        }
    });
    loop {
        let ended = match child.lock() {
            Ok(mut child) => child.try_wait(),
            Err(_) => return Err("the thread for signals died".to_owned()),
        };
        match ended.map_err(|error| format!("unshare: {error}"))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("the measurement ended early: {status}")),
            None => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
    }
}

fn measure_all(folder: &Path, options: &Options) -> Result<(), String> {
    finish(Command::new("mount").args(["--make-rprivate", "/"]))?;
    let kept = tools::peers_folder().join("measured");
    if let Some(percent) = options.growth {
        let said = growth::run(folder, percent)?;
        return match &options.out {
            None => Ok(()),
            Some(folder) => {
                record::keep_growth(&kept, &said)?;
                report::write(folder, &kept, &tools::circumstances()).map(drop)
            }
        };
    }
    // In memory: how long a disk takes is not what is compared.
    let mut mount = Command::new("mount");
    finish(
        mount
            .args(["-t", "tmpfs", "-o", "size=90%", "tmpfs"])
            .arg(folder),
    )?;
    let is_wanted =
        |tool: &&Tool| options.tools.is_empty() || options.tools.iter().any(|it| it == tool.id);
    let tools: Vec<&Tool> = tools::TOOLS.iter().filter(is_wanted).collect();
    let mut records = Vec::new();
    for set in &options.sets {
        let master = filesystem::Master::new(set, folder, options.nr_runs, options.limit_s)?;
        let tools = tools.iter().copied().filter(|tool| tool.is_for(set));
        let tools: Vec<&Tool> = tools.collect();
        let rows = measure::rows(&master, &tools, options.nr_runs, options.limit_s)?;
        let mut facts = master.facts();
        facts.load = load();
        let record = Record { facts, rows };
        if options.out.is_some() {
            record.keep(&kept)?;
        }
        records.push(record);
    }
    if let Some(folder) = &options.out {
        // With the sets that were measured before.
        records = report::write(folder, &kept, &tools::circumstances())?;
    }
    let points: Vec<Point> = records.iter().flat_map(points::all).collect();
    points.iter().for_each(|point| println!("{}", point.line()));
    match points.iter().filter(|point| !point.holds).count() {
        0 => Ok(()),
        nr_broken => Err(format!("{nr_broken} points do not hold")),
    }
}
