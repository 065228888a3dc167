//! The text of scenarios: [`Scenario`] with its parser and its canonical printer, result lines,
//! and the [`protocol`] that carries operations to a backend elsewhere and answers back.
//!
//! The grammar is in `docs/scenario.md`. Nothing here knows what an operation does.

mod answer;
mod content;
mod cursor;
mod error;
mod expect;
mod fd;
mod geometry;
mod labels;
mod observe;
mod op_parse;
mod op_print;
pub mod protocol;
mod scenario;
mod size;
mod trees;

use std::str::FromStr;

pub use answer::{render_answer, render_reply};
pub use error::{Found, ParseError};
pub use expect::{Notes, results_match, strip_note};
pub use labels::Labels;
pub use observe::{Places, render_observation};
pub use scenario::{Line, ResultBlock, Scenario};
pub use size::Size;
pub(crate) use trees::{file_item, tree_extent, tree_inode, tree_item, tree_ref, tree_root};

use crate::Op;
use cursor::Cursor;
use op_parse::Budget;

/// Longest line of a scenario, in bytes.
pub const LINE_LEN_MAX: usize = 64 << 10;
/// Most lines of a text.
pub const LINES_MAX: usize = 1_000_000;
/// Most elements of a dedupe, and most repetitions of a result line.
pub const ELEMENTS_MAX: usize = 65_535;
/// Most elements of all dedupes of one text together.
pub const ELEMENTS_IN_TEXT_MAX: usize = 1 << 20;

/// Returns the operation of one line without its newline. Errors count it as line 1.
pub fn parse_op(line: &str) -> Result<Op, ParseError> {
    let mut budget = Budget(ELEMENTS_IN_TEXT_MAX);
    scenario::check_line(1, line, LINE_LEN_MAX)?;
    op_parse::parse(&mut Cursor::new(1, line), &mut budget)
}

impl FromStr for Op {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Op, ParseError> {
        parse_op(line)
    }
}
