//! The checksum of bytes, XXH3 of 128 bits: [`Digest`], and [`Digester`] to feed it in pieces.
//!
//! It does not know how the bytes were described or in which pieces they came.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

const HEX_LEN: usize = 32;

/// The XXH3-128 of some bytes, with seed 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u128);

/// A digest in the making.
#[derive(Clone)]
pub struct Digester {
    state: Xxh3,
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a digest of {HEX_LEN} hexadecimal digits: {text:?}")]
pub struct ParseDigestError {
    /// The text as it was given.
    pub text: String,
}

impl Digest {
    /// Returns the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }

    /// Returns the digest with this value.
    #[must_use]
    pub const fn from_raw(raw: u128) -> Self {
        Self(raw)
    }

    /// Returns the value.
    #[must_use]
    pub const fn raw(self) -> u128 {
        self.0
    }
}

impl Digester {
    /// Returns a digester that has been fed nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Xxh3::new() }
    }

    /// Feeds the bytes that come next.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// Returns the digest of everything fed so far.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(self.state.digest128())
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Digester").field(&self.finish()).finish()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        // `from_str_radix` alone would take a sign and fewer digits.
        let is_hex = text.len() == HEX_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(raw) if is_hex => Ok(Self(raw)),
            Ok(_) | Err(_) => Err(ParseDigestError {
                text: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_that_of_xxh3() {
        assert_eq!(
            Digest::of(b"").to_string(),
            "99aa06d3014798d86001c324468d497f"
        );
        assert_eq!(Digester::new().finish(), Digest::of(b""));
    }

    #[test]
    fn pieces_have_the_digest_of_the_whole() {
        fn law(pieces: Vec<Vec<u8>>) -> bool {
            let mut digester = Digester::new();
            pieces.iter().for_each(|piece| digester.update(piece));
            digester.finish() == Digest::of(&pieces.concat())
        }
        quickcheck::quickcheck(law as fn(Vec<Vec<u8>>) -> bool);
    }

    #[test]
    fn text_round_trips() {
        fn law(raw: u128) -> bool {
            Digest::from_raw(raw).to_string().parse() == Ok(Digest::from_raw(raw))
        }
        quickcheck::quickcheck(law as fn(u128) -> bool);
        assert!(law(0));
    }

    #[test]
    fn texts_that_are_no_digest_are_refused() {
        for text in [
            "",
            "0",
            "+9aa06d3014798d86001c324468d497f",
            &"g".repeat(32),
            &"0".repeat(33),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}
