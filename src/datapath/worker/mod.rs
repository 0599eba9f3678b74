//! A worker: receives bursts, finds each packet's megaflow, runs its actions, transmits; alone with its caches.
//!
//! [`Worker::step`] is one loop; whoever owns the worker calls it again and again with the time: a pinned thread, a
//! thread that sleeps on its descriptors in between, or management itself in deterministic mode.

mod batch;
mod command;
mod dump;
mod lookup;
mod plain;
mod stale;
mod sweep;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_order;
#[cfg(test)]
mod tests_shown;
mod turns;
#[cfg(test)]
mod twin;
mod walk;

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use base::clock::Instant;
use base::limit::RateLimit;
use base::ring::Ring;
use dpif::{DropReason, PortNo, Reader, Translation};
use flow::extract::Layers;
use flow::{Flow, Key};
use packet::device::RxQueue;

use crate::action::Out;
use crate::cache::flows::{Flows, Limits};
use crate::fate::Fates;
use crate::meta::Waiting;
use crate::stats::{PortCounters, QueueCounters, WorkerCounters};
use crate::tx::{Handoff, Tx};
use batch::Batch;
pub use command::Megaflow;
pub(crate) use command::{Answer, Command, Event};
pub use dump::{Order, Wanted};
use turns::{Round, Turn};

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Packets received, taken from other workers, or that had waited.
    pub packets: u32,
    /// Commands executed.
    pub commands: u32,
    /// Places for megaflows looked at other than for packets; bounded in each step.
    pub visited: u32,
    /// Packets of the largest burst.
    pub largest: u32,
    /// Something is left that the next step goes on with, whether packets come or not: don't sleep.
    pub more: bool,
}

impl Work {
    /// Nothing was done and nothing is left.
    pub fn is_idle(&self) -> bool {
        self.packets == 0 && self.commands == 0 && !self.more
    }
}

struct Rx {
    port: PortNo,
    slot: u16,
    number: u32,
    queue: Box<dyn RxQueue>,
    received: Arc<QueueCounters>,
    /// Packets of this step.
    got: u32,
    turn: Turn,
    /// Receiving copies.
    copies: bool,
}

impl Rx {
    #[inline(always)]
    fn count(&mut self, n: u32, cycles: u64, worker: &WorkerCounters) {
        self.got = n;
        self.received.cycles.add(cycles);
        worker.packet_cycles.add(u64::from(cycles as u32 / n.max(1)), u64::from(n), cycles);
    }
}

/// What other threads know of a worker.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) id: usize,
    pub(crate) name: Arc<str>,
    pub(crate) commands: Arc<Ring<Command>>,
    pub(crate) handoffs: Arc<Ring<Handoff>>,
    pub(crate) events: Arc<Ring<Event>>,
    pub(crate) counters: Arc<WorkerCounters>,
    /// Reads a cycle counter.
    pub(crate) ticks: fn() -> u64,
}

/// A worker. Made by [`crate::Control::add_worker`].
pub struct Worker {
    link: Link,
    rx: Vec<Rx>,
    batch: Box<Batch>,
    core: Core,
    /// Events that found the ring full.
    outbox: VecDeque<Event>,
    walks: walk::Walks,
    leaving: Vec<command::Leaving>,
    /// Ticks at the end of the last step.
    last: u64,
}

/// All but the receive side: what works on packets.
pub(crate) struct Core {
    pub(crate) flows: Flows,
    pub(crate) out: Out,
    translation: Translation,
    key: Box<Key>,
    layers: Layers,
    flow: Box<Flow>,
    /// Frames that wait for translation, by slot.
    park: Vec<VecDeque<Waiting>>,
    parked: usize,
    /// Frames that ever left the park queue, by slot.
    unparked: Vec<u64>,
    /// Translations left in this step, by slot.
    budget: Vec<u32>,
    /// The version that the reader shows.
    version: u64,
    now: Instant,
    sweep: sweep::Sweep,
    ticks: fn() -> u64,
    /// Ticks that translations took since a queue's turn began.
    missing: u64,
    /// Of lines about new megaflows, where they are asked for.
    told: RateLimit,
    /// Ticks that parked packets took in this step, and of these the ones in translations, by slot.
    owed: Vec<(u64, u64)>,
}

