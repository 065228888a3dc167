//! Tests of the state through its public operations.

use std::collections::BTreeMap;

use data::Content;
use uapi::Errno;

use crate::{Behaviour, FileExtent, FsState, InodeId, Shortage, Shown, SliceKind, TimesUpdate};

const K: u64 = 1024;

fn state() -> FsState {
    FsState::new(Behaviour::LATEST)
}

#[track_caller]
fn file(fs: &mut FsState, name: &str) -> InodeId {
    fs.create_file(name, false).expect("a fresh name")
}

#[track_caller]
fn write(fs: &mut FsState, id: InodeId, at: u64, content: &Content) {
    assert_eq!(fs.write(id, at, content), Ok(content.len()));
}

/// Renders the items as `offset+len@extent-offset`, with `p` for preallocated, `i` for inline.
fn items(fs: &FsState, id: InodeId) -> String {
    let render = |(key, item): (u64, FileExtent<'_>)| match item {
        FileExtent::Inline(inline) => format!("i{}", inline.content.len()),
        FileExtent::Regular(slice) => format!(
            "{}{}+{}@{}",
            if slice.kind == SliceKind::Prealloc {
                "p"
            } else {
                ""
            },
            key / K,
            slice.len / K,
            slice.offset / K
        ),
    };
    fs.items(id).map(render).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_sound(fs: &FsState) {
    assert_eq!(fs.fsck(), []);
}

#[test]
fn contiguous_dirty_pages_become_one_extent() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    write(&mut fs, a, 16 * K, &Content::byte(1, 16 * K));
    write(&mut fs, a, 0, &Content::byte(2, 16 * K));
    write(&mut fs, a, 64 * K, &Content::byte(3, 100));
    fs.flush(a);
    assert_eq!(items(&fs, a), "0+32@0 64+4@0");
    assert_sound(&fs);
}

#[test]
fn a_flush_of_a_range_takes_the_delalloc_behind_it_along() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    write(&mut fs, a, 0, &Content::byte(1, 128 * K));
    fs.wait_ordered_range(a, 48 * K, 4 * K);
    assert_eq!(items(&fs, a), "48+80@0");
    fs.flush(a);
    assert_eq!(items(&fs, a), "0+48@0 48+80@0");
    assert_sound(&fs);
}

#[test]
fn an_overwrite_in_the_middle_splits_an_item_and_counts_its_reference_twice() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    write(&mut fs, a, 0, &Content::pattern(7, 0, 64 * K));
    fs.flush(a);
    write(&mut fs, a, 16 * K, &Content::byte(9, 4 * K));
    fs.flush(a);
    assert_eq!(items(&fs, a), "0+16@0 16+4@0 20+44@20");
    let counts: Vec<u64> = fs
        .extents()
        .iter()
        .map(|(id, _)| fs.references(id).iter().map(|r| u64::from(r.count)).sum())
        .collect();
    assert_eq!(counts, [2, 1]);
    assert!(!fs.extents().iter().any(|(id, _)| fs.is_extent_shared(id)));
    assert_sound(&fs);
}

#[test]
fn a_small_file_goes_inline_and_leaves_it_when_it_grows() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    write(&mut fs, a, 0, &Content::byte(1, 100));
    fs.flush(a);
    assert_eq!(items(&fs, a), "i100");
    write(&mut fs, a, 8 * K, &Content::byte(1, 100));
    fs.flush(a);
    assert_eq!(items(&fs, a), "0+4@0 8+4@0");
    assert_sound(&fs);
}

#[test]
fn a_write_into_preallocated_space_splits_it_and_filling_it_merges_it_again() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    fs.fallocate(a, 0, 64 * K, false).expect("allowed");
    assert_eq!(items(&fs, a), "p0+64@0");
    for block in [4, 1, 3, 2, 0] {
        write(
            &mut fs,
            a,
            block * 4 * K,
            &Content::pattern(1, block, 4 * K),
        );
        fs.flush(a);
        assert_sound(&fs);
    }
    assert_eq!(items(&fs, a), "0+20@0 p20+44@20");
}

