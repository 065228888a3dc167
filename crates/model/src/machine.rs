//! What calls share: the filesystem, the descriptor table, the locks, the profile.

use fs_state::{FsState, InodeId, MountOptions};
use rules::{Profile, Step};
use scenario::fd::Access;
use scenario::op::Caller;

use crate::frame::{CallReport, CloneRequest, Frame, FrameEnd};
use crate::locks::{LockTable, TaskId};
use crate::memory::UserMemory;
use crate::open_file::OpenFile;
use crate::step::{self, Flow};

/// A kernel with one mounted filesystem.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(crate) fs: FsState,
    pub(crate) files: Vec<Option<OpenFile>>,
    pub(crate) locks: LockTable,
    pub(crate) profile: Profile,
    pub(crate) cleanup: Cleanup,
}

/// Where the steps that put things back begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cleanup {
    pub(crate) element_pc: usize,
    pub(crate) clone_pc: usize,
}

/// Descriptors 0 to 2 belong to the standard streams, which nobody dedupes.
const FIRST_FD: usize = 3;

impl Machine {
    /// Returns a kernel of this profile with an empty filesystem.
    #[must_use]
    pub fn new(profile: Profile) -> Machine {
        Machine::mounted(profile, MountOptions::default())
    }

    /// Returns a kernel of this profile that has mounted an empty filesystem with these options.
    #[must_use]
    pub fn mounted(profile: Profile, options: MountOptions) -> Machine {
        let fs = FsState::mounted(profile.behaviour, options);
        Machine::with_state(profile, fs)
    }

    /// Returns a kernel of this profile with a filesystem that is there already.
    #[must_use]
    pub fn with_state(profile: Profile, fs: FsState) -> Machine {
        let begin = |plan: &[Step]| {
            plan.iter()
                .position(|step| step.is_cleanup())
                .unwrap_or(plan.len())
        };
        let cleanup = Cleanup {
            element_pc: begin(&profile.element_plan),
            clone_pc: begin(&profile.clone_plan),
        };
        Machine {
            fs,
            files: vec![None; FIRST_FD],
            locks: LockTable::default(),
            profile,
            cleanup,
        }
    }

    /// Returns the profile.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Returns the filesystem.
    #[must_use]
    pub fn fs(&self) -> &FsState {
        &self.fs
    }

    /// Returns the filesystem, to be changed behind the calls' back.
    pub fn fs_mut(&mut self) -> &mut FsState {
        &mut self.fs
    }

    /// Returns the locks.
    #[must_use]
    pub fn locks(&self) -> &LockTable {
        &self.locks
    }

    /// Opens a file and returns its descriptor. Whether `open(2)` allows it was asked before.
    pub fn open(&mut self, file: OpenFile) -> i32 {
        let fd = match self.files.iter().skip(FIRST_FD).position(Option::is_none) {
            Some(slot_idx) => slot_idx + FIRST_FD,
            None => {
                self.files.push(None);
                self.files.len() - 1
            }
        };
        self.files[fd] = Some(file);
        i32::try_from(fd).unwrap_or(i32::MAX)
    }

    /// Closes a descriptor; nothing if it is not open. The last one ends an inode without a name.
    pub fn close(&mut self, fd: i32) {
        let slot = usize::try_from(fd)
            .ok()
            .and_then(|fd| self.files.get_mut(fd));
        let Some(file) = slot.and_then(Option::take) else {
            return;
        };
        let Some(id) = file.inode() else { return };
        if file.access != Access::Path {
            self.fs.release(id);
        }
        self.put(id);
    }

    /// Ends an inode that has neither a name nor a descriptor.
    pub fn put(&mut self, id: InodeId) {
        if self.fs.is_live(id) && self.fs.inode(id).nr_links() == 0 && !self.is_open(id) {
            self.fs.put(id);
        }
    }

    /// Returns whether a descriptor is open on the inode.
    #[must_use]
    pub fn is_open(&self, id: InodeId) -> bool {
        let mut open = self.files.iter().flatten();
        open.any(|file| file.inode() == Some(id))
    }

    /// Returns the open file of a descriptor.
    #[inline]
    #[must_use]
    pub fn file(&self, fd: i32) -> Option<&OpenFile> {
        usize::try_from(fd)
            .ok()
            .and_then(|fd| self.files.get(fd))
            .and_then(Option::as_ref)
    }

    /// Makes a dedupe call from its bytes to its bytes, nobody else being there.
    pub fn ioctl_dedupe(&mut self, caller: Caller, fd: i32, memory: &mut UserMemory) -> CallReport {
        let frame = Frame::dedupe(TaskId::default(), caller, fd);
        self.run_alone(frame, memory)
    }

    /// Makes a clone call on `fd`, the target, nobody else being there.
    pub fn ioctl_clone(&mut self, caller: Caller, fd: i32, request: CloneRequest) -> CallReport {
        let frame = Frame::clone_range(TaskId::default(), caller, fd, request);
        self.run_alone(frame, &mut UserMemory::new(Vec::new()))
    }

    /// Carries out one step of a call; `memory` is what its pointer points to.
    #[inline]
    pub fn step(&mut self, frame: &mut Frame, memory: &mut UserMemory) -> Flow {
        step::step(self, frame, memory)
    }

    fn run_alone(&mut self, mut frame: Frame, memory: &mut UserMemory) -> CallReport {
        loop {
            match self.step(&mut frame, memory) {
                Flow::Advanced => {}
                Flow::Done => break,
                // Whoever holds the lock never lets it go.
                Flow::Blocked { .. } => {
                    frame.report.end = FrameEnd::Hangs;
                    return frame.into_report();
                }
            }
        }
        let is_back = matches!(frame.report.end, FrameEnd::Ended(_));
        debug_assert!(
            !is_back || self.locks.is_free_of(frame.task),
            "a lock was left behind"
        );
        frame.into_report()
    }
}
