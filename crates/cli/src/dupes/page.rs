//! The file that a page is written to: [`Page`].

use std::io::Write;
use std::path::{Path, PathBuf};

use miette::{Report, miette};
use tempfile::NamedTempFile;

/// A page that is on its way into its file. What was there before stays until it is whole.
pub(super) struct Page {
    path: PathBuf,
    file: NamedTempFile,
}

impl Page {
    /// Begins a page.
    ///
    /// # Errors
    /// If there cannot be such a file.
    pub(super) fn begin(path: &Path) -> Result<Page, Report> {
        // The folder of a bare name is empty: to `tempfile` that is the one where we are.
        let folder = path.parent().unwrap_or(path);
        if path.is_dir() {
            return Err(cannot(path, "it is a folder"));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".xsame-page-");
        // As any file that a program writes: the user's mask decides who may read it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let file = builder.permissions(mode).tempfile_in(folder);
        Ok(Page {
            file: file.map_err(|error| cannot(path, error))?,
            path: path.to_owned(),
        })
    }

    /// Writes it, and gives it its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn end(self, text: &str) -> Result<(), Report> {
        let Page { path, mut file } = self;
        let written = file.write_all(text.as_bytes());
        written.map_err(|error| cannot(&path, error))?;
        let persisted = file.persist(&path);
        persisted
            .map(drop)
            .map_err(|error| cannot(&path, error.error))
    }
}

fn cannot(path: &Path, why: impl std::fmt::Display) -> Report {
    miette!(
        help = "name a file in a folder that you may write to",
        "cannot write the page {}: {why}",
        path.display()
    )
}
