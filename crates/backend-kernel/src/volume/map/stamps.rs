//! When files were changed last, as `stat` tells.

use std::os::fd::BorrowedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{fstat, fstatvfs};
use volume::{FileId, Stamp, Stamps};

use super::MapVolume;
use crate::volume::files::inode_of;
use crate::volume::scope::are_together;
use crate::{ioctl_space, ioctl_trees};

/// Nanoseconds after which a change gets another time, whatever the tick of the kernel is.
const SETTLED: i64 = 100_000_000;

impl Stamps for MapVolume {
    fn filesystem(&self) -> [u8; 16] {
        if self.is_btrfs
            && let Ok(info) = ioctl_trees::fs_info(&self.fd)
        {
            return info.fsid;
        }
        if let Some(uuid) = ioctl_space::filesystem_uuid(&self.fd) {
            return uuid;
        }
        // Before 6.9 no call tells for all; what statvfs has lasts as long as the device's number.
        let mut uuid = [0; 16];
        if let Ok(about) = fstatvfs(&self.fd) {
            uuid[..8].copy_from_slice(&about.f_fsid.to_be_bytes());
        }
        uuid
    }

    fn stamp(&mut self, file: FileId) -> Option<Stamp> {
        let stat = fstat(self.fd(file).ok()?).ok()?;
        let time = |seconds: i64, nanoseconds: i64| {
            let seconds = seconds.checked_mul(1_000_000_000)?;
            seconds.checked_add(nanoseconds)
        };
        let ctime = time(stat.st_ctime, stat.st_ctime_nsec as i64)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let now = i64::try_from(now.as_nanos()).ok()?;
        Some(Stamp {
            size: stat.st_size.unsigned_abs(),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec as i64)?,
            ctime,
            is_settled: SETTLED <= now.saturating_sub(ctime),
        })
    }

    fn leave_out(&mut self, file: BorrowedFd<'_>) {
        let root = match self.is_btrfs {
            true => ioctl_trees::tree_of(file).map(|root| root.0),
            false => Ok(0),
        };
        if are_together(&self.fd, file)
            && let (Ok(root), Ok(inode)) = (root, inode_of(file))
        {
            self.files.remove(&FileId { root, inode });
        }
    }
}
