//! A kernel release such as `6.18.44`, as [`Release`].
//!
//! It does not know what changed in which release, and it drops vendor suffixes: a release
//! candidate counts as its release.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The three numbers of a kernel release, ordered as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// 6 in `6.18.44`.
    pub major: u32,
    /// 18 in `6.18.44`.
    pub minor: u32,
    /// 44 in `6.18.44`; 0 where the text has none.
    pub patch: u32,
}

/// Why a text is not a kernel release.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a kernel release: {text:?}")]
pub struct ParseReleaseError {
    /// The text as it was given.
    pub text: String,
}

impl Release {
    /// Returns the release `major.minor.patch`.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Release {
    type Err = ParseReleaseError;

    fn from_str(text: &str) -> Result<Self, ParseReleaseError> {
        parse(text).ok_or_else(|| ParseReleaseError {
            text: text.to_owned(),
        })
    }
}

/// Returns the release that a `uname -r` text begins with.
fn parse(text: &str) -> Option<Release> {
    let (major, rest) = number(text)?;
    let (minor, rest) = number(rest.strip_prefix('.')?)?;
    let (patch, rest) = match rest.strip_prefix('.') {
        Some(rest) => number(rest)?,
        None => (0, rest),
    };
    let is_suffix = rest.is_empty() || rest.starts_with(['-', '+', '.', '_', '~']);
    is_suffix.then_some(Release {
        major,
        minor,
        patch,
    })
}

/// Returns the decimal number that `text` begins with, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(digits_end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Release>() {
            Ok(release) => release.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn vendor_suffixes_are_dropped() {
        check("6.18.44-fc-v595", "6.18.44");
        check("3.13.10", "3.13.10");
        check("6.1.176", "6.1.176");
        check("3.10.0-1160.el7.x86_64", "3.10.0");
        check("6.12.5+", "6.12.5");
        check("2.6.32.71", "2.6.32");
    }

    #[test]
    fn a_missing_patch_level_is_zero() {
        check("4.5", "4.5.0");
        check("4.5-rc1", "4.5.0");
    }

    #[test]
    fn texts_that_begin_with_no_release_are_refused() {
        check("", "not a kernel release: \"\"");
        check("6", "not a kernel release: \"6\"");
        check("v6.1", "not a kernel release: \"v6.1\"");
        check("6.x", "not a kernel release: \"6.x\"");
        check("6.1.", "not a kernel release: \"6.1.\"");
        check("6.+1", "not a kernel release: \"6.+1\"");
        check("6.1x", "not a kernel release: \"6.1x\"");
        check("4294967296.1", "not a kernel release: \"4294967296.1\"");
    }

    #[test]
    fn text_round_trips() {
        fn law(major: u32, minor: u32, patch: u32) -> bool {
            let release = Release::new(major, minor, patch);
            release.to_string().parse() == Ok(release)
        }
        quickcheck::quickcheck(law as fn(u32, u32, u32) -> bool);
    }

    #[test]
    fn any_text_parses_or_is_refused_without_panic() {
        fn law(text: String) -> bool {
            text.parse::<Release>().is_ok() || text.parse::<Release>().is_err()
        }
        quickcheck::quickcheck(law as fn(String) -> bool);
    }

    #[test]
    fn order_is_numeric_from_major_to_patch() {
        fn law(a: (u32, u32, u32), b: (u32, u32, u32)) -> bool {
            Release::new(a.0, a.1, a.2).cmp(&Release::new(b.0, b.1, b.2)) == a.cmp(&b)
        }
        quickcheck::quickcheck(law as fn((u32, u32, u32), (u32, u32, u32)) -> bool);
        assert!(Release::new(4, 9, 337) < Release::new(4, 19, 0));
    }
}
