//! User memory in which a request lies, parts of which may be unmapped or read-only.
//!
//! Copies behave as `copy_from_user` and `copy_to_user`: a fault ends a copy at the byte where it
//! strikes, and what was copied out before it stays.

/// A stretch of user memory that begins at the pointer given to the ioctl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMemory {
    bytes: Vec<u8>,
    readable_to: usize,
    writable_to: usize,
}

/// An access to memory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl UserMemory {
    /// Returns memory that is readable and writable as far as `bytes` go; behind them is nothing.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> UserMemory {
        let len = bytes.len();
        UserMemory {
            bytes,
            readable_to: len,
            writable_to: len,
        }
    }

    /// Returns memory that can be read below `readable_to` and written below `writable_to`, bytes.
    #[must_use]
    pub fn with_edges(bytes: Vec<u8>, readable_to: usize, writable_to: usize) -> UserMemory {
        let len = bytes.len();
        UserMemory {
            bytes,
            readable_to: readable_to.min(len),
            writable_to: writable_to.min(readable_to).min(len),
        }
    }

    /// Returns what can be read.
    #[must_use]
    pub fn readable(&self) -> &[u8] {
        &self.bytes[..self.readable_to]
    }

    /// Returns the bytes, to be filled anew; the edges stay where they are.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Returns `len` bytes from `at`.
    ///
    /// # Errors
    /// [`Fault`] if one of them cannot be read.
    pub fn copy_in(&self, at: usize, len: usize) -> Result<&[u8], Fault> {
        let end = at.checked_add(len).ok_or(Fault)?;
        self.readable().get(at..end).ok_or(Fault)
    }

    /// Writes `bytes` at `at`, as far as memory can be written.
    ///
    /// # Errors
    /// [`Fault`] if not all of them could be written; those before the edge were.
    pub fn copy_out(&mut self, at: usize, bytes: &[u8]) -> Result<(), Fault> {
        let room = self.writable_to.saturating_sub(at).min(bytes.len());
        if let Some(target) = self.bytes.get_mut(at..at + room) {
            target.copy_from_slice(&bytes[..room]);
        }
        if room == bytes.len() {
            Ok(())
        } else {
            Err(Fault)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_out_stops_at_the_edge_and_keeps_what_it_wrote() {
        let mut memory = UserMemory::with_edges(vec![0; 8], 8, 3);
        assert_eq!(memory.copy_out(1, &[7; 4]), Err(Fault));
        assert_eq!(memory.readable(), [0, 7, 7, 0, 0, 0, 0, 0]);
        assert_eq!(memory.copy_out(5, &[7]), Err(Fault));
    }

    #[test]
    fn a_copy_in_is_whole_or_a_fault() {
        let memory = UserMemory::with_edges(vec![1; 8], 5, 8);
        assert_eq!(memory.copy_in(3, 2), Ok(&[1, 1][..]));
        assert_eq!(memory.copy_in(3, 3), Err(Fault));
        assert_eq!(memory.copy_in(usize::MAX, 2), Err(Fault));
    }
}
