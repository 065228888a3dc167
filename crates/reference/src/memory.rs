//! The memory that a dedupe request lies in: how far it can be read and written, and the bytes
//! that are found in it after the call.
//!
//! It does not know what the request means.

use scenario::{CallEnd, CallMemory, DedupeCall, DedupeTarget, ElementAnswer, Outcome};
use uapi::Errno;
use uapi::dedupe::{self, DedupeElement, DedupeHeader, ELEMENT_LEN, HEADER_LEN};

/// The kernel copies the request into one page at most.
const REQUEST_LEN_MAX: usize = 4096;
/// Bytes of the header below the place where [`CallMemory::HalfHeader`] ends.
const HALF_HEADER_LEN: usize = 12;
/// Where `dest_count` ends, in bytes from the start of the request.
const DEST_COUNT_END: usize = 18;

/// A request in memory and what the kernel has done to it.
pub(crate) struct Request<'a> {
    call: &'a DedupeCall,
    /// Bytes from the start that can be read.
    nr_readable: usize,
    /// Bytes from the start that can be written.
    nr_writable: usize,
}

impl<'a> Request<'a> {
    pub(crate) fn new(call: &'a DedupeCall) -> Request<'a> {
        let described_len = HEADER_LEN + call.targets.len() * ELEMENT_LEN;
        // What the count speaks of is there, if only as elements with a closed descriptor.
        let whole = described_len.max(dedupe::request_len(call.dest_count()));
        let (nr_readable, nr_writable) = match call.memory {
            CallMemory::Whole => (whole, whole),
            CallMemory::UnmappedAfter(nr) => (dedupe::request_len(nr), dedupe::request_len(nr)),
            CallMemory::ReadonlyAfter(nr) => (whole, dedupe::request_len(nr)),
            CallMemory::HalfHeader => (HALF_HEADER_LEN, HALF_HEADER_LEN),
            CallMemory::Pointer(_) => (0, 0),
        };
        Request {
            call,
            nr_readable,
            nr_writable,
        }
    }

    /// Returns how many elements the kernel copies in, or why it cannot. There may be more than
    /// the call describes.
    pub(crate) fn copy_in(&self) -> Result<usize, Errno> {
        if self.nr_readable < DEST_COUNT_END {
            return Err(Errno::EFAULT);
        }
        let dest_count = self.call.dest_count();
        let len = dedupe::request_len(dest_count);
        if REQUEST_LEN_MAX < len {
            return Err(Errno::ENOMEM);
        }
        if self.nr_readable < len {
            return Err(Errno::EFAULT);
        }
        Ok(usize::from(dest_count))
    }

    /// Returns the outcome of a call that was refused: nothing is copied out.
    pub(crate) fn refused(&self, errno: Errno) -> Outcome {
        self.outcome(CallEnd::Failed(errno), &[])
    }

    /// Returns the outcome of a call that copied in so many elements and has these results of the
    /// described ones.
    pub(crate) fn copy_out(&self, nr_elements: usize, results: &[ElementAnswer]) -> Outcome {
        let len = HEADER_LEN + nr_elements * ELEMENT_LEN;
        if len <= self.nr_writable {
            return self.outcome(CallEnd::Returned, results);
        }
        // The copy goes up to the page's edge, which is an element's end.
        let nr_written = self.nr_writable.saturating_sub(HEADER_LEN) / ELEMENT_LEN;
        self.outcome(
            CallEnd::Failed(Errno::EFAULT),
            &results[..nr_written.min(results.len())],
        )
    }

    fn outcome(&self, end: CallEnd, written: &[ElementAnswer]) -> Outcome {
        let untouched = ElementAnswer {
            status: DedupeTarget::UNTOUCHED_STATUS,
            bytes_deduped: DedupeTarget::UNTOUCHED_BYTES,
        };
        let nr_readable = self.nr_readable.saturating_sub(HEADER_LEN) / ELEMENT_LEN;
        let nr_elements = nr_readable.min(self.call.targets.len());
        let elements: Vec<ElementAnswer> = (0..nr_elements)
            .map(|idx| written.get(idx).copied().unwrap_or(untouched))
            .collect();
        let bytes = self.bytes(&elements);
        Outcome::Dedupe {
            end,
            elements,
            bytes,
        }
    }

    /// Returns the readable bytes, with descriptors relative to those of the request: all zero.
    fn bytes(&self, answers: &[ElementAnswer]) -> Vec<u8> {
        let call = self.call;
        let mut header = DedupeHeader::new(call.source_offset, call.len, call.dest_count());
        header.reserved1.set(call.reserved1);
        header.reserved2.set(call.reserved2);
        let elements: Vec<DedupeElement> = call
            .targets
            .iter()
            .zip(answers)
            .map(|(target, answer)| {
                let mut element = DedupeElement::new(0, target.offset);
                element.bytes_deduped.set(answer.bytes_deduped);
                element.status.set(answer.status);
                element.reserved.set(target.reserved);
                element
            })
            .collect();
        let mut bytes = dedupe::encode(&header, &elements);
        bytes.truncate(self.nr_readable);
        bytes
    }
}
