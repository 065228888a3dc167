//! A call under way: a program counter, what was copied in, what is held, what was decided.
//!
//! A frame knows nothing of plans; [`crate::step`] reads the plan that its level names.

use fs_state::InodeId;
use rules::view::{CallerView, FileView};
use rules::{Rule, RuleId};
use scenario::CallEnd;
use scenario::op::Caller;
use smallvec::SmallVec;
use uapi::dedupe::DedupeHeader;

use crate::locks::{LockId, TaskId};

/// One dedupe or clone call of one task.
#[derive(Clone, Debug)]
pub struct Frame {
    pub(crate) task: TaskId,
    pub(crate) caller: CallerView,
    pub(crate) level: Level,
    /// The next step of the level's plan.
    pub(crate) pc: usize,
    /// Where the call's plan goes on after an element.
    pub(crate) call_pc: usize,
    /// The descriptor of the ioctl.
    pub(crate) fd: i32,
    /// The request in kernel memory. Its elements begin behind the header.
    pub(crate) request: SmallVec<[u8; REQUEST_BYTES_INLINE]>,
    /// Whether `request` has the whole list, or one element at a time.
    pub(crate) has_list: bool,
    pub(crate) header: DedupeHeader,
    pub(crate) count: u16,
    pub(crate) source: Option<Opened>,
    /// Bytes to dedupe, as far as they were clamped.
    pub(crate) len: u64,
    pub(crate) element_idx: usize,
    pub(crate) element: Element,
    pub(crate) held: SmallVec<[LockId; 6]>,
    pub(crate) report: CallReport,
    pub(crate) is_done: bool,
}

/// Which plan a frame is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Call,
    Element,
    Clone,
}

/// A resolved descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) view: FileView,
    /// The inode, if it is one of the run's filesystem.
    pub(crate) inode: Option<InodeId>,
}

/// One element (or a clone's pair) under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Element {
    pub(crate) target: Option<Opened>,
    /// Both inodes, once the target is resolved and both are of the run's filesystem.
    pub(crate) pair: Option<(InodeId, InodeId)>,
    pub(crate) dest_fd: i64,
    pub(crate) source_offset: u64,
    pub(crate) target_offset: u64,
    pub(crate) reserved: u32,
    /// Bytes to compare and remap, as far as they were rounded.
    pub(crate) len: u64,
    /// Bytes whose extents move.
    pub(crate) aligned_len: u64,
    /// Bytes remapped so far.
    pub(crate) done: u64,
    /// Whether a clone's length 0 still means "up to EOF".
    pub(crate) is_to_eof: bool,
    pub(crate) decided: Option<&'static Rule>,
    pub(crate) report: ElementReport,
}

/// A `FICLONERANGE` request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloneRequest {
    /// `src_fd`; its low 32 bits count.
    pub source_fd: i64,
    /// `src_offset`, bytes.
    pub source_offset: u64,
    /// `src_length`, bytes; 0 means up to the source's EOF.
    pub len: u64,
    /// `dest_offset`, bytes.
    pub target_offset: u64,
}

/// How a call ended, and what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The end.
    pub end: FrameEnd,
    /// The rule that ended the whole call, if one did.
    pub rule: Option<RuleId>,
    /// Each element that was carried out, in order.
    pub elements: SmallVec<[ElementReport; 2]>,
}

/// What became of one element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ElementReport {
    /// The rule that decided; `None` for a success that did all it was asked for.
    pub rule: Option<RuleId>,
    /// A range of the target came to refer to another place.
    pub moved_reference: bool,
    /// An item of the target was cut at an end of its range.
    pub cut_extent: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameEnd {
    /// It came back.
    Ended(CallEnd),
    /// It never does.
    Hangs,
    /// The kernel died.
    Panics,
}

/// A request of up to this many bytes needs no heap: four elements.
const REQUEST_BYTES_INLINE: usize = 152;

impl Frame {
    /// Returns a frame at the begin of a dedupe call on `fd`.
    #[must_use]
    pub fn dedupe(task: TaskId, caller: Caller, fd: i32) -> Frame {
        Frame::new(task, caller, fd, Level::Call)
    }

    /// Returns a frame at the begin of a clone call on `fd`, the target.
    #[must_use]
    pub fn clone_range(task: TaskId, caller: Caller, fd: i32, request: CloneRequest) -> Frame {
        let mut frame = Frame::new(task, caller, request.source_fd as i32, Level::Clone);
        frame.len = request.len;
        frame.element = Element {
            dest_fd: i64::from(fd),
            source_offset: request.source_offset,
            target_offset: request.target_offset,
            len: request.len,
            aligned_len: request.len,
            is_to_eof: request.len == 0,
            ..Element::default()
        };
        frame
    }

    /// Returns how the call ended; meaningful once it is done.
    #[must_use]
    pub fn report(&self) -> &CallReport {
        &self.report
    }

    /// Returns how the call ended, without a copy.
    #[must_use]
    pub fn into_report(self) -> CallReport {
        self.report
    }

    /// Returns whether the call is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    fn new(task: TaskId, caller: Caller, fd: i32, level: Level) -> Frame {
        Frame {
            task,
            caller: caller_view(caller),
            level,
            pc: 0,
            call_pc: 0,
            fd,
            request: SmallVec::new(),
            has_list: false,
            header: DedupeHeader::default(),
            count: 0,
            source: None,
            len: 0,
            element_idx: 0,
            element: Element::default(),
            held: SmallVec::new(),
            report: CallReport {
                end: FrameEnd::Ended(CallEnd::Returned),
                rule: None,
                elements: SmallVec::new(),
            },
            is_done: false,
        }
    }
}

/// Returns how checks see a caller.
fn caller_view(caller: Caller) -> CallerView {
    match caller {
        Caller::Root => CallerView {
            is_admin: true,
            uid: 0,
        },
        Caller::User => CallerView {
            is_admin: false,
            uid: Caller::USER_UID,
        },
    }
}
