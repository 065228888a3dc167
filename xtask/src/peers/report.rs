//! The measurement as a page: what holds, tables, commands; and a chart beside it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::chart;
use super::filesystem::Facts;
use super::measure::{Row, seconds};
use super::points;
use super::record::{self, Record};
use super::tools::Task;

/// Writes `peers.md` and `peers.svg` into `folder`, of everything that is `kept`; returns that.
///
/// # Errors
///
/// If a file cannot be written, or what is kept cannot be read.
pub(super) fn write(
    folder: &Path,
    kept: &Path,
    circumstances: &[String],
) -> Result<Vec<Record>, String> {
    let records = Record::all(kept)?;
    let page = page(&records, record::growth(kept), circumstances);
    for (name, text) in [("peers.md", page), ("peers.svg", chart::svg(&records))] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    Ok(records)
}

fn page(records: &[Record], growth: Option<String>, circumstances: &[String]) -> String {
    let of_all = |of: fn(&Facts) -> usize| {
        let mut values: Vec<usize> = records.iter().map(|record| of(&record.facts)).collect();
        values.sort_unstable();
        values.dedup();
        let values: Vec<String> = values.iter().map(usize::to_string).collect();
        values.join(" or ")
    };
    let mut page = format!(
        "# Beside other tools\n\n\
         Written by `cargo xtask peers --out docs`; the sets are made anew each time, the same on \
         every machine.\n\
         Times are seconds, medians of {} runs in which the tools took turns, each on a fresh copy \
         of the filesystem in\nmemory: *cold* just mounted, *warm* with all files in the page \
         cache, *processors* user and system time of the warm\nruns. A tool is stopped after {} s, and not run \
         again after a quarter of that. *peak* is the most memory that one\nprocess had resident. \
         *used* is what `btrfs filesystem df --raw` says of data after a sync, in MB. Before each run half a \
         GiB of memory was used and freed: a hypervisor takes back what a guest has not used for a while, \
         and whoever runs next waits for it.\nAfter the first run of each \
         kind the contents of all\nfiles were compared with those before, the filesystem was \
         scrubbed and checked. *the calls alone* are no tool but what none can be faster than, \
         warm: those that the\nkernel has to carry out on *halves*, by who knows beforehand what is equal.\n\n\
         ![seconds and bytes](peers.svg)\n\n## What holds\n\n",
        of_all(|facts| facts.nr_runs),
        of_all(|facts| facts.limit_s as usize),
    );
    for point in records.iter().flat_map(points::all) {
        let _ = writeln!(page, "- {}", point.line());
    }
    for record in records {
        set(&mut page, &record.facts, &record.rows);
    }
    if let Some(growth) = growth {
        let _ = write!(
            page,
            "\n## Growth\n\nWritten by `cargo xtask peers --growth PERCENT --out docs`: a quarter, half \
             and all of what there is much of, on a disk;\n`find` is `xsame dupes -r`, `never` and \
             `max` are `-D --rewrite=` that, one after the other.\n\n```text\n{growth}```\n"
        );
    }
    page.push_str("\n## Commands\n\n");
    let mut shown: Vec<&Row> = Vec::new();
    for row in records.iter().flat_map(|record| &record.rows) {
        if shown.iter().all(|it| it.shown != row.shown) {
            shown.push(row);
        }
    }
    for row in shown {
        let _ = writeln!(page, "- {}: `{}`", row.tool, row.shown);
    }
    let _ = writeln!(page, "\nMeasured with {}.", circumstances.join(", "));
    page
}

fn set(page: &mut String, facts: &Facts, rows: &[Row]) {
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    let _ = write!(
        page,
        "\n## {}\n\n{}. Used before: {} MB; distinct 4 KiB blocks{}: {} MB",
        facts.name,
        facts.is,
        megabytes(facts.used_bytes),
        if facts.is_compressed {
            ", not compressed"
        } else {
            ""
        },
        megabytes(facts.distinct_bytes),
    );
    if let Some(optimum) = facts.optimum_bytes {
        let _ = write!(
            page,
            "; the least that whole extents can be: {} MB",
            megabytes(optimum)
        );
    }
    let _ = writeln!(page, ". Load average of the machine: {:.1}.", facts.load);
    for (task, title) in [(Task::Scan, "find only"), (Task::Dedupe, "dedupe")] {
        let rows: Vec<&Row> = rows
            .iter()
            .filter(|row| row.set == facts.name && row.task == task)
            .collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(
            page,
            "\n| {title} | cold s | warm s | processors s | peak MB | used MB | |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | --- |\n"
        );
        for row in rows {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {:.0} | {} | {} |",
                row.tool,
                seconds(row.cold_s),
                seconds(row.warm_s),
                seconds(row.cpu_s),
                row.peak_kib as f64 * 1.024e-3,
                row.used_bytes.map_or(String::new(), megabytes),
                row.trouble.as_deref().unwrap_or("").replace('|', "/"),
            );
        }
    }
}
