//! How the filesystem of a run is made and mounted: [`Geometry`].
//!
//! It does not know who makes it, nor what follows from it.

use ondisk::{ChecksumKind, Compression};

/// The shape of the filesystem of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of the device in bytes. The images are sparse; on a small device the kernel runs
    /// delayed references and allocates chunks when it likes, which can be seen.
    pub device_bytes: u64,
    /// Sector size in bytes; the only one so far is 4096.
    pub sector_bytes: u32,
    /// Size of a tree's nodes in bytes.
    pub node_bytes: u32,
    /// Whether data and metadata share their chunks (`mkfs.btrfs --mixed`), as on a small device.
    /// Nodes are as large as sectors then.
    pub is_mixed: bool,
    /// The checksums of its blocks.
    pub checksum: ChecksumKind,
    /// How new files hold their data.
    pub data: DataMode,
    /// How data is compressed, even where it does not look worth it (`compress-force`). Only with
    /// [`DataMode::Checked`]: the mount option takes the others back.
    pub compress: Compression,
    /// Whether quota groups are counted.
    pub has_quota: bool,
}

impl Default for Geometry {
    fn default() -> Geometry {
        Geometry {
            device_bytes: 64 << 30,
            sector_bytes: 4096,
            node_bytes: 16 << 10,
            is_mixed: false,
            checksum: ChecksumKind::default(),
            data: DataMode::default(),
            compress: Compression::None,
            has_quota: false,
        }
    }
}

/// A device smaller than this is one on which a run may find no space, bytes.
const ROOMY_BYTES: u64 = 1 << 30;

impl Geometry {
    /// Returns whether a run may find no space, so that the kernel answers `ENOSPC`, and cuts
    /// extents where free space is in pieces. On every other device that is a divergence.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.device_bytes < ROOMY_BYTES
    }

    /// Returns whether the kernel decides something that nobody can foretell: how well data
    /// compresses, what fits in. A witness that is compared with a kernel hears it first, see
    /// [`crate::Backend::adopt`].
    #[must_use]
    pub fn leaves_choices(&self) -> bool {
        self.is_small() || self.compress != Compression::None
    }

    /// Returns whether a filesystem that was made for `other` will do, mounted as this one says.
    #[must_use]
    pub fn is_made_as(&self, other: &Geometry) -> bool {
        let made = |geometry: &Geometry| Geometry {
            data: DataMode::default(),
            compress: Compression::None,
            ..geometry.clone()
        };
        made(self) == made(other)
    }
}

/// What the mount options say of the data of new files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DataMode {
    /// `datacow,datasum`: copied on write, with checksums.
    #[default]
    Checked,
    /// `nodatasum`: copied on write, without checksums.
    NoSum,
    /// `nodatacow`: overwritten in place where possible, without checksums.
    NoCow,
}

impl DataMode {
    /// All of them.
    pub const ALL: [DataMode; 3] = [DataMode::Checked, DataMode::NoSum, DataMode::NoCow];

    /// Returns the word for it in texts: `checked` or the mount option.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DataMode::Checked => "checked",
            DataMode::NoSum => "nodatasum",
            DataMode::NoCow => "nodatacow",
        }
    }

    /// Returns the mode of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<DataMode> {
        DataMode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}
