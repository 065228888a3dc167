//! The data sets: files of seeded bytes, the same on every machine.
//!
//! It writes into a folder and does not know who will look for duplicates there.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::command::output;

/// The day of the patch series that the ioctl came with.
const SEED: u64 = 20_130_806;
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A data set.
#[derive(Clone, Copy)]
pub(super) struct Set {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) is: &'static str,
    /// The size of its filesystem, bytes: twice the data at least, for tools that copy.
    pub(super) device_bytes: u64,
    /// How its filesystem is mounted while it is written, and afterwards.
    pub(super) options: &'static str,
    /// Whether the tools are asked to find only, too.
    pub(super) is_scanned: bool,
    /// Whether the least that whole extents can be is searched for.
    pub(super) has_optimum: bool,
    write: fn(&Path, &mut ChaCha8Rng) -> Result<(), String>,
}

/// All of them.
pub(super) const SETS: &[Set] = &[
    Set {
        name: "blocks",
        is: "2,000 files of eight 128 KiB blocks and a tail, half of the blocks from 1,024",
        device_bytes: 6 << 30,
        options: "",
        is_scanned: true,
        has_optimum: false,
        write: blocks,
    },
    Set {
        name: "compressed",
        is: "as blocks, but of bytes that have 16 values, on a filesystem that compresses",
        device_bytes: 6 << 30,
        options: COMPRESSED,
        is_scanned: false,
        has_optimum: false,
        write: compressed,
    },
    Set {
        name: "images",
        is: "four images of 512 MiB, 60 % of whose 1 MiB pieces are common, each shifted",
        device_bytes: 6 << 30,
        options: "",
        is_scanned: false,
        has_optimum: false,
        write: images,
    },
    Set {
        name: "small",
        is: "50,000 files of 4,096 to 40,000 bytes, 30 % of them one of 3,000",
        device_bytes: 4 << 30,
        options: "",
        is_scanned: true,
        has_optimum: false,
        write: small,
    },
    Set {
        name: "snapshots",
        is: "a subvolume of 500 files of 1 MiB, a quarter of them copies, and 20 read-only \
             snapshots, 5 files copied anew and 5 changed by 64 KiB before each",
        device_bytes: 4 << 30,
        options: "",
        is_scanned: false,
        has_optimum: true,
        write: snapshots,
    },
    Set {
        name: "halves",
        is: "1,000 files of 1 MiB with 250 contents, written as 1 x 1 MiB, 2 x 512 KiB, \
             8 x 128 KiB in turn",
        device_bytes: 3 << 30,
        options: "",
        is_scanned: false,
        has_optimum: true,
        write: halves,
    },
];

/// Compresses everything, with the algorithm that most have.
const COMPRESSED: &str = "compress-force=zstd:1";

impl Set {
    /// Returns whether it is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        self.options == COMPRESSED
    }

    /// Writes the set below `top`, a folder on a mounted btrfs.
    pub(super) fn write(&self, top: &Path) -> Result<(), String> {
        (self.write)(top, &mut ChaCha8Rng::seed_from_u64(SEED))
    }
}

fn blocks(top: &Path, rng: &mut ChaCha8Rng) -> Result<(), String> {
    blocks_of(top, rng, bytes)
}

fn compressed(top: &Path, rng: &mut ChaCha8Rng) -> Result<(), String> {
    blocks_of(top, rng, |rng, len| {
        let mut bytes = bytes(rng, len);
        bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 16);
        bytes
    })
}

fn blocks_of(
    top: &Path,
    rng: &mut ChaCha8Rng,
    bytes: fn(&mut ChaCha8Rng, usize) -> Vec<u8>,
) -> Result<(), String> {
    let pool: Vec<Vec<u8>> = (0..1024).map(|_| bytes(rng, 128 * KIB)).collect();
    for folder_idx in 0..40 {
        let folder = folder(top, folder_idx)?;
        for file_idx in 0..50 {
            let mut content = Vec::with_capacity(8 * 128 * KIB + 8000);
            for _ in 0..8 {
                match rng.random_bool(0.5) {
                    true => content.extend_from_slice(pick(rng, &pool)),
                    false => content.extend_from_slice(&bytes(rng, 128 * KIB)),
                }
            }
            let tail_len = rng.random_range(0..=8000);
            content.extend_from_slice(&bytes(rng, tail_len));
            write(&folder.join(format!("file-{file_idx:03}")), &content)?;
        }
    }
    Ok(())
}

