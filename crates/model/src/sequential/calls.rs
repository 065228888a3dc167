//! The two calls under test: from an operation to bytes, and from the reply to an answer.

use std::borrow::Cow;

use fs_state::Kind;
use scenario::op::{CallMemory, Caller, CloneCall, DedupeCall, DedupeTarget};
use scenario::{Answer, CallEnd, Effect, ElementAnswer, Outcome};
use uapi::Errno;
use uapi::dedupe::{self, DedupeElement, DedupeHeader, ELEMENT_LEN, HEADER_LEN};

use super::Sequential;
use crate::frame::{CallReport, CloneRequest, FrameEnd};
use crate::memory::UserMemory;
use crate::open_file::OpenFile;

/// Where the header ends for [`CallMemory::HalfHeader`], bytes.
const HALF_HEADER_LEN: usize = 12;

impl Sequential {
    /// Carries out a `FIDEDUPERANGE`.
    pub(super) fn dedupe(&mut self, call: &DedupeCall) -> Result<Answer, Errno> {
        let source = self.descriptors.number(&mut self.machine, &call.source)? as i32;
        let mut numbers = Vec::with_capacity(call.targets.len());
        for target in &call.targets {
            numbers.push(self.descriptors.number(&mut self.machine, &target.fd)?);
        }
        let met_dirty_pages = self.has_dirty_range(call, source, &numbers);
        let (request, mut memory) = lay_out(call, &numbers);
        let report = self.machine.ioctl_dedupe(call.caller, source, &mut memory);
        let end = match report.end {
            FrameEnd::Ended(end) => end,
            FrameEnd::Hangs => return Ok(answer(Outcome::Hangs, &report, met_dirty_pages)),
            FrameEnd::Panics => return Ok(answer(Outcome::Panics, &report, met_dirty_pages)),
        };
        // Elements that only the count speaks of are not part of the answer.
        let described_len = HEADER_LEN + call.targets.len() * ELEMENT_LEN;
        let reply = memory.readable();
        let reply = &reply[..reply.len().min(described_len)];
        let outcome = Outcome::Dedupe {
            end,
            elements: element_answers(reply),
            bytes: dedupe::normalised_reply(&request, reply),
        };
        Ok(answer(outcome, &report, met_dirty_pages))
    }

    /// Carries out a `FICLONERANGE`.
    pub(super) fn clone_range(&mut self, call: &CloneCall) -> Result<Answer, Errno> {
        let source_fd = self.descriptors.number(&mut self.machine, &call.source)?;
        let target = self.descriptors.number(&mut self.machine, &call.target)? as i32;
        let request = CloneRequest {
            source_fd,
            source_offset: call.source_offset,
            len: call.len,
            target_offset: call.target_offset,
        };
        let report = self.machine.ioctl_clone(Caller::Root, target, request);
        let outcome = match report.end {
            FrameEnd::Ended(CallEnd::Returned) => Outcome::Done,
            FrameEnd::Ended(CallEnd::Failed(errno)) => Outcome::Failed(errno),
            FrameEnd::Hangs => Outcome::Hangs,
            FrameEnd::Panics => Outcome::Panics,
        };
        Ok(Answer {
            rules: vec![report.rule.map(Cow::Borrowed)],
            ..Answer::plain(outcome)
        })
    }

    /// Returns whether a range of the call has dirty pages.
    fn has_dirty_range(&self, call: &DedupeCall, source: i32, numbers: &[i64]) -> bool {
        let is_dirty = |fd: i32, offset: u64| {
            let fs = self.machine.fs();
            let inode = self.machine.file(fd).and_then(OpenFile::inode);
            inode.is_some_and(|id| {
                let is_file = fs.inode(id).kind() == Kind::Regular;
                let left = fs.inode(id).size().saturating_sub(offset);
                is_file && fs.has_dirty(id, offset, call.len.min(left))
            })
        };
        is_dirty(source, call.source_offset)
            || call
                .targets
                .iter()
                .zip(numbers)
                .any(|(target, number)| is_dirty(*number as i32, target.offset))
    }
}

/// Returns the request's bytes and the memory in which they lie.
fn lay_out(call: &DedupeCall, numbers: &[i64]) -> (Vec<u8>, UserMemory) {
    let mut header = DedupeHeader::new(call.source_offset, call.len, call.dest_count());
    header.reserved1.set(call.reserved1);
    header.reserved2.set(call.reserved2);
    let mut elements: Vec<DedupeElement> = call
        .targets
        .iter()
        .zip(numbers)
        .map(|(target, number)| element(*number, target.offset, target.reserved))
        .collect();
    let edge = match call.memory {
        CallMemory::UnmappedAfter(nr) | CallMemory::ReadonlyAfter(nr) => nr,
        CallMemory::Whole | CallMemory::HalfHeader | CallMemory::Pointer(_) => 0,
    };
    // What only the count or the edge speaks of has no descriptor.
    let nr_elements = elements.len().max(usize::from(call.dest_count().max(edge)));
    elements.resize(nr_elements, element(-1, 0, 0));
    let request = dedupe::encode(&header, &elements);
    let len = request.len();
    let memory = match call.memory {
        CallMemory::Whole => UserMemory::new(request.clone()),
        CallMemory::UnmappedAfter(nr) => {
            let edge = dedupe::request_len(nr);
            UserMemory::with_edges(request.clone(), edge, edge)
        }
        CallMemory::ReadonlyAfter(nr) => {
            UserMemory::with_edges(request.clone(), len, dedupe::request_len(nr))
        }
        CallMemory::HalfHeader => {
            UserMemory::with_edges(request.clone(), HALF_HEADER_LEN, HALF_HEADER_LEN)
        }
        CallMemory::Pointer(_) => UserMemory::new(Vec::new()),
    };
    (request, memory)
}

/// Returns an element as it is sent.
fn element(dest_fd: i64, dest_offset: u64, reserved: u32) -> DedupeElement {
    let mut element = DedupeElement::new(dest_fd, dest_offset);
    element.bytes_deduped.set(DedupeTarget::UNTOUCHED_BYTES);
    element.status.set(DedupeTarget::UNTOUCHED_STATUS);
    element.reserved.set(reserved);
    element
}

/// Returns the out fields of every whole element of a reply.
fn element_answers(reply: &[u8]) -> Vec<ElementAnswer> {
    let nr_elements = reply.len().saturating_sub(HEADER_LEN) / ELEMENT_LEN;
    (0..nr_elements)
        .filter_map(|element_idx| dedupe::element(reply, element_idx).ok())
        .map(|element| ElementAnswer {
            status: element.status.get(),
            bytes_deduped: element.bytes_deduped.get(),
        })
        .collect()
}

/// Returns an answer with the rules that decided it and what happened below the surface.
fn answer(outcome: Outcome, report: &CallReport, met_dirty_pages: bool) -> Answer {
    let rules = match report.rule {
        Some(rule) => vec![Some(Cow::Borrowed(rule))],
        None => report
            .elements
            .iter()
            .map(|element| element.rule.map(Cow::Borrowed))
            .collect(),
    };
    let effect = Effect {
        moved_reference: report
            .elements
            .iter()
            .any(|element| element.moved_reference),
        met_dirty_pages,
        cut_extent: report.elements.iter().any(|element| element.cut_extent),
    };
    Answer {
        rules,
        effect,
        ..Answer::plain(outcome)
    }
}
