//! The text of scenarios from outside: laws over arbitrary values, and examples.

mod arbitrary;
mod arbitrary_trees;
mod errors;
mod examples;
mod laws;
mod results;
