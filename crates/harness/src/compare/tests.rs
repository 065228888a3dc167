//! Which differences the comparer sees, told as replies in the protocol's text.

use std::time::Duration;

use scenario::text::protocol;
use scenario::{Capabilities, Compression, Exchange, Layout, Reply, Storage, TreeItem, TreePlace};

use super::Comparer;

const STAT: &str = "* file size=16k blocks=32 mode=0644 uid=0 mtime=changed ctime=changed \
                    content=99aa06d3014798d86001c324468d497f";

fn capabilities(has_extents: bool, has_fine_times: bool) -> Capabilities {
    Capabilities {
        release: None,
        has_extents,
        has_exact_shares: true,
        has_trees: has_extents,
        has_fine_times,
        tick: Duration::ZERO,
        is_root: true,
        can_remount: false,
        batch_max: 1,
        is_real: false,
    }
}

/// A comparer of two witnesses with extents and fine times.
fn comparer() -> Comparer {
    Comparer::new(&capabilities(true, true), &capabilities(true, true))
}

fn exchange(text: &str) -> Exchange {
    let exchanges = protocol::parse_exchanges(text).expect("exchanges");
    exchanges.into_iter().next().expect("one exchange")
}

fn reply(exchange: &Exchange, text: &str) -> Reply {
    let replies = protocol::parse_replies(text, std::slice::from_ref(exchange)).expect("replies");
    replies.into_iter().next().expect("one reply")
}

#[track_caller]
fn check(comparer: &mut Comparer, asked: &str, left: &str, right: &str, expected: &[&str]) {
    let exchange = exchange(asked);
    let told = |text: &str| reply(&exchange, &text.replace("STAT", STAT));
    let differences = comparer.compare(&exchange, &told(left), &told(right));
    let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(differences, expected);
}

#[test]
fn equal_replies_agree() {
    let told = "  = ok\n  = STAT\n  = * 0..16k @1m\nend\n";
    check(&mut comparer(), "flush A\n  observe A\n", told, told, &[]);
}

#[test]
fn storage_may_lie_anywhere_as_long_as_it_is_shared_alike() {
    let asked = "flush A\n  observe A\n  observe B\n";
    let left =
        "  = ok\n  = STAT\n  = * 0..16k @1m shared\n  = STAT\n  = * 0..16k @1m shared\nend\n";
    let right =
        "  = ok\n  = STAT\n  = * 0..16k @7m shared\n  = STAT\n  = * 0..16k @7m shared\nend\n";
    check(&mut comparer(), asked, left, right, &[]);
}

#[test]
fn a_block_that_shares_on_the_expected_side_only_is_named_with_its_partner() {
    let comparer = &mut comparer();
    let left = "  = ok\n  = STAT\n  = * 0..16k @1m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..16k @7m\nend\n";
    check(comparer, "flush A\n  observe A\n", left, right, &[]);
    let left = "  = ok\n  = STAT\n  = * 0..8k @2m\n  = * 8k..16k @1028k\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..8k @8m\n  = * 8k..16k @9m\nend\n";
    let expected = ["B block 8k shares storage with A block 4k on the expected side only"];
    check(comparer, "flush B\n  observe B\n", left, right, &expected);
}

#[test]
fn a_block_that_shares_on_the_observed_side_only_is_named_with_its_partner() {
    let comparer = &mut comparer();
    let left = "  = ok\n  = STAT\n  = * 0..16k @1m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..16k @7m\nend\n";
    check(comparer, "flush A\n  observe A\n", left, right, &[]);
    let left = "  = ok\n  = STAT\n  = * 0..16k @2m\nend\n";
    let expected = ["B block 0 shares storage with A block 0 on the observed side only"];
    check(comparer, "flush B\n  observe B\n", left, right, &expected);
}

