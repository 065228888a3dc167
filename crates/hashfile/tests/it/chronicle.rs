//! A model volume with a history: [`Chronicle`].
//!
//! It notes what changed from commit to commit, as leaves do, and lets what the model never does
//! happen to addresses: a freed one is used again by the next extent of that length, and extents
//! are moved (balanced) behind the backs of their inodes. It counts what is read.

mod as_volume;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use data::Digest;
use model::ModelVolume;
use volume::{
    Extent, File, FileExtent, FileId, FileRange, History, Moment, Newer, Place, Subvolume, Told,
    Volume, VolumeError,
};

const BLOCK: u64 = 4096;
/// The folder of every subvolume: all its files are in it.
const TOP: u64 = 256;
/// Files of one portion of a walk.
const NR_FILES_OF_PORTION: usize = 3;

/// What is noted of a file.
#[derive(Clone, Copy, Debug)]
struct Noted {
    inode_digest: u64,
    inode_transid: u64,
    leaf_digest: u64,
    leaf_transid: u64,
}

/// What is noted of an extent.
#[derive(Clone, Copy, Debug)]
struct Placed {
    address: u64,
    len: u64,
    /// The transaction that put it there.
    transid: u64,
}

/// The filesystem, which outlives the runs.
pub(crate) struct Shared {
    pub(crate) volume: ModelVolume,
    transid: u64,
    /// What was committed last.
    committed: u64,
    files: BTreeMap<FileId, Noted>,
    /// The folders' contents, and who changed them last.
    folders: BTreeMap<u64, (Vec<u64>, u64)>,
    /// Extents by their address in the model.
    placed: BTreeMap<u64, Placed>,
    free: Vec<(u64, u64)>,
    next_address: u64,
    pub(crate) min_bytes: u64,
    pub(crate) excluded: BTreeSet<u64>,
    /// Calls that are left before the process is killed.
    pub(crate) nr_calls_left: Option<u32>,
    pub(crate) nr_blocks_read: u64,
    pub(crate) nr_inodes_told: u64,
}

/// A run's view of it.
#[derive(Clone)]
pub(crate) struct Chronicle(pub(crate) Rc<RefCell<Shared>>);

impl Chronicle {
    pub(crate) fn new(volume: ModelVolume) -> Chronicle {
        Chronicle(Rc::new(RefCell::new(Shared {
            volume,
            transid: 7,
            committed: 0,
            files: BTreeMap::new(),
            folders: BTreeMap::new(),
            placed: BTreeMap::new(),
            free: Vec::new(),
            next_address: 1 << 20,
            min_bytes: 0,
            excluded: BTreeSet::new(),
            nr_calls_left: None,
            nr_blocks_read: 0,
            nr_inodes_told: 0,
        })))
    }

    /// Returns a copy that goes its own way.
    pub(crate) fn fork(&self) -> Chronicle {
        let shared = self.0.borrow();
        Chronicle(Rc::new(RefCell::new(Shared {
            volume: shared.volume.clone(),
            files: shared.files.clone(),
            folders: shared.folders.clone(),
            placed: shared.placed.clone(),
            free: shared.free.clone(),
            excluded: shared.excluded.clone(),
            ..*shared
        })))
    }
}

