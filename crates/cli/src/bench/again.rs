//! `xsame bench --again FOLDER`: a first run of dupes with a hashfile, the runs after it with
//! nothing changed (as it is, and planned anew nevertheless) and with some files changed, and one
//! empty pass over the trees of the folder's filesystem, in one run. What is changed are files of
//! its own, in a folder that goes again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use backend_kernel::volume::{self, Scan, Sight};
use dupes::{Options, ScanMode, Unwatched};
use miette::{Report, miette};
use rand::Rng;
use tempfile::TempDir;

use crate::dupes::scratch::TemporaryFiles;
use crate::exit::Exit;
use crate::{print, witness};

/// How often the pass and the later runs are timed; medians count.
const NR_TIMES: usize = 5;
/// A later run with --scan=read takes at most this part of the first one.
const PART_MAX: f64 = 1.0 / 50.0;
/// A later run with --scan=csum takes at most so many empty passes.
const NR_PASSES_MAX: f64 = 3.0;
/// How many files are changed before a run, and a multiple of it.
const NR_CHANGED: [usize; 2] = [100, 400];
/// A change of one file among many takes at most so many times what one among few takes.
const GROWTH_MAX: f64 = 2.0;
/// What a clock does not tell apart: a part of a run that plans anew with nothing changed.
const NOISE: f64 = 0.1;
/// The number of this program, for what it is told the last time.
const PROGRAM: u64 = 1;
/// Bytes of a file that is changed.
const FILE_LEN: usize = 16 << 10;

/// Runs it.
pub(super) fn run(folder: &Path) -> Result<Exit, Report> {
    let own = Own::new(folder)?;
    commit(folder)?;
    let passes: Result<Vec<(Duration, u64)>, Report> =
        (0..NR_TIMES).map(|_| pass(folder)).collect();
    let (pass, nr_items) = median(passes?);
    print::line(format!(
        "one empty pass over the trees: {} s, {nr_items} items",
        seconds(pass)
    ));
    let mut is_met = true;
    for (name, scan) in [("read", Scan::Read), ("csum", Scan::Csum)] {
        let place = tempfile::tempdir().map_err(|error| miette!("no temporary folder: {error}"))?;
        let hashfile = place.path().join("hashes");
        let (first, first_bytes) = once(folder, scan, &hashfile, Some(PROGRAM))?;
        let repeated = |program| -> Result<(Duration, u64), Report> {
            let times = (0..NR_TIMES).map(|_| once(folder, scan, &hashfile, program));
            Ok(median(times.collect::<Result<_, Report>>()?))
        };
        let (later, later_bytes) = repeated(Some(PROGRAM))?;
        let part = later.as_secs_f64() / first.as_secs_f64();
        let nr_passes = later.as_secs_f64() / pass.as_secs_f64();
        print::line(format!(
            "--scan={name}: first {} s, {first_bytes} bytes read; later {} s, {later_bytes} bytes \
             read: 1/{:.0} of the first, {nr_passes:.2} passes",
            seconds(first),
            seconds(later),
            1.0 / part,
        ));
        is_met &= match scan {
            Scan::Csum => nr_passes <= NR_PASSES_MAX,
            _ => part <= PART_MAX,
        };
        let (anew, anew_bytes) = repeated(None)?;
        print::line(format!(
            "--scan={name}: later, planned anew {} s, {anew_bytes} bytes read",
            seconds(anew)
        ));
        let mut more = Vec::new();
        for nr_changed in NR_CHANGED {
            let after: Result<Vec<(Duration, u64)>, Report> = (0..NR_TIMES)
                .map(|_| {
                    own.change(nr_changed)?;
                    commit(folder)?;
                    once(folder, scan, &hashfile, Some(PROGRAM))
                })
                .collect();
            let (after, after_bytes) = median(after?);
            print::line(format!(
                "--scan={name}: after {nr_changed} files changed {} s, {after_bytes} bytes read",
                seconds(after)
            ));
            is_met &= after_bytes <= (nr_changed * FILE_LEN) as u64;
            more.push((after.as_secs_f64() - anew.as_secs_f64()) / nr_changed as f64);
        }
        let noise = NOISE * anew.as_secs_f64() / NR_CHANGED[0] as f64;
        is_met &= more[1] <= GROWTH_MAX * more[0].max(noise);
    }
    print::line(format!(
        "1/50 of the first with read, 3 passes with csum, changes in proportion: {}",
        if is_met { "met" } else { "missed" }
    ));
    Ok(match is_met {
        true => Exit::Fine,
        false => Exit::Found,
    })
}

