//! Checking all nodes from scratch: [`Damage`] is what can be wrong with them.

use crate::NODE_LEN_MAX;
use crate::node::{Body, Holder, NodeId, Nodes, TreeId};

/// Something that must hold of nodes and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A node's count is not the number of parents and tops that point at it.
    WrongCount {
        /// The node.
        node: NodeId,
        /// The count that it has.
        counted: u32,
        /// How many point at it.
        found: u32,
    },
    /// The keys of a node do not ascend, or reach over the bounds that its parent gives.
    Unsorted(NodeId),
    /// A node has more keys than fit, none below a parent, or another number of values than keys.
    BadLen(NodeId),
    /// A tree owns the node and does not reach it.
    NotReached(NodeId),
    /// Nodes below one parent are of different heights.
    Uneven(NodeId),
}

/// What is known of a node while all are looked at.
#[derive(Clone, Copy, Default)]
struct Seen {
    nr_refs: u32,
    height: u32,
    is_reached: bool,
}

impl<K: Copy + Ord, V> Nodes<K, V> {
    /// Returns everything that is wrong with the nodes, `trees` being all trees with their tops.
    /// Linear in the number of nodes, however many trees share them.
    pub fn check(&self, trees: &[(TreeId, NodeId)]) -> Vec<Damage> {
        let mut damages = Vec::new();
        let mut seen = vec![Seen::default(); self.nr_slots()];
        for &(tree, top) in trees {
            if self.is_first(top, &mut seen) {
                self.check_below(top, &mut seen, &mut damages);
            }
            self.reach(tree, top, &mut seen);
        }
        for (idx, seen) in seen.iter().enumerate() {
            let id = NodeId(u32::try_from(idx).expect("fewer than 2^32 nodes"));
            let node = self.node(id);
            if node.nr_refs != seen.nr_refs {
                damages.push(Damage::WrongCount {
                    node: id,
                    counted: node.nr_refs,
                    found: seen.nr_refs,
                });
            }
            if node.nr_refs > 0 && !node.is_left && !seen.is_reached {
                damages.push(Damage::NotReached(id));
            }
        }
        damages
    }

    /// Calls `found` for every leaf once, however many trees share it.
    pub fn for_each_leaf(&self, mut found: impl FnMut(Holder, &[K], &[V])) {
        for idx in 0..self.nr_slots() {
            let id = NodeId(u32::try_from(idx).expect("fewer than 2^32 nodes"));
            let node = self.node(id);
            if let Body::Leaf(values) = &node.body
                && node.nr_refs > 0
            {
                found(node.holder(id), &node.keys, values);
            }
        }
    }

    /// Notes one who points at the node; returns whether it is the first.
    fn is_first(&self, id: NodeId, seen: &mut [Seen]) -> bool {
        seen[id.0 as usize].nr_refs += 1;
        seen[id.0 as usize].nr_refs == 1
    }

    /// Checks a node and what lies below, as far as it was not seen before.
    fn check_below(&self, id: NodeId, seen: &mut [Seen], damages: &mut Vec<Damage>) {
        let node = self.node(id);
        let is_ascending = node.keys.is_sorted_by(|one, two| one < two);
        if !is_ascending {
            damages.push(Damage::Unsorted(id));
        }
        let nr_entries = match &node.body {
            Body::Leaf(values) => values.len(),
            Body::Inner(children) => children.len(),
        };
        if nr_entries != node.keys.len() || nr_entries > NODE_LEN_MAX {
            damages.push(Damage::BadLen(id));
        }
        let mut height = 0;
        for (idx, &child) in node.children().iter().enumerate() {
            if self.is_first(child, seen) {
                self.check_below(child, seen, damages);
            }
            let child_height = seen[child.0 as usize].height + 1;
            if idx > 0 && height != child_height {
                damages.push(Damage::Uneven(id));
            }
            height = child_height;
            match self.node(child).keys.as_slice() {
                [] => damages.push(Damage::BadLen(child)),
                [first, ..] => {
                    let last = self.node(child).keys.last().unwrap_or(first);
                    let next = node.keys.get(idx + 1);
                    let is_low = node.keys.get(idx).is_some_and(|low| first < low);
                    if is_low || next.is_some_and(|next| last >= next) {
                        damages.push(Damage::Unsorted(child));
                    }
                }
            }
        }
        seen[id.0 as usize].height = height;
    }

    /// Marks what the tree owns and reaches.
    fn reach(&self, tree: TreeId, top: NodeId, seen: &mut [Seen]) {
        let mut ids = vec![top];
        while let Some(id) = ids.pop() {
            if self.node(id).holder(id) == Holder::Tree(tree) {
                seen[id.0 as usize].is_reached = true;
                ids.extend(self.node(id).children());
            }
        }
    }
}
