//! Giving up a tree: nodes that nobody points at any more go, with what was counted for them.

use crate::node::{Body, Counter, Holder, NodeId, Nodes, TreeId};

impl<K: Copy + Ord, V> Nodes<K, V> {
    /// Gives up the tree of `top` (`btrfs_drop_snapshot`, fs/btrfs/extent-tree.c). What the tree
    /// owns and others reach is counted in the name of its leaves from then on.
    pub fn release(&mut self, tree: TreeId, top: NodeId, counter: &mut impl Counter<K, V>) {
        let mut ids = vec![top];
        while let Some(id) = ids.pop() {
            self.visit(id);
            let node = self.node_mut(id);
            node.nr_refs -= 1;
            if node.nr_refs > 0 {
                self.leave(tree, id, counter);
                continue;
            }
            let node = self.take(id);
            node.uncount_all(node.holder(id), counter);
            if let Body::Inner(children) = node.body {
                ids.extend(children);
            }
        }
    }

    /// Makes the tree leave what it owns below a node that others reach.
    fn leave(&mut self, tree: TreeId, top: NodeId, counter: &mut impl Counter<K, V>) {
        let mut ids = vec![top];
        while let Some(id) = ids.pop() {
            self.visit(id);
            let node = self.node_mut(id);
            // A tree owns the whole way down to what it owns.
            if node.holder(id) != Holder::Tree(tree) {
                continue;
            }
            node.is_left = true;
            node.count_all(Holder::Leaf(id), counter);
            node.uncount_all(Holder::Tree(tree), counter);
            if let Body::Inner(children) = &node.body {
                ids.extend(children);
            }
        }
    }
}
