//! The two calls under test, `FIDEDUPERANGE` and `FICLONERANGE`, byte for byte as asked for.
//!
//! It places the request in memory, changes the caller for the one call, and reads the reply back.
//! It does not know which requests a kernel accepts.

use std::io;

use data::Content;
use scenario::op::Caller;
use scenario::{
    BackendError, CallEnd, CallMemory, CloneCall, DedupeCall, DedupeTarget, ElementAnswer, Outcome,
};
use uapi::dedupe::{self, DedupeElement, DedupeHeader, ELEMENT_LEN, HEADER_LEN};
use uapi::{CloneRange, Errno};
use zerocopy::IntoBytes;

use crate::mmap::{Beyond, EdgeMemory};
use crate::operations::{not_opened, outcome};
use crate::session::Session;
use crate::{ioctl, process};

/// Where the header is cut by [`CallMemory::HalfHeader`], in bytes.
const HALF_HEADER_LEN: usize = 12;
/// Above this a buffer is given back after use, in bytes.
const BUFFER_KEPT_MAX: usize = 64 << 20;

/// Buffers that are used again by the next call.
#[derive(Debug, Default)]
pub(crate) struct CallBuffers {
    request: Vec<u8>,
    reply: Vec<u8>,
    content: Vec<u8>,
}

impl CallBuffers {
    /// Returns the bytes of `content`, the first `len_max` of them if there are more.
    pub(crate) fn bytes_of<'a>(&'a mut self, content: &'a Content, len_max: u64) -> &'a [u8] {
        let len = content.len().min(len_max) as usize;
        if let [run] = content.runs()
            && let Some(bytes) = run.as_literal()
        {
            return &bytes[..len];
        }
        if BUFFER_KEPT_MAX < self.content.capacity() && len <= BUFFER_KEPT_MAX {
            self.content = Vec::new();
        }
        if self.content.len() < len {
            self.content.resize(len, 0);
        }
        content.read_at(0, &mut self.content[..len]);
        &self.content[..len]
    }

    /// Returns the first bytes of `content` at the start of a page.
    pub(crate) fn aligned_bytes_of(&mut self, content: &Content, len_max: u64) -> &[u8] {
        let (len, page) = (
            content.len().min(len_max) as usize,
            rustix::param::page_size(),
        );
        if BUFFER_KEPT_MAX < self.content.capacity() && len <= BUFFER_KEPT_MAX {
            self.content = Vec::new();
        }
        if self.content.len() < len + page {
            self.content.resize(len + page, 0);
        }
        let start = self.content.as_ptr().align_offset(page);
        let aligned = &mut self.content[start..start + len];
        content.read_at(0, aligned);
        aligned
    }

    /// Writes the request with these numbers for descriptors; returns the length of what the
    /// operation describes. Elements that only the count speaks of follow, with `dest_fd` -1.
    fn write_request(&mut self, call: &DedupeCall, numbers: &[i64], len_min: usize) -> usize {
        let header = DedupeHeader {
            reserved1: call.reserved1.into(),
            reserved2: call.reserved2.into(),
            ..DedupeHeader::new(call.source_offset, call.len, call.dest_count())
        };
        self.request.clear();
        self.request.extend_from_slice(header.as_bytes());
        for (target, number) in call.targets.iter().zip(numbers) {
            let element = element(*number, target.offset, target.reserved);
            self.request.extend_from_slice(element.as_bytes());
        }
        let described_len = self.request.len();
        let filler = element(-1, 0, 0);
        while self.request.len() < len_min.max(dedupe::request_len(call.dest_count())) {
            self.request.extend_from_slice(filler.as_bytes());
        }
        described_len
    }
}

