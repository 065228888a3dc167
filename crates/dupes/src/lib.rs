//! Duplicates of a volume: found, planned away, removed, with the gain known beforehand.
//!
//! In the order of a run:
//!
//! 1. `scan` walks files and file extents and gathers them by storage; `hash` gives each block in
//!    storage a key, from the filesystem's checksums or by reading it, once however many files
//!    show it;
//! 2. match: `classes` makes classes of equal blocks of the keys, `weak` asks for more evidence
//!    where checksums are short (`sort` has all of it in order within bounded memory);
//! 3. `plan` decides which extents go, all their references at once, and predicts what
//!    comes of it;
//! 4. `execute` has the kernel compare and share, and looks at what became of it.
//!
//! [`run`] is all of it; [`look`] stops before anything is changed, as do [`find`] and
//! [`Found::plan`]. `answer` has the volume remember what a look found. Everything happens on
//! a [`volume::Volume`]; this crate has no system calls, no clock and no threads.

#![forbid(unsafe_code)]

mod answer;
mod bits;
mod catalog;
mod change;
mod classes;
mod execute;
mod hash;
mod look;
mod options;
mod plan;
mod radix;
mod recall;
mod report;
mod runs;
mod scan;
mod sort;
mod watch;
mod weak;

mod run;

pub use change::{Change, Changes};
pub use execute::{Done, Failure, Why};
pub use look::{Findings, look};
pub use options::{Options, Rewrite, ScanMode};
pub use plan::{
    Batch, Group, Plan, Prediction, Removed, RewriteRun, Rewriting, Stay, StayReason, Step,
};
pub use report::{Report, Stopped};
pub use run::{Found, Round, Summary, find, run};
pub use sort::{InMemory, Scratch, Spill};
pub use watch::{Phase, Unwatched, Watch};
