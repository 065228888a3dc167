//! Offsets, lengths and sizes: bytes, as [`Size`] prints them.

use std::fmt;

/// From here on numbers print in hexadecimal: near 2^63 and 2^64 that is what a reader knows.
const HEX_FROM: u64 = 1 << 60;

/// The suffixes with their powers of two, largest first.
const SUFFIXES: [(u8, u32); 4] = [(b't', 40), (b'g', 30), (b'm', 20), (b'k', 10)];

/// A number of bytes in canonical text: with the largest suffix that divides it, in hexadecimal
/// from 2^60 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    /// Returns the number that `text` says: decimal with or without `k`, `m`, `g`, `t`, or
    /// hexadecimal behind `0x`. `None` if it is no number or does not fit into 64 bits.
    pub fn parse(text: &str) -> Option<u64> {
        if let Some(digits) = text.strip_prefix("0x") {
            let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            return if is_hex {
                u64::from_str_radix(digits, 16).ok()
            } else {
                None
            };
        }
        let last = text.as_bytes().last()?.to_ascii_lowercase();
        let suffix = SUFFIXES.iter().find(|(letter, _)| *letter == last);
        let (digits, shift) = match suffix {
            Some((_, shift)) => (&text[..text.len() - 1], *shift),
            None => (text, 0),
        };
        // `from_str` alone would take a sign.
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse::<u64>().ok()?.checked_mul(1 << shift)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size(bytes) = *self;
        if bytes == 0 {
            return f.write_str("0");
        }
        if HEX_FROM <= bytes {
            return write!(f, "{bytes:#x}");
        }
        for (letter, shift) in SUFFIXES {
            if bytes.trailing_zeros() >= shift {
                return write!(f, "{}{}", bytes >> shift, char::from(letter));
            }
        }
        write!(f, "{bytes}")
    }
}
