//! A divergence told: as a scenario file ([`scenario()`]) and in words ([`words`]).
//!
//! What rules say is the caller's to know.

use scenario::text::{Line, ResultBlock, Scenario};
use scenario::{Backend, BackendError, Geometry, Name, Op};

use crate::diff::Divergence;
use crate::difference::{Difference, StatField};
use crate::transcript;

/// What a report says beside the divergence itself.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// The seed of the run.
    pub seed: u64,
    /// The name of the expected witness.
    pub expected: &'a str,
    /// The name of the observed witness.
    pub observed: &'a str,
}

/// Returns a scenario that shows a divergence when it is run: its last lines carry what is
/// expected, and the observed answer as a comment.
///
/// # Errors
///
/// If a witness cannot be asked: both carry the scenario out.
pub fn scenario(
    expected: &mut dyn Backend,
    observed: &mut dyn Backend,
    geometry: &Geometry,
    divergence: &Divergence,
    heading: Heading<'_>,
) -> Result<Scenario, BackendError> {
    let mut ops = divergence.ops.clone();
    let names = names(&divergence.differences);
    // Without a look before the operation no look after it can tell a change of times.
    if divergence.differences.iter().any(is_about_time) {
        let last_idx = ops.len().saturating_sub(1);
        ops.insert(
            last_idx,
            Op::Observe {
                names: names.clone(),
            },
        );
    }
    if !names.is_empty() {
        ops.push(Op::Observe { names });
    }
    let mut scenario = Scenario::of_ops(geometry.clone(), ops);
    let left = transcript::run(expected, &scenario, "", &mut |_, _| {})?;
    let right = transcript::run(observed, &scenario, "", &mut |_, _| {})?;
    for (idx, line) in scenario.lines.iter_mut().enumerate() {
        let Some(entry) = left.get(idx).filter(|entry| !entry.lines.is_empty()) else {
            continue;
        };
        let lines = entry.lines.clone();
        line.results.push(ResultBlock { guard: None, lines });
        let told: &[String] = right.get(idx).map_or(&[], |entry| &entry.lines);
        if !is_equal_but_for_notes(&entry.lines, told) {
            comment_on(line, told, heading.observed);
        }
    }
    scenario.comments = comments(divergence, heading);
    Ok(scenario)
}

/// Returns what both sides answered to the last operation, on what they disagree, and what the
/// rules that were applied say, `explain` knowing them by id.
pub fn words(
    divergence: &Divergence,
    heading: Heading<'_>,
    explain: &dyn Fn(&str) -> Option<String>,
) -> String {
    let Divergence {
        step,
        exchange,
        left,
        right,
        differences,
        ..
    } = divergence;
    let Heading {
        seed,
        expected,
        observed,
    } = heading;
    let mut text = format!("divergence at step {step}, seed {seed}: {}\n", exchange.op);
    let sides = [("expected", expected, left), ("observed", observed, right)];
    for (side, name, reply) in sides {
        text.push_str(&format!("{side} ({name}):\n"));
        for line in transcript::render(exchange, reply) {
            text.push_str(&format!("  = {line}\n"));
        }
    }
    text.push_str("differences:\n");
    for difference in differences {
        text.push_str(&format!("  {difference}\n"));
    }
    let mut ids: Vec<&str> = Vec::new();
    for id in left
        .answer
        .rules
        .iter()
        .chain(&right.answer.rules)
        .flatten()
    {
        if !ids.contains(&id.as_ref()) {
            ids.push(id);
        }
    }
    if !ids.is_empty() {
        text.push_str("rules applied:\n");
    }
    for id in ids {
        let told = explain(id).unwrap_or_default();
        text.push_str(&format!("  [{id}] {told}\n"));
    }
    text
}

fn comments(divergence: &Divergence, heading: Heading<'_>) -> Vec<String> {
    let Heading {
        seed,
        expected,
        observed,
    } = heading;
    let step = divergence.step;
    let mut comments = vec![
        format!("# xsame diff --seed {seed}: divergence at step {step}"),
        format!("# expected: {expected}"),
        format!("# observed: {observed}"),
    ];
    comments.extend(
        divergence
            .differences
            .iter()
            .map(|difference| format!("# {difference}").replace('\n', " ")),
    );
    comments
}

/// Puts the observed answer before an operation.
fn comment_on(line: &mut Line, told: &[String], observed: &str) {
    line.comments
        .push(format!("# {observed} answers to the next line:"));
    if told.is_empty() {
        line.comments.push("#   nothing".to_owned());
    }
    let told = told.iter().map(|result| format!("#   = {result}"));
    line.comments.extend(told);
}

fn is_equal_but_for_notes(one: &[String], two: &[String]) -> bool {
    scenario::text::results_match(one, two, scenario::text::Notes::Ignored)
}

fn is_about_time(difference: &Difference) -> bool {
    matches!(
        difference,
        Difference::Stat {
            field: StatField::Mtime | StatField::Ctime,
            ..
        }
    )
}

/// Returns the names to look at so that the differences show.
fn names(differences: &[Difference]) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for difference in differences {
        let other = match difference {
            Difference::Sharing {
                other: Some((name, _)),
                ..
            } => Some(name),
            _ => None,
        };
        for name in other.into_iter().chain(difference.name()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}
