//! The report as text.

use dupes::Change;
use volume::Volume;

use super::report::{Done, Told};
use super::words::{hint, name, reason, signed, size};
use crate::print;

/// How many of each are listed without -v.
const NR_LISTED: usize = 20;
/// How many places of a group are listed without -v.
const NR_PLACES: usize = 5;

/// Prints it: troubles on stderr, the rest on stdout unless `is_quiet`.
pub(super) fn print(told: &Told, volume: &mut dyn Volume, is_quiet: bool, is_verbose: bool) {
    for trouble in told.troubles(volume) {
        eprintln!("xsame: {trouble}");
    }
    if is_quiet {
        return;
    }
    let (nr_listed, nr_places) = match is_verbose {
        true => (usize::MAX, usize::MAX),
        false => (NR_LISTED, NR_PLACES),
    };
    let report = &told.report;
    print::line(format!(
        "{} files, {} of data in {} extents, {} read{}",
        report.nr_files,
        size(report.scanned_bytes),
        report.nr_extents,
        size(report.read_bytes),
        match told.is_remembered {
            true => "; nothing has changed since the last time",
            false => "",
        },
    ));
    groups(told, volume, nr_listed, nr_places);
    if is_verbose {
        removed(told, volume);
    }
    let prediction = &told.prediction;
    let at_most = if told.is_at_most() { "at most " } else { "" };
    print::line(format!(
        "predicted: {at_most}{} freed in {} extents, {} written in {}, {} moved in {} requests, \
         {:+} file extents",
        size(prediction.freed_bytes),
        prediction.nr_extents_freed,
        size(prediction.written_bytes),
        prediction.nr_extents_written,
        size(prediction.moved_bytes),
        prediction.nr_requests,
        prediction.nr_file_extents_more,
    ));
    for stay in &told.stays {
        print::line(format!(
            "stays: {} in {} extents: {} ({})",
            size(stay.bytes),
            stay.nr_extents,
            reason(stay.reason),
            hint(stay.reason, told.rewrite),
        ));
    }
    if let Some(done) = &told.done {
        what_was_done(done, at_most, prediction.net_bytes());
    }
    by_directory(told, volume, nr_listed);
    if told.is_at_most() {
        print::line(
            "extents are freed whole, and only root sees where they begin and end: what is freed \
             may be less",
        );
    }
    if told.done.is_none() {
        print::line("nothing has been changed: -D does what is planned");
    }
}

/// Lists what is equal.
fn groups(told: &Told, volume: &mut dyn Volume, nr_listed: usize, nr_places: usize) {
    if told.groups.is_empty() {
        return;
    }
    print::line("equal, and shared by what is planned, those first of which most is moved:");
    for group in told.groups.iter().take(nr_listed) {
        let len = size(group.range.len);
        let mut margin = format!("  {len:>11}  {} copies: ", group.nr_copies());
        let mut nr_named = 0;
        for (file, offset) in group.places().take(nr_places) {
            print::line(format!("{margin}{} at {offset}", name(volume, file)));
            margin = " ".repeat(margin.len());
            nr_named += 1;
        }
        match group.nr_copies() - nr_named {
            0 => {}
            nr_more => print::line(format!("{margin}and {nr_more} more")),
        }
    }
    // Of the rest only the largest are kept.
    if nr_listed <= told.groups.len() {
        print::line("  and maybe more, listed with -v");
    }
}

/// Lists the extents that go.
fn removed(told: &Told, volume: &mut dyn Volume) {
    if told.removed.is_empty() {
        return;
    }
    print::line("extents that go:");
    for removed in &told.removed {
        print::line(format!(
            "  {:>11}  {} ({} references)",
            size(removed.extent.disk_bytes),
            name(volume, removed.file),
            removed.nr_references,
        ));
    }
}

fn what_was_done(done: &Done, at_most: &str, predicted_net_bytes: i64) {
    print::line(format!(
        "done:      {at_most}{} freed, {} written, {} moved in {} requests",
        size(done.freed_bytes),
        size(done.written_bytes),
        size(done.moved_bytes),
        done.nr_requests,
    ));
    let change = i128::from(done.used_before) - i128::from(done.used_after);
    print::line(format!(
        "used data: {} before, {} after, {change} bytes less ({at_most}{predicted_net_bytes} \
         predicted)",
        size(done.used_before),
        size(done.used_after),
    ));
}

fn by_directory(told: &Told, volume: &mut dyn Volume, nr_listed: usize) {
    let directories = told.directories(volume);
    if directories.is_empty() {
        return;
    }
    print::line("by directory, change of used data, predicted and real:");
    for directory in directories.iter().take(nr_listed) {
        let change = |change: Change| signed(-change.net_bytes());
        let real = match told.done.is_some() {
            true => change(directory.real),
            false => String::new(),
        };
        print::line(format!(
            "  {:>12} {real:>12}  {}",
            change(directory.predicted),
            directory.path,
        ));
    }
    let nr_more = directories.len().saturating_sub(nr_listed);
    if 0 < nr_more {
        print::line(format!("  and {nr_more} more, listed with -v"));
    }
}
