//! Random changes of several subvolumes and their snapshots: the state stays sound, references
//! resolve to what the trees say, and a snapshot keeps what it was made of.

use std::collections::{BTreeMap, BTreeSet};

use data::{Content, Digest};
use fs_state::{BLOCK, Behaviour, DataRef, ExtentId, FsState, InodeId, Kind, RootId, TimesUpdate};
use proptest::prelude::*;

const NR_FILES: usize = 3;
/// Files are at most so many blocks long: enough items for several leaves.
const NR_BLOCKS: u64 = 400;

#[derive(Clone, Debug)]
enum Change {
    Write {
        file: usize,
        block: u64,
        nr: u64,
        seed: u64,
    },
    Scatter {
        file: usize,
        from: u64,
    },
    Clone {
        source: usize,
        target: usize,
        from: u64,
        to: u64,
        nr: u64,
    },
    Punch {
        file: usize,
        block: u64,
        nr: u64,
    },
    Truncate {
        file: usize,
        block: u64,
    },
    Sync,
    Snapshot {
        root: usize,
        is_readonly: bool,
    },
    Subvolume,
    Delete {
        root: usize,
    },
    Unlink {
        file: usize,
    },
}

fn change() -> impl Strategy<Value = Change> {
    let file = 0..20usize;
    let block = 0..NR_BLOCKS;
    let nr = 1..40u64;
    prop_oneof![
        8 => (file.clone(), block.clone(), nr.clone(), 1..9u64)
            .prop_map(|(file, block, nr, seed)| Change::Write { file, block, nr, seed }),
        3 => (file.clone(), block.clone()).prop_map(|(file, from)| Change::Scatter { file, from }),
        8 => (file.clone(), file.clone(), block.clone(), block.clone(), nr.clone()).prop_map(
            |(source, target, from, to, nr)| Change::Clone { source, target, from, to, nr }
        ),
        4 => (file.clone(), block.clone(), nr)
            .prop_map(|(file, block, nr)| Change::Punch { file, block, nr }),
        2 => (file.clone(), block).prop_map(|(file, block)| Change::Truncate { file, block }),
        4 => Just(Change::Sync),
        4 => (0..9usize, any::<bool>())
            .prop_map(|(root, is_readonly)| Change::Snapshot { root, is_readonly }),
        1 => Just(Change::Subvolume),
        3 => (0..9usize).prop_map(|root| Change::Delete { root }),
        1 => file.prop_map(|file| Change::Unlink { file }),
    ]
}

/// A subvolume: its path and, if it is never to change, what its files read as.
struct Subvolume {
    path: String,
    frozen: Option<BTreeMap<String, Digest>>,
}

struct World {
    fs: FsState,
    subvolumes: Vec<Subvolume>,
    nr_names: u32,
}

impl World {
    fn new() -> World {
        let mut fs = FsState::new(Behaviour::LATEST);
        // So that fsck holds what quota groups count against all references.
        fs.count_quota();
        let mut world = World {
            fs,
            subvolumes: Vec::new(),
            nr_names: 0,
        };
        world.add_subvolume();
        world
    }

    fn new_name(&mut self) -> String {
        self.nr_names += 1;
        format!("v{}", self.nr_names)
    }

    fn add_subvolume(&mut self) {
        let path = self.new_name();
        self.fs.create_subvol(&path).expect("a fresh name");
        for file in 0..NR_FILES {
            let name = format!("{path}/f{file}");
            self.fs.create_file(&name, file == 0).expect("a fresh name");
        }
        self.subvolumes.push(Subvolume { path, frozen: None });
    }

    /// Returns one of the files that may change, unless it was unlinked.
    fn file(&mut self, idx: usize) -> Option<InodeId> {
        let writable = self.subvolumes.iter().filter(|it| it.frozen.is_none());
        let paths: Vec<&str> = writable.map(|it| it.path.as_str()).collect();
        let path = paths.get(idx / NR_FILES % paths.len().max(1))?;
        let name = format!("{path}/f{}", idx % NR_FILES);
        self.fs.lookup(&name).ok()
    }

    fn apply(&mut self, change: &Change) {
        match *change {
            Change::Write {
                file,
                block,
                nr,
                seed,
            } => {
                if let Some(id) = self.file(file) {
                    let content = Content::pattern(seed, block, nr * BLOCK - 7);
                    self.fs
                        .write(id, block * BLOCK, &content)
                        .expect("in bounds");
                }
            }
            Change::Scatter { file, from } => {
                let Some(id) = self.file(file) else { return };
                for block in (from..NR_BLOCKS).step_by(2) {
                    let content = Content::pattern(block, from, BLOCK);
                    self.fs
                        .write(id, block * BLOCK, &content)
                        .expect("in bounds");
                }
            }
            Change::Clone {
                source,
                target,
                from,
                to,
                nr,
            } => {
                let (source, target) = (self.file(source), self.file(target));
                if let (Some(source), Some(target)) = (source, target) {
                    self.clone_blocks(source, target, from, to, nr);
                }
            }
            Change::Punch { file, block, nr } => {
                if let Some(id) = self.file(file) {
                    self.fs
                        .punch_hole(id, block * BLOCK + 5, nr * BLOCK)
                        .expect("allowed");
                }
            }
            Change::Truncate { file, block } => {
                if let Some(id) = self.file(file) {
                    self.fs.truncate(id, block * BLOCK + 100).expect("allowed");
                }
            }
            Change::Sync => self.fs.sync(),
            Change::Snapshot { root, is_readonly } => self.snapshot(root, is_readonly),
            Change::Subvolume => self.add_subvolume(),
            Change::Delete { root } => self.delete(root),
            Change::Unlink { file } => {
                let Some(id) = self.file(file) else { return };
                let path = self.path_of(id);
                self.fs.unlink(&path).expect("a file");
                self.fs.put(id);
            }
        }
    }

