//! The measurement as a page: tables and a bar chart.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::filesystem::Facts;
use super::measure::Row;
use super::tools::Task;

/// Height of a bar with its gap, width of all bars, and where they begin, in pixels.
const BAR: usize = 16;
const WIDTH: f64 = 420.0;
const LEFT: usize = 210;
/// The bars are logarithmic from here on, seconds.
const LEAST_S: f64 = 0.01;

/// Writes `peers.md` and `peers.svg` into `folder`.
///
/// # Errors
///
/// If a file cannot be written.
pub(super) fn write(
    folder: &Path,
    facts: &[Facts],
    rows: &[Row],
    nr_runs: usize,
) -> Result<(), String> {
    for (name, text) in [
        ("peers.md", page(facts, rows, nr_runs)),
        ("peers.svg", chart(rows)),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    Ok(())
}

fn page(facts: &[Facts], rows: &[Row], nr_runs: usize) -> String {
    let mut page = format!(
        "# Beside other tools\n\nWritten by `cargo xtask peers --out docs`; the sets are made \
         anew each time, the same on every machine.\nTimes are seconds, medians of {nr_runs} runs, each on a \
         fresh copy of the filesystem in memory: *cold* with nothing in the page cache, *warm*\n\
         with everything in it. *used* is what `btrfs filesystem df --raw` says of data after a \
         sync, in MB. After the first run of each kind\nthe contents of all files were compared \
         with those before, the filesystem was scrubbed and checked.\n\n![seconds](peers.svg)\n",
    );
    for set in facts {
        let of_set = |task| {
            rows.iter()
                .filter(move |row| row.set == set.name && row.task == task)
        };
        let _ = write!(
            page,
            "\n## {}\n\n{}. Used before: {:.1} MB; distinct 4 KiB blocks: {:.1} MB.\n",
            set.name,
            set.is,
            set.used_bytes as f64 / 1e6,
            set.distinct_bytes as f64 / 1e6,
        );
        for (task, title) in [(Task::Scan, "find only"), (Task::Dedupe, "dedupe")] {
            if of_set(task).next().is_none() {
                continue;
            }
            let _ = write!(
                page,
                "\n| {title} | cold s | warm s | peak MB | used MB | |\n\
                 | --- | ---: | ---: | ---: | ---: | --- |\n"
            );
            for row in of_set(task) {
                let seconds =
                    |it: Option<f64>| it.map_or("over".to_owned(), |it| format!("{it:.2}"));
                let _ = writeln!(
                    page,
                    "| {} | {} | {} | {:.0} | {:.1} | {} |",
                    row.tool,
                    seconds(row.cold_s),
                    seconds(row.warm_s),
                    row.peak_kib as f64 * 1.024e-3,
                    row.used_bytes as f64 / 1e6,
                    row.trouble.as_deref().unwrap_or("").replace('|', "/"),
                );
            }
        }
    }
    page.push_str("\n## Commands\n\n");
    let mut shown: Vec<&Row> = Vec::new();
    for row in rows {
        if shown.iter().all(|it| it.shown != row.shown) {
            shown.push(row);
        }
    }
    for row in shown {
        let _ = writeln!(page, "- {}: `{}`", row.tool, row.shown);
    }
    page
}

/// Draws the warm seconds of every row, logarithmically.
fn chart(rows: &[Row]) -> String {
    let most_s = rows.iter().filter_map(|row| row.warm_s).fold(1.0, f64::max);
    let width = |seconds: f64| {
        let share = (seconds.max(LEAST_S) / LEAST_S).ln() / (most_s / LEAST_S).ln();
        share * WIDTH
    };
    let mut bars = String::new();
    let mut y = BAR;
    let mut last = None;
    for row in rows {
        let head = (row.set, row.task == Task::Scan);
        if last.replace(head) != Some(head) {
            let what = if head.1 { "find only" } else { "dedupe" };
            y += BAR;
            let _ = writeln!(
                bars,
                "<text x=\"4\" y=\"{}\" font-weight=\"bold\">{}: {what}</text>",
                y + 11,
                head.0,
            );
            y += BAR;
        }
        let text_y = y + 11;
        let _ = writeln!(bars, "<text x=\"4\" y=\"{text_y}\">{}</text>", row.tool);
        let colour = match row.tool.starts_with("xsame") {
            true => "#2a7",
            false => "#79a",
        };
        let (length, says) = match row.warm_s {
            None => (WIDTH, "over the limit".to_owned()),
            Some(s) => (width(s), format!("{s:.2} s")),
        };
        let _ = writeln!(
            bars,
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.0}\" y=\"{text_y}\">{says}</text>",
            y + 1,
            BAR - 3,
            LEFT as f64 + length + 4.0,
        );
        y += BAR;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"4\" y=\"13\">seconds, everything in the page cache, logarithmic</text>\n\
         {bars}</svg>\n",
        y + BAR,
    )
}
