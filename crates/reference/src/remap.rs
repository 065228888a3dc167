//! The two ioctls that share storage, as a current kernel answers them, without storage.
//!
//! A straight line from the first check to the last one, in the kernel's order. A clone copies
//! bytes; a dedupe only looks at them.
//!
//! Cite: `fs/remap_range.c`, `fs/ioctl.c`, `fs/btrfs/reflink.c` of 6.18.

use scenario::{Caller, CloneCall, DedupeCall, DedupeTarget, ElementAnswer, Outcome};
use uapi::{Errno, dedupe};

use crate::descriptor::{self, Object, Opened};
use crate::inode::{Inode, InodeIdx, Kind};
use crate::memory::Request;
use crate::tree::Tree;

const BLOCK_LEN: u64 = 4096;
/// A request is cut to this length, in bytes.
const DEDUPE_LEN_MAX: u64 = 1 << 30;
/// The largest offset of a file; larger ones are negative to the kernel.
const OFFSET_MAX: u64 = i64::MAX as u64;

/// What a filesystem is asked to do with two ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remap {
    Clone,
    Dedupe,
}

/// Returns the outcome of a `FIDEDUPERANGE`.
pub(crate) fn dedupe(tree: &mut Tree, call: &DedupeCall) -> Outcome {
    let source = match descriptor::open(tree, &call.source) {
        Ok(source) => source,
        Err(errno) => return Outcome::NotOpened(errno),
    };
    let mut targets = Vec::with_capacity(call.targets.len());
    for target in &call.targets {
        match descriptor::open(tree, &target.fd) {
            Ok(opened) => targets.push(opened),
            Err(errno) => return Outcome::NotOpened(errno),
        }
    }
    let request = Request::new(call);
    if source.object == Object::Nothing {
        return request.refused(Errno::EBADF);
    }
    let nr_elements = match request.copy_in() {
        Ok(nr_elements) => nr_elements,
        Err(errno) => return request.refused(errno),
    };
    let source_idx = match dedupe_source(tree, source, call) {
        Ok(source_idx) => source_idx,
        Err(errno) => return request.refused(errno),
    };
    let len = call.len.min(DEDUPE_LEN_MAX);
    let results: Vec<ElementAnswer> = call
        .targets
        .iter()
        .zip(&targets)
        .take(nr_elements)
        .map(
            |(element, opened)| match dedupe_one(tree, source_idx, len, call, element, *opened) {
                Ok(true) => ElementAnswer {
                    status: dedupe::SAME,
                    bytes_deduped: len,
                },
                Ok(false) => ElementAnswer {
                    status: dedupe::DIFFERS,
                    bytes_deduped: 0,
                },
                Err(errno) => ElementAnswer {
                    status: errno.status(),
                    bytes_deduped: 0,
                },
            },
        )
        .collect();
    request.copy_out(nr_elements, &results)
}

/// Returns the source's inode, or what refuses the whole call.
fn dedupe_source(tree: &Tree, source: Opened, call: &DedupeCall) -> Result<InodeIdx, Errno> {
    if !source.can_read {
        return Err(Errno::EINVAL);
    }
    if call.reserved1 != 0 || call.reserved2 != 0 {
        return Err(Errno::EINVAL);
    }
    let source_idx = match source.object {
        Object::Nothing => return Err(Errno::EBADF),
        Object::Null | Object::Pipe | Object::Socket => return Err(Errno::EINVAL),
        Object::Tmpfs | Object::Proc => return Err(Errno::EOPNOTSUPP),
        Object::Inode(idx) => idx,
    };
    match tree.inode(source_idx).kind {
        Kind::Directory | Kind::SubvolumeTop | Kind::Stub => return Err(Errno::EISDIR),
        Kind::Fifo => return Err(Errno::EINVAL),
        Kind::Regular => {}
    }
    let end = checked_end(call.source_offset, call.len)?;
    if tree.inode(source_idx).size() < end {
        return Err(Errno::EINVAL);
    }
    Ok(source_idx)
}

