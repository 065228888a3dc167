//! The seeded generator of operations: [`Swarm`].
//!
//! It draws what its weights like, from what its shadow knows, and carries every operation out on
//! the shadow. Operations that only make sense together wait in a plan. It never sees an answer of
//! a witness, so one seed gives one list of operations whatever is tested.

use std::collections::VecDeque;

use scenario::{Capabilities, DataMode, Name, Op};

use crate::counts::Counts;
use crate::dice::Dice;
use crate::pair::Spot;
use crate::shadow::Shadow;
use crate::weights::{Draw, Weights};
use crate::{file_ops, inline_ops, space};

/// What the witnesses of a run can do, and how much they may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmOptions {
    /// Whether there are other callers, owners, immutable files and fifos.
    pub is_root: bool,
    /// Whether there is a second mount, and a read-only one.
    pub has_mounts: bool,
    /// Whether the filesystem can be remounted.
    pub can_remount: bool,
    /// Whether stamps tell every change; otherwise one operation in twenty waits for a tick.
    pub has_fine_times: bool,
    /// No file is made larger than this, bytes.
    pub max_file_bytes: u64,
    /// What the mount options say of new files.
    pub data: DataMode,
    /// In a run for snapshots, how many of them there are at most at a time. They come and go often
    /// there, files are few and small, and most operations are about what snapshots share.
    pub snapshots: Option<usize>,
    /// Whether the filesystem is so small that it is to become full, see `space.rs`.
    pub is_small: bool,
}

impl Default for SwarmOptions {
    fn default() -> SwarmOptions {
        SwarmOptions {
            is_root: true,
            has_mounts: true,
            can_remount: true,
            has_fine_times: true,
            max_file_bytes: 64 << 20,
            data: DataMode::default(),
            snapshots: None,
            is_small: false,
        }
    }
}

impl SwarmOptions {
    /// Returns what both of two witnesses can do.
    #[must_use]
    pub fn for_both(one: Capabilities, two: Capabilities) -> SwarmOptions {
        let is_root = one.is_root && two.is_root;
        // The flat reference has no extents and no times to speak of: it asks for no ticks.
        let is_coarse = |capabilities: Capabilities| {
            !capabilities.has_fine_times && !capabilities.tick.is_zero()
        };
        SwarmOptions {
            is_root,
            has_mounts: is_root,
            can_remount: one.can_remount && two.can_remount,
            has_fine_times: !is_coarse(one) && !is_coarse(two),
            ..SwarmOptions::default()
        }
    }

    /// Returns whether operations of a kind, one of [`Op::KINDS`], come in a run at all.
    #[must_use]
    pub fn can_draw(&self, kind: &str) -> bool {
        match kind {
            "tick" => !self.has_fine_times,
            "mwrite" if self.is_small => false,
            "fifo" | "chown" | "delete" => self.is_root,
            "remount ro" | "remount rw" => self.can_remount,
            _ => true,
        }
    }

    /// Returns whether operations come in a run at all that a rule, given by its id, can decide.
    #[must_use]
    pub fn can_meet(&self, rule: &str) -> bool {
        match rule {
            "target-immutable" | "target-not-permitted" | "target-without-remap" => self.is_root,
            "target-mount-readonly" => self.has_mounts,
            // Files without checksums are left out there.
            "nodatasum-mismatch" => !self.is_small,
            _ => true,
        }
    }
}

/// A generator of operations. One seed and one set of options give one list on every machine.
#[derive(Debug)]
pub struct Swarm {
    pub(crate) dice: Dice,
    pub(crate) options: SwarmOptions,
    pub(crate) weights: Weights,
    pub(crate) shadow: Shadow,
    /// The file that the last operation flushed, if it did.
    pub(crate) flushed: Option<Name>,
    /// What comes next whatever the weights say.
    pub(crate) plan: VecDeque<Op>,
    /// The latest long writes: where the next dedupe looks first.
    pub(crate) hot: VecDeque<Hot>,
    /// Directories, subvolumes and fifos, in the order in which they came.
    pub(crate) places: Vec<Place>,
    /// Snapshots.
    pub(crate) snapshots: Vec<Name>,
    pub(crate) nr_snapshots: usize,
    pub(crate) nr_places: usize,
    nr_since_sync: u32,
    pub(crate) nr_until_measured: u32,
    /// In how many operations two files come that are longer than a kernel remaps at once.
    nr_until_giants: u64,
}

