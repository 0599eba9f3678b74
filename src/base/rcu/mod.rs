//! Published versions: one writer replaces a value, any number of threads read it without waiting.
//!
//! A [`Publisher`] owns a chain of versions of a `T`. A [`Reader`] pins one version at a time: `refresh` takes the
//! newest, and until the next `refresh` the reader sees exactly that one. A refresh is a load, and a store when
//! something changed, so it belongs at the top of every burst. Nothing is ever freed by a reader: the writer calls
//! [`Publisher::reclaim`], which frees the versions that every reader has left.
//!
//! A version that a reader runs is written in the reader's own slot, so the writer can also tell when a change has
//! arrived everywhere: [`Publisher::passed`]. What a reader did under its old version (packets in transmit buffers) it
//! must finish before it refreshes, else `passed` promises too much.
//!
//! A reader that does not refresh delays reclamation and barriers, never other readers. A thread about to block goes
//! offline for that time ([`Reader::offline`], [`Reader::into_offline`]) and holds nothing.
//!
//! # Why it is sound
//!
//! Versions count up. A slot holds `v` when its reader may touch version `v` and newer, 0 when it may touch any, and
//! `OFFLINE` when none. Version `v` is freed only after it was replaced, and only when every slot is above `v`.
//! - Online reader: it loads the newest pointer while its slot still holds an older version, which keeps the newer one
//!   alive; it then stores the newer version with release. The writer's acquire load of that store puts every read
//!   of the old version before its release to the allocator.
//! - Reader that comes online: it stores 0, fence, loads the pointer. The writer stores the pointer, fence, loads the
//!   slots. The fences are in one order: either the writer sees the 0 and frees nothing, or the reader sees the
//!   newest pointer, which is not freed.
//!
//! Checked by loom (`rcu/model.rs`, which fails when any fence or ordering above is taken away) and by a stress test with
//! real threads. Nothing here hides from Miri (`scripts/miri base rcu`).
//!
//! ```
//! use base::rcu::Publisher;
//! use std::sync::Arc;
//!
//! let mut publisher = Publisher::new(Arc::new("old"));
//! let mut reader = publisher.reader("worker0");
//! let version = publisher.publish(Arc::new("new"));
//! assert_eq!((*reader.current(), publisher.passed(version)), ("old", false));
//! assert_eq!((*reader.refresh(), publisher.passed(version)), ("new", true));
//! assert_eq!(publisher.reclaim(), 1);
//! ```

#![expect(unsafe_code, reason = "readers dereference versions without counting references; see `Why it is sound`")]

#[cfg(all(test, loom))]
mod model;
mod publisher;
mod reader;
#[cfg(all(test, not(loom)))]
mod tests;

pub use publisher::{Publisher, ReaderState, Registry};
pub use reader::{OfflineReader, Reader};

use crate::CachePadded;
use crate::sync::{Arc as SharedArc, Mutex};
use crate::sync::{AtomicPtr, AtomicU64, Ordering, fence, lock};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;

/// A slot whose reader touches no version. Above every version, so that a comparison treats it as passed.
const OFFLINE: u64 = u64::MAX;
/// A slot whose reader may touch any version. Below every version.
const ANY: u64 = 0;

/// One published version.
struct Node<T> {
    version: u64,
    value: Arc<T>,
}

/// A reader's slot: written by the reader alone, once per version, read by the writer.
struct Slot {
    name: String,
    version: CachePadded<AtomicU64>,
}

/// What the publisher and its readers share.
struct Shared<T> {
    /// The newest version. Written by the publisher only; never null.
    current: CachePadded<AtomicPtr<Node<T>>>,
    slots: Mutex<Vec<SharedArc<Slot>>>,
    /// Replaced versions that are not freed yet, oldest first. Used by the publisher only; it is here so that
    /// readers may outlive the publisher.
    retired: Mutex<VecDeque<NonNull<Node<T>>>>,
}

// SAFETY: the raw pointers are owned boxes of `Node<T>`, of which readers on any thread get `&T` (T: Sync) and which the
// writer's thread, or the last to drop, frees (T: Send). Everything else in here is atomics and mutexes.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The lowest version that an online reader runs, `OFFLINE` if none is online.
    fn lowest(&self) -> u64 {
        let slots = lock(&self.slots);
        // pairs with the fence in `Registration::enter`
        fence(Ordering::SeqCst);
        slots.iter().map(|slot| slot.version.load(Ordering::Acquire)).min().unwrap_or(OFFLINE)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let current = self.current.load(Ordering::Acquire);
        let retired = std::mem::take(&mut *lock(&self.retired));
        for node in retired.into_iter().map(NonNull::as_ptr).chain(std::iter::once(current)) {
            // SAFETY: the node came from Box::into_raw and is in exactly one of the two places; publisher and readers
            // each hold an Arc of this Shared, so none is left that could use it.
            drop(unsafe { Box::from_raw(node) });
        }
    }
}
