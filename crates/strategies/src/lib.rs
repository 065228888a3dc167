//! Generators of operations: a seeded swarm, strategies for proptest, lists from fuzzed bytes.
//!
//! [`Swarm`] draws operations that are worth a run: it looks at a flat shadow of the filesystem to
//! find equal ranges, so that most dedupes move a reference. [`proptest_ops`] and [`fuzz_ops`] draw
//! from a small domain that shrinks well. Nothing here knows what any witness answers, and nothing
//! here shrinks.

#![forbid(unsafe_code)]

pub mod fuzz_ops;
pub mod proptest_ops;

mod attribute_ops;
mod blocks;
mod clone_ops;
mod counts;
mod dedupe_ops;
mod dice;
mod edges;
mod file_ops;
mod inline_ops;
mod large_ops;
mod link_ops;
mod list_ops;
mod material;
mod pair;
mod remount_ops;
mod shadow;
mod small;
mod snapshot_ops;
mod space;
mod store_ops;
mod swarm;
mod tail_ops;
mod weights;

pub use counts::Counts;
pub use swarm::{Swarm, SwarmOptions};