#[test]
fn a_clone_shares_storage_and_cuts_the_target_item() {
    let mut fs = state();
    let (a, b) = (file(&mut fs, "A"), file(&mut fs, "B"));
    write(&mut fs, a, 0, &Content::pattern(1, 0, 64 * K));
    write(&mut fs, b, 0, &Content::pattern(2, 0, 64 * K));
    fs.sync();
    let report = fs.clone_extents(a, 16 * K, 8 * K, 8 * K, b, 32 * K, TimesUpdate::Keep);
    assert!(report.moved_reference && report.cut_extent);
    assert_eq!(items(&fs, b), "0+32@0 32+8@16 40+24@40");
    assert_eq!(fs.first_difference(a, 16 * K, b, 32 * K, 8 * K), None);
    assert_eq!(
        fs.first_difference(a, 16 * K, b, 32 * K, 12 * K),
        Some(8 * K)
    );
    assert_sound(&fs);
    let again = fs.clone_extents(a, 16 * K, 8 * K, 8 * K, b, 32 * K, TimesUpdate::Keep);
    assert!(!again.moved_reference);
    assert_sound(&fs);
}

#[test]
fn a_punch_makes_a_hole_and_zeroes_the_blocks_that_it_only_touches() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    write(&mut fs, a, 0, &Content::byte(1, 64 * K));
    fs.flush(a);
    fs.punch_hole(a, 5 * K, 20 * K).expect("allowed");
    fs.flush(a);
    assert_eq!(items(&fs, a), "0+4@0 4+4@0 24+4@0 28+36@28");
    let mut expected = vec![1; 64 * 1024];
    expected[5 * 1024..25 * 1024].fill(0);
    assert_eq!(fs.content(a).to_vec(), expected);
    assert_sound(&fs);
}

#[test]
fn a_snapshot_shares_every_extent_and_survives_changes() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    write(&mut fs, a, 0, &Content::pattern(1, 0, 16 * K));
    fs.snapshot(".", "S", true).expect("a fresh name");
    let copy = fs.lookup("S/A").expect("in the snapshot");
    assert!(fs.fiemap(a).iter().all(|piece| piece.sharing.is_shared));
    assert_eq!(fs.fiemap(a), fs.fiemap(copy));
    write(&mut fs, a, 0, &Content::byte(0, 16 * K));
    fs.flush(a);
    assert_eq!(
        fs.content(copy).digest(),
        Content::pattern(1, 0, 16 * K).digest()
    );
    assert_sound(&fs);
    assert!(fs.fiemap(copy).iter().all(|piece| !piece.sharing.is_shared));
}

#[test]
fn a_quota_group_counts_what_it_alone_refers_to_until_another_subvolume_clones_it() {
    let mut fs = state();
    fs.count_quota();
    let source = file(&mut fs, "A");
    write(&mut fs, source, 0, &Content::byte(1, 256 * K));
    fs.sync();
    let counted = |fs: &FsState| -> Vec<(u64, u64)> {
        let usages = fs.roots().filter_map(|root| fs.usage(root));
        usages
            .map(|usage| (usage.referenced / K, usage.exclusive / K))
            .collect()
    };
    assert_eq!(counted(&fs), [(256, 256)]);
    for subvolume in ["V", "W"] {
        fs.create_subvol(subvolume).expect("a fresh name");
        let target = file(&mut fs, &format!("{subvolume}/A"));
        fs.clone_extents(source, 0, 4 * K, 4 * K, target, 0, TimesUpdate::Now);
    }
    fs.sync();
    assert_eq!(counted(&fs), [(256, 0); 3]);
    fs.delete_subvol("V").expect("a subvolume");
    fs.truncate(source, 0).expect("a file");
    fs.sync();
    assert_eq!(counted(&fs), [(0, 0), (256, 256)]);
    assert_sound(&fs);
}

/// Makes space short for what `with` does; returns how many reservations that made.
fn short(fs: &mut FsState, shortage: Shortage, with: impl FnOnce(&mut FsState)) -> usize {
    fs.begin_shortage(shortage);
    with(fs);
    fs.end_shortage().made.len()
}

/// Returns that a file is shown to have got extents, (start, end) in KiB.
fn got(id: InodeId, extents: &[(u64, u64)]) -> Option<BTreeMap<InodeId, Shown>> {
    let extents = extents.iter().map(|(start, end)| (start * K, end * K));
    let shown = Shown {
        extents: extents.collect(),
        ..Shown::default()
    };
    Some([(id, shown)].into())
}