impl Worker {
    pub(crate) fn new(link: Link, mut reader: Box<dyn Reader>, limits: Limits, seed: u64) -> io::Result<Worker> {
        let version = reader.refresh();
        let fates = Fates::new(link.counters.clone(), link.ticks);
        let core = Core {
            flows: Flows::new(limits, seed)?,
            out: Out::new(Tx::new(fates), reader),
            translation: Translation::default(),
            key: Box::default(),
            layers: Layers::default(),
            flow: Box::default(),
            park: Vec::new(),
            parked: 0,
            unparked: Vec::new(),
            budget: Vec::new(),
            version,
            now: Instant::ZERO,
            sweep: sweep::Sweep::default(),
            ticks: link.ticks,
            missing: 0,
            told: RateLimit::new(600, 600),
            owed: Vec::new(),
        };
        let last = (link.ticks)();
        Ok(Worker {
            link,
            rx: Vec::new(),
            batch: Batch::new(),
            core,
            outbox: VecDeque::new(),
            walks: walk::Walks::default(),
            leaving: Vec::new(),
            last,
        })
    }

    /// Its name, for threads and logs.
    pub fn name(&self) -> &str {
        &self.link.name
    }

    /// Runs one loop: commands, parked packets, a burst of each receive queue, packets of other workers, a slice of the
    /// sweep, transmission, and at last the newest version.
    pub fn step(&mut self, now: Instant) -> Work {
        // what unwinds leaves counters and queues whole; the frames in hand are gone, and `recover` counts them
        catch_unwind(AssertUnwindSafe(|| self.run(now))).unwrap_or_else(|_| {
            self.recover();
            Work { more: true, ..Work::default() }
        })
    }

    fn run(&mut self, now: Instant) -> Work {
        let mut work = Work::default();
        self.core.now = now;
        self.link.counters.steps.add(1);
        if let Some(taps) = &mut self.core.out.tx.fates.taps {
            taps.begin(now.as_nanos(), self.core.out.vlan_limit);
        }
        if !self.link.commands.is_empty() || !self.outbox.is_empty() {
            work.commands = self.commands();
            // what brought a port was preceded by the tables that know it
            self.core.version = self.core.out.reader.refresh();
        }
        self.core.budget.fill(self.core.flows.limits.translations);
        if self.core.parked != 0 {
            work.packets += self.core.serve_parked();
            self.charge_parked();
        }
        let ticks = self.core.ticks;
        let mut at = if work.is_idle() { self.last } else { ticks() };
        let mut received = 0;
        let mut round = match &self.rx[..] {
            [_] | [] => Round::alone(),
            several => Round::new(several.iter().map(|rx| &rx.turn)),
        };
        let (competing, slots) = (round.is_shared(), self.core.out.tx.fates.ports.len());
        let guests = self.rx.iter().filter(|rx| rx.copies).map(|rx| (rx.port, rx.slot));
        self.core.out.tx.fates.sending.begin(competing, slots, guests);
        for rx in &mut self.rx {
            if !round.is_due(&rx.turn) {
                rx.received.passed_over.add(1);
                work.more = true;
                continue;
            }
            let n = rx.queue.receive(&mut self.batch.burst);
            let mut copying = 0;
            if n != 0 {
                received += n as u32;
                if competing && rx.copies {
                    copying = ticks().saturating_sub(at);
                }
                work.largest = work.largest.max(n as u32);
                self.core.process(&mut self.batch, rx.slot, &rx.received);
                self.core.recirculated();
            }
            let after = ticks();
            let took = after.saturating_sub(at);
            if n != 0 {
                rx.count(n as u32, took, &self.link.counters);
                // what was sent meanwhile is owed by those whose packets it was
                let sending = &mut self.core.out.tx.fates.sending;
                let own = took.saturating_sub(sending.taken());
                sending.received(rx.slot, n as u64, own, copying);
                round.took(&mut rx.turn, n, own, std::mem::take(&mut self.core.missing));
            } else {
                round.took(&mut rx.turn, 0, 0, 0);
            }
            at = after;
        }
        if self.rx.len() > 1 && round.is_contended() {
            self.rx.sort_unstable_by_key(|rx| rx.turn.place());
        }
        work.packets += received;
        if !self.link.handoffs.is_empty() {
            work.packets += self.take_handoffs();
        }
        let idle = work.packets == 0;
        work.visited = self.core.sweep(now, idle);
        if !self.walks.is_empty() {
            work.visited += self.walk(now, idle);
        }
        self.core.out.tx.flush();
        if competing {
            let sending = &mut self.core.out.tx.fates.sending;
            sending.settle();
            for rx in &mut self.rx {
                rx.turn.settle(sending.due(rx.slot, rx.got.into()));
            }
        }
        if let Some(taps) = &mut self.core.out.tx.fates.taps {
            taps.end(false);
        }
        if !self.leaving.is_empty() {
            self.leave();
            work.more |= !self.leaving.is_empty();
        }
        self.core.version = self.core.out.reader.refresh();
        work.more |=
            self.core.parked != 0 || !self.walks.is_empty() || !self.outbox.is_empty() || self.core.sweep.is_behind();
        self.account(&work, received, at);
        work
    }

