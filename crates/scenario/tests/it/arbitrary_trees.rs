//! Arbitrary trees: as wild as the other values of the language.

use data::Digest;
use ondisk::{Compression, InodeFlags};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use scenario::{
    FileKind, Storage, TreeCsums, TreeExtent, TreeInode, TreeItem, TreePlace, TreeRef, TreeRoot,
    TreeUsage, Trees,
};

use crate::arbitrary::{name, number};

fn tree_item() -> impl Strategy<Value = TreeItem> {
    let compression = || {
        prop_oneof![
            Just(Compression::None),
            Just(Compression::Zlib),
            Just(Compression::Lzo),
            Just(Compression::Zstd),
        ]
    };
    let place = prop_oneof![
        number().prop_map(|disk_len| TreePlace::Inline { disk_len }),
        Just(TreePlace::Hole),
        (any::<bool>(), number(), number(), number()).prop_map(
            |(is_prealloc, extent, disk_len, skip)| TreePlace::Extent {
                is_prealloc,
                extent: Storage(extent),
                disk_len,
                skip,
            }
        ),
    ];
    (number(), number(), number(), compression(), place).prop_map(
        |(offset, len, ram_bytes, compression, place)| TreeItem {
            offset,
            len,
            ram_bytes,
            compression,
            place,
        },
    )
}

fn tree_root() -> impl Strategy<Value = TreeRoot> {
    let kind = prop_oneof![
        Just(FileKind::Regular),
        Just(FileKind::Directory),
        Just(FileKind::Fifo),
    ];
    let inode = (
        number(),
        kind,
        any::<u32>(),
        number(),
        number(),
        any::<u64>(),
        vec(tree_item(), 0..3),
    );
    let inode = inode.prop_map(|(ino, kind, nlink, size, nbytes, flags, items)| TreeInode {
        ino,
        kind,
        nlink,
        size,
        nbytes,
        flags: InodeFlags::from_raw(flags),
        items,
    });
    let usage = (number(), number()).prop_map(|(referenced, exclusive)| TreeUsage {
        referenced,
        exclusive,
    });
    let parts = (name(), any::<bool>(), option::of(usage), vec(inode, 0..3));
    parts.prop_map(|(name, is_readonly, usage, inodes)| TreeRoot {
        name,
        is_readonly,
        usage,
        inodes,
    })
}

pub(crate) fn trees() -> impl Strategy<Value = Trees> {
    let csums = (number(), number(), any::<u128>()).prop_map(|(offset, len, digest)| TreeCsums {
        offset,
        len,
        digest: Digest::from_raw(digest),
    });
    let to = (option::of(name()), number(), number()).prop_map(|(root, ino, offset)| TreeRef {
        root,
        ino,
        offset,
    });
    let extent = (number(), number(), vec(to, 0..3), vec(csums, 0..3)).prop_map(
        |(extent, len, refs, csums)| TreeExtent {
            extent: Storage(extent),
            len,
            refs,
            csums,
        },
    );
    (vec(tree_root(), 0..3), vec(extent, 0..3))
        .prop_map(|(roots, extents)| Trees { roots, extents })
}
