//! Whether runs are worth their time: how many dedupes succeed, differ, meet dirty pages, cut.

use std::time::Instant;

use reference::Reference;
use scenario::{Op, Outcome};
use strategies::{Counts, Swarm, SwarmOptions};

const NR_OPS: u64 = 3000;

/// Returns the counts of a run and prints what it did.
fn run(seed: u64, options: SwarmOptions, nr_ops: u64) -> Counts {
    let mut swarm = Swarm::new(seed, options);
    for _ in 0..nr_ops {
        swarm.next();
    }
    print(seed, swarm.counts());
    swarm.counts()
}

fn print(seed: u64, counts: Counts) {
    let percent = |part: u64, whole: u64| (100 * part).checked_div(whole).unwrap_or(0);
    let (calls, elements) = (counts.nr_calls, counts.nr_elements);
    println!(
        "seed {seed}: {} ops ({} big), {calls} calls: moved {}%, differ {}%, dirty {}%, cut {}%, \
         refused {}%; {elements} elements: moved {}%, same {}%, differ {}%, errno {}%",
        counts.nr_ops,
        counts.nr_big_ops,
        percent(counts.nr_calls_moved, calls),
        percent(counts.nr_calls_differ, calls),
        percent(counts.nr_calls_dirty, calls),
        percent(counts.nr_calls_cut, calls),
        percent(counts.nr_calls_refused, calls),
        percent(counts.nr_moved, elements),
        percent(counts.nr_same_unmoved, elements),
        percent(counts.nr_differ, elements),
        percent(counts.nr_refused, elements),
    );
}

#[track_caller]
fn assert_worth_its_time(counts: Counts) {
    let is_at_least = |part: u64, whole: u64, percent: u64| whole * percent <= part * 100;
    assert!(
        is_at_least(counts.nr_calls, counts.nr_ops, 15),
        "{counts:?}"
    );
    assert!(
        is_at_least(counts.nr_calls_moved, counts.nr_calls, 50),
        "{counts:?}"
    );
    assert!(
        is_at_least(counts.nr_calls_differ, counts.nr_calls, 12),
        "{counts:?}"
    );
    assert!(
        is_at_least(counts.nr_calls_dirty, counts.nr_calls, 27),
        "{counts:?}"
    );
    assert!(
        is_at_least(counts.nr_calls_cut, counts.nr_calls, 36),
        "{counts:?}"
    );
    assert!(
        is_at_least(counts.nr_moved, counts.nr_elements, 50),
        "{counts:?}"
    );
    assert!(
        is_at_least(counts.nr_differ, counts.nr_elements, 10),
        "{counts:?}"
    );
    assert!(
        !is_at_least(counts.nr_big_ops, counts.nr_ops, 2),
        "{counts:?}"
    );
}

#[test]
fn most_dedupes_are_useful_for_every_seed() {
    for seed in 1..=5 {
        assert_worth_its_time(run(seed, SwarmOptions::default(), NR_OPS));
    }
}

#[test]
fn short_runs_are_useful_too() {
    for seed in 6..=30 {
        let counts = run(seed, SwarmOptions::default(), 1000);
        assert!(
            counts.nr_calls * 45 <= counts.nr_calls_moved * 100,
            "{counts:?}"
        );
        assert!(
            counts.nr_calls * 11 <= counts.nr_calls_differ * 100,
            "{counts:?}"
        );
        assert!(
            counts.nr_calls * 22 <= counts.nr_calls_dirty * 100,
            "{counts:?}"
        );
        assert!(
            counts.nr_calls * 32 <= counts.nr_calls_cut * 100,
            "{counts:?}"
        );
    }
}

#[test]
fn runs_without_root_and_with_small_files_are_useful_too() {
    let options = SwarmOptions {
        is_root: false,
        has_mounts: false,
        has_fine_times: false,
        max_file_bytes: 128 << 10,
        ..SwarmOptions::default()
    };
    assert_worth_its_time(run(1, options, NR_OPS));
}

#[test]
fn generating_is_fast() {
    let mut swarm = Swarm::new(1, SwarmOptions::default());
    let nr_ops = 50_000;
    let started = Instant::now();
    let ops: Vec<Op> = (0..nr_ops).map(|_| swarm.next()).collect();
    let generated = started.elapsed();
    let mut fs = Reference::new();
    let started = Instant::now();
    let nr_done = ops.iter().filter(|op| fs.act(op) == Outcome::Done).count();
    let acted = started.elapsed();
    println!(
        "{nr_ops} operations: {:.0}/s drawn, {:.0}/s carried out, {nr_done} done",
        f64::from(nr_ops) / generated.as_secs_f64(),
        f64::from(nr_ops) / acted.as_secs_f64(),
    );
    // Without optimisation and on a busy machine: the bound only catches what is quadratic.
    assert!(generated.as_secs() < 30);
}
