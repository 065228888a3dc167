//! `xsame dupes`: find the duplicates, free the space for real, know it beforehand.
//!
//! What is to be looked at is put together here, `dupes` decides, `backend_kernel` looks and moves.

mod directories;
mod html;
mod json;
mod memory;
mod page;
mod paths;
pub(crate) mod program;
mod progress;
mod report;
pub(crate) mod scratch;
mod text;
mod words;

use std::collections::HashSet;
use std::path::Path;

use backend_kernel::volume::{self, Opened, Skipped};
use clap::ValueEnum;
use dupes::{Options, ScanMode, Stopped, Watch};
use miette::{Report, miette};

use crate::arguments::{DedupeWord, DupesArguments, IoClass, RewriteWord, ScanWord};
use crate::exit::Exit;
use crate::{print, signals, witness};
use progress::Progress;
use report::Told;
use scratch::TemporaryFiles;

/// Runs the subcommand.
pub(crate) fn run(arguments: &DupesArguments) -> Result<Exit, Report> {
    if arguments.io_class == Some(IoClass::Idle) {
        backend_kernel::be_idle().map_err(witness::report)?;
    }
    let paths = paths::named(arguments)?;
    let excluded = paths::excluded(&arguments.exclude)?;
    let is_excluded = |path: &Path| excluded.is_match(path);
    // Before anything is done, for afterwards is too late to say that it cannot be written.
    let page = arguments
        .html
        .as_deref()
        .map(page::Page::begin)
        .transpose()?;
    let mut watch = Progress::new(arguments);
    let opened = volume::open(&volume::Options {
        paths: &paths,
        is_recursive: arguments.recursive,
        is_excluded: (!arguments.exclude.is_empty()).then_some(&is_excluded),
        min_bytes: arguments.min_size,
        scan: match arguments.scan {
            ScanWord::Auto => volume::Scan::Auto,
            ScanWord::Csum => volume::Scan::Csum,
            ScanWord::Read => volume::Scan::Read,
        },
        nr_io_threads: nr_threads(arguments),
        on_found: &|| watch.count_found(),
    });
    let Opened {
        volume,
        has_checksums,
        skipped,
    } = opened.map_err(witness::report)?;
    watch.tell("opening the hashfile");
    let mut volume = remembering(volume, arguments.hashfile.as_deref(), &watch)?;
    let options = Options {
        scan: match has_checksums {
            true => ScanMode::Checksums,
            false => ScanMode::Read,
        },
        rewrite: match arguments.rewrite {
            RewriteWord::Never => dupes::Rewrite::Never,
            RewriteWord::Auto => dupes::Rewrite::Auto,
            RewriteWord::Max => dupes::Rewrite::Max,
        },
        run_bytes_min: arguments.block_size,
        is_within_files: is_within_files(&arguments.dedupe_options),
        plan_bytes_max: arguments.plan_memory.unwrap_or_else(memory::for_plan),
        lists_all: arguments.verbose,
        program: program::number(),
        ..Options::default()
    };
    watch.tell("writing back what is dirty");
    let mut scratch = TemporaryFiles;
    let told = match arguments.dedupe && !arguments.dry_run {
        true => {
            let summary = dupes::run(&mut *volume, &options, &mut scratch, &mut watch);
            summary.map(|summary| Told::of_summary(summary, &options, volume.space_rule()))
        }
        false => look(&mut *volume, &options, &mut scratch, &mut watch),
    };
    watch.finish();
    let mut told = match told {
        Ok(told) => told,
        Err(Stopped::ByWatch) => {
            let why = format!("{}, before anything was changed", Stopped::ByWatch);
            if arguments.json {
                print::line(json::stopped(&why));
            }
            eprintln!("xsame: {why}");
            return Ok(signals::asked().map_or(Exit::Found, Exit::Asked));
        }
        Err(stopped @ Stopped::TooLarge(_)) => {
            let help = "name fewer folders at a time, leave short runs alone (-b), or allow more \
                        (--plan-memory)";
            return Err(miette!(help = help, "{stopped}"));
        }
        Err(stopped) => return Err(miette!("{stopped}")),
    };
    told.skip(skipped_that_matter(skipped, arguments, &paths));
    match arguments.json {
        true => print::line(json::object(&told, &mut *volume)),
        false => text::print(&told, &mut *volume, arguments.quiet, arguments.verbose),
    }
    let is_paged = page.is_none_or(|page| {
        let text = html::page(&told, &mut *volume, &scope_of(&paths));
        let ended = page.end(&text);
        ended
            .inspect_err(|error| eprintln!("xsame: {error}"))
            .is_ok()
    });
    Ok(match (signals::asked(), told.is_whole() && is_paged) {
        (_, true) => Exit::Fine,
        (Some(signal), false) => Exit::Asked(signal),
        (None, false) => Exit::Found,
    })
}

/// Returns how many threads read and hash.
fn nr_threads(arguments: &DupesArguments) -> usize {
    let asked = [arguments.io_threads, arguments.cpu_threads];
    match asked.into_iter().flatten().min() {
        Some(nr_threads) => nr_threads as usize,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Returns whether what is there twice in one file only counts; tells what has no meaning.
fn is_within_files(words: &[DedupeWord]) -> bool {
    for word in words {
        if let (Some(why), Some(value)) = (word.why_meaningless(), word.to_possible_value()) {
            let name = value.get_name();
            eprintln!("xsame: --dedupe-options={name} has no meaning here: {why}");
        }
    }
    let is_about_same = |word: &&DedupeWord| word.why_meaningless().is_none();
    words.iter().rfind(is_about_same) != Some(&DedupeWord::Nosame)
}

/// Puts the hashfile before the volume, if one was named.
fn remembering(
    volume: volume::Sight,
    hashfile: Option<&Path>,
    watch: &Progress,
) -> Result<Box<dyn ::volume::Volume>, Report> {
    let Some(path) = hashfile else {
        return Ok(volume.into_volume());
    };
    let opened = match volume {
        volume::Sight::Trees(volume) => hashfile::open_trees(volume, path, watch.noting()),
        volume::Sight::Maps(volume) => hashfile::open_files(volume, path),
    };
    opened.map_err(|error| miette!("{error}"))
}

/// Returns what was looked at as a title.
fn scope_of(paths: &[std::path::PathBuf]) -> String {
    let named: Vec<String> = paths
        .iter()
        .take(3)
        .map(|path| path.display().to_string())
        .collect();
    match paths.len().saturating_sub(named.len()) {
        0 => named.join(", "),
        nr_more => format!("{} and {nr_more} more", named.join(", ")),
    }
}

/// Finds and plans; changes nothing.
fn look(
    volume: &mut dyn ::volume::Volume,
    options: &Options,
    scratch: &mut dyn dupes::Scratch,
    watch: &mut dyn Watch,
) -> Result<Told, Stopped> {
    let findings = dupes::look(volume, options, scratch, watch)?;
    Told::of_findings(findings, options, volume)
}

/// Returns what was skipped though it was named, or what should have been looked at: links and
/// devices in folders are no files, with -v they are told nevertheless.
fn skipped_that_matter(
    skipped: Vec<Skipped>,
    arguments: &DupesArguments,
    paths: &[std::path::PathBuf],
) -> Vec<Skipped> {
    let named: HashSet<&Path> = paths.iter().map(|path| path.as_path()).collect();
    let matters = |skipped: &Skipped| {
        let is_refused = matches!(skipped.why, volume::SkipReason::Refused(_));
        arguments.verbose || is_refused || named.contains(skipped.path.as_path())
    };
    skipped.into_iter().filter(matters).collect()
}
