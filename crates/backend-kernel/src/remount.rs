//! Remounting the filesystem of the runs read-only and back.

use std::time::{Duration, Instant};

use rustix::io::Errno as Io;
use scenario::{BackendError, Name, Outcome};

use crate::operations::sync;
use crate::place::open_directory;
use crate::session::Session;
use crate::trees::begin_transaction;
use crate::{missing, mounting, system};

/// How long a filesystem that is busy is asked again, and how soon: an inode without a name goes a
/// moment after its last descriptor.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(1);

impl Session {
    pub(crate) fn remount(&mut self, is_readonly: bool) -> Result<Outcome, BackendError> {
        if !self.place.is_ours {
            return Err(missing(
                "the filesystem of the directory is not ours to be remounted",
                "run on a filesystem of its own (--backend mount or uml), or leave remount out",
            ));
        }
        if is_readonly {
            let names: Vec<Name> = self.run_mut()?.0.fds.names();
            for name in names {
                self.close(&name)?;
            }
            if !self.is_readonly {
                let parent = open_directory(&self.place.first)?;
                sync(&parent)?;
                // So that no extent map is of the last transaction.
                begin_transaction(&parent)?;
            }
        }
        self.turn(is_readonly)?;
        Ok(Outcome::Done)
    }

    /// Ends what a run may have left read-only.
    pub(crate) fn make_writable(&mut self) -> Result<(), BackendError> {
        match self.is_readonly {
            true => self.turn(false),
            false => Ok(()),
        }
    }

    fn turn(&mut self, is_readonly: bool) -> Result<(), BackendError> {
        let start = Instant::now();
        while let Err(errno) = mounting::remount(&self.place, is_readonly) {
            if errno != Io::BUSY || PATIENCE <= start.elapsed() {
                let access = if is_readonly {
                    "read-only"
                } else {
                    "read-write"
                };
                let first = self.place.first.display();
                return Err(system(format!("remount {first} {access}"), errno));
            }
            std::thread::sleep(PAUSE);
        }
        self.is_readonly = is_readonly;
        Ok(())
    }
}