    /// What parked packets took is their queues' time, not that of whoever is next.
    #[inline(never)]
    fn charge_parked(&mut self) {
        for rx in &mut self.rx {
            let owed = self.core.owed.get_mut(usize::from(rx.slot)).map(std::mem::take).unwrap_or_default();
            rx.received.cycles.add(owed.0);
            rx.turn.owe(owed.0, owed.1);
        }
    }

    /// Says whose the cycles of a step were. `received` packets came by its queues, the last of which was done at `at`.
    #[inline(always)]
    fn account(&mut self, work: &Work, received: u32, at: u64) {
        let end = (self.core.ticks)();
        let whole = end.saturating_sub(std::mem::replace(&mut self.last, end));
        let counters = &self.link.counters;
        if work.packets == 0 {
            counters.idle_cycles.add(whole);
            return;
        }
        counters.busy_cycles.add(whole);
        counters.busy_steps.add(1);
        if received == 0 {
            return;
        }
        // transmission is shared among the queues by their packets
        let rest = end.saturating_sub(at);
        for rx in &mut self.rx {
            let got = std::mem::take(&mut rx.got);
            if got == received {
                rx.received.cycles.add(rest);
            } else if got != 0 {
                rx.received.cycles.add(rest * u64::from(got) / u64::from(received));
            }
        }
    }

    /// Frames for ports of this worker, from others. Their fate was settled there.
    #[inline(never)]
    fn take_handoffs(&mut self) -> u32 {
        let mut n = 0;
        for Handoff { port, frame } in self.link.handoffs.drain(256) {
            self.core.out.tx.output(port.0, frame, crate::fate::ELSEWHERE);
            n += 1;
        }
        n
    }

    /// After a panic: every packet that is neither settled nor somewhere in a queue is gone.
    #[cold]
    fn recover(&mut self) {
        self.batch.clear();
        self.core.out.work.clear();
        self.link.counters.panics.add(1);
        let slots = self.core.out.tx.fates.ports.len();
        for slot in 0..slots as u16 {
            let lost = self.core.unsettled(slot);
            self.core.out.tx.fates.dropped(slot, DropReason::Internal, lost);
        }
    }

    /// The descriptors to sleep on: those of receive queues that have one. The ring's waker comes on top.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.rx.iter().filter_map(|rx| rx.queue.fd()).collect()
    }

    /// Whether every receive queue can wake a sleeping thread.
    pub fn can_sleep(&self) -> bool {
        self.rx.iter().all(|rx| rx.queue.fd().is_some())
    }

    /// Wakes the worker when a command or a packet of another worker comes.
    pub fn waker(&self) -> &Arc<base::ring::Waker> {
        self.link.commands.waker()
    }

    /// Says that the thread is about to sleep: barriers don't wait for it. False when there is something to do. After
    /// the sleep comes [`awake`](Self::awake).
    pub fn prepare_sleep(&mut self) -> bool {
        let (commands, handoffs) = (&self.link.commands, &self.link.handoffs);
        if !commands.waker().prepare_sleep(|| commands.is_empty() && handoffs.is_empty()) {
            return false;
        }
        if let Some(taps) = &mut self.core.out.tx.fates.taps {
            taps.end(true);
        }
        self.core.out.reader.offline();
        true
    }

    /// Counts a sleep.
    pub fn slept(&self, time: std::time::Duration) {
        self.link.counters.sleeps.add(1);
        self.link.counters.slept.add(time.as_nanos() as u64);
    }

    /// The thread woke up, for whatever reason.
    pub fn awake(&mut self) {
        self.link.commands.waker().awake();
        let now = (self.core.ticks)();
        self.link.counters.idle_cycles.add(now.saturating_sub(std::mem::replace(&mut self.last, now)));
        self.core.version = self.core.out.reader.refresh();
    }
}

impl Core {
    /// Packets of a slot that were received and not settled, nor wait anywhere.
    fn unsettled(&self, slot: u16) -> u64 {
        let Some(Some(port)) = self.out.tx.fates.ports.get(usize::from(slot)) else { return 0 };
        let port: &PortCounters = port;
        let settled = port.forwarded.get() + port.consumed.get() + port.dropped.iter().map(|d| d.get()).sum::<u64>();
        let parked = self.park.get(usize::from(slot)).map_or(0, |q| q.iter().filter(|w| w.primary).count() as u64);
        port.received.get().saturating_sub(settled + parked + self.out.tx.buffered(slot))
    }
}
