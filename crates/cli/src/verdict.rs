//! What came of a differential run, printed and written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use harness::report::{self, Heading};
use harness::script::{self, Account};
use harness::shrink::{self, Limits};
use harness::{Divergence, RunReport};
use scenario::text::Scenario;
use scenario::{Geometry, Op};
use serde::Serialize;

use crate::diff::{Pair, SHRINK_TIME};
use crate::print;
use crate::progress::largest;

/// A divergence as it was printed.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    step: u64,
    differences: Vec<String>,
    scenario: String,
    files: Vec<PathBuf>,
    repeats: bool,
    #[serde(skip)]
    words: String,
}

/// The JSON object of `--json`.
#[derive(Serialize)]
struct Object<'a> {
    steps: u64,
    divergences: u64,
    overhead: Option<f64>,
    seed: u64,
    expected: &'a str,
    observed: &'a str,
    seconds: f64,
    outcomes: &'a BTreeMap<String, u64>,
    elements: &'a BTreeMap<String, u64>,
    refusals: &'a BTreeMap<String, u64>,
    freedoms: BTreeMap<&'a str, u64>,
    writes: u64,
    writes_done: u64,
    dedupes: u64,
    moved: f64,
    differing: f64,
    met_dirty: f64,
    cut: f64,
    damage: &'a [String],
    unchecked: &'a [String],
    kinds: &'a BTreeMap<String, u64>,
    large: f64,
    subvolumes: u64,
    #[serde(flatten)]
    gaps: &'a Gaps,
    divergence: Option<&'a Shown>,
}

/// What a run did not do.
#[derive(Debug, Serialize)]
pub(crate) struct Gaps {
    /// Kinds of operations that never ran.
    pub(crate) missing_kinds: Vec<&'static str>,
    /// Rules within reach that never decided anything.
    pub(crate) missing_rules: Vec<&'static str>,
    /// What there was too little of to prove anything.
    pub(crate) proves_nothing: Vec<String>,
}

impl Gaps {
    /// Returns what never ran and what never decided, a line each.
    pub(crate) fn words(&self) -> Vec<String> {
        let lists = [
            ("operations", &self.missing_kinds),
            ("rules", &self.missing_rules),
        ];
        let gaps = lists.iter().filter(|(_, list)| !list.is_empty());
        gaps.map(|(what, list)| format!("{what} never exercised: {}", list.join(" ")))
            .collect()
    }
}

/// How many differences are told before shrinking.
const NR_FOUND_MAX: usize = 8;

/// Shrinks a divergence and writes the files that show it: a scenario, a script, and all operations
/// that led to it as they were.
pub(crate) fn divergence(
    pair: &mut Pair,
    divergence: &Divergence,
    geometry: &Geometry,
    heading: Heading<'_>,
    out: &Path,
) -> Shown {
    let Pair {
        expected, observed, ..
    } = pair;
    let (expected, observed) = (expected.as_mut(), observed.as_mut());
    let nr_ops = divergence.ops.len();
    eprintln!(
        "divergence at step {}: shrinking {nr_ops} operations",
        divergence.step
    );
    // What is left in the end may differ for another reason than what was found.
    if let Some(op) = divergence.ops.last() {
        eprintln!("found at: {op}");
    }
    for difference in divergence.differences.iter().take(NR_FOUND_MAX) {
        eprintln!("  {difference}");
    }
    let limits = Limits {
        time: SHRINK_TIME,
        ..Limits::default()
    };
    let shrunk = shrink::shrink(expected, observed, geometry, divergence, limits);
    let small = &shrunk.divergence;
    let nr_ops = small.ops.len();
    eprintln!("{nr_ops} operations left after {} tries", shrunk.tries);
    if let Some(error) = &shrunk.stopped_by {
        eprintln!("shrinking ended early: {error}");
    }
    let scenario = report::scenario(expected, observed, geometry, small, heading);
    let scenario = scenario.unwrap_or_else(|error| {
        eprintln!("the scenario has no answers in it: {error}");
        Scenario::of_ops(geometry.clone(), small.ops.iter().cloned())
    });
    let words = report::words(small, heading, &explain);
    let origin = format!(
        "Shows what xsame diff --seed {} found at step {}.",
        heading.seed, divergence.step
    );
    let account = Account {
        origin: &origin,
        conclusion: &words,
    };
    let script = script::render(&scenario, account);
    let scenario = scenario.to_string();
    let stem = format!("xsame-{}-{}", heading.seed, divergence.step);
    let whole = Scenario::of_ops(geometry.clone(), divergence.ops.iter().cloned()).to_string();
    let written = [("scn", &scenario), ("sh", &script), ("whole.scn", &whole)]
        .map(|(suffix, text)| write(out, &format!("{stem}.{suffix}"), text));
    Shown {
        step: divergence.step,
        differences: small.differences.iter().map(ToString::to_string).collect(),
        words,
        scenario,
        files: written.into_iter().flatten().collect(),
        repeats: shrunk.repeats,
    }
}

