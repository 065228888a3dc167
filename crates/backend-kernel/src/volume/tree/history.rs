//! What the trees of a btrfs tell about changes: leaves carry the transaction that wrote them, and
//! a search passes over the older ones with all that is above them.
//!
//! What is gone left its leaf, and that may have gone with it: no search tells. It is found by
//! what its folder has in it, for that changed.

use std::hash::Hasher;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use ondisk::{DirItem, ExtentItem, FileExtentItem, InodeItem, Key, KeyRange, RootItem};
use ondisk::{SearchItem, TreeId};
use rustix::fs::FileType;
use volume::{
    Extent, File, FileExtent, FileId, History, Moment, Newer, Place, Reference, ReferenceKind,
    Subvolume, Told, VolumeError,
};

use super::TreeVolume;
use crate::volume::files::inode_of;
use crate::volume::items::{file_extent_of, file_of, is_file};
use crate::volume::scope::is_on_btrfs;
use crate::volume::searcher::damaged;
use crate::volume::trees::{FS_TREE, Size, inodes_from};
use crate::volume::{commit, fatal};
use crate::{ioctl, ioctl_trees};

impl History for TreeVolume {
    fn filesystem(&self) -> [u8; 16] {
        self.filesystem
    }

    fn checksum_kind(&self) -> u64 {
        u64::from(self.csum_kind)
    }

