//! Names of what exists already: `link(2)`, `rename(2)`, `unlink(2)`, and what that means for the
//! descriptors of a run.

use rustix::fs::{AtFlags, linkat, renameat, statat, unlinkat};
use scenario::{BackendError, Fd, Name, Outcome};

use crate::operations::{not_opened, outcome};
use crate::session::{Session, refused};

impl Session {
    /// `link(2)`.
    pub(crate) fn link(&mut self, source: &Name, target: &Name) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        let top = run.tops.first();
        let flags = AtFlags::empty();
        let result = linkat(top, source.as_str(), top, target.as_str(), flags);
        Ok(outcome(refused(result)))
    }

    /// `rename(2)`; descriptors follow.
    pub(crate) fn rename(&mut self, source: &Name, target: &Name) -> Result<Outcome, BackendError> {
        let (run, _) = self.run_mut()?;
        let top = run.tops.first();
        let inode = |name: &Name| {
            let stat = statat(top, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        let (before, replaced) = (inode(source), inode(target));
        let result = refused(renameat(top, source.as_str(), top, target.as_str()));
        // Between two names of one inode nothing happens.
        if result.is_ok() && before != replaced {
            run.fds.rename(source, target);
            for subvolume in &mut run.subvolumes {
                if let Some(moved) = subvolume.moved(source, target) {
                    *subvolume = moved;
                }
            }
            self.observer.rename(source, target);
            // What replaces something is written back without anybody waiting for it.
            self.settle(&Fd::file(target.clone()));
        }
        Ok(outcome(result))
    }

    /// Closes what is open on a name; what is held is forgotten with it.
    pub(crate) fn close(&mut self, name: &Name) -> Result<(), BackendError> {
        let (run, _) = self.run_mut()?;
        let is_held = run.fds.held_below(name).contains(name);
        run.fds.close(name);
        if is_held {
            self.observer.forget(name);
        }
        Ok(())
    }

    /// `unlink(2)`, behind the closes that the language asks for.
    pub(crate) fn unlink(&mut self, name: &Name, is_held: bool) -> Result<Outcome, BackendError> {
        if !is_held {
            self.close(name)?;
        }
        let (run, _) = self.run_mut()?;
        if is_held && let Err(no_fd) = run.fds.keep_one(&run.tops, name) {
            return not_opened(no_fd);
        }
        let flags = AtFlags::empty();
        let result = refused(unlinkat(run.tops.first(), name.as_str(), flags));
        match (&result, is_held) {
            (Ok(()), true) => run.fds.hold(name),
            (Ok(()), false) => self.observer.forget(name),
            (Err(_), _) => {}
        }
        Ok(outcome(result))
    }
}
