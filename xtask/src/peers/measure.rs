//! The rows of the table: tools on a set, cold and warm, some times each.
//!
//! The tools take turns, so that what else the machine does meanwhile meets all of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::filesystem::Master;
use super::tools::{Task, Tool};

/// What takes this share of the limit is not run again.
const SLOW_SHARE: f64 = 4.0;

/// So much free memory is made sure of before each run, bytes.
const FREE_BYTES: usize = 512 << 20;

/// What came of a tool on a set; medians.
pub(super) struct Row {
    /// The set.
    pub(super) set: &'static str,
    /// The word for the tool.
    pub(super) id: &'static str,
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
    /// Seconds of processors, the warm runs.
    pub(super) cpu_s: Option<f64>,
    /// Most memory that one of its processes had resident, KiB.
    pub(super) peak_kib: u64,
    /// Used data bytes afterwards; `None` if it was stopped before its end, or changes nothing.
    pub(super) used_bytes: Option<u64>,
    /// What it predicted to be used afterwards, if it does so.
    pub(super) predicted_bytes: Option<u64>,
    /// What it said if it failed, or what was not well afterwards.
    pub(super) trouble: Option<String>,
}

/// A tool with what was measured so far.
struct Measured<'a> {
    tool: &'a Tool,
    cold: Vec<Sample>,
    warm: Vec<Sample>,
    predicted_bytes: Option<u64>,
    trouble: Option<String>,
}

/// One run.
#[derive(Default)]
struct Sample {
    seconds: Option<f64>,
    cpu_s: Option<f64>,
    peak_kib: u64,
    used_bytes: u64,
    trouble: Option<String>,
}

/// What is in the page cache.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cache {
    Cold,
    Warm,
}

/// Runs each tool `nr_runs` times cold and as often warm; who dedupes on a fresh copy each time.
///
/// # Errors
///
/// If there is no filesystem to run on; what a tool does wrong is in its row.
pub(super) fn rows(
    master: &Master,
    tools: &[&Tool],
    nr_runs: usize,
    limit_s: u64,
) -> Result<Vec<Row>, String> {
    let mut all: Vec<Measured<'_>> = tools.iter().copied().map(Measured::new).collect();
    for measured in &mut all {
        measured.prove(master, limit_s)?;
    }
    for run_idx in 0..nr_runs {
        for measured in &mut all {
            for cache in [Cache::Cold, Cache::Warm] {
                measured.sample(master, cache, run_idx == 0, limit_s)?;
            }
            println!("  {}", measured.line(run_idx));
        }
    }
    let rows: Vec<Row> = all.iter().map(|measured| measured.row(master)).collect();
    rows.iter().for_each(|row| println!("{}", row.line()));
    Ok(rows)
}