impl Session {
    /// Carries out a `FICLONERANGE`.
    pub(crate) fn clone_range(&mut self, call: &CloneCall) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        let source = match run.fds.number(&run.tops, &call.source) {
            Ok(number) => number,
            Err(no_fd) => return not_opened(no_fd),
        };
        let target = match run.fds.number(&run.tops, &call.target) {
            Ok(number) => number,
            Err(no_fd) => return not_opened(no_fd),
        };
        let range = CloneRange {
            src_fd: source.into(),
            src_offset: call.source_offset.into(),
            src_length: call.len.into(),
            dest_offset: call.target_offset.into(),
        };
        Ok(outcome(ioctl::clone_range(low_half(target), &range)))
    }

    /// Carries out a `FIDEDUPERANGE`.
    pub(crate) fn dedupe(&mut self, call: &DedupeCall) -> Result<Outcome, BackendError> {
        let (run, buffers) = self.run_mut()?;
        let source = match run.fds.number(&run.tops, &call.source) {
            Ok(number) => low_half(number),
            Err(no_fd) => return not_opened(no_fd),
        };
        let mut numbers = Vec::with_capacity(call.targets.len());
        for target in &call.targets {
            match run.fds.number(&run.tops, &target.fd) {
                Ok(number) => numbers.push(number),
                Err(no_fd) => return not_opened(no_fd),
            }
        }
        let edge = edge(call.memory);
        let len_min = edge.map_or(0, |(at, _)| at);
        let described_len = buffers.write_request(call, &numbers, len_min);
        let end = match (call.memory, edge) {
            (CallMemory::Pointer(address), _) => {
                buffers.reply.clear();
                as_caller(call.caller, || ioctl::dedupe_at_nothing(source, address))?
            }
            (_, Some((at, beyond))) => {
                let mut memory = EdgeMemory::new(&buffers.request, at, beyond)
                    .map_err(|source| memory_error(at, source))?;
                let end = as_caller(call.caller, || ioctl::dedupe_at_edge(source, &mut memory))?;
                buffers.reply.clear();
                buffers.reply.extend_from_slice(memory.readable());
                end
            }
            (_, None) => {
                buffers.reply.clone_from(&buffers.request);
                let reply = &mut buffers.reply;
                as_caller(call.caller, || ioctl::dedupe(source, reply))?
            }
        };
        buffers.reply.truncate(described_len);
        Ok(Outcome::Dedupe {
            end: end.map_or_else(CallEnd::Failed, |()| CallEnd::Returned),
            elements: element_answers(&buffers.reply),
            bytes: dedupe::normalised_reply(&buffers.request, &buffers.reply),
        })
    }
}

fn element(dest_fd: i64, dest_offset: u64, reserved: u32) -> DedupeElement {
    DedupeElement {
        bytes_deduped: DedupeTarget::UNTOUCHED_BYTES.into(),
        status: DedupeTarget::UNTOUCHED_STATUS.into(),
        reserved: reserved.into(),
        ..DedupeElement::new(dest_fd, dest_offset)
    }
}

/// Returns where in the request a page begins, and what begins with it.
fn edge(memory: CallMemory) -> Option<(usize, Beyond)> {
    match memory {
        CallMemory::Whole | CallMemory::Pointer(_) => None,
        CallMemory::UnmappedAfter(nr) => Some((dedupe::request_len(nr), Beyond::Unmapped)),
        CallMemory::ReadonlyAfter(nr) => Some((dedupe::request_len(nr), Beyond::ReadOnly)),
        CallMemory::HalfHeader => Some((HALF_HEADER_LEN, Beyond::Unmapped)),
    }
}

/// Returns the number as the system call itself takes it.
fn low_half(number: i64) -> i32 {
    number as i32
}

/// Returns the out fields of every whole element of a reply.
fn element_answers(reply: &[u8]) -> Vec<ElementAnswer> {
    let nr_elements = reply.len().saturating_sub(HEADER_LEN) / ELEMENT_LEN;
    let answer = |idx| {
        dedupe::element(reply, idx)
            .ok()
            .map(|element| ElementAnswer {
                status: element.status.get(),
                bytes_deduped: element.bytes_deduped.get(),
            })
    };
    (0..nr_elements).filter_map(answer).collect()
}

/// Makes the one call as `caller`.
fn as_caller(
    caller: Caller,
    call: impl FnOnce() -> Result<(), Errno>,
) -> Result<Result<(), Errno>, BackendError> {
    match caller {
        Caller::Root => Ok(call()),
        Caller::User if !process::is_root() => Err(BackendError::Missing {
            what: "only root can make a call as another user".into(),
            remedy: "run as root, or leave calls by another user out".into(),
        }),
        Caller::User => process::as_user(call).map_err(|source| BackendError::System {
            action: format!("become uid {} for one call", Caller::USER_UID),
            source,
        }),
    }
}

fn memory_error(at: usize, source: io::Error) -> BackendError {
    BackendError::System {
        action: format!("map memory that changes at byte {at}"),
        source,
    }
}
