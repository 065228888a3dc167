//! Ordered trees that share nodes, as the trees of btrfs do: [`Nodes`].
//!
//! A tree is its top node. Every node counts who points at it; a snapshot of a tree is one more
//! pointer to its top. What one tree alone reaches is changed in place, what others reach is copied
//! first, node by node on the way down (`__btrfs_cow_block`, fs/btrfs/ctree.c). Whoever keeps
//! references for the values of leaves is told when a leaf is copied or given up, see [`Counter`].
//!
//! It does not know what keys and values mean, nor which trees there are.
#![forbid(unsafe_code)]

mod change;
mod check;
mod node;
mod release;
mod search;

#[cfg(test)]
mod tests;

pub use check::Damage;
pub use node::{Counter, Holder, NodeId, Nodes, TreeId, Work};
pub use search::Range;

/// The most keys of a node. A node of 16 KiB holds 208 file extent items or 493 pointers; here
/// fewer are faster, for keys are moved in memory.
pub const NODE_LEN_MAX: usize = 64;
/// A node with fewer keys is merged with a neighbour if both together leave some room.
const NODE_LEN_MIN: usize = NODE_LEN_MAX / 4;
/// The most keys of a node that was merged.
const MERGED_LEN_MAX: usize = NODE_LEN_MAX - NODE_LEN_MIN;
