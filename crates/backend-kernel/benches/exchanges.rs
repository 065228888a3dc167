//! How many exchanges a second the running kernel answers, alone and in batches. Needs what the
//! mount needs; without it, says what is missing.

use backend_kernel::{LoopbackOptions, Mount};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use data::Content;
use scenario::{Backend, DedupeCall, Exchange, Fd, Geometry, Name, Op, Probe};

const NR_EXCHANGES: u64 = 256;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn probe(text: &str) -> Probe {
    Probe {
        name: name(text),
        expected_shape: None,
    }
}

fn write(text: &str, seed: u64, len: u64) -> Op {
    Op::Write {
        name: name(text),
        offset: 0,
        content: Content::pattern(seed, 0, len),
    }
}

fn dedupe() -> Op {
    Op::Dedupe(DedupeCall::new(
        Fd::file(name("A")),
        0,
        16384,
        Fd::file(name("B")),
        0,
    ))
}

fn prepare(mount: &mut Mount) {
    mount.reset(&Geometry::default()).expect("a reset");
    for file in ["A", "B"] {
        mount
            .apply(&Op::File {
                name: name(file),
                is_nocow: false,
            })
            .expect("a file");
        mount.apply(&write(file, 1, 16384)).expect("a write");
        mount
            .apply(&Op::Flush { name: name(file) })
            .expect("a flush");
    }
}

fn exchanges(c: &mut Criterion) {
    let mut mount = match Mount::loopback(LoopbackOptions::default()) {
        Ok(mount) => mount,
        Err(error) => {
            eprintln!("nothing is measured: {error}");
            return;
        }
    };
    let batch = |op: &dyn Fn(u64) -> Op, probes: &[Probe]| -> Vec<Exchange> {
        let exchange = |idx| Exchange {
            op: op(idx),
            probes: probes.to_vec(),
        };
        (0..NR_EXCHANGES).map(exchange).collect()
    };
    let write_a = |idx| write("A", idx, 16384);
    // A write between two dedupes, so that each finds dirty pages and moves a reference.
    let write_and_dedupe = |idx| {
        if idx % 2 == 0 {
            write("B", 1, 16384)
        } else {
            dedupe()
        }
    };
    let again = |_| dedupe();
    let mut group = c.benchmark_group("mount");
    group.throughput(Throughput::Elements(NR_EXCHANGES));
    for (title, batch) in [
        ("write 16K, observe", batch(&write_a, &[probe("A")])),
        (
            "dedupe 16K again, observe both",
            batch(&again, &[probe("A"), probe("B")]),
        ),
        (
            "write or dedupe 16K, observe both",
            batch(&write_and_dedupe, &[probe("A"), probe("B")]),
        ),
        ("dedupe 16K again", batch(&again, &[])),
        (
            "nothing",
            batch(&|_| Op::Observe { names: Vec::new() }, &[]),
        ),
    ] {
        prepare(&mut mount);
        group.bench_function(title, |b| b.iter(|| mount.run(&batch).expect("replies")));
    }
    group.finish();
    prepare(&mut mount);
    c.bench_function("one call, not batched", |b| {
        b.iter(|| {
            mount
                .apply(&Op::Observe { names: Vec::new() })
                .expect("an answer")
        });
    });
    c.bench_function("reset", |b| {
        b.iter(|| {
            prepare(&mut mount);
            mount.reset(&Geometry::default()).expect("a reset")
        });
    });
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
