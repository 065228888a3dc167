//! Rules that no check decides but a step itself: faults, look-ups, the compare.

use uapi::Errno;

use crate::check::{Cite, End, Reach, Rule};

/// The ioctl's own descriptor.
pub static SOURCE_FD: Rule = Rule {
    id: "source-fd",
    end: End::Refuses(Errno::EBADF),
    cite: Cite::new("fs/ioctl.c", "ioctl", "v6.1"),
    sentence: "the descriptor of the ioctl is closed or was opened with O_PATH",
    reach: Reach::Mount,
};

/// An element's descriptor.
pub static TARGET_FD: Rule = Rule {
    id: "target-fd",
    end: End::Refuses(Errno::EBADF),
    cite: Cite::new("fs/remap_range.c", "vfs_dedupe_file_range", "v6.1"),
    sentence: "the low 32 bits of the element's descriptor are closed or were opened with O_PATH",
    reach: Reach::Mount,
};

/// The source's descriptor of a clone.
pub static CLONE_SOURCE_FD: Rule = Rule {
    id: "clone-source-fd",
    end: End::Refuses(Errno::EBADF),
    cite: Cite::new("fs/ioctl.c", "ioctl_file_clone", "v6.1"),
    sentence: "the low 32 bits of the clone's source descriptor are closed or opened with O_PATH",
    reach: Reach::Mount,
};

/// Header or elements cannot be read.
pub static REQUEST_FAULT: Rule = Rule {
    id: "request-fault",
    end: End::Refuses(Errno::EFAULT),
    cite: Cite::new("fs/ioctl.c", "ioctl_file_dedupe_range", "v6.1"),
    sentence: "the header, or an element that dest_count counts, cannot be read: \
               nothing was done",
    reach: Reach::Mount,
};

/// The results cannot be written.
pub static REPLY_FAULT: Rule = Rule {
    id: "reply-fault",
    end: End::Refuses(Errno::EFAULT),
    cite: Cite::new("fs/ioctl.c", "ioctl_file_dedupe_range", "v6.1"),
    sentence: "the results cannot be written back whole: every element was carried out",
    reach: Reach::Mount,
};

/// An element cannot be read, in the middle of the list.
pub static ELEMENT_FAULT: Rule = Rule {
    id: "element-fault",
    end: End::Refuses(Errno::EFAULT),
    cite: Cite::new(
        "fs/btrfs/ioctl.c",
        "btrfs_ioctl_file_extent_same",
        "patch v4",
    ),
    sentence: "an element cannot be read: the elements before it were carried out and answered",
    reach: Reach::ModelOnly("that revision was posted and never released"),
};

/// A result cannot be written, in the middle of the list.
pub static ELEMENT_REPLY_FAULT: Rule = Rule {
    id: "element-reply-fault",
    end: End::Refuses(Errno::EFAULT),
    cite: Cite::new(
        "fs/btrfs/ioctl.c",
        "btrfs_ioctl_file_extent_same",
        "patch v4",
    ),
    sentence: "an element's result cannot be written: that element was carried out, \
               those after it were not",
    reach: Reach::ModelOnly("that revision was posted and never released"),
};

/// The compare found a difference.
pub static DATA_DIFFERS: Rule = Rule {
    id: "data-differs",
    end: End::Differs,
    cite: Cite::new("fs/remap_range.c", "vfs_dedupe_file_range_compare", "v6.1"),
    sentence: "the bytes of the two ranges differ",
    reach: Reach::Mount,
};

/// A filesystem is full.
pub static NO_SPACE: Rule = Rule {
    id: "no-space",
    end: End::Refuses(Errno::ENOSPC),
    cite: Cite::new("fs/btrfs/file.c", "btrfs_replace_file_extents", "v6.1"),
    sentence: "there is no space to change the target's items, or to zero the rest of its last \
               block: what was remapped before stays",
    reach: Reach::ModelOnly("a kernel decides it freely, and only where space is short"),
};

/// All of them.
pub static DECIDED: &[&Rule] = &[
    &SOURCE_FD,
    &TARGET_FD,
    &CLONE_SOURCE_FD,
    &REQUEST_FAULT,
    &REPLY_FAULT,
    &ELEMENT_FAULT,
    &ELEMENT_REPLY_FAULT,
    &DATA_DIFFERS,
    &NO_SPACE,
];
