//! How clones and writeback cost by the number of items that a file has already.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use data::Content;
use fs_state::{BLOCK, Behaviour, FsState, InodeId, TimesUpdate};

/// Prime, so that items are visited out of file order.
const STRIDE: u64 = 7_919;
/// Clones of one timed stretch.
const NR_CLONES: u64 = 500;
/// Blocks dirtied for one writeback, each a run of its own.
const NR_DIRTY: u64 = 500;

/// Returns a filesystem of two files with `nr_items` items of a block each.
fn prepared(nr_items: u64) -> (FsState, [InodeId; 2]) {
    let mut fs = FsState::new(Behaviour::LATEST);
    let files = ["source", "target"].map(|name| {
        let inode = fs.create_file(name, false).expect("a fresh name");
        for parity in [0, 1] {
            for idx in (parity..nr_items).step_by(2) {
                let block = Content::pattern(idx, 0, BLOCK);
                fs.write(inode, idx * BLOCK, &block).expect("a write");
            }
            fs.sync();
        }
        inode
    });
    (fs, files)
}

/// Returns how long `nr` rounds of `work` take, each on a copy of the state.
fn on_copies(fs: &FsState, nr: u64, mut work: impl FnMut(&mut FsState)) -> Duration {
    let mut elapsed = Duration::ZERO;
    for _ in 0..nr {
        let mut fs = fs.clone();
        let start = Instant::now();
        work(&mut fs);
        elapsed += start.elapsed();
    }
    elapsed
}

fn clones(c: &mut Criterion) {
    let mut group = c.benchmark_group("clone 500 blocks, scattered");
    for nr_items in [1_000, 10_000, 100_000] {
        let (fs, [source, target]) = prepared(nr_items);
        group.bench_function(BenchmarkId::from_parameter(nr_items), |b| {
            b.iter_custom(|nr| {
                on_copies(&fs, nr, |fs| {
                    for idx in 0..NR_CLONES {
                        let at = idx * STRIDE % nr_items * BLOCK;
                        let times = TimesUpdate::Keep;
                        fs.clone_extents(source, at, BLOCK, BLOCK, target, at, times);
                    }
                })
            });
        });
    }
    group.finish();
}

fn whole_file(c: &mut Criterion) {
    let mut group = c.benchmark_group("clone a whole file");
    for nr_items in [1_000, 10_000, 100_000] {
        let (fs, [source, target]) = prepared(nr_items);
        let len = nr_items * BLOCK;
        group.bench_function(BenchmarkId::from_parameter(nr_items), |b| {
            b.iter_custom(|nr| {
                on_copies(&fs, nr, |fs| {
                    fs.clone_extents(source, 0, len, len, target, 0, TimesUpdate::Keep);
                })
            });
        });
    }
    group.finish();
}

fn writeback(c: &mut Criterion) {
    let mut group = c.benchmark_group("write back 500 blocks, scattered");
    for nr_items in [1_000, 10_000, 100_000] {
        let (mut fs, [_, target]) = prepared(nr_items);
        for idx in 0..NR_DIRTY {
            let at = idx * STRIDE % nr_items * BLOCK;
            fs.write(target, at, &Content::byte(1, BLOCK))
                .expect("a write");
        }
        group.bench_function(BenchmarkId::from_parameter(nr_items), |b| {
            b.iter_custom(|nr| on_copies(&fs, nr, |fs| fs.flush(target)));
        });
    }
    group.finish();
}

criterion_group!(benches, clones, whole_file, writeback);
criterion_main!(benches);
