//! Changing a tree: putting and removing values, after the path to them was made its own.

use smallvec::SmallVec;

use crate::node::{Body, Counter, Holder, Node, NodeId, Nodes, TreeId};
use crate::{MERGED_LEN_MAX, NODE_LEN_MAX, NODE_LEN_MIN};

/// The inner nodes from the top down to a leaf, and which child was taken.
type Path = SmallVec<[(NodeId, usize); 6]>;

impl<K: Copy + Ord, V: Clone> Nodes<K, V> {
    /// Puts a value into the tree of `top` and returns the one that was there. The counter is told
    /// of copies only, not of these two.
    pub fn insert(
        &mut self,
        tree: TreeId,
        top: &mut NodeId,
        key: K,
        value: V,
        counter: &mut impl Counter<K, V>,
    ) -> Option<V> {
        let (mut path, mut full) = self.own_path(tree, top, key, counter);
        let node = self.node_mut(full);
        let mut idx = match node.keys.binary_search(&key) {
            Ok(idx) => return Some(std::mem::replace(&mut node.values_mut()[idx], value)),
            Err(idx) => idx,
        };
        node.keys.insert(idx, key);
        node.values_mut().insert(idx, value);
        while self.node(full).keys.len() > NODE_LEN_MAX {
            // What is appended to goes on being appended to: leave full nodes behind.
            let middle = match idx == NODE_LEN_MAX {
                true => idx,
                false => NODE_LEN_MAX.div_ceil(2),
            };
            let (low, right) = self.split(full, middle);
            let Some((parent, child_idx)) = path.pop() else {
                *top = self.grow(tree, full, low, right);
                break;
            };
            idx = child_idx + 1;
            let node = self.node_mut(parent);
            node.keys.insert(idx, low);
            node.children_mut().insert(idx, right);
            full = parent;
        }
        None
    }

    /// Returns the value of `key` in the tree of `top`, to be changed. The counter is told of
    /// copies only.
    pub fn get_mut(
        &mut self,
        tree: TreeId,
        top: &mut NodeId,
        key: K,
        counter: &mut impl Counter<K, V>,
    ) -> Option<&mut V> {
        let mut id = self.own(tree, *top, counter);
        *top = id;
        loop {
            self.visit(id);
            let node = self.node(id);
            let Body::Inner(children) = &node.body else {
                break;
            };
            let idx = node.child_idx(&key);
            let child = children[idx];
            let own = self.own(tree, child, counter);
            if own != child {
                self.node_mut(id).children_mut()[idx] = own;
            }
            id = own;
        }
        let node = self.node_mut(id);
        let idx = node.keys.binary_search(&key).ok()?;
        Some(&mut node.values_mut()[idx])
    }

    /// Removes a value from the tree of `top` and returns it. The counter is told of copies only.
    pub fn remove(
        &mut self,
        tree: TreeId,
        top: &mut NodeId,
        key: K,
        counter: &mut impl Counter<K, V>,
    ) -> Option<V> {
        let (mut path, mut small) = self.own_path(tree, top, key, counter);
        let node = self.node_mut(small);
        let idx = node.keys.binary_search(&key).ok()?;
        node.keys.remove(idx);
        let removed = node.values_mut().remove(idx);
        while self.node(small).keys.len() < NODE_LEN_MIN
            && let Some((parent, child_idx)) = path.pop()
        {
            self.shrink(tree, parent, child_idx);
            small = parent;
        }
        while let Body::Inner(children) = &self.node(*top).body
            && let &[child] = children.as_slice()
        {
            self.take(*top);
            *top = child;
        }
        Some(removed)
    }

    /// Makes every node on the way to `key` the tree's own, so that nobody else reaches it.
    fn own_path(
        &mut self,
        tree: TreeId,
        top: &mut NodeId,
        key: K,
        counter: &mut impl Counter<K, V>,
    ) -> (Path, NodeId) {
        let mut path = Path::new();
        *top = self.own(tree, *top, counter);
        let mut id = *top;
        loop {
            self.visit(id);
            let node = self.node_mut(id);
            let idx = node.child_idx(&key);
            let Body::Inner(children) = &node.body else {
                return (path, id);
            };
            let child = children[idx];
            if key < node.keys[idx] {
                node.keys[idx] = key;
            }
            let own = self.own(tree, child, counter);
            if own != child {
                self.node_mut(id).children_mut()[idx] = own;
            }
            path.push((id, idx));
            id = own;
        }
    }

