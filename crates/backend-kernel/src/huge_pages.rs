//! Memory in huge pages: [`HugePages`].
//!
//! A scan of a filesystem whose trees are in memory takes some 50 ms, and fills tens of megabytes
//! once, front to back. In pages of 4 KiB each of them is a fault of its own, and all of these
//! together are a sixth of the scan.
#![expect(unsafe_code, reason = "a file that talks to the kernel raw")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;

use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags};
use rustix::mm::{madvise, mmap_anonymous, mremap, munmap};

/// A huge page, bytes: that of most processors.
const PAGE_BYTES: usize = 2 << 20;
/// What every mapping is aligned to at least, bytes.
const ALIGNED_TO: usize = 4096;

/// The allocator of the system, but large memory is made of whole huge pages where the kernel has
/// them: up to 2 MiB more than was asked for. It is mapped, so that it grows without being copied
/// and is gone once it is given back. (Kernels before 6.7 begin a mapping anywhere, not with a huge
/// page: what is before the first and behind the last one is in small pages then.)
#[derive(Clone, Copy, Debug, Default)]
pub struct HugePages;

// SAFETY: what a layout has decides who has the memory: a mapping of its own, or the system's
// allocator under the same contract. Mappings are as long as they have to be and nobody else's.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match mapped_len(layout) {
            Some(len) => map(len),
            // SAFETY: the caller keeps the contract.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match mapped_len(layout) {
            // It is new, and so it is zero.
            Some(len) => map(len),
            // SAFETY: the caller keeps the contract.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match mapped_len(layout) {
            // SAFETY: it was mapped with this length, and nobody has it any more.
            Some(len) => unsafe { unmap(memory, len) },
            // SAFETY: the caller keeps the contract.
            None => unsafe { System.dealloc(memory, layout) },
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that it is no overflow if rounded up to the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (mapped_len(layout), mapped_len(wanted)) {
            (Some(before), Some(after)) if before == after => memory,
            (Some(before), Some(after)) => {
                // SAFETY: it was mapped with this length; the caller forgets where it was.
                match unsafe { mremap(memory.cast(), before, after, MremapFlags::MAYMOVE) } {
                    Ok(moved) => moved.cast(),
                    // Who wants less of it must get that: the end is lost.
                    Err(_) if after < before => memory,
                    Err(_) => null_mut(),
                }
            }
            // SAFETY: the caller keeps the contract.
            (None, None) => unsafe { System.realloc(memory, layout, size) },
            _ => {
                // SAFETY: both are as large as what is copied, and do not overlap.
                unsafe {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(memory, layout.size().min(size));
                        self.dealloc(memory, layout);
                    }
                    moved
                }
            }
        }
    }
}

/// Returns the bytes of the mapping that a layout has, if it is for one.
fn mapped_len(layout: Layout) -> Option<usize> {
    let is_large = PAGE_BYTES <= layout.size() && layout.align() <= ALIGNED_TO;
    // No size is near enough to the largest number for an overflow.
    is_large.then(|| layout.size().next_multiple_of(PAGE_BYTES))
}

/// Returns new memory of so many bytes, a multiple of a huge page; null if there is none.
fn map(len: usize) -> *mut u8 {
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: it is a new mapping wherever there is room for it.
    let Ok(memory) = (unsafe { mmap_anonymous(null_mut(), len, prot, MapFlags::PRIVATE) }) else {
        return null_mut();
    };
    // SAFETY: all of it was just mapped, and nothing is there yet.
    let asked = unsafe { madvise(memory, len, Advice::LinuxHugepage) };
    // A kernel without them says so; then pages are small.
    let _ = asked;
    memory.cast()
}

/// Gives memory back.
///
/// # Safety
///
/// [`map`] returned it, with this length or grown to it, and nobody has it any more.
unsafe fn unmap(memory: *mut u8, len: usize) {
    // SAFETY: the caller says so.
    let unmapped = unsafe { munmap(memory.cast(), len) };
    if unmapped.is_err() {
        // The kernel has made one mapping of it and its neighbours, and cutting that would be more
        // mappings than a process may have: only the addresses are lost then.
        // SAFETY: as above.
        let _ = unsafe { madvise(memory.cast(), len, Advice::LinuxDontNeed) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes on both sides of each border.
    const SIZES: [usize; 8] = [
        1,
        4096,
        PAGE_BYTES - 1,
        PAGE_BYTES,
        PAGE_BYTES + 1,
        2 * PAGE_BYTES,
        5 * PAGE_BYTES - 7,
        16 * PAGE_BYTES,
    ];

    #[test]
    fn what_is_in_memory_stays_however_it_grows_and_shrinks() {
        for (before, after) in SIZES
            .into_iter()
            .flat_map(|before| SIZES.map(|after| (before, after)))
        {
            let layout = |size| Layout::from_size_align(size, 16).expect("small");
            let byte = |at: usize| (at % 251) as u8;
            // SAFETY: no size is zero, memory is read and written within its size and after it was
            // written, and given back with the layout that it has.
            unsafe {
                let memory = HugePages.alloc(layout(before));
                (0..before).for_each(|at| memory.add(at).write(byte(at)));
                let memory = HugePages.realloc(memory, layout(before), after);
                let nr_kept = before.min(after);
                assert!((0..nr_kept).all(|at| memory.add(at).read() == byte(at)));
                HugePages.dealloc(memory, layout(after));
            }
        }
    }

    #[test]
    fn memory_that_has_to_be_zero_is_zero_though_it_was_used_before() {
        for size in SIZES {
            let layout = Layout::from_size_align(size, 8).expect("small");
            // SAFETY: as above.
            unsafe {
                let used = HugePages.alloc(layout);
                used.write_bytes(0xaa, size);
                HugePages.dealloc(used, layout);
                let zeroed = HugePages.alloc_zeroed(layout);
                assert!((0..size).all(|at| zeroed.add(at).read() == 0));
                HugePages.dealloc(zeroed, layout);
            }
        }
    }

    #[test]
    fn memory_is_aligned_as_it_was_asked_for_and_large_memory_begins_with_a_page() {
        for (size, align) in SIZES
            .into_iter()
            .flat_map(|size| [1, 64, ALIGNED_TO, PAGE_BYTES, 4 * PAGE_BYTES].map(|it| (size, it)))
        {
            let layout = Layout::from_size_align(size, align).expect("small");
            // SAFETY: as above.
            unsafe {
                let memory = HugePages.alloc(layout);
                assert!(memory.addr().is_multiple_of(align), "{layout:?}");
                if mapped_len(layout).is_some() {
                    assert!(memory.addr().is_multiple_of(ALIGNED_TO), "{layout:?}");
                }
                memory.write_bytes(1, size);
                HugePages.dealloc(memory, layout);
            }
        }
    }

    #[test]
    fn memory_that_is_not_to_be_had_is_null_and_what_should_grow_stays() {
        let layout = |size| Layout::from_size_align(size, 1).expect("no overflow");
        let too_large = isize::MAX as usize;
        // SAFETY: as above.
        unsafe {
            assert!(HugePages.alloc(layout(too_large)).is_null());
            let memory = HugePages.alloc(layout(PAGE_BYTES));
            memory.write(7);
            assert!(
                HugePages
                    .realloc(memory, layout(PAGE_BYTES), too_large)
                    .is_null()
            );
            assert_eq!(memory.read(), 7);
            HugePages.dealloc(memory, layout(PAGE_BYTES));
        }
    }
}
