//! The empty filesystem that comes with the program. How it was made is told in the crate's
//! documentation. It does not know who mounts it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use scenario::{BackendError, Geometry};

/// Size of the filesystem in bytes.
pub const IMAGE_BYTES: u64 = 64 << 30;

/// The bytes from the beginning on, up to where only zeros follow.
const EMPTY: &[u8] = include_bytes!("../assets/empty-64g.img.zst");

const BLOCK_LEN: usize = 4096;

/// Makes an empty filesystem of this geometry at `path`, a sparse file: the one that comes with the
/// program, or another one as `mkfs.btrfs` makes it.
pub(crate) fn make(path: &Path, geometry: &Geometry) -> Result<(), BackendError> {
    let written = File::create(path).and_then(|file| {
        file.set_len(IMAGE_BYTES)?;
        match geometry.is_made_as(&Geometry::default()) {
            true => write(&file),
            false => Ok(()),
        }
    });
    written.map_err(|source| BackendError::System {
        action: format!("write the image {}", path.display()),
        source,
    })?;
    match geometry.is_made_as(&Geometry::default()) {
        true => Ok(()),
        false => backend_kernel::make_filesystem(path, geometry),
    }
}

/// Writes the filesystem that comes with the program.
fn write(file: &File) -> io::Result<()> {
    let mut decoder = zstd::Decoder::new(EMPTY)?;
    let mut buffer = vec![0; 64 * BLOCK_LEN];
    let mut offset = 0;
    loop {
        let len = fill(&mut decoder, &mut buffer)?;
        for (block_idx, block) in buffer[..len].chunks(BLOCK_LEN).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                file.write_all_at(block, offset + (block_idx * BLOCK_LEN) as u64)?;
            }
        }
        offset += len as u64;
        if len < buffer.len() {
            return Ok(());
        }
    }
}

/// Reads until `buffer` is full or nothing is left. Returns how many bytes it read.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match reader.read(&mut buffer[len..])? {
            0 => break,
            nr_read => len += nr_read,
        }
    }
    Ok(len)
}
