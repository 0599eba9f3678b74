//! The threads that run workers: pinned and polling, or sleeping in epoll. In deterministic mode some have none and are
//! stepped by management.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use base::clock::{Clock, Instant};
use datapath::{Work, Worker};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// The longest sleep of the slow worker: its sweep folds counters at least so often.
const NAP: Duration = Duration::from_millis(100);

/// A polling worker that got as many packets at once has no time to sleep: half a burst.
const BUSY: u32 = 16;

/// Nanoseconds that a worker's loop spent on packets and commands, and in all. Written by the worker alone.
#[derive(Debug, Default)]
pub(super) struct Load {
    busy: AtomicU64,
    total: AtomicU64,
}

impl Load {
    /// (busy, total) nanoseconds since the thread started.
    pub(super) fn get(&self) -> (u64, u64) {
        (self.busy.load(Relaxed), self.total.load(Relaxed))
    }

    fn add(&self, from: Instant, to: Instant, busy: bool) {
        let spent = to.as_nanos().saturating_sub(from.as_nanos());
        self.total.store(self.total.load(Relaxed) + spent, Relaxed);
        if busy {
            self.busy.store(self.busy.load(Relaxed) + spent, Relaxed);
        }
    }
}

/// A running worker.
pub(super) struct Thread {
    pub(super) name: String,
    pub(super) core: Option<usize>,
    pub(super) load: Arc<Load>,
    driver: Driver,
}

/// What makes a worker's loop turn.
enum Driver {
    Thread {
        stop: Arc<AtomicBool>,
        waker: Arc<base::ring::Waker>,
        handle: JoinHandle<()>,
    },
    /// Management, by [`Thread::step`].
    Management(Box<Worker>),
}

impl Thread {
    /// Starts `worker` on core `core`, polling; without a core it sleeps when it may. `enter` runs first on the new thread,
    /// and again with each loop until it returns something, which lives as long as the thread. A polling one may sleep for up
    /// to `max_sleep` microseconds when little comes.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub(super) fn start<G>(
        mut worker: Worker,
        clock: Clock,
        core: Option<usize>,
        max_sleep: Arc<AtomicU32>,
        enter: impl FnMut() -> Option<G> + Send + 'static,
    ) -> io::Result<Thread> {
        let (load, stop) = (Arc::new(Load::default()), Arc::new(AtomicBool::new(false)));
        let (name, waker) = (worker.name().to_owned(), worker.waker().clone());
        let (l, s) = (load.clone(), stop.clone());
        let handle = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let mut enter = Enter { enter, guard: None };
            enter.again();
            match core {
                Some(core) => {
                    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
                        log::warn!(target: "worker", "{}: cannot be pinned to core {core}", worker.name());
                    }
                    poll(&mut worker, &clock, &l, &max_sleep, &s, &mut enter);
                }
                None => {
                    if let Err(e) = sleep(&mut worker, &clock, &l, &s, &mut enter) {
                        log::error!(target: "worker", "{}: epoll failed, polling instead: {e}", worker.name());
                        poll(&mut worker, &clock, &l, &max_sleep, &s, &mut enter);
                    }
                }
            }
        })?;
        Ok(Thread { name, core, load, driver: Driver::Thread { stop, waker, handle } })
    }

    /// A worker without a thread, which is said to be on core `core`.
    pub(super) fn stepped(worker: Worker, core: Option<usize>) -> Thread {
        let name = worker.name().to_owned();
        Thread { name, core, load: Arc::default(), driver: Driver::Management(Box::new(worker)) }
    }

    /// Runs one loop of a worker that has no thread; what it did.
    pub(super) fn step(&mut self, now: Instant) -> Option<Work> {
        match &mut self.driver {
            Driver::Management(worker) => Some(worker.step(now)),
            Driver::Thread { .. } => None,
        }
    }

    /// Asks the thread to end and waits for it.
    pub(super) fn stop(self) {
        let Driver::Thread { stop, waker, handle } = self.driver else { return };
        stop.store(true, Relaxed);
        waker.wake();
        if handle.join().is_err() {
            log::error!(target: "worker", "{}: ended by a panic", self.name);
        }
    }
}

fn is_busy(work: &Work) -> bool {
    work.packets != 0 || work.commands != 0
}

/// What a thread does to be one of DPDK's, which may start later.
struct Enter<G, F> {
    enter: F,
    guard: Option<G>,
}

impl<G, F: FnMut() -> Option<G>> Enter<G, F> {
    #[inline]
    fn again(&mut self) {
        if self.guard.is_none() {
            self.guard = (self.enter)();
        }
    }
}