/// Returns whether one element's bytes are the same, or its errno.
fn dedupe_one(
    tree: &Tree,
    source_idx: InodeIdx,
    len: u64,
    call: &DedupeCall,
    element: &DedupeTarget,
    opened: Opened,
) -> Result<bool, Errno> {
    if opened.object == Object::Nothing {
        return Err(Errno::EBADF);
    }
    if element.reserved != 0 {
        return Err(Errno::EINVAL);
    }
    checked_end(element.offset, len)?;
    if opened.is_mount_readonly {
        return Err(Errno::EROFS);
    }
    if !may_dedupe(tree, opened, call.caller) {
        return Err(Errno::EPERM);
    }
    let Object::Inode(target_idx) = opened.object else {
        return Err(Errno::EXDEV);
    };
    match tree.inode(target_idx).kind {
        Kind::Directory | Kind::SubvolumeTop | Kind::Stub => return Err(Errno::EISDIR),
        Kind::Fifo => return Err(Errno::EINVAL),
        Kind::Regular => {}
    }
    if len == 0 {
        return Ok(true);
    }
    let ranges = Ranges {
        source_idx,
        source_offset: call.source_offset,
        target_idx,
        target_offset: element.offset,
        len,
    };
    let len = ranges.prepare(tree, Remap::Dedupe)?;
    let source = &tree.inode(source_idx).content;
    let target = &tree.inode(target_idx).content;
    let difference = source.first_difference(call.source_offset, target, element.offset, len);
    Ok(difference.is_none())
}

/// Returns whether the caller may dedupe into a descriptor.
fn may_dedupe(tree: &Tree, opened: Opened, caller: Caller) -> bool {
    if caller == Caller::Root || opened.can_write {
        return true;
    }
    match opened.object {
        Object::Inode(idx) => {
            let inode = tree.inode(idx);
            inode.uid == Caller::USER_UID || may_user_write(inode)
        }
        // What is not open for writing there is the reading end of root's pipe.
        Object::Nothing
        | Object::Null
        | Object::Pipe
        | Object::Socket
        | Object::Tmpfs
        | Object::Proc => false,
    }
}

/// Returns whether the unprivileged caller, not the owner, has write permission. Owner and group
/// are one number here, so only the bits for others are left.
fn may_user_write(inode: &Inode) -> bool {
    const OTHERS_WRITE: u16 = 0o002;
    let is_on_readonly = inode.is_readonly && inode.kind != Kind::Fifo;
    !inode.is_immutable && !is_on_readonly && inode.mode & OTHERS_WRITE != 0
}

/// Returns the outcome of a `FICLONERANGE`.
pub(crate) fn clone_range(tree: &mut Tree, call: &CloneCall, now: u64) -> Outcome {
    let opened = descriptor::open(tree, &call.source)
        .and_then(|source| Ok((source, descriptor::open(tree, &call.target)?)));
    let (source, target) = match opened {
        Ok(pair) => pair,
        Err(errno) => return Outcome::NotOpened(errno),
    };
    match try_clone(tree, call, source, target, now) {
        Ok(()) => Outcome::Done,
        Err(errno) => Outcome::Failed(errno),
    }
}

fn try_clone(
    tree: &mut Tree,
    call: &CloneCall,
    source: Opened,
    target: Opened,
    now: u64,
) -> Result<(), Errno> {
    if source.object == Object::Nothing || target.object == Object::Nothing {
        return Err(Errno::EBADF);
    }
    if superblock(source.object) != superblock(target.object) {
        return Err(Errno::EXDEV);
    }
    let mut are_regular = true;
    for object in [source.object, target.object] {
        match object {
            Object::Inode(idx) if tree.inode(idx).kind.is_directory() => {
                return Err(Errno::EISDIR);
            }
            Object::Inode(idx) => are_regular &= tree.inode(idx).kind == Kind::Regular,
            Object::Tmpfs | Object::Proc => {}
            Object::Nothing | Object::Null | Object::Pipe | Object::Socket => are_regular = false,
        }
    }
    if !are_regular {
        return Err(Errno::EINVAL);
    }
    if !source.can_read || !target.can_write || target.is_append {
        return Err(Errno::EBADF);
    }
    let (Object::Inode(source_idx), Object::Inode(target_idx)) = (source.object, target.object)
    else {
        return Err(Errno::EOPNOTSUPP);
    };
    checked_end(call.source_offset, call.len)?;
    checked_end(call.target_offset, call.len)?;
    let ranges = Ranges {
        source_idx,
        source_offset: call.source_offset,
        target_idx,
        target_offset: call.target_offset,
        len: call.len,
    };
    let len = ranges.prepare(tree, Remap::Clone)?;
    if len == 0 {
        return Ok(());
    }
    let source_end = call.source_offset + len;
    let bytes = tree
        .inode(source_idx)
        .content
        .slice(call.source_offset..source_end);
    tree.inode_mut(target_idx)
        .change_content(now)
        .overwrite(call.target_offset, bytes);
    Ok(())
}

