//! The language that every witness speaks: operations, outcomes, observations, and the one trait
//! behind which a model, a real kernel or an oracle answers.
//!
//! The same text is scenario file, snapshot, protocol of the guest and bug report. This crate does
//! not know what any operation does, nor which rules exist: a rule is a string here.
//!
#![doc = include_str!("../../../docs/scenario.md")]
#![forbid(unsafe_code)]

pub mod backend;
pub mod fd;
pub mod geometry;
mod kind;
pub mod layout;
mod mentions;
pub mod name;
pub mod observation;
pub mod op;
pub mod outcome;
pub mod text;
pub mod trees;

pub use backend::{Backend, BackendError, Capabilities, Exchange, Reply, Verified, only};
pub use fd::{Access, Fd, Mount, Target};
pub use geometry::{DataMode, Geometry};
pub use layout::Layout;
pub use name::Name;
pub use observation::{FileKind, MapFlags, MapRun, Observation, Probe, Stat, Storage, map_shape};
pub use ondisk::{ChecksumKind, Compression};
pub use op::{Attribute, CallMemory, Caller, CloneCall, DedupeCall, DedupeTarget, Op};
pub use outcome::{Answer, CallEnd, Effect, ElementAnswer, Outcome};
pub use text::{
    Labels, Line, Notes, ParseError, Places, ResultBlock, Scenario, parse_op, protocol,
    render_answer, render_observation, results_match,
};
pub use trees::{
    TreeCsums, TreeExtent, TreeInode, TreeItem, TreePlace, TreeRef, TreeRoot, TreeUsage, Trees,
    side_by_side,
};
