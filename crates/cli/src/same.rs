//! `xsame same`: one extent-same call on real files, as the test program of the first patch
//! series made it.
//!
//! A destination that differs is an answer, not a failure: scripts that start the wrapper read what
//! it prints, and stop at an exit code that is not 0. `--strict` is for those that ask.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use backend_kernel::same;
use miette::{Report, miette};
use serde::Serialize;
use uapi::dedupe::{self, DIFFERS, RequestBuilder, SAME};
use uapi::{Errno, Release};

use crate::arguments::{SameArguments, parse_size};
use crate::exit::Exit;
use crate::{print, same_compat};

/// The first release whose btrfs knows the call.
const FIRST_RELEASE: Release = Release::new(3, 12, 0);

/// A place in a file.
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) offset: u64,
}

/// What became of one destination.
#[derive(Debug, Serialize)]
struct Answer {
    file: String,
    offset: u64,
    status: String,
    bytes_deduped: u64,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &SameArguments) -> Result<Exit, Report> {
    if arguments.compat {
        return same_compat::run(arguments);
    }
    let [len, places @ ..] = arguments.words.as_slice() else {
        return Err(wrong_words("no length given"));
    };
    let len = parse_size(&len.to_string_lossy()).map_err(|why| miette!("the length: {why}"))?;
    let places = places_of(places)?;
    let [source, targets @ ..] = places.as_slice() else {
        return Err(wrong_words("no files given"));
    };
    let source_file = File::open(source.path).map_err(|error| cannot_open(source.path, &error))?;
    let mut files = Vec::with_capacity(targets.len());
    for target in targets {
        let file = open_target(target.path).map_err(|error| cannot_open(target.path, &error))?;
        files.push(file);
    }
    let bytes = call(source.offset, len, &source_file, targets, &files)
        .map_err(|errno| refusal(errno, source.path, len))?;
    let answers = answers(targets, &bytes)?;
    print_answers(&answers, source, len, arguments.json);
    let is_same = answers.iter().all(|answer| answer.status == "same");
    Ok(match is_same || !arguments.strict {
        true => Exit::Fine,
        false => Exit::Found,
    })
}

/// Makes the call; returns the bytes of its reply.
pub(crate) fn call(
    offset: u64,
    len: u64,
    source: &File,
    targets: &[Place<'_>],
    files: &[File],
) -> Result<Vec<u8>, Errno> {
    let mut request = RequestBuilder::new(offset, len);
    for (target, file) in targets.iter().zip(files) {
        request = request.target(i64::from(file.as_raw_fd()), target.offset);
    }
    let mut bytes = request.build();
    same::dedupe(source, &mut bytes)?;
    Ok(bytes)
}

fn wrong_words(what: &str) -> Report {
    miette!(help = "write LEN FILE1 OFFSET1 FILE2 OFFSET2 ...", "{what}")
}

fn places_of(words: &[OsString]) -> Result<Vec<Place<'_>>, Report> {
    let (pairs, rest) = words.as_chunks::<2>();
    if let [file] = rest {
        let file = Path::new(file).display();
        return Err(wrong_words(&format!("{file} has no offset behind it")));
    }
    if pairs.len() < 2 {
        return Err(wrong_words(
            "a source FILE OFFSET and a destination FILE OFFSET are the least",
        ));
    }
    if usize::from(u16::MAX) < pairs.len() - 1 {
        return Err(miette!("one call takes at most {} destinations", u16::MAX));
    }
    pairs
        .iter()
        .map(|[file, offset]| place(file, offset))
        .collect()
}

fn place<'a>(file: &'a OsStr, offset: &OsStr) -> Result<Place<'a>, Report> {
    let path = Path::new(file);
    let offset = parse_size(&offset.to_string_lossy())
        .map_err(|why| miette!("the offset behind {}: {why}", path.display()))?;
    Ok(Place { path, offset })
}

fn cannot_open(path: &Path, error: &io::Error) -> Report {
    miette!(
        help = "name files that exist and may be read (sources) or written (destinations)",
        "cannot open {}: {error}",
        path.display()
    )
}

/// Opens a destination for writing, or for reading if that is all that is allowed: the kernel
/// says what it thinks of that.
fn open_target(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .or_else(|_| File::open(path))
}

/// Returns what to say when the call as a whole was refused.
fn refusal(errno: Errno, source: &Path, len: u64) -> Report {
    let source = source.display();
    let release = same::kernel_release();
    let kernel = release.map_or_else(|| "this kernel".to_owned(), |it| format!("kernel {it}"));
    let help = match errno {
        Errno::ENOTTY if release.is_some_and(|release| release < FIRST_RELEASE) => {
            format!("{kernel} has no extent-same call: it came with 3.12")
        }
        Errno::ENOTTY => "the source is on a filesystem without the call: use btrfs or xfs".into(),
        Errno::EOPNOTSUPP => {
            "the filesystem of the source cannot share blocks: use btrfs, or xfs with reflink"
                .into()
        }
        Errno::EINVAL => format!(
            "the source must be a regular file and the range within it: {len} bytes from its \
             offset on"
        ),
        Errno::EISDIR => "the source is a directory: name a regular file".into(),
        Errno::ENOMEM => "fewer destinations: a request is at most a page long".into(),
        _ => format!("{kernel} refused the whole call"),
    };
    miette!(help = help, "{source}: {errno}")
}

fn answers(targets: &[Place<'_>], bytes: &[u8]) -> Result<Vec<Answer>, Report> {
    let mut answers = Vec::with_capacity(targets.len());
    for (element_idx, target) in targets.iter().enumerate() {
        let element = dedupe::element(bytes, element_idx).map_err(|error| miette!("{error}"))?;
        let status = element.status.get();
        let status = match Errno::from_status(status) {
            Some(errno) => errno.to_string(),
            None if status == SAME => "same".to_owned(),
            None if status == DIFFERS => "differs".to_owned(),
            None => format!("status {status}"),
        };
        answers.push(Answer {
            file: target.path.display().to_string(),
            offset: target.offset,
            status,
            bytes_deduped: element.bytes_deduped.get(),
        });
    }
    Ok(answers)
}

fn print_answers(answers: &[Answer], source: &Place<'_>, len: u64, is_json: bool) {
    if is_json {
        let object = serde_json::json!({
            "source": source.path.display().to_string(),
            "offset": source.offset,
            "len": len,
            "targets": answers,
        });
        print::line(object);
        return;
    }
    for Answer {
        file,
        offset,
        status,
        bytes_deduped,
    } in answers
    {
        print::line(format!(
            "{file} {offset}: {status}, {bytes_deduped} bytes deduped"
        ));
    }
}
