//! Where a text stops being in the language: [`ParseError`].
//!
//! It does not know files: whoever read the text adds the path.

use std::borrow::Cow;
use std::fmt;

/// How many characters of an offending word an error shows.
const FOUND_LEN_MAX: usize = 40;

/// The first place at which a text is not in the language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What would have been right, as a noun phrase.
    pub expected: Cow<'static, str>,
    /// What stands there.
    pub found: Found,
}

/// What stands where something else was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A word, cut if it is long.
    Word(String),
    /// Nothing more on the line.
    EndOfLine,
    /// Nothing more in the text.
    EndOfText,
    /// Too much of something, or something said twice; described in words.
    Excess(Cow<'static, str>),
}

impl Found {
    /// Returns a word as an error shows it.
    pub(super) fn word(text: &str) -> Found {
        let mut shown: String = text.chars().take(FOUND_LEN_MAX).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        Found::Word(shown)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Word(word) => write!(f, "{word:?}"),
            Found::EndOfLine => f.write_str("the end of the line"),
            Found::EndOfText => f.write_str("the end of the text"),
            Found::Excess(what) => f.write_str(what),
        }
    }
}
