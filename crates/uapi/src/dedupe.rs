//! The argument of `FIDEDUPERANGE`: a [`DedupeHeader`] followed by [`DedupeElement`]s.
//!
//! Functions here view untrusted bytes in place, at any alignment, without allocating. They do
//! not know which values a kernel accepts: a header that claims more elements than there are
//! bytes is a view that fails, not an errno.
//!
//! Cite: `include/uapi/linux/fs.h`, `struct file_dedupe_range` and `_info`.

use thiserror::Error;
use zerocopy::little_endian::{I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Status of a target that had the same bytes and now shares them.
pub const SAME: i32 = 0;
/// Status of a target whose bytes differ.
pub const DIFFERS: i32 = 1;
/// Length of a [`DedupeHeader`] in bytes.
pub const HEADER_LEN: usize = size_of::<DedupeHeader>();
/// Length of a [`DedupeElement`] in bytes.
pub const ELEMENT_LEN: usize = size_of::<DedupeElement>();

/// `struct file_dedupe_range` without its elements, 24 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct DedupeHeader {
    /// Start in the source file, in bytes.
    pub src_offset: U64,
    /// Length in bytes.
    pub src_length: U64,
    /// How many elements follow.
    pub dest_count: U16,
    /// Must be zero. (In the first RFC of 2013: out, how many files were deduped.)
    pub reserved1: U16,
    /// Must be zero.
    pub reserved2: U32,
}

/// `struct file_dedupe_range_info`, 32 bytes: one target and its result.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct DedupeElement {
    /// Descriptor of the target file.
    pub dest_fd: I64,
    /// Start in the target file, in bytes.
    pub dest_offset: U64,
    /// Out: how many bytes were deduped.
    pub bytes_deduped: U64,
    /// Out: [`SAME`], [`DIFFERS`] or a negative errno.
    pub status: I32,
    /// Must be zero.
    pub reserved: U32,
}

/// Why bytes could not be viewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// There are fewer bytes than a header has.
    #[error("header needs {HEADER_LEN} bytes, not {len}")]
    HeaderTruncated {
        /// Bytes there are.
        len: usize,
    },
    /// There are fewer bytes than an element's end.
    #[error("element {element_idx} is not whole in {len} bytes")]
    ElementTruncated {
        /// The first element that is not whole.
        element_idx: usize,
        /// Bytes there are, header included.
        len: usize,
    },
}

/// A request in the making; what it builds may be deliberately wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestBuilder {
    header: DedupeHeader,
    elements: Vec<DedupeElement>,
}

impl DedupeHeader {
    /// Returns a header with zero reserved fields; offset and length in bytes.
    #[must_use]
    pub const fn new(src_offset: u64, src_length: u64, dest_count: u16) -> Self {
        Self {
            src_offset: U64::new(src_offset),
            src_length: U64::new(src_length),
            dest_count: U16::new(dest_count),
            reserved1: U16::ZERO,
            reserved2: U32::ZERO,
        }
    }
}

impl DedupeElement {
    /// Returns an element with zero result and reserved fields; offset in bytes.
    #[must_use]
    pub const fn new(dest_fd: i64, dest_offset: u64) -> Self {
        Self {
            dest_fd: I64::new(dest_fd),
            dest_offset: U64::new(dest_offset),
            bytes_deduped: U64::ZERO,
            status: I32::ZERO,
            reserved: U32::ZERO,
        }
    }
}

impl RequestBuilder {
    /// Returns a request without targets; offset and length in bytes.
    #[must_use]
    pub const fn new(src_offset: u64, src_length: u64) -> Self {
        Self {
            header: DedupeHeader::new(src_offset, src_length, 0),
            elements: Vec::new(),
        }
    }

    /// Returns the request with one more target; offset in bytes.
    #[must_use]
    pub fn target(self, dest_fd: i64, dest_offset: u64) -> Self {
        self.element(DedupeElement::new(dest_fd, dest_offset))
    }

    /// Returns the request with one more element, taken as it is.
    #[must_use]
    pub fn element(mut self, element: DedupeElement) -> Self {
        self.elements.push(element);
        let nr_elements = self.header.dest_count.get().saturating_add(1);
        self.header.dest_count.set(nr_elements);
        self
    }

    /// Returns the request with another count than that of the targets added so far.
    #[must_use]
    pub fn claimed_count(mut self, dest_count: u16) -> Self {
        self.header.dest_count.set(dest_count);
        self
    }

    /// Returns the request with these values in the header's reserved fields.
    #[must_use]
    pub fn reserved(mut self, reserved1: u16, reserved2: u32) -> Self {
        self.header.reserved1.set(reserved1);
        self.header.reserved2.set(reserved2);
        self
    }

    /// Returns the bytes of the request.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        encode(&self.header, &self.elements)
    }
}

