//! Two witnesses side by side: run the same operations on both, compare what they answer and what
//! can be seen, shrink what they disagree about, and tell it.
//!
//! [`diff::run`] is the loop, [`Comparer`] the judge. Nothing here knows what any operation does,
//! nor which backends exist: a difference between backends is a difference of their
//! [`scenario::Capabilities`].
#![forbid(unsafe_code)]

mod bijection;
mod compare;
pub mod diff;
mod difference;
mod duel;
mod names;
mod overhead;
pub mod report;
pub mod script;
pub mod shrink;
mod tally;
pub mod transcript;

pub use compare::Comparer;
pub use diff::{Divergence, OpSource, Options, Progress, RunReport, Witnesses};
pub use difference::{Difference, Field, Side, StatField};
pub use tally::{OpenShares, Shares, Tally};
