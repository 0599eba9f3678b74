//! The reader's side: pin the newest version, use it, move on.

use super::{ANY, Node, OFFLINE, Shared, Slot};
use crate::CachePadded;
use crate::sync::{Arc as SharedArc, AtomicU64, Ordering, fence, lock};
use std::sync::Arc;

/// A registered slot; dropping it takes it off the publisher's list.
pub(super) struct Registration<T> {
    shared: SharedArc<Shared<T>>,
    slot: SharedArc<Slot>,
}

/// Reads the version it last refreshed to. One per thread; it may move between threads, and `&T` may be shared from it.
///
/// What it lends cannot be kept past the next refresh, nor while offline:
///
/// ```compile_fail
/// let publisher = base::rcu::Publisher::new(std::sync::Arc::new(1));
/// let mut reader = publisher.reader("worker");
/// let old = reader.refresh();
/// reader.refresh();
/// println!("{old}");
/// ```
/// ```compile_fail
/// let publisher = base::rcu::Publisher::new(std::sync::Arc::new(1));
/// let mut reader = publisher.reader("worker");
/// let old = reader.current();
/// reader.offline(|| println!("{old}"));
/// ```
pub struct Reader<T> {
    registration: Registration<T>,
    /// The pinned version: the slot holds its number, so the publisher keeps it.
    node: *const Node<T>,
    /// The value in `node`, to save a hop.
    value: *const T,
}

/// A reader that pins nothing. It costs the publisher nothing, whatever its thread is doing.
pub struct OfflineReader<T> {
    registration: Registration<T>,
}

// SAFETY: the pointers are to a node that stays alive while this reader's slot pins it, wherever the reader is moved to;
// through them only `&T` is given out.
unsafe impl<T: Send + Sync> Send for Reader<T> {}
// SAFETY: `&Reader` gives `&T` and the version, nothing else.
unsafe impl<T: Send + Sync> Sync for Reader<T> {}

impl<T> Registration<T> {
    pub(super) fn new(shared: SharedArc<Shared<T>>, name: &str) -> Self {
        let slot = Slot { name: name.to_owned(), version: CachePadded::new(AtomicU64::new(OFFLINE)) };
        let slot = SharedArc::new(slot);
        lock(&shared.slots).push(slot.clone());
        Self { shared, slot }
    }

    /// Goes from offline to the newest version.
    fn enter(&self) -> *const Node<T> {
        self.slot.version.store(ANY, Ordering::Relaxed);
        // pairs with the fence in `Shared::lowest`: the store comes before the load, for the writer too
        fence(Ordering::SeqCst);
        let node = self.shared.current.load(Ordering::Acquire);
        // SAFETY: the slot holds ANY since before the load, so the publisher frees nothing that it finds.
        let version = unsafe { (*node).version };
        self.slot.version.store(version, Ordering::Release);
        node
    }

    /// Touches no version from here on.
    fn leave(&self) {
        self.slot.version.store(OFFLINE, Ordering::Release);
    }
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        // The lock orders this thread's reads before a reclaim that no longer finds the slot.
        lock(&self.shared.slots).retain(|slot| !SharedArc::ptr_eq(slot, &self.slot));
    }
}

/// The value of a pinned node.
///
/// # Safety
/// `node` is alive.
unsafe fn value_of<T>(node: *const Node<T>) -> *const T {
    // SAFETY: alive, says the caller.
    Arc::as_ptr(unsafe { &(*node).value })
}

impl<T> Reader<T> {
    /// Moves to the newest version and returns it. Wait-free: one load, one store if there is something new. Call it once
    /// per burst, idle or not, with everything of the old version finished.
    #[inline]
    pub fn refresh(&mut self) -> &T {
        let newest: *const Node<T> = self.registration.shared.current.load(Ordering::Acquire);
        if newest != self.node {
            self.move_to(newest);
        }
        self.current()
    }

    #[cold]
    fn move_to(&mut self, newest: *const Node<T>) {
        // SAFETY: the slot still holds an older version than `newest`, which keeps `newest` alive too.
        let version = unsafe { (*newest).version };
        self.node = newest;
        // SAFETY: as above.
        self.value = unsafe { value_of(newest) };
        // Release: every read of the old version comes before the writer sees this.
        self.registration.slot.version.store(version, Ordering::Release);
    }

    /// The pinned version's value.
    #[inline]
    pub fn current(&self) -> &T {
        // SAFETY: the slot holds this version's number until `refresh`, `offline`, `into_offline` or drop, which all need
        // more than the `&self` that the result borrows; the publisher keeps the node, and it the value, till then.
        unsafe { &*self.value }
    }

    /// The pinned version's number.
    #[inline]
    pub fn version(&self) -> u64 {
        // SAFETY: as in `current`.
        unsafe { (*self.node).version }
    }

    /// Whether a newer version waits.
    #[inline]
    pub fn is_stale(&self) -> bool {
        !std::ptr::eq(self.registration.shared.current.load(Ordering::Relaxed), self.node)
    }

    /// Runs `block`, which may sleep, with nothing pinned; then pins the newest version, also if `block` panics.
    pub fn offline<R>(&mut self, block: impl FnOnce() -> R) -> R {
        /// Comes back online however `block` ends.
        struct Back<'a, T>(&'a mut Reader<T>);
        impl<T> Drop for Back<'_, T> {
            fn drop(&mut self) {
                self.0.node = self.0.registration.enter();
                // SAFETY: `enter` pinned the node.
                self.0.value = unsafe { value_of(self.0.node) };
            }
        }
        self.registration.leave();
        let _back = Back(self);
        block()
    }

    /// Lets go of everything until [`OfflineReader::online`], for a wait that is not one function call.
    pub fn into_offline(self) -> OfflineReader<T> {
        self.registration.leave();
        OfflineReader { registration: self.registration }
    }
}

impl<T> OfflineReader<T> {
    pub(super) fn new(registration: Registration<T>) -> Self {
        Self { registration }
    }

    /// Pins the newest version.
    pub fn online(self) -> Reader<T> {
        let node = self.registration.enter();
        // SAFETY: `enter` pinned the node.
        let value = unsafe { value_of(node) };
        Reader { registration: self.registration, node, value }
    }
}
