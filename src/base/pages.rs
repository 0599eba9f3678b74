//! Large zeroed tables on huge pages where the machine gives them: fewer TLB misses for caches looked up at random.

#![expect(unsafe_code, reason = "memory comes from mmap, whose result is a raw pointer")]

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use zerocopy::FromZeros;

/// The size of a huge page, and the alignment of the memory.
const HUGE: usize = 2 << 20;

/// A slice of fixed length, all zero at first, aligned to 2 MiB, in transparent huge pages if the machine has them
/// enabled (`always` or `madvise`) and free; in normal pages else. Pages are taken from the machine when first
/// written, unless [`populated`](Self::populated). `T` must not need dropping.
pub struct HugeVec<T> {
    data: NonNull<T>,
    len: usize,
    /// Of the mapping, a multiple of `HUGE`; 0 when nothing is mapped.
    bytes: usize,
}

// SAFETY: it owns its memory exclusively, as a Vec does.
unsafe impl<T: Send> Send for HugeVec<T> {}
// SAFETY: as for Send; `&HugeVec` gives `&[T]`.
unsafe impl<T: Sync> Sync for HugeVec<T> {}

impl<T: FromZeros> HugeVec<T> {
    /// `len` zeroed elements. Fails when the machine refuses the address space.
    pub fn new(len: usize) -> io::Result<Self> {
        const {
            assert!(!std::mem::needs_drop::<T>(), "elements are never dropped");
            assert!(align_of::<T>() <= HUGE);
        }
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let size = len.checked_mul(size_of::<T>()).ok_or_else(too_large)?;
        if size == 0 {
            return Ok(Self { data: NonNull::dangling(), len, bytes: 0 });
        }
        if size > isize::MAX as usize - 2 * HUGE {
            return Err(too_large());
        }
        let bytes = size.next_multiple_of(HUGE);
        Ok(Self { data: map_aligned(bytes)?.cast(), len, bytes })
    }

    /// As `new`, with every page there already, so that no page fault comes when it matters.
    pub fn populated(len: usize) -> io::Result<Self> {
        let v = Self::new(len)?;
        for offset in (0..v.bytes).step_by(4096) {
            // SAFETY: within the mapping.
            let at = unsafe { v.data.as_ptr().cast::<u8>().add(offset) };
            // SAFETY: writable, ours alone, and zero already, so no element changes.
            unsafe { at.write_volatile(0) };
        }
        Ok(v)
    }
}

/// Maps `bytes`, a multiple of `HUGE`, at a multiple of `HUGE`.
fn map_aligned(bytes: usize) -> io::Result<NonNull<c_void>> {
    let room = NonZeroUsize::new(bytes + HUGE).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
    let start = unsafe {
        mmap_anonymous(
            None,
            room,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
        )
    }?;
    let before = start.as_ptr().addr().next_multiple_of(HUGE) - start.as_ptr().addr();
    let after = HUGE - before;
    // SAFETY: `before` is at most `HUGE`, less than the mapping.
    let aligned = unsafe { start.byte_add(before) };
    // Surplus that cannot be given back is address space without memory: not worth an error.
    if before > 0 {
        // SAFETY: the part in front of `aligned` is ours and not handed out.
        let _ = unsafe { munmap(start, before) };
    }
    if after > 0 {
        // SAFETY: `before + bytes + after` is the mapping's size.
        let end = unsafe { aligned.byte_add(bytes) };
        // SAFETY: the part behind `bytes` is ours and not handed out.
        let _ = unsafe { munmap(end, after) };
    }
    if !cfg!(miri) {
        // SAFETY: advice on our own mapping changes no contents. Without huge pages it fails, and normal ones serve.
        let _ = unsafe { madvise(aligned, bytes, MmapAdvise::MADV_HUGEPAGE) };
    }
    Ok(aligned)
}

impl<T> Drop for HugeVec<T> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: `data` and `bytes` are what `map_aligned` mapped, and no borrow outlives self.
            let _ = unsafe { munmap(self.data.cast(), self.bytes) };
        }
    }
}

impl<T> Deref for HugeVec<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements fit the mapping, which is aligned, and zero is a valid `T` (FromZeros); for size 0 the
        // pointer is dangling but aligned.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for HugeVec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; `&mut self` makes it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_aligned_and_writable_to_the_end() {
        for len in [1, 512, (2 << 20) / 8, (2 << 20) / 8 + 1, 1_000_000] {
            let make = if len % 2 == 0 { HugeVec::new } else { HugeVec::populated };
            let mut v: HugeVec<u64> = make(len).unwrap();
            assert_eq!((v.len(), v.as_ptr().addr() % HUGE), (len, 0));
            assert!(v.iter().all(|w| *w == 0));
            v[len - 1] = 7;
            v[0] += 1;
            assert_eq!(v.iter().sum::<u64>(), 8);
        }
    }

    #[test]
    fn nothing_and_too_much() {
        assert!(HugeVec::<u32>::new(0).unwrap().is_empty());
        assert!(HugeVec::<u32>::populated(0).unwrap().is_empty());
        assert_eq!(HugeVec::<()>::new(9).unwrap().len(), 9);
        assert!(HugeVec::<u64>::new(usize::MAX).is_err());
        assert!(HugeVec::<u8>::new(isize::MAX as usize).is_err());
    }

    #[test]
    fn memory_goes_back() {
        // more address space than a 47-bit machine has, one after the other
        for _ in 0..64 {
            assert!(HugeVec::<u8>::new(4 << 40).is_ok());
        }
    }

    #[test]
    fn moves_between_threads() {
        let mut v: HugeVec<u32> = HugeVec::new(10).unwrap();
        v[9] = 3;
        assert_eq!(std::thread::spawn(move || v[9]).join().unwrap(), 3);
    }
}
