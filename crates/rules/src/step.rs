//! The steps that plans are made of.
//!
//! A plan is a slice of [`Step`]s; one `match` in the model carries them out. The steps between
//! two check lists matter as much as the checks: a refusal changes no file, but whatever was
//! flushed before it stays flushed.

/// One of the three plans of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// A dedupe call.
    Call,
    /// One element of it.
    Element,
    /// A clone call.
    Clone,
}

/// One step. A step touches at most one lock or one inode's data.
// A tag of its own: every step is decoded once for each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Looks up the descriptor of the ioctl.
    ResolveSource,
    /// Copies from user memory.
    CopyIn(CopyIn),
    /// Asks the checks of a stage, in order; the first that fires ends the call or the element.
    Check(Stage),
    /// Cuts the length to the profile's `request_len`.
    ClampLen,
    /// Sets every element's results to (0, same).
    PresetResults,
    /// Runs the element plan once for each element.
    EachElement,
    /// Copies the whole request with its results back.
    CopyOut,

    /// Looks up the element's descriptor by its low 32 bits.
    ResolveTarget,
    /// Takes one lock of a pair; nothing if both sides are one inode and it is held.
    Lock(LockClass, Side),
    /// Starts writeback of everything dirty in the file.
    StartWriteback(Side),
    /// Writes back the blocks of the side's range and waits for their ordered extents.
    WaitOrdered(Side),
    /// The same as part of locking a range in 3.x: every page that the range touches.
    WaitLocked(Side),
    /// Writes the bytes of the shortened range and waits. They were written already, but a length
    /// shortened to 0 at offset 0 ends at -1, which means the whole file.
    WriteShortened(Side),
    /// Sets the lengths to compare and to remap.
    Shorten(Rounding),
    /// Compares all the bytes.
    Compare(Comparison),
    /// Compares the bytes of the next chunk; earlier chunks stay remapped.
    CompareChunk(Comparison),
    /// Remaps the next chunk of the profile's `chunk_len`.
    RemapChunk(Times),
    /// Remaps the range at once.
    RemapWhole(Times),
    /// Releases the ranges of the io trees.
    UnlockRanges,
    /// Goes back that many steps while chunks are left.
    Repeat(u8),
    /// Releases every lock that is held, the last one first.
    Unlock,
    /// Writes the element's results into the request.
    Report(Bytes),
    /// Copies the element's results into user memory, status first.
    CopyElementOut,

    /// Replaces a clone's length 0 by the rest of the source.
    ToSourceEof,
    /// Clone only: new times, no more set-user-ID.
    FileModified,
    /// Clone only: grows the target to the start of the range.
    Expand,
}

/// What is copied from user memory at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyIn {
    /// `dest_count` alone.
    Count,
    /// Header and elements, by the count that was read before.
    Request,
    /// The header alone.
    Header,
    /// The element that is next.
    Element,
}

/// A list of checks; its view's type says what its checks can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// [`crate::view::EntryView`].
    Entry,
    /// [`crate::view::CountView`].
    Count,
    /// [`crate::view::CallView`].
    Call,
    /// [`crate::view::PairView`].
    Pair,
    /// [`crate::view::RangeView`] before any lock.
    Unlocked,
    /// [`crate::view::LockedView`].
    Locked,
    /// [`crate::view::RangeView`] as asked for.
    Range,
    /// [`crate::view::RangeView`] with the lengths rounded.
    Shortened,
    /// [`crate::view::RangeView`] when the bytes are known to be equal.
    Remap,
    /// [`crate::view::EntryView`] of a clone request, before the source is looked up.
    CloneEntry,
    /// [`crate::view::PairView`] of a clone request.
    ClonePair,
    /// [`crate::view::LockedView`] of a clone request.
    CloneLocked,
    /// [`crate::view::RangeView`] of a clone request, length still as asked for.
    CloneKind,
    /// [`crate::view::RangeView`] of a clone request.
    CloneRange,
}

/// A class of locks, each with one lock for each inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockClass {
    /// `i_rwsem` (`i_mutex` before 4.7).
    Inode,
    /// `i_mmap_lock` of btrfs, against page faults.
    Mmap,
    /// A range of the inode's io tree.
    Range,
}

/// One of the two inodes of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The source.
    Source,
    /// The target.
    Target,
    /// The one with the lower address.
    Lower,
    /// The one with the higher address.
    Higher,
}

