//! Batches of operations and their answers as text, exactly: what is printed here is read back
//! equal, reply bytes and raw storage included.
//!
//! An exchange is the line of its operation and an indented line `observe A` or
//! `observe A shape=16k` for each probe. A reply is its result lines and a line `end`. Replies
//! do not repeat names: where a scenario has the name or descriptor they have `*`, and the
//! exchanges tell which is meant. The kernel of a guest can die in the middle of a reply:
//! [`complete`] returns what came before.

mod reply;

use std::fmt::{self, Write as _};

use super::answer::{CallText, ElementText, LogText, Times};
use super::content::print_hex;
use super::cursor::Cursor;
use super::error::{Found, ParseError};
use super::observe::{self, Places};
use super::op_parse::{self, Budget};
use super::scenario::{check_line, check_nr_lines};
use super::size::Size;
use super::trees;
use crate::{Answer, Effect, Exchange, Outcome, Probe, Reply};

/// Longest line of a batch, in bytes: 4 MiB of reply bytes or of literal data fit.
pub const LINE_LEN_MAX: usize = 16 << 20;

/// Most lines of a batch or of its replies: a map can have thousands of runs.
pub const LINES_MAX: usize = 1 << 24;
/// Most elements of all dedupes of a batch, or of its replies, together.
pub const ELEMENTS_IN_TEXT_MAX: usize = 1 << 24;

/// The line behind each reply.
const END: &str = "end";

/// The words for what a dedupe did below the surface, in the order of printing.
const EFFECTS: [&str; 3] = ["moved-reference", "met-dirty-pages", "cut-extent"];

/// Returns a batch as text.
pub fn print_exchanges(exchanges: &[Exchange]) -> String {
    let mut text = String::with_capacity(64 * exchanges.len());
    let printed = exchanges
        .iter()
        .try_for_each(|exchange| print_exchange(&mut text, exchange));
    debug_assert!(printed.is_ok(), "a string takes everything");
    text
}

fn print_exchange(text: &mut String, exchange: &Exchange) -> fmt::Result {
    writeln!(text, "{}", exchange.op)?;
    for Probe {
        name,
        expected_shape,
    } in &exchange.probes
    {
        write!(text, "  observe {name}")?;
        if let Some(bytes) = expected_shape {
            write!(text, " shape={}", Size(*bytes))?;
        }
        text.push('\n');
    }
    Ok(())
}

/// Returns the batch that a text is. Empty lines and comments are passed over.
pub fn parse_exchanges(text: &str) -> Result<Vec<Exchange>, ParseError> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut budget = Budget(ELEMENTS_IN_TEXT_MAX);
    for line in numbered(text) {
        let (number, line) = line?;
        let mut cursor = Cursor::new(number, line);
        match cursor.peek() {
            None => continue,
            Some(word) if word.text.starts_with('#') => continue,
            Some(word) if word.at == 0 => {
                let op = op_parse::parse(&mut cursor, &mut budget)?;
                exchanges.push(Exchange {
                    op,
                    probes: Vec::new(),
                });
            }
            Some(word) => {
                let probe = parse_probe(&mut cursor)?;
                let Some(exchange) = exchanges.last_mut() else {
                    return Err(cursor.wrong(word, "an operation before what is observed"));
                };
                exchange.probes.push(probe);
            }
        }
    }
    Ok(exchanges)
}

fn parse_probe(cursor: &mut Cursor<'_>) -> Result<Probe, ParseError> {
    cursor.literal("observe", "observe")?;
    let name = op_parse::name(cursor)?;
    let mut expected_shape = None;
    if cursor.peek().is_some() {
        let read = |word: &str| Size::parse(word.strip_prefix("shape=")?);
        expected_shape = Some(cursor.read("shape=NUMBER or the end of the line", read)?);
    }
    cursor.end()?;
    Ok(Probe {
        name,
        expected_shape,
    })
}

/// Returns replies as text.
pub fn print_replies(replies: &[Reply]) -> String {
    let mut text = String::with_capacity(256 * replies.len());
    for reply in replies {
        let printed = print_reply(&mut text, reply);
        debug_assert!(printed.is_ok(), "a string takes everything");
    }
    text
}

fn print_reply(text: &mut String, reply: &Reply) -> fmt::Result {
    let Answer {
        outcome,
        rules,
        complaints,
        effect,
        // Who takes something over is no guest.
        adopted: _,
    } = &reply.answer;
    writeln!(text, "  = {}", CallText(outcome))?;
    if let Outcome::Dedupe {
        elements, bytes, ..
    } = outcome
    {
        for run in elements.chunk_by(|one, next| one == next) {
            writeln!(text, "  = * {}{}", ElementText(&run[0]), Times(run.len()))?;
        }
        text.push_str("  = bytes ");
        print_hex(text, bytes)?;
        text.push('\n');
    }
    if let Outcome::Trees(trees) = outcome {
        let lines = trees::raw_lines(trees);
        lines
            .iter()
            .try_for_each(|line| writeln!(text, "  = {line}"))?;
    }
    if !rules.is_empty() {
        text.push_str("  = rules");
        rules
            .iter()
            .try_for_each(|rule| write!(text, " {}", rule.as_deref().unwrap_or("*")))?;
        text.push('\n');
    }
    if *effect != Effect::default() {
        text.push_str("  = effect");
        let is_set = [
            effect.moved_reference,
            effect.met_dirty_pages,
            effect.cut_extent,
        ];
        for (word, _) in EFFECTS.iter().zip(is_set).filter(|(_, is_set)| *is_set) {
            write!(text, " {word}")?;
        }
        text.push('\n');
    }
    complaints
        .iter()
        .try_for_each(|line| writeln!(text, "  = log {}", LogText(line)))?;
    for observation in &reply.observations {
        for line in observe::render("*", observation, Places::Raw) {
            writeln!(text, "  = {line}")?;
        }
    }
    writeln!(text, "{END}")
}

/// Returns the part of a text of replies that is complete, and how many replies it has.
pub fn complete(text: &str) -> (&str, usize) {
    let mut len = 0;
    let mut nr_replies = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line == "end\n" {
            len = at;
            nr_replies += 1;
        }
    }
    (&text[..len], nr_replies)
}

/// Returns the replies to `exchanges`, one for each, that a text is.
pub fn parse_replies(text: &str, exchanges: &[Exchange]) -> Result<Vec<Reply>, ParseError> {
    let mut lines = numbered(text).peekable();
    let mut budget = Budget(ELEMENTS_IN_TEXT_MAX);
    let mut replies = Vec::with_capacity(exchanges.len());
    for exchange in exchanges {
        let draft = reply::parse_reply(&mut lines, &mut budget, text)?;
        replies.push(draft.finish(exchange)?);
    }
    match lines.next().transpose()? {
        None => Ok(replies),
        Some((number, line)) => {
            let expected = format!("no more than {} replies", exchanges.len());
            Err(Cursor::new(number, line).error_at(0, expected, Found::word(line)))
        }
    }
}

/// Returns the lines with their numbers, as long as both are within bounds.
fn numbered(text: &str) -> impl Iterator<Item = Result<(usize, &str), ParseError>> {
    text.lines().enumerate().map(|(idx, line)| {
        let number = idx + 1;
        check_nr_lines(number, LINES_MAX)?;
        check_line(number, line, LINE_LEN_MAX)?;
        Ok((number, line))
    })
}
