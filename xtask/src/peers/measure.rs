//! One row of the table: a tool on a set, cold and warm, some times each.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::filesystem::Master;
use super::tools::{Task, Tool};

/// What came of a tool on a set; medians.
pub(super) struct Row {
    /// The set.
    pub(super) set: &'static str,
    /// The tool.
    pub(super) tool: &'static str,
    /// The command.
    pub(super) shown: String,
    /// What was asked.
    pub(super) task: Task,
    /// Seconds with nothing in the page cache; `None` if the limit was reached.
    pub(super) cold_s: Option<f64>,
    /// Seconds with everything in it.
    pub(super) warm_s: Option<f64>,
    /// Most memory that one of its processes had resident, KiB.
    pub(super) peak_kib: u64,
    /// Used data bytes afterwards.
    pub(super) used_bytes: u64,
    /// What it said if it failed, or `contents` and `filesystem` if they were not well.
    pub(super) trouble: Option<String>,
}

/// One run.
struct Sample {
    seconds: Option<f64>,
    peak_kib: u64,
    used_bytes: u64,
    trouble: Option<String>,
}

impl Row {
    /// Returns it as a line for a terminal.
    pub(super) fn line(&self) -> String {
        let seconds = |it: Option<f64>| it.map_or("over".to_owned(), |it| format!("{it:.2}"));
        format!(
            "{:10} {:26} cold {:>8} s  warm {:>8} s  {:>6} MB peak  {:>8.1} MB used  {}",
            self.set,
            self.tool,
            seconds(self.cold_s),
            seconds(self.warm_s),
            self.peak_kib / 1000,
            self.used_bytes as f64 / 1e6,
            self.trouble.as_deref().unwrap_or(""),
        )
    }
}

/// Runs a tool `nr_runs` times cold and as often warm, each time on a fresh copy.
///
/// # Errors
///
/// If there is no filesystem to run on; what the tool does wrong is in the row.
pub(super) fn row(
    master: &Master,
    tool: &Tool,
    nr_runs: usize,
    limit_s: u64,
) -> Result<Row, String> {
    let cold = samples(master, tool, nr_runs, limit_s, true)?;
    let warm = samples(master, tool, nr_runs, limit_s, false)?;
    let all = || cold.iter().chain(&warm);
    let facts = master.facts();
    Ok(Row {
        set: facts.name,
        tool: tool.name,
        shown: tool.shown(),
        task: tool.task,
        cold_s: median(&cold),
        warm_s: median(&warm),
        peak_kib: all().map(|sample| sample.peak_kib).max().unwrap_or(0),
        used_bytes: all().map(|sample| sample.used_bytes).max().unwrap_or(0),
        trouble: all().find_map(|sample| sample.trouble.clone()),
    })
}

fn samples(
    master: &Master,
    tool: &Tool,
    nr_runs: usize,
    limit_s: u64,
    is_cold: bool,
) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::with_capacity(nr_runs);
    for run_idx in 0..nr_runs {
        let sample = sample(master, tool, limit_s, is_cold, run_idx == 0)?;
        let is_over = sample.seconds.is_none();
        samples.push(sample);
        if is_over {
            // It will not be faster the next time.
            break;
        }
    }
    Ok(samples)
}

fn sample(
    master: &Master,
    tool: &Tool,
    limit_s: u64,
    is_cold: bool,
    is_checked: bool,
) -> Result<Sample, String> {
    let copy = master.copy()?;
    match is_cold {
        true => copy.drop_caches()?,
        false => copy.warm()?,
    }
    let tmp = master.folder().join("tmp");
    let _ = fs::remove_dir_all(&tmp);
    fs::create_dir(&tmp).map_err(|error| format!("make {}: {error}", tmp.display()))?;
    let mut sample = timed(tool, copy.point(), &tmp, limit_s)?;
    let _ = fs::remove_dir_all(&tmp);
    sample.used_bytes = copy.used_bytes()?;
    if is_checked && tool.task == Task::Dedupe {
        let checked = copy.check(master);
        sample.trouble = sample.trouble.or(checked.err());
    }
    Ok(sample)
}

fn timed(tool: &Tool, dir: &Path, tmp: &Path, limit_s: u64) -> Result<Sample, String> {
    let inner = tool.command(dir, tmp);
    let (peak, said) = (tmp.join("peak"), tmp.join("said"));
    let said_file = fs::File::create(&said).map_err(|error| format!("{error}"))?;
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", &limit_s.to_string()])
        .args(["/usr/bin/time", "-f", "%M", "-o"])
        .arg(&peak)
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(tmp)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said_file);
    let start = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("cannot run timeout: {error}"))?;
    let seconds = start.elapsed().as_secs_f64();
    let is_over = limit_s as f64 <= seconds;
    let peak_kib = fs::read_to_string(&peak).unwrap_or_default();
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    let said = fs::read_to_string(&said).unwrap_or_default();
    let trouble = (!status.success() && !is_over).then(|| format!("{status}: {}", last(&said)));
    Ok(Sample {
        seconds: (!is_over).then_some(seconds),
        peak_kib: last(&peak_kib).trim().parse().unwrap_or(0),
        used_bytes: 0,
        trouble,
    })
}

fn median(samples: &[Sample]) -> Option<f64> {
    let seconds: Option<Vec<f64>> = samples.iter().map(|sample| sample.seconds).collect();
    let mut seconds = seconds?;
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied()
}
