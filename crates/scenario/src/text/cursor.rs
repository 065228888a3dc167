//! The words of one line, with their places: [`Cursor`].
//!
//! It knows blanks and nothing else of the language.

use std::borrow::Cow;

use super::error::{Found, ParseError};

/// A reader of one line, word by word.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    /// Line number for errors, from 1.
    line: usize,
    /// Byte at which reading goes on.
    at: usize,
}

/// A run of characters between blanks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// Byte in the line at which it starts.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// Returns a cursor before the first word of a line.
    pub(super) fn new(line: usize, text: &'a str) -> Cursor<'a> {
        Cursor { text, line, at: 0 }
    }

    /// Returns the next word without passing it.
    pub(super) fn peek(&self) -> Option<Word<'a>> {
        let rest = &self.text[self.at..];
        let word = rest.trim_start_matches(is_blank);
        let at = self.at + (rest.len() - word.len());
        let len = word.find(is_blank).unwrap_or(word.len());
        (len != 0).then(|| Word {
            text: &word[..len],
            at,
        })
    }

    /// Returns the next word and passes it.
    pub(super) fn next(&mut self) -> Option<Word<'a>> {
        let word = self.peek()?;
        self.pass(word);
        Some(word)
    }

    /// Goes on behind a word that was peeked at.
    pub(super) fn pass(&mut self, word: Word<'a>) {
        self.at = word.at + word.text.len();
    }

    /// Returns the next word, which has to be there.
    pub(super) fn expect(&mut self, expected: &'static str) -> Result<Word<'a>, ParseError> {
        self.next().ok_or_else(|| self.missing(expected))
    }

    /// Returns what `read` makes of the next word.
    pub(super) fn read<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ParseError> {
        let word = self.expect(expected)?;
        read(word.text).ok_or_else(|| self.wrong(word, expected))
    }

    /// Passes a word that has to be exactly this.
    pub(super) fn literal(
        &mut self,
        literal: &str,
        expected: &'static str,
    ) -> Result<(), ParseError> {
        self.read(expected, |word| (word == literal).then_some(()))
    }

    /// Returns whether the last word of the line is `flag`; any other word is an error.
    pub(super) fn flag(&mut self, flag: &str) -> Result<bool, ParseError> {
        match self.next() {
            None => Ok(false),
            Some(word) if word.text == flag => Ok(true),
            Some(word) => Err(self.wrong(word, format!("\"{flag}\" or the end of the line"))),
        }
    }

    /// Returns what is left of the line behind the blank that ends the last word.
    pub(super) fn rest(&self) -> &'a str {
        let rest = &self.text[self.at..];
        rest.strip_prefix(is_blank).unwrap_or(rest)
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Result<(), ParseError> {
        match self.peek() {
            None => Ok(()),
            Some(word) => Err(self.wrong(word, "the end of the line")),
        }
    }

    /// Returns the error for a word that is not what was expected.
    pub(super) fn wrong(
        &self,
        word: Word<'_>,
        expected: impl Into<Cow<'static, str>>,
    ) -> ParseError {
        self.error_at(word.at, expected, Found::word(word.text))
    }

    /// Returns the error for a line that ends too early.
    pub(super) fn missing(&self, expected: impl Into<Cow<'static, str>>) -> ParseError {
        self.error_at(
            self.text.trim_end_matches(is_blank).len(),
            expected,
            Found::EndOfLine,
        )
    }

    /// Returns an error at a byte of the line.
    pub(super) fn error_at(
        &self,
        at: usize,
        expected: impl Into<Cow<'static, str>>,
        found: Found,
    ) -> ParseError {
        // A byte inside a character cannot be counted to; the line's end stands for it.
        let before = self.text.get(..at).unwrap_or(self.text);
        ParseError {
            line: self.line,
            column: before.chars().count() + 1,
            expected: expected.into(),
            found,
        }
    }
}

/// Returns whether a character separates words.
fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}
