//! How fast bytes are generated, compared and digested, beside what memory alone allows.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use data::Content;

const LEN: u64 = 16 << 20;

fn generation(c: &mut Criterion) {
    let mut group = c.benchmark_group("generate");
    let mut buffer = vec![0; 1 << 20];
    group.throughput(Throughput::Bytes(buffer.len() as u64));
    let pattern = Content::pattern(7, 0, LEN);
    for (name, offset) in [("pattern", 0), ("pattern at an odd offset", 3)] {
        group.bench_function(name, |b| {
            b.iter(|| pattern.read_at(offset, black_box(&mut buffer)))
        });
    }
    group.finish();
}

fn comparison(c: &mut Criterion) {
    let mut group = c.benchmark_group("compare 16 MiB");
    group.throughput(Throughput::Bytes(LEN));
    let bytes = Content::pattern(7, 0, LEN).to_vec();
    let copy = bytes.clone();
    group.bench_function("slices, memcmp", |b| {
        b.iter(|| black_box(bytes.as_slice()) == black_box(copy.as_slice()));
    });
    let one = Content::literal(bytes.as_slice());
    let two = Content::literal(copy.as_slice());
    let pattern = Content::pattern(7, 0, LEN);
    for (name, a, b_) in [
        ("literal and literal", &one, &two),
        ("literal and pattern", &one, &pattern),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| black_box(a).first_difference(0, black_box(b_), 0, LEN));
        });
    }
    group.finish();
    c.bench_function("compare patterns of other seeds", |b| {
        let other = Content::pattern(8, 0, LEN);
        b.iter(|| black_box(&pattern).first_difference(0, black_box(&other), 0, LEN));
    });
}

fn digest(c: &mut Criterion) {
    let mut group = c.benchmark_group("digest 16 MiB");
    group.throughput(Throughput::Bytes(LEN));
    let pattern = Content::pattern(7, 0, LEN);
    let literal = Content::literal(pattern.to_vec());
    let zeros = Content::zeros(LEN);
    for (name, content) in [
        ("pattern", &pattern),
        ("literal", &literal),
        ("zeros", &zeros),
    ] {
        group.bench_function(name, |b| b.iter(|| black_box(content).digest()));
    }
    group.finish();
}

fn edits(c: &mut Criterion) {
    let mut content = Content::new();
    for seed in 0..8192 {
        content.append(Content::pattern(seed, 0, 1 << 27));
    }
    c.bench_function("overwrite and restore 4 KiB amid 8192 runs", |b| {
        let old = content.slice(1 << 39..(1 << 39) + 4096);
        b.iter(|| {
            content.overwrite(1 << 39, Content::zeros(4096));
            content.overwrite(1 << 39, old.clone());
        });
    });
}

criterion_group!(benches, generation, comparison, digest, edits);
criterion_main!(benches);
