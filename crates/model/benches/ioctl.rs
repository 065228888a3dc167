//! Dedupe calls of the model from request bytes to reply bytes, in a state of 10,000 extents, and
//! refusals. `xsame bench` holds the same beside a kernel.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use data::Content;
use model::{Machine, OpenAt, OpenFile, UserMemory};
use rules::Profile;
use scenario::fd::{Access, Mount};
use scenario::op::Caller;
use uapi::dedupe::RequestBuilder;

/// Extents of each of the two files.
const NR_PIECES: u64 = 5_000;
/// Prime, so that pairs are visited out of file order.
const STRIDE: u64 = 2_903;

/// A machine with two files of equal pieces, and their descriptors.
struct Prepared {
    machine: Machine,
    source: i32,
    target: i32,
}

impl Prepared {
    fn new(piece_len: u64) -> Prepared {
        let mut machine = Machine::new(Profile::latest().expect("a profile"));
        let [source, target] = ["source", "target"].map(|name| {
            let fs = machine.fs_mut();
            let inode = fs.create_file(name, false).expect("a fresh name");
            for parity in [0, 1] {
                for idx in (parity..NR_PIECES).step_by(2) {
                    let piece = Content::pattern(idx, 0, piece_len);
                    fs.write(inode, idx * piece_len, &piece).expect("a write");
                }
                fs.sync();
            }
            machine.open(OpenFile {
                at: OpenAt::Inode(inode),
                access: Access::ReadWrite,
                mount: Mount::First,
            })
        });
        Prepared {
            machine,
            source,
            target,
        }
    }

    fn request(&self, idx: u64, piece_len: u64, shift: u64) -> Vec<u8> {
        let at = idx * STRIDE % NR_PIECES * piece_len;
        RequestBuilder::new(at, piece_len)
            .target(self.target.into(), at + shift)
            .build()
    }
}

/// Returns how long `nr_calls` calls take, no pair twice: the machine is made anew when all of
/// them are deduped.
fn time_fresh(prepared: &Prepared, piece_len: u64, nr_calls: u64) -> Duration {
    let mut elapsed = Duration::ZERO;
    let mut left = nr_calls;
    while 0 < left {
        let mut machine = prepared.machine.clone();
        let nr = left.min(NR_PIECES);
        let mut requests: Vec<UserMemory> = (0..nr)
            .map(|idx| UserMemory::new(prepared.request(idx, piece_len, 0)))
            .collect();
        let start = Instant::now();
        for memory in &mut requests {
            machine.ioctl_dedupe(Caller::Root, prepared.source, memory);
        }
        elapsed += start.elapsed();
        left -= nr;
    }
    elapsed
}

fn fresh_pairs(c: &mut Criterion) {
    for (title, piece_len) in [("dedupe 4 KiB", 4 << 10), ("dedupe 128 KiB", 128 << 10)] {
        let prepared = Prepared::new(piece_len);
        c.bench_function(title, |b| {
            b.iter_custom(|nr_calls| time_fresh(&prepared, piece_len, nr_calls));
        });
    }
}

fn refusal(c: &mut Criterion) {
    let mut prepared = Prepared::new(4 << 10);
    let request = prepared.request(1, 4 << 10, 512);
    let mut memory = UserMemory::new(request.clone());
    c.bench_function("EINVAL, unaligned", |b| {
        b.iter(|| {
            memory.bytes_mut().copy_from_slice(&request);
            let source = prepared.source;
            prepared
                .machine
                .ioctl_dedupe(Caller::Root, source, &mut memory)
        });
    });
}

criterion_group!(benches, fresh_pairs, refusal);
criterion_main!(benches);