/// What a run did, and did not.
pub(crate) struct Done<'a> {
    pub(crate) report: &'a RunReport,
    pub(crate) gaps: Gaps,
    /// The freedoms within reach, with how often each was used.
    pub(crate) freedoms: Vec<(&'static str, u64)>,
}

/// Prints everything; the last line says the numbers.
pub(crate) fn print(done: &Done<'_>, shown: Option<&Shown>, heading: Heading<'_>, is_json: bool) {
    let Done { report, gaps, .. } = done;
    let is_damaged = !report.damage.is_empty();
    let divergences = u64::from(report.divergence.is_some() || is_damaged);
    if is_json {
        print::line(object(done, shown, heading, divergences));
    } else {
        print_words(done, shown);
    }
    for line in &report.unchecked {
        eprintln!("not checked: {line}");
    }
    for line in &report.damage {
        eprintln!("the filesystem is damaged: {line}");
    }
    for what in &gaps.proves_nothing {
        eprintln!("this run proves nothing: {what}");
    }
    let overhead = report
        .overhead
        .map_or_else(|| "none".to_owned(), |overhead| format!("{overhead:.2}"));
    print::line(format!(
        "steps={} divergences={divergences} overhead={overhead} seed={}",
        report.steps, heading.seed
    ));
}

fn print_words(done: &Done<'_>, shown: Option<&Shown>) {
    let report = done.report;
    if let Some(shown) = shown {
        print::text(&shown.scenario);
        print::line("");
        print::text(&shown.words);
        if !shown.repeats {
            print::line("the same operations did not show it again: it depends on timing");
        }
        for file in &shown.files {
            print::line(format!("written: {}", file.display()));
        }
    }
    let tally = &report.tally;
    let shares = tally.shares();
    print::line(format!(
        "operations: {}; {:.1} % with a file of more than 1 MiB",
        largest(&tally.kinds, Op::KINDS.len()),
        share(tally.nr_large, report.steps) * 100.0
    ));
    print::line(format!("answers: {}", largest(&tally.outcomes, 8)));
    print::line(format!(
        "{} dedupes: {:.0} % moved a reference, {:.0} % found a difference, {:.0} % met dirty \
         pages, {:.0} % cut an extent; elements: {}",
        tally.nr_dedupes,
        shares.moved * 100.0,
        shares.differing * 100.0,
        shares.met_dirty * 100.0,
        shares.cut * 100.0,
        largest(&tally.elements, 8),
    ));
    print::line(format!(
        "{} writes: {} wrote all of it, {:.0} %",
        tally.nr_writes,
        tally.nr_writes_done,
        share(tally.nr_writes_done, tally.nr_writes) * 100.0
    ));
    print::line(format!(
        "decided by rule: {}",
        largest(&tally.refusals, tally.refusals.len())
    ));
    if 0 < tally.nr_roots_max {
        print::line(format!(
            "up to {} subvolumes and snapshots at a time",
            tally.nr_roots_max
        ));
    }
    for (freedom, times) in &done.freedoms {
        print::line(format!("freedom used: {freedom} {times}"));
    }
    done.gaps.words().into_iter().for_each(print::line);
    let seconds = report.elapsed.as_secs_f64();
    print::line(format!(
        "{:.1} s, {:.0} steps/s",
        seconds,
        report.steps as f64 / seconds
    ));
}

fn object(
    done: &Done<'_>,
    shown: Option<&Shown>,
    heading: Heading<'_>,
    divergences: u64,
) -> String {
    let report = done.report;
    let tally = &report.tally;
    let shares = tally.shares();
    let object = Object {
        steps: report.steps,
        divergences,
        overhead: report.overhead,
        seed: heading.seed,
        expected: heading.expected,
        observed: heading.observed,
        seconds: report.elapsed.as_secs_f64(),
        outcomes: &tally.outcomes,
        elements: &tally.elements,
        refusals: &tally.refusals,
        freedoms: done.freedoms.iter().copied().collect(),
        writes: tally.nr_writes,
        writes_done: tally.nr_writes_done,
        dedupes: tally.nr_dedupes,
        moved: shares.moved,
        differing: shares.differing,
        met_dirty: shares.met_dirty,
        cut: shares.cut,
        damage: &report.damage,
        unchecked: &report.unchecked,
        kinds: &tally.kinds,
        large: share(tally.nr_large, report.steps),
        subvolumes: tally.nr_roots_max,
        gaps: &done.gaps,
        divergence: shown,
    };
    serde_json::to_string(&object).expect("strings, numbers and maps of them become JSON")
}

/// Returns how much of a whole a part is; 0 of nothing.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Returns what a rule says and where, for reports.
fn explain(id: &str) -> Option<String> {
    let rule = rules::rule(id)?;
    Some(format!("{} ({}); {}", rule.sentence, rule.end, rule.cite))
}

/// Writes a file; says so if it cannot, for the divergence matters more.
fn write(folder: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    match fs::write(&path, text) {
        Ok(()) => Some(path),
        Err(error) => {
            eprintln!("cannot write {}: {error}", path.display());
            eprintln!("  remedy: name a folder that can be written to with --out");
            None
        }
    }
}
