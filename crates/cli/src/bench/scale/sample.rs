//! The measurement of one size: [`Sample`].

use std::time::{Duration, Instant};

use data::Content;
use miette::{IntoDiagnostic, Report, WrapErr, miette};
use model::{CallReport, CloneRequest, FrameEnd, Machine, OpenAt, OpenFile, UserMemory};
use rules::Profile;
use scenario::CallEnd;
use scenario::fd::{Access, Mount};
use scenario::op::Caller;
use serde::{Deserialize, Serialize};
use uapi::dedupe::RequestBuilder;

use super::layout::{self, BLOCK, NR_BLOCKS};

/// Calls of each kind at most.
const NR_CALLS_MAX: u64 = 500;
/// Snapshots.
const NR_SNAPSHOTS: u64 = 20;
/// What is called, in the order of the table.
pub(super) const OP_NAMES: [&str; 4] = [
    "dedupe of 4 KiB",
    "clone of 4 KiB",
    "snapshot",
    "first dedupe behind it",
];

/// What one size comes to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) nr_extents: u64,
    /// By how much the process grew, bytes.
    pub(super) resident_bytes: u64,
    pub(super) fsck_seconds: f64,
    /// As [`OP_NAMES`].
    pub(super) ops: Vec<OpSample>,
}

/// What one kind of call comes to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OpSample {
    pub(super) name: String,
    /// The median time of a call.
    pub(super) micros: f64,
    pub(super) nr_visited_max: u64,
    pub(super) nr_copied_max: u64,
}

impl Sample {
    /// Returns the resident bytes of an extent, everything included.
    pub(super) fn bytes_per_extent(&self) -> f64 {
        self.resident_bytes as f64 / self.nr_extents as f64
    }

    pub(super) fn fsck_micros_per_extent(&self) -> f64 {
        self.fsck_seconds * 1e6 / self.nr_extents as f64
    }
}

/// Builds a filesystem of so many extents and measures it.
pub(super) fn take(nr_extents: u64) -> Result<Sample, Report> {
    let profile = Profile::latest().into_diagnostic()?;
    let mut machine = Machine::new(profile);
    let before = resident_bytes()?;
    build(&mut machine, nr_extents)?;
    let resident_bytes = resident_bytes()?.saturating_sub(before);
    let nr_found = machine.fs().extents().iter().count() as u64;
    if nr_found != nr_extents {
        return Err(miette!("{nr_found} extents were made, not {nr_extents}"));
    }

    let start = Instant::now();
    let is_sound = machine.fs().fsck().is_empty();
    let fsck_seconds = start.elapsed().as_secs_f64();

    let mut calls = Calls::new(machine, nr_extents);
    let nr_calls = NR_CALLS_MAX.min(nr_extents / 8);
    let mut ops = [const { Vec::new() }; OP_NAMES.len()];
    let [dedupes, clones, snapshots, firsts] = &mut ops;
    for _ in 0..nr_calls {
        dedupes.push(calls.dedupe()?);
        clones.push(calls.clone_block()?);
    }
    // The first snapshot writes the items of all inodes that are newer than their items.
    calls.snapshot()?;
    calls.dedupe()?;
    for _ in 0..NR_SNAPSHOTS {
        snapshots.push(calls.snapshot()?);
        firsts.push(calls.dedupe()?);
    }
    if !is_sound || !calls.machine.fs().fsck().is_empty() {
        return Err(miette!("the model's fsck is not clean"));
    }
    let ops = ops.into_iter().zip(OP_NAMES);
    Ok(Sample {
        nr_extents,
        resident_bytes,
        fsck_seconds,
        ops: ops.map(|(calls, name)| summary(name, calls)).collect(),
    })
}

fn build(machine: &mut Machine, nr_extents: u64) -> Result<(), Report> {
    let fs = machine.fs_mut();
    let failed = |errno| miette!("the model cannot make the files: {errno}");
    for file_idx in 0..layout::nr_files(nr_extents) {
        let name = layout::file_name(file_idx);
        let inode = fs.create_file(&name, false).map_err(failed)?;
        for blocks in layout::passes() {
            for block_idx in blocks {
                let content = Content::pattern(layout::seed(file_idx, block_idx), 0, BLOCK);
                fs.write(inode, block_idx * BLOCK, &content)
                    .map_err(failed)?;
            }
            fs.sync();
        }
    }
    Ok(())
}