    /// Returns a node like `id` that is the tree's own: itself if nobody else points at it, or else
    /// a copy. The parent, if any, is the tree's own already (`update_ref_for_cow`).
    #[inline]
    fn own(&mut self, tree: TreeId, id: NodeId, counter: &mut impl Counter<K, V>) -> NodeId {
        let node = self.node(id);
        if node.nr_refs == 1 && node.owner == tree && !node.is_left {
            return id;
        }
        match node.nr_refs {
            1 => self.take_over(tree, id, counter),
            _ => self.copy(tree, id, counter),
        }
    }

    /// Makes the tree the owner of a node that nobody else reaches.
    fn take_over(&mut self, tree: TreeId, id: NodeId, counter: &mut impl Counter<K, V>) -> NodeId {
        let node = self.node_mut(id);
        let before = node.holder(id);
        (node.owner, node.is_left) = (tree, false);
        let node = self.node(id);
        // The new count comes first: what nothing refers to is freed.
        node.count_all(Holder::Tree(tree), counter);
        node.uncount_all(before, counter);
        id
    }

    fn copy(&mut self, tree: TreeId, id: NodeId, counter: &mut impl Counter<K, V>) -> NodeId {
        self.nr_copied += 1;
        let node = self.node_mut(id);
        node.nr_refs -= 1;
        let copy = Node {
            nr_refs: 1,
            owner: tree,
            is_left: false,
            keys: node.keys.clone(),
            body: node.body.clone(),
        };
        let is_left_by_owner = node.holder(id) == Holder::Tree(tree);
        if is_left_by_owner {
            // What was counted for the tree counts for its copy.
            node.is_left = true;
            node.count_all(Holder::Leaf(id), counter);
        } else {
            copy.count_all(Holder::Tree(tree), counter);
        }
        if let Body::Inner(children) = &copy.body {
            for &child in children {
                self.node_mut(child).nr_refs += 1;
            }
        }
        self.add(copy)
    }

    /// Splits an own node before the key of index `middle`; returns the new node's lowest key and
    /// the new node.
    fn split(&mut self, id: NodeId, middle: usize) -> (K, NodeId) {
        let node = self.node_mut(id);
        let keys = split_off(&mut node.keys, middle);
        let body = match &mut node.body {
            Body::Leaf(values) => Body::Leaf(split_off(values, middle)),
            Body::Inner(children) => Body::Inner(split_off(children, middle)),
        };
        let (low, owner) = (keys[0], node.owner);
        let right = self.add(Node {
            nr_refs: 1,
            owner,
            is_left: false,
            keys,
            body,
        });
        (low, right)
    }

    /// Returns a new top over both halves of the old one.
    fn grow(&mut self, tree: TreeId, left: NodeId, low: K, right: NodeId) -> NodeId {
        let lowest = self.node(left).keys[0];
        self.add(Node {
            nr_refs: 1,
            owner: tree,
            is_left: false,
            keys: vec![lowest, low],
            body: Body::Inner(vec![left, right]),
        })
    }

    /// Takes a child that became small out of its parent if it is empty, or else merges it with a
    /// neighbour if that is the tree's own and both together leave some room.
    fn shrink(&mut self, tree: TreeId, parent: NodeId, idx: usize) {
        let children = self.node(parent).children();
        let id = children[idx];
        if self.node(id).keys.is_empty() && children.len() > 1 {
            self.take(id);
            self.node_mut(parent).remove_child(idx);
            return;
        }
        let len = self.node(id).keys.len();
        let fits = |left_idx: usize| {
            let neighbours = children.get(left_idx).zip(children.get(left_idx + 1))?;
            let other = self.node(if left_idx == idx {
                *neighbours.1
            } else {
                *neighbours.0
            });
            let is_own = other.nr_refs == 1 && other.owner == tree && !other.is_left;
            (is_own && other.keys.len() + len <= MERGED_LEN_MAX).then_some((
                left_idx,
                *neighbours.0,
                *neighbours.1,
            ))
        };
        let before = idx.checked_sub(1).and_then(fits);
        let Some((left_idx, left, right)) = before.or_else(|| fits(idx)) else {
            return;
        };
        let right = self.take(right);
        let left = self.node_mut(left);
        left.keys.extend(right.keys);
        match (&mut left.body, right.body) {
            (Body::Leaf(values), Body::Leaf(more)) => values.extend(more),
            (Body::Inner(children), Body::Inner(more)) => children.extend(more),
            (Body::Leaf(_) | Body::Inner(_), _) => unreachable!("neighbours are of one level"),
        }
        self.node_mut(parent).remove_child(left_idx + 1);
    }
}

/// Returns what lies behind `middle`, with room for a whole node.
fn split_off<T>(list: &mut Vec<T>, middle: usize) -> Vec<T> {
    let mut tail = Vec::with_capacity(NODE_LEN_MAX + 1);
    tail.extend(list.drain(middle..));
    tail
}
