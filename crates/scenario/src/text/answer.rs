//! Answers as result lines, and the parts of them back.

use std::fmt::{self, Write as _};

use uapi::Errno;
use uapi::dedupe::{DIFFERS, SAME};

use super::cursor::Cursor;
use super::error::ParseError;
use super::labels::Labels;
use super::observe::{Places, render_observation};
use super::op_parse;
use super::size::Size;
use crate::{Answer, CallEnd, DedupeTarget, ElementAnswer, Exchange, Op, Outcome, Reply};

/// Returns the result lines of an answer to `op`, without `= `: the outcome with its rules as
/// notes, then the complaints of the kernel's log. Reply bytes are left out, and so is the
/// outcome of an `observe` that has nothing to say.
pub fn render_answer(answer: &Answer, op: &Op) -> Vec<String> {
    let note = |idx: usize| Note(answer.rules.get(idx).and_then(|rule| rule.as_deref()));
    let mut lines = match (&answer.outcome, op) {
        (Outcome::Done, Op::Observe { .. }) => Vec::new(),
        (Outcome::Trees(trees), _) => trees.lines().into_iter().map(|line| line.text).collect(),
        (Outcome::Dedupe { end, elements, .. }, _) => {
            let targets = match op {
                Op::Dedupe(call) => call.targets.as_slice(),
                _ => &[],
            };
            match end {
                CallEnd::Failed(errno) => {
                    let mut lines = vec![format!("{errno}{}", note(0))];
                    lines.extend(element_lines(elements, targets, |_| Note(None)));
                    lines
                }
                CallEnd::Returned if elements.is_empty() => vec![format!("ok{}", note(0))],
                CallEnd::Returned => element_lines(elements, targets, note),
            }
        }
        (outcome, _) => vec![format!("{}{}", CallText(outcome), note(0))],
    };
    lines.extend(
        answer
            .complaints
            .iter()
            .map(|text| format!("log {}", LogText(text))),
    );
    lines
}

/// Returns the result lines of an answer and of what was seen behind it, each observation with
/// the name that was asked for.
pub fn render_reply(exchange: &Exchange, reply: &Reply, labels: &mut Labels) -> Vec<String> {
    let mut lines = render_answer(&reply.answer, &exchange.op);
    for (probe, seen) in exchange.probes.iter().zip(&reply.observations) {
        lines.extend(render_observation(
            &probe.name,
            seen,
            Places::Labelled(&mut *labels),
        ));
    }
    lines
}

/// The outcome of a call as words; of a dedupe only how the call ended.
pub(super) struct CallText<'a>(pub(super) &'a Outcome);

impl fmt::Display for CallText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Done
            | Outcome::Dedupe {
                end: CallEnd::Returned,
                ..
            } => f.write_str("ok"),
            Outcome::Failed(errno)
            | Outcome::Dedupe {
                end: CallEnd::Failed(errno),
                ..
            } => {
                write!(f, "{errno}")
            }
            Outcome::Short(len) => write!(f, "short {}", Size(*len)),
            Outcome::NotOpened(errno) => write!(f, "not-opened {errno}"),
            Outcome::Trees(_) => f.write_str("trees"),
            Outcome::Hangs => f.write_str("hangs"),
            Outcome::Panics => f.write_str("panics"),
        }
    }
}

/// What a call answered has to be, for errors.
const CALL: &str = "one of ok, an errno, short SIZE, not-opened ERRNO, trees, hangs, panics";

/// Reads what [`CallText`] prints; a dedupe reads as [`Outcome::Done`] or [`Outcome::Failed`].
pub(super) fn parse_call(cursor: &mut Cursor<'_>) -> Result<Outcome, ParseError> {
    let word = cursor.expect(CALL)?;
    match word.text {
        "ok" => Ok(Outcome::Done),
        "short" => op_parse::size(cursor, "a size").map(Outcome::Short),
        "not-opened" => cursor.read("an errno", parse_errno).map(Outcome::NotOpened),
        "trees" => Ok(Outcome::Trees(Box::default())),
        "hangs" => Ok(Outcome::Hangs),
        "panics" => Ok(Outcome::Panics),
        text => parse_errno(text)
            .map(Outcome::Failed)
            .ok_or_else(|| cursor.wrong(word, CALL)),
    }
}

fn parse_errno(text: &str) -> Option<Errno> {
    text.parse().ok()
}

/// Returns the lines of elements, equal neighbours on one line.
fn element_lines<'a>(
    elements: &[ElementAnswer],
    targets: &[DedupeTarget],
    note: impl Fn(usize) -> Note<'a>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut start_idx = 0;
    while start_idx < elements.len() {
        let key = |idx: usize| {
            (
                elements[idx],
                targets.get(idx).map(|target| &target.fd),
                note(idx),
            )
        };
        let first = key(start_idx);
        let nr_equal = (start_idx..elements.len())
            .take_while(|idx| key(*idx) == first)
            .count();
        let (element, fd, note) = first;
        let subject = fd.map_or_else(|| "*".to_owned(), ToString::to_string);
        let (element, times) = (ElementText(&element), Times(nr_equal));
        lines.push(format!("{subject} {element}{times}{note}"));
        start_idx += nr_equal;
    }
    lines
}