#[test]
fn storage_that_a_name_left_can_be_used_again() {
    let comparer = &mut comparer();
    let first = "  = ok\n  = STAT\n  = * 0..16k @1m\nend\n";
    check(comparer, "flush A\n  observe A\n", first, first, &[]);
    // The observed side uses the storage again at once, for another file; the expected never.
    let asked = "flush A\n  observe B\n  observe A\n";
    let left = "  = ok\n  = STAT\n  = * 0..16k @2m\n  = STAT\n  = * 0..16k @3m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..16k @1m\n  = STAT\n  = * 0..16k @3m\nend\n";
    check(comparer, asked, left, right, &[]);
}

#[test]
fn what_was_unlinked_is_forgotten() {
    let comparer = &mut comparer();
    let told = "  = ok\n  = STAT\n  = * 0..16k @1m\nend\n";
    check(comparer, "flush A\n  observe A\n", told, told, &[]);
    check(
        comparer,
        "unlink A\n  observe A\n",
        "  = ok\n  = * absent\nend\n",
        "  = ok\n  = * absent\nend\n",
        &[],
    );
    let left = "  = ok\n  = STAT\n  = * 0..16k @2m\nend\n";
    check(comparer, "flush B\n  observe B\n", left, told, &[]);
}

#[test]
fn flags_are_compared_block_by_block() {
    let left = "  = ok\n  = STAT\n  = * 0..8k @1m shared\n  = * 8k..16k @1032k\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..12k @7m\n  = * 12k..16k delalloc\nend\n";
    let expected = [
        "A 0..8k: expected shared, storage, observed data, storage",
        "A 12k..16k: expected data, storage, observed delalloc, no storage",
    ];
    check(
        &mut comparer(),
        "flush A\n  observe A\n",
        left,
        right,
        &expected,
    );
}

#[test]
fn a_hole_on_one_side_is_seen() {
    let left = "  = ok\n  = STAT\n  = * 4k..16k @1m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..4k @7m\n  = * 8k..16k @8m\nend\n";
    let expected = [
        "A 0..4k: expected a hole, observed data, storage",
        "A 4k..8k: expected data, storage, observed a hole",
    ];
    check(
        &mut comparer(),
        "flush A\n  observe A\n",
        left,
        right,
        &expected,
    );
}

#[test]
fn an_element_is_compared_before_the_reply_bytes() {
    let asked = "dedupe A 0 4k => B 0\n";
    let left = "  = ok\n  = * same 4k\n  = bytes 0001\nend\n";
    let right = "  = ok\n  = * differs\n  = bytes 0002\nend\n";
    let expected = ["element 0: expected same 4k, observed differs 0"];
    check(&mut comparer(), asked, left, right, &expected);
    let right = "  = ok\n  = * same 4k\n  = bytes 0002\nend\n";
    let expected = ["reply byte 1: expected 0x01, observed 0x02"];
    check(&mut comparer(), asked, left, right, &expected);
}

#[test]
fn a_complaint_of_the_kernel_is_a_difference() {
    let right = "  = ok\n  = log WARNING at btrfs\nend\n";
    let expected = ["the kernel's log on the observed side: WARNING at btrfs"];
    check(&mut comparer(), "sync\n", "  = ok\nend\n", right, &expected);
}

#[test]
fn a_coarse_clock_may_hide_a_change_unless_a_tick_went_by() {
    let comparer = &mut Comparer::new(&capabilities(true, true), &capabilities(true, false));
    let left = "  = ok\n  = STAT\nend\n";
    let right = "  = ok\n  = KEPT\nend\n".replace(
        "KEPT",
        &STAT.replace("mtime=changed ctime=changed", "mtime=kept ctime=kept"),
    );
    let asked = "truncate A 16k\n  observe A\n";
    check(comparer, asked, left, left, &[]);
    check(comparer, asked, left, &right, &[]);
    check(comparer, "tick\n", "  = ok\nend\n", "  = ok\nend\n", &[]);
    let expected = [
        "A mtime: expected changed, observed kept",
        "A ctime: expected changed, observed kept",
    ];
    check(comparer, asked, left, &right, &expected);
}