/// Returns the memory of this process, bytes.
fn resident_bytes() -> Result<u64, Report> {
    let status = std::fs::read_to_string("/proc/self/status")
        .into_diagnostic()
        .wrap_err("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib << 10)
        .ok_or_else(|| miette!("/proc/self/status does not tell VmRSS"))
}

/// What a call took.
struct Cost {
    elapsed: Duration,
    nr_visited: u64,
    nr_copied: u64,
}

/// Calls on the filesystem, one behind the other.
struct Calls {
    machine: Machine,
    nr_extents: u64,
    call_idx: u64,
    nr_snapshots: u64,
}

impl Calls {
    fn new(machine: Machine, nr_extents: u64) -> Calls {
        Calls {
            machine,
            nr_extents,
            call_idx: 0,
            nr_snapshots: 0,
        }
    }

    /// Dedupes a block of one file with the same block of its pair, which no call met yet.
    fn dedupe(&mut self) -> Result<Cost, Report> {
        let ([source, target], block_idx) = self.next_pair()?;
        let at = block_idx * BLOCK;
        let request = RequestBuilder::new(at, BLOCK).target(target.into(), at);
        let mut memory = UserMemory::new(request.build());
        let cost = self.timed(|machine| {
            let report = machine.ioctl_dedupe(Caller::Root, source, &mut memory);
            is_done(&report)
        })?;
        self.close([source, target]);
        Ok(cost)
    }

    /// Clones a block of one file over another block of its pair.
    fn clone_block(&mut self) -> Result<Cost, Report> {
        let ([source, target], block_idx) = self.next_pair()?;
        let request = CloneRequest {
            source_fd: source.into(),
            source_offset: block_idx * BLOCK,
            len: BLOCK,
            target_offset: (block_idx + 1) % NR_BLOCKS * BLOCK,
        };
        let cost = self.timed(|machine| {
            let report = machine.ioctl_clone(Caller::Root, target, request);
            is_done(&report)
        })?;
        self.close([source, target]);
        Ok(cost)
    }

    /// Makes a snapshot of everything, and deletes the one before.
    fn snapshot(&mut self) -> Result<Cost, Report> {
        let name = |idx: u64| format!("snapshot-{idx}");
        let new = name(self.nr_snapshots);
        let cost = self.timed(|machine| machine.fs_mut().snapshot(".", &new, true).is_ok())?;
        if let Some(before) = self.nr_snapshots.checked_sub(1) {
            let fs = self.machine.fs_mut();
            let top = fs.lookup(&name(before));
            let root = top.map(|top| fs.inode(top).root());
            fs.delete_root(root.map_err(|errno| miette!("a snapshot is gone: {errno}"))?);
        }
        self.nr_snapshots += 1;
        Ok(cost)
    }

    fn next_pair(&mut self) -> Result<([i32; 2], u64), Report> {
        let (pair_idx, block_idx) = layout::place(self.nr_extents, self.call_idx);
        self.call_idx += 1;
        let mut fds = [0; 2];
        for (fd, file_idx) in fds.iter_mut().zip([2 * pair_idx, 2 * pair_idx + 1]) {
            let inode = self.machine.fs_mut().lookup(&layout::file_name(file_idx));
            let inode = inode.map_err(|errno| miette!("the model lost a file: {errno}"))?;
            *fd = self.machine.open(OpenFile {
                at: OpenAt::Inode(inode),
                access: Access::ReadWrite,
                mount: Mount::First,
            });
        }
        Ok((fds, block_idx))
    }

    fn close(&mut self, fds: [i32; 2]) {
        for fd in fds {
            self.machine.close(fd);
        }
    }

    fn timed(&mut self, call: impl FnOnce(&mut Machine) -> bool) -> Result<Cost, Report> {
        let before = self.machine.fs().work();
        let start = Instant::now();
        let is_done = call(&mut self.machine);
        let elapsed = start.elapsed();
        if !is_done {
            return Err(miette!("call {} of the model failed", self.call_idx));
        }
        let work = self.machine.fs().work();
        Ok(Cost {
            elapsed,
            nr_visited: work.nr_visited - before.nr_visited,
            nr_copied: work.nr_copied - before.nr_copied,
        })
    }
}

fn is_done(report: &CallReport) -> bool {
    report.end == FrameEnd::Ended(CallEnd::Returned)
}

fn summary(name: &str, mut costs: Vec<Cost>) -> OpSample {
    costs.sort_unstable_by_key(|cost| cost.elapsed);
    let median = costs.get(costs.len() / 2);
    let max = |of: fn(&Cost) -> u64| costs.iter().map(of).max().unwrap_or(0);
    OpSample {
        name: name.to_owned(),
        micros: median.map_or(0.0, |cost| cost.elapsed.as_secs_f64() * 1e6),
        nr_visited_max: max(|cost| cost.nr_visited),
        nr_copied_max: max(|cost| cost.nr_copied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sample {
        /// Returns a small measurement.
        pub(in crate::bench::scale) fn of_test() -> Sample {
            take(1_000).expect("a small filesystem can be measured")
        }
    }

    #[test]
    fn a_snapshot_copies_no_more_nodes_than_its_own_entry_and_stamps_need() {
        let sample = Sample::of_test();
        let named = |name: &str| sample.ops.iter().find(|op| op.name == name);
        let snapshot = named("snapshot").expect("it is measured");
        assert!(snapshot.nr_copied_max <= 6, "{snapshot:?}");
        let dedupe = named("dedupe of 4 KiB").expect("it is measured");
        assert_eq!(dedupe.nr_copied_max, 0);
    }
}
