//! Room for what does not fit in memory: [`TemporaryFiles`].

use dupes::{Scratch, Spill};

/// Files without a name in the folder for temporary files (`$TMPDIR`).
pub(crate) struct TemporaryFiles;

impl Scratch for TemporaryFiles {
    fn spill(&mut self) -> std::io::Result<Box<dyn Spill>> {
        Ok(Box::new(tempfile::tempfile()?))
    }
}
