//! `xsame bench --scale`: how the model's size and speed grow with the number of extents.
//!
//! Every size is measured in a process of its own ([`sample`]), so that its memory is its own.
//! Beside it stand the bytes of metadata that btrfs uses for the same files ([`metadata`]). What
//! must hold: bytes per extent, nodes touched per call against the logarithm of the size, and the
//! time of a call at the largest size against the smallest.

mod layout;
mod metadata;
mod plot;
mod sample;

use std::process::Command;

use miette::{IntoDiagnostic, Report, WrapErr, miette};

use crate::arguments::BenchArguments;
use crate::exit::Exit;
use crate::{print, progress};
use sample::{OpSample, Sample};

/// Resident bytes per extent, everything included, at the largest size.
const BYTES_MAX: f64 = 250.0;
/// Times that a call may take at the largest size for one at the smallest.
const SLOWDOWN_MAX: f64 = 60.0;
/// Nodes that a call may visit or copy, per doubling of the number of extents.
const NODES_PER_DOUBLING_MAX: f64 = 4.0;
/// Times that `fsck` may take for an extent at the largest size for one at the smallest but one.
const FSCK_SLOWDOWN_MAX: f64 = 10.0;
/// The smallest size.
const SIZE_MIN: u64 = 1_000;

/// Runs the bench.
pub(super) fn run(arguments: &BenchArguments) -> Result<Exit, Report> {
    if let Some(nr_extents) = arguments.scale_of {
        let sample = sample::take(nr_extents)?;
        let json = serde_json::to_string(&sample).into_diagnostic()?;
        print::line(json);
        return Ok(Exit::Fine);
    }
    let mut sizes = vec![SIZE_MIN];
    while let Some(size) = sizes.last().map(|size| size * 10)
        && size <= arguments.extents
    {
        sizes.push(size);
    }
    let used = metadata::measure(&arguments.backend, &sizes)?;
    print_head();
    let mut samples = Vec::new();
    let bar = progress::steps(sizes.len() as u64, "sizes");
    for &size in bar.wrap_iter(sizes.iter()) {
        let sample = in_own_process(size)?;
        bar.suspend(|| print_row(&sample, used.bytes_per_extent(size)));
        samples.push(sample);
    }
    print::line(used.note());
    if let Some(path) = &arguments.svg {
        let svg = plot::svg(&samples);
        std::fs::write(path, svg)
            .into_diagnostic()
            .wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    let missed = missed(&samples);
    for text in &missed {
        eprintln!("not on target: {text}");
    }
    Ok(match missed.is_empty() {
        true => Exit::Fine,
        false => Exit::Found,
    })
}

/// Takes the sample of one size in a process of its own.
fn in_own_process(size: u64) -> Result<Sample, Report> {
    let program = std::env::current_exe()
        .into_diagnostic()
        .wrap_err("cannot tell where this program lies")?;
    let output = Command::new(program)
        .args(["bench", "--scale", "--scale-of", &size.to_string()])
        .output()
        .into_diagnostic()
        .wrap_err("cannot start this program again")?;
    if !output.status.success() {
        return Err(miette!(
            help = "see whether there is memory for 250 bytes per extent, or give fewer: --extents",
            "the measurement of {size} extents ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    serde_json::from_slice(&output.stdout)
        .into_diagnostic()
        .wrap_err_with(|| format!("the measurement of {size} extents told nothing"))
}

/// Returns what does not hold.
fn missed(samples: &[Sample]) -> Vec<String> {
    let mut missed = Vec::new();
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return missed;
    };
    let bytes = last.bytes_per_extent();
    if bytes > BYTES_MAX {
        missed.push(format!("{bytes:.0} bytes per extent"));
    }
    for (small, large) in first.ops.iter().zip(&last.ops) {
        let slowdown = large.micros / small.micros;
        if slowdown > SLOWDOWN_MAX {
            missed.push(format!("{} is {slowdown:.0} times slower", large.name));
        }
    }
    for sample in samples {
        let nr_nodes_max = NODES_PER_DOUBLING_MAX * (sample.nr_extents as f64).log2();
        for op in &sample.ops {
            if (op.nr_visited_max + op.nr_copied_max) as f64 > nr_nodes_max {
                let name = &op.name;
                missed.push(format!("nodes of {name} at {} extents", sample.nr_extents));
            }
        }
    }
    if let Some(second) = samples.get(1) {
        let slowdown = last.fsck_micros_per_extent() / second.fsck_micros_per_extent();
        if slowdown > FSCK_SLOWDOWN_MAX {
            missed.push(format!("fsck takes {slowdown:.0} times as long per extent"));
        }
    }
    missed
}

fn print_head() {
    let mut head = format!(
        "{:>10} {:>9} {:>9} {:>12}",
        "extents", "B/extent", "btrfs", "fsck"
    );
    for name in sample::OP_NAMES {
        head += &format!(" | {name:^26}");
    }
    print::line(head);
    let columns = format!(" | {:>9} {:>8} {:>7}", "µs", "visited", "copied");
    print::line(format!(
        "{:>43}{}",
        "",
        columns.repeat(sample::OP_NAMES.len())
    ));
}

fn print_row(sample: &Sample, btrfs: Option<f64>) {
    let btrfs = btrfs.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}"));
    let mut row = format!(
        "{:>10} {:>9.0} {btrfs:>9} {:>10.3} s",
        sample.nr_extents,
        sample.bytes_per_extent(),
        sample.fsck_seconds,
    );
    for OpSample {
        micros,
        nr_visited_max,
        nr_copied_max,
        ..
    } in &sample.ops
    {
        row += &format!(" | {micros:>9.2} {nr_visited_max:>8} {nr_copied_max:>7}");
    }
    print::line(row);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes from 10^3 to 10^5 that hold.
    fn samples() -> Vec<Sample> {
        let sample = |nr_extents: u64| {
            let op = |name: &&str| OpSample {
                name: (*name).to_owned(),
                micros: (nr_extents as f64).log2(),
                nr_visited_max: 12,
                nr_copied_max: 2,
            };
            Sample {
                nr_extents,
                resident_bytes: nr_extents * 240,
                fsck_seconds: nr_extents as f64 * 1e-7,
                ops: sample::OP_NAMES.iter().map(op).collect(),
            }
        };
        [1_000, 10_000, 100_000].map(sample).to_vec()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<Sample>), expected: &[&str]) {
        let mut samples = samples();
        change(&mut samples);
        assert_eq!(missed(&samples), expected);
    }

    #[test]
    fn what_grows_with_the_logarithm_misses_nothing() {
        check(|_| {}, &[]);
        check(Vec::clear, &[]);
    }

    #[test]
    fn bytes_count_at_the_largest_size_only() {
        check(|samples| samples[0].resident_bytes *= 2, &[]);
        check(
            |samples| samples[2].resident_bytes = 25_100_000,
            &["251 bytes per extent"],
        );
    }

    #[test]
    fn a_call_that_becomes_slower_and_one_that_touches_more_nodes_are_named() {
        check(
            |samples| samples[2].ops[0].micros = 61.0 * samples[0].ops[0].micros,
            &["dedupe of 4 KiB is 61 times slower"],
        );
        // 4 times log2 of 10,000 is 53.2.
        check(|samples| samples[1].ops[2].nr_visited_max = 51, &[]);
        check(
            |samples| samples[1].ops[2].nr_visited_max = 52,
            &["nodes of snapshot at 10000 extents"],
        );
    }

    #[test]
    fn fsck_is_linear_or_named() {
        check(|samples| samples[2].fsck_seconds *= 9.9, &[]);
        check(
            |samples| samples[2].fsck_seconds *= 11.0,
            &["fsck takes 11 times as long per extent"],
        );
    }
}
