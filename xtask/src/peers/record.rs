//! What was measured, kept by set: [`Record`]. So a set can be measured anew without the others.
//!
//! It knows how a record is written and read, not what is in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::data;
use super::filesystem::Facts;
use super::measure::Row;
use super::tools;

/// The file that growth is kept in.
const GROWTH: &str = "growth.txt";

/// A set with what the tools did there.
pub(super) struct Record {
    pub(super) facts: Facts,
    pub(super) rows: Vec<Row>,
}

impl Record {
    /// Keeps it in a folder.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(super) fn keep(&self, folder: &Path) -> Result<(), String> {
        let path = path(folder, self.facts.name);
        let wrong = |error| format!("write {}: {error}", path.display());
        fs::create_dir_all(folder).map_err(wrong)?;
        let text = format!("{:#}\n", self.json());
        fs::write(&path, text).map_err(|error| format!("write {}: {error}", path.display()))
    }

    /// Returns the records that are kept in a folder, in the order of the sets.
    ///
    /// # Errors
    ///
    /// If one is not what [`Record::keep`] writes.
    pub(super) fn all(folder: &Path) -> Result<Vec<Record>, String> {
        let mut found = Vec::new();
        for set in data::SETS {
            let path = path(folder, set.name);
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            let record = Record::of(set, &value).ok_or_else(|| {
                let path = path.display();
                format!(
                    "{path} is no record of this program: remove it, and measure {}",
                    set.name
                )
            })?;
            found.push(record);
        }
        Ok(found)
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "tool": row.id,
                    "cold_s": row.cold_s,
                    "warm_s": row.warm_s,
                    "cpu_s": row.cpu_s,
                    "peak_kib": row.peak_kib,
                    "used_bytes": row.used_bytes,
                    "predicted_bytes": row.predicted_bytes,
                    "trouble": row.trouble,
                })
            })
            .collect();
        let facts = &self.facts;
        json!({
            "used_bytes": facts.used_bytes,
            "distinct_bytes": facts.distinct_bytes,
            "optimum_bytes": facts.optimum_bytes,
            "limit_s": facts.limit_s,
            "nr_runs": facts.nr_runs,
            "load": facts.load,
            "rows": rows,
        })
    }

    fn of(set: &data::Set, value: &Value) -> Option<Record> {
        let facts = Facts {
            name: set.name,
            is: set.is,
            used_bytes: value["used_bytes"].as_u64()?,
            distinct_bytes: value["distinct_bytes"].as_u64()?,
            optimum_bytes: value["optimum_bytes"].as_u64(),
            is_compressed: set.is_compressed(),
            limit_s: value["limit_s"].as_u64()?,
            nr_runs: value["nr_runs"].as_u64()? as usize,
            load: value["load"].as_f64()?,
        };
        let row = |value: &Value| {
            let id = value["tool"].as_str()?;
            let tool = tools::TOOLS.iter().find(|tool| tool.id == id)?;
            Some(Row {
                set: set.name,
                id: tool.id,
                tool: tool.name,
                shown: tool.shown(),
                task: tool.task,
                cold_s: value["cold_s"].as_f64(),
                warm_s: value["warm_s"].as_f64(),
                cpu_s: value["cpu_s"].as_f64(),
                peak_kib: value["peak_kib"].as_u64()?,
                used_bytes: value["used_bytes"].as_u64(),
                predicted_bytes: value["predicted_bytes"].as_u64(),
                trouble: value["trouble"].as_str().map(str::to_owned),
            })
        };
        let rows: Option<Vec<Row>> = value["rows"].as_array()?.iter().map(row).collect();
        Some(Record { facts, rows: rows? })
    }
}

/// Keeps what was said of growth in a folder.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn keep_growth(folder: &Path, said: &str) -> Result<(), String> {
    let path = folder.join(GROWTH);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, said));
    written.map_err(|error| format!("write {}: {error}", path.display()))
}

/// Returns what was said of growth, if that was kept.
pub(super) fn growth(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(GROWTH)).ok()
}

fn path(folder: &Path, set: &str) -> PathBuf {
    folder.join(format!("{set}.json"))
}