/// How an unaligned end is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Down to a block, unless it is the EOF of both files: then the tail goes along.
    DownUnlessBothEof,
    /// Down to a block, unless it is the EOF of the target.
    DownUnlessTargetEof,
    /// Up to a block where the source ends; the compare covers what was asked for.
    UpAtSourceEof,
    /// As a clone does: up to a block where the source ends, else as it is.
    CloneTail,
}

/// How bytes are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Byte by byte.
    Bytes,
    /// Not at all.
    AlwaysSame,
}

/// Whether a remap stamps the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Times stay.
    Keep,
    /// mtime and ctime become now.
    Now,
}

/// Which number goes into `bytes_deduped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// The request's length after the clamp if the status is "same", else 0.
    Requested,
    /// What was really compared and remapped.
    Achieved,
}

impl Side {
    /// Returns the side in words.
    const fn words(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Target => "target",
            Side::Lower => "inode with the lower address",
            Side::Higher => "inode with the higher address",
        }
    }
}

impl Step {
    /// Returns the step in words.
    #[must_use]
    pub fn words(self) -> String {
        let words = match self {
            Step::ResolveSource => "look up the descriptor of the source",
            Step::ResolveTarget => "look up the low 32 bits of the descriptor of the target",
            Step::CopyIn(CopyIn::Count) => "copy `dest_count` in",
            Step::CopyIn(CopyIn::Request) => {
                "copy header and elements in, by the count read before"
            }
            Step::CopyIn(CopyIn::Header) => "copy the header in",
            Step::CopyIn(CopyIn::Element) => "copy the element in",
            Step::Check(stage) => return format!("check `{stage:?}`:"),
            Step::ClampLen => "cut the length to the longest request",
            Step::PresetResults => "set every result to 0 bytes, same",
            Step::EachElement => "carry out each element",
            Step::CopyOut => "copy header and elements out",
            Step::CopyElementOut => "copy the status out, then the bytes",
            Step::Lock(LockClass::Inode, side) => return format!("lock the {}", side.words()),
            Step::Lock(LockClass::Mmap, side) => {
                return format!("lock page faults out of the {}", side.words());
            }
            Step::Lock(LockClass::Range, side) => {
                return format!("lock the range of the {}", side.words());
            }
            Step::StartWriteback(side) => {
                return format!("start writeback of the whole {}", side.words());
            }
            Step::WaitOrdered(side) => {
                return format!(
                    "write back the blocks of the range of the {}, wait",
                    side.words()
                );
            }
            Step::WriteShortened(side) => {
                return format!("write the shortened range of the {}, wait", side.words());
            }
            Step::WaitLocked(side) => {
                return format!(
                    "write back the pages of the range of the {}, wait",
                    side.words()
                );
            }
            Step::Shorten(Rounding::DownUnlessBothEof) => {
                "round the length down to a block, unless it is the EOF of both files"
            }
            Step::Shorten(Rounding::DownUnlessTargetEof) => {
                "round the length down to a block, unless it is the EOF of the target"
            }
            Step::Shorten(Rounding::UpAtSourceEof) => "round the length up at the source's EOF",
            Step::Shorten(Rounding::CloneTail) => "round the end up at the source's EOF",
            Step::Compare(Comparison::Bytes) => "compare the bytes",
            Step::Compare(Comparison::AlwaysSame) => "compare nothing",
            Step::CompareChunk(Comparison::Bytes) => "compare the bytes of the next chunk",
            Step::CompareChunk(Comparison::AlwaysSame) => "compare nothing of the next chunk",
            Step::RemapChunk(Times::Keep) => "remap the next chunk, times stay",
            Step::RemapChunk(Times::Now) => "remap the next chunk, mtime and ctime become now",
            Step::RemapWhole(Times::Keep) => "remap the range, times stay",
            Step::RemapWhole(Times::Now) => "remap the range, mtime and ctime become now",
            Step::UnlockRanges => "unlock the ranges",
            Step::Repeat(nr_steps) => {
                return format!("while chunks are left, go back {nr_steps} steps");
            }
            Step::Unlock => "unlock everything",
            Step::Report(Bytes::Requested) => {
                "report the status, and the length that was asked for"
            }
            Step::Report(Bytes::Achieved) => "report the status, and the length that was done",
            Step::ToSourceEof => "make length 0 the rest of the source",
            Step::FileModified => "stamp the target, drop set-user-ID",
            Step::Expand => "grow the target to the start of the range",
        };
        words.to_owned()
    }

    /// Returns whether the step runs after an end was decided, to put things back.
    #[must_use]
    pub const fn is_cleanup(self) -> bool {
        matches!(self, Step::Unlock | Step::Report(_) | Step::CopyElementOut)
    }
}
