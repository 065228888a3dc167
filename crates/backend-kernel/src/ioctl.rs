//! The ioctls that no safe crate wraps: extent-same, clone, FIEMAP, inode flags, subvolumes, loop.
//!
//! Every function here is safe to call: it takes buffers that it knows to be as long as the kernel
//! may write. What the answers mean is other files' business.
#![expect(unsafe_code, reason = "a file that talks to the kernel raw")]

use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use uapi::{CloneRange, Errno, dedupe, fiemap, request};
use zerocopy::{FromBytes, IntoBytes};

use crate::mmap::EdgeMemory;

/// Length of a name in `btrfs_ioctl_vol_args`, its final zero included.
const VOL_NAME_LEN: usize = 4088;
/// Length of a name in `btrfs_ioctl_vol_args_v2`, its final zero included.
const VOL_NAME_LEN_V2: usize = 4040;

const LOOP_SET_FD: u32 = 0x4C00;
const LOOP_CLR_FD: u32 = 0x4C01;
const LOOP_SET_STATUS64: u32 = 0x4C04;
const LOOP_CONFIGURE: u32 = 0x4C0A;
const LOOP_CTL_GET_FREE: u32 = 0x4C82;
/// The device detaches itself when its last user closes it.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// The number of `cachestat(2)`, the same on every architecture.
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range`; a length of 0 reaches to the end.
#[repr(C)]
struct CacheRange {
    offset: u64,
    len: u64,
}

/// `struct cachestat`.
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    nr_cache: u64,
    nr_dirty: u64,
    nr_writeback: u64,
    nr_evicted: u64,
    nr_recently_evicted: u64,
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolArgs {
    fd: i64,
    name: [u8; VOL_NAME_LEN],
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; VOL_NAME_LEN_V2],
}

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// Calls `FIDEDUPERANGE` on a descriptor number, which need not be open.
///
/// # Errors
///
/// The errno of the call; `EFAULT` without a call if `bytes` are fewer than their header counts.
pub(crate) fn dedupe(source: i32, bytes: &mut [u8]) -> Result<(), Errno> {
    let header = dedupe::header(bytes).map_err(|_| Errno::EFAULT)?;
    if bytes.len() < dedupe::request_len(header.dest_count.get()) {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the kernel reads and writes a header and `dest_count` elements, all within `bytes`.
    // A number that is no open file of ours is refused, and the call closes nothing.
    unsafe { call(source, request::FIDEDUPERANGE, bytes.as_mut_ptr().cast()) }.map(drop)
}

/// Calls `FIDEDUPERANGE` with a request that lies at the edge of readable or writable memory.
pub(crate) fn dedupe_at_edge(source: i32, memory: &mut EdgeMemory) -> Result<(), Errno> {
    // SAFETY: whatever the kernel writes above the request lies in the mapping, which is ours, or
    // in the hole after it, where the kernel's copy faults and the call fails.
    unsafe { call(source, request::FIDEDUPERANGE, memory.request_ptr()) }.map(drop)
}

/// Calls `FIDEDUPERANGE` with a pointer into the first 64 KiB, where nothing is mapped.
pub(crate) fn dedupe_at_nothing(source: i32, address: u16) -> Result<(), Errno> {
    // SAFETY: the kernel reads the header first, and at this address that fails.
    unsafe {
        call(
            source,
            request::FIDEDUPERANGE,
            usize::from(address) as *mut c_void,
        )
    }
    .map(drop)
}

/// Calls `FICLONERANGE` on a descriptor number, which need not be open.
pub(crate) fn clone_range(target: i32, range: &CloneRange) -> Result<(), Errno> {
    let mut range = *range;
    // SAFETY: the kernel reads 32 bytes, which is what `range` has.
    unsafe { call(target, request::FICLONERANGE, (&raw mut range).cast()) }.map(drop)
}

/// Calls `FS_IOC_FIEMAP`; `buffer` is a header and room for as many extents as the header says.
///
/// # Errors
///
/// The errno of the call; `EFAULT` without a call if there is less room than the header says.
pub(crate) fn fiemap(fd: impl AsFd, buffer: &mut [u8]) -> Result<(), Errno> {
    let (header, room) =
        fiemap::FiemapHeader::ref_from_prefix(buffer).map_err(|_| Errno::EFAULT)?;
    let needed = u64::from(header.extent_count.get()) * size_of::<fiemap::FiemapExtent>() as u64;
    if (room.len() as u64) < needed {
        return Err(Errno::EFAULT);
    }
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel writes the header and at most `extent_count` extents, all in `buffer`.
    unsafe { call(fd, request::FS_IOC_FIEMAP, buffer.as_mut_ptr().cast()) }.map(drop)
}

/// Returns the inode flags, `FS_*_FL`.
pub(crate) fn inode_flags(fd: impl AsFd) -> Result<u32, Errno> {
    let mut flags: libc::c_long = 0;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel writes an `int`, or at most the `long` that the number speaks of.
    unsafe { call(fd, request::FS_IOC_GETFLAGS, (&raw mut flags).cast()) }?;
    Ok(flags as u32)
}

/// Sets the inode flags, `FS_*_FL`.
pub(crate) fn set_inode_flags(fd: impl AsFd, flags: u32) -> Result<(), Errno> {
    let mut flags = libc::c_long::from(flags as i32);
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel reads an `int`, or at most the `long` that the number speaks of.
    unsafe { call(fd, request::FS_IOC_SETFLAGS, (&raw mut flags).cast()) }.map(drop)
}

/// Returns how many pages of the file are dirty; `ENOSYS` before 6.5.
pub(crate) fn dirty_pages(fd: impl AsFd) -> Result<u64, Errno> {
    dirty_pages_within(fd, 0, 0)
}

/// Returns how many pages of `offset..offset + len` (bytes; up to the end if `len` is 0) are dirty;
/// `ENOSYS` before 6.5.
pub(crate) fn dirty_pages_within(fd: impl AsFd, offset: u64, len: u64) -> Result<u64, Errno> {
    let range = CacheRange { offset, len };
    let mut cache = CacheStat::default();
    let fd = fd.as_fd().as_raw_fd();
    let no_flags: libc::c_uint = 0;
    // SAFETY: the kernel reads `range` and writes `cache`, both of the layout it knows.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            fd,
            &raw const range,
            &raw mut cache,
            no_flags,
        )
    };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(cache.nr_dirty)
}

/// Waits until no page of the file is under writeback; starts none.
pub(crate) fn wait_for_writeback(fd: impl AsFd) -> Result<(), Errno> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the call takes numbers only.
    let result = unsafe { libc::sync_file_range(fd, 0, 0, libc::SYNC_FILE_RANGE_WAIT_BEFORE) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

/// Commits the filesystem that `fd` is on, all dirty data included.
pub(crate) fn sync_filesystem(fd: impl AsFd) -> Result<(), Errno> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the request has no argument.
    unsafe { call(fd, request::BTRFS_IOC_SYNC, std::ptr::null_mut()) }.map(drop)
}

/// Commits the filesystem that `fd` is on; dirty data stays dirty. Returns the transaction: the one
/// that was running, or else the last one.
pub(crate) fn commit_filesystem(fd: impl AsFd) -> Result<u64, Errno> {
    let fd = fd.as_fd().as_raw_fd();
    let mut transid: u64 = 0;
    // SAFETY: the kernel writes one `u64`.
    unsafe { call(fd, request::BTRFS_IOC_START_SYNC, (&raw mut transid).cast()) }?;
    // SAFETY: the kernel reads one `u64`.
    unsafe { call(fd, request::BTRFS_IOC_WAIT_SYNC, (&raw mut transid).cast()) }?;
    Ok(transid)
}

/// Creates a subvolume `name` in the directory `parent`.
pub(crate) fn create_subvolume(parent: impl AsFd, name: &str) -> Result<(), Errno> {
    subvolume_call(parent, request::BTRFS_IOC_SUBVOL_CREATE, name)
}

/// Deletes the subvolume `name` of the directory `parent`. Nested ones must be gone.
pub(crate) fn destroy_subvolume(parent: impl AsFd, name: &str) -> Result<(), Errno> {
    subvolume_call(parent, request::BTRFS_IOC_SNAP_DESTROY, name)
}

/// Snapshots the subvolume `source` as `name` in the directory `parent`.
pub(crate) fn create_snapshot(
    parent: impl AsFd,
    source: impl AsFd,
    name: &str,
    flags: u64,
) -> Result<(), Errno> {
    let mut arguments = VolArgsV2 {
        fd: source.as_fd().as_raw_fd().into(),
        transid: 0,
        flags,
        unused: [0; 4],
        name: zero_terminated(name)?,
    };
    let fd = parent.as_fd().as_raw_fd();
    // SAFETY: the kernel reads and writes 4096 bytes, which is what `arguments` has.
    unsafe {
        call(
            fd,
            request::BTRFS_IOC_SNAP_CREATE_V2,
            (&raw mut arguments).cast(),
        )
    }
    .map(drop)
}

/// Returns the flags of the subvolume whose top `fd` is open on.
fn subvolume_flags(fd: i32) -> Result<u64, Errno> {
    let mut flags: u64 = 0;
    // SAFETY: the kernel writes one `u64`.
    unsafe {
        call(
            fd,
            request::BTRFS_IOC_SUBVOL_GETFLAGS,
            (&raw mut flags).cast(),
        )
    }?;
    Ok(flags)
}

/// Returns whether the subvolume whose top `fd` is open on is read-only.
pub(crate) fn is_subvolume_readonly(fd: impl AsFd) -> Result<bool, Errno> {
    let flags = subvolume_flags(fd.as_fd().as_raw_fd())?;
    Ok(flags & request::BTRFS_SUBVOL_RDONLY != 0)
}

/// Makes the subvolume whose top `fd` is open on writable.
pub(crate) fn make_subvolume_writable(fd: impl AsFd) -> Result<(), Errno> {
    let fd = fd.as_fd().as_raw_fd();
    let mut flags = subvolume_flags(fd)?;
    if flags & request::BTRFS_SUBVOL_RDONLY == 0 {
        return Ok(());
    }
    flags &= !request::BTRFS_SUBVOL_RDONLY;
    // SAFETY: the kernel reads one `u64`.
    unsafe {
        call(
            fd,
            request::BTRFS_IOC_SUBVOL_SETFLAGS,
            (&raw mut flags).cast(),
        )
    }
    .map(drop)
}

/// Returns the number of a loop device that was free a moment ago.
pub(crate) fn free_loop_device(control: &OwnedFd) -> Result<u32, Errno> {
    // SAFETY: the request has no argument.
    let number = unsafe { call(control.as_raw_fd(), LOOP_CTL_GET_FREE, std::ptr::null_mut()) }?;
    Ok(number as u32)
}

/// Attaches `image` to the loop device, to be detached at the device's last close.
///
/// # Errors
///
/// `EBUSY` if somebody else was faster.
pub(crate) fn attach_loop(device: &OwnedFd, image: &OwnedFd) -> Result<(), Errno> {
    let info = LoopInfo {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        sizelimit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_AUTOCLEAR,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let mut config = LoopConfig {
        fd: image.as_raw_fd() as u32,
        block_size: 0,
        info,
        reserved: [0; 8],
    };
    let fd = device.as_raw_fd();
    // SAFETY: the kernel reads a `loop_config`, which `config` is.
    match unsafe { call(fd, LOOP_CONFIGURE, (&raw mut config).cast()) } {
        // Before 5.8 there is no such request: two steps then.
        Err(Errno::EINVAL | Errno::ENOTTY) => {}
        Err(errno) => return Err(errno),
        Ok(_) => return Ok(()),
    }
    // SAFETY: the argument is a descriptor, not a pointer.
    unsafe { call(fd, LOOP_SET_FD, image.as_raw_fd() as usize as *mut c_void) }?;
    let mut info = info;
    // SAFETY: the kernel reads a `loop_info64`, which `info` is.
    let result = unsafe { call(fd, LOOP_SET_STATUS64, (&raw mut info).cast()) };
    if result.is_err() {
        let _ = detach_loop(device);
    }
    result.map(drop)
}

/// Detaches the loop device now, or when its last user closes it.
pub(crate) fn detach_loop(device: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: the request has no argument.
    unsafe { call(device.as_raw_fd(), LOOP_CLR_FD, std::ptr::null_mut()) }.map(drop)
}

fn subvolume_call(parent: impl AsFd, number: u32, name: &str) -> Result<(), Errno> {
    let mut arguments = VolArgs {
        fd: 0,
        name: zero_terminated(name)?,
    };
    let fd = parent.as_fd().as_raw_fd();
    // SAFETY: the kernel reads 4096 bytes, which is what `arguments` has.
    unsafe { call(fd, number, (&raw mut arguments).cast()) }.map(drop)
}

/// Returns the name in a field of `N` bytes, or `ENAMETOOLONG`.
fn zero_terminated<const N: usize>(name: &str) -> Result<[u8; N], Errno> {
    let mut field = [0; N];
    if N <= name.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    field[..name.len()].copy_from_slice(name.as_bytes());
    Ok(field)
}

/// Calls `ioctl(2)`.
///
/// # Safety
///
/// `argument` must point to what the kernel reads and writes for `number`, or to where it faults.
pub(crate) unsafe fn call(fd: i32, number: u32, argument: *mut c_void) -> Result<i32, Errno> {
    // SAFETY: that is what the caller promises.
    let returned = unsafe { libc::ioctl(fd, number as _, argument) };
    if 0 <= returned {
        return Ok(returned);
    }
    Err(last_errno())
}

/// Returns what the last call of this thread was refused with.
pub(crate) fn last_errno() -> Errno {
    let raw = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Errno::new(raw).unwrap_or(Errno::EIO)
}

/// Returns the bytes of a FIEMAP header that asks for the whole file.
pub(crate) fn write_fiemap_header(buffer: &mut [u8], start: u64, flags: u32, nr_extents: u32) {
    let header = fiemap::FiemapHeader {
        start: start.into(),
        length: (u64::MAX >> 1).saturating_sub(start).into(),
        flags: flags.into(),
        extent_count: nr_extents.into(),
        ..Default::default()
    };
    let bytes = header.as_bytes();
    buffer[..bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_sizes_of_the_kernel() {
        assert_eq!(size_of::<VolArgs>(), 4096);
        assert_eq!(size_of::<VolArgsV2>(), 4096);
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }

    #[test]
    fn a_request_shorter_than_its_count_is_not_handed_to_the_kernel() {
        let mut bytes = dedupe::encode(&uapi::DedupeHeader::new(0, 0, 3), &[]);
        assert_eq!(dedupe(-1, &mut bytes), Err(Errno::EFAULT));
    }
}