#[test]
fn a_write_ends_at_the_first_page_without_space() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    let fails = |nth| Shortage {
        fails: [nth].into(),
        ..Shortage::default()
    };
    short(&mut fs, fails(2), |fs| {
        assert_eq!(fs.write(a, 100, &Content::byte(1, 16 * K)), Ok(8 * K - 100));
    });
    assert_eq!(fs.inode(a).size(), 8 * K);
    let stamps = fs.stat(a).mtime;
    short(&mut fs, fails(0), |fs| {
        let content = Content::byte(1, 16 * K);
        assert_eq!(fs.write(a, 8 * K, &content), Err(Errno::ENOSPC));
    });
    assert_eq!(fs.inode(a).size(), 8 * K);
    assert!(stamps < fs.stat(a).mtime, "it is stamped all the same");
}

#[test]
fn what_is_written_back_to_make_room_ends_an_extent() {
    let mut fs = state();
    let (a, b) = (file(&mut fs, "A"), file(&mut fs, "B"));
    write(&mut fs, b, 0, &Content::byte(2, 4 * K));
    let shortage = Shortage {
        reclaims: [2].into(),
        ..Shortage::default()
    };
    let nr_made = short(&mut fs, shortage, |fs| {
        write(fs, a, 0, &Content::byte(1, 16 * K));
    });
    assert_eq!(nr_made, 4, "a reservation for each page");
    assert_eq!(
        (items(&fs, a), items(&fs, b)),
        ("0+8@0".into(), "0+4@0".into())
    );
    assert_eq!(fs.unwritten(a), [(8 * K, 16 * K)]);
    fs.flush(a);
    assert_eq!(items(&fs, a), "0+8@0 8+8@0");
    assert_sound(&fs);
}

#[test]
fn extents_are_cut_where_the_allocator_did() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    let shortage = Shortage {
        shown: got(a, &[(0, 8), (8, 16), (64, 72), (72, 80)]),
        ..Shortage::default()
    };
    short(&mut fs, shortage, |fs| {
        write(fs, a, 0, &Content::byte(1, 16 * K));
        fs.flush(a);
        assert_eq!(fs.fallocate(a, 64 * K, 16 * K, false), Ok(()));
    });
    assert_eq!(items(&fs, a), "0+8@0 8+8@0 p64+8@0 p72+8@0");
    assert_sound(&fs);
}

#[test]
fn an_allocation_that_finds_no_more_space_keeps_what_it_has() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    let shortage = Shortage {
        shown: got(a, &[(0, 8)]),
        fails: [2].into(),
        ..Shortage::default()
    };
    short(&mut fs, shortage, |fs| {
        assert_eq!(fs.fallocate(a, 0, 16 * K, false), Err(Errno::ENOSPC));
    });
    assert_eq!(items(&fs, a), "p0+8@0");
    assert_eq!(fs.inode(a).size(), 8 * K);
    assert_sound(&fs);
}

#[test]
fn a_truncation_that_finds_no_space_behind_an_item_keeps_those_before_it() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    for nth in 0..4 {
        write(&mut fs, a, nth * 8 * K, &Content::byte(nth as u8, 4 * K));
        fs.flush(a);
    }
    // Dirty: the size on disk does not know of it, and it is not written any more.
    write(&mut fs, a, 40 * K, &Content::byte(9, 4 * K));
    let stamps = fs.stat(a).mtime;
    for (nth, size, kept) in [
        (0, 28, "0+4@0 8+4@0 16+4@0 24+4@0"),
        (2, 16, "0+4@0 8+4@0"),
        (1, 8, "0+4@0"),
    ] {
        let fails = Shortage {
            fails: [nth].into(),
            ..Shortage::default()
        };
        short(&mut fs, fails, |fs| {
            assert_eq!(fs.truncate(a, 0), Err(Errno::ENOSPC));
        });
        assert_eq!(fs.inode(a).size(), size * K);
        assert_eq!(items(&fs, a), kept);
        assert_eq!(fs.stat(a).mtime, stamps);
        assert_sound(&fs);
    }
}

#[test]
fn a_file_without_a_name_is_truncated_though_there_is_no_space() {
    let mut fs = state();
    let a = file(&mut fs, "A");
    write(&mut fs, a, 0, &Content::byte(1, 8 * K));
    fs.flush(a);
    fs.unlink("A").expect("a name");
    let fails = Shortage {
        fails: [0].into(),
        ..Shortage::default()
    };
    short(&mut fs, fails, |fs| {
        assert_eq!(fs.truncate(a, 4 * K), Err(Errno::ENOSPC));
    });
    assert_eq!(fs.inode(a).size(), 4 * K);
    assert_eq!(items(&fs, a), "0+8@0");
}
