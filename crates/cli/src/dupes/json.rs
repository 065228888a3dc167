//! The report as one JSON object; `docs/dupes.md` says what its fields mean.

use dupes::{Change, Group, Prediction, Removed, Stay};
use serde_json::{Value, json};
use volume::Volume;

use super::directories::Directory;
use super::report::{Done, Told};
use super::words::{name, reason};

/// The version of the object: a reader of this one reads later objects with the same number.
const VERSION: u32 = 1;

/// Returns the object.
pub(super) fn object(told: &Told, volume: &mut dyn Volume) -> Value {
    let work = volume.work();
    let report = &told.report;
    let directories = told.directories(volume);
    let is_done = told.done.is_some();
    let groups: Vec<Value> = told.groups.iter().map(|it| group(it, volume)).collect();
    let removed: Vec<Value> = told.removed.iter().map(|it| removed(it, volume)).collect();
    json!({
        "version": VERSION,
        "files": report.nr_files,
        "scanned_bytes": report.scanned_bytes,
        "read_bytes": report.read_bytes,
        "tree_items": work.nr_items,
        "opened_files": work.nr_opened,
        "extents": report.nr_extents,
        "is_remembered": told.is_remembered,
        "used_bytes": told.used_before(),
        "predicted": prediction(&told.prediction, told.is_at_most()),
        "groups": groups,
        "removed": removed,
        "directories": directories.iter().map(|it| directory(it, is_done)).collect::<Vec<_>>(),
        "stays": told.stays.iter().map(stay).collect::<Vec<_>>(),
        "done": told.done.as_ref().map(done),
        "troubles": told.troubles(volume),
    })
}

/// Returns the object of a run that was stopped before it had a plan.
pub(super) fn stopped(why: &str) -> Value {
    json!({"version": VERSION, "predicted": null, "done": null, "stopped": why})
}

fn prediction(prediction: &Prediction, is_at_most: bool) -> Value {
    json!({
        "freed_bytes": prediction.freed_bytes,
        "is_at_most": is_at_most,
        "written_bytes": prediction.written_bytes,
        "moved_bytes": prediction.moved_bytes,
        "extents_freed": prediction.nr_extents_freed,
        "extents_written": prediction.nr_extents_written,
        "file_extents_more": prediction.nr_file_extents_more,
        "requests": prediction.nr_requests,
    })
}

fn group(group: &Group, volume: &mut dyn Volume) -> Value {
    let places = group.places();
    let places = places.map(|(file, offset)| json!({"file": name(volume, file), "offset": offset}));
    json!({
        "bytes": group.range.len,
        "copies": group.nr_copies(),
        "is_rewritten": group.is_rewritten,
        "places": places.collect::<Vec<_>>(),
    })
}

fn removed(removed: &Removed, volume: &mut dyn Volume) -> Value {
    json!({
        "file": name(volume, removed.file),
        "bytes": removed.extent.disk_bytes,
        "references": removed.nr_references,
    })
}

fn directory(directory: &Directory, is_done: bool) -> Value {
    json!({
        "directory": directory.path,
        "predicted": change(directory.predicted),
        "real": is_done.then(|| change(directory.real)),
    })
}

fn change(change: Change) -> Value {
    json!({"freed_bytes": change.freed_bytes, "written_bytes": change.written_bytes})
}

fn stay(stay: &Stay) -> Value {
    json!({"why": reason(stay.reason), "bytes": stay.bytes, "extents": stay.nr_extents})
}

fn done(done: &Done) -> Value {
    json!({
        "freed_bytes": done.freed_bytes,
        "written_bytes": done.written_bytes,
        "moved_bytes": done.moved_bytes,
        "requests": done.nr_requests,
        "used_bytes_before": done.used_before,
        "used_bytes_after": done.used_after,
        "is_complete": done.stopped.is_none(),
    })
}