impl Shared {
    /// Counts a call of the run; the last one that it makes fails.
    fn call(&mut self) -> Result<(), VolumeError> {
        if let Some(left) = &mut self.nr_calls_left {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| VolumeError::Fatal("killed".to_owned()))?;
        }
        Ok(())
    }

    /// Returns where an extent of the model is.
    fn place(&mut self, address: u64, len: u64) -> Placed {
        let transid = self.transid + 1;
        if let Some(placed) = self.placed.get(&address) {
            return *placed;
        }
        let found = match self.free.iter().position(|(_, free_len)| *free_len == len) {
            Some(idx) => self.free.remove(idx).0,
            None => {
                self.next_address += len + BLOCK;
                self.next_address - len
            }
        };
        let placed = Placed {
            address: found,
            len,
            transid,
        };
        self.placed.insert(address, placed);
        placed
    }

    fn placed_extent(&mut self, extent: Extent) -> Extent {
        let placed = self.place(extent.address, extent.disk_bytes);
        Extent {
            address: placed.address,
            ..extent
        }
    }

    fn placed_item(&mut self, item: FileExtent) -> FileExtent {
        let place = match item.place {
            Place::Data { extent, within } => Place::Data {
                extent: self.placed_extent(extent),
                within,
            },
            Place::Preallocated { extent, within } => Place::Preallocated {
                extent: self.placed_extent(extent),
                within,
            },
            place => place,
        };
        FileExtent { place, ..item }
    }

    /// Returns the address in the model.
    fn real(&self, address: u64) -> Option<u64> {
        let mut placed = self.placed.iter();
        let found = placed.find(|(_, placed)| placed.address == address);
        found.map(|(real, _)| *real)
    }

    /// Moves the extent of this index elsewhere, as balancing does.
    pub(crate) fn balance(&mut self, extent_idx: usize) {
        let len = self.placed.len().max(1);
        let Some(real) = self.placed.keys().nth(extent_idx % len).copied() else {
            return;
        };
        let old = self.placed[&real];
        self.placed.remove(&real);
        self.place(real, old.len);
        self.free.push((old.address, old.len));
    }

    /// Returns the extents of the model.
    fn extents(&self) -> Vec<(u64, u64)> {
        let extents = self.volume.machine().fs().extents();
        extents
            .iter()
            .map(|(_, extent)| (extent.bytenr(), extent.len()))
            .collect()
    }

    /// Returns a file as it is told now, with its items.
    fn told(&mut self, id: FileId) -> Result<Option<(File, Vec<FileExtent>)>, VolumeError> {
        let files = self.volume.files();
        let Some(&inode) = files.get(&id) else {
            return Ok(None);
        };
        let Some(file) = self.volume.file(id)? else {
            return Ok(None);
        };
        let mut items = Vec::new();
        let whole = FileRange {
            file: id,
            offset: 0,
            len: u64::MAX / 2,
        };
        self.volume.file_extents(whole, &mut items)?;
        let items: Vec<_> = items.into_iter().map(|it| self.placed_item(it)).collect();
        let content: Digest = self.volume.machine().fs().content(inode).digest();
        // What makes an inode change: anything but where its extents are.
        let bare: Vec<_> = items.iter().map(|it| bare(*it)).collect();
        let inode_digest = digest(&format!("{file:?} {bare:?} {content:?}"));
        let leaf_digest = digest(&format!("{inode_digest} {items:?}"));
        let next = self.transid + 1;
        let noted = self.files.entry(id).or_insert(Noted {
            inode_digest,
            inode_transid: next,
            leaf_digest,
            leaf_transid: next,
        });
        if noted.inode_digest != inode_digest {
            (noted.inode_digest, noted.inode_transid) = (inode_digest, next);
        }
        if noted.leaf_digest != leaf_digest {
            (noted.leaf_digest, noted.leaf_transid) = (leaf_digest, next);
        }
        let file = File {
            generation: noted.inode_transid,
            ..file
        };
        Ok(Some((file, items)))
    }

    fn roots(&mut self) -> BTreeSet<u64> {
        let mut roots: BTreeSet<u64> = self.volume.files().keys().map(|id| id.root).collect();
        roots.insert(5);
        roots
    }

    fn children(&mut self, root: u64) -> Vec<u64> {
        let files = self.volume.files();
        let of_root = files.keys().filter(|id| id.root == root);
        of_root.map(|id| id.inode).collect()
    }

    /// Commits: whatever changed until now has this transaction at most. Where nothing has changed
    /// there is none.
    fn commit(&mut self) -> Result<(), VolumeError> {
        self.volume.sync()?;
        for id in self.volume.files().into_keys().collect::<Vec<_>>() {
            self.told(id)?;
        }
        for root in self.roots() {
            let children = self.children(root);
            let next = self.transid + 1;
            let folder = self.folders.entry(root).or_insert((Vec::new(), next));
            if folder.0 != children {
                *folder = (children, next);
            }
        }
        let there: BTreeSet<u64> = self.extents().into_iter().map(|(at, _)| at).collect();
        let gone: Vec<u64> = self
            .placed
            .keys()
            .copied()
            .filter(|at| !there.contains(at))
            .collect();
        for real in gone {
            let placed = self.placed.remove(&real).expect("it was there");
            self.free.push((placed.address, placed.len));
        }
        let files = self.volume.files();
        self.files.retain(|id, _| files.contains_key(id));
        let state = (&self.files, &self.folders, &self.placed, self.extents());
        let state = digest(&format!("{state:?}"));
        if self.committed != state {
            self.committed = state;
            self.transid += 1;
        }
        Ok(())
    }
}

