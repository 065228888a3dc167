//! The filesystem as the generator knows it: [`Shadow`].
//!
//! A flat reference has names, sizes and bytes; beside it stands a [`BlockMap`] for each regular
//! file. Every operation that is drawn is carried out here. What any witness answers is not known.

mod names;

use std::ops::Range;

use reference::{FileView, Kind, Reference};
use rustc_hash::FxHashMap;
use scenario::{CloneCall, DataMode, DedupeCall, Name, Op, Outcome};
use uapi::dedupe;

use crate::blocks::{self, Allocator, BLOCK_LEN, BlockMap, Piece};
use crate::counts::Counts;

/// A file above this size is costly to read: operations on it are counted apart.
pub(crate) const BIG_FILE_LEN: u64 = 1 << 20;

/// A regular file.
#[derive(Debug)]
pub(crate) struct File {
    /// The name that operations call it by, one of those it has.
    pub(crate) name: Name,
    /// Its other names.
    pub(crate) aliases: Vec<Name>,
    pub(crate) blocks: BlockMap,
    pub(crate) size: u64,
    pub(crate) is_nocow: bool,
    /// Whether it lies in a read-only snapshot.
    pub(crate) is_readonly: bool,
    /// Whether it came by a snapshot.
    pub(crate) is_copy: bool,
    /// Whether its read-write descriptor was opened.
    pub(crate) was_written: bool,
}

/// What the generator knows of the filesystem.
#[derive(Debug)]
pub(crate) struct Shadow {
    reference: Reference,
    /// Regular files in the order in which they came; an unlink moves the last one.
    files: Vec<File>,
    idx_of: FxHashMap<Name, usize>,
    /// Names that stand for open files only.
    held: Vec<Name>,
    allocator: Allocator,
    pub(crate) counts: Counts,
}

