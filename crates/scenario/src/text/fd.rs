//! Descriptors as text: `A`, `A:ro,second`, `%closed`.

use std::fmt;

use super::cursor::{Cursor, Word};
use super::error::{Found, ParseError};
use crate::{Access, Fd, Mount, Name, Target};

/// The descriptors that are not on a file of the run.
const SPECIALS: [(&str, Target); 8] = [
    ("%closed", Target::Closed),
    ("%minus-one", Target::MinusOne),
    ("%null", Target::Null),
    ("%pipe-read", Target::PipeRead),
    ("%pipe-write", Target::PipeWrite),
    ("%socket", Target::Socket),
    ("%tmpfs", Target::Tmpfs),
    ("%proc", Target::Proc),
];

/// What a descriptor has to be, for errors.
const EXPECTED: &str = "a file (\"A\", \"A:ro\", ...) or one of %closed, %minus-one, %null, \
                        %pipe-read, %pipe-write, %socket, %tmpfs, %proc";

/// What may stand behind the colon, for errors.
const MODIFIERS: &str = "one of ro, wo, append, opath, second, romount, high, each kind once";

impl fmt::Display for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            // `x5` behind an element means "five times": as a file it is written `./x5`.
            Target::Name(name) if repeat_count(name.as_str()).is_some() => write!(f, "./{name}")?,
            Target::Name(name) => write!(f, "{name}")?,
            special => {
                let word = SPECIALS.iter().find(|(_, target)| target == special);
                f.write_str(word.map_or("%closed", |(word, _)| word))?;
            }
        }
        let access = match self.access {
            Access::ReadWrite => "",
            Access::ReadOnly => "ro",
            Access::WriteOnly => "wo",
            Access::Append => "append",
            Access::Path => "opath",
        };
        let mount = match self.mount {
            Mount::First => "",
            Mount::Second => "second",
            Mount::ReadOnly => "romount",
        };
        let high = if self.has_high_bit { "high" } else { "" };
        let mut separator = ':';
        for modifier in [access, mount, high] {
            if !modifier.is_empty() {
                write!(f, "{separator}{modifier}")?;
                separator = ',';
            }
        }
        Ok(())
    }
}

/// Returns the descriptor that the next word names.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Fd, ParseError> {
    let word = cursor.expect(EXPECTED)?;
    let (target, modifiers) = match word.text.split_once(':') {
        Some((target, modifiers)) => (target, Some(modifiers)),
        None => (word.text, None),
    };
    let target = parse_target(target).ok_or_else(|| cursor.wrong(word, EXPECTED))?;
    let mut fd = Fd::special(target);
    if let Some(modifiers) = modifiers {
        apply_modifiers(&mut fd, cursor, word, modifiers)?;
    }
    Ok(fd)
}

/// Returns what is meant by the part before the colon.
fn parse_target(text: &str) -> Option<Target> {
    if text.starts_with('%') {
        let (_, target) = SPECIALS.iter().find(|(word, _)| *word == text)?;
        return Some(target.clone());
    }
    Name::new(text.strip_prefix("./").unwrap_or(text)).map(Target::Name)
}

/// Applies the part behind the colon.
fn apply_modifiers(
    fd: &mut Fd,
    cursor: &Cursor<'_>,
    word: Word<'_>,
    modifiers: &str,
) -> Result<(), ParseError> {
    let mut at = word.at + (word.text.len() - modifiers.len());
    for modifier in modifiers.split(',') {
        let is_new = match modifier {
            "ro" => set(&mut fd.access, Access::ReadOnly),
            "wo" => set(&mut fd.access, Access::WriteOnly),
            "append" => set(&mut fd.access, Access::Append),
            "opath" => set(&mut fd.access, Access::Path),
            "second" => set(&mut fd.mount, Mount::Second),
            "romount" => set(&mut fd.mount, Mount::ReadOnly),
            "high" => set(&mut fd.has_high_bit, true),
            _ => false,
        };
        if !is_new {
            return Err(cursor.error_at(at, MODIFIERS, Found::word(modifier)));
        }
        at += modifier.len() + 1;
    }
    Ok(())
}

/// Gives a field a value unless it has one already; returns whether it had none.
fn set<T: Default + PartialEq>(field: &mut T, value: T) -> bool {
    let is_new = *field == T::default();
    *field = value;
    is_new
}

/// Returns N for a word `xN`.
pub(super) fn repeat_count(word: &str) -> Option<&str> {
    let digits = word.strip_prefix('x')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}