/// Returns a number for the superblock on which an object lies.
fn superblock(object: Object) -> u8 {
    match object {
        Object::Inode(_) => 0,
        Object::Nothing => 1,
        Object::Null => 2,
        Object::Pipe => 3,
        Object::Socket => 4,
        Object::Tmpfs => 5,
        Object::Proc => 6,
    }
}

/// Returns the end of a range; the kernel knows no offset and no end past [`OFFSET_MAX`].
fn checked_end(offset: u64, len: u64) -> Result<u64, Errno> {
    match offset.checked_add(len) {
        Some(end) if end <= OFFSET_MAX && len <= OFFSET_MAX => Ok(end),
        Some(_) | None => Err(Errno::EINVAL),
    }
}

/// Two ranges of two regular files of the run's filesystem.
struct Ranges {
    source_idx: InodeIdx,
    source_offset: u64,
    target_idx: InodeIdx,
    target_offset: u64,
    len: u64,
}

impl Ranges {
    /// Returns how many bytes are to be compared or cloned, possibly 0, or the errno.
    fn prepare(&self, tree: &Tree, remap: Remap) -> Result<u64, Errno> {
        let (source, target) = (tree.inode(self.source_idx), tree.inode(self.target_idx));
        if remap == Remap::Clone && target.is_readonly {
            return Err(Errno::EROFS);
        }
        if source.is_unchecked != target.is_unchecked {
            return Err(Errno::EINVAL);
        }
        if target.is_immutable {
            return Err(Errno::EPERM);
        }
        let (source_size, target_size) = (source.size(), target.size());
        let mut len = self.len;
        if len == 0 {
            // A clone of length 0 goes up to the source's end; a dedupe has come back already.
            if source_size < self.source_offset {
                return Err(Errno::EINVAL);
            }
            len = source_size - self.source_offset;
            if len == 0 {
                return Ok(0);
            }
        }
        if !is_aligned(self.source_offset) || !is_aligned(self.target_offset) {
            return Err(Errno::EINVAL);
        }
        let target_end = checked_end(self.target_offset, len)?;
        let source_end = self.source_offset + len;
        if source_size < source_end || source_size <= self.source_offset {
            return Err(Errno::EINVAL);
        }
        if remap == Remap::Dedupe && (target_size < target_end || target_size <= self.target_offset)
        {
            return Err(Errno::EINVAL);
        }
        self.shortened(remap, len, source_size, target_size)
    }

    /// Returns `len` as far as whole blocks allow, after the checks that depend on it.
    fn shortened(
        &self,
        remap: Remap,
        len: u64,
        source_size: u64,
        target_size: u64,
    ) -> Result<u64, Errno> {
        let source_ends = self.source_offset + len == source_size;
        let target_ends = self.target_offset + len == target_size;
        let is_tail = source_ends && (remap == Remap::Clone || target_ends);
        let (kept_len, covered_len) = if is_tail {
            (len, len.next_multiple_of(BLOCK_LEN))
        } else {
            (len - len % BLOCK_LEN, len - len % BLOCK_LEN)
        };
        let is_overlapping = self.source_idx == self.target_idx
            && self.source_offset < self.target_offset + covered_len
            && self.target_offset < self.source_offset + covered_len;
        if is_overlapping {
            return Err(Errno::EINVAL);
        }
        if remap == Remap::Dedupe {
            return Ok(kept_len);
        }
        if kept_len != len {
            return Err(Errno::EINVAL);
        }
        // A partial block would lie in the middle of the target.
        if !is_aligned(len) && self.target_offset + len < target_size {
            return Err(Errno::EINVAL);
        }
        Ok(len)
    }
}

fn is_aligned(number: u64) -> bool {
    number.is_multiple_of(BLOCK_LEN)
}
