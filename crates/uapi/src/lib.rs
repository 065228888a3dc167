//! What userspace sees of extent-same and its neighbours: bytes, numbers, names.
//!
//! [`dedupe`] has the argument of `FIDEDUPERANGE`, [`Errno`] names refusals, [`Release`] names
//! kernels, [`request`] has the request numbers. This crate does no I/O, holds no state and does
//! not know what any request does.

#![forbid(unsafe_code)]

pub mod dedupe;
pub mod fiemap;
pub mod request;

mod clone_range;
mod errno;
mod release;

pub use clone_range::CloneRange;
pub use dedupe::{DecodeError, DedupeElement, DedupeHeader, RequestBuilder};
pub use errno::{Errno, ParseErrnoError};
pub use fiemap::{FiemapExtent, FiemapHeader};
pub use release::{ParseReleaseError, Release};
