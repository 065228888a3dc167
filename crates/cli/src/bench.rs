//! `xsame bench`: model and kernel timed on the same calls, in turns, in one run.
//!
//! A round makes fresh files of 10,000 extents on both sides and times each case on both, from
//! request bytes to reply bytes. What counts is the median of the rounds' ratios: a slow machine
//! is slow for both. Answers that differ end the bench, as a difference makes ratios worthless.

mod again;
mod layout;
mod ratio;
mod scale;
mod sides;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use backend_kernel::{ground, same};
use data::Content;
use miette::{Report, miette};
use rules::Profile;
use uapi::dedupe;

use crate::arguments::BenchArguments;
use crate::exit::Exit;
use crate::witness::{self, WitnessName};
use crate::{print, progress};
use layout::{Case, Layout, Request};
use ratio::{Measured, Slices, Subject, Target};
use sides::{Kernel, Modelled, Timed};

/// What is timed, in the order of the table.
const SUBJECTS: [Subject; 4] = [
    Subject {
        title: "dedupe of 4 KiB, fresh scattered pairs",
        target: Target::AtLeast(10.0),
    },
    Subject {
        title: "dedupe of 128 KiB of patterned data, fresh pairs",
        target: Target::AtLeast(10.0),
    },
    Subject {
        title: "EINVAL for an unaligned destination",
        target: Target::AtLeast(5.0),
    },
    Subject {
        title: "compare of 16 MiB of literal bytes, over memcmp",
        target: Target::AtMost(1.3),
    },
];

const CASES: [Case; 3] = [Case::Small, Case::Large, Case::Refused];

/// In so many slices a case is timed; what disturbs one of them does not count.
const NR_SLICES: usize = 10;
/// Bytes of the literal compare.
const COMPARE_LEN: usize = 16 << 20;
/// How often they are compared in one round.
const NR_COMPARES: usize = 8;

/// Runs the subcommand.
pub(crate) fn run(arguments: &BenchArguments) -> Result<Exit, Report> {
    if let Some(folder) = &arguments.again {
        return again::run(folder);
    }
    if arguments.scale {
        return scale::run(arguments);
    }
    let profile = profile(&arguments.profile)?;
    let measured = match &arguments.backend {
        WitnessName::Auto | WitnessName::Mount => {
            ground::on_loopback(|top| measure(top, &profile, arguments.rounds))
        }
        WitnessName::MountAt(folder) => {
            ground::in_directory(folder, |top| measure(top, &profile, arguments.rounds))
        }
        WitnessName::Uml(_) | WitnessName::Model | WitnessName::Reference => {
            return Err(miette!(
                help = "use --backend mount, or mount=DIR with a folder on btrfs",
                "raw calls are timed on the running kernel only"
            ));
        }
    };
    let measured = measured.map_err(witness::report)??;
    let missed: Vec<&str> = SUBJECTS
        .iter()
        .zip(&measured)
        .filter(|(subject, measured)| !subject.target.is_met_by(measured.ratio()))
        .map(|(subject, _)| subject.title)
        .collect();
    if arguments.json {
        print_json(&profile, &measured);
    } else {
        print_table(&profile, arguments.rounds, &measured);
    }
    for title in &missed {
        eprintln!("not on target: {title}");
    }
    Ok(match missed.is_empty() {
        true => Exit::Fine,
        false => Exit::Found,
    })
}

/// Returns the profile: the one nearest to the running kernel if nothing else is said.
fn profile(wanted: &str) -> Result<Profile, Report> {
    match (wanted, same::kernel_release()) {
        ("auto", Some(release)) => Ok(Profile::nearest(release).0),
        (wanted, _) => witness::profile(wanted, None).map(|(profile, _)| profile),
    }
}

/// Runs all rounds in the folder `top`. Returns what was measured, subject by subject.
fn measure(top: &Path, profile: &Profile, nr_rounds: u32) -> Result<[Measured; 4], Report> {
    let layout = Layout::new();
    let bytes = Content::pattern(7, 0, COMPARE_LEN as u64).to_vec();
    let contents = [
        Content::literal(bytes.as_slice()),
        Content::literal(bytes.as_slice()),
    ];
    let mut measured: [Measured; 4] = Default::default();
    let [calls @ .., compares] = &mut measured;
    let bar = progress::steps(nr_rounds.into(), "rounds");
    for round in bar.wrap_iter(0..nr_rounds) {
        let kernel = Kernel::new(top, &layout)?;
        let mut modelled = Modelled::new(profile, &layout)?;
        for (case, measured) in CASES.into_iter().zip(calls.iter_mut()) {
            let slices = time_case(case, &layout, &mut modelled, &kernel, round)?;
            measured.push(slices.ratio(), slices.seconds());
        }
        modelled.check()?;
        let slices = time_compares(&contents)?;
        // Here less is better: the time of the described compare over that of memcmp.
        compares.push(slices.ratio().recip(), slices.seconds());
    }
    Ok(measured)
}

