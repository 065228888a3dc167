//! One scenario on one witness: each operation with its results in scenario text, held against
//! what the file expects ([`run`]). Files are looked at where the scenario says `observe`, nowhere
//! else.
//!
//! One scenario on two, where one of them has to adopt something from the other: [`run_both`].

use std::borrow::Cow;

use crate::diff::{Options, Witnesses};
use scenario::text::{Labels, Notes, Places, render_answer, render_observation, results_match};
use scenario::text::{Line, Scenario};

use scenario::{Answer, Backend, BackendError, Capabilities, Exchange, Op, Outcome, Probe, Reply};

/// An operation with its results.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The operation.
    pub op: Op,
    /// What it answered, in result lines without `= `. Labels count from `x0` in each answer.
    pub lines: Vec<String>,
    /// What was expected, if the scenario says anything for the profile.
    pub expected: Option<Vec<String>>,
    /// Whether it is as expected; also if nothing was.
    pub is_met: bool,
}

/// Runs a scenario on a fresh filesystem of `backend`, with the expectations that count under
/// `profile`; hands each entry on as it comes. Returns the entries; they end early after a hang or
/// a panic.
///
/// # Errors
///
/// If the backend cannot be asked.
pub fn run(
    backend: &mut dyn Backend,
    scenario: &Scenario,
    profile: &str,
    on_entry: &mut dyn FnMut(&Line, &Entry),
) -> Result<Vec<Entry>, BackendError> {
    backend.reset(&scenario.geometry)?;
    let capabilities = backend.capabilities();
    let mut entries = Vec::with_capacity(scenario.lines.len());
    for line in &scenario.lines {
        let exchange = exchange(&line.op);
        let replies = backend.run(std::slice::from_ref(&exchange))?;
        let Some(reply) = replies.into_iter().next() else {
            let text = format!("{} did not answer {}", backend.name(), line.op);
            return Err(BackendError::Channel(text));
        };
        let entry = Entry::new(line, &reply, profile, &capabilities);
        on_entry(line, &entry);
        entries.push(entry);
        if matches!(reply.answer.outcome, Outcome::Hangs | Outcome::Panics) {
            break;
        }
    }
    Ok(entries)
}

/// Runs a scenario whose filesystem leaves something to a kernel (`Geometry::leaves_choices`) on
/// both witnesses, the observed one first, so that the expected one can adopt that. For this every
/// operation is followed by a look at the files that it may have written back. Returns what both
/// answered, the expected one first; it ends early after a hang or a panic.
///
/// # Errors
///
/// If a witness cannot be asked.
pub fn run_both(
    witnesses: &mut Witnesses<'_>,
    scenario: &Scenario,
) -> Result<Vec<(Reply, Reply)>, BackendError> {
    let mut duel = witnesses.reset(&scenario.geometry, Options::default().patience)?;
    let mut replies = Vec::with_capacity(scenario.lines.len());
    for line in &scenario.lines {
        let exchange = duel.exchange(line.op.clone());
        let bout = duel.play(witnesses, exchange)?;
        let is_end = bout.is_end();
        replies.push((bout.left, bout.right));
        if is_end {
            break;
        }
    }
    Ok(replies)
}

impl Entry {
    /// Returns what came of a line of a scenario: a reply whose first observations are those that
    /// the line asks for, held against what is expected under `profile` of such a backend.
    pub fn new(line: &Line, reply: &Reply, profile: &str, capabilities: &Capabilities) -> Entry {
        let lines = shown(&line.op, reply);
        let expected = line.expected_for(profile).map(<[String]>::to_vec);
        let is_met = match &expected {
            // A backend without trees has nothing to say of them.
            Some(_) if line.op == Op::Tree && !capabilities.has_trees => true,
            Some(expected) => is_met(expected, &lines, &reply.answer, capabilities),
            None => reply.answer.complaints.is_empty(),
        };
        Entry {
            op: line.op.clone(),
            lines,
            expected,
            is_met,
        }
    }
}

/// Returns the result lines of a reply whose first observations are those that the operation asks
/// for.
pub fn shown(op: &Op, reply: &Reply) -> Vec<String> {
    render(&exchange(op), reply)
}

/// Returns the result lines of a reply: the answer, then what was seen.
pub fn render(exchange: &Exchange, reply: &Reply) -> Vec<String> {
    let mut lines = render_answer(&reply.answer, &exchange.op);
    let mut labels = Labels::new();
    for (probe, observation) in exchange.probes.iter().zip(&reply.observations) {
        let places = Places::Labelled(&mut labels);
        lines.extend(render_observation(&probe.name, observation, places));
    }
    lines
}

fn exchange(op: &Op) -> Exchange {
    let names = match op {
        Op::Observe { names } => names.as_slice(),
        _ => &[],
    };
    let look = |name: &scenario::Name| Probe {
        name: name.clone(),
        expected_shape: None,
    };
    Exchange {
        op: op.clone(),
        probes: names.iter().map(look).collect(),
    }
}

/// Returns whether the lines are those expected, as far as the backend can tell.
fn is_met(
    expected: &[String],
    lines: &[String],
    answer: &Answer,
    capabilities: &Capabilities,
) -> bool {
    let has_note = expected.iter().any(|line| line.ends_with(']'));
    let notes = if has_note && !answer.rules.is_empty() {
        Notes::Compared
    } else {
        Notes::Ignored
    };
    let expected: Vec<Cow<'_, str>> = visible(expected, capabilities);
    let lines = visible(lines, capabilities);
    let excused: Vec<Cow<'_, str>> = expected
        .iter()
        .enumerate()
        .map(|(idx, expected)| match lines.get(idx) {
            Some(line) if !capabilities.has_fine_times => excused(expected, line),
            _ => expected.clone(),
        })
        .collect();
    results_match(&excused, &lines, notes)
}

/// Returns what a backend without extents can show of result lines.
fn visible<'a>(lines: &'a [String], capabilities: &Capabilities) -> Vec<Cow<'a, str>> {
    if capabilities.has_extents {
        return lines
            .iter()
            .map(|line| Cow::Borrowed(line.as_str()))
            .collect();
    }
    let is_run = |line: &str| {
        line.split(' ')
            .nth(1)
            .is_some_and(|word| word.contains(".."))
    };
    let flat = |line: &'a String| {
        let words: Vec<&str> = line
            .split(' ')
            .filter(|word| !word.starts_with("blocks="))
            .collect();
        Cow::Owned(words.join(" "))
    };
    lines
        .iter()
        .filter(|line| line.starts_with("log ") || !is_run(line))
        .map(flat)
        .collect()
}

/// Returns the expected line with `kept` for each time whose change a coarse clock hid.
fn excused<'a>(expected: &Cow<'a, str>, line: &str) -> Cow<'a, str> {
    let mut excused = expected.clone();
    for (changed, kept) in [
        ("mtime=changed", "mtime=kept"),
        ("ctime=changed", "ctime=kept"),
    ] {
        if excused.contains(changed) && line.contains(kept) {
            excused = Cow::Owned(excused.replace(changed, kept));
        }
    }
    excused
}
