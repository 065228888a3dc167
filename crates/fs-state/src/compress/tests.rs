//! Compressed extents as writeback makes them and as other operations cut them.

use std::collections::BTreeMap;

use data::{Content, Digest};

use crate::{Behaviour, FileExtent, FsState, InodeId, MountOptions, TimesUpdate};

const K: u64 = 1024;

fn state() -> FsState {
    let options = MountOptions {
        compresses: true,
        ..MountOptions::default()
    };
    FsState::mounted(Behaviour::LATEST, options)
}

#[track_caller]
fn file(fs: &mut FsState, name: &str, content: &Content) -> InodeId {
    let id = fs.create_file(name, false).expect("a fresh name");
    assert_eq!(fs.write(id, 0, content), Ok(content.len()));
    id
}

/// Renders the items as `offset+len@extent-offset`, with `c` for compressed, `i` for inline.
fn items(fs: &FsState, id: InodeId) -> String {
    let mark = |is_compressed| if is_compressed { "c" } else { "" };
    let render = |(key, item): (u64, FileExtent<'_>)| match item {
        FileExtent::Inline(inline) => {
            let mark = mark(inline.compressed.is_some());
            format!("{mark}i{}", inline.content.len())
        }
        FileExtent::Regular(slice) => {
            let mark = mark(fs.extents().get(slice.extent).is_compressed());
            format!("{mark}{}+{}@{}", key / K, slice.len / K, slice.offset / K)
        }
    };
    fs.items(id).map(render).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_sound(fs: &FsState) {
    assert_eq!(fs.fsck(), []);
}

#[test]
fn what_compresses_is_cut_into_128_kib_and_what_does_not_into_512_kib() {
    let mut fs = state();
    let a = file(&mut fs, "A", &Content::byte(1, 300 * K));
    let b = file(&mut fs, "B", &Content::pattern(1, 0, 1300 * K));
    fs.sync();
    assert_eq!(items(&fs, a), "c0+128@0 c128+128@0 c256+44@0");
    assert_eq!(items(&fs, b), "0+512@0 512+512@0 1024+276@0");
    assert_eq!(fs.stat(a).blocks, 600);
    let on_disk: u64 = fs.extents().iter().map(|(_, extent)| extent.len()).sum();
    assert_eq!(on_disk, (3 * 4 + 1300) * K);
    assert_sound(&fs);
}

#[test]
fn what_does_not_compress_takes_the_rest_of_its_chunk_along() {
    let mut fs = state();
    let mut content = Content::byte(1, 128 * K);
    content.append(Content::pattern(1, 0, 128 * K));
    content.append(Content::byte(1, 768 * K));
    let a = file(&mut fs, "A", &content);
    fs.flush(a);
    let rest = "c512+128@0 c640+128@0 c768+128@0 c896+128@0";
    assert_eq!(items(&fs, a), format!("c0+128@0 128+384@0 {rest}"));
    assert_sound(&fs);
}

#[test]
fn what_is_told_of_the_compressor_counts_more_than_the_estimate() {
    let mut fs = state();
    let a = file(&mut fs, "A", &Content::byte(1, 300 * K));
    fs.tell_compressed(BTreeMap::from([((a, 128 * K), false)]));
    fs.flush(a);
    assert_eq!(items(&fs, a), "c0+128@0 128+172@0");
    let units = fs.compressed_units().iter();
    let units: Vec<_> = units.map(|unit| (unit.start, unit.is_compressed)).collect();
    assert_eq!(units, [(0, true), (128 * K, false)]);
}

#[test]
fn one_block_is_compressed_inline_or_not_at_all() {
    let mut fs = state();
    let a = file(&mut fs, "A", &Content::byte(1, 4 * K));
    fs.flush(a);
    assert_eq!(items(&fs, a), "ci4096");
    assert_eq!(fs.write(a, 4 * K, &Content::byte(1, 4 * K)), Ok(4 * K));
    fs.flush(a);
    assert_eq!(items(&fs, a), "ci4096 4+4@0");
    assert_sound(&fs);
}

#[test]
fn a_compressed_inline_item_is_written_anew_when_it_is_truncated() {
    let mut fs = state();
    let a = file(&mut fs, "A", &Content::byte(1, 3000));
    fs.flush(a);
    assert_eq!(fs.truncate(a, 1000), Ok(()));
    assert_eq!(items(&fs, a), "ci3000");
    assert!(fs.has_dirty(a, 0, 1));
    fs.flush(a);
    assert_eq!(items(&fs, a), "ci1000");
    assert_eq!(fs.truncate(a, 0), Ok(()));
    assert_eq!(items(&fs, a), "");
    assert_sound(&fs);
}

#[test]
fn a_file_without_checksums_is_not_compressed() {
    let mut fs = state();
    let a = fs.create_file("A", true).expect("a fresh name");
    assert_eq!(fs.write(a, 0, &Content::byte(1, 64 * K)), Ok(64 * K));
    fs.flush(a);
    assert_eq!(items(&fs, a), "0+64@0");
}

#[test]
fn what_was_preallocated_once_is_not_compressed() {
    let mut fs = state();
    let a = fs.create_file("A", false).expect("a fresh name");
    assert_eq!(fs.fallocate(a, 0, 4 * K, false), Ok(()));
    assert_eq!(fs.write(a, 0, &Content::byte(1, 64 * K)), Ok(64 * K));
    fs.flush(a);
    assert_eq!(items(&fs, a), "0+4@0 4+60@0");
    assert_sound(&fs);
}

#[test]
fn cut_items_keep_the_whole_extent_until_the_last_of_them_goes() {
    let mut fs = state();
    let a = file(&mut fs, "A", &Content::byte(1, 64 * K));
    let b = file(&mut fs, "B", &Content::byte(1, 64 * K));
    fs.sync();
    let (from, len) = (16 * K, 16 * K);
    fs.clone_extents(a, from, len, len, b, 0, TimesUpdate::Keep);
    assert_eq!(items(&fs, b), "c0+16@16 c16+48@16");
    assert_eq!(fs.truncate(a, 0), Ok(()));
    assert_eq!(fs.extents().iter().count(), 2);
    assert_eq!(fs.truncate(b, 0), Ok(()));
    assert_eq!(fs.extents().iter().count(), 0);
    assert_sound(&fs);
}

#[test]
fn a_size_is_adopted_once_and_only_if_it_can_be_one() {
    let mut fs = state();
    let a = file(&mut fs, "A", &Content::byte(1, 128 * K));
    let b = file(&mut fs, "B", &Content::byte(1, 3000));
    fs.count_quota();
    fs.sync();
    let (id, _) = fs.extents().iter().next().expect("an extent");
    let digest = Digest::of(b"checksums");
    for impossible in [0, 4097, 128 * K, 256 * K] {
        assert!(!fs.adopt_compressed(id, impossible, digest), "{impossible}");
    }
    assert!(fs.adopt_compressed(id, 12 * K, digest));
    assert!(!fs.adopt_compressed(id, 8 * K, digest));
    assert_eq!(fs.extents().get(id).len(), 12 * K);
    let root = fs.inode(a).root();
    assert_eq!(fs.usage(root).map(|usage| usage.exclusive), Some(12 * K));
    let Some((_, FileExtent::Inline(inline))) = fs.items(b).next() else {
        panic!("no inline item");
    };
    let inline = inline.compressed.expect("a compressed one");
    assert!(!fs.adopt_inline_len(inline, 0));
    assert!(!fs.adopt_inline_len(inline, 2049));
    assert!(fs.adopt_inline_len(inline, 31));
    assert!(!fs.adopt_inline_len(inline, 32));
    assert_eq!(fs.inline_len(inline), 31);
    assert_sound(&fs);
}
