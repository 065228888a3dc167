//! Operations while the filesystem is mounted read-only: what has to ask for write access to the
//! mount is refused there, some of it after other things were looked at.

use scenario::{Answer, Op, Outcome};
use uapi::Errno;

use super::Sequential;
use super::operations::parent_of;

impl Sequential {
    /// Remounts the filesystem.
    pub(super) fn remount(&mut self, is_readonly: bool) {
        if is_readonly {
            for name in self.descriptors.names() {
                self.close(&name);
            }
        }
        self.machine.fs_mut().remount(is_readonly);
    }

    /// Answers an operation that asks for write access to the mount by itself; `None` for all
    /// others: those through descriptors for writing find that there are none.
    pub(super) fn refuse_readonly(&mut self, op: &Op) -> Option<Answer> {
        let fs = self.machine.fs_mut();
        if !fs.is_mounted_readonly() {
            return None;
        }
        let refused = match op {
            Op::File { name, .. } | Op::Dir { name } | Op::Fifo { name } => {
                fs.refused_creation(name.as_str())
            }
            Op::Link { source, target } => fs.refused_link(source.as_str(), target.as_str()),
            Op::Rename { source, target } => fs.refused_rename(source.as_str(), target.as_str()),
            Op::Unlink { name, is_held } => {
                if *is_held && let Err(errno) = self.descriptors.keep_one(&mut self.machine, name) {
                    return Some(Answer::plain(Outcome::NotOpened(errno)));
                }
                self.machine.fs_mut().refused_unlink(name.as_str())
            }
            Op::Subvol { name } => return Some(subvolume(fs.refused_subvolume(parent_of(name)?))),
            Op::Snapshot { source, target, .. } => {
                let parent = parent_of(target)?;
                let opened = fs.lookup(source.as_str());
                return Some(subvolume(opened.and_then(|_| fs.refused_subvolume(parent))));
            }
            Op::Delete { name } => {
                return Some(subvolume(fs.refused_subvolume(parent_of(name)?)));
            }
            _ => return None,
        };
        Some(Answer::plain(Outcome::Failed(refused)))
    }
}

/// Returns the answer to an ioctl on a folder that was opened for it.
fn subvolume(refused: Result<Errno, Errno>) -> Answer {
    Answer::plain(refused.map_or_else(Outcome::NotOpened, Outcome::Failed))
}
