//! Roots: subvolumes and snapshots, how they come and go.

use ctree::{NodeId, TreeId};

use crate::ordered::OrderedKind;
use crate::{FsState, Inode, InodeId, Kind};

/// The number of a subvolume root. Never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootId(pub u32);

impl RootId {
    /// Returns the number by which nodes know the root's tree.
    pub(crate) fn tree_id(self) -> TreeId {
        TreeId(self.0)
    }
}

/// A subvolume root.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// The top node of its tree.
    pub(crate) tree: NodeId,
    /// Its top directory.
    pub(crate) top: InodeId,
    /// The root in which its top has a name.
    pub(crate) parent: Option<RootId>,
    /// Whether it is a read-only snapshot.
    pub(crate) is_readonly: bool,
    /// The transaction of the last snapshot made of it: items not newer count as shared.
    pub(crate) last_snapshot: u64,
    /// The next inode number.
    pub(crate) next_ino: u64,
}

/// The first inode number that a root gives to a file.
const FIRST_FREE_INO: u64 = 257;

/// The inode number of a root's top directory.
pub(crate) const TOP_INO: u64 = 256;

impl FsState {
    /// Returns the live roots, the top-level one first.
    pub fn roots(&self) -> impl Iterator<Item = RootId> {
        let id = |(idx, root): (usize, &Option<Root>)| {
            let id = RootId(u32::try_from(idx).expect("ids are u32"));
            root.is_some().then_some(id)
        };
        self.roots.iter().enumerate().filter_map(id)
    }

    /// Returns whether the inode lives in a read-only root.
    #[inline]
    pub fn is_root_readonly(&self, id: InodeId) -> bool {
        self.root(self.inode(id).root).is_readonly
    }

    /// Adds an empty root.
    pub(crate) fn add_root(&mut self) -> RootId {
        let id = self.next_root_id();
        let tree = self.nodes.plant(id.tree_id());
        self.families.found(id);
        self.roots.push(Some(Root {
            tree,
            top: InodeId(u32::MAX),
            parent: None,
            is_readonly: false,
            last_snapshot: 0,
            next_ino: FIRST_FREE_INO,
        }));
        let stamp = self.stamp();
        let top = self.add_inode(Inode::new(id, TOP_INO, Kind::Directory, 0o755, stamp));
        self.root_mut(id).top = top;
        self.inherit_quota(id, None);
        id
    }

    /// Adds a root that shares all nodes of `source`, whose data is written back
    /// (`create_pending_snapshot`, fs/btrfs/transaction.c).
    pub(crate) fn share_root(&mut self, source: RootId, is_readonly: bool) -> RootId {
        self.update_inode_items();
        self.account_quota();
        let id = self.next_root_id();
        let root = self.root(source).clone();
        self.nodes.share(root.tree);
        self.families.join(id, source);
        self.roots.push(Some(Root {
            is_readonly,
            parent: None,
            ..root
        }));
        self.inherit_quota(id, Some(source));
        let top = self.load_inode(id, TOP_INO);
        self.root_mut(id).top = top.expect("a root has a top directory");
        id
    }

    /// Drops a root with all that it alone refers to, dirty pages included. Nothing has it open and
    /// no name means it any more. The top-level root stays.
    pub fn delete_root(&mut self, root: RootId) {
        if root.0 == 0 || self.roots[root.0 as usize].is_none() {
            return;
        }
        let of_root = |(id, inode): (InodeId, &Inode)| (inode.root == root).then_some(id);
        let ids: Vec<InodeId> = self.inodes().filter_map(of_root).collect();
        for id in ids {
            for ordered in std::mem::take(&mut self.inode_mut(id).ordered).into_values() {
                if ordered.kind == OrderedKind::Cow {
                    self.extents.discard(ordered.extent);
                }
            }
            self.orphans.retain(|&orphan| orphan != id);
            self.forget_inode(id);
        }
        self.trace_quota(root);
        if let Some(gone) = self.roots[root.0 as usize].take() {
            self.families.leave(root);
            self.stub_ids.retain(|(parent, _), _| *parent != root);
            let (tree, extents) = (root.tree_id(), &mut self.extents);
            self.nodes.release(tree, gone.tree, extents);
        }
    }

    /// Returns the root.
    ///
    /// # Panics
    /// If `id` does not name a live root.
    #[inline]
    pub(crate) fn root(&self, id: RootId) -> &Root {
        self.roots[id.0 as usize].as_ref().expect("a live root")
    }

    #[inline]
    pub(crate) fn root_mut(&mut self, id: RootId) -> &mut Root {
        self.roots[id.0 as usize].as_mut().expect("a live root")
    }

    fn next_root_id(&self) -> RootId {
        RootId(u32::try_from(self.roots.len()).expect("fewer than 2^32 roots"))
    }
}