/// The out fields of an element as words.
pub(super) struct ElementText<'a>(pub(super) &'a ElementAnswer);

impl fmt::Display for ElementText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ElementAnswer {
            status,
            bytes_deduped,
        } = *self.0;
        let is_untouched = status == DedupeTarget::UNTOUCHED_STATUS
            && bytes_deduped == DedupeTarget::UNTOUCHED_BYTES;
        match Errno::from_status(status) {
            _ if is_untouched => return f.write_str("untouched"),
            None if status == SAME => return write!(f, "same {}", Size(bytes_deduped)),
            None if status == DIFFERS => f.write_str("differs")?,
            Some(errno) => write!(f, "{errno}")?,
            None => return write!(f, "status={status} bytes={}", Size(bytes_deduped)),
        }
        if bytes_deduped != 0 {
            write!(f, " {}", Size(bytes_deduped))?;
        }
        Ok(())
    }
}

/// What an element answered has to be, for errors.
const ELEMENT: &str = "one of same SIZE, differs, an errno, untouched, status=N bytes=SIZE";

/// Returns whether a word, the first behind the subject, begins the out fields of an element.
pub(super) fn is_element(word: &str) -> bool {
    matches!(word, "same" | "differs" | "untouched")
        || word.starts_with("status=")
        || parse_errno(word).is_some()
}

/// Reads what [`ElementText`] prints.
pub(super) fn parse_element(cursor: &mut Cursor<'_>) -> Result<ElementAnswer, ParseError> {
    let word = cursor.expect(ELEMENT)?;
    let status = match word.text {
        "untouched" => {
            return Ok(ElementAnswer {
                status: DedupeTarget::UNTOUCHED_STATUS,
                bytes_deduped: DedupeTarget::UNTOUCHED_BYTES,
            });
        }
        "same" => {
            let bytes_deduped = op_parse::size(cursor, "how many bytes")?;
            return Ok(ElementAnswer {
                status: SAME,
                bytes_deduped,
            });
        }
        "differs" => DIFFERS,
        text => {
            if let Some(status) = text.strip_prefix("status=") {
                let status = status.parse().ok();
                let status = status.ok_or_else(|| cursor.wrong(word, "status= and a number"))?;
                let bytes_deduped = cursor.read("bytes= and a size", |word| {
                    Size::parse(word.strip_prefix("bytes=")?)
                })?;
                return Ok(ElementAnswer {
                    status,
                    bytes_deduped,
                });
            }
            parse_errno(text)
                .ok_or_else(|| cursor.wrong(word, ELEMENT))?
                .status()
        }
    };
    let bytes_deduped = match cursor.peek() {
        Some(word) if word.text.starts_with(|c: char| c.is_ascii_digit()) => {
            op_parse::size(cursor, "how many bytes")?
        }
        _ => 0,
    };
    Ok(ElementAnswer {
        status,
        bytes_deduped,
    })
}

/// How often something stands there: ` x130`, or nothing for once.
pub(super) struct Times(pub(super) usize);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 {
            Ok(())
        } else {
            write!(f, " x{}", self.0)
        }
    }
}

/// A rule that decided, as the note at the end of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Note<'a>(Option<&'a str>);

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |rule| write!(f, " [{rule}]"))
    }
}

/// A line of the kernel's log, with its control characters and backslashes escaped.
pub(super) struct LogText<'a>(pub(super) &'a str);

impl fmt::Display for LogText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            c if c.is_control() => write!(f, "{}", c.escape_unicode()),
            c => f.write_char(c),
        })
    }
}

/// Returns the text that [`LogText`] printed. What is no escape stands for itself.
pub(super) fn parse_log(printed: &str) -> String {
    let mut text = String::with_capacity(printed.len());
    let mut rest = printed;
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let escaped = parse_escape(escape);
        let (c, behind) = escaped.unwrap_or(('\\', escape));
        text.push(c);
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// Returns the character of an escape, its backslash passed, and what stands behind it.
fn parse_escape(escape: &str) -> Option<(char, &str)> {
    if let Some(behind) = escape.strip_prefix('\\') {
        return Some(('\\', behind));
    }
    let digits = escape.strip_prefix("u{")?;
    // Six digits are the longest: looking further would cost the whole line each time.
    let len = digits.bytes().take(7).position(|b| b == b'}')?;
    let c = char::from_u32(u32::from_str_radix(&digits[..len], 16).ok()?)?;
    Some((c, &digits[len + 1..]))
}
