//! Printing to stdout when nobody may be listening any more.

use std::fmt;
use std::io::Write;

/// Prints a line. A reader who went away (`xsame run … | head`) is no error.
pub(crate) fn line(text: impl fmt::Display) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Prints text as it is.
pub(crate) fn text(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    );
}
