//! What has to hold after a run, whatever the tree.

use std::collections::BTreeMap;

use data::{Content, Digest};
use dupes::{InMemory, Options, Prediction, Report, Summary, Unwatched};
use fs_state::{BLOCK, FileExtent};
use model::ModelVolume;
use volume::{FileId, Volume};

/// Returns the contents of every file.
pub(crate) fn contents(volume: &mut ModelVolume) -> BTreeMap<FileId, Digest> {
    let files = volume.files();
    let fs = volume.machine().fs();
    files
        .into_iter()
        .map(|(file, id)| (file, fs.content(id).digest()))
        .collect()
}

/// Returns how many file extent items there are.
pub(crate) fn nr_items(volume: &mut ModelVolume) -> i64 {
    let files = volume.files();
    let fs = volume.machine().fs();
    let of_file = |id| {
        let items = fs.items(id);
        items
            .filter(|(_, item)| !matches!(item, FileExtent::Inline(_)))
            .count() as i64
    };
    files.into_values().map(of_file).sum()
}

/// Returns whether the last block of a file has anything in storage behind the end of the file.
/// Its checksum is of that, too; once it is written anew there are zeros, and what is equal to it
/// then is found by the next run.
fn has_cut_tail(volume: &mut ModelVolume) -> bool {
    let files = volume.files();
    let fs = volume.machine().fs();
    files.into_values().any(|id| {
        let size = fs.inode(id).size();
        fs.items(id).any(|(key, item)| {
            let slice = item.slice().filter(|_| key < size && size < item.end(key));
            slice.is_some_and(|slice| {
                let content = fs.extents().get(slice.extent).content();
                let behind = slice.offset + (size - key);
                let end = behind.next_multiple_of(BLOCK);
                content.slice(behind..end).digest() != Content::zeros(end - behind).digest()
            })
        })
    })
}

/// Runs the tool.
pub(crate) fn run(volume: &mut dyn Volume, options: &Options) -> Summary {
    dupes::run(volume, options, &mut InMemory, &mut Unwatched).expect("the run begins")
}

/// Returns what the tool says that would come of a run.
pub(crate) fn predict(volume: &mut dyn Volume, options: &Options) -> Prediction {
    let mut report = Report::default();
    let (scratch, watch) = (&mut InMemory, &mut Unwatched);
    let found = dupes::find(volume, options, scratch, watch, &mut report);
    let plan = found
        .expect("the model can be walked")
        .plan(volume, options, watch, &mut report);
    plan.expect("there is a plan").prediction
}

/// Runs the tool on a tree that nobody else touches and checks everything that has to hold;
/// returns the used bytes afterwards.
#[track_caller]
pub(crate) fn check(volume: &mut ModelVolume, options: &Options) -> u64 {
    let before = contents(volume);
    let items_before = nr_items(volume);
    let has_cut_tail = has_cut_tail(volume);
    let summary = run(volume, options);
    assert!(summary.stopped.is_none(), "{:?}", summary.stopped);
    assert!(
        summary.report.errors.is_empty(),
        "{:?}",
        summary.report.errors
    );
    let [round] = &summary.rounds[..] else {
        panic!("checksums of 32 bits were enough: {:?}", summary.rounds);
    };
    assert_eq!(round.done.failures, []);
    assert_eq!(contents(volume), before, "contents change");
    assert_eq!(volume.machine().fs().fsck(), []);
    let (prediction, done) = (&round.prediction, &round.done);
    assert_eq!(done.freed_bytes, prediction.freed_bytes);
    assert_eq!(done.written_bytes, prediction.written_bytes);
    assert_eq!(done.moved_bytes, prediction.moved_bytes);
    assert_eq!(done.nr_requests, prediction.nr_requests);
    let freed = summary.used_before.cast_signed() - summary.used_after.cast_signed();
    assert_eq!(
        freed,
        prediction.net_bytes(),
        "what is freed is what was predicted"
    );
    let nr_more = nr_items(volume) - items_before;
    assert_eq!(
        nr_more, prediction.nr_file_extents_more,
        "file extent items"
    );

    let again = run(volume, options);
    let prediction = again.rounds[0].prediction;
    if !has_cut_tail {
        assert_eq!(
            prediction.nr_requests, 0,
            "a second run finds nothing: {prediction:?}"
        );
        assert_eq!(again.used_after, summary.used_after);
    }
    summary.used_after
}
