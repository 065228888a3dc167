//! Deep checks: what a witness has cached and what it has on disk are compared both.

use std::time::Duration;

use data::{Content, Digest};
use scenario::{
    Answer, Backend, BackendError, Capabilities, FileKind, Geometry, Observation, Op, Outcome,
    Probe, Stat, Verified,
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
    /// On disk, where only a check of the whole filesystem finds it.
    Unseen,
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
                    Loss::None | Loss::Cached | Loss::Unseen => content.clone(),
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

    fn retire(&mut self) -> Result<Verified, BackendError> {
        let complaint = (self.loss == Loss::Unseen).then(|| "a byte is lost".to_owned());
        Ok(Verified {
            complaints: complaint.into_iter().collect(),
            left_out: vec!["nobody looked at the other side".to_owned()],
        })
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
    // Fewer steps than there are between two looks at all files.
    let options = Options {
        steps: 16,
        deep_every,
        ..Options::default()
    };
    run_with(loss, &options)
}

fn run_with(loss: Loss, options: &Options) -> RunReport {
    let (mut expected, mut observed) = (Paged::new(Loss::None), Paged::new(loss));
    let witnesses = Witnesses {
        expected: &mut expected,
        observed: &mut observed,
    };
    let source = &mut WriteOnce { nr_drawn: 0 };
    run(witnesses, source, options, &mut |_| {}).expect("a run")
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

#[test]
fn a_filesystem_is_checked_before_it_is_thrown_away_and_damage_ends_the_run() {
    let options = |episode_steps| Options {
        steps: 16,
        episode_steps,
        deep_every: 8,
        ..Options::default()
    };
    let report = run_with(Loss::Unseen, &options(4));
    assert_eq!(report.damage, ["paged: a byte is lost"]);
    assert_eq!(report.steps, 4);
    let whole = run_with(Loss::None, &options(4));
    assert_eq!((whole.damage.len(), whole.steps), (0, 16));
    assert_eq!(whole.unchecked, ["paged: nobody looked at the other side"]);
    // The last filesystem is kept.
    let last = run_with(Loss::Unseen, &options(16));
    assert_eq!((last.damage.len(), last.unchecked.len()), (0, 0));
}

#[test]
fn a_run_without_deep_checks_says_what_it_leaves_out() {
    let report = run_beside(Loss::None, 0);
    let [line] = report.unchecked.as_slice() else {
        panic!("one line: {:?}", report.unchecked);
    };
    assert!(line.contains("filesystems"), "{line}");
}
