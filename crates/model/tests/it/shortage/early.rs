//! What was written back early, to make room or by a worker.

use fs_state::Shortage;

use super::Pair;

#[test]
fn early_writeback_before_a_dedupe_within_a_file_is_adopted() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 64k 0x61", Shortage::default(), &[]);
    // What is new lies at three places then, and all of them were dirty.
    let shortage = pair.cut(&[("A", &[(0, 16), (16, 64)])]);
    let op = "dedupe A 32k 4k => A 20k A 40k";
    pair.adopts(op, shortage, &["extent cut"]);
    pair.goes_on();
}

#[test]
fn early_writeback_of_one_file_leaves_another_dirty() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 16k seed=4@0", Shortage::default(), &[]);
    let shortage = Shortage {
        reclaims: [1].into(),
        ..pair.cut(&[("B", &[(0, 16)])])
    };
    let freedoms = ["early writeback"];
    pair.adopts("pwrite A 32k 8k seed=5@0", shortage, &freedoms);
    pair.goes_on();
}

#[test]
fn early_writeback_of_a_part_of_a_file_is_adopted() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 16k seed=4@0", Shortage::default(), &[]);
    pair.adopts("pwrite A 64k 16k seed=5@0", Shortage::default(), &[]);
    let shortage = Shortage {
        reclaims: [1].into(),
        ..pair.cut(&[("A", &[(0, 16)])])
    };
    let freedoms = ["early writeback"];
    pair.adopts("pwrite A 80k 8k seed=6@0", shortage, &freedoms);
    pair.goes_on();
}

#[test]
fn what_a_worker_wrote_back_of_a_range_that_grew_meanwhile_is_adopted() {
    let mut pair = Pair::new();
    for op in ["falloc A 0 4k", "sync", "pwrite A 0 64k seed=4@0"] {
        pair.adopts(op, Shortage::default(), &[]);
    }
    // It began before the last page came, and was done after the write.
    let mut shortage = pair.cut(&[("A", &[(4, 60)])]);
    let shown = shortage
        .shown
        .iter_mut()
        .flat_map(|shown| shown.values_mut());
    shown.for_each(|shown| shown.dirty = vec![(60 << 10, 64 << 10)]);
    let (seen, adopted) = pair.exchange("chown B 0", shortage);
    for reply in [seen, adopted] {
        let layout = reply.layouts[0].as_ref().expect("a layout of A");
        assert_eq!(layout.dirty, [(60 << 10, 64 << 10)]);
        let ends = layout
            .items
            .iter()
            .map(|item| (item.offset + item.len) >> 10);
        assert_eq!(ends.collect::<Vec<_>>(), [4, 60]);
    }
    pair.goes_on();
}

#[test]
fn early_writeback_beside_a_clone_of_a_later_part_of_an_extent_is_adopted() {
    let mut pair = Pair::new();
    // The extent would begin before either file.
    for op in [
        "sync",
        "clone B 8k 8k => A 0",
        "fpunch B 0 16k",
        "pwrite B 32k 8k seed=4@0",
        "sync",
        "pwrite B 64k 8k seed=5@0",
    ] {
        pair.adopts(op, Shortage::default(), &[]);
    }
    let shortage = Shortage {
        reclaims: [0].into(),
        ..Shortage::default()
    };
    pair.adopts("clone A 0 4k => B 0", shortage, &["early writeback"]);
    pair.goes_on();
}

#[test]
fn what_was_written_back_early_and_then_over_a_part_of_that_is_adopted() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 16k 16k seed=4@0", Shortage::default(), &[]);
    // The old data before the first page, then the new data as far as it came.
    let shortage = Shortage {
        reclaims: [0, 6].into(),
        ..pair.cut(&[("A", &[(16, 32), (0, 24)]), ("B", &[])])
    };
    pair.adopts("pwrite A 0 28k seed=5@0", shortage, &["early writeback"]);
    pair.goes_on();
}

#[test]
fn a_page_that_was_written_back_before_a_punch_zeroed_it_and_after_is_adopted() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 4k seed=4@0", Shortage::default(), &[]);
    let shortage = pair.cut(&[("A", &[(0, 4)])]);
    pair.adopts("fpunch A 100 200", shortage, &["early writeback"]);
    pair.goes_on();
}

/// Has A written back, and then an operation whose new data comes to lie where that lay.
#[track_caller]
fn lies_where_it_was(mut pair: Pair, op: &str, shortage: impl FnOnce(&mut Pair) -> Shortage) {
    let (seen, _) = pair.exchange("fsync A", Shortage::default());
    let layout = seen.layouts[0].as_ref().expect("a layout of A");
    let place = layout.items[0].place;
    let shortage = shortage(&mut pair);
    let (seen, adopted) = pair.exchange_altered(op, shortage, |seen| {
        let items = seen.layouts[0].iter_mut().flat_map(|it| &mut it.items);
        items.take(1).for_each(|item| item.place = place);
    });
    assert_eq!(adopted.answer.adopted, ["early writeback"]);
    for (one, two) in adopted.layouts.iter().zip(&seen.layouts) {
        let (one, two) = (one.as_ref().expect("a file"), two.as_ref().expect("a file"));
        assert_eq!(one.first_difference(two), None);
    }
    pair.goes_on();
}

#[test]
fn what_was_written_back_twice_may_come_to_lie_where_it_was() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 3000 seed=4@0", Shortage::default(), &[]);
    // The last block is zeroed for the direct write, and once more for the buffered one that it
    // becomes.
    lies_where_it_was(pair, "dwrite A 4k 8k seed=5@0", |pair| {
        pair.cut(&[("A", &[(0, 4), (4, 12)]), ("B", &[(0, 16)])])
    });
}

#[test]
fn what_was_written_back_early_may_come_to_lie_where_it_was() {
    let mut pair = Pair::new();
    pair.adopts("pwrite A 0 4k seed=4@0", Shortage::default(), &[]);
    // The first page before the second one, and a commit that nobody sees.
    lies_where_it_was(pair, "pwrite A 100 8000 seed=5@0", |pair| Shortage {
        reclaims: [1].into(),
        ..pair.cut(&[("A", &[(0, 4)]), ("B", &[])])
    });
}
