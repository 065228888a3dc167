//! `xsame same --compat`: the same call with the arguments, output and exit codes of duperemove's
//! `btrfs-extent-same`.
//!
//! One thing is not its: numbers that are no plain bytes are refused. It takes `4k` for 4, `0x1000`
//! for 0 and `-1` for the largest number, and shares what nobody meant.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use miette::{Report, miette};
use uapi::Errno;
use uapi::dedupe::{self, SAME};

use crate::arguments::SameArguments;
use crate::exit::Exit;
use crate::print;
use crate::same::{Place, call};

/// What it says to wrong use, with exit code 1.
const USAGE: &str = "Usage: btrfs-extent-same len file1 loff1 file2 loff2";

/// Runs the subcommand.
pub(crate) fn run(arguments: &SameArguments) -> Result<Exit, Report> {
    let Some((len, places)) = parse(&arguments.words) else {
        print::line(USAGE);
        return Ok(Exit::Found);
    };
    let [source, targets @ ..] = places.as_slice() else {
        print::line(USAGE);
        return Ok(Exit::Found);
    };
    print::line(format!("Deduping {} total files", places.len()));
    let mut files = Vec::with_capacity(places.len());
    for place in &places {
        let is_target = !files.is_empty();
        let opened = File::options().read(true).write(is_target).open(place.path);
        match opened {
            Ok(file) => files.push(file),
            Err(error) => return Ok(cannot_open(place.path, &error)),
        }
        let path = place.path.display();
        print::line(format!("({}, {len}): {path}", place.offset));
    }
    let reply = match call(source.offset, len, &files[0], targets, &files[1..]) {
        Ok(reply) => reply,
        Err(errno) => {
            let text = io::Error::from_raw_os_error(errno.raw());
            let text = message(&text);
            eprintln!("btrfs_same returned error: ({}) {text}", errno.raw());
            return Ok(Exit::Negated(errno));
        }
    };
    let is_same = print_reply(&reply, targets.len())?;
    Ok(match is_same || !arguments.strict {
        true => Exit::Fine,
        false => Exit::Found,
    })
}

/// Prints what became of each target; returns whether all are the same now.
fn print_reply(reply: &[u8], nr_targets: usize) -> Result<bool, Report> {
    let elements: Result<Vec<_>, _> = (0..nr_targets)
        .map(|element_idx| dedupe::element(reply, element_idx))
        .collect();
    let elements = elements.map_err(|error| miette!("{error}"))?;
    let of_same = elements.iter().filter(|it| it.status.get() == SAME);
    let nr_same = of_same.count();
    print::line(format!("{nr_targets} files asked to be deduped"));
    let mut total = 0_u64;
    for (element_idx, element) in elements.iter().enumerate() {
        let (status, bytes) = (element.status.get(), element.bytes_deduped.get());
        print::line(format!(
            "i: {element_idx}, status: {status}, bytes_deduped: {bytes}"
        ));
        total = total.saturating_add(bytes);
    }
    print::line(format!("{total} total bytes deduped in this operation"));
    Ok(nr_same == nr_targets)
}

/// Returns length and places; `None` if the words are not those of such a call.
fn parse(words: &[OsString]) -> Option<(u64, Vec<Place<'_>>)> {
    let [len, places @ ..] = words else {
        return None;
    };
    let (pairs, rest) = places.as_chunks::<2>();
    let fits = rest.is_empty() && 2 <= pairs.len() && pairs.len() <= usize::from(u16::MAX);
    if !fits {
        return None;
    }
    let places: Option<Vec<Place<'_>>> = pairs.iter().map(place).collect();
    Some((number(len)?, places?))
}

fn place([file, offset]: &[OsString; 2]) -> Option<Place<'_>> {
    Some(Place {
        path: Path::new(file),
        offset: number(offset)?,
    })
}

fn number(word: &OsStr) -> Option<u64> {
    word.to_str()?.parse().ok()
}

fn cannot_open(path: &Path, error: &io::Error) -> Exit {
    let raw = error.raw_os_error().unwrap_or(0);
    let (path, text) = (path.display(), message(error));
    eprintln!("Could not open file {path}: ({raw}) {text}");
    Exit::Negated(Errno::new(raw).unwrap_or(Errno::EIO))
}

/// Returns the words of `strerror` alone.
fn message(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}
