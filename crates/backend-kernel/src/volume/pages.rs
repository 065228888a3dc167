//! Subvolume trees as pages of files: [`Pages`].
//!
//! One pass over each tree in the order of its keys; an inode item comes before the file extent
//! items of the inode.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ondisk::{FileExtentItem, InodeItem, Key, SearchItem, TreeId};
use volume::{File, FileId, Page, Position, VolumeError};

use super::ahead::Ahead;
use super::items::{file_extent_of, file_of, is_file};
use super::memo::{Births, Memo};
use super::references::reference_of;
use super::searcher::Found;
use super::trees::{Size, Trees, inodes_from};

/// A page is full with so many file extents or files.
const PAGE_LEN: usize = 1 << 16;

/// Bytes of an item in a leaf besides its data (`struct btrfs_item`).
const ITEM_LEN: u64 = 25;

/// Which inodes of a subvolume are in scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RootScope {
    /// All of them.
    All,
    /// These, in order.
    Some(Vec<u64>),
}

impl RootScope {
    pub(super) fn has(&self, inode: u64) -> bool {
        match self {
            RootScope::All => true,
            RootScope::Some(inodes) => inodes.binary_search(&inode).is_ok(),
        }
    }
}

/// What of the filesystem is in scope, and how long it took to look at it.
#[derive(Debug)]
pub(super) struct Pages {
    /// The subvolumes.
    roots: BTreeMap<u64, RootScope>,
    min_bytes: u64,
    /// The file of somebody who stands before the volume; it is not.
    left_out: Option<FileId>,
    /// Time spent in the pages of the last walk.
    spent: Duration,
    /// What the walk saw, in scope or not.
    pub(super) memo: Memo,
    /// When the files were created that it saw.
    pub(super) births: Births,
    /// Where the last page ended in the middle of a tree.
    stopped: Option<Stopped>,
    /// Bytes of items that the walk has seen, and of the trees that they are in.
    walked_bytes: u64,
    tree_bytes: u64,
}

/// How long a walk over trees took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    spent: Duration,
    /// Bytes of the trees.
    bytes: u64,
}

impl Pace {
    /// Returns how long a walk over trees of so many bytes would take, about.
    pub(super) fn of(self, bytes: u64) -> Duration {
        let share = bytes as f64 / self.bytes.max(1) as f64;
        Duration::try_from_secs_f64(self.spent.as_secs_f64() * share).unwrap_or(Duration::MAX)
    }
}

/// A walk over a subvolume that a full page has stopped.
#[derive(Debug)]
struct Stopped {
    position: Position,
    ahead: Ahead,
    /// Whose items come next, if some of them were seen.
    current: Current,
}

impl Pages {
    pub(super) fn new(roots: BTreeMap<u64, RootScope>, min_bytes: u64) -> Pages {
        Pages {
            roots,
            min_bytes,
            left_out: None,
            spent: Duration::ZERO,
            memo: Memo::default(),
            births: Births::default(),
            stopped: None,
            walked_bytes: 0,
            tree_bytes: 0,
        }
    }

    /// Forgets what was seen, because it changes.
    pub(super) fn forget(&mut self) {
        self.memo.forget();
        self.stopped = None;
    }

    /// Returns how fast the last walk was, if there was one.
    pub(super) fn pace(&self) -> Option<Pace> {
        (!self.spent.is_zero()).then_some(Pace {
            spent: self.spent,
            bytes: self.tree_bytes,
        })
    }

    /// Returns the subvolumes in which something may be in scope.
    pub(super) fn roots(&self) -> impl Iterator<Item = u64> {
        self.roots.keys().copied()
    }

    /// Takes a file out of scope, for [`Pages::has`] only: whoever stands before asks that.
    pub(super) fn leave_out(&mut self, file: FileId) {
        self.left_out = Some(file);
    }

    /// Feeds everything that decides on what is in scope.
    pub(super) fn hash_scope(&self, mut hasher: &mut dyn Hasher) {
        (&self.roots, self.min_bytes, self.left_out).hash(&mut hasher);
    }

    /// Returns whether a file with a name is in scope.
    pub(super) fn has(&self, file: &File) -> bool {
        let of_root = self.roots.get(&file.id.root);
        let is_left_out = self.left_out == Some(file.id);
        !is_left_out
            && self.min_bytes <= file.size
            && of_root.is_some_and(|scope| scope.has(file.id.inode))
    }

