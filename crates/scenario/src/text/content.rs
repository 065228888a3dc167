//! Described bytes as text: `16k 0x61 + 4k seed=7@0`.
//!
//! Equal bytes may be described, and so printed, in different ways.

use std::fmt;

use data::{Content, Fill, Run};

use super::cursor::Cursor;
use super::error::{Found, ParseError};
use super::op_parse;
use super::size::Size;

const FILL: &str = "a fill: zero, a byte as 0x61, seed=N@POSITION or hex=DIGITS";

/// Prints the runs of a content; an empty one prints as `0 zero`.
pub(super) fn print(f: &mut fmt::Formatter<'_>, content: &Content) -> fmt::Result {
    if content.is_empty() {
        return f.write_str("0 zero");
    }
    for (run_idx, run) in content.runs().iter().enumerate() {
        if 0 < run_idx {
            f.write_str(" + ")?;
        }
        print_run(f, run)?;
    }
    Ok(())
}

fn print_run(f: &mut fmt::Formatter<'_>, run: &Run) -> fmt::Result {
    write!(f, "{} ", Size(run.len()))?;
    match run.fill() {
        Fill::Byte(0) => f.write_str("zero"),
        Fill::Byte(byte) => write!(f, "{byte:#04x}"),
        Fill::Pattern { seed, at } => write!(f, "seed={seed}@{}", Size(*at)),
        Fill::Literal { .. } => {
            f.write_str("hex=")?;
            print_hex(f, run.as_literal().unwrap_or_default())
        }
    }
}

/// Reads runs up to the end of the line.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Content, ParseError> {
    let mut content = Content::new();
    loop {
        let start = cursor.clone();
        let run = parse_run(cursor)?;
        if content.len().checked_add(run.len()).is_none() {
            let at = start.peek().map_or(0, |word| word.at);
            let found = Found::Excess("more".into());
            return Err(cursor.error_at(at, "less than 2^64 bytes in all", found));
        }
        content.append(run);
        if cursor.peek().is_none() {
            return Ok(content);
        }
        cursor.literal("+", "\"+\" or the end of the line")?;
    }
}

fn parse_run(cursor: &mut Cursor<'_>) -> Result<Content, ParseError> {
    let len = op_parse::size(cursor, "a length")?;
    let word = cursor.expect(FILL)?;
    if let Some(digits) = word.text.strip_prefix("hex=") {
        let bytes = parse_hex(digits)
            .ok_or_else(|| cursor.wrong(word, "hex= and an even number of hexadecimal digits"))?;
        if bytes.len() as u64 != len {
            let found = Found::Excess(format!("{}", bytes.len()).into());
            return Err(cursor.error_at(word.at, format!("{len} literal bytes"), found));
        }
        return Ok(Content::literal(bytes));
    }
    parse_described(word.text, len).ok_or_else(|| cursor.wrong(word, FILL))
}

/// Returns what a fill other than a literal stands for.
fn parse_described(fill: &str, len: u64) -> Option<Content> {
    if fill == "zero" {
        return Some(Content::zeros(len));
    }
    if let Some(stream) = fill.strip_prefix("seed=") {
        let (seed, at) = stream.split_once('@')?;
        return Some(Content::pattern(Size::parse(seed)?, Size::parse(at)?, len));
    }
    let is_hex = fill.starts_with("0x");
    let byte = if is_hex {
        op_parse::parse_number(fill)?
    } else {
        return None;
    };
    Some(Content::byte(byte, len))
}

/// Prints bytes as pairs of hexadecimal digits.
pub(super) fn print_hex(out: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.write_char(char::from(DIGITS[usize::from(byte >> 4)]))?;
        out.write_char(char::from(DIGITS[usize::from(byte & 15)]))?;
    }
    Ok(())
}

/// Returns the bytes that pairs of hexadecimal digits say.
pub(super) fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect()
}
