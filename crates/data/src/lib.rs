//! Described bytes: file contents that cost their description, not their length.
//!
//! [`Content`] is a rope of runs, each with a [`Fill`]: one byte repeated, a stretch of a seeded
//! pseudo-random stream, or literal bytes. [`Digest`] is the checksum of bytes however they were
//! described. This crate does not know files, blocks or extents, and does no I/O.

#![forbid(unsafe_code)]

mod content;
mod digest;
mod fill;
mod pattern;

pub use content::Content;
pub use digest::{Digest, Digester, ParseDigestError};
pub use fill::{Fill, Run};
