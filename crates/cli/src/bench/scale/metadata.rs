//! What btrfs itself takes: the metadata that the running kernel uses for the same files.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use backend_kernel::ground;
use data::Content;
use miette::{IntoDiagnostic, Report, WrapErr};
use scenario::BackendError;

use super::layout::{self, BLOCK};
use crate::witness::{self, WitnessName};

/// The most extents that are written to a real filesystem: 4 GiB of data.
const SIZE_MAX: u64 = 1_000_000;

/// What was measured.
pub(super) struct Used {
    bytes_per_extent: Vec<(u64, f64)>,
    note: String,
}

impl Used {
    /// Returns the bytes of metadata for an extent at this size, if it was measured.
    pub(super) fn bytes_per_extent(&self, size: u64) -> Option<f64> {
        let found = self.bytes_per_extent.iter().find(|(at, _)| *at == size);
        found.map(|(_, bytes)| *bytes)
    }

    /// Returns what the column of btrfs means, or why it is empty.
    pub(super) fn note(&self) -> &str {
        &self.note
    }
}

/// Makes the files in fresh filesystems of the running kernel, if this process may.
pub(super) fn measure(backend: &WitnessName, sizes: &[u64]) -> Result<Used, Report> {
    let mut used = Used {
        bytes_per_extent: Vec::new(),
        note:
            "btrfs: bytes of metadata per extent of the running kernel (BTRFS_IOC_SPACE_INFO, one \
               copy, all trees: extents, references, checksums and free space included; nodes of \
               16 KiB), over those of the empty filesystem"
                .to_owned(),
    };
    if !matches!(backend, WitnessName::Auto | WitnessName::Mount) {
        used.note = "btrfs: measured with --backend mount only".to_owned();
        return Ok(used);
    }
    for &size in sizes.iter().filter(|size| **size <= SIZE_MAX) {
        match ground::on_loopback(|top| write_files(top, size)) {
            Ok(bytes) => used.bytes_per_extent.push((size, bytes? / size as f64)),
            Err(error @ BackendError::Missing { .. }) => {
                used.note = format!("btrfs: not measured: {error}");
                return Ok(used);
            }
            Err(error) => return Err(witness::report(error)),
        }
    }
    Ok(used)
}

/// Returns how many bytes of metadata the files take.
fn write_files(top: &Path, nr_extents: u64) -> Result<f64, Report> {
    let folder = File::open(top).into_diagnostic()?;
    let used = || {
        ground::commit(&folder).map_err(witness::report)?;
        ground::metadata_bytes(&folder).map_err(witness::report)
    };
    let empty = used()?;
    let mut buffer = vec![0; BLOCK as usize];
    for blocks in layout::passes() {
        let blocks: Vec<u64> = blocks.collect();
        for file_idx in 0..layout::nr_files(nr_extents) {
            let path = top.join(layout::file_name(file_idx));
            let mut options = File::options();
            let file = options.write(true).create(true).truncate(false).open(&path);
            let file = file
                .into_diagnostic()
                .wrap_err_with(|| format!("cannot create {}", path.display()))?;
            for &block_idx in &blocks {
                let content = Content::pattern(layout::seed(file_idx, block_idx), 0, BLOCK);
                content.read_at(0, &mut buffer);
                file.write_all_at(&buffer, block_idx * BLOCK)
                    .into_diagnostic()
                    .wrap_err_with(|| format!("cannot write {}", path.display()))?;
            }
        }
        ground::commit(&folder).map_err(witness::report)?;
    }
    Ok((used()? - empty) as f64)
}
