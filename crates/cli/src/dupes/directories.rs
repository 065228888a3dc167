//! What changes by directory: [`Directory`].
//!
//! Each extent that goes counts for the first file that refers to it, each one that is written for
//! the file that it is copied from; so the sums are those of the whole.

use std::collections::BTreeMap;
use std::path::Path;

use dupes::{Change, Changes};
use volume::{FileId, Volume};

/// What changes in a directory, without those in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) path: String,
    /// What was expected.
    pub(crate) predicted: Change,
    /// What came of it; nothing before anything is done.
    pub(crate) real: Change,
}

/// Returns every directory in which something changes, the largest change first.
pub(crate) fn directories(
    volume: &mut dyn Volume,
    predicted: &Changes,
    real: Option<&Changes>,
) -> Vec<Directory> {
    // A path may have to be asked for: once for each file.
    let mut by_file: BTreeMap<FileId, (Change, Change)> = BTreeMap::new();
    for (file, change) in predicted.iter() {
        by_file.entry(file).or_default().0 = change;
    }
    for (file, change) in real.into_iter().flat_map(Changes::iter) {
        by_file.entry(file).or_default().1 = change;
    }
    let mut found: BTreeMap<String, Directory> = BTreeMap::new();
    for (file, (predicted, real)) in by_file {
        let path = volume.path(file).unwrap_or_default();
        let parent = Path::new(&path).parent();
        let parent = parent.map_or_else(String::new, |parent| parent.display().to_string());
        let directory = found.entry(parent).or_default();
        add(&mut directory.predicted, predicted);
        add(&mut directory.real, real);
    }
    let with_path = |(path, directory): (String, Directory)| Directory {
        path: match path.as_str() {
            "" => ".".to_owned(),
            _ => path,
        },
        ..directory
    };
    let mut found: Vec<Directory> = found.into_iter().map(with_path).collect();
    found.sort_by_key(|it| std::cmp::Reverse((it.predicted.net_bytes(), it.real.net_bytes())));
    found
}

fn add(sum: &mut Change, change: Change) {
    sum.freed_bytes += change.freed_bytes;
    sum.written_bytes += change.written_bytes;
}
