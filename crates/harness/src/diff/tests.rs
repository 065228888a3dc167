//! Deep checks: what a witness has cached and what it has on disk are compared both.

use std::time::Duration;

use data::{Content, Digest};
use scenario::{
    Answer, Backend, BackendError, Capabilities, FileKind, Geometry, Observation, Op, Outcome,
    Probe, Stat,
};

use super::{OpSource, Options, RunReport, Witnesses, run};

/// Where a witness loses the bytes of its file without anybody doing anything to that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    None,
    /// In its page cache, after the first look.
    Cached,
    /// On disk: it shows when the page cache is dropped.
    OnDisk,
}

/// A witness with one file, which has its bytes in a page cache and on disk.
struct Paged {
    loss: Loss,
    is_written: bool,
    /// What is read from the page cache, if that has the file.
    cached: Option<Content>,
    on_disk: Content,
}

const LEN: u64 = 4096;

impl Paged {
    fn new(loss: Loss) -> Paged {
        Paged {
            loss,
            is_written: false,
            cached: None,
            on_disk: Content::zeros(LEN),
        }
    }
}

impl Backend for Paged {
    fn name(&self) -> String {
        "paged".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            release: None,
            has_extents: true,
            has_exact_shares: true,
            has_trees: true,
            has_fine_times: true,
            tick: Duration::ZERO,
            is_root: true,
            can_remount: false,
            batch_max: 1,
            is_real: false,
        }
    }

    fn reset(&mut self, _: &Geometry) -> Result<(), BackendError> {
        *self = Paged::new(self.loss);
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        let outcome = match op {
            Op::Write { content, .. } => {
                self.is_written = true;
                self.cached = Some(content.clone());
                self.on_disk = match self.loss {
                    Loss::OnDisk => Content::zeros(LEN),
                    Loss::None | Loss::Cached => content.clone(),
                };
                Outcome::Done
            }
            Op::Tree => {
                self.cached = None;
                Outcome::Trees(Box::default())
            }
            Op::Tick if self.loss == Loss::Cached => {
                self.cached = Some(Content::zeros(LEN));
                Outcome::Done
            }
            _ => Outcome::Done,
        };
        Ok(outcome.into())
    }

    fn observe(&mut self, _: &Probe) -> Result<Observation, BackendError> {
        if !self.is_written {
            return Ok(Observation::Absent);
        }
        let content = self.cached.get_or_insert_with(|| self.on_disk.clone());
        Ok(Observation::File {
            stat: Stat {
                kind: FileKind::Regular,
                size: LEN,
                blocks: LEN / 512,
                mode: 0o644,
                uid: 0,
                mtime_changed: false,
                ctime_changed: false,
            },
            content: Digest::of(&content.to_vec()),
            map: Vec::new(),
        })
    }
}

/// A file is written once; from then on nothing mentions it.
struct WriteOnce {
    nr_drawn: usize,
}

impl OpSource for WriteOnce {
    fn restart(&mut self, _: u64) {
        self.nr_drawn = 0;
    }

    fn next_op(&mut self) -> Op {
        self.nr_drawn += 1;
        let line = match self.nr_drawn {
            1 => "file A",
            2 => "pwrite A 0 4k 0x61",
            _ => "tick",
        };
        line.parse().expect("an operation")
    }
}

/// Runs a witness that loses nothing beside one that does.
fn run_beside(loss: Loss, deep_every: u64) -> RunReport {
    let (mut expected, mut observed) = (Paged::new(Loss::None), Paged::new(loss));
    let witnesses = Witnesses {
        expected: &mut expected,
        observed: &mut observed,
    };
    // Fewer steps than there are between two looks at all files.
    let options = Options {
        steps: 16,
        deep_every,
        ..Options::default()
    };
    let source = &mut WriteOnce { nr_drawn: 0 };
    run(witnesses, source, &options, &mut |_| {}).expect("a run")
}

/// Checks that a deep check finds it, and nothing else does, right after this operation.
#[track_caller]
fn check(loss: Loss, found_after: &str) {
    assert!(run_beside(loss, 0).divergence.is_none());
    let found = run_beside(loss, 8).divergence.expect("a divergence");
    assert_eq!(found.step, 8);
    let last = found.ops.last().map(ToString::to_string);
    assert_eq!(last.as_deref(), Some(found_after));
    let differences: Vec<String> = found.differences.iter().map(ToString::to_string).collect();
    assert!(differences[0].contains("content"), "{differences:?}");
}

#[test]
fn contents_that_are_wrong_only_while_they_are_cached_are_a_divergence() {
    check(Loss::Cached, "observe");
}

#[test]
fn contents_that_are_wrong_only_once_they_are_dropped_are_a_divergence() {
    check(Loss::OnDisk, "tree");
}

#[test]
fn witnesses_that_lose_nothing_agree_in_deep_checks() {
    assert!(run_beside(Loss::None, 8).divergence.is_none());
}