impl<'a> Measured<'a> {
    fn new(tool: &'a Tool) -> Measured<'a> {
        Measured {
            tool,
            cold: Vec::new(),
            warm: Vec::new(),
            predicted_bytes: None,
            trouble: None,
        }
    }

    /// Has a tool that predicts what it will free do so, untimed, and compares.
    fn prove(&mut self, master: &Master, limit_s: u64) -> Result<(), String> {
        if !self.tool.predicts() {
            return Ok(());
        }
        let copy = master.copy()?;
        let used_before = copy.used_bytes()?;
        let tmp = Scratch::new(master)?;
        let inner = self.tool.proof(copy.point(), tmp.path());
        timed(&inner, tmp.path(), limit_s)?;
        let said = fs::read_to_string(tmp.path().join("said.json")).unwrap_or_default();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        let predicted = |name: &str| said["predicted"][name].as_u64();
        let (freed, written) = (predicted("freed_bytes"), predicted("written_bytes"));
        let (Some(freed), Some(written)) = (freed, written) else {
            self.trouble = Some("it printed no prediction".to_owned());
            return Ok(());
        };
        let predicted_bytes = used_before + written - freed;
        self.predicted_bytes = Some(predicted_bytes);
        let used_bytes = copy.used_bytes()?;
        if used_bytes != predicted_bytes {
            let say = format!("{predicted_bytes} bytes used were predicted, it is {used_bytes}");
            self.trouble.get_or_insert(say);
        }
        self.trouble = self.trouble.take().or(copy.check(master).err());
        Ok(())
    }

    fn sample(
        &mut self,
        master: &Master,
        cache: Cache,
        is_checked: bool,
        limit_s: u64,
    ) -> Result<(), String> {
        let samples = match cache {
            Cache::Cold => &mut self.cold,
            Cache::Warm => &mut self.warm,
        };
        // What is slow will not be fast the next time.
        let is_slow = |sample: &Sample| {
            let seconds = sample.seconds.unwrap_or(f64::MAX);
            limit_s as f64 / SLOW_SHARE <= seconds
        };
        if samples.iter().any(is_slow) {
            return Ok(());
        }
        let copy = master.copy()?;
        if cache == Cache::Warm {
            copy.warm()?;
        }
        let tmp = Scratch::new(master)?;
        let inner = self.tool.command(copy.point(), tmp.path());
        have_memory();
        let mut sample = timed(&inner, tmp.path(), limit_s)?;
        sample.used_bytes = copy.used_bytes()?;
        if is_checked && cache == Cache::Cold && self.tool.task == Task::Dedupe {
            sample.trouble = sample.trouble.or(copy.check(master).err());
        }
        samples.push(sample);
        Ok(())
    }

    /// Returns what the last runs took, for a terminal.
    fn line(&self, run_idx: usize) -> String {
        let last = |samples: &[Sample]| seconds(samples.last().and_then(|last| last.seconds));
        let (cold, warm) = (last(&self.cold), last(&self.warm));
        let name = self.tool.name;
        format!("run {}: {name}: {cold} s cold, {warm} s warm", run_idx + 1)
    }

    fn row(&self, master: &Master) -> Row {
        let all = || self.cold.iter().chain(&self.warm);
        let has_ended = !all().any(Sample::is_over);
        let changes = self.tool.task == Task::Dedupe;
        Row {
            set: master.facts().name,
            id: self.tool.id,
            tool: self.tool.name,
            shown: self.tool.shown(),
            task: self.tool.task,
            cold_s: median(&self.cold, |sample| sample.seconds),
            warm_s: median(&self.warm, |sample| sample.seconds),
            cpu_s: median(&self.warm, |sample| sample.cpu_s),
            peak_kib: all().map(|sample| sample.peak_kib).max().unwrap_or(0),
            used_bytes: match has_ended && changes {
                true => all().map(|sample| sample.used_bytes).max(),
                false => None,
            },
            predicted_bytes: self.predicted_bytes,
            trouble: self
                .trouble
                .clone()
                .or(all().find_map(|sample| sample.trouble.clone())),
        }
    }
}

/// Has free memory that is there. A hypervisor takes back what a guest has not used for a while
/// (`virtio_balloon`, free page reporting), and whoever runs next would wait for it, page by page.
fn have_memory() {
    drop(std::hint::black_box(vec![1_u8; FREE_BYTES]));
}

impl Row {
    /// Returns it as a line for a terminal.
    fn line(&self) -> String {
        let used = self.used_bytes.map_or("".to_owned(), |used| {
            format!("{:>8.1} MB used", used as f64 / 1e6)
        });
        format!(
            "{:10} {:26} cold {:>8} s  warm {:>8} s  {:>8} s of processors  {:>6} MB peak  {used}  {}",
            self.set,
            self.tool,
            seconds(self.cold_s),
            seconds(self.warm_s),
            seconds(self.cpu_s),
            self.peak_kib / 1000,
            self.trouble.as_deref().unwrap_or(""),
        )
    }
}

impl Sample {
    /// Returns whether it was stopped at the limit.
    fn is_over(&self) -> bool {
        self.seconds.is_none()
    }
}

/// Returns seconds as they are printed.
pub(super) fn seconds(it: Option<f64>) -> String {
    match it {
        None => "over".to_owned(),
        Some(it) if it < 0.1 => format!("{it:.3}"),
        Some(it) => format!("{it:.2}"),
    }
}

/// A folder that is empty at first and gone afterwards.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(master: &Master) -> Result<Scratch, String> {
        let path = master.folder().join("tmp");
        fs::create_dir(&path).map_err(|error| format!("make {}: {error}", path.display()))?;
        Ok(Scratch(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a run took.
pub(super) struct Usage {
    /// Seconds on the wall.
    pub(super) seconds: f64,
    /// Seconds of processors.
    pub(super) cpu_s: f64,
    /// Most memory resident, KiB.
    pub(super) peak_kib: u64,
}

/// Runs a command to its end, with a file in `tmp`.
///
/// # Errors
///
/// If it fails.
pub(super) fn usage(inner: &Command, tmp: &Path) -> Result<Usage, String> {
    let sample = timed(inner, tmp, u64::from(u32::MAX))?;
    match (sample.trouble, sample.seconds, sample.cpu_s) {
        (None, Some(seconds), Some(cpu_s)) => Ok(Usage {
            seconds,
            cpu_s,
            peak_kib: sample.peak_kib,
        }),
        (trouble, ..) => Err(trouble.unwrap_or_else(|| "it told no times".to_owned())),
    }
}

fn timed(inner: &Command, tmp: &Path, limit_s: u64) -> Result<Sample, String> {
    let (usage, said) = (tmp.join("usage"), tmp.join("said"));
    let said_file = fs::File::create(&said).map_err(|error| format!("{error}"))?;
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", &limit_s.to_string()])
        .args(["/usr/bin/time", "-f", "%M %U %S", "-o"])
        .arg(&usage)
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
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    let usage = last(&fs::read_to_string(&usage).unwrap_or_default());
    let usage: Vec<f64> = usage.split(' ').flat_map(str::parse).collect();
    let said = fs::read_to_string(&said).unwrap_or_default();
    let trouble = match status.success() {
        true => None,
        false if is_over => Some(format!("stopped after {limit_s} s")),
        false => Some(format!("{status}: {}", last(&said))),
    };
    let (peak_kib, cpu_s) = match usage[..] {
        [peak_kib, user, system] => (peak_kib as u64, Some(user + system)),
        _ => (0, None),
    };
    Ok(Sample {
        seconds: (!is_over).then_some(seconds),
        cpu_s,
        peak_kib,
        used_bytes: 0,
        trouble,
    })
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = samples.iter().map(of).collect();
    let mut values = values?;
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
