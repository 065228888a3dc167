//! One reply read line by line.
//!
//! It knows which lines a reply has; the words of a line are read elsewhere.

use std::borrow::Cow;
use std::iter::Peekable;

use super::{EFFECTS, END};
use crate::text::answer::{self, CallText};
use crate::text::content::parse_hex;
use crate::text::cursor::Cursor;
use crate::text::error::{Found, ParseError};
use crate::text::op_parse::{self, Budget};
use crate::text::{ELEMENTS_MAX, observe, trees};
use crate::{Answer, CallEnd, Effect, ElementAnswer, Exchange, Observation, Outcome, Reply};

/// A reply read so far.
pub(super) struct Draft {
    call: Option<Outcome>,
    elements: Vec<ElementAnswer>,
    bytes: Option<Vec<u8>>,
    rules: Vec<Option<Cow<'static, str>>>,
    complaints: Vec<String>,
    effect: Effect,
    observations: Vec<Observation>,
    /// The number of its last line.
    number: usize,
}

/// Reads one reply up to its `end`.
pub(super) fn parse_reply<'a>(
    lines: &mut Peekable<impl Iterator<Item = Result<(usize, &'a str), ParseError>>>,
    budget: &mut Budget,
    text: &str,
) -> Result<Draft, ParseError> {
    let mut draft = Draft {
        call: None,
        elements: Vec::new(),
        bytes: None,
        rules: Vec::new(),
        complaints: Vec::new(),
        effect: Effect::default(),
        observations: Vec::new(),
        number: 0,
    };
    loop {
        let Some(line) = lines.next() else {
            return Err(ParseError {
                line: text.lines().count() + 1,
                column: 1,
                expected: format!("result lines and \"{END}\"").into(),
                found: Found::EndOfText,
            });
        };
        let (number, line) = line?;
        draft.number = number;
        if line == END {
            return Ok(draft);
        }
        draft.line(&mut Cursor::new(number, line), budget)?;
    }
}

impl Draft {
    fn line(&mut self, cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<(), ParseError> {
        cursor.literal("=", "a result line (\"  = ...\") or \"end\"")?;
        let Some(word) = cursor.peek() else {
            return Err(cursor.missing("a result"));
        };
        match word.text {
            "*" => {
                cursor.pass(word);
                self.starred(cursor, budget)
            }
            "bytes" if self.bytes.is_none() => {
                cursor.pass(word);
                self.bytes = Some(parse_bytes(cursor)?);
                cursor.end()
            }
            "rules" => {
                cursor.pass(word);
                self.rules(cursor)
            }
            "effect" => {
                cursor.pass(word);
                self.effect(cursor)
            }
            "log" => {
                cursor.pass(word);
                self.complaints.push(answer::parse_log(cursor.rest()));
                Ok(())
            }
            record if trees::is_record(record) => match &mut self.call {
                Some(Outcome::Trees(trees)) => trees::parse_line(cursor, trees),
                _ => Err(cursor.wrong(word, "the word trees before what they say")),
            },
            _ if self.call.is_none() => {
                self.call = Some(answer::parse_call(cursor)?);
                cursor.end()
            }
            _ => Err(cursor.wrong(word, "one of *, bytes (once), rules, effect, log")),
        }
    }

    /// Reads the rules that decided; `*` is none.
    fn rules(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        while let Some(word) = cursor.next() {
            if self.rules.len() == ELEMENTS_MAX {
                let expected = format!("at most {ELEMENTS_MAX} rules");
                return Err(cursor.error_at(word.at, expected, Found::Excess("more".into())));
            }
            self.rules
                .push((word.text != "*").then(|| Cow::Owned(word.text.to_owned())));
        }
        Ok(())
    }

    /// Reads what a dedupe did below the surface.
    fn effect(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        while let Some(word) = cursor.next() {
            match EFFECTS.iter().position(|effect| *effect == word.text) {
                Some(0) => self.effect.moved_reference = true,
                Some(1) => self.effect.met_dirty_pages = true,
                Some(_) => self.effect.cut_extent = true,
                None => return Err(cursor.wrong(word, format!("one of {}", EFFECTS.join(", ")))),
            }
        }
        Ok(())
    }

    /// Reads a line about an element or a file, behind its `*`.
    fn starred(&mut self, cursor: &mut Cursor<'_>, budget: &mut Budget) -> Result<(), ParseError> {
        let Some(word) = cursor.peek() else {
            return Err(cursor.missing("an element's answer or an observation"));
        };
        if answer::is_element(word.text) {
            let element = answer::parse_element(cursor)?;
            let nr_repeats = op_parse::parse_repeat(cursor)?;
            let nr_elements = self.elements.len() + nr_repeats;
            if ELEMENTS_MAX < nr_elements || budget.0 < nr_repeats {
                let expected = format!("at most {ELEMENTS_MAX} elements");
                return Err(cursor.error_at(word.at, expected, Found::Excess("more".into())));
            }
            budget.0 -= nr_repeats;
            self.elements.resize(nr_elements, element);
        } else if observe::is_range(word.text) {
            let run = observe::parse_run(cursor)?;
            match self.observations.last_mut() {
                Some(Observation::File { map, .. }) => map.push(run),
                _ => return Err(cursor.wrong(word, "a file before the runs of its map")),
            }
        } else {
            self.observations.push(observe::parse_head(cursor)?);
        }
        cursor.end()
    }

    /// Returns the reply, if it has all that an answer to `exchange` needs.
    pub(super) fn finish(self, exchange: &Exchange) -> Result<Reply, ParseError> {
        let Draft {
            call,
            elements,
            bytes,
            rules,
            complaints,
            effect,
            observations,
            number,
        } = self;
        let wrong = |expected: String, found: String| ParseError {
            line: number,
            column: 1,
            expected: expected.into(),
            found: Found::Excess(found.into()),
        };
        let outcome = match (call, bytes) {
            (Some(call), None) if elements.is_empty() => call,
            (Some(Outcome::Done), Some(bytes)) => Outcome::Dedupe {
                end: CallEnd::Returned,
                elements,
                bytes,
            },
            (Some(Outcome::Failed(errno)), Some(bytes)) => Outcome::Dedupe {
                end: CallEnd::Failed(errno),
                elements,
                bytes,
            },
            (call, _) => {
                let expected =
                    "what the call answered; for a dedupe ok or an errno, elements, bytes";
                let found = match call {
                    None => "no such line".to_owned(),
                    Some(call) => format!("\"{}\" and other lines than that", CallText(&call)),
                };
                return Err(wrong(expected.to_owned(), found));
            }
        };
        if observations.len() != exchange.probes.len() {
            let expected = format!("{} observations", exchange.probes.len());
            return Err(wrong(expected, observations.len().to_string()));
        }
        let answer = Answer {
            outcome,
            rules,
            complaints,
            effect,
            adopted: Vec::new(),
        };
        Ok(Reply {
            answer,
            observations,
            layouts: Vec::new(),
        })
    }
}

/// Reads the reply bytes of a dedupe; nothing stands for none.
fn parse_bytes(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, ParseError> {
    match cursor.next() {
        None => Ok(Vec::new()),
        Some(word) => {
            parse_hex(word.text).ok_or_else(|| cursor.wrong(word, "pairs of hexadecimal digits"))
        }
    }
}