    /// Learns how long a walk over all trees is; none of it is done.
    pub(super) fn begin_walk(&mut self, trees: &mut Trees) -> Result<(), VolumeError> {
        (self.walked_bytes, self.tree_bytes) = (0, 0);
        for &root in self.roots.keys() {
            self.tree_bytes += trees.bytes_of(root)?;
        }
        Ok(())
    }

    /// Counts an item that the walk has seen.
    pub(super) fn count_walked(&mut self, item: &SearchItem<'_>) {
        self.walked_bytes += ITEM_LEN + item.bytes.len() as u64;
    }

    /// Returns about which part of the walk is done. Blocks of trees are not full, so that it may
    /// be more.
    pub(super) fn walked(&self) -> Option<f64> {
        let share = self.walked_bytes as f64 / self.tree_bytes as f64;
        (0 < self.tree_bytes).then(|| share.min(1.0))
    }

    /// Fills `page` from `from` on; returns where the next one begins.
    pub(super) fn next(
        &mut self,
        trees: &mut Trees,
        from: Position,
        newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        page.clear();
        let start = Instant::now();
        if from == Position::default() {
            self.stopped = None;
            self.spent = Duration::ZERO;
            self.memo.begin();
            self.births = Births::default();
            self.begin_walk(trees)?;
        }
        if 0 < newer_than {
            self.memo.forget();
        }
        let mut from = from;
        let next = loop {
            let Some((&root, scope)) = self.roots.range(from.root..).next() else {
                self.memo.end();
                break None;
            };
            if from.root != root {
                from = Position {
                    root,
                    ..Position::default()
                };
            }
            let mut walk = Walk {
                trees,
                adding: Adding {
                    root,
                    scope,
                    min_bytes: self.min_bytes,
                    page,
                    memo: &mut self.memo,
                    births: &mut self.births,
                    current: Current::default(),
                },
                stopped: &mut self.stopped,
                walked_bytes: &mut self.walked_bytes,
            };
            let next = match newer_than {
                0 => walk.all(from)?,
                transid => walk.changed(from, transid)?,
            };
            if next.is_some() {
                break next;
            }
            self.memo.end_root(root);
            from = Position {
                root: root + 1,
                ..Position::default()
            };
            if is_full(page) {
                break Some(from);
            }
        };
        // What changed is only a part.
        if newer_than == 0 {
            self.spent += start.elapsed();
        }
        Ok(next)
    }
}

fn is_full(page: &Page) -> bool {
    PAGE_LEN <= page.file_extents.len().max(page.files.len())
}

/// A pass over one subvolume.
struct Walk<'a> {
    trees: &'a mut Trees,
    adding: Adding<'a>,
    stopped: &'a mut Option<Stopped>,
    walked_bytes: &'a mut u64,
}

/// The inode whose items are being walked.
#[derive(Clone, Copy, Debug, Default)]
struct Current {
    inode: u64,
    /// The file that it is.
    file: Option<File>,
    /// Whether it is in scope: its file extents go to the page.
    is_wanted: bool,
}

impl Current {
    /// Returns the file, if its file extents go to the page.
    fn wanted(&self) -> Option<File> {
        self.file.filter(|_| self.is_wanted)
    }
}

