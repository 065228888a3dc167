//! A flat oracle: what a current kernel (6.x) answers about names, bytes, sizes and statuses.
//!
//! [`Reference`] is the whole of it. It is written as plainly as possible and shares no code with
//! the model, so that an error in one of the two shows as a difference. It deliberately does not
//! know extents, references, dirty pages or transactions: flushing is nothing here, and a dedupe
//! that succeeds changes nothing. The reading path is `remap.rs`, which has the two ioctls.

#![forbid(unsafe_code)]

mod attributes;
mod descriptor;
mod inode;
mod io;
mod links;
mod memory;
mod readonly;
mod reference;
mod remap;
mod tree;

pub use inode::{FileView, Kind};
pub use reference::Reference;
