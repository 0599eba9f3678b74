//! `Ring`: a bounded queue that counts what it took and what it refused, and wakes its reader.

use super::Waker;
use crate::CachePadded;
use crate::sync::Arc;
use crossbeam_queue::ArrayQueue;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A bounded queue of many writers and one reader. Nothing is allocated after it is made. Order is kept per writer.
pub struct Ring<T> {
    queue: ArrayQueue<T>,
    waker: Arc<Waker>,
    pushed: CachePadded<AtomicU64>,
    full: CachePadded<AtomicU64>,
}

impl<T> Ring<T> {
    /// A ring of `capacity` items (at least 1) with a waker of its own. Fails when out of file descriptors.
    pub fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self::with_waker(capacity, Arc::new(Waker::new()?)))
    }

    /// A ring whose reader also waits for others on the same waker.
    pub fn with_waker(capacity: usize, waker: Arc<Waker>) -> Self {
        let counter = || CachePadded::new(AtomicU64::new(0));
        Self { queue: ArrayQueue::new(capacity.max(1)), waker, pushed: counter(), full: counter() }
    }

    /// Appends `item` and wakes the reader if it sleeps. A full ring gives it back, and counts.
    #[inline]
    pub fn push(&self, item: T) -> Result<(), T> {
        self.push_quiet(item)?;
        self.waker.wake();
        Ok(())
    }

    /// Appends without waking; [`wake`](Self::wake) must follow, once for any number of these.
    #[inline]
    pub fn push_quiet(&self, item: T) -> Result<(), T> {
        match self.queue.push(item) {
            Ok(()) => {
                self.pushed.fetch_add(1, Relaxed);
                Ok(())
            }
            Err(item) => {
                self.full.fetch_add(1, Relaxed);
                Err(item)
            }
        }
    }

    /// Wakes the reader if it sleeps: a fence and a load if it does not.
    #[inline]
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Appends a burst with one wake-up; hands what does not fit to `refused`. Returns how many went in.
    pub fn push_burst(&self, items: impl IntoIterator<Item = T>, mut refused: impl FnMut(T)) -> usize {
        let mut taken = 0;
        for item in items {
            match self.push_quiet(item) {
                Ok(()) => taken += 1,
                Err(item) => refused(item),
            }
        }
        if taken > 0 {
            self.waker.wake();
        }
        taken
    }

    /// Takes the oldest item.
    #[inline]
    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    /// Takes up to `max` items, oldest first, lazily.
    pub fn drain(&self, max: usize) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.pop()).take(max)
    }

    /// Announces that the reader is about to sleep. False if an item is there: then it must not.
    pub fn prepare_sleep(&self) -> bool {
        self.waker.prepare_sleep(|| self.queue.is_empty())
    }

    /// What the reader sleeps on.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Items in the ring at this moment.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether it is empty at this moment.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The most it holds.
    pub fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// Items ever accepted.
    pub fn pushed(&self) -> u64 {
        self.pushed.load(Relaxed)
    }

    /// Items ever refused because it was full.
    pub fn full(&self) -> u64 {
        self.full.load(Relaxed)
    }
}