fn images(top: &Path, rng: &mut ChaCha8Rng) -> Result<(), String> {
    let base: Vec<Vec<u8>> = (0..512).map(|_| bytes(rng, MIB)).collect();
    for image_idx in 0..4 {
        let path = top.join(format!("image-{image_idx}"));
        let wrong = |error| format!("write {}: {error}", path.display());
        let mut file = File::create(&path).map_err(wrong)?;
        let own = bytes(rng, 4096 * (7 * image_idx + 1));
        file.write_all(&own).map_err(wrong)?;
        for piece in &base {
            let own;
            let piece = match rng.random_bool(0.6) {
                true => piece,
                false => {
                    own = bytes(rng, MIB);
                    &own
                }
            };
            file.write_all(piece).map_err(wrong)?;
        }
    }
    Ok(())
}

fn small(top: &Path, rng: &mut ChaCha8Rng) -> Result<(), String> {
    let one = |rng: &mut ChaCha8Rng| {
        let len = rng.random_range(4096..=40_000);
        bytes(rng, len)
    };
    let pool: Vec<Vec<u8>> = (0..3000).map(|_| one(rng)).collect();
    for folder_idx in 0..200 {
        let folder = folder(top, folder_idx)?;
        for file_idx in 0..250 {
            let path = folder.join(format!("file-{file_idx:03}"));
            match rng.random_bool(0.3) {
                true => write(&path, pick(rng, &pool))?,
                false => write(&path, &one(rng))?,
            }
        }
    }
    Ok(())
}

fn snapshots(top: &Path, rng: &mut ChaCha8Rng) -> Result<(), String> {
    let volume = top.join("volume");
    output(
        Command::new("btrfs")
            .args(["subvolume", "create"])
            .arg(&volume),
    )?;
    let path = |file_idx: usize| volume.join(format!("file-{file_idx:03}"));
    let pool: Vec<Vec<u8>> = (0..100).map(|_| bytes(rng, MIB)).collect();
    for file_idx in 0..500 {
        match rng.random_bool(0.25) {
            true => write(&path(file_idx), pick(rng, &pool))?,
            false => write(&path(file_idx), &bytes(rng, MIB))?,
        }
    }
    for snapshot_idx in 0..20 {
        sync(top)?;
        for _ in 0..5 {
            let file_idx = rng.random_range(0..500);
            write(&path(file_idx), pick(rng, &pool))?;
        }
        for _ in 0..5 {
            let file_idx = rng.random_range(0..500);
            let at = rng.random_range(0..16) * 64 * KIB;
            overwrite(&path(file_idx), at as u64, &bytes(rng, 64 * KIB))?;
        }
        sync(top)?;
        let snapshot = top.join(format!("snapshot-{snapshot_idx:02}"));
        let mut command = Command::new("btrfs");
        command.args(["subvolume", "snapshot", "-r"]);
        output(command.arg(&volume).arg(snapshot))?;
    }
    Ok(())
}

fn halves(top: &Path, rng: &mut ChaCha8Rng) -> Result<(), String> {
    let pool: Vec<Vec<u8>> = (0..250).map(|_| bytes(rng, MIB)).collect();
    for file_idx in 0..1000 {
        let nr_pieces = [1, 2, 8][file_idx % 3];
        let path = top.join(format!("file-{file_idx:04}"));
        let wrong = |error| format!("write {}: {error}", path.display());
        let content = &pool[file_idx / 4];
        let mut file = File::create(&path).map_err(wrong)?;
        for piece in content.chunks(MIB / nr_pieces) {
            file.write_all(piece).map_err(wrong)?;
            // What is written back by itself becomes an extent of its own.
            if 1 < nr_pieces {
                file.sync_data().map_err(wrong)?;
            }
        }
    }
    Ok(())
}

fn folder(top: &Path, folder_idx: usize) -> Result<std::path::PathBuf, String> {
    let folder = top.join(format!("folder-{folder_idx:03}"));
    fs::create_dir(&folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
    Ok(folder)
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("write {}: {error}", path.display()))
}

fn overwrite(path: &Path, at: u64, content: &[u8]) -> Result<(), String> {
    let wrong = |error| format!("write {}: {error}", path.display());
    let file = File::options().write(true).open(path).map_err(wrong)?;
    std::os::unix::fs::FileExt::write_all_at(&file, content, at).map_err(wrong)
}

fn sync(top: &Path) -> Result<(), String> {
    output(Command::new("btrfs").args(["filesystem", "sync"]).arg(top)).map(drop)
}

fn bytes(rng: &mut ChaCha8Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn pick<'a>(rng: &mut ChaCha8Rng, pool: &'a [Vec<u8>]) -> &'a [u8] {
    &pool[rng.random_range(0..pool.len())]
}