/// A name that is no regular file.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: Name,
    pub(crate) kind: PlaceKind,
}

/// What kind of name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    Directory,
    Subvolume,
    Fifo,
}

/// Blocks of a file that were written lately.
#[derive(Debug)]
pub(crate) struct Hot {
    pub(crate) name: Name,
    first_block: u64,
    nr_blocks: u64,
}

/// How many writes are remembered.
const NR_HOT: usize = 6;
/// Dirty data lingers for fewer operations than this: a kernel flushes unasked after 30 s.
const NR_OPS_BETWEEN_SYNCS: u32 = 190;
/// How many operations lie between two pairs of giants; the first comes within as many.
const NR_OPS_BETWEEN_GIANTS: u64 = 600;

impl Swarm {
    /// Returns the generator of a seed.
    #[must_use]
    pub fn new(seed: u64, options: SwarmOptions) -> Swarm {
        let mut dice = Dice::new(seed);
        let weights = Weights::draw(&mut dice, &options);
        let nr_until_giants = dice.below(NR_OPS_BETWEEN_GIANTS);
        Swarm {
            dice,
            options,
            weights,
            shadow: Shadow::new(options.data),
            flushed: None,
            plan: VecDeque::new(),
            hot: VecDeque::new(),
            places: Vec::new(),
            snapshots: Vec::new(),
            nr_snapshots: 0,
            nr_places: 0,
            nr_since_sync: 0,
            nr_until_measured: space::NR_OPS_BEFORE_FIRST,
            nr_until_giants,
        }
    }

