//! The one `match` over steps: control flow is here, leaves compute.
//!
//! Steps of a call are carried out in this file, those of an element (or a clone) in
//! [`crate::element`]. A rule that fires ends the call at once, or sends the element to the steps
//! that put things back.

use rules::check::first_fired;
use rules::{CopyIn, End, Rule, Stage, Step, decided};
use scenario::CallEnd;
use uapi::Errno;
use uapi::dedupe::{self, ELEMENT_LEN, HEADER_LEN};

use crate::element;
use crate::frame::{Element, Frame, FrameEnd, Level};
use crate::locks::{LockId, TaskId};
use crate::machine::Machine;
use crate::memory::UserMemory;

/// What a step came to.
// A tag of its own: decoding a niche costs more than most steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flow {
    /// The frame went on.
    Advanced,
    /// The frame stands where it stood.
    Blocked {
        /// The lock that it wants.
        on: LockId,
        /// Who has it.
        by: TaskId,
    },
    /// The call is over.
    Done,
}

/// Carries out the next step of a frame.
#[inline]
pub fn step(machine: &mut Machine, frame: &mut Frame, memory: &mut UserMemory) -> Flow {
    if frame.is_done {
        return Flow::Done;
    }
    let plan = match frame.level {
        Level::Call => &machine.profile.call_plan,
        Level::Element => &machine.profile.element_plan,
        Level::Clone => &machine.profile.clone_plan,
    };
    let Some(&next) = plan.get(frame.pc) else {
        return end_of_plan(frame);
    };
    frame.pc += 1;
    match next {
        Step::ResolveSource => resolve_source(machine, frame),
        Step::CopyIn(what) => copy_in(machine, frame, memory, what),
        Step::Check(stage) => check(machine, frame, stage),
        Step::ClampLen => {
            frame.len = frame.len.min(machine.profile.limits.request_len);
            Flow::Advanced
        }
        Step::PresetResults => {
            for element_idx in 0..usize::from(frame.count) {
                set_result(frame, element_idx, 0, dedupe::SAME);
            }
            Flow::Advanced
        }
        Step::EachElement => begin_element(frame),
        Step::CopyOut => match memory.copy_out(0, &frame.request) {
            Ok(()) => Flow::Advanced,
            Err(_) => decide(machine, frame, &decided::REPLY_FAULT),
        },
        Step::CopyElementOut => copy_element_out(machine, frame, memory),
        Step::ResolveTarget
        | Step::Lock(..)
        | Step::StartWriteback(_)
        | Step::WaitOrdered(_)
        | Step::WaitLocked(_)
        | Step::WriteShortened(_)
        | Step::Shorten(_)
        | Step::Compare(_)
        | Step::CompareChunk(_)
        | Step::RemapChunk(_)
        | Step::RemapWhole(_)
        | Step::UnlockRanges
        | Step::Repeat(_)
        | Step::Unlock
        | Step::Report(_)
        | Step::ToSourceEof
        | Step::FileModified
        | Step::Expand => element::step(machine, frame, next),
    }
}

/// Ends what the frame is in the middle of by a rule: the call, or the element.
#[cold]
pub(crate) fn decide(machine: &Machine, frame: &mut Frame, rule: &'static Rule) -> Flow {
    let is_mortal = matches!(rule.end, End::Hangs | End::Panics);
    let is_fault = rule.errno() == Some(Errno::EFAULT);
    if frame.level == Level::Call || is_mortal || is_fault {
        frame.report.rule = Some(rule.id);
        frame.report.end = frame_end(rule);
        frame.is_done = true;
        return Flow::Done;
    }
    frame.element.decided = Some(rule);
    frame.element.report.rule = Some(rule.id);
    frame.pc = match frame.level {
        Level::Clone => machine.cleanup.clone_pc,
        Level::Call | Level::Element => machine.cleanup.element_pc,
    };
    Flow::Advanced
}

/// Writes an element's results into the request in kernel memory.
pub(crate) fn set_result(frame: &mut Frame, element_idx: usize, bytes: u64, status: i32) {
    dedupe::write_result(&mut frame.request, element_idx, bytes, status)
        .expect("the request was copied in with all the elements that it counts");
}

/// Returns the place of the current element in the request in kernel memory.
pub(crate) fn element_slot(frame: &Frame) -> usize {
    if frame.has_list { frame.element_idx } else { 0 }
}

/// Returns how a call ends by a rule.
fn frame_end(rule: &Rule) -> FrameEnd {
    match rule.end {
        End::Refuses(errno) => FrameEnd::Ended(CallEnd::Failed(errno)),
        End::Succeeds | End::Differs => FrameEnd::Ended(CallEnd::Returned),
        End::Hangs => FrameEnd::Hangs,
        End::Panics => FrameEnd::Panics,
    }
}

/// Goes from an element back to the call, or ends the call.
fn end_of_plan(frame: &mut Frame) -> Flow {
    match frame.level {
        Level::Element => {
            frame.report.elements.push(frame.element.report);
            frame.element_idx += 1;
            frame.level = Level::Call;
            frame.pc = frame.call_pc;
            Flow::Advanced
        }
        Level::Clone => {
            if let Some(rule) = frame.element.decided {
                frame.report.rule = Some(rule.id);
                frame.report.end = frame_end(rule);
            }
            frame.report.elements.push(frame.element.report);
            frame.is_done = true;
            Flow::Done
        }
        Level::Call => {
            frame.is_done = true;
            Flow::Done
        }
    }
}

