//! Comparing expected result lines with actual ones.
//!
//! It knows the note at the end of a line and the count of equal elements, nothing else.

use std::borrow::Cow;

use super::ELEMENTS_MAX;
use super::fd::repeat_count;
use super::observe::is_range;

/// Whether notes, the rule ids in brackets, count in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    /// A line is equal only with the same note.
    Compared,
    /// Notes do not count: a real kernel gives none.
    Ignored,
}

/// Returns whether the actual result lines are the expected ones.
pub fn results_match(
    expected: &[impl AsRef<str>],
    actual: &[impl AsRef<str>],
    notes: Notes,
) -> bool {
    merged(expected, notes) == merged(actual, notes)
}

/// Returns a result line without the ` [rule-id]` at its end. Lines of the kernel's log have no
/// notes and come back whole.
pub fn strip_note(line: &str) -> &str {
    split_note(line).0
}

/// Returns a line without its note, and the note.
fn split_note(line: &str) -> (&str, &str) {
    let note_at = match line.strip_suffix(']').and_then(|line| line.rfind(" [")) {
        Some(at) if !line.starts_with("log ") => at,
        _ => line.len(),
    };
    line.split_at(note_at)
}

/// Returns the lines with equal neighbours counted together: two elements that different rules
/// refused are two lines with notes and one without.
fn merged(lines: &[impl AsRef<str>], notes: Notes) -> Vec<(Cow<'_, str>, usize)> {
    let mut merged: Vec<(Cow<'_, str>, usize)> = Vec::with_capacity(lines.len());
    for line in lines {
        let (text, note) = split_note(line.as_ref().trim());
        let (text, nr_times) = split_count(text);
        let text = match notes {
            Notes::Compared if !note.is_empty() => Cow::Owned(format!("{text}{note}")),
            Notes::Compared | Notes::Ignored => Cow::Borrowed(text),
        };
        match merged.last_mut() {
            Some((last, count)) if *last == text => *count = count.saturating_add(nr_times),
            _ => merged.push((text, nr_times)),
        }
    }
    merged
}

/// Returns a line without the ` xN` at its end, and N. The label at the end of a map line is not
/// such a count.
fn split_count(line: &str) -> (&str, usize) {
    let is_map = line.split(' ').nth(1).is_some_and(is_range);
    if is_map || line.starts_with("log ") {
        return (line, 1);
    }
    let count = line.rsplit_once(' ').and_then(|(text, word)| {
        let count = repeat_count(word)?.parse().ok()?;
        (count <= ELEMENTS_MAX).then_some((text, count))
    });
    count.unwrap_or((line, 1))
}
