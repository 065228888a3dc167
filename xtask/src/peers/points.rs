//! What xsame claims beside its peers: each [`Point`] is compared with what was measured in the
//! same run.
//!
//! A point is looked at as far as its set and its tools were measured.

use super::filesystem::Facts;
use super::measure::Row;
use super::record::Record;
use super::tools::{CALLS_ALONE, Task};

/// A claim with what was measured.
pub(super) struct Point {
    /// Whether it holds.
    pub(super) holds: bool,
    /// The claim, and the numbers.
    pub(super) says: String,
}

/// How many times faster a scan is than one of duperemove of the same granularity.
const SCAN_TIMES: f64 = 25.0;
/// How many times faster whole extents that are cut differently are deduped.
const HALVES_TIMES: f64 = 5.0;
/// How much more than the distinct blocks is used at most after `--rewrite=max`.
const MAX_OVER_DISTINCT: f64 = 1.05;

/// Cold or warm seconds of a row.
type Seconds = (&'static str, fn(&Row) -> Option<f64>);

const BOTH: [Seconds; 2] = [("cold", |row| row.cold_s), ("warm", |row| row.warm_s)];

impl Point {
    /// Returns it as a line.
    pub(super) fn line(&self) -> String {
        let verdict = if self.holds { "holds" } else { "DOES NOT HOLD" };
        format!("{verdict}: {}", self.says)
    }
}

/// Returns every point that can be looked at.
pub(super) fn all(record: &Record) -> Vec<Point> {
    let mut points = Vec::new();
    let rows: Vec<&Row> = record.rows.iter().collect();
    space(&record.facts, &rows, &mut points);
    time(&record.facts, &rows, &mut points);
    points
}

fn row<'a>(rows: &[&'a Row], id: &str) -> Option<&'a Row> {
    rows.iter().copied().find(|row| row.id == id)
}

fn is_peer(row: &Row) -> bool {
    !row.id.starts_with("xsame") && row.id != CALLS_ALONE
}

/// What is used afterwards.
fn space(facts: &Facts, rows: &[&Row], points: &mut Vec<Point>) {
    let set = facts.name;
    for row in rows.iter().filter(|row| row.predicted_bytes.is_some()) {
        let is_well = row.trouble.is_none() && row.used_bytes == row.predicted_bytes;
        points.push(Point {
            holds: is_well,
            says: format!(
                "{set}: {} uses what it predicts: {} of {}, every file as it was, the filesystem \
                 whole",
                row.tool,
                bytes(row.used_bytes),
                bytes(row.predicted_bytes),
            ),
        });
    }
    if let Some(row) = row(rows, "xsame-max")
        && !facts.is_compressed
    {
        let over = row.used_bytes.unwrap_or(u64::MAX) as f64 / facts.distinct_bytes as f64;
        points.push(Point {
            holds: over <= MAX_OVER_DISTINCT,
            says: format!("{set}: --rewrite=max uses {over:.4} times the distinct blocks"),
        });
    }
    let Some(never) = row(rows, "xsame-never") else {
        return;
    };
    let own = never.used_bytes.unwrap_or(u64::MAX);
    let peers = rows.iter().filter(|row| is_peer(row));
    let best = peers
        .filter_map(|row| Some((row.used_bytes?, row.tool)))
        .min();
    if let Some((best, tool)) = best {
        points.push(Point {
            holds: own <= best,
            says: format!(
                "{set}: --rewrite=never leaves no more than the best peer, {tool}: {} and {}",
                bytes(never.used_bytes),
                bytes(Some(best)),
            ),
        });
    }
    if let Some(optimum) = facts.optimum_bytes {
        points.push(Point {
            holds: own == optimum,
            says: format!(
                "{set}: --rewrite=never leaves the optimum of whole extents: {} and {}",
                bytes(never.used_bytes),
                bytes(Some(optimum)),
            ),
        });
    }
}

/// How long it takes.
fn time(facts: &Facts, rows: &[&Row], points: &mut Vec<Point>) {
    let set = facts.name;
    let mut faster = |own: &Row, peer: &Row, times: f64| {
        for (cache, seconds) in BOTH {
            // The calls alone do not read ahead, as who makes them would have to.
            if own.id == CALLS_ALONE && cache == "cold" {
                continue;
            }
            let Some(own_s) = seconds(own) else { continue };
            // One that was stopped took longer than that.
            let (is_over, peer_s) = match seconds(peer) {
                Some(peer_s) => ("", peer_s),
                None => ("more than ", facts.limit_s as f64),
            };
            let claim = match times {
                1.0 => format!("{} is faster than {}", own.tool, peer.tool),
                _ => format!("{}, {times} times as fast as {}", own.tool, peer.tool),
            };
            points.push(Point {
                holds: times <= peer_s / own_s,
                says: format!(
                    "{set}: {claim}, {cache}: {is_over}{:.1} times, {own_s:.2} s and {peer_s:.2} s{}",
                    peer_s / own_s,
                    processors(own, peer),
                ),
            });
        }
    };
    if ["blocks", "small"].contains(&set)
        && let (Some(own), Some(peer)) = (row(rows, "xsame-scan"), row(rows, "duperemove-scan-4k"))
    {
        faster(own, peer, SCAN_TIMES);
    }
    if ["small", "halves", "snapshots"].contains(&set)
        && let Some(own) = row(rows, "xsame-never")
    {
        let frees_as_much = |row: &&&Row| {
            let is_one = is_peer(row) && row.task == Task::Dedupe;
            is_one
                && row
                    .used_bytes
                    .is_some_and(|used| Some(used) <= own.used_bytes)
        };
        for peer in rows.iter().filter(frees_as_much) {
            faster(own, peer, 1.0);
        }
        if set == "halves"
            && let Some(peer) = row(rows, "duperemove")
        {
            faster(own, peer, HALVES_TIMES);
            if let Some(alone) = row(rows, CALLS_ALONE) {
                faster(alone, peer, HALVES_TIMES);
            }
        }
    }
    if set == "blocks"
        && let (Some(own), Some(peer)) =
            (row(rows, "xsame-max"), row(rows, "duperemove-partial-128k"))
    {
        faster(own, peer, 1.0);
    }
}

/// Returns how the seconds of processors compare, which depend less on what else a machine does.
fn processors(own: &Row, peer: &Row) -> String {
    match (own.cpu_s, peer.cpu_s) {
        (Some(own), Some(peer)) => {
            let times = peer / own.max(0.01);
            format!(" ({times:.1} times, {own:.2} s and {peer:.2} s of processors, warm)")
        }
        _ => String::new(),
    }
}

fn bytes(it: Option<u64>) -> String {
    it.map_or("unknown".to_owned(), |bytes| format!("{bytes} bytes"))
}