/// Enters the element plan for the next element, if there is one.
fn begin_element(frame: &mut Frame) -> Flow {
    if frame.element_idx == usize::from(frame.count) {
        return Flow::Advanced;
    }
    frame.call_pc = frame.pc - 1;
    frame.level = Level::Element;
    frame.pc = 0;
    frame.element = Element {
        source_offset: frame.header.src_offset.get(),
        len: frame.len,
        aligned_len: frame.len,
        ..Element::default()
    };
    if frame.has_list {
        load_element(frame, frame.element_idx);
    }
    Flow::Advanced
}

/// Takes the in fields of an element out of the request in kernel memory.
fn load_element(frame: &mut Frame, slot_idx: usize) {
    let element = dedupe::element(&frame.request, slot_idx)
        .expect("the request was copied in with all the elements that it counts");
    frame.element.dest_fd = element.dest_fd.get();
    frame.element.target_offset = element.dest_offset.get();
    frame.element.reserved = element.reserved.get();
}

fn resolve_source(machine: &Machine, frame: &mut Frame) -> Flow {
    match element::opened(machine, frame.fd) {
        Some(source) => {
            frame.source = Some(source);
            element::note_pair(frame);
            Flow::Advanced
        }
        None if frame.level == Level::Clone => decide(machine, frame, &decided::CLONE_SOURCE_FD),
        None => decide(machine, frame, &decided::SOURCE_FD),
    }
}

fn copy_in(machine: &Machine, frame: &mut Frame, memory: &UserMemory, what: CopyIn) -> Flow {
    let copied = match what {
        CopyIn::Count => memory.copy_in(COUNT_OFFSET, size_of::<u16>()).map(|bytes| {
            frame.count = u16::from_le_bytes([bytes[0], bytes[1]]);
        }),
        CopyIn::Request => memory
            .copy_in(0, dedupe::request_len(frame.count))
            .map(|bytes| {
                frame.request.clear();
                frame.request.extend_from_slice(bytes);
                frame.has_list = true;
                load_header(frame);
            }),
        CopyIn::Header => memory.copy_in(0, HEADER_LEN).map(|bytes| {
            frame.request.clear();
            frame.request.extend_from_slice(bytes);
            frame.request.resize(HEADER_LEN + ELEMENT_LEN, 0);
            load_header(frame);
            frame.count = frame.header.dest_count.get();
        }),
        CopyIn::Element => memory
            .copy_in(element_offset(frame.element_idx), ELEMENT_LEN)
            .map(|bytes| {
                frame.request[HEADER_LEN..].copy_from_slice(bytes);
                load_element(frame, 0);
            }),
    };
    match (copied, what) {
        (Ok(()), _) => Flow::Advanced,
        (Err(_), CopyIn::Element) => decide(machine, frame, &decided::ELEMENT_FAULT),
        (Err(_), _) => decide(machine, frame, &decided::REQUEST_FAULT),
    }
}

/// Takes the header out of the request in kernel memory.
fn load_header(frame: &mut Frame) {
    frame.header = *dedupe::header(&frame.request).expect("the header was copied in");
    frame.len = frame.header.src_length.get();
}

/// Writes status, then bytes, of the current element into user memory.
fn copy_element_out(machine: &Machine, frame: &mut Frame, memory: &mut UserMemory) -> Flow {
    let at = element_offset(frame.element_idx);
    let result = dedupe::element(&frame.request, 0).expect("the element was copied in");
    let (status, bytes) = (result.status.get(), result.bytes_deduped.get());
    let written = memory
        .copy_out(at + STATUS_OFFSET, &status.to_le_bytes())
        .and_then(|()| memory.copy_out(at + BYTES_OFFSET, &bytes.to_le_bytes()));
    match written {
        Ok(()) => Flow::Advanced,
        Err(_) => {
            frame.report.elements.push(frame.element.report);
            decide(machine, frame, &decided::ELEMENT_REPLY_FAULT)
        }
    }
}

/// Asks the checks of a stage.
fn check(machine: &Machine, frame: &mut Frame, stage: Stage) -> Flow {
    let (tables, fs) = (&machine.profile.tables, &machine.fs);
    let fired = match stage {
        Stage::Entry => first_fired(&tables.entry, &frame.entry_view()),
        Stage::Count => first_fired(&tables.count, &frame.count_view()),
        Stage::Call => first_fired(&tables.call, &frame.call_view()),
        Stage::Pair => first_fired(&tables.pair, &frame.pair_view()),
        Stage::Unlocked => first_fired(&tables.unlocked, &frame.range_view(fs)),
        Stage::Locked => first_fired(&tables.locked, &frame.locked_view(fs)),
        Stage::Range => first_fired(&tables.range, &frame.range_view(fs)),
        Stage::Shortened => first_fired(&tables.shortened, &frame.range_view(fs)),
        Stage::Remap => first_fired(&tables.remap, &frame.range_view(fs)),
        Stage::CloneEntry => first_fired(&tables.clone_entry, &frame.clone_entry_view()),
        Stage::ClonePair => first_fired(&tables.clone_pair, &frame.pair_view()),
        Stage::CloneLocked => first_fired(&tables.clone_locked, &frame.locked_view(fs)),
        Stage::CloneKind => first_fired(&tables.clone_kind, &frame.range_view(fs)),
        Stage::CloneRange => first_fired(&tables.clone_range, &frame.range_view(fs)),
    };
    match fired {
        Some(rule) => decide(machine, frame, rule),
        None => Flow::Advanced,
    }
}

/// Returns where an element lies in user memory, bytes from the pointer.
fn element_offset(element_idx: usize) -> usize {
    HEADER_LEN + element_idx * ELEMENT_LEN
}

/// Where `dest_count` lies in a header.
const COUNT_OFFSET: usize = 16;
/// Where `bytes_deduped` lies in an element.
const BYTES_OFFSET: usize = 16;
/// Where `status` lies in an element.
const STATUS_OFFSET: usize = 24;