fn bare(item: FileExtent) -> (u64, u64, u64, bool, u64) {
    let (is_prealloc, within) = match item.place {
        Place::Data { within, .. } => (false, within),
        Place::Preallocated { within, .. } => (true, within),
        Place::Hole | Place::Inline => (false, 0),
    };
    (item.offset, item.len, item.generation, is_prealloc, within)
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl History for Chronicle {
    fn filesystem(&self) -> [u8; 16] {
        [3; 16]
    }

    fn checksum_kind(&self) -> u64 {
        0
    }

    fn moment(&mut self) -> Result<Moment, VolumeError> {
        let mut shared = self.0.borrow_mut();
        shared.call()?;
        shared.commit()?;
        let subvolumes = shared.roots().into_iter().map(|root| Subvolume {
            root,
            uuid: [root as u8; 16],
        });
        Ok(Moment {
            subvolumes: subvolumes.collect(),
            transid: shared.transid,
        })
    }

    fn is_in_scope(&self, file: &File) -> bool {
        let shared = self.0.borrow();
        shared.min_bytes <= file.size && !shared.excluded.contains(&file.id.inode)
    }

    fn roots_in_scope(&self) -> Vec<u64> {
        self.0.borrow_mut().roots().into_iter().collect()
    }

    fn hash_scope(&self, mut hasher: &mut dyn Hasher) {
        let shared = self.0.borrow();
        (shared.min_bytes, &shared.excluded).hash(&mut hasher);
    }

    fn walk(
        &mut self,
        root: u64,
        from_inode: u64,
        _: u64,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Option<u64>, VolumeError> {
        let children = self.0.borrow_mut().children(root);
        if from_inode <= TOP {
            self.inode(root, TOP, tell)?;
        }
        let rest = children.into_iter().filter(|it| from_inode <= *it);
        for (nr_files, inode) in rest.enumerate() {
            if nr_files == NR_FILES_OF_PORTION {
                return Ok(Some(inode));
            }
            self.inode(root, inode, tell)?;
        }
        Ok(None)
    }

    fn newer(
        &mut self,
        root: u64,
        since: u64,
        tell: &mut dyn FnMut(Newer),
    ) -> Result<(), VolumeError> {
        let mut shared = self.0.borrow_mut();
        shared.call()?;
        if let Some((_, transid)) = shared.folders.get(&root)
            && since < *transid
        {
            tell(Newer::Inode {
                inode: TOP,
                transid: *transid,
            });
        }
        let children = shared.children(root);
        let mut newer = BTreeSet::new();
        for inode in children {
            let id = FileId { root, inode };
            shared.told(id)?;
            if since < shared.files[&id].leaf_transid {
                // Its neighbours lie in the same leaf.
                newer.extend([inode - 1, inode, inode + 1]);
            }
        }
        for inode in newer {
            let Some((file, items)) = shared.told(FileId { root, inode })? else {
                continue;
            };
            let transid = file.generation;
            tell(Newer::Inode { inode, transid });
            for extent in items {
                tell(Newer::Extent { inode, extent });
            }
        }
        Ok(())
    }

    fn inode(
        &mut self,
        root: u64,
        inode: u64,
        tell: &mut dyn FnMut(Told),
    ) -> Result<bool, VolumeError> {
        let mut shared = self.0.borrow_mut();
        shared.call()?;
        shared.nr_inodes_told += 1;
        if inode == TOP {
            tell(Told::Folder { inode });
            for inode in shared.children(root) {
                tell(Told::Child { inode });
            }
            return Ok(true);
        }
        let Some((file, items)) = shared.told(FileId { root, inode })? else {
            return Ok(false);
        };
        let is_named = true;
        tell(Told::File { file, is_named });
        items.into_iter().for_each(|it| tell(Told::Extent(it)));
        Ok(true)
    }

    fn extent_generation(&mut self, extent: &Extent) -> Result<Option<u64>, VolumeError> {
        let shared = self.0.borrow();
        let real = shared.real(extent.address);
        Ok(real.map(|real| shared.placed[&real].transid))
    }
}
