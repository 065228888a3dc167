//! What the oracle answers, one fact a test, as measured on 6.18.

mod dedupe;
mod files;
mod sharing;

use data::Content;
use reference::Reference;
use scenario::{Fd, Name, Op, Outcome};

/// Returns a name; the tests write them down, so they are right.
fn name(text: &str) -> Name {
    Name::new(text).expect("a name of a test")
}

/// Returns a read-write descriptor on a name.
fn fd(text: &str) -> Fd {
    Fd::file(name(text))
}

/// Carries out an operation that has to succeed.
#[track_caller]
fn does(fs: &mut Reference, op: Op) {
    assert_eq!(fs.act(&op), Outcome::Done, "{op:?}");
}

/// Creates a file with these bytes.
#[track_caller]
fn file(fs: &mut Reference, text: &str, content: Content) {
    does(
        fs,
        Op::File {
            name: name(text),
            is_nocow: false,
        },
    );
    write(fs, text, 0, content);
}

/// Writes bytes.
#[track_caller]
fn write(fs: &mut Reference, text: &str, offset: u64, content: Content) {
    does(
        fs,
        Op::Write {
            name: name(text),
            offset,
            content,
        },
    );
}
