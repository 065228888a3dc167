//! Looking values up, by key and in order.

use smallvec::SmallVec;

use crate::node::{Body, NodeId, Nodes};

impl<K: Copy + Ord, V> Nodes<K, V> {
    /// Returns the value of `key` in the tree of `top`.
    pub fn get(&self, top: NodeId, key: K) -> Option<&V> {
        let (found, value) = self.at_or_before(top, key)?;
        (found == key).then_some(value)
    }

    /// Returns the last value whose key is not greater than `key`.
    #[inline]
    pub fn at_or_before(&self, top: NodeId, key: K) -> Option<(K, &V)> {
        let mut id = top;
        loop {
            let node = self.visit(id);
            match &node.body {
                Body::Inner(children) => id = children[node.child_idx(&key)],
                Body::Leaf(values) => {
                    let idx = node.keys.partition_point(|at| *at <= key);
                    return match idx.checked_sub(1) {
                        Some(idx) => Some((node.keys[idx], &values[idx])),
                        None => self.last_before_leaf(top, key),
                    };
                }
            }
        }
    }

    /// Returns the last value of the leaf before the one that `key` belongs to.
    #[cold]
    fn last_before_leaf(&self, top: NodeId, key: K) -> Option<(K, &V)> {
        let mut id = top;
        // The subtree before the one that is descended into, nearest to the leaf.
        let mut before = None;
        while let Body::Inner(children) = &self.visit(id).body {
            let idx = self.node(id).child_idx(&key);
            if idx > 0 {
                before = Some(children[idx - 1]);
            }
            id = children[idx];
        }
        self.last(before?)
    }

    /// Returns the first value whose key is not less than `key`.
    pub fn at_or_behind(&self, top: NodeId, key: K) -> Option<(K, &V)> {
        let mut id = top;
        let mut behind = None;
        loop {
            let node = self.visit(id);
            match &node.body {
                Body::Inner(children) => {
                    let idx = node.child_idx(&key);
                    if let Some(&next) = children.get(idx + 1) {
                        behind = Some(next);
                    }
                    id = children[idx];
                }
                Body::Leaf(values) => {
                    let idx = node.keys.partition_point(|at| *at < key);
                    return match values.get(idx) {
                        Some(value) => Some((node.keys[idx], value)),
                        None => behind.and_then(|id| self.first(id)),
                    };
                }
            }
        }
    }

    /// Returns the values whose keys are not less than `key`, in order.
    pub fn range_from(&self, top: NodeId, key: K) -> Range<'_, K, V> {
        let mut range = Range {
            nodes: self,
            above: SmallVec::new(),
            keys: &[],
            values: &[],
        };
        let mut id = top;
        loop {
            let node = self.visit(id);
            match &node.body {
                Body::Inner(children) => {
                    let idx = node.child_idx(&key);
                    range.above.push(&children[idx + 1..]);
                    id = children[idx];
                }
                Body::Leaf(values) => {
                    let idx = node.keys.partition_point(|at| *at < key);
                    range.keys = &node.keys[idx..];
                    range.values = &values[idx..];
                    return range;
                }
            }
        }
    }

    fn last(&self, mut id: NodeId) -> Option<(K, &V)> {
        loop {
            let node = self.visit(id);
            match &node.body {
                Body::Inner(children) => id = *children.last()?,
                Body::Leaf(values) => return Some((*node.keys.last()?, values.last()?)),
            }
        }
    }

    fn first(&self, mut id: NodeId) -> Option<(K, &V)> {
        loop {
            let node = self.visit(id);
            match &node.body {
                Body::Inner(children) => id = *children.first()?,
                Body::Leaf(values) => return Some((*node.keys.first()?, values.first()?)),
            }
        }
    }
}

/// Values of a tree in order.
#[derive(Debug)]
pub struct Range<'a, K, V> {
    nodes: &'a Nodes<K, V>,
    /// The subtrees that come behind, the nearest ones last.
    above: SmallVec<[&'a [NodeId]; 6]>,
    keys: &'a [K],
    values: &'a [V],
}

impl<'a, K: Copy, V> Iterator for Range<'a, K, V> {
    type Item = (K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let ([key, keys @ ..], [value, values @ ..]) = (self.keys, self.values) {
                (self.keys, self.values) = (keys, values);
                return Some((*key, value));
            }
            let Some((&id, rest)) = self.above.last()?.split_first() else {
                self.above.pop();
                continue;
            };
            *self.above.last_mut()? = rest;
            let node = self.nodes.visit(id);
            match &node.body {
                Body::Inner(children) => self.above.push(children),
                Body::Leaf(values) => (self.keys, self.values) = (&node.keys, values),
            }
        }
    }
}
