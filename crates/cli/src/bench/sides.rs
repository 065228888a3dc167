//! The two that are timed, [`Kernel`] and [`Modelled`]: each makes the files of a layout and
//! answers requests, bytes for bytes.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use backend_kernel::{ground, same};
use miette::{Report, miette};
use model::{FrameEnd, Machine, OpenAt, OpenFile, Sequential, UserMemory};
use rules::Profile;
use scenario::fd::{Access, Mount};
use scenario::op::Caller;
use scenario::{Backend, CallEnd, Name, Op};
use uapi::Errno;

use super::layout::{Layout, NR_PIECES, Piece, Request};
use crate::witness;

/// The names of the files.
const NAMES: [&str; 2] = ["bench-source", "bench-target"];

/// How long a stretch of calls took, and each call's end. The replies lie where the requests did.
pub(crate) struct Timed {
    pub(crate) elapsed: Duration,
    pub(crate) ends: Vec<Result<(), Errno>>,
}

/// The running kernel with both files open.
pub(crate) struct Kernel {
    source: File,
    target: File,
}

/// The model with both files open.
pub(crate) struct Modelled {
    machine: Machine,
    source_fd: i32,
    pub(crate) target_fd: i32,
}

impl Kernel {
    /// Makes the files in `top`, in place of those of an earlier round.
    pub(crate) fn new(top: &Path, layout: &Layout) -> Result<Kernel, Report> {
        let [source, target] = NAMES.map(|name| top.join(name));
        let source = write_file(&source, &layout.source)?;
        let target = write_file(&target, &layout.target)?;
        Ok(Kernel { source, target })
    }

    /// Returns the number of the target's descriptor.
    pub(crate) fn target_fd(&self) -> i32 {
        self.target.as_raw_fd()
    }

    /// Makes the calls, one after the other.
    pub(crate) fn time(&self, requests: &mut [Request]) -> Timed {
        let mut ends = Vec::with_capacity(requests.len());
        let start = Instant::now();
        for request in requests {
            ends.push(same::dedupe(&self.source, request));
        }
        Timed {
            elapsed: start.elapsed(),
            ends,
        }
    }
}

impl Modelled {
    /// Makes the files in a fresh machine.
    pub(crate) fn new(profile: &Profile, layout: &Layout) -> Result<Modelled, Report> {
        let mut sequential = Sequential::new(profile.clone());
        let mut apply = |op: &Op| sequential.apply(op).map(drop).map_err(witness::report);
        for (name, pieces) in NAMES.into_iter().zip([&layout.source, &layout.target]) {
            let name = name_of(name)?;
            apply(&Op::File {
                name: name.clone(),
                is_nocow: false,
            })?;
            for parity in [0, 1] {
                for Piece { offset, content } in pieces.iter().skip(parity).step_by(2) {
                    apply(&Op::Write {
                        name: name.clone(),
                        offset: *offset,
                        content: content.clone(),
                    })?;
                }
                apply(&Op::Sync)?;
            }
        }
        let mut machine = sequential.machine().clone();
        let [source_fd, target_fd] = [open(&mut machine, NAMES[0])?, open(&mut machine, NAMES[1])?];
        Ok(Modelled {
            machine,
            source_fd,
            target_fd,
        })
    }

    /// Makes the calls, one after the other.
    pub(crate) fn time(&mut self, requests: &mut [Request]) -> Timed {
        let mut ends = Vec::with_capacity(requests.len());
        let mut memory = UserMemory::new(requests.first().map_or(Vec::new(), |it| it.to_vec()));
        let start = Instant::now();
        for request in requests {
            memory.bytes_mut().copy_from_slice(request);
            let report = self
                .machine
                .ioctl_dedupe(Caller::Root, self.source_fd, &mut memory);
            request.copy_from_slice(memory.readable());
            ends.push(match report.end {
                FrameEnd::Ended(CallEnd::Returned) => Ok(()),
                FrameEnd::Ended(CallEnd::Failed(errno)) => Err(errno),
                // No kernel that answers can agree with that.
                FrameEnd::Hangs | FrameEnd::Panics => Err(Errno::ETIMEDOUT),
            });
        }
        Timed {
            elapsed: start.elapsed(),
            ends,
        }
    }

    /// Fails if the state is not sound.
    pub(crate) fn check(&self) -> Result<(), Report> {
        match self.machine.fs().fsck().first() {
            None => Ok(()),
            Some(violation) => Err(miette!(
                help = "this is a bug of the model: please report it",
                "the model's fsck is not clean after the calls: {violation}"
            )),
        }
    }
}

/// Writes the pieces so that each becomes one extent: every second one first, then the others.
fn write_file(path: &Path, pieces: &[Piece]) -> Result<File, Report> {
    let shown = path.display();
    let failed = |what: &str, error: std::io::Error| miette!("cannot {what} {shown}: {error}");
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failed("remove", error));
    }
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).open(path);
    let file = file.map_err(|error| failed("create", error))?;
    let mut buffer = Vec::new();
    for parity in [0, 1] {
        for Piece { offset, content } in pieces.iter().skip(parity).step_by(2) {
            buffer.resize(content.len() as usize, 0);
            content.read_at(0, &mut buffer);
            let written = file.write_all_at(&buffer, *offset);
            written.map_err(|error| failed("write", error))?;
        }
        ground::commit(&file).map_err(witness::report)?;
    }
    let nr_extents = ground::nr_extents(&file).map_err(witness::report)?;
    // Two of them may have come to lie beside each other on the device.
    if !(NR_PIECES - NR_PIECES / 100..=NR_PIECES).contains(&(nr_extents as usize)) {
        return Err(miette!(
            help = "bench on a filesystem without compression and with 1 GiB free",
            "{shown} has {nr_extents} extents, not {NR_PIECES}: nothing can be compared"
        ));
    }
    Ok(file)
}

fn name_of(text: &str) -> Result<Name, Report> {
    Name::new(text).ok_or_else(|| miette!("{text:?} is no name"))
}

fn open(machine: &mut Machine, name: &str) -> Result<i32, Report> {
    let inode = machine
        .fs_mut()
        .lookup(name)
        .map_err(|errno| miette!("the model lost {name}: {errno}"))?;
    let nr_items = machine.fs().items(inode).count();
    if nr_items != NR_PIECES {
        return Err(miette!("{name} has {nr_items} items in the model"));
    }
    Ok(machine.open(OpenFile {
        at: OpenAt::Inode(inode),
        access: Access::ReadWrite,
        mount: Mount::First,
    }))
}
