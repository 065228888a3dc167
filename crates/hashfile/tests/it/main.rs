//! Runs with a hashfile find what runs without one find, whatever happened between them; and a
//! file that is none is told and left as it is.
//!
//! `XSAME_TREES` says how many histories each property draws; the default keeps `cargo test` short.

mod answers;
mod chronicle;
mod damage;
mod histories;
mod ops;
