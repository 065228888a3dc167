//! The tool on random trees of the model: contents stay, what is freed is what was predicted, and
//! nobody could have freed more.
//!
//! `XSAME_TREES` says how many trees each property draws; the default keeps `cargo test` short.

mod ahead;
mod bound;
mod brute_force;
mod by_blocks;
mod check;
mod faults;
mod faulty;
#[path = "../inert/mod.rs"]
mod inert;
mod many;
mod properties;
mod runs;
mod scale;