    fn clone_blocks(&mut self, source: InodeId, target: InodeId, from: u64, to: u64, nr: u64) {
        let is_apart = source != target || from.abs_diff(to) >= nr;
        let is_inside = (from + nr) * BLOCK <= self.fs.inode(source).size();
        let is_alike = self.fs.inode(source).is_nodatasum() == self.fs.inode(target).is_nodatasum();
        if !(is_apart && is_inside && is_alike) {
            return;
        }
        let (from, to, len) = (from * BLOCK, to * BLOCK, nr * BLOCK);
        self.fs.wait_ordered_range(source, from, len);
        self.fs
            .expand_for_clone(target, to)
            .expect("there is space");
        self.fs.wait_ordered_range(target, to, len);
        self.fs
            .clone_extents(source, from, len, len, target, to, TimesUpdate::Now);
    }

    fn path_of(&mut self, id: InodeId) -> String {
        for subvolume in &self.subvolumes {
            for file in 0..NR_FILES {
                let name = format!("{}/f{file}", subvolume.path);
                if self.fs.lookup(&name) == Ok(id) {
                    return name;
                }
            }
        }
        unreachable!("only files of the list are changed")
    }

    fn snapshot(&mut self, idx: usize, is_readonly: bool) {
        if self.subvolumes.is_empty() {
            return;
        }
        let source = self.subvolumes[idx % self.subvolumes.len()].path.clone();
        let path = self.new_name();
        self.fs
            .snapshot(&source, &path, is_readonly)
            .expect("a fresh name");
        let frozen = is_readonly.then(|| self.digests(&path));
        self.subvolumes.push(Subvolume { path, frozen });
    }

    fn delete(&mut self, idx: usize) {
        if self.subvolumes.len() < 2 {
            return;
        }
        let gone = self.subvolumes.swap_remove(idx % self.subvolumes.len());
        let top = self.fs.lookup(&gone.path).expect("it is there");
        let root = self.fs.inode(top).root();
        self.fs.delete_root(root);
        assert!(!self.fs.is_live(top));
    }

    /// Returns what the files of a subvolume read as, by name.
    fn digests(&mut self, path: &str) -> BTreeMap<String, Digest> {
        let mut digests = BTreeMap::new();
        for file in 0..NR_FILES {
            let name = format!("{path}/f{file}");
            if let Ok(id) = self.fs.lookup(&name) {
                digests.insert(name, self.fs.content(id).digest());
            }
        }
        digests
    }

    /// Returns the references of all extents, found by walking every item of every root.
    fn walked_refs(&mut self) -> BTreeMap<ExtentId, BTreeSet<DataRef>> {
        let mut counts: BTreeMap<(ExtentId, RootId, u64, u64), u32> = BTreeMap::new();
        let roots: Vec<RootId> = self.fs.roots().collect();
        for root in roots {
            for id in self.fs.load_inodes(root) {
                let ino = self.fs.inode(id).ino();
                for (key, item) in self.fs.items(id) {
                    if let Some(slice) = item.slice() {
                        let place = (slice.extent, root, ino, slice.backref_offset(key));
                        *counts.entry(place).or_default() += 1;
                    }
                }
            }
        }
        let mut refs: BTreeMap<ExtentId, BTreeSet<DataRef>> = BTreeMap::new();
        for ((extent, root, ino, offset), count) in counts {
            let data_ref = DataRef {
                root,
                ino,
                offset,
                count,
            };
            refs.entry(extent).or_default().insert(data_ref);
        }
        refs
    }

    fn check(&mut self) {
        assert_eq!(self.fs.fsck(), []);
        let walked = self.walked_refs();
        for (id, _) in self.fs.extents().iter() {
            let resolved: BTreeSet<DataRef> = self.fs.references(id).into_iter().collect();
            let walked = walked.get(&id).cloned().unwrap_or_default();
            assert_eq!(resolved, walked);
            assert_eq!(self.fs.is_extent_shared(id), walked.len() > 1);
        }
        let frozen = self.subvolumes.iter().filter_map(|it| {
            let digests = it.frozen.clone()?;
            Some((it.path.clone(), digests))
        });
        for (path, digests) in frozen.collect::<Vec<_>>() {
            assert_eq!(self.digests(&path), digests);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn roots_that_share_nodes_stay_apart(changes in prop::collection::vec(change(), 1..60)) {
        let mut world = World::new();
        for change in &changes {
            world.apply(change);
        }
        world.check();
        world.fs.sync();
        world.check();
        let files = world.fs.inodes().filter(|(_, inode)| inode.kind() == Kind::Regular);
        prop_assert!(files.count() <= world.subvolumes.len() * NR_FILES);
        while world.subvolumes.len() > 1 {
            world.delete(0);
            world.check();
        }
    }
}
