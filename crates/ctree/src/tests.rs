//! Random changes, snapshots and releases, held against plain maps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{Counter, Holder, NODE_LEN_MAX, NodeId, Nodes, TreeId};

/// Counts of values by holder; fails at once if one would fall below zero.
#[derive(Debug, Default)]
struct Counts(BTreeMap<(Holder, u64, u32), u32>);

impl Counter<u64, u32> for Counts {
    fn count(&mut self, holder: Holder, key: u64, value: &u32) {
        *self.0.entry((holder, key, *value)).or_default() += 1;
    }

    fn uncount(&mut self, holder: Holder, key: u64, value: &u32) {
        let at = (holder, key, *value);
        let count = self.0.get_mut(&at).expect("only what counts is dropped");
        *count -= 1;
        if *count == 0 {
            self.0.remove(&at);
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Insert { tree: usize, key: u64, value: u32 },
    Append { tree: usize, nr: u64 },
    Remove { tree: usize, key: u64 },
    RemoveRange { tree: usize, from: u64, nr: usize },
    Share { tree: usize },
    GiveUp { tree: usize },
}

/// A tree beside the map that it must equal.
struct Pair {
    id: TreeId,
    top: NodeId,
    map: BTreeMap<u64, u32>,
}

#[derive(Default)]
struct Forest {
    nodes: Nodes<u64, u32>,
    counts: Counts,
    pairs: Vec<Pair>,
    nr_trees: u32,
}

impl Forest {
    fn new() -> Forest {
        let mut forest = Forest::default();
        forest.plant();
        forest
    }

    fn plant(&mut self) {
        let id = self.next_id();
        let top = self.nodes.plant(id);
        let map = BTreeMap::new();
        self.pairs.push(Pair { id, top, map });
    }

    fn next_id(&mut self) -> TreeId {
        self.nr_trees += 1;
        TreeId(self.nr_trees)
    }

    fn insert(&mut self, tree: usize, key: u64, value: u32) {
        let Pair { id, top, map } = &mut self.pairs[tree];
        let counts = &mut self.counts;
        let before = self.nodes.insert(*id, top, key, value, counts);
        assert_eq!(before, map.insert(key, value));
        counts.count(Holder::Tree(*id), key, &value);
        if let Some(before) = before {
            counts.uncount(Holder::Tree(*id), key, &before);
        }
    }

    fn remove(&mut self, tree: usize, key: u64) {
        let Pair { id, top, map } = &mut self.pairs[tree];
        let removed = self.nodes.remove(*id, top, key, &mut self.counts);
        assert_eq!(removed, map.remove(&key));
        if let Some(removed) = removed {
            self.counts.uncount(Holder::Tree(*id), key, &removed);
        }
    }

    fn share(&mut self, tree: usize) {
        let id = self.next_id();
        let top = self.nodes.share(self.pairs[tree].top);
        let map = self.pairs[tree].map.clone();
        self.pairs.push(Pair { id, top, map });
    }

    fn release(&mut self, tree: usize) {
        let Pair { id, top, .. } = self.pairs.swap_remove(tree);
        self.nodes.release(id, top, &mut self.counts);
    }

    fn apply(&mut self, change: Change) {
        let nr_trees = self.pairs.len();
        match change {
            Change::Insert { tree, key, value } => self.insert(tree % nr_trees, key, value),
            Change::Append { tree, nr } => {
                let map = &self.pairs[tree % nr_trees].map;
                let end = map.last_key_value().map_or(0, |(&key, _)| key + 1);
                for key in end..end + nr {
                    self.insert(tree % nr_trees, key, 7);
                }
            }
            Change::Remove { tree, key } => self.remove(tree % nr_trees, key),
            Change::RemoveRange { tree, from, nr } => {
                let range = self.pairs[tree % nr_trees].map.range(from..);
                let keys: Vec<u64> = range.take(nr).map(|(&key, _)| key).collect();
                for key in keys {
                    self.remove(tree % nr_trees, key);
                }
            }
            Change::Share { tree } => self.share(tree % nr_trees),
            Change::GiveUp { .. } if nr_trees < 2 => {}
            Change::GiveUp { tree } => self.release(tree % nr_trees),
        }
    }

    /// Every look-up says what the maps say, the nodes are sound, and what is counted is there.
    fn check(&self, probes: &[u64]) {
        for Pair { top, map, .. } in &self.pairs {
            let all = self.nodes.range_from(*top, 0);
            assert!(all.map(|(key, value)| (key, *value)).eq(map.clone()));
            let copied = |found: Option<(u64, &u32)>| found.map(|(key, value)| (key, *value));
            for &key in probes {
                let before = map.range(..=key).next_back().map(|(&at, &v)| (at, v));
                let behind = map.range(key..).next().map(|(&at, &v)| (at, v));
                assert_eq!(copied(self.nodes.at_or_before(*top, key)), before);
                assert_eq!(copied(self.nodes.at_or_behind(*top, key)), behind);
                assert_eq!(self.nodes.get(*top, key), map.get(&key));
                assert_eq!(copied(self.nodes.range_from(*top, key).next()), behind);
            }
        }
        let trees: Vec<_> = self.pairs.iter().map(|pair| (pair.id, pair.top)).collect();
        assert_eq!(self.nodes.check(&trees), []);
        let mut found = Counts::default();
        self.nodes.for_each_leaf(|holder, keys, values| {
            for (&key, value) in keys.iter().zip(values) {
                found.count(holder, key, value);
            }
        });
        assert_eq!(found.0, self.counts.0);
    }
}

const KEY_END: u64 = 3_000;

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let tree = 0..8usize;
    let key = 0..KEY_END;
    let change = prop_oneof![
        20 => (tree.clone(), key.clone(), any::<u32>())
            .prop_map(|(tree, key, value)| Change::Insert { tree, key, value }),
        4 => (tree.clone(), 1..200u64).prop_map(|(tree, nr)| Change::Append { tree, nr }),
        10 => (tree.clone(), key.clone()).prop_map(|(tree, key)| Change::Remove { tree, key }),
        4 => (tree.clone(), key, 1..300usize)
            .prop_map(|(tree, from, nr)| Change::RemoveRange { tree, from, nr }),
        2 => tree.clone().prop_map(|tree| Change::Share { tree }),
        1 => tree.prop_map(|tree| Change::GiveUp { tree }),
    ];
    prop::collection::vec(change, 1..120)
}

proptest! {
    #[test]
    fn trees_that_share_nodes_are_maps_of_their_own(
        changes in changes(),
        probes in prop::collection::vec(0..KEY_END + 100, 30),
    ) {
        let mut forest = Forest::new();
        for change in changes {
            forest.apply(change);
        }
        forest.check(&probes);
        while let Some(tree) = forest.pairs.len().checked_sub(1) {
            forest.release(tree);
            forest.check(&probes[..2]);
        }
        prop_assert_eq!(forest.nodes.nr_nodes(), 0);
        prop_assert!(forest.counts.0.is_empty());
    }
}

fn ascending(nr: u64) -> Forest {
    let mut forest = Forest::new();
    for key in 0..nr {
        forest.insert(0, key, 1);
    }
    forest
}

#[test]
fn appending_leaves_full_nodes_behind() {
    let forest = ascending(NODE_LEN_MAX as u64 * 100);
    assert_eq!(forest.nodes.nr_nodes(), 100 + 2 + 1);
}

#[test]
fn a_snapshot_copies_nothing_and_a_change_behind_it_one_path() {
    let mut forest = ascending(100_000);
    let before = forest.nodes.work();
    forest.share(0);
    assert_eq!(forest.nodes.work().nr_copied, before.nr_copied);
    assert_eq!(forest.nodes.work().nr_visited, before.nr_visited + 1);
    // What the first tree left is the second one's alone.
    for (tree, key, nr_copied) in [(0, 50_000, 3), (1, 50_000, 0), (1, 10, 2), (0, 10, 0)] {
        let before = forest.nodes.work().nr_copied;
        forest.insert(tree, key, 2);
        assert_eq!(forest.nodes.work().nr_copied - before, nr_copied);
    }
    forest.check(&[49_999, 50_000, 50_001]);
}

#[test]
fn the_copy_that_is_left_alone_is_taken_over_without_a_copy() {
    let mut forest = ascending(1_000);
    forest.share(0);
    forest.insert(0, 500, 2);
    let before = forest.nodes.work().nr_copied;
    forest.release(0);
    forest.insert(0, 500, 3);
    assert_eq!(forest.nodes.work().nr_copied, before);
    forest.check(&[500]);
}
