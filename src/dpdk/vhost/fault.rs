//! Survives memory that a guest takes away under us.
//!
//! A guest's memory is a file that it shares. When it makes that file shorter (ftruncate(2)), the next access to what is
//! gone raises SIGBUS, which ends a process that has no answer. Seals would forbid it, but memory in huge-page files, as
//! most guests have it, cannot be sealed. So: while a thread is in a call that touches a guest's memory it says whose
//! memory that is. A SIGBUS that comes then puts an empty page of our own where the hole is, and marks the guest as
//! broken: its port is not used any more until it connects anew. Any other SIGBUS goes where it went before.
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What a guest did to its memory.
#[derive(Debug, Default)]
pub(super) struct Damage {
    broken: AtomicBool,
    /// Holes found, ever.
    holes: AtomicU64,
}

impl Damage {
    #[inline]
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    pub(super) fn holes(&self) -> u64 {
        self.holes.load(Relaxed)
    }

    /// Another guest, other memory.
    pub(super) fn forget(&self) {
        self.broken.store(false, Relaxed);
    }
}

thread_local! {
    /// Whose memory this thread may touch now. Without a destructor, so the handler may look at it.
    static TOUCHES: Cell<*const Damage> = const { Cell::new(null()) };
    /// This thread is vhost's own: it touches memory of any guest at any time.
    static VHOSTS: Cell<bool> = const { Cell::new(false) };
}

/// Runs what touches a guest's memory.
#[inline]
pub(super) fn within<T>(damage: &Damage, run: impl FnOnce() -> T) -> T {
    TOUCHES.set(damage);
    let result = run();
    TOUCHES.set(null());
    result
}

/// This thread is vhost's own from now on.
pub(super) fn on_vhosts_thread() {
    VHOSTS.set(true);
}

static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Has SIGBUS come here. The first call counts.
pub(super) fn watch() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Relaxed) {
        return;
    }
    // SAFETY: all-zero is a sigaction: the default action, no flags, no signals.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a place for the action of now.
    if unsafe { libc::sigaction(libc::SIGBUS, null(), &mut before) } != 0 {
        return;
    }
    let _ = BEFORE.set(before);
    let mut ours = before;
    ours.sa_sigaction = handle as *const () as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `handle` has the signature that SA_SIGINFO asks for, and does only what a handler may.
    unsafe { libc::sigaction(libc::SIGBUS, &ours, null_mut()) };
}

/// The handler: thread-local cells without destructors, atomics and mmap(2), nothing else.
extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let damage = TOUCHES.get();
    if !damage.is_null() || VHOSTS.get() {
        // SAFETY: the kernel hands over a siginfo_t, which stays while this runs.
        let info = unsafe { &*info };
        // SAFETY: for SIGBUS it has an address.
        let address = unsafe { info.si_addr() };
        if fill(address as usize) {
            // SAFETY: null, or what `within` was given, which its caller keeps while this thread is in it.
            if let Some(damage) = unsafe { damage.as_ref() } {
                damage.broken.store(true, Relaxed);
                damage.holes.fetch_add(1, Relaxed);
            }
            return;
        }
    }
    otherwise(signal, info, context);
}

/// Puts an empty page where there is none: of the smallest size that the mapping allows.
fn fill(address: usize) -> bool {
    [12, 21, 30].into_iter().any(|bits| {
        let size = 1usize << bits;
        let page = (address & !(size - 1)) as *mut c_void;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the page raised SIGBUS in a call that works on a guest's memory, so it belongs to a mapping of that
        // memory, in which the guest may write whatever it likes at any time: zeroes are as good.
        let mapped = unsafe { libc::mmap(page, size, protection, flags, -1, 0) };
        mapped == page
    })
}

/// What would have happened without us.
fn otherwise(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let before = BEFORE.get().map(|action| (action.sa_sigaction, action.sa_flags));
    match before {
        Some((function, flags))
            if flags & libc::SA_SIGINFO != 0 && function != libc::SIG_DFL && function != libc::SIG_IGN =>
        {
            // SAFETY: an action with SA_SIGINFO has a function of this signature.
            let function = unsafe {
                std::mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(function)
            };
            function(signal, info, context);
        }
        _ => {
            // SAFETY: the default action; the access happens again and ends the process.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}