    fn moment(&mut self) -> Result<Moment, VolumeError> {
        commit(self.trees.fd())?;
        let transid = ioctl::commit_filesystem(self.trees.fd());
        let transid = transid.map_err(|errno| fatal("commit the filesystem", errno))?;
        self.is_committed = true;
        self.csums.forget();
        let mut subvolumes = Vec::new();
        let key = |object| Key {
            object,
            kind: Key::ROOT_ITEM,
            offset: 0,
        };
        let range = KeyRange {
            first: key(FS_TREE),
            last: Key {
                offset: u64::MAX,
                ..key(Key::LAST_FREE)
            },
        };
        self.trees
            .each(Size::Small, TreeId::ROOT, range, 0, |item| {
                let root = item.key.object;
                if item.key.kind == Key::ROOT_ITEM && (root == FS_TREE || Key::FIRST_FREE <= root) {
                    let RootItem { refs, uuid, .. } = RootItem::decode(item.bytes)?;
                    if 0 < refs {
                        subvolumes.push(Subvolume { root, uuid });
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        Ok(Moment {
            transid,
            subvolumes,
        })
    }

    fn is_in_scope(&self, file: &File) -> bool {
        self.pages.has(file)
    }

    fn roots_in_scope(&self) -> Vec<u64> {
        self.pages.roots().collect()
    }

    fn hash_scope(&self, hasher: &mut dyn Hasher) {
        self.pages.hash_scope(hasher);
    }

    fn leave_out(&mut self, file: BorrowedFd<'_>) -> bool {
        let is_ours = is_on_btrfs(file, self.filesystem);
        if is_ours
            && let Ok(root) = ioctl_trees::tree_of(file)
            && let Ok(inode) = inode_of(file)
        {
            let root = root.0;
            self.pages.leave_out(FileId { root, inode });
        }
        is_ours
    }

    fn walk(
        &mut self,
        root: u64,
        from_inode: u64,
        nr_items_max: u64,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Option<u64>, VolumeError> {
        if self.pages.walked().is_none() {
            self.pages.begin_walk(&mut self.trees)?;
        }
        let tree = TreeId(root);
        let mut teller = Teller::new(root, tell);
        let (mut nr_items, mut next) = (0, None);
        let range = inodes_from(from_inode, 0, 0);
        self.trees.each(Size::Large, tree, range, 0, |item| {
            nr_items += 1;
            if nr_items_max < nr_items && item.key.kind == Key::INODE_ITEM {
                next = Some(item.key.object);
                return Ok(ControlFlow::Break(()));
            }
            self.pages.count_walked(item);
            teller.add(item)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(next)
    }

    fn newer(
        &mut self,
        root: u64,
        since: u64,
        tell: &mut dyn FnMut(Newer),
    ) -> Result<(), VolumeError> {
        let range = inodes_from(0, 0, 0);
        let least = since.saturating_add(1);
        self.trees
            .each(Size::Large, TreeId(root), range, least, |item| {
                let inode = item.key.object;
                match item.key.kind {
                    Key::INODE_ITEM => {
                        let transid = InodeItem::decode(item.bytes)?.transid;
                        tell(Newer::Inode { inode, transid });
                    }
                    Key::EXTENT_DATA => {
                        let extent = FileExtentItem::decode(item.bytes)?;
                        let extent = file_extent_of(item.key.offset, &extent);
                        tell(Newer::Extent { inode, extent });
                    }
                    _ => {}
                }
                Ok(ControlFlow::Continue(()))
            })
    }

    fn inode(
        &mut self,
        root: u64,
        inode: u64,
        tell: &mut dyn FnMut(Told),
    ) -> Result<bool, VolumeError> {
        let mut range = inodes_from(inode, 0, 0);
        range.last.object = inode;
        let mut teller = Teller::new(root, tell);
        let mut is_there = false;
        self.trees
            .each(Size::Small, TreeId(root), range, 0, |item| {
                is_there |= item.key.kind == Key::INODE_ITEM;
                teller.add(item)?;
                Ok(ControlFlow::Continue(()))
            })?;
        Ok(is_there)
    }

    fn extent_generation(&mut self, extent: &Extent) -> Result<Option<u64>, VolumeError> {
        let key = Key {
            object: extent.address,
            kind: Key::EXTENT_ITEM,
            offset: extent.disk_bytes,
        };
        let range = KeyRange::only(key);
        let mut generation = None;
        let nr_items = self.trees.search(Size::One, TreeId::EXTENT, range, 0)?;
        if let Some(item) = self.trees.items(Size::One, nr_items).next() {
            let wrong = |error| damaged(TreeId::EXTENT, key, &error);
            let item = ExtentItem::decode(item.map_err(wrong)?.bytes).map_err(wrong)?;
            generation = item.is_data.then_some(item.generation);
        }
        Ok(generation)
    }

    fn begin_replay(&mut self) {
        self.pages.memo.begin();
    }

    fn replay(&mut self, file: &File, file_extents: &[FileExtent]) {
        self.pages.memo.add_file(*file);
        for file_extent in file_extents {
            if let Some((address, reference)) = reference_of(file.id, file_extent) {
                self.pages.memo.add_reference(address, reference);
            }
        }
    }

    fn end_replay(&mut self, roots: &[u64]) {
        for &root in roots {
            self.pages.memo.end_root(root);
        }
        self.pages.memo.end();
    }
}

/// Returns the address of the extent that a file extent refers to, and how it does.
fn reference_of(file: FileId, file_extent: &FileExtent) -> Option<(u64, Reference)> {
    let (extent, within, kind) = match file_extent.place {
        Place::Hole | Place::Inline => return None,
        Place::Data { extent, within } => (extent, within, ReferenceKind::Data),
        Place::Preallocated { extent, within } => (extent, within, ReferenceKind::Preallocated),
    };
    let reference = Reference {
        file,
        offset: file_extent.offset,
        within,
        len: file_extent.len,
        kind,
    };
    Some((extent.address, reference))
}

/// Items on their way to whoever remembers them.
struct Teller<'a> {
    root: u64,
    tell: &'a mut dyn FnMut(Told),
    /// The file whose file extents are told.
    file: Option<u64>,
}

impl<'a> Teller<'a> {
    fn new(root: u64, tell: &'a mut dyn FnMut(Told)) -> Teller<'a> {
        Teller {
            root,
            tell,
            file: None,
        }
    }

    fn add(&mut self, item: &SearchItem<'_>) -> Result<(), ondisk::ItemError> {
        let inode = item.key.object;
        match item.key.kind {
            Key::INODE_ITEM => {
                let inode_item = InodeItem::decode(item.bytes)?;
                self.file = is_file(&inode_item).then_some(inode);
                if is_file(&inode_item) {
                    (self.tell)(Told::File {
                        file: file_of(self.root, inode, &inode_item),
                        is_named: 0 < inode_item.nlink,
                    });
                } else if FileType::from_raw_mode(inode_item.mode) == FileType::Directory {
                    (self.tell)(Told::Folder { inode });
                }
            }
            Key::EXTENT_DATA if self.file == Some(inode) => {
                let extent = FileExtentItem::decode(item.bytes)?;
                (self.tell)(Told::Extent(file_extent_of(item.key.offset, &extent)));
            }
            Key::DIR_INDEX => {
                let location = DirItem::decode(item.bytes)?.location;
                if location.kind == Key::INODE_ITEM {
                    let inode = location.object;
                    (self.tell)(Told::Child { inode });
                }
            }
            _ => {}
        }
        Ok(())
    }
}
