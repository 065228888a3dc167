//! The kernel as a small-step machine: how a request travels.
//!
//! Bytes arrive in a [`UserMemory`], a [`Frame`] takes them through the plan of a
//! [`rules::Profile`] step by step ([`mod@step`] is the one `match`), checks are asked with views
//! ([`mod@views`]), locks are logical ([`locks`]), the state is [`fs_state::FsState`], and the
//! reply goes back into the same bytes. [`Machine`] holds what calls share; [`Sequential`] is the
//! machine as a [`scenario::Backend`], one call after the other.
//!
//! It does not know which kernel it is, nor which rules exist: plans, checks and limits are the
//! profile's. It does no I/O and reads no clock.

#![forbid(unsafe_code)]

pub mod element;
pub mod frame;
pub mod locks;
pub mod machine;
pub mod memory;
pub mod open_file;
pub mod sequential;
pub mod step;
pub mod views;
pub mod volume;

pub use frame::{CallReport, CloneRequest, ElementReport, Frame, FrameEnd};
pub use locks::{LockTable, LockViolation, TaskId};
pub use machine::Machine;
pub use memory::{Fault, UserMemory};
pub use open_file::{OpenAt, OpenFile};
pub use sequential::Sequential;
pub use step::Flow;
pub use volume::ModelVolume;
