//! The nodes of all trees, [`Nodes`], with their counts. How they are found, changed and given up
//! lies in the files beside.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a tree, as nodes name their owner by it (`btrfs_header_owner`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeId(pub u32);

/// The number of a node. Used again after the node was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Returns the number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Returns the node of a number that [`NodeId::number`] returned.
    pub fn from_number(number: u32) -> NodeId {
        NodeId(number)
    }
}

/// In whose name the values of a leaf are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// The tree that owns the leaf, which reaches it for certain.
    Tree(TreeId),
    /// The leaf itself, since its owner went on to a copy or is gone
    /// (`BTRFS_BLOCK_FLAG_FULL_BACKREF`).
    Leaf(NodeId),
}

/// Keeps references for the values in leaves.
pub trait Counter<K, V> {
    /// Counts a value in the name of `holder`.
    fn count(&mut self, holder: Holder, key: K, value: &V);
    /// Drops what was counted.
    fn uncount(&mut self, holder: Holder, key: K, value: &V);
}

/// How many nodes were touched since the nodes were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Nodes looked into.
    pub nr_visited: u64,
    /// Nodes copied because somebody else reaches them too.
    pub nr_copied: u64,
}

/// All nodes of all trees.
#[derive(Debug)]
pub struct Nodes<K, V> {
    slots: Vec<Node<K, V>>,
    free: Vec<NodeId>,
    /// Counted with plain loads and stores: searches take turns, or their count is a bit low.
    nr_visited: AtomicU64,
    pub(crate) nr_copied: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Node<K, V> {
    /// Parents and tops of trees that point here; 0 in a free slot.
    pub(crate) nr_refs: u32,
    pub(crate) owner: TreeId,
    /// Whether the owner reaches the node no more.
    pub(crate) is_left: bool,
    /// Of a leaf the keys of its values; of an inner node lower bounds of its children.
    pub(crate) keys: Vec<K>,
    pub(crate) body: Body<V>,
}

#[derive(Clone, Debug)]
pub(crate) enum Body<V> {
    Leaf(Vec<V>),
    Inner(Vec<NodeId>),
}

impl<K, V> Default for Nodes<K, V> {
    fn default() -> Self {
        Nodes {
            slots: Vec::new(),
            free: Vec::new(),
            nr_visited: AtomicU64::new(0),
            nr_copied: 0,
        }
    }
}

impl<K: Clone, V: Clone> Clone for Nodes<K, V> {
    fn clone(&self) -> Self {
        Nodes {
            slots: self.slots.clone(),
            free: self.free.clone(),
            nr_visited: AtomicU64::new(self.nr_visited.load(Ordering::Relaxed)),
            nr_copied: self.nr_copied,
        }
    }
}

impl<K, V> Nodes<K, V> {
    /// Returns the top of a new tree without values.
    pub fn plant(&mut self, tree: TreeId) -> NodeId {
        self.add(Node {
            nr_refs: 1,
            owner: tree,
            is_left: false,
            keys: Vec::new(),
            body: Body::Leaf(Vec::new()),
        })
    }

    /// Returns the top of a tree with the same values as the one of `top`, sharing all its nodes.
    pub fn share(&mut self, top: NodeId) -> NodeId {
        self.visit(top);
        self.node_mut(top).nr_refs += 1;
        top
    }

    /// Returns how many nodes there are.
    pub fn nr_nodes(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns how many nodes were touched so far.
    pub fn work(&self) -> Work {
        Work {
            nr_visited: self.nr_visited.load(Ordering::Relaxed),
            nr_copied: self.nr_copied,
        }
    }

    /// Returns the tree that owns or owned a node.
    pub fn owner(&self, id: NodeId) -> TreeId {
        self.node(id).owner
    }

    pub(crate) fn nr_slots(&self) -> usize {
        self.slots.len()
    }

    /// Returns the node and counts the visit.
    #[inline]
    pub(crate) fn visit(&self, id: NodeId) -> &Node<K, V> {
        let nr_visited = self.nr_visited.load(Ordering::Relaxed);
        self.nr_visited.store(nr_visited + 1, Ordering::Relaxed);
        self.node(id)
    }

    #[inline]
    pub(crate) fn node(&self, id: NodeId) -> &Node<K, V> {
        &self.slots[id.0 as usize]
    }

    #[inline]
    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node<K, V> {
        &mut self.slots[id.0 as usize]
    }

    pub(crate) fn add(&mut self, node: Node<K, V>) -> NodeId {
        match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = node;
                id
            }
            None => {
                self.slots.push(node);
                NodeId(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 nodes"))
            }
        }
    }

    /// Takes a node out that nobody points at any more.
    pub(crate) fn take(&mut self, id: NodeId) -> Node<K, V> {
        self.free.push(id);
        let empty = Node {
            nr_refs: 0,
            owner: TreeId(0),
            is_left: true,
            keys: Vec::new(),
            body: Body::Leaf(Vec::new()),
        };
        std::mem::replace(self.node_mut(id), empty)
    }
}

impl<K, V> Node<K, V> {
    /// Returns in whose name the values of this node, a leaf, are counted.
    pub(crate) fn holder(&self, id: NodeId) -> Holder {
        match self.is_left {
            true => Holder::Leaf(id),
            false => Holder::Tree(self.owner),
        }
    }

    /// Returns the children of an inner node.
    pub(crate) fn children(&self) -> &[NodeId] {
        match &self.body {
            Body::Inner(children) => children,
            Body::Leaf(_) => &[],
        }
    }

    /// Returns the children of an inner node, to be changed.
    pub(crate) fn children_mut(&mut self) -> &mut Vec<NodeId> {
        match &mut self.body {
            Body::Inner(children) => children,
            Body::Leaf(_) => unreachable!("a leaf has no children"),
        }
    }

    /// Returns the values of a leaf, to be changed.
    pub(crate) fn values_mut(&mut self) -> &mut Vec<V> {
        match &mut self.body {
            Body::Leaf(values) => values,
            Body::Inner(_) => unreachable!("an inner node has no values"),
        }
    }

    pub(crate) fn remove_child(&mut self, idx: usize) {
        self.keys.remove(idx);
        self.children_mut().remove(idx);
    }
}

impl<K: Copy + Ord, V> Node<K, V> {
    /// Returns which child of this inner node `key` belongs to.
    #[inline]
    pub(crate) fn child_idx(&self, key: &K) -> usize {
        self.keys
            .partition_point(|low| low <= key)
            .saturating_sub(1)
    }

    /// Counts the values of a leaf.
    pub(crate) fn count_all(&self, holder: Holder, counter: &mut impl Counter<K, V>) {
        if let Body::Leaf(values) = &self.body {
            for (&key, value) in self.keys.iter().zip(values) {
                counter.count(holder, key, value);
            }
        }
    }

    /// Drops what was counted for the values of a leaf.
    pub(crate) fn uncount_all(&self, holder: Holder, counter: &mut impl Counter<K, V>) {
        if let Body::Leaf(values) = &self.body {
            for (&key, value) in self.keys.iter().zip(values) {
                counter.uncount(holder, key, value);
            }
        }
    }
}