#[test]
fn a_change_that_is_not_expected_is_never_excused() {
    let comparer = &mut Comparer::new(&capabilities(true, true), &capabilities(true, false));
    let left = "  = ok\n  = KEPT\nend\n".replace(
        "KEPT",
        &STAT.replace("mtime=changed ctime=changed", "mtime=kept ctime=changed"),
    );
    let asked = "truncate A 16k\n  observe A\n";
    let expected = ["A mtime: expected kept, observed changed"];
    check(comparer, asked, &left, "  = ok\n  = STAT\nend\n", &expected);
}

#[test]
fn without_extents_on_one_side_neither_maps_nor_blocks_count() {
    let comparer = &mut Comparer::new(&capabilities(true, true), &capabilities(false, true));
    let left = "  = ok\n  = STAT\n  = * 0..16k @1m\nend\n";
    let right = format!(
        "  = ok\n  = {}\nend\n",
        STAT.replace("blocks=32", "blocks=0")
    );
    check(comparer, "flush A\n  observe A\n", left, &right, &[]);
}

#[test]
fn a_run_without_length_says_nothing() {
    let left = "  = ok\n  = STAT\n  = * 0..8k @1m\n  = * 8k..8k delalloc\n  = * 8k..16k @2m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..8k @7m\n  = * 8k..16k @8m\nend\n";
    check(&mut comparer(), "flush A\n  observe A\n", left, right, &[]);
}

/// A comparer whose expected witness leaves the SHARED flag of touching extents open.
fn comparer_of_cached_maps() -> Comparer {
    let expected = Capabilities {
        has_exact_shares: false,
        ..capabilities(true, true)
    };
    Comparer::new(&expected, &capabilities(true, true))
}

#[test]
fn an_extent_may_be_told_shared_as_the_one_that_it_touches_on_disk() {
    let comparer = &mut comparer_of_cached_maps();
    let asked = "flush A\n  observe A\n";
    let left = "  = ok\n  = STAT\n  = * 0..8k @1m shared\n  = * 8k..16k @2m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..16k @7m shared\nend\n";
    check(comparer, asked, left, right, &[]);
    assert_eq!(comparer.open_shares().nr_borrowed, 1);
    // It stays so when the first of them is gone, and for nothing but what lay there.
    let left = "  = ok\n  = STAT\n  = * 0..8k delalloc\n  = * 8k..16k @2m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..8k delalloc\n  = * 8k..16k @7176k shared\nend\n";
    check(comparer, asked, left, right, &[]);
    let left = "  = ok\n  = STAT\n  = * 8k..16k @3m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 8k..16k @9m shared\nend\n";
    let expected = ["A 8k..16k: expected data, storage, observed shared, storage"];
    check(comparer, asked, left, right, &expected);
}

#[test]
fn the_rest_of_an_extent_that_touches_is_told_as_what_a_call_cut_from_it() {
    let asked = "flush A\n  observe A\n";
    let left = "  = ok\n  = STAT\n  = * 0..8k @1m\n  = * 8k..12k @2m shared\n  = * 12k..16k @3m shared\n  \
                = * 16k..24k @2056k shared\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..12k @7m\n  = * 12k..16k @9m shared\n  \
                 = * 16k..24k @7184k\nend\n";
    check(&mut comparer_of_cached_maps(), asked, left, right, &[]);
    // Another extent behind the cut is told exactly, and so is what touches nothing.
    let left = left.replace("@2056k", "@5m");
    let expected = ["A 16k..24k: expected shared, storage, observed data, storage"];
    check(
        &mut comparer_of_cached_maps(),
        asked,
        &left,
        right,
        &expected,
    );
}

#[test]
fn what_touches_nothing_is_told_shared_exactly() {
    let asked = "flush A\n  observe A\n";
    let left = "  = ok\n  = STAT\n  = * 0..16k @1m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..8k @7m\n  = * 8k..16k @7176k shared\nend\n";
    let expected = ["A 8k..16k: expected data, storage, observed shared, storage"];
    check(
        &mut comparer_of_cached_maps(),
        asked,
        left,
        right,
        &expected,
    );
    // Nor where the witness knows better.
    let left = "  = ok\n  = STAT\n  = * 0..8k @1m shared\n  = * 8k..16k @2m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..16k @7m shared\nend\n";
    check(&mut comparer(), asked, left, right, &expected);
}