impl Shadow {
    pub(crate) fn new(data: DataMode) -> Shadow {
        Shadow {
            reference: Reference::mounted(data),
            files: Vec::new(),
            idx_of: FxHashMap::default(),
            held: Vec::new(),
            allocator: Allocator::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn files(&self) -> &[File] {
        &self.files
    }

    pub(crate) fn idx_of(&self, name: &Name) -> Option<usize> {
        self.idx_of.get(name).copied()
    }

    /// Returns whether a range of a file, in bytes, has dirty pages that may be written into
    /// preallocated space.
    pub(crate) fn may_write_in_place(&self, name: &Name, offset: u64, len: u64) -> bool {
        let file = self.idx_of(name).map(|idx| &self.files[idx]);
        let range = blocks::touched(offset, len);
        file.is_some_and(|file| file.blocks.may_write_in_place(range))
    }

    /// Returns what the reference knows of any name.
    pub(crate) fn view(&self, name: &Name) -> Option<FileView<'_>> {
        self.reference.file(name)
    }

    /// Returns how many blocks have storage, counted for each file that refers to them.
    pub(crate) fn nr_allocated(&self) -> usize {
        self.files
            .iter()
            .map(|file| file.blocks.nr_allocated())
            .sum()
    }

    /// Carries out an operation.
    pub(crate) fn apply(&mut self, op: &Op) {
        self.count_size(op);
        self.close_before(op);
        let outcome = match op {
            Op::Dedupe(call) => return self.apply_dedupe(call, op),
            Op::Snapshot {
                source,
                target,
                is_readonly,
            } => {
                return self.apply_snapshot(source, target, *is_readonly, op);
            }
            _ => self.reference.act(op),
        };
        if outcome != Outcome::Done {
            return;
        }
        match op {
            Op::File { name, .. } => self.add(name.clone(), BlockMap::default(), false),
            Op::Unlink { name, is_held } => match is_held {
                true => self.held.push(name.clone()),
                false => self.remove(name),
            },
            Op::Delete { name } => self.remove_below(name),
            Op::Link { source, target } => self.add_alias(source, target),
            Op::Rename { source, target } => self.rename(source, target),
            Op::Write {
                name,
                offset,
                content,
            } => {
                let len = content.len();
                self.follow(name, |blocks, old_size, content, _| {
                    if 0 < len {
                        blocks.write(*offset, len, old_size, content);
                    }
                });
            }
            Op::DirectWrite {
                name,
                offset,
                content,
            }
            | Op::MappedWrite {
                name,
                offset,
                content,
            } => {
                let len = content.len();
                let written = blocks::touched(*offset, len);
                self.follow(name, |blocks, old_size, content, allocator| {
                    blocks.flush(written.clone(), allocator);
                    if 0 < len {
                        blocks.write(*offset, len, old_size, content);
                    }
                    blocks.flush(written, allocator);
                });
            }
            Op::Truncate { name, .. } => self.follow(name, |blocks, old_size, content, _| {
                blocks.resize(old_size, content);
            }),
            Op::Fallocate {
                name, offset, len, ..
            } => {
                self.follow(name, |blocks, old_size, content, allocator| {
                    blocks.resize(old_size, content);
                    blocks.allocate(*offset, *len, allocator);
                });
            }
            Op::Punch { name, offset, len } => self.follow(name, |blocks, _, content, _| {
                blocks.punch(*offset, *len, content);
            }),
            Op::Zero {
                name, offset, len, ..
            } => self.follow(name, |blocks, old_size, content, allocator| {
                blocks.resize(old_size, content);
                blocks.zero(*offset, *len, content, allocator);
            }),
            Op::Flush { name } | Op::Fiemap { name } | Op::Fsync { name } => {
                self.follow(name, |blocks, _, _, allocator| blocks.flush_all(allocator));
            }
            Op::Sync | Op::Remount { .. } | Op::Tree => self.flush_all(),
            Op::Chattr { name, .. } => self.follow(name, |_, _, _, _| {}),
            Op::Clone(call) => self.follow_clone(call),
            Op::Close { .. }
            | Op::Dir { .. }
            | Op::Fifo { .. }
            | Op::Subvol { .. }
            | Op::Snapshot { .. }
            | Op::Tick
            | Op::Chmod { .. }
            | Op::Chown { .. }
            | Op::Dedupe(_)
            | Op::Observe { .. } => {}
        }
    }

    fn count_size(&mut self, op: &Op) {
        self.counts.nr_ops += 1;
        let is_big = |name: &Name| {
            self.idx_of(name)
                .is_some_and(|idx| BIG_FILE_LEN < self.files[idx].size)
        };
        let makes_big = match op {
            Op::Write {
                offset, content, ..
            }
            | Op::DirectWrite {
                offset, content, ..
            } => BIG_FILE_LEN < offset.saturating_add(content.len()),
            Op::Truncate { size, .. } => BIG_FILE_LEN < *size,
            _ => false,
        };
        let touches_big = makes_big || op.names().into_iter().any(is_big);
        self.counts.nr_big_ops += u64::from(touches_big);
    }

    /// Lets the blocks of a file follow a change that the reference has made.
    fn follow(
        &mut self,
        name: &Name,
        change: impl FnOnce(&mut BlockMap, u64, &data::Content, &mut Allocator),
    ) {
        let Some(&idx) = self.idx_of.get(name) else {
            return;
        };
        let Some(view) = self.reference.file(name) else {
            return;
        };
        let file = &mut self.files[idx];
        change(
            &mut file.blocks,
            file.size,
            view.content,
            &mut self.allocator,
        );
        file.size = view.content.len();
        file.is_nocow = view.is_nocow;
        file.was_written = true;
    }

    fn follow_clone(&mut self, call: &CloneCall) {
        let (Some(source), Some(target)) = (call.source.name(), call.target.name()) else {
            return;
        };
        let (Some(source_idx), Some(target_idx)) = (self.idx_of(source), self.idx_of(target))
        else {
            return;
        };
        let source_size = self.files[source_idx].size;
        let len = match call.len {
            0 => source_size.saturating_sub(call.source_offset),
            len => len,
        };
        if len == 0 {
            return;
        }
        let touched = blocks::touched(call.target_offset, len);
        self.flush(source_idx, blocks::touched(call.source_offset, len));
        self.flush(target_idx, touched.clone());
        let piece = self.piece(source_idx, call.source_offset, len);
        let name = self.files[target_idx].name.clone();
        self.follow(&name, |target, old_size, content, allocator| {
            target.resize(old_size, content);
            target.flush(touched.clone(), allocator);
            target.share(touched.start, &piece);
            target.rekey(touched, content);
        });
    }

    fn apply_dedupe(&mut self, call: &DedupeCall, op: &Op) {
        let source_idx = call.source.name().and_then(|name| self.idx_of(name));
        let was_dirty = self.is_dedupe_dirty(call, source_idx);
        let Outcome::Dedupe { elements, .. } = self.reference.act(op) else {
            return;
        };
        self.counts.nr_calls += 1;
        let is_untouched = |status| status == scenario::DedupeTarget::UNTOUCHED_STATUS;
        if elements.iter().all(|element| is_untouched(element.status)) && !elements.is_empty() {
            self.counts.nr_calls_refused += 1;
            return;
        }
        let mut seen = SeenByCall::default();
        for (target, element) in call.targets.iter().zip(&elements) {
            if is_untouched(element.status) {
                continue;
            }
            self.counts.nr_elements += 1;
            let target_idx = target.fd.name().and_then(|name| self.idx_of(name));
            match (source_idx, target_idx, element.status) {
                (Some(source_idx), Some(target_idx), dedupe::SAME) => {
                    let end = Span {
                        source_idx,
                        target_idx,
                        offset: target.offset,
                    };
                    self.follow_same(call, &end, &mut seen);
                }
                (Some(source_idx), Some(target_idx), dedupe::DIFFERS) => {
                    self.flush(source_idx, blocks::touched(call.source_offset, call.len));
                    self.flush(target_idx, blocks::touched(target.offset, call.len));
                    self.counts.nr_differ += 1;
                    seen.has_differed = true;
                }
                _ => self.counts.nr_refused += 1,
            }
        }
        self.counts.nr_calls_moved += u64::from(seen.has_moved);
        self.counts.nr_calls_differ += u64::from(seen.has_differed);
        self.counts.nr_calls_cut += u64::from(seen.has_cut);
        self.counts.nr_calls_dirty += u64::from(was_dirty);
    }

    fn is_dedupe_dirty(&self, call: &DedupeCall, source_idx: Option<usize>) -> bool {
        let is_dirty = |idx: usize, offset| {
            self.files[idx]
                .blocks
                .is_dirty(blocks::touched(offset, call.len))
        };
        source_idx.is_some_and(|idx| is_dirty(idx, call.source_offset))
            || call.targets.iter().any(|target| {
                let target_idx = target.fd.name().and_then(|name| self.idx_of(name));
                target_idx.is_some_and(|idx| is_dirty(idx, target.offset))
            })
    }

    fn follow_same(&mut self, call: &DedupeCall, span: &Span, seen: &mut SeenByCall) {
        let first_block = (span.offset / BLOCK_LEN) as usize;
        let source = blocks::touched(call.source_offset, call.len);
        self.flush(span.source_idx, source);
        self.flush(span.target_idx, blocks::touched(span.offset, call.len));
        let target = &self.files[span.target_idx];
        let is_tail = call.source_offset.saturating_add(call.len)
            == self.files[span.source_idx].size
            && span.offset.saturating_add(call.len) == target.size;
        let len = if is_tail {
            call.len
        } else {
            call.len - call.len % BLOCK_LEN
        };
        if len == 0 {
            self.counts.nr_same_unmoved += 1;
            return;
        }
        let blocks = blocks::touched(span.offset, len);
        let is_cut = target.blocks.is_inside_extent(blocks.start)
            || target.blocks.is_inside_extent(blocks.end);
        let piece = self.piece(span.source_idx, call.source_offset, len);
        let has_moved = self.files[span.target_idx]
            .blocks
            .share(first_block, &piece);
        seen.has_moved |= has_moved;
        seen.has_cut |= is_cut && has_moved;
        if has_moved {
            self.counts.nr_moved += 1;
        } else {
            self.counts.nr_same_unmoved += 1;
        }
    }

    fn apply_snapshot(&mut self, source: &Name, target: &Name, is_readonly: bool, op: &Op) {
        if self.reference.act(op) != Outcome::Done {
            return;
        }
        // In the order of the list: the copies must come in the same order on every machine.
        for idx in 0..self.files.len() {
            let file = &self.files[idx];
            let names = std::iter::once(&file.name).chain(&file.aliases);
            let copies = names.filter_map(|name| Some(target.join(&below(name, source)?)));
            let is_file = |name: &Name| {
                let view = self.reference.file(name);
                view.is_some_and(|view| view.kind == Kind::Regular)
            };
            let mut copies: Vec<Name> = copies.filter(is_file).collect();
            let Some(name) = copies.pop() else {
                continue;
            };
            self.flush(idx, 0..usize::MAX);
            let blocks = self.files[idx].blocks.clone();
            self.add(name.clone(), blocks, is_readonly);
            for alias in copies {
                self.add_alias(&name, &alias);
            }
        }
    }

    fn add(&mut self, name: Name, blocks: BlockMap, is_readonly: bool) {
        let Some(view) = self.reference.file(&name) else {
            return;
        };
        let file = File {
            size: view.content.len(),
            is_nocow: view.is_nocow,
            is_copy: !blocks.keys().is_empty() || is_readonly,
            name: name.clone(),
            aliases: Vec::new(),
            blocks,
            is_readonly,
            was_written: false,
        };
        self.idx_of.insert(name, self.files.len());
        self.files.push(file);
    }

    fn flush_all(&mut self) {
        for idx in 0..self.files.len() {
            self.flush(idx, 0..usize::MAX);
        }
    }

    fn flush(&mut self, idx: usize, blocks: Range<usize>) {
        self.files[idx].blocks.flush(blocks, &mut self.allocator);
    }

    /// Returns where the blocks lie that a byte range touches.
    fn piece(&self, idx: usize, offset: u64, len: u64) -> Piece {
        self.files[idx].blocks.piece(blocks::touched(offset, len))
    }
}

/// Where an element of a call reads and writes.
struct Span {
    source_idx: usize,
    target_idx: usize,
    offset: u64,
}

/// What the elements of one call have seen.
#[derive(Default)]
struct SeenByCall {
    has_moved: bool,
    has_differed: bool,
    has_cut: bool,
}

/// Returns `name` as seen from `top`, if it is below it.
fn below(name: &Name, top: &Name) -> Option<Name> {
    if top.is_top() {
        return Some(name.clone());
    }
    Name::new(
        name.as_str()
            .strip_prefix(top.as_str())?
            .strip_prefix('/')?,
    )
}
