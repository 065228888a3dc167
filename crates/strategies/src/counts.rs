//! What a swarm has drawn so far, as far as its shadow can tell: [`Counts`].
//!
//! These are estimates made without extents; a model or a kernel knows better.

/// Numbers of operations, of dedupe calls and of their elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations of any kind.
    pub nr_ops: u64,
    /// Operations on a file of more than 1 MiB.
    pub nr_big_ops: u64,
    /// Dedupe calls.
    pub nr_calls: u64,
    /// Dedupe calls that were refused as a whole.
    pub nr_calls_refused: u64,
    /// Dedupe calls with an element that moved a reference.
    pub nr_calls_moved: u64,
    /// Dedupe calls with an element that found a difference.
    pub nr_calls_differ: u64,
    /// Dedupe calls that met dirty pages in a range.
    pub nr_calls_dirty: u64,
    /// Dedupe calls that cut an extent in the middle.
    pub nr_calls_cut: u64,
    /// Elements of calls that were not refused.
    pub nr_elements: u64,
    /// Elements with the same bytes and at least one block that was not shared before.
    pub nr_moved: u64,
    /// Elements with the same bytes and nothing to move.
    pub nr_same_unmoved: u64,
    /// Elements that found a difference.
    pub nr_differ: u64,
    /// Elements refused with an errno.
    pub nr_refused: u64,
}