/// Times one case on both sides, in slices that take turns.
fn time_case(
    case: Case,
    layout: &Layout,
    modelled: &mut Modelled,
    kernel: &Kernel,
    round: u32,
) -> Result<Slices, Report> {
    let mut sent = (
        layout.requests(case, modelled.target_fd),
        layout.requests(case, kernel.target_fd()),
    );
    let asked = sent.clone();
    let slice_len = asked.0.len() / NR_SLICES;
    let mut slices = Slices::default();
    let chunks = sent.0.chunks_mut(slice_len);
    for (slice_idx, (to_model, to_kernel)) in chunks.zip(sent.1.chunks_mut(slice_len)).enumerate() {
        // Each goes first in every second round.
        let (by_model, by_kernel) = if round.is_multiple_of(2) {
            let by_kernel = kernel.time(to_kernel);
            (modelled.time(to_model), by_kernel)
        } else {
            let by_model = modelled.time(to_model);
            (by_model, kernel.time(to_kernel))
        };
        let start = slice_idx * slice_len;
        let end = start + to_model.len();
        agree(
            (&asked.0[start..end], to_model, &by_model),
            (&asked.1[start..end], to_kernel, &by_kernel),
        )?;
        slices.push(to_model.len(), (by_model.elapsed, by_kernel.elapsed));
    }
    Ok(slices)
}

/// Fails where the replies of model and kernel differ.
fn agree(
    model: (&[Request], &[Request], &Timed),
    kernel: (&[Request], &[Request], &Timed),
) -> Result<(), Report> {
    for call_idx in 0..model.0.len() {
        let reply = |side: &(&[Request], &[Request], &Timed)| {
            let bytes = dedupe::normalised_reply(&side.0[call_idx], &side.1[call_idx]);
            (bytes, side.2.ends[call_idx])
        };
        let (one, two) = (reply(&model), reply(&kernel));
        if one != two {
            return Err(miette!(
                help = "find out why with xsame diff",
                "call {call_idx} was answered in two ways, so there is nothing to time\n  \
                 model: {one:02x?}\n  kernel: {two:02x?}"
            ));
        }
    }
    Ok(())
}

/// Compares two literal contents, and the same bytes with memcmp, in turns.
fn time_compares(contents: &[Content; 2]) -> Result<Slices, Report> {
    let [one, two] = contents;
    let (one_bytes, two_bytes) = (bytes_of(one)?, bytes_of(two)?);
    let mut slices = Slices::default();
    for _ in 0..NR_COMPARES {
        let start = Instant::now();
        let is_same = black_box(one_bytes) == black_box(two_bytes);
        let plain = start.elapsed();
        let start = Instant::now();
        let difference = black_box(one).first_difference(0, black_box(two), 0, one.len());
        slices.push(1, (start.elapsed(), plain));
        if !is_same || difference.is_some() {
            return Err(miette!("equal bytes do not compare equal"));
        }
    }
    Ok(slices)
}

fn bytes_of(content: &Content) -> Result<&[u8], Report> {
    let run = content.runs().first().and_then(|run| run.as_literal());
    run.ok_or_else(|| miette!("a literal content is not one literal run"))
}

fn kernel_name() -> String {
    same::kernel_release().map_or_else(|| "kernel".into(), |release| format!("kernel {release}"))
}

fn print_table(profile: &Profile, nr_rounds: u32, measured: &[Measured; 4]) {
    print::line(format!(
        "model {} beside {}: median of {nr_rounds} rounds (lowest to highest)",
        profile.name,
        kernel_name()
    ));
    for (subject, measured) in SUBJECTS.iter().zip(measured) {
        let (one, two) = measured.rates();
        print::line(format!(
            "{:<50} {:>7.2}×  ({:.2} to {:.2})  target {:<6}  {one:.0}/s beside {two:.0}/s",
            subject.title,
            measured.ratio(),
            measured.min(),
            measured.max(),
            subject.target.to_string(),
        ));
    }
}

fn print_json(profile: &Profile, measured: &[Measured; 4]) {
    let subjects: Vec<serde_json::Value> = SUBJECTS
        .iter()
        .zip(measured)
        .map(|(subject, measured)| {
            let (model, other) = measured.rates();
            serde_json::json!({
                "subject": subject.title,
                "ratio": measured.ratio(),
                "min": measured.min(),
                "max": measured.max(),
                "target": subject.target.to_string(),
                "is_met": subject.target.is_met_by(measured.ratio()),
                "model_per_second": model,
                "other_per_second": other,
            })
        })
        .collect();
    print::line(serde_json::json!({
        "profile": profile.name,
        "kernel": kernel_name(),
        "subjects": subjects,
    }));
}