fn poll<G, F: FnMut() -> Option<G>>(
    worker: &mut Worker,
    clock: &Clock,
    load: &Load,
    max_sleep: &AtomicU32,
    stop: &AtomicBool,
    enter: &mut Enter<G, F>,
) {
    let mut nap = 0;
    let mut precise = false;
    let mut now = clock.now();
    while !stop.load(Relaxed) {
        enter.again();
        let work = worker.step(now);
        let after = clock.now();
        load.add(now, after, is_busy(&work));
        now = after;
        let most = max_sleep.load(Relaxed);
        if most == 0 {
            continue;
        }
        // as pmd-maxsleep says: a microsecond more with each loop in which little came
        nap = if work.largest >= BUSY || work.more || work.commands != 0 { 0 } else { most.min(nap + 1) };
        if nap != 0 {
            precise = precise || be_precise();
            doze(worker, nap);
            let woken = clock.now();
            load.add(now, woken, false);
            now = woken;
        }
    }
}

/// Sleeps of this thread end when they should and not 50 microseconds later, where the kernel lets it.
fn be_precise() -> bool {
    if let Err(e) = nix::sys::prctl::set_timerslack(1) {
        log::debug!(target: "worker", "sleeps are longer than asked for: {e}");
    }
    true
}

/// Sleeps for so many microseconds, or until something comes from another thread.
#[cold]
fn doze(worker: &mut Worker, micros: u32) {
    if !worker.prepare_sleep() {
        return;
    }
    let waker = worker.waker().clone();
    let mut wanted = [PollFd::new(waker.as_fd(), PollFlags::POLLIN)];
    let time = Duration::from_micros(u64::from(micros));
    // whatever woke it: the loop goes on
    let _ = ppoll(&mut wanted, Some(time.into()), None);
    worker.slept(time);
    worker.awake();
}

/// Registers descriptors by number, which the worker's queues keep open while they are registered.
struct Sleeper {
    epoll: Epoll,
    registered: Vec<RawFd>,
}

impl Sleeper {
    fn new(waker: BorrowedFd<'_>) -> io::Result<Sleeper> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(waker, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX))?;
        Ok(Sleeper { epoll, registered: Vec::new() })
    }

    /// Waits for exactly these descriptors and the waker from now on.
    fn set(&mut self, waker: BorrowedFd<'_>, descriptors: Vec<RawFd>) -> io::Result<()> {
        if descriptors == self.registered {
            return Ok(());
        }
        // A closed descriptor leaves an epoll set by itself, and its number may be in use again: start over.
        *self = Sleeper::new(waker)?;
        for fd in &descriptors {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, *fd as u64);
            nix_add(&self.epoll, *fd, event)?;
        }
        self.registered = descriptors;
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let timeout = EpollTimeout::try_from(NAP).unwrap_or(EpollTimeout::ZERO);
        match self.epoll.wait(&mut [EpollEvent::empty(); 8], timeout) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

#[expect(unsafe_code, reason = "a queue's descriptor is known by number only")]
fn nix_add(epoll: &Epoll, fd: RawFd, event: EpollEvent) -> io::Result<()> {
    // SAFETY: `Worker::descriptors` names descriptors that its receive queues hold open, and the worker is not touched
    // between that call and this one.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(epoll.add(fd, event)?)
}

fn sleep<G, F: FnMut() -> Option<G>>(
    worker: &mut Worker,
    clock: &Clock,
    load: &Load,
    stop: &AtomicBool,
    enter: &mut Enter<G, F>,
) -> io::Result<()> {
    let waker = worker.waker().clone();
    let mut sleeper = Sleeper::new(waker.as_fd())?;
    let mut now = clock.now();
    while !stop.load(Relaxed) {
        enter.again();
        let work = worker.step(now);
        let after = clock.now();
        load.add(now, after, is_busy(&work));
        now = after;
        let busy = !work.is_idle() || !worker.can_sleep();
        // at once when queues may have come or gone: one that is closed while it is still in the set is only closed when
        // this thread has let go of it, and nobody waits for that
        if !busy || work.commands != 0 {
            sleeper.set(waker.as_fd(), worker.descriptors())?;
        }
        if busy {
            continue;
        }
        if worker.prepare_sleep() {
            let slept = sleeper.wait();
            worker.awake();
            slept?;
            let woken = clock.now();
            load.add(now, woken, false);
            now = woken;
        }
    }
    Ok(())
}