#[test]
fn what_touches_on_disk_does_so_under_another_name_of_the_file() {
    let comparer = &mut comparer_of_cached_maps();
    let left = "  = ok\n  = STAT\n  = * 0..8k @1m shared\n  = * 8k..16k @2m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..16k @7m shared\nend\n";
    check(comparer, "flush A\n  observe A\n", left, right, &[]);
    let nothing = "  = ok\nend\n";
    check(comparer, "link A B\n", nothing, nothing, &[]);
    let left = "  = ok\n  = STAT\n  = * 0..8k delalloc\n  = * 8k..16k @2m\nend\n";
    let right = "  = ok\n  = STAT\n  = * 0..8k delalloc\n  = * 8k..16k @7176k shared\nend\n";
    check(comparer, "flush B\n  observe B\n", left, right, &[]);
}

#[test]
fn a_share_that_is_open_may_be_told_either_way() {
    let asked = "flush A\n  observe A\n";
    let left = "  = ok\n  = STAT\n  = * 0..8k @1m shared share-open\nend\n";
    for (word, nr_used) in [(" shared", 0), ("", 1)] {
        let comparer = &mut comparer();
        let right = format!("  = ok\n  = STAT\n  = * 0..8k @7m{word}\nend\n");
        check(comparer, asked, left, &right, &[]);
        assert_eq!(comparer.open_shares().nr_by_leaves, nr_used);
    }
}

/// A layout of one dirty page and an extent of two blocks.
fn layout(start: u64, disk_len: u64) -> Layout {
    let item = TreeItem {
        offset: 0,
        len: 8192,
        ram_bytes: disk_len,
        compression: Compression::None,
        place: TreePlace::Extent {
            is_prealloc: false,
            extent: Storage(start),
            disk_len,
            skip: 0,
        },
    };
    Layout {
        dirty: vec![(4096, 8192)],
        items: vec![item],
    }
}

#[track_caller]
fn check_layouts(left: &Layout, right: &Layout, expected: &[&str]) {
    let exchange = exchange("flush A\n  observe A\n");
    let told = |layout: &Layout| Reply {
        layouts: vec![Some(layout.clone())],
        ..reply(&exchange, &"  = ok\n  = STAT\nend\n".replace("STAT", STAT))
    };
    let differences = comparer().compare(&exchange, &told(left), &told(right));
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
    // A kernel may still be busy.
    assert!(
        differences
            .iter()
            .all(|difference| difference.is_about_map())
    );
}

#[test]
fn layouts_are_compared_but_for_where_data_is_stored() {
    check_layouts(&layout(1 << 20, 8192), &layout(7 << 20, 8192), &[]);
}

#[test]
fn the_first_item_that_another_layout_has_otherwise_is_named() {
    let expected = "A layout: expected 0..8k written @1m skip=0 disk=8k ram=8k, \
                    observed 0..8k written @7m skip=0 disk=16k ram=16k";
    check_layouts(&layout(1 << 20, 8192), &layout(7 << 20, 16384), &[expected]);
}

#[test]
fn an_item_that_is_there_on_one_side_only_is_named() {
    let right = Layout {
        items: Vec::new(),
        ..layout(0, 8192)
    };
    let expected = "A layout: expected 0..8k written @1m skip=0 disk=8k ram=8k, observed nothing";
    check_layouts(&layout(1 << 20, 8192), &right, &[expected]);
}

#[test]
fn dirty_pages_that_differ_are_named_before_items() {
    let right = Layout {
        dirty: vec![(4096, 8192), (12288, 16384)],
        ..layout(0, 16384)
    };
    let expected = "A layout: expected nothing, observed dirty 12k..16k";
    check_layouts(&layout(1 << 20, 8192), &right, &[expected]);
}
