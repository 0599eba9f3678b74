//! The writer's side: publish, free what no reader can see, ask who has seen what.

use super::reader::{OfflineReader, Reader, Registration};
use super::{Node, OFFLINE, Shared};
use crate::CachePadded;
use crate::sync::{Arc as SharedArc, AtomicPtr, Mutex, Ordering, lock};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;

/// The only writer of a value. Publishing and reclaiming need `&mut`, so there is one writer at a time.
pub struct Publisher<T> {
    shared: SharedArc<Shared<T>>,
    version: u64,
}

/// Creates readers where the publisher itself is out of reach.
pub struct Registry<T>(SharedArc<Shared<T>>);

/// A reader as seen by the publisher, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderState {
    /// As given when registered.
    pub name: String,
    /// The version it runs; `None` while offline.
    pub version: Option<u64>,
}

impl<T: Send + Sync> Publisher<T> {
    /// Publishes `value` as version 1.
    pub fn new(value: Arc<T>) -> Self {
        let node = Box::into_raw(Box::new(Node { version: 1, value }));
        let shared = Shared {
            current: CachePadded::new(AtomicPtr::new(node)),
            slots: Mutex::new(Vec::new()),
            retired: Mutex::new(VecDeque::new()),
        };
        Self { shared: SharedArc::new(shared), version: 1 }
    }

    /// Makes `value` what readers get from their next refresh on; returns its version, one above the last.
    /// The previous one is kept until [`reclaim`](Self::reclaim).
    pub fn publish(&mut self, value: Arc<T>) -> u64 {
        self.version += 1;
        let node = Box::into_raw(Box::new(Node { version: self.version, value }));
        // Release: whoever loads the pointer sees the node. AcqRel is for the swap's own load half.
        let old = self.shared.current.swap(node, Ordering::AcqRel);
        if let Some(old) = NonNull::new(old) {
            lock(&self.shared.retired).push_back(old);
        }
        self.version
    }

    /// The newest value.
    pub fn current(&self) -> &Arc<T> {
        let node = self.shared.current.load(Ordering::Acquire);
        // SAFETY: `current` always holds a live node, and only `publish` and then `reclaim`, which need `&mut self`, can
        // retire and free it; the returned borrow of `self` keeps them away.
        unsafe { &(*node).value }
    }

    /// The newest version's number.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Frees every replaced version that no reader can see any more; returns how many. Dropping the values happens
    /// here, on the caller's thread.
    pub fn reclaim(&mut self) -> usize {
        if lock(&self.shared.retired).is_empty() {
            return 0;
        }
        let lowest = self.shared.lowest();
        let mut freed = 0;
        loop {
            let mut retired = lock(&self.shared.retired);
            let Some(&oldest) = retired.front() else { break };
            // SAFETY: a node in `retired` is live: only this function frees them, after taking them out.
            let version = unsafe { oldest.as_ref() }.version;
            if version >= lowest {
                break;
            }
            retired.pop_front();
            drop(retired);
            // SAFETY: it came from Box::into_raw in `publish` or `new` and is now in no list. It was replaced before
            // `lowest` read the slots, and every slot was above its version: see the module's `Why it is sound`.
            drop(unsafe { Box::from_raw(oldest.as_ptr()) });
            freed += 1;
        }
        freed
    }

    /// Whether every reader has come to `version` or newer. Readers that are offline have: they can only come back to
    /// the newest (while one does, older answers may be withheld for an instant). False for versions of the future.
    pub fn passed(&self, version: u64) -> bool {
        version <= self.version && self.shared.lowest() >= version
    }

    /// The oldest version that a reader runs; the newest if none is online.
    pub fn oldest(&self) -> u64 {
        self.shared.lowest().min(self.version)
    }

    /// How many replaced versions wait to be reclaimed.
    pub fn pending(&self) -> usize {
        lock(&self.shared.retired).len()
    }

    /// Every reader, in order of registration.
    pub fn readers(&self) -> Vec<ReaderState> {
        let slots = lock(&self.shared.slots);
        let state = |version| if version == OFFLINE { None } else { Some(version) };
        let each = slots.iter();
        each.map(|s| ReaderState { name: s.name.clone(), version: state(s.version.load(Ordering::Relaxed)) }).collect()
    }

    /// A new reader, online at the newest version. It must refresh, go offline or be dropped, or nothing is freed.
    pub fn reader(&self, name: &str) -> Reader<T> {
        self.registry().reader(name)
    }

    /// What creates readers from other threads.
    pub fn registry(&self) -> Registry<T> {
        Registry(self.shared.clone())
    }
}

impl<T: Send + Sync> Registry<T> {
    /// A new reader, online at the newest version; as [`Publisher::reader`].
    pub fn reader(&self, name: &str) -> Reader<T> {
        self.offline_reader(name).online()
    }

    /// A new reader that is offline until its thread runs.
    pub fn offline_reader(&self, name: &str) -> OfflineReader<T> {
        OfflineReader::new(Registration::new(self.0.clone(), name))
    }
}

impl<T> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
