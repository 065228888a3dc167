//! The steps of one element, or of a clone's pair: locks, flushes, compare, remap, report.

use fs_state::{InodeId, TimesUpdate, align_down, align_up};
use rules::range::rounded;
use rules::view::BLOCK_BYTES;
use rules::{Bytes, Comparison, End, LockClass, Side, Step, Times, decided};
use scenario::fd::Access;
use uapi::dedupe;

use crate::frame::{Frame, Level, Opened};
use crate::locks::{Acquired, LockId};
use crate::machine::Machine;
use crate::step::{Flow, decide, element_slot, set_result};

/// Carries out one step of an element plan or a clone plan.
// Inlined, so that both matches over steps become one jump.
#[inline(always)]
pub(crate) fn step(machine: &mut Machine, frame: &mut Frame, step: Step) -> Flow {
    match step {
        Step::ResolveTarget => return resolve_target(machine, frame),
        Step::Lock(class, side) => return lock(machine, frame, class, side),
        Step::StartWriteback(side) => machine.fs.filemap_flush(inode(frame, side)),
        Step::WaitOrdered(side) => wait_ordered(machine, frame, side),
        Step::WaitLocked(side) => wait_locked(machine, frame, side),
        Step::WriteShortened(side) => write_shortened(machine, frame, side),
        Step::Shorten(rounding) => {
            let view = frame.range_view(&machine.fs);
            (frame.element.len, frame.element.aligned_len) = rounded(rounding, &view);
        }
        Step::Compare(comparison) => {
            let len = frame.element.len;
            return compare(machine, frame, comparison, 0, len);
        }
        Step::CompareChunk(comparison) => {
            let start = frame.element.done;
            let len = (frame.element.len - start).min(machine.profile.limits.chunk_len);
            return compare(machine, frame, comparison, start, len);
        }
        Step::RemapChunk(times) => {
            let left = to_remap(machine, frame) - frame.element.done;
            let len = left.min(machine.profile.limits.chunk_len);
            return remap(machine, frame, times, len);
        }
        Step::RemapWhole(times) => {
            let len = frame.element.len;
            return remap(machine, frame, times, len);
        }
        Step::Repeat(nr_steps) => {
            if frame.element.done < to_remap(machine, frame) {
                frame.pc -= usize::from(nr_steps) + 1;
            }
        }
        Step::UnlockRanges => unlock_ranges(machine, frame),
        Step::Unlock => unlock(machine, frame),
        Step::Report(bytes) => report(frame, bytes),
        Step::ToSourceEof => to_source_eof(machine, frame),
        Step::FileModified => {
            let (target, offset) = (frame.pair().1, frame.element.target_offset);
            machine.fs.file_modified(target);
            machine
                .fs
                .drop_pages(target, offset, offset.saturating_add(frame.element.len));
        }
        Step::Expand => {
            let (target, offset) = (frame.pair().1, frame.element.target_offset);
            if machine.fs.inode(target).size() < offset
                && machine.fs.expand_for_clone(target, offset).is_err()
            {
                return decide(machine, frame, &decided::NO_SPACE);
            }
        }
        Step::ResolveSource
        | Step::CopyIn(_)
        | Step::Check(_)
        | Step::ClampLen
        | Step::PresetResults
        | Step::EachElement
        | Step::CopyOut
        | Step::CopyElementOut => {
            debug_assert!(false, "{step:?} is a step of the call");
        }
    }
    Flow::Advanced
}

/// Returns the file that a number is open on, unless it was opened with `O_PATH`.
pub(crate) fn opened(machine: &Machine, fd: i32) -> Option<Opened> {
    let file = machine
        .file(fd)
        .filter(|file| file.access != Access::Path)?;
    Some(Opened {
        view: file.view(&machine.fs),
        inode: file.inode(),
    })
}

fn resolve_target(machine: &Machine, frame: &mut Frame) -> Flow {
    // fdget takes an unsigned int: the upper half of the field is not looked at.
    match opened(machine, frame.element.dest_fd as i32) {
        Some(target) => {
            frame.element.target = Some(target);
            note_pair(frame);
            Flow::Advanced
        }
        None if frame.level == Level::Clone => decide(machine, frame, &decided::SOURCE_FD),
        None => decide(machine, frame, &decided::TARGET_FD),
    }
}

/// Notes both inodes, once both descriptors are resolved.
pub(crate) fn note_pair(frame: &mut Frame) {
    let inode = |opened: &Option<Opened>| opened.as_ref().and_then(|opened| opened.inode);
    frame.element.pair = inode(&frame.source).zip(inode(&frame.element.target));
}

/// Returns the inode on a side. An inode's number stands for its address.
fn inode(frame: &Frame, side: Side) -> InodeId {
    let (source, target) = frame.pair();
    match side {
        Side::Source => source,
        Side::Target => target,
        Side::Lower => source.min(target),
        Side::Higher => source.max(target),
    }
}

/// Returns the start of the range on a side, bytes.
fn offset(frame: &Frame, side: Side) -> u64 {
    let is_source = match side {
        Side::Source => true,
        Side::Target => false,
        Side::Lower | Side::Higher => inode(frame, side) == frame.pair().0,
    };
    if is_source {
        frame.element.source_offset
    } else {
        frame.element.target_offset
    }
}

fn lock(machine: &mut Machine, frame: &mut Frame, class: LockClass, side: Side) -> Flow {
    let lock = LockId {
        class,
        inode: inode(frame, side),
    };
    match machine.locks.acquire(frame.task, lock) {
        Acquired::Taken => frame.held.push(lock),
        Acquired::HeldAlready => {}
        Acquired::Blocked { by } => {
            frame.pc -= 1;
            return Flow::Blocked { on: lock, by };
        }
    }
    Flow::Advanced
}

