//! What an operation answered. An errno is data here; trouble with a backend is a
//! [`crate::BackendError`] and never becomes an outcome.

use std::borrow::Cow;

use uapi::Errno;

use crate::Trees;

/// The answer to one operation, as every backend can give it. Only this part is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call succeeded.
    Done,
    /// The call failed with this errno.
    Failed(Errno),
    /// `pwrite(2)` wrote fewer bytes than asked for.
    Short(u64),
    /// A descriptor that the operation needs could not be opened: the errno of `open(2)`.
    NotOpened(Errno),
    /// The answer of a dedupe call.
    Dedupe {
        /// How the ioctl ended.
        end: CallEnd,
        /// The out fields of each element in memory that can still be read, in order.
        elements: Vec<ElementAnswer>,
        /// The reply bytes by `uapi::normalised_reply`, as far as they can still be read.
        bytes: Vec<u8>,
    },
    /// The answer of a look at the trees.
    Trees(Box<Trees>),
    /// The call did not come back within the time limit.
    Hangs,
    /// The kernel died.
    Panics,
}

/// How an ioctl ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It returned 0.
    Returned,
    /// It returned -1 with this errno.
    Failed(Errno),
}

/// The out fields of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementAnswer {
    /// `status` as found in memory after the call.
    pub status: i32,
    /// `bytes_deduped` as found in memory after the call.
    pub bytes_deduped: u64,
}

/// An outcome with what only some backends can tell about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is compared.
    pub outcome: Outcome,
    /// The rule that decided, by id: one for the call (if the call was refused), else one for
    /// each element, in order. Empty for backends that only act. Never compared.
    pub rules: Vec<Option<Cow<'static, str>>>,
    /// What the kernel's log complained about during the operation. Any line is a divergence.
    pub complaints: Vec<String>,
    /// What a dedupe did below the surface, where the backend can tell. Never compared.
    pub effect: Effect,
    /// What was taken over from the other witness, a freedom of the kernel for each time
    /// ([`crate::Backend::adopt`]). Never compared, and not part of any text.
    pub adopted: Vec<&'static str>,
}

/// What a dedupe did below the surface. Tells whether a run exercises anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// A file extent item of a target came to refer to another place.
    pub moved_reference: bool,
    /// A range of the call had dirty pages when the call began.
    pub met_dirty_pages: bool,
    /// A file extent item was cut at a boundary of a target's range, not only replaced.
    pub cut_extent: bool,
}

impl Answer {
    /// Returns an answer without notes.
    pub fn plain(outcome: Outcome) -> Answer {
        Answer {
            outcome,
            rules: Vec::new(),
            complaints: Vec::new(),
            effect: Effect::default(),
            adopted: Vec::new(),
        }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        Answer::plain(outcome)
    }
}
