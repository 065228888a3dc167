//! Which blocks the trees of subvolumes consist of, read from the device: [`TreeBlocks`].
//!
//! Searches hand out items without saying in which block they lie, and back references of blocks
//! do not say who reaches them through a shared parent. So the nodes themselves are read, past
//! every cache, once everything is committed. What the blocks are counted for it does not know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::Path;

use ondisk::{BlockPointer, ChunkItem, Key, KeyRange, RootItem, TreeBlock, TreeId};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::pread;
use scenario::BackendError;

use crate::search::{TreeSearch, damaged};
use crate::system;

/// Direct reads go to addresses that are multiples of this.
const ALIGNMENT: usize = 4096;

/// A way to the tree blocks of a filesystem on one device.
#[derive(Debug)]
pub(crate) struct TreeBlocks {
    device: OwnedFd,
    node_bytes: usize,
    /// By the address of its first byte.
    chunks: BTreeMap<u64, ChunkItem>,
    /// Those that were read. Trees share them.
    known: HashMap<BlockPointer, TreeBlock>,
    /// Room for a block, and for finding an aligned place in it.
    buffer: Vec<u8>,
}

impl TreeBlocks {
    /// Opens the device and learns where addresses lie on it.
    pub(crate) fn open(
        search: &mut TreeSearch<'_>,
        device: &Path,
        node_bytes: usize,
    ) -> Result<TreeBlocks, BackendError> {
        let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let opened = open(device, flags, Mode::empty())
            .map_err(|errno| system(format!("open {}", device.display()), errno))?;
        let mut chunks = BTreeMap::new();
        let all = KeyRange::of(Key::CHUNK_OBJECT, Key::CHUNK_ITEM);
        search.each(TreeId::CHUNK, all, |item| {
            chunks.insert(item.key.offset, ChunkItem::decode(item.bytes)?);
            Ok(())
        })?;
        Ok(TreeBlocks {
            device: opened,
            node_bytes,
            chunks,
            known: HashMap::new(),
            buffer: vec![0; node_bytes + ALIGNMENT],
        })
    }

    /// Returns the addresses of all blocks of a subvolume's tree.
    ///
    /// # Errors
    ///
    /// [`BackendError::Damaged`] if a block is not the one that is pointed at: something was
    /// committed meanwhile.
    pub(crate) fn of_tree(
        &mut self,
        search: &mut TreeSearch<'_>,
        tree: TreeId,
    ) -> Result<BTreeSet<u64>, BackendError> {
        let mut top = None;
        let items = KeyRange::of(tree.0, Key::ROOT_ITEM);
        search.each(TreeId::ROOT, items, |item| {
            top = Some(RootItem::decode(item.bytes)?.top);
            Ok(())
        })?;
        let Some(top) = top else {
            return Err(damaged(TreeId::ROOT, items.first, &"there is no root item"));
        };
        let mut blocks = BTreeSet::new();
        let mut left = vec![top];
        while let Some(pointer) = left.pop() {
            blocks.insert(pointer.bytenr);
            let block = self.block(tree, pointer)?;
            match block.level {
                0 => {}
                // Leaves are known by their parent and need not be read.
                1 => blocks.extend(block.children.iter().map(|child| child.bytenr)),
                _ => left.extend(&block.children),
            }
        }
        Ok(blocks)
    }

    /// Returns the block, read if it is not known.
    fn block(&mut self, tree: TreeId, pointer: BlockPointer) -> Result<&TreeBlock, BackendError> {
        if !self.known.contains_key(&pointer) {
            let block = self.read(tree, pointer)?;
            self.known.insert(pointer, block);
        }
        Ok(&self.known[&pointer])
    }

    fn read(&mut self, tree: TreeId, pointer: BlockPointer) -> Result<TreeBlock, BackendError> {
        let BlockPointer { bytenr, generation } = pointer;
        let at = Key {
            object: tree.0,
            kind: Key::ROOT_ITEM,
            offset: 0,
        };
        let wrong = |what: String| damaged(tree, at, &what);
        let chunk = self.chunks.range(..=bytenr).next_back();
        let offset = chunk.and_then(|(start, chunk)| {
            let within = bytenr - start;
            (within < chunk.len).then(|| chunk.device_offset + within)
        });
        let offset = offset.ok_or_else(|| wrong(format!("its block {bytenr} is in no chunk")))?;
        let start = self.buffer.as_ptr().align_offset(ALIGNMENT);
        let bytes = &mut self.buffer[start..start + self.node_bytes];
        let nr_read = pread(&self.device, &mut *bytes, offset)
            .map_err(|errno| system(format!("read the tree block at {bytenr}"), errno))?;
        let block = TreeBlock::decode(&bytes[..nr_read])
            .map_err(|error| wrong(format!("its block {bytenr}: {error}")))?;
        if (block.bytenr, block.generation) != (bytenr, generation) {
            let found = format!("{} of transaction {}", block.bytenr, block.generation);
            let what = format!("its block {bytenr} of transaction {generation} is {found}");
            return Err(wrong(what));
        }
        Ok(block)
    }
}