    /// Returns the next operation. There is always one.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could end, this cannot"
    )]
    pub fn next(&mut self) -> Op {
        let op = self.draw();
        let op = match self.options.is_small {
            true => self.fitted(op),
            false => op,
        };
        self.shadow.apply(&op);
        self.flushed = match &op {
            Op::Flush { name } => Some(name.clone()),
            _ => None,
        };
        match &op {
            Op::Rename { source, target } => self.follow_rename(source, target),
            Op::Delete { name } => self.follow_delete(name),
            Op::Snapshot { target, .. } => self.follow_snapshot(target),
            _ => {}
        }
        match &op {
            Op::Sync | Op::Remount { is_readonly: true } => self.nr_since_sync = 0,
            _ => self.nr_since_sync += 1,
        }
        op
    }

    /// Is told of an operation that a run carries out of its own accord.
    pub fn added(&mut self, op: &Op) {
        self.shadow.apply(op);
        if matches!(op, Op::Sync | Op::Tree) {
            self.nr_since_sync = 0;
        }
    }

    /// Returns what was drawn so far, as far as the shadow can tell.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shadow.counts
    }

    fn draw(&mut self) -> Op {
        self.nr_until_giants = self.nr_until_giants.saturating_sub(1);
        if NR_OPS_BETWEEN_SYNCS <= self.nr_since_sync {
            return Op::Sync;
        }
        if let Some(op) = self.plan.pop_front() {
            return op;
        }
        if !self.options.has_fine_times && self.dice.is(5) {
            return Op::Tick;
        }
        if let Some(op) = self.draw_space() {
            return op;
        }
        if self.nr_own_files() < 2 {
            return self.draw_create();
        }
        if self.nr_until_giants == 0 {
            self.nr_until_giants = NR_OPS_BETWEEN_GIANTS;
            if let Some(op) = self.draw_giants() {
                return op;
            }
        }
        if let Some(op) = self.draw_coming_and_going() {
            return op;
        }
        let op = match self.weights.next(&mut self.dice) {
            Draw::Write => self.draw_write(),
            Draw::Dedupe => self.draw_dedupe(),
            Draw::Clone => self.draw_clone(),
            Draw::Inline => self.draw_inline(),
            Draw::Truncate => self.draw_truncate(),
            Draw::Fallocate => self.draw_fallocate(),
            Draw::Punch => self.draw_punch(),
            Draw::Zero => self.draw_zero(),
            Draw::DirectWrite => self.draw_direct_write(),
            Draw::MappedWrite => self.draw_mapped_write(),
            Draw::Fiemap => self.draw_on_file(|name| Op::Fiemap { name }),
            Draw::Flush => self.draw_on_file(|name| Op::Flush { name }),
            Draw::Fsync => self.draw_on_file(|name| Op::Fsync { name }),
            Draw::Sync => Some(Op::Sync),
            Draw::Create if self.nr_own_files() < self.weights.nr_files => Some(self.draw_create()),
            Draw::Unlink if self.nr_own_files() <= 3 => Some(self.draw_create()),
            Draw::Create | Draw::Unlink => self.draw_unlink(),
            Draw::Link => self.draw_link(),
            Draw::Rename => self.draw_rename(),
            Draw::Close => self.draw_close(),
            Draw::Attribute => self.draw_attribute(),
            Draw::Owner => self.draw_owner(),
            Draw::Directory => self.draw_place(),
            Draw::Snapshot => self.draw_snapshot(),
            Draw::Delete => self.draw_delete(),
            Draw::Remount => self.draw_remount(),
            Draw::Large => self.draw_large(),
        };
        match op {
            Some(op) => op,
            None => self.draw_write().unwrap_or(Op::Sync),
        }
    }

    /// Returns how many files there are that did not come by a snapshot.
    pub(crate) fn nr_own_files(&self) -> usize {
        self.shadow
            .files()
            .iter()
            .filter(|file| !file.is_copy)
            .count()
    }

    /// Returns the names in which files can be made, the top left out.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Name> {
        let folders = self.places.iter();
        let folders = folders.filter(|place| place.kind != PlaceKind::Fifo);
        folders.map(|place| &place.name)
    }

    /// Returns the oldest fifo.
    pub(crate) fn a_fifo(&self) -> Option<Name> {
        let mut places = self.places.iter();
        let fifo = places.find(|place| place.kind == PlaceKind::Fifo);
        fifo.map(|place| place.name.clone())
    }

    /// Returns a file that can be written; mostly one that did not come by a snapshot.
    pub(crate) fn pick_writable(&mut self) -> Option<usize> {
        const NR_TRIES: usize = 8;
        for _ in 0..NR_TRIES {
            let idx = self.pick_any()?;
            let file = &self.shadow.files()[idx];
            // A small file that is written to like any other does not stay small.
            let is_special = file.is_copy || inline_ops::is_small(&file.name);
            if !file.is_readonly && (!is_special || self.dice.is(self.weights.special_percent)) {
                return Some(idx);
            }
        }
        self.shadow
            .files()
            .iter()
            .position(|file| !file.is_readonly)
    }

    /// Returns any regular file.
    pub(crate) fn pick_any(&mut self) -> Option<usize> {
        let nr_files = self.shadow.files().len();
        if nr_files == 0 {
            return None;
        }
        let idx = self.dice.idx(nr_files);
        let nr_aliases = self.shadow.files()[idx].aliases.len();
        if 0 < nr_aliases && self.dice.is(50) {
            let nth = self.dice.idx(nr_aliases);
            self.shadow.call_by_alias(idx, nth);
        }
        Some(idx)
    }

    /// Returns an operation on a file that can be written.
    pub(crate) fn draw_on_file(&mut self, op: impl FnOnce(Name) -> Op) -> Option<Op> {
        let idx = self.pick_writable()?;
        Some(op(self.shadow.files()[idx].name.clone()))
    }

    /// Remembers a write of whole blocks.
    pub(crate) fn remember(&mut self, name: &Name, first_block: u64, nr_blocks: u64) {
        if self.hot.len() == NR_HOT {
            self.hot.pop_back();
        }
        self.hot.push_front(Hot {
            name: name.clone(),
            first_block,
            nr_blocks,
        });
    }

    /// Returns a block to dedupe, mostly one that was written lately.
    pub(crate) fn pick_spot(&mut self) -> Option<Spot> {
        if self.dice.is(75) && !self.hot.is_empty() {
            let newest = self
                .dice
                .idx(self.hot.len())
                .min(self.dice.idx(self.hot.len()));
            let hot = &self.hot[newest];
            let block = (hot.first_block + self.dice.below(hot.nr_blocks)) as usize;
            let file_idx = self.shadow.idx_of(&hot.name)?;
            let nr_whole = file_ops::nr_whole_blocks(&self.shadow.files()[file_idx]);
            return (block < nr_whole).then_some(Spot { file_idx, block });
        }
        let file_idx = self.pick_any()?;
        let nr_whole = file_ops::nr_whole_blocks(&self.shadow.files()[file_idx]);
        (0 < nr_whole).then(|| Spot {
            file_idx,
            block: self.dice.idx(nr_whole),
        })
    }
}
