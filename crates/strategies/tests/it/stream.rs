//! What holds for every list of operations.

use reference::Reference;
use scenario::{Backend, Name, Op, Outcome, Probe};
use strategies::{Swarm, SwarmOptions};

fn ops(seed: u64, nr_ops: usize) -> Vec<Op> {
    let mut swarm = Swarm::new(seed, SwarmOptions::default());
    (0..nr_ops).map(|_| swarm.next()).collect()
}

#[test]
fn one_seed_draws_one_list_and_two_seeds_draw_two() {
    assert_eq!(ops(7, 2000), ops(7, 2000));
    assert_ne!(ops(7, 50), ops(8, 50));
}

#[test]
fn dirty_data_never_lingers() {
    for seed in 1..=5 {
        let ops = ops(seed, 3000);
        let longest = ops.split(|op| *op == Op::Sync).map(<[Op]>::len).max();
        assert!(longest <= Some(200), "{longest:?}");
    }
}

#[test]
fn space_stays_bounded() {
    let mut fs = Reference::new();
    for op in ops(3, 20_000) {
        fs.act(&op);
    }
    let sum: u64 = fs.files().map(|(_, file)| file.content.len()).sum();
    assert!(sum < 160 << 20, "{sum}");
}

#[test]
fn no_descriptor_is_left_to_chance() {
    // Opening fails only where every witness must agree: on a read-only snapshot or mount.
    let (mut nr_unopened, mut nr_ops) = (0, 0);
    for seed in 1..=5 {
        let mut fs = Reference::new();
        for op in ops(seed, 3000) {
            nr_ops += 1;
            let outcome = fs.act(&op);
            if let Outcome::NotOpened(_) = outcome {
                println!("{op:?} {outcome:?}");
                nr_unopened += 1;
            }
        }
    }
    assert!(nr_unopened * 100 < nr_ops, "{nr_unopened} of {nr_ops}");
}

#[test]
fn looking_at_what_was_touched_is_cheap() {
    let mut fs = Reference::new();
    for op in ops(2, 3000) {
        fs.act(&op);
        for name in op.names() {
            let probe = Probe {
                name: name.clone(),
                expected_shape: None,
            };
            fs.observe(&probe).expect("the oracle can always be asked");
        }
    }
}

#[test]
fn where_space_is_short_only_clean_files_with_a_name_are_cut_and_only_to_whole_blocks() {
    let mut nr_cut = 0;
    for seed in 1..=5 {
        let options = SwarmOptions {
            is_small: true,
            ..SwarmOptions::default()
        };
        let mut swarm = Swarm::new(seed, options);
        let mut last = Op::Sync;
        let mut held = Vec::new();
        let mut is_readonly = false;
        for _ in 0..3000 {
            let op = swarm.next();
            match &op {
                Op::Remount { is_readonly: is } => is_readonly = *is,
                // It keeps its name.
                Op::Unlink { .. } if is_readonly => {}
                Op::Truncate { name, size } => {
                    let flush = Op::Flush { name: name.clone() };
                    assert!(size % 4096 == 0 && !held.contains(name), "{op:?}");
                    assert!(*size == 0 || last == flush, "{op:?} behind {last:?}");
                    nr_cut += u32::from(0 < *size);
                }
                Op::Unlink {
                    name,
                    is_held: true,
                } => held.push(name.clone()),
                Op::Close { name } | Op::Unlink { name, .. } => held.retain(|held| held != name),
                op => held.retain(|held| op.made_name() != Some(held)),
            }
            last = op;
        }
    }
    assert!(100 < nr_cut, "{nr_cut}");
}

#[test]
fn a_run_for_snapshots_soon_has_that_many_and_deletes_as_many_as_it_makes() {
    const NR_MAX: usize = 20;
    for seed in 1..=10 {
        let options = SwarmOptions {
            snapshots: Some(NR_MAX),
            ..SwarmOptions::default()
        };
        let mut swarm = Swarm::new(seed, options);
        let mut fs = Reference::new();
        let (mut nr_now, mut nr_most, mut nr_deleted) = (0_usize, 0, 0);
        let mut nr_across = 0;
        for _ in 0..1000 {
            let op = swarm.next();
            if fs.act(&op) == Outcome::Done {
                match &op {
                    Op::Snapshot { .. } => nr_now += 1,
                    Op::Delete { name } if !name.as_str().starts_with('V') => {
                        nr_now = nr_now.saturating_sub(1);
                        nr_deleted += 1;
                    }
                    _ => {}
                }
            }
            nr_most = nr_most.max(nr_now);
            if let Op::Dedupe(_) | Op::Clone(_) = &op {
                let is_copy = |name: &&Name| name.as_str().starts_with('S');
                nr_across += u64::from(op.names().iter().any(is_copy));
            }
        }
        println!("seed {seed}: at most {nr_most}, {nr_deleted} deleted, {nr_across} across");
        assert!(NR_MAX <= nr_most, "seed {seed}: {nr_most}");
        assert!(20 <= nr_deleted, "seed {seed}: {nr_deleted}");
        assert!(100 <= nr_across, "seed {seed}: {nr_across}");
    }
}
