//! Makes the calling thread one of DPDK's.
//!
//! Only such a thread has caches in pools: without them every allocation and release is an atomic operation on a
//! ring that all cores share. Pin the thread before registering it, since DPDK notes its CPUs and memory node then.
use crate::{Eal, Errno};
use std::marker::PhantomData;

/// While it lives, the thread that made it is one of DPDK's. It stays on that thread.
#[derive(Debug)]
pub struct LcoreGuard {
    /// Keeps DPDK up: unregistering needs it.
    _eal: Eal,
    _here: PhantomData<*const ()>,
}

impl LcoreGuard {
    /// Registers the calling thread. Fails when it is registered already, or all of DPDK's thread numbers (128 as a
    /// rule) are taken.
    pub fn register(eal: &Eal) -> Result<LcoreGuard, Errno> {
        if current().is_some() {
            return Err(Errno::from_negative(-libc::EEXIST));
        }
        // SAFETY: the EAL is up, as `eal` is one of its holders.
        match unsafe { dpdk_sys::rte_thread_register() } {
            0 => Ok(LcoreGuard { _eal: eal.clone(), _here: PhantomData }),
            code => Err(Errno::from_return(code)),
        }
    }

    /// The number that DPDK gave the thread.
    pub fn id(&self) -> u32 {
        current().unwrap_or(u32::MAX)
    }
}

/// The calling thread's number, if it is one of DPDK's.
pub fn current() -> Option<u32> {
    // SAFETY: reads a per-thread variable.
    let id = unsafe { dpdk_sys::rte_lcore_id() };
    (id != dpdk_sys::IB_LCORE_ID_ANY).then_some(id)
}

impl Drop for LcoreGuard {
    fn drop(&mut self) {
        // SAFETY: this thread was registered by `register`: the guard cannot leave it.
        unsafe { dpdk_sys::rte_thread_unregister() };
    }
}