fn unlock_ranges(machine: &mut Machine, frame: &mut Frame) {
    let task = frame.task;
    frame.held.retain(|lock| {
        if lock.class == LockClass::Range {
            machine.locks.release(task, *lock);
        }
        lock.class != LockClass::Range
    });
}

/// Releases every lock, the last one first. Nobody can tell it from releasing them one by one: a
/// release never waits.
fn unlock(machine: &mut Machine, frame: &mut Frame) {
    while let Some(lock) = frame.held.pop() {
        machine.locks.release(frame.task, lock);
    }
}

/// Writes back and waits as `btrfs_remap_file_range_prep` asks for it: from the block of the
/// offset, as many bytes as the length has when rounded up.
fn wait_ordered(machine: &mut Machine, frame: &Frame, side: Side) {
    let start = align_down(offset(frame, side));
    let len = if frame.element.is_to_eof {
        // The kernel's own arithmetic: it wraps where a clone starts behind the source's EOF.
        let size = machine.fs.inode(frame.pair().0).size();
        align_up(size).wrapping_sub(align_down(frame.element.source_offset))
    } else {
        align_up(frame.element.len)
    };
    // btrfs_wait_ordered_range: an end that wraps, or lies before the start of the file, means
    // the largest position. An end before the start means nothing.
    let last = match start.checked_add(len) {
        Some(end) => end.wrapping_sub(1).min(POSITION_MAX),
        None => POSITION_MAX,
    };
    if start <= last {
        machine
            .fs
            .wait_ordered_range(inode(frame, side), start, last - start + 1);
    }
}

/// Writes back a range that shortening made empty: its end wraps at offset 0 (file positions are
/// signed, pages are not).
fn write_shortened(machine: &mut Machine, frame: &Frame, side: Side) {
    if frame.element.len == 0 && offset(frame, side) == 0 {
        machine.fs.filemap_flush(inode(frame, side));
    }
}

/// Writes back the pages of the range on a side, as `lock_extent_range` of 3.x does once it finds
/// delalloc in it.
fn wait_locked(machine: &mut Machine, frame: &Frame, side: Side) {
    let start = offset(frame, side);
    // A length of zero at offset zero means the whole file: the range ends at -1.
    let last = start.wrapping_add(frame.element.len).wrapping_sub(1);
    if start <= last {
        let (from, to) = (align_down(start), align_up(last.saturating_add(1)));
        machine
            .fs
            .wait_ordered_range(inode(frame, side), from, to - from);
    }
}

fn compare(
    machine: &mut Machine,
    frame: &mut Frame,
    comparison: Comparison,
    start: u64,
    len: u64,
) -> Flow {
    let (source, target) = frame.pair();
    let source_offset = frame.element.source_offset + start;
    let target_offset = frame.element.target_offset + start;
    let differs = match comparison {
        Comparison::AlwaysSame => false,
        Comparison::Bytes => {
            let fs = &mut machine.fs;
            let found = fs.first_difference(source, source_offset, target, target_offset, len);
            // Pages are read one by one, up to the first that differs.
            let read_len = found.map_or(len, |at| at + 1);
            fs.read_pages(source, source_offset, source_offset + read_len);
            fs.read_pages(target, target_offset, target_offset + read_len);
            found.is_some()
        }
    };
    match differs {
        true => decide(machine, frame, &decided::DATA_DIFFERS),
        false => Flow::Advanced,
    }
}

/// Returns how many bytes the element remaps in all.
fn to_remap(machine: &Machine, frame: &Frame) -> u64 {
    frame.element.len.min(machine.profile.limits.element_len)
}

/// Remaps the next `len` bytes.
fn remap(machine: &mut Machine, frame: &mut Frame, times: Times, len: u64) -> Flow {
    let done = frame.element.done;
    let cloned = machine.fs.clone_extents(
        frame.pair().0,
        frame.element.source_offset + done,
        align_up(len),
        len,
        frame.pair().1,
        frame.element.target_offset + done,
        match times {
            Times::Keep => TimesUpdate::Keep,
            Times::Now => TimesUpdate::Now,
        },
    );
    frame.element.report.moved_reference |= cloned.moved_reference;
    frame.element.report.cut_extent |= cloned.cut_extent;
    if cloned.is_out_of_space {
        return decide(machine, frame, &decided::NO_SPACE);
    }
    frame.element.done = done + len;
    Flow::Advanced
}

/// Writes status and bytes of the element into the request.
fn report(frame: &mut Frame, bytes: Bytes) {
    let status = match frame.element.decided.map(|rule| rule.end) {
        None | Some(End::Succeeds | End::Hangs | End::Panics) => dedupe::SAME,
        Some(End::Differs) => dedupe::DIFFERS,
        Some(End::Refuses(errno)) => errno.status(),
    };
    let bytes = match bytes {
        Bytes::Requested if status == dedupe::SAME => frame.len,
        Bytes::Requested => 0,
        Bytes::Achieved => frame.element.done,
    };
    set_result(frame, element_slot(frame), bytes, status);
}

/// Makes a clone's length 0 what it stands for.
fn to_source_eof(machine: &Machine, frame: &mut Frame) {
    if frame.element.is_to_eof {
        let size = machine.fs.inode(frame.pair().0).size();
        frame.element.len = size.saturating_sub(frame.element.source_offset);
        frame.element.aligned_len = frame.element.len;
        frame.element.is_to_eof = false;
    }
}

/// The largest file position (`OFFSET_MAX`).
const POSITION_MAX: u64 = i64::MAX as u64;

const _: () = assert!(fs_state::BLOCK == BLOCK_BYTES);
