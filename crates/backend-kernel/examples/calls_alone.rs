//! Makes the calls alone that share the set *halves* of `cargo xtask peers`, as fast as can be: it
//! knows beforehand what is equal, so nothing is looked at, hashed, planned or verified. What it
//! takes is what the kernel takes to compare and to share, which no tool can be faster than.
//!
//! `calls_alone FOLDER`: files by name, four in turn have the same contents.

use std::path::PathBuf;
use std::process::ExitCode;

use backend_kernel::volume::{Options, Scan, open};
use volume::{DedupeRequest, DedupeTarget, FileId, FileRange, Page, Position};

/// Files with the same contents.
const NR_EQUAL: usize = 4;
/// Bytes of each file.
const LEN: u64 = 1 << 20;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("calls_alone: name the folder with the set");
        return ExitCode::from(2);
    };
    match share(PathBuf::from(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calls_alone: {error}");
            ExitCode::from(2)
        }
    }
}

fn share(folder: PathBuf) -> Result<(), String> {
    let opened = open(&Options {
        paths: &[folder],
        is_recursive: false,
        is_excluded: None,
        min_bytes: LEN,
        scan: Scan::Read,
        nr_io_threads: std::thread::available_parallelism().map_or(1, usize::from),
        on_found: &|| {},
    });
    let mut volume = opened.map_err(|it| it.to_string())?.volume.into_volume();
    let mut files: Vec<(Option<String>, FileId)> = Vec::new();
    let mut from = Some(Position::default());
    while let Some(position) = from {
        let mut page = Page::default();
        let next = volume.next_page(position, 0, &mut page);
        from = next.map_err(|error| error.to_string())?;
        let ids = page.iter().map(|(file, _)| file.id);
        files.extend(ids.map(|id| (volume.path(id), id)));
    }
    files.sort_unstable();
    let targets: Vec<Vec<DedupeTarget>> = files
        .chunks(NR_EQUAL)
        .map(|equals| {
            let others = equals.iter().skip(1);
            let target = |(_, file): &(_, FileId)| DedupeTarget {
                file: *file,
                offset: 0,
            };
            others.map(target).collect()
        })
        .collect();
    let requests: Vec<DedupeRequest<'_>> = files
        .chunks(NR_EQUAL)
        .zip(&targets)
        .map(|(equals, targets)| DedupeRequest {
            source: FileRange {
                file: equals[0].1,
                offset: 0,
                len: LEN,
            },
            targets,
        })
        .collect();
    // As many as files may be open at once.
    for requests in requests.chunks(64) {
        let mut results = Vec::new();
        let made = volume.dedupe_all(requests, &mut results);
        made.map_err(|error| error.to_string())?;
        for result in results {
            result.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
