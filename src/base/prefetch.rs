//! Asking for memory before it is needed.

#![expect(unsafe_code, reason = "prefetch instructions are only reachable by what takes a raw pointer")]

/// Starts loading the cache line at `address` for reading. A hint: any address will do, mapped or not; nothing is read.
#[inline(always)]
pub fn prefetch_read<T: ?Sized>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction neither faults nor has an effect that the program can see, whatever the address
        // (Intel SDM volume 2, PREFETCHh); SSE is part of x86_64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = address.cast::<u8>();
}

/// Starts loading the cache line at `address` for writing, which takes it from other cores. A hint: any address will do,
/// mapped or not; nothing is read or written.
#[inline(always)]
pub fn prefetch_write<T: ?Sized>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        // the intrinsic makes a prefetch for reading of it where the target is not known to have this one; processors
        // that do not have it take it as no operation
        // SAFETY: the instruction neither faults nor has an effect that the program can see, whatever the address
        // (AMD64 manual volume 3, PREFETCHW).
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) address.cast::<u8>(), options(nostack, preserves_flags, readonly));
        }
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = address.cast::<u8>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        prefetch_read(&raw const K);
        prefetch_read::<u8>(std::ptr::null());
        prefetch_read(usize::MAX as *const u64);
        prefetch_read(&[1u8, 2][..]);
        prefetch_write(&raw const K);
        prefetch_write::<u8>(std::ptr::null());
        prefetch_write(usize::MAX as *const u64);
        static K: u32 = 3;
    }
}
