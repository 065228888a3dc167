//! The words in which a run tells things: sizes, reasons, what an errno means for a file.

use dupes::{Rewrite, StayReason};
use uapi::Errno;
use volume::{FileId, Volume, VolumeError};

/// Returns the path of a file, or its numbers if it has none.
pub(super) fn name(volume: &mut dyn Volume, file: FileId) -> String {
    volume.path(file).unwrap_or_else(|| file.to_string())
}

/// Returns an error with the name of its file.
pub(super) fn told(volume: &mut dyn Volume, error: &VolumeError) -> String {
    match error {
        VolumeError::File {
            file,
            action,
            errno,
        } => {
            let name = name(volume, *file);
            format!("{name}: cannot {action} it: {}", meaning(*errno))
        }
        error => error.to_string(),
    }
}

/// Returns an errno with what it says of a file, and what can be done about it.
pub(super) fn meaning(errno: Errno) -> String {
    let words = match errno {
        Errno::ENOENT | Errno::ESTALE => "it has vanished",
        Errno::EACCES => "you may not; its owner may, and root",
        Errno::EPERM => "it is immutable (lsattr), or not yours to have deduped: run as its owner",
        Errno::ETXTBSY => "it is a swap file in use, or a program that runs",
        Errno::EIO => "it cannot be read from disk: scrub the filesystem, see the kernel's log",
        Errno::EINVAL => "it has become shorter, or cannot share blocks",
        Errno::EOPNOTSUPP => "its filesystem cannot share blocks",
        Errno::EROFS => "it is on a read-only mount or in a read-only snapshot",
        Errno::EXDEV => "it is on another filesystem",
        Errno::ENOSPC => "no space is left, for trees neither: free some",
        Errno::EDQUOT => "a quota is used up",
        Errno::EMFILE | Errno::ENFILE => "too many files are open: raise the limit (ulimit -n)",
        Errno::ELOOP => "it has become a symbolic link",
        _ => return errno.to_string(),
    };
    format!("{words} ({errno})")
}

/// Returns why something stays.
pub(super) fn reason(reason: StayReason) -> &'static str {
    match reason {
        StayReason::Needed => "it is what the others refer to, or lies beside what is nowhere else",
        StayReason::NotMovable => "you may not have a file deduped that refers to them",
        StayReason::OutOfSight => "not everything that refers to them can be seen",
        StayReason::Preallocated => "a file has them preallocated",
        StayReason::EndOfFile => "they reach behind the end of a file",
        StayReason::TooManyReferences => "too much refers to them",
    }
}

/// Returns what is behind a reason, or would help.
pub(super) fn hint(reason: StayReason, rewrite: Rewrite) -> &'static str {
    match reason {
        StayReason::Needed if rewrite == Rewrite::Max => "the last copy of something",
        StayReason::Needed => "the last copy of something; --rewrite=max frees what is left",
        StayReason::NotMovable => "immutable files, files of others",
        StayReason::OutOfSight => "name all folders that share it, or run as root",
        StayReason::Preallocated => "written in part",
        StayReason::EndOfFile => "cut off by truncation",
        StayReason::TooManyReferences => "kernels take long to resolve them",
    }
}

/// Returns bytes as a person reads them.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{value:.2} {unit}"),
    }
}

/// Returns a change of bytes as a person reads it.
pub(super) fn signed(bytes: i64) -> String {
    let sign = match bytes {
        ..0 => "-",
        0 => "",
        1.. => "+",
    };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_leaves_a_whole() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.50 KiB");
        assert_eq!(size(3 << 40), "3.00 TiB");
        assert_eq!(
            [signed(-1536), signed(0), signed(1)],
            ["-1.50 KiB", "0 B", "+1 B"]
        );
    }
}
