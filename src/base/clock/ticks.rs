//! The processor's cycle counter: a clock that costs a few nanoseconds and has no unit. For measuring work, not for time:
//! who wants seconds divides by the rate that two readings of both clocks give.

/// The counter now: TSC on x86, CNTVCT on aarch64, nanoseconds elsewhere. Grows at a constant rate on processors of this
/// decade; readings of two cores may differ by a little, so differences saturate.
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: RDTSC is there on every x86-64 processor, and reads a register.
    let now = unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    let now = {
        let now: u64;
        // SAFETY: the virtual counter may be read in user mode on Linux; nothing else is touched.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) now, options(nomem, nostack)) };
        now
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let now = super::Clock::real().now().as_nanos();
    now
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_moves() {
        let start = super::ticks();
        // how long until it moves does not matter
        while super::ticks() == start {}
    }
}