/// Files that are there to be changed; gone with this.
struct Own(TempDir);

impl Own {
    fn new(folder: &Path) -> Result<Own, Report> {
        let place = tempfile::Builder::new()
            .prefix(".xsame-again-")
            .tempdir_in(folder);
        let own = Own(place.map_err(|error| {
            miette!(
                help = "name a folder that you may write to",
                "no folder for files that change: {error}"
            )
        })?);
        own.change(NR_CHANGED[1])?;
        Ok(own)
    }

    /// Writes the first files anew, with bytes that nothing else has.
    fn change(&self, nr_files: usize) -> Result<(), Report> {
        for file_idx in 0..nr_files {
            let path = self.0.path().join(format!("file-{file_idx:03}"));
            let mut bytes = vec![0; FILE_LEN];
            rand::rng().fill_bytes(&mut bytes);
            fs::write(&path, bytes)
                .map_err(|error| miette!("cannot write {}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// Has everything that was written in the trees.
fn commit(folder: &Path) -> Result<(), Report> {
    let Sight::Trees(mut volume) = open(folder, Scan::Auto)? else {
        return Ok(());
    };
    let moment = volume.moment();
    moment.map(drop).map_err(|error| miette!("{error}"))
}

fn open(folder: &Path, scan: Scan) -> Result<Sight, Report> {
    let opened = volume::open(&volume::Options {
        paths: &[folder.to_owned()],
        is_recursive: true,
        is_excluded: None,
        min_bytes: 0,
        scan,
        nr_io_threads: std::thread::available_parallelism().map_or(1, usize::from),
        on_found: &|| {},
    });
    Ok(opened.map_err(witness::report)?.volume)
}

/// Asks for everything in the trees once, and does nothing with it; returns how many items.
fn pass(folder: &Path) -> Result<(Duration, u64), Report> {
    let start = Instant::now();
    let Sight::Trees(mut volume) = open(folder, Scan::Auto)? else {
        return Err(miette!(
            help = "name a folder on btrfs, and be root",
            "there are no trees to be asked"
        ));
    };
    let wrong = |error| miette!("{error}");
    volume.moment().map_err(wrong)?;
    for root in volume.roots_in_scope() {
        let mut from = Some(0);
        while let Some(inode) = from {
            from = volume
                .walk(root, inode, u64::MAX, &mut |_| {})
                .map_err(wrong)?;
        }
    }
    Ok((start.elapsed(), volume.work().nr_items))
}

/// Looks once with the hashfile, for a program that takes what was found the last time if it has a
/// number; returns how many bytes were read.
fn once(
    folder: &Path,
    scan: Scan,
    hashfile: &Path,
    program: Option<u64>,
) -> Result<(Duration, u64), Report> {
    let start = Instant::now();
    let opened = match open(folder, scan)? {
        Sight::Trees(volume) => hashfile::open_trees(volume, hashfile, Box::new(|_, _| {})),
        Sight::Maps(volume) => hashfile::open_files(volume, hashfile),
    };
    let mut volume = opened.map_err(|error| miette!("{error}"))?;
    let options = Options {
        scan: match scan {
            Scan::Read => ScanMode::Read,
            Scan::Auto | Scan::Csum => ScanMode::Checksums,
        },
        program,
        ..Options::default()
    };
    let (scratch, watch) = (&mut TemporaryFiles, &mut Unwatched);
    let found = dupes::look(&mut *volume, &options, scratch, watch);
    let found = found.map_err(|error| miette!("{error}"))?;
    drop(volume);
    Ok((start.elapsed(), found.report.read_bytes))
}

fn median(mut measured: Vec<(Duration, u64)>) -> (Duration, u64) {
    measured.sort_unstable();
    measured[measured.len() / 2]
}

fn seconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64())
}