impl Walk<'_> {
    /// Adds everything from `from` on, until the page is full.
    fn all(&mut self, from: Position) -> Result<Option<Position>, VolumeError> {
        let mut ahead = match self.stopped.take() {
            Some(stopped) if stopped.position == from => {
                self.adding.current = stopped.current;
                stopped.ahead
            }
            _ => self.begin(from)?,
        };
        if let Some(file) = self.adding.current.wanted() {
            self.adding.page.push_file(file);
        }
        while let Some(found) = ahead.next()? {
            self.add(&found)?;
            if is_full(self.adding.page)
                && let Some(next) = ahead.peek()?
            {
                let position = self.stop_before(next);
                *self.stopped = Some(Stopped {
                    position,
                    ahead,
                    current: self.adding.current,
                });
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Begins anywhere.
    fn begin(&mut self, from: Position) -> Result<Ahead, VolumeError> {
        let tree = TreeId(self.adding.root);
        if from.offset == 0 {
            return Ok(self.trees.ahead(tree, inodes_from(from.inode, 0, 0)));
        }
        // In the middle of a file, which may be gone.
        if let Some(item) = self.trees.inode(self.adding.root, from.inode)? {
            self.adding.current = self.adding.current_of(from.inode, &item);
        }
        let rest = inodes_from(from.inode, Key::EXTENT_DATA, from.offset);
        Ok(self.trees.ahead(tree, rest))
    }

    fn add(&mut self, found: &Found) -> Result<(), VolumeError> {
        self.trees.nr_items += u64::from(found.nr_items);
        let tree = TreeId(self.adding.root);
        found.each(tree, |item| {
            *self.walked_bytes += ITEM_LEN + item.bytes.len() as u64;
            self.adding.add(item)
        })
    }

    /// Ends the page where the next item has the key `next`; returns where to go on.
    fn stop_before(&mut self, next: Key) -> Position {
        let id = FileId {
            root: self.adding.root,
            inode: next.object,
        };
        let is_of_file =
            self.adding.current.file.is_some() && self.adding.current.inode == next.object;
        if !is_of_file {
            self.adding.current = Current::default();
            return Position::of(id);
        }
        // Nothing of the file comes that anybody wants.
        if Key::EXTENT_DATA < next.kind {
            self.adding.current = Current::default();
            return Position::behind(id);
        }
        if next.kind == Key::EXTENT_DATA && 0 < next.offset {
            return Position {
                offset: next.offset,
                ..Position::of(id)
            };
        }
        // Its file extents have not been seen yet.
        if self.adding.current.is_wanted {
            self.adding.page.files.pop();
        }
        Position::of(id)
    }

    /// Adds the files that a transaction behind `transid` changed, until the page is full.
    fn changed(&mut self, from: Position, transid: u64) -> Result<Option<Position>, VolumeError> {
        let mut inodes = Vec::new();
        let tree = TreeId(self.adding.root);
        let range = inodes_from(from.inode, 0, 0);
        // A leaf that the transaction itself changed may have later changes, too.
        self.trees.each(Size::Large, tree, range, transid, |item| {
            if item.key.kind == Key::INODE_ITEM {
                let inode = InodeItem::decode(item.bytes)?;
                if transid < inode.transid {
                    inodes.push(item.key.object);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for inode in inodes {
            if is_full(self.adding.page) {
                let id = FileId {
                    root: self.adding.root,
                    inode,
                };
                return Ok(Some(Position::of(id)));
            }
            let mut range = inodes_from(inode, 0, 0);
            range.last.object = inode;
            self.trees.each(Size::Small, tree, range, 0, |item| {
                self.adding.add(item)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(None)
    }
}

/// Items on their way to a page.
struct Adding<'a> {
    root: u64,
    scope: &'a RootScope,
    min_bytes: u64,
    page: &'a mut Page,
    memo: &'a mut Memo,
    births: &'a mut Births,
    current: Current,
}

impl Adding<'_> {
    /// Returns what an inode item says of its inode.
    fn current_of(&self, inode: u64, item: &InodeItem) -> Current {
        Current {
            inode,
            file: is_file(item).then(|| file_of(self.root, inode, item)),
            is_wanted: is_wanted(item, inode, self.scope, self.min_bytes),
        }
    }

    /// Adds what an item says.
    fn add(&mut self, item: &SearchItem<'_>) -> Result<(), ondisk::ItemError> {
        let inode = item.key.object;
        match item.key.kind {
            Key::INODE_ITEM => {
                let inode_item = InodeItem::decode(item.bytes)?;
                self.current = self.current_of(inode, &inode_item);
                if let Some(file) = self.current.file {
                    self.memo.add_file(file);
                    self.births.add(file.id, inode_item.generation);
                }
                if let Some(file) = self.current.wanted() {
                    self.page.push_file(file);
                }
            }
            Key::EXTENT_DATA => {
                let file_extent = FileExtentItem::decode(item.bytes)?;
                if let Some((address, reference)) = reference_of(self.root, item.key, &file_extent)
                {
                    self.memo.add_reference(address, reference);
                }
                if self.current.is_wanted && self.current.inode == inode {
                    self.page
                        .push_extent(file_extent_of(item.key.offset, &file_extent));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns whether an inode is a file in scope, with a name.
fn is_wanted(item: &InodeItem, inode: u64, scope: &RootScope, min_bytes: u64) -> bool {
    is_file(item) && 0 < item.nlink && min_bytes <= item.size && scope.has(inode)
}
