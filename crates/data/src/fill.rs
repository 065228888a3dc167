//! What a stretch of bytes consists of: [`Fill`], and with a length, [`Run`].
//!
//! A fill does not know its length, nor where in a content it lies.

use std::fmt;
use std::sync::Arc;

use crate::pattern;

/// The rule that gives the bytes of a run.
#[derive(Clone)]
pub enum Fill {
    /// One byte, repeated.
    Byte(u8),
    /// Consecutive bytes of a pseudo-random stream.
    Pattern {
        /// The name of the stream.
        seed: u64,
        /// Position of the run's first byte in the stream, in bytes.
        at: u64,
    },
    /// Consecutive bytes of a shared buffer.
    Literal {
        /// The buffer.
        bytes: Arc<[u8]>,
        /// Position of the run's first byte in the buffer, in bytes.
        at: usize,
    },
}

/// A fill with a length: a whole stretch of a content, never empty.
#[derive(Clone, Debug)]
pub struct Run {
    fill: Fill,
    len: u64,
}

impl Run {
    /// Returns a run; the caller has seen to it that a literal is as long as `len` says.
    pub(crate) fn new(fill: Fill, len: u64) -> Self {
        debug_assert!(0 < len);
        if let Fill::Literal { bytes, at } = &fill {
            debug_assert!(len <= (bytes.len() - at) as u64);
        }
        Self { fill, len }
    }

    /// Returns what the run consists of.
    #[must_use]
    pub fn fill(&self) -> &Fill {
        &self.fill
    }

    /// Returns the length in bytes, which is never 0.
    #[expect(clippy::len_without_is_empty, reason = "a run is never empty")]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns the bytes where they lie in memory already.
    #[must_use]
    pub fn as_literal(&self) -> Option<&[u8]> {
        match &self.fill {
            Fill::Literal { bytes, at } => Some(&bytes[*at..*at + self.len as usize]),
            Fill::Byte(_) | Fill::Pattern { .. } => None,
        }
    }

    /// Returns `len` bytes of the run from `skip` on; both in bytes.
    pub(crate) fn part(&self, skip: u64, len: u64) -> Self {
        debug_assert!(skip <= self.len && len <= self.len - skip);
        Self::new(self.fill.advanced(skip), len)
    }

    /// Shortens the run to `len` bytes.
    pub(crate) fn keep(&mut self, len: u64) {
        debug_assert!(0 < len && len <= self.len);
        self.len = len;
    }

    /// Takes `next` in if together they are one run; returns whether they are.
    pub(crate) fn absorb(&mut self, next: &Self) -> bool {
        let is_continued = self.fill.is_continued_by(self.len, &next.fill);
        if is_continued {
            self.len += next.len;
        }
        is_continued
    }

    /// Writes the bytes from `skip` on, in bytes, over the whole buffer.
    pub(crate) fn read_at(&self, skip: u64, buffer: &mut [u8]) {
        debug_assert!(skip <= self.len && buffer.len() as u64 <= self.len - skip);
        match &self.fill {
            Fill::Byte(byte) => buffer.fill(*byte),
            Fill::Pattern { seed, at } => pattern::fill(*seed, at.wrapping_add(skip), buffer),
            Fill::Literal { bytes, at } => {
                let start = *at + skip as usize;
                buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
            }
        }
    }
}

impl Fill {
    /// Returns the fill of what is left when `skip` bytes are cut off in front.
    fn advanced(&self, skip: u64) -> Self {
        match self {
            Self::Byte(byte) => Self::Byte(*byte),
            // Wrapping: a stream repeats after 2^64 bytes.
            Self::Pattern { seed, at } => Self::Pattern {
                seed: *seed,
                at: at.wrapping_add(skip),
            },
            Self::Literal { bytes, at } => Self::Literal {
                bytes: Arc::clone(bytes),
                at: at + skip as usize,
            },
        }
    }

    /// Returns whether `len` bytes of this fill go on as `next`.
    fn is_continued_by(&self, len: u64, next: &Self) -> bool {
        self.is_same_from(len, next, 0)
    }

    /// Returns whether both are described alike, each from its own offset in bytes.
    pub(crate) fn is_same_from(&self, skip: u64, other: &Self, other_skip: u64) -> bool {
        match (self, other) {
            (Self::Byte(one), Self::Byte(two)) => one == two,
            (
                Self::Pattern { seed, at },
                Self::Pattern {
                    seed: other_seed,
                    at: other_at,
                },
            ) => seed == other_seed && at.wrapping_add(skip) == other_at.wrapping_add(other_skip),
            (
                Self::Literal { bytes, at },
                Self::Literal {
                    bytes: other_bytes,
                    at: other_at,
                },
            ) => {
                Arc::ptr_eq(bytes, other_bytes)
                    && *at as u64 + skip == *other_at as u64 + other_skip
            }
            (Self::Byte(_) | Self::Pattern { .. } | Self::Literal { .. }, _) => false,
        }
    }
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(byte) => write!(f, "Byte({byte:#04x})"),
            Self::Pattern { seed, at } => write!(f, "Pattern({seed} at {at})"),
            // The bytes themselves would drown a report.
            Self::Literal { bytes, at } => write!(f, "Literal({at} of {})", bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_forty_bytes() {
        assert_eq!(size_of::<Run>(), 40);
    }
}
