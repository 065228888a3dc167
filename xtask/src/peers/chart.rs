//! The measurement as a bar chart: seconds on the left, what is used afterwards on the right.

use std::fmt::Write as _;

use super::filesystem::Facts;
use super::measure::{Row, seconds};
use super::record::Record;
use super::tools::Task;

/// Height of a row, pixels.
const ROW: f64 = 18.0;
/// Where the bars of times begin, and how long they are.
const TIME_X: f64 = 190.0;
const TIME_WIDTH: f64 = 330.0;
/// Where the bars of space begin, and how long one of everything is.
const SPACE_X: f64 = 640.0;
const SPACE_WIDTH: f64 = 200.0;
const WIDTH: f64 = 920.0;
/// The bars of times are logarithmic from here on, seconds.
const LEAST_S: f64 = 0.01;
const MOST_S: f64 = 1000.0;

const OWN: (&str, &str) = ("#147d64", "#8fd3c0");
const PEER: (&str, &str) = ("#5b6f86", "#c3cedb");

/// Returns the chart as SVG.
pub(super) fn svg(records: &[Record]) -> String {
    let mut body = String::new();
    let mut y = 46.0;
    for Record { facts, rows } in records {
        for (task, what) in [(Task::Scan, "find only"), (Task::Dedupe, "dedupe")] {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.task == task).collect();
            if rows.is_empty() {
                continue;
            }
            y += ROW * 0.6;
            let _ = writeln!(
                body,
                "<text x=\"6\" y=\"{:.1}\" font-weight=\"bold\">{}: {what}</text>",
                y + 13.0,
                facts.name,
            );
            y += ROW;
            let top = y;
            for row in rows {
                draw(&mut body, y, row, facts);
                y += ROW;
            }
            grid(&mut body, top, y);
            if task == Task::Dedupe {
                mark(&mut body, top, y, facts);
            }
        }
    }
    let height = y + ROW;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         width=\"{WIDTH}\" height=\"{height:.0}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" fill=\"#1d2733\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{TIME_X}\" y=\"18\">seconds, logarithmic: dark warm, light cold</text>\n\
         <text x=\"{SPACE_X}\" y=\"18\">data bytes used afterwards, of those before</text>\n\
         <text x=\"{SPACE_X}\" y=\"34\" fill=\"#b3261e\">line: each distinct block once</text>\n\
         {body}</svg>\n"
    )
}

fn draw(body: &mut String, y: f64, row: &Row, facts: &Facts) {
    let (dark, light) = match row.tool.starts_with("xsame") {
        true => OWN,
        false => PEER,
    };
    let text_y = y + 13.0;
    let _ = writeln!(body, "<text x=\"6\" y=\"{text_y:.1}\">{}</text>", row.tool);
    let mut end = TIME_X;
    for (value, colour, inset) in [(row.cold_s, light, 2.0), (row.warm_s, dark, 5.0)] {
        let length = length_of(value.unwrap_or(MOST_S));
        end = end.max(TIME_X + length);
        let _ = writeln!(
            body,
            "<rect x=\"{TIME_X}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" \
             fill=\"{colour}\"/>",
            y + inset,
            ROW - 2.0 * inset,
        );
    }
    let says = match (row.cold_s, row.warm_s) {
        (None, _) | (_, None) => "stopped".to_owned(),
        (cold, warm) => format!("{} / {}", seconds(warm), seconds(cold)),
    };
    let _ = writeln!(
        body,
        "<text x=\"{:.1}\" y=\"{text_y:.1}\" font-size=\"11\">{says}</text>",
        end + 5.0,
    );
    let Some(used_bytes) = row.used_bytes else {
        return;
    };
    let share = used_bytes as f64 / facts.used_bytes.max(1) as f64;
    let _ = writeln!(
        body,
        "<rect x=\"{SPACE_X}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{dark}\"/>\
         <text x=\"{:.1}\" y=\"{text_y:.1}\" font-size=\"11\">{:.0} %</text>",
        y + 3.0,
        share.min(1.1) * SPACE_WIDTH,
        ROW - 6.0,
        SPACE_X + share.min(1.1) * SPACE_WIDTH + 5.0,
        share * 100.0,
    );
}

/// Draws a line for each power of ten.
fn grid(body: &mut String, top: f64, bottom: f64) {
    let mut value = LEAST_S;
    while value < MOST_S * 1.01 {
        let x = TIME_X + length_of(value);
        let _ = writeln!(
            body,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" \
             stroke=\"#9aa7b5\" stroke-width=\"0.5\" stroke-dasharray=\"2 3\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"9\" text-anchor=\"middle\" \
             fill=\"#6b7885\">{value}</text>",
            top - 3.0,
        );
        value *= 10.0;
    }
}

/// Draws where a filesystem would be that has each distinct block once.
fn mark(body: &mut String, top: f64, bottom: f64, facts: &Facts) {
    if facts.is_compressed {
        return;
    }
    let share = facts.distinct_bytes as f64 / facts.used_bytes.max(1) as f64;
    let x = SPACE_X + share * SPACE_WIDTH;
    let _ = writeln!(
        body,
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" \
         stroke=\"#b3261e\" stroke-width=\"1.5\"/>",
    );
}

fn length_of(value_s: f64) -> f64 {
    let value_s = value_s.clamp(LEAST_S, MOST_S);
    (value_s / LEAST_S).ln() / (MOST_S / LEAST_S).ln() * TIME_WIDTH
}
