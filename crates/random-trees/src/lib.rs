//! Random filesystems of the model, for tests of what looks for duplicates: operations on a few
//! files whose blocks are drawn from few contents, so that most are there more than once, in
//! extents that are cut differently.
//!
//! [`FileOp`] is what happens to files, whoever draws it; [`TreeOp`] and [`build`] make a
//! filesystem of it. Every operation is total: what cannot be done is left out.

#![forbid(unsafe_code)]

mod file_op;
mod tree;

pub use file_op::{FileName, FileOp, NR_BLOCKS, block, file_ops, nr_cloned};
pub use tree::{FILES, TreeOp, build, tree};
