//! `Waker`: a thread sleeps on a file descriptor only when nobody has work for it.
//!
//! The reader writes "asleep", fence, looks for work; a writer makes work visible, fence, reads "asleep". The fences are
//! in one order, so either the reader sees the work or the writer sees the reader asleep. Whoever turns "asleep" into
//! "awake" signals, so a burst of writers makes one system call. Every change of the flag is a read-modify-write, so there is one order of
//! them, and a late writer cannot undo an announcement that it did not see.

use crate::CachePadded;
use crate::sync::{AtomicBool, Ordering, fence};
use std::io;
#[cfg(not(loom))]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::AtomicU64;

/// One sleeper, any number of wakers. Readable, for epoll and tokio's `AsyncFd`, when the sleeper has been woken.
pub struct Waker {
    asleep: CachePadded<AtomicBool>,
    signal: Signal,
    /// How many times it was raised, counted before, and how many of those were cleared.
    signals: AtomicU64,
    cleared: AtomicU64,
}

impl Waker {
    /// A waker whose sleeper is awake. Fails when out of file descriptors.
    pub fn new() -> io::Result<Self> {
        let asleep = CachePadded::new(AtomicBool::new(false));
        let (signals, cleared) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { asleep, signal: Signal::new()?, signals, cleared })
    }

    /// The sleeper announces that it will sleep, unless `idle`, evaluated after the announcement, finds work. True: wait
    /// for the descriptor, then call [`awake`](Self::awake). False: there is work, and nothing to undo.
    pub fn prepare_sleep(&self, idle: impl FnOnce() -> bool) -> bool {
        self.asleep.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if idle() {
            return true;
        }
        self.awake();
        false
    }

    /// The sleeper is up, or decided against sleeping: no more signals, and the descriptor is no longer readable (a
    /// waker that raced may still make it so once; that costs one idle turn).
    pub fn awake(&self) {
        self.asleep.swap(false, Ordering::Relaxed);
        use std::sync::atomic::Ordering::Relaxed;
        // most often nobody woke it, which saves a system call
        if self.signals.load(Relaxed) != self.cleared.load(Relaxed) {
            self.cleared.fetch_add(self.signal.clear(), Relaxed);
        }
    }

    /// Wakes the sleeper if it sleeps or is about to. Call after the work can be seen, from any thread.
    #[inline]
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) {
            self.signal();
        }
    }

    #[cold]
    fn signal(&self) {
        if self.asleep.compare_exchange(true, false, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.signals.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.signal.raise();
        }
    }

    /// How many times a sleeper was woken.
    pub fn signals(&self) -> u64 {
        self.signals.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(not(loom))]
impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.0.as_fd()
    }
}

#[cfg(not(loom))]
impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.signal.0.as_fd().as_raw_fd()
    }
}

/// An eventfd, non-blocking.
#[cfg(not(loom))]
struct Signal(nix::sys::eventfd::EventFd);

#[cfg(not(loom))]
impl Signal {
    fn new() -> io::Result<Self> {
        use nix::sys::eventfd::{EfdFlags, EventFd};
        Ok(Self(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?))
    }
    fn raise(&self) {
        // Fails only when 2^64 - 2 signals are unread: it is readable then.
        let _ = self.0.write(1);
    }
    /// How many times it was raised since the last time.
    fn clear(&self) -> u64 {
        // Fails only when there is nothing to clear.
        self.0.read().unwrap_or(0)
    }
}

/// What stands for the eventfd in the model.
#[cfg(loom)]
struct Signal(loom::sync::Mutex<u64>, loom::sync::Condvar);

#[cfg(loom)]
impl Signal {
    fn new() -> io::Result<Self> {
        Ok(Self(loom::sync::Mutex::new(0), loom::sync::Condvar::new()))
    }
    fn raise(&self) {
        *crate::sync::lock(&self.0) += 1;
        self.1.notify_one();
    }
    fn clear(&self) -> u64 {
        std::mem::take(&mut *crate::sync::lock(&self.0))
    }
    #[cfg(test)]
    fn wait(&self) {
        let mut raised = crate::sync::lock(&self.0);
        while *raised == 0 {
            raised = self.1.wait(raised).unwrap();
        }
    }
}

/// `RUSTFLAGS="--cfg loom" cargo test -p base --lib --release loom`. A lost wake-up is a deadlock, which loom reports.
#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::{Arc, atomic::AtomicU64};
    use loom::thread;

    fn run(writers: u64, each: u64) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let waker = Arc::new(Waker::new().unwrap());
            let work = Arc::new(AtomicU64::new(0));
            let writer = |_| {
                let (waker, work) = (waker.clone(), work.clone());
                thread::spawn(move || {
                    for _ in 0..each {
                        work.fetch_add(1, Ordering::Release);
                        waker.wake();
                    }
                })
            };
            let threads: Vec<_> = (0..writers).map(writer).collect();
            let mut done = 0;
            while done < writers * each {
                let seen = work.load(Ordering::Acquire);
                if seen > done {
                    done = seen;
                } else if waker.prepare_sleep(|| work.load(Ordering::Acquire) == done) {
                    waker.signal.wait();
                    waker.awake();
                }
            }
            threads.into_iter().for_each(|t| t.join().unwrap());
        });
    }

    #[test]
    fn loom_one_writer_two_items() {
        run(1, 2);
    }

    #[test]
    fn loom_two_writers() {
        run(2, 1);
    }
}
