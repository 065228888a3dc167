//! What the model's trees say, in the words of the language.

use std::collections::BTreeMap;
use std::convert::Infallible;

use data::Digest;
use fs_state::{BLOCK, Extent, ExtentId, FileExtent, FsState, Inode, InodeId, Kind, SliceKind};
use ondisk::{ChecksumKind, Compression, InodeFlags};
use scenario::{
    Answer, FileKind, Name, Outcome, Storage, TreeCsums, TreeExtent, TreeInode, TreeItem,
    TreePlace, TreeRef, TreeRoot, TreeUsage, Trees,
};

use super::Sequential;

impl Sequential {
    /// Commits, empties the page cache, and tells what the trees say. What `fsck` finds is a
    /// complaint: of a correct model there is none.
    pub(super) fn tree(&mut self) -> Answer {
        let (checksum, compression) = (self.checksum, self.compression);
        let fs = self.machine.fs_mut();
        fs.sync();
        fs.drop_clean_pages();
        // For that every file that has a name is opened and closed.
        let named = fs.inodes().filter(|(_, inode)| inode.nr_links() > 0);
        for id in named.map(|(id, _)| id).collect::<Vec<_>>() {
            fs.release(id);
        }
        let violations = fs.fsck();
        Answer {
            complaints: violations.iter().map(|v| format!("fsck: {v}")).collect(),
            ..Answer::plain(Outcome::Trees(Box::new(trees(fs, checksum, compression))))
        }
    }
}

/// Tells what the trees say, the checksums being of this kind and what is compressed of that.
pub(super) fn trees(fs: &mut FsState, checksum: ChecksumKind, compression: Compression) -> Trees {
    let names = fs.walk_names();
    let root_names: BTreeMap<_, _> = names
        .roots
        .iter()
        .filter_map(|(&root, path)| Some((root, Name::new(path)?)))
        .collect();
    let mut roots: BTreeMap<_, _> = root_names
        .iter()
        .map(|(&root, name)| {
            let tree = TreeRoot {
                name: name.clone(),
                is_readonly: fs.is_readonly(root),
                usage: fs.usage(root).map(|usage| TreeUsage {
                    referenced: usage.referenced,
                    exclusive: usage.exclusive,
                }),
                inodes: Vec::new(),
            };
            (root, tree)
        })
        .collect();
    for (id, inode) in fs.inodes() {
        let nlink = names.nr_names.get(&id).copied().unwrap_or(0);
        if let Some(root) = roots.get_mut(&inode.root()).filter(|_| is_in_tree(inode)) {
            root.inodes.push(tree_inode(fs, id, nlink, compression));
        }
    }
    let mut roots: Vec<TreeRoot> = roots.into_values().collect();
    for root in &mut roots {
        root.inodes.sort_by_key(|inode| inode.ino);
    }
    roots.sort_by(|one, two| one.name.cmp(&two.name));
    let mut resolved = fs.resolved_refs();
    let mut tree_extent = |(id, extent): (ExtentId, &Extent)| {
        let refs = resolved.remove(&id).unwrap_or_default();
        let refs = refs.into_iter().map(|to| TreeRef {
            root: root_names.get(&to.root).cloned(),
            ino: to.ino,
            offset: to.offset,
        });
        TreeExtent {
            extent: Storage(extent.bytenr()),
            len: extent.len(),
            refs: refs.collect(),
            csums: csums(extent, checksum),
        }
    };
    let mut extents: Vec<TreeExtent> = fs.extents().iter().map(&mut tree_extent).collect();
    extents.sort_by_key(|extent| extent.extent);
    Trees { roots, extents }
}

/// Returns whether the inode has an inode item: a subvolume inside a snapshot shows as a directory
/// that has none.
fn is_in_tree(inode: &Inode) -> bool {
    inode.ino() >= ondisk::Key::FIRST_FREE
}

fn tree_inode(fs: &FsState, id: InodeId, nlink: u32, compression: Compression) -> TreeInode {
    let inode = fs.inode(id);
    let items = fs.items(id);
    let items = items.map(|(key, item)| tree_item(fs, key, item, compression));
    let items: Vec<TreeItem> = items.collect();
    let flags = InodeFlags::default()
        .with(InodeFlags::NODATASUM, inode.is_nodatasum())
        .with(InodeFlags::NODATACOW, inode.is_nodatacow())
        .with(InodeFlags::PREALLOC, inode.has_prealloc())
        .with(InodeFlags::IMMUTABLE, inode.is_immutable())
        .with(InodeFlags::APPEND, inode.is_append());
    TreeInode {
        ino: inode.ino(),
        kind: match inode.kind() {
            Kind::Regular => FileKind::Regular,
            Kind::Directory => FileKind::Directory,
            Kind::Fifo => FileKind::Fifo,
        },
        nlink,
        size: fs.disk_size(id),
        nbytes: inode.nbytes(),
        flags,
        items,
    }
}

pub(super) fn tree_item(
    fs: &FsState,
    key: u64,
    item: FileExtent<'_>,
    compression: Compression,
) -> TreeItem {
    let is_compressed;
    let (ram_bytes, place) = match item {
        FileExtent::Inline(inline) => {
            let len = inline.content.len();
            is_compressed = inline.compressed.is_some();
            let disk_len = inline.compressed.map_or(len, |id| fs.inline_len(id));
            (len, TreePlace::Inline { disk_len })
        }
        FileExtent::Regular(slice) => {
            let extent = fs.extents().get(slice.extent);
            is_compressed = extent.is_compressed();
            let place = TreePlace::Extent {
                is_prealloc: slice.kind == SliceKind::Prealloc,
                extent: Storage(extent.bytenr()),
                disk_len: extent.len(),
                skip: slice.offset,
            };
            (extent.item_ram_bytes(), place)
        }
    };
    TreeItem {
        offset: key,
        len: item.end(key) - key,
        ram_bytes,
        compression: match is_compressed {
            true => compression,
            false => Compression::None,
        },
        place,
    }
}

/// Returns the checksums of an extent, computed from the bytes that it holds; those of compressed
/// bytes as far as they are known, of which there is a digest only.
fn csums(extent: &Extent, checksum: ChecksumKind) -> Vec<TreeCsums> {
    if let Some(compressed) = extent.compressed() {
        let digest = compressed.checksums().unwrap_or(Digest::of(&[]));
        return vec![TreeCsums {
            offset: 0,
            len: extent.len(),
            digest,
        }];
    }
    let of_range = |(start, end): (u64, u64)| {
        let mut checksums = Vec::new();
        let mut block = Vec::with_capacity(BLOCK as usize);
        let walked = extent
            .content()
            .try_for_each_chunk(start..end, |mut bytes| {
                while !bytes.is_empty() {
                    let (head, rest) =
                        bytes.split_at(bytes.len().min(BLOCK as usize - block.len()));
                    block.extend_from_slice(head);
                    bytes = rest;
                    if block.len() == BLOCK as usize {
                        checksum.append(&block, &mut checksums);
                        block.clear();
                    }
                }
                Ok::<(), Infallible>(())
            });
        debug_assert!(walked.is_ok(), "nothing stops the walk");
        TreeCsums {
            offset: start,
            len: end - start,
            digest: Digest::of(&checksums),
        }
    };
    extent.csum_ranges().map(of_range).collect()
}
