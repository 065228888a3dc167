//! A scenario file as a value: [`Scenario`], its parser and its printer.
//!
//! It knows the layout of a file; operations are read and printed elsewhere. Expected results are
//! kept as text.

use std::fmt;
use std::str::FromStr;

use super::cursor::Cursor;
use super::error::{Found, ParseError};
use super::geometry::parse_geometry;
use super::op_parse::{self, Budget};
use super::{ELEMENTS_IN_TEXT_MAX, LINE_LEN_MAX, LINES_MAX};
use crate::{Geometry, Op};

/// A scenario file: what a run does, in order, and what is expected of it.
///
/// Comments are lines as they stand in the file, without the newline: empty, or beginning with
/// `#`. Printing puts `# ` in front of a comment that has no `#`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    /// The comments before the header. A file without header has none.
    pub comments: Vec<String>,
    /// The shape of the filesystem.
    pub geometry: Geometry,
    /// The operations.
    pub lines: Vec<Line>,
    /// The comments behind the last line.
    pub end_comments: Vec<String>,
}

/// An operation with its comments and its expected results.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The comments before it.
    pub comments: Vec<String>,
    /// The operation.
    pub op: Op,
    /// What is expected, at most one block for each guard, the one without guard last.
    pub results: Vec<ResultBlock>,
}

/// What is expected of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultBlock {
    /// The profile for which this is expected; `None` for all.
    pub guard: Option<String>,
    /// The result lines without their `= `, at least one.
    pub lines: Vec<String>,
}

impl Scenario {
    /// Returns the scenario that `text` is.
    pub fn parse(text: &str) -> Result<Scenario, ParseError> {
        Parser::default().run(text)
    }

    /// Returns a scenario of these operations without comments and expectations.
    pub fn of_ops(geometry: Geometry, ops: impl IntoIterator<Item = Op>) -> Scenario {
        let lines = ops.into_iter().map(Line::new).collect();
        Scenario {
            geometry,
            lines,
            ..Scenario::default()
        }
    }

    /// Returns the operations in order.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.lines.iter().map(|line| &line.op)
    }
}

impl Line {
    /// Returns an operation without comments and expectations.
    pub fn new(op: Op) -> Line {
        Line {
            comments: Vec::new(),
            op,
            results: Vec::new(),
        }
    }

    /// Returns the result lines expected under a profile: the first block that has its name as
    /// guard or has none. `None` if nothing is expected.
    pub fn expected_for<'a>(&'a self, profile: &str) -> Option<&'a [String]> {
        let is_for = |block: &&ResultBlock| match &block.guard {
            Some(guard) => guard == profile,
            None => true,
        };
        self.results
            .iter()
            .find(is_for)
            .map(|block| block.lines.as_slice())
    }
}

impl FromStr for Scenario {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Scenario, ParseError> {
        Scenario::parse(text)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_comments(f, &self.comments)?;
        writeln!(f, "{}", self.geometry)?;
        self.lines.iter().try_for_each(|line| line.fmt(f))?;
        print_comments(f, &self.end_comments)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_comments(f, &self.comments)?;
        writeln!(f, "{}", self.op)?;
        self.results.iter().try_for_each(|block| block.fmt(f))
    }
}

impl fmt::Display for ResultBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = self.guard.as_deref().unwrap_or("");
        self.lines
            .iter()
            .try_for_each(|line| writeln!(f, "  ={guard} {line}"))
    }
}

fn print_comments(f: &mut fmt::Formatter<'_>, comments: &[String]) -> fmt::Result {
    for comment in comments.iter().flat_map(|comment| comment.split('\n')) {
        let comment = comment.trim();
        let mark = if comment.is_empty() || comment.starts_with('#') {
            ""
        } else {
            "# "
        };
        writeln!(f, "{mark}{comment}")?;
    }
    Ok(())
}

/// Checks a line's length.
pub(super) fn check_line(number: usize, line: &str, len_max: usize) -> Result<(), ParseError> {
    if line.len() <= len_max {
        return Ok(());
    }
    Err(ParseError {
        line: number,
        column: 1,
        expected: format!("a line of at most {len_max} bytes").into(),
        found: Found::Excess(format!("{} bytes", line.len()).into()),
    })
}

/// Checks the number of a line.
pub(super) fn check_nr_lines(number: usize, nr_lines_max: usize) -> Result<(), ParseError> {
    if number <= nr_lines_max {
        return Ok(());
    }
    Err(ParseError {
        line: number,
        column: 1,
        expected: format!("at most {nr_lines_max} lines").into(),
        found: Found::Excess("more".into()),
    })
}

/// A scenario read up to some line.
struct Parser {
    scenario: Scenario,
    /// Comments whose line has not come yet.
    comments: Vec<String>,
    has_header: bool,
    budget: Budget,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser {
            scenario: Scenario::default(),
            comments: Vec::new(),
            has_header: false,
            budget: Budget(ELEMENTS_IN_TEXT_MAX),
        }
    }
}

impl Parser {
    fn run(mut self, text: &str) -> Result<Scenario, ParseError> {
        for (idx, line) in text.lines().enumerate() {
            let number = idx + 1;
            check_nr_lines(number, LINES_MAX)?;
            check_line(number, line, LINE_LEN_MAX)?;
            self.line(number, line)?;
        }
        self.scenario.end_comments = self.comments;
        Ok(self.scenario)
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), ParseError> {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            self.comments.push(trimmed.to_owned());
            return Ok(());
        }
        let mut cursor = Cursor::new(number, line);
        match cursor.peek() {
            Some(word) if word.text.starts_with('=') => self.result(&mut cursor),
            Some(word) if word.text == "mkfs" => self.header(&mut cursor),
            _ => {
                let op = op_parse::parse(&mut cursor, &mut self.budget)?;
                let comments = std::mem::take(&mut self.comments);
                self.scenario.lines.push(Line {
                    comments,
                    op,
                    results: Vec::new(),
                });
                Ok(())
            }
        }
    }

    fn header(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        if self.has_header || !self.scenario.lines.is_empty() {
            let at = cursor.peek().map_or(0, |word| word.at);
            let found = Found::Excess("mkfs in the middle".into());
            return Err(cursor.error_at(at, "one mkfs line before all operations", found));
        }
        self.has_header = true;
        self.scenario.geometry = parse_geometry(cursor)?;
        self.scenario.comments = std::mem::take(&mut self.comments);
        Ok(())
    }

    fn result(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        let word = cursor.expect("a result")?;
        let Some(line) = self
            .scenario
            .lines
            .last_mut()
            .filter(|_| self.comments.is_empty())
        else {
            let expected = "an operation (results stand directly behind theirs)";
            return Err(cursor.wrong(word, expected));
        };
        let guard = &word.text[1..];
        let is_guard = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !guard.chars().all(is_guard) {
            return Err(cursor.wrong(word, "\"=\" or \"=PROFILE\", then a blank"));
        }
        let guard = (!guard.is_empty()).then(|| guard.to_owned());
        let result = cursor.rest().trim();
        if result.is_empty() {
            return Err(cursor.missing("a result"));
        }
        if let Some(last) = line.results.last_mut().filter(|last| last.guard == guard) {
            last.lines.push(result.to_owned());
            return Ok(());
        }
        let is_reachable = line
            .results
            .iter()
            .all(|block| block.guard.is_some() && block.guard != guard);
        if !is_reachable {
            let expected = "results that can apply: one block for a profile, the one for all last";
            return Err(cursor.wrong(word, expected));
        }
        line.results.push(ResultBlock {
            guard,
            lines: vec![result.to_owned()],
        });
        Ok(())
    }
}