/// Returns the bytes of a request whose header says `dest_count`, in bytes.
#[must_use]
pub const fn request_len(dest_count: u16) -> usize {
    // 65,535 elements are 2 MiB; this cannot overflow.
    HEADER_LEN + dest_count as usize * ELEMENT_LEN
}

/// Returns header and elements as bytes; the header's count need not be that of the elements.
#[must_use]
pub fn encode(header: &DedupeHeader, elements: &[DedupeElement]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + size_of_val(elements));
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(elements.as_bytes());
    bytes
}

/// Returns the header that the bytes begin with.
#[inline]
pub fn header(bytes: &[u8]) -> Result<&DedupeHeader, DecodeError> {
    match DedupeHeader::ref_from_prefix(bytes) {
        Ok((header, _)) => Ok(header),
        Err(_) => Err(DecodeError::HeaderTruncated { len: bytes.len() }),
    }
}

/// Returns the header that the bytes begin with, to be changed in place.
#[inline]
pub fn header_mut(bytes: &mut [u8]) -> Result<&mut DedupeHeader, DecodeError> {
    let len = bytes.len();
    match DedupeHeader::mut_from_prefix(bytes) {
        Ok((header, _)) => Ok(header),
        Err(_) => Err(DecodeError::HeaderTruncated { len }),
    }
}

/// Returns an element by its place alone, whatever the header's count says.
#[inline]
pub fn element(bytes: &[u8], element_idx: usize) -> Result<&DedupeElement, DecodeError> {
    let element = element_start(element_idx)
        .and_then(|start| bytes.get(start..))
        .and_then(|rest| DedupeElement::ref_from_prefix(rest).ok());
    match element {
        Some((element, _)) => Ok(element),
        None => Err(DecodeError::ElementTruncated {
            element_idx,
            len: bytes.len(),
        }),
    }
}

/// Returns an element by its place alone, to be changed in place.
#[inline]
pub fn element_mut(
    bytes: &mut [u8],
    element_idx: usize,
) -> Result<&mut DedupeElement, DecodeError> {
    let len = bytes.len();
    let element = element_start(element_idx)
        .and_then(|start| bytes.get_mut(start..))
        .and_then(|rest| DedupeElement::mut_from_prefix(rest).ok());
    match element {
        Some((element, _)) => Ok(element),
        None => Err(DecodeError::ElementTruncated { element_idx, len }),
    }
}

/// Returns all the elements that the header counts; fails if one of them is not whole.
#[inline]
pub fn elements(bytes: &[u8]) -> Result<&[DedupeElement], DecodeError> {
    let Ok((header, rest)) = DedupeHeader::ref_from_prefix(bytes) else {
        return Err(DecodeError::HeaderTruncated { len: bytes.len() });
    };
    let nr_elements = usize::from(header.dest_count.get());
    match <[DedupeElement]>::ref_from_prefix_with_elems(rest, nr_elements) {
        Ok((elements, _)) => Ok(elements),
        Err(_) => Err(DecodeError::ElementTruncated {
            element_idx: rest.len() / ELEMENT_LEN,
            len: bytes.len(),
        }),
    }
}

/// Writes one target's result, touching the out fields of its element and nothing else.
#[inline]
pub fn write_result(
    bytes: &mut [u8],
    element_idx: usize,
    bytes_deduped: u64,
    status: i32,
) -> Result<(), DecodeError> {
    let element = element_mut(bytes, element_idx)?;
    element.bytes_deduped.set(bytes_deduped);
    element.status.set(status);
    Ok(())
}

/// Returns the reply with every whole element's `dest_fd` relative to that of the request.
///
/// Replies of two systems to the same request can then be compared as bytes although their
/// descriptors have other numbers. Elements that the request lacks stay as they are.
#[must_use]
pub fn normalised_reply(request: &[u8], reply: &[u8]) -> Vec<u8> {
    let mut normalised = reply.to_vec();
    let nr_elements = nr_whole_elements(request).min(nr_whole_elements(reply));
    for element_idx in 0..nr_elements {
        let asked = element(request, element_idx);
        let answered = element_mut(&mut normalised, element_idx);
        if let (Ok(asked), Ok(answered)) = (asked, answered) {
            // Wrapping: the difference of two arbitrary 64-bit numbers, reversible.
            let relative = answered.dest_fd.get().wrapping_sub(asked.dest_fd.get());
            answered.dest_fd.set(relative);
        }
    }
    normalised
}

/// Returns how many whole elements follow a whole header.
fn nr_whole_elements(bytes: &[u8]) -> usize {
    bytes.len().saturating_sub(HEADER_LEN) / ELEMENT_LEN
}

/// Returns where an element starts, in bytes from the start of the request.
#[inline]
fn element_start(element_idx: usize) -> Option<usize> {
    element_idx
        .checked_mul(ELEMENT_LEN)?
        .checked_add(HEADER_LEN)
}

#[cfg(test)]
mod tests;
