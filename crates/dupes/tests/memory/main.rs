//! How much memory a run takes, as the system tells it of a process that does nothing else: of a
//! volume that is there in numbers only.
//!
//! `cargo test -p dupes --release --test memory -- --ignored` is the whole: 1 TiB of blocks of
//! 4 KiB within 2 GiB. It takes some minutes, and 10 GB below `$TMPDIR`.

#[path = "../inert/mod.rs"]
mod inert;
mod mixture;

use std::process::Command;
use std::time::Instant;

use backend_kernel::HugePages;
use dupes::{Options, Report, Rewrite, Stopped, Unwatched};
use libtest_mimic::{Arguments, Failed, Trial};

use inert::BLOCK;
use mixture::{FILE_BLOCKS, Mixture, TemporaryFiles};

/// As the program has it: it takes more than was asked for.
#[global_allocator]
static ALLOCATOR: HugePages = HugePages;

/// The argument of a process that is measured, before the size in GiB, whether all blocks are there
/// twice in no order, and the MiB that a plan may take; 0 for no plan.
const MEASURED: &str = "--measured";
/// How much memory a process has besides what grows with the data: the program itself.
const PROGRAM_BYTES: u64 = 8 << 20;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// What a process tells that was measured, bytes.
#[derive(Clone, Copy, Debug)]
struct Peaks {
    /// The most memory that it had once everything was found.
    found: u64,
    /// The most at the end.
    planned: u64,
    /// Whether there is a plan.
    is_planned: bool,
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != MEASURED);
    if arguments.next().is_some() {
        let numbers = arguments.map(|argument| argument.parse().expect("a number"));
        let [nr_gib, is_shuffled, plan_mib] = numbers.collect::<Vec<u64>>()[..] else {
            panic!("three numbers");
        };
        return measured(nr_gib, is_shuffled == 1, plan_mib);
    }
    let trials = vec![
        Trial::test("a_64th_of_one_tib_takes_a_64th_of_two_gib", || {
            check_found(16, false, 2 * GIB / 64 + PROGRAM_BYTES)
        }),
        Trial::test(
            "so_it_does_if_every_block_is_there_twice_in_no_order",
            || check_found(16, true, 2 * GIB / 64 + PROGRAM_BYTES),
        ),
        Trial::test("one_tib_takes_less_than_two_gib", || {
            check_found(1024, false, 2 * GIB)
        })
        .with_ignored_flag(true),
        Trial::test("a_plan_takes_no_more_than_it_may", || {
            check_planned(96, true)
        }),
        Trial::test("a_plan_that_would_take_more_is_not_made", || {
            check_planned(24, false)
        }),
    ];
    let mut arguments = Arguments::from_args();
    // Beside each other they would take longer.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

/// Checks that a process that finds what is equal takes no more memory than this.
fn check_found(nr_gib: u64, is_shuffled: bool, bytes_max: u64) -> Result<(), Failed> {
    let Peaks { found, .. } = measure(nr_gib, is_shuffled, 0)?;
    match found <= bytes_max {
        true => Ok(()),
        false => Err(format!("{} MiB instead of {}", found / MIB, bytes_max / MIB).into()),
    }
}

/// Checks that a plan of 2 GiB takes no more memory than this, made or not.
fn check_planned(plan_mib: u64, is_made: bool) -> Result<(), Failed> {
    let peaks = measure(2, false, plan_mib)?;
    let is_kept_to = peaks.planned - peaks.found <= plan_mib * MIB;
    match is_kept_to && peaks.is_planned == is_made {
        true => Ok(()),
        false => Err(format!("{peaks:?} with {plan_mib} MiB").into()),
    }
}

/// Has a process find, and plan if it may take memory for that.
fn measure(nr_gib: u64, is_shuffled: bool, plan_mib: u64) -> Result<Peaks, Failed> {
    let process = Command::new(std::env::current_exe()?)
        .arg(MEASURED)
        .args([nr_gib, is_shuffled.into(), plan_mib].map(|number: u64| number.to_string()))
        .output()?;
    let told = String::from_utf8_lossy(&process.stdout);
    let trouble = String::from_utf8_lossy(&process.stderr);
    if !process.status.success() {
        return Err(format!("{}: {trouble}", process.status).into());
    }
    let numbers = told.split_whitespace().map(str::parse::<u64>);
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>()?;
    let [found, planned, is_planned, seconds] = numbers[..] else {
        return Err(format!("the process told {told:?}").into());
    };
    println!("{nr_gib} GiB in {seconds} s: {} MiB", found / MIB);
    Ok(Peaks {
        found,
        planned,
        is_planned: is_planned == 1,
    })
}

/// Finds and plans; tells the most memory that this process had behind each of both, whether there
/// is a plan, and the seconds that finding took.
fn measured(nr_gib: u64, is_shuffled: bool, plan_mib: u64) {
    let nr_files = nr_gib * GIB / (FILE_BLOCKS * BLOCK) / 80 * 80;
    let mut volume = Mixture::new(nr_files, is_shuffled);
    let share = TIB / (nr_gib * GIB);
    let options = Options {
        sort_bytes_max: Options::default().sort_bytes_max / share as usize,
        plan_bytes_max: plan_mib * MIB,
        rewrite: Rewrite::Never,
        ..Options::default()
    };
    let begin = Instant::now();
    let (mut report, mut scratch) = (Report::default(), TemporaryFiles);
    let watch = &mut Unwatched;
    let found = dupes::find(&mut volume, &options, &mut scratch, watch, &mut report);
    let found = found.expect("nothing fails");
    let (seconds, peak) = (begin.elapsed().as_secs(), peak_bytes());
    assert_eq!(report.nr_blocks, volume.nr_files * FILE_BLOCKS);
    assert_eq!(found.nr_equal_blocks(), volume.expected());
    let is_planned = 0 < plan_mib
        && match found.plan(&mut volume, &options, watch, &mut report) {
            Ok(_) => true,
            Err(Stopped::TooLarge(_)) => false,
            Err(other) => panic!("{other}"),
        };
    println!("{peak} {} {} {seconds}", peak_bytes(), u8::from(is_planned));
}

/// Returns the most memory that this process had resident, bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kib: Option<u64> = kib.and_then(|kib| kib.trim().parse().ok());
    kib.expect("a number of KiB") << 10
}
