//! What management tells a worker, and what the worker answers.

use std::collections::VecDeque;
use std::sync::Arc;

use base::clock::Instant;
use dpif::{Action, DropReason, PortNo, RecircId};
use flow::Match;
use packet::Frame;
use packet::device::RxQueue;

use super::dump::{Best, Wanted};
use super::turns::Turn;
use super::walk::Task;
use super::{Rx, Worker};
use crate::cache::flows::Limits;
use crate::cache::port::PortCache;
use crate::cache::slab::OUTPUT;
use crate::fate::ELSEWHERE;
use crate::meta::{Meta, Waiting};
use crate::stats::{PortCounters, QueueCounters, TxCounters};
use crate::tap::{Tap, Taps};
use crate::tx::{SharedTx, Sink};

/// An order. Those with a ticket are answered.
pub(crate) enum Command {
    AddRx {
        port: PortNo,
        number: u32,
        queue: Box<dyn RxQueue>,
        counters: Arc<PortCounters>,
        received: Arc<QueueCounters>,
    },
    /// Stop receiving on a port and forget its flows; its queues come back.
    RemoveRx {
        port: PortNo,
        ticket: u64,
    },
    /// Stop receiving on one queue of a port; it comes back when what was received by it went out.
    TakeRx {
        port: PortNo,
        number: u32,
        ticket: u64,
    },
    /// Let others use the queue of a port too.
    ShareTx {
        port: PortNo,
        ticket: u64,
    },
    AddTx {
        port: PortNo,
        sink: Sink,
        counters: Arc<TxCounters>,
    },
    /// Stop sending to a port; its sink comes back.
    RemoveTx {
        port: PortNo,
        ticket: u64,
    },
    Limits(Limits),
    VlanLimit(u8),
    /// Have a frame go on where a translation stopped: management's own, which no port received.
    Inject {
        frame: Frame,
        recirc: RecircId,
    },
    /// Remove all megaflows.
    Flush {
        ticket: u64,
    },
    /// Fold all counters into the rules' statistics.
    Collect {
        ticket: u64,
    },
    /// Report megaflows, some places per loop.
    Dump {
        ticket: u64,
        wanted: Arc<Wanted>,
    },
    /// Copy packets for a capture.
    Tap(Tap),
    /// Copy no more for it; what was copied is handed over before the answer.
    Untap {
        id: u64,
        ticket: u64,
    },
    /// Answer when everything before is done.
    Sync {
        ticket: u64,
    },
}

/// An answer.
pub(crate) struct Event {
    pub(crate) ticket: u64,
    pub(crate) answer: Answer,
}

pub(crate) enum Answer {
    Done,
    Rx(Vec<(u32, Box<dyn RxQueue>)>),
    Tx(Option<Sink>),
    Shared(Option<SharedTx>),
    /// Some megaflows; more come until `Done`.
    Megaflows(Vec<Megaflow>),
}

/// A megaflow as displays show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Megaflow {
    /// Its worker's number.
    pub worker: usize,
    pub in_port: PortNo,
    /// Key and mask; IN_PORT is a datapath port.
    pub matching: Match,
    /// Words of the key with the bits that the mask leaves out, as the first packet had them.
    pub whole: Box<[(u8, u64)]>,
    pub actions: Vec<Action>,
    pub packets: u64,
    pub bytes: u64,
    /// Bytes of the packet that it was made for, which is counted too.
    pub first: u64,
    /// When its last packet came; equal to `created` without packets.
    pub used: Instant,
    pub created: Instant,
    /// Packets and bytes a second of late; 0 when it has been idle.
    pub rate: (u64, u64),
    /// Why it drops, when translation gave a reason.
    pub drop: Option<DropReason>,
}

/// A receive queue that goes to another worker, as soon as the packets that it gave are gone.
pub(super) struct Leaving {
    ticket: u64,
    rx: Rx,
    /// As of [`super::Core::unparked`]: when those that are parked now have left the park queue.
    until: u64,
}

impl Worker {
    #[cold]
    pub(super) fn commands(&mut self) -> u32 {
        while let Some(event) = self.outbox.pop_front() {
            if let Err(event) = self.link.events.push(event) {
                self.outbox.push_front(event);
                break;
            }
        }
        let mut n = 0;
        while n < 16
            && let Some(command) = self.link.commands.pop()
        {
            // a queue that goes is closed when the port's last command is done, which so comes in a later loop: the thread has
            // stopped waiting for its descriptor by then
            let last = matches!(command, Command::RemoveRx { .. } | Command::TakeRx { .. });
            self.command(command);
            n += 1;
            if last {
                break;
            }
        }
        n
    }

    pub(super) fn answer(&mut self, ticket: u64, answer: Answer) {
        let event = Event { ticket, answer };
        if !self.outbox.is_empty() {
            self.outbox.push_back(event);
        } else if let Err(event) = self.link.events.push(event) {
            self.outbox.push_back(event);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::AddRx { port, number, queue, counters, received } => {
                let slot = self.core.open(port, counters);
                let turn = Turn::beside(self.rx.iter().map(|rx| &rx.turn));
                let copies = queue.copies();
                self.rx.push(Rx { port, slot, number, queue, received, got: 0, turn, copies });
            }
            Command::RemoveRx { port, ticket } => {
                let (gone, rest) = std::mem::take(&mut self.rx).into_iter().partition(|rx| rx.port == port);
                self.rx = rest;
                // those on their way elsewhere don't wait any more
                let (leaving, rest) = std::mem::take(&mut self.leaving).into_iter().partition(|l| l.rx.port == port);
                self.leaving = rest;
                let leaving: Vec<Leaving> = leaving;
                leaving.into_iter().for_each(|l| self.gone(l));
                let gone: Vec<Rx> = gone;
                let queues = gone.into_iter().map(|rx| (rx.number, rx.queue)).collect();
                match self.core.close(port) {
                    Some(slot) => self.walks.push(Task::Close(slot, ticket, queues)),
                    None => self.answer(ticket, Answer::Rx(queues)),
                }
            }
            Command::TakeRx { port, number, ticket } => {
                let Some(at) = self.rx.iter().position(|rx| rx.port == port && rx.number == number) else {
                    self.answer(ticket, Answer::Rx(Vec::new()));
                    return;
                };
                let rx = self.rx.remove(at);
                let slot = usize::from(rx.slot);
                let waiting = self.core.park.get(slot).map_or(0, |q| q.len() as u64);
                let until = self.core.unparked.get(slot).map_or(0, |n| n + waiting);
                self.leaving.push(Leaving { ticket, rx, until });
            }
            Command::ShareTx { port, ticket } => {
                let shared = self.core.out.tx.share(port);
                self.answer(ticket, Answer::Shared(shared));
            }
            Command::AddTx { port, sink, counters } => {
                // a number that is out of range never gets a port: management checks
                let _ = self.core.out.tx.add(port, sink, counters);
            }
            Command::RemoveTx { port, ticket } => {
                while let Some(handoff) = self.link.handoffs.pop() {
                    self.core.out.tx.output(handoff.port.0, handoff.frame, ELSEWHERE);
                }
                let sink = self.core.out.tx.remove(port);
                self.answer(ticket, Answer::Tx(sink));
            }
            Command::Limits(limits) => self.core.flows.set_limits(limits),
            Command::VlanLimit(limit) => {
                self.core.flows.flush();
                self.core.out.vlan_limit = limit;
            }
            Command::Inject { frame, recirc } => self.core.inject(frame, recirc.0),
            Command::Flush { ticket } => self.walks.push(Task::Remove(ticket)),
            Command::Collect { ticket } => self.walks.push(Task::Collect(vec![ticket])),
            Command::Dump { ticket, wanted } => self.walks.push(Task::Report(ticket, wanted, Best::default())),
            Command::Sync { ticket } => self.walks.push(Task::Nothing(ticket)),
            Command::Tap(tap) => {
                let (now, vlan_limit) = (self.core.now.as_nanos(), self.core.out.vlan_limit);
                let taps = &mut self.core.out.tx.fates.taps;
                taps.get_or_insert_with(|| Box::new(Taps::new(now, vlan_limit))).add(tap);
            }
            Command::Untap { id, ticket } => {
                let taps = &mut self.core.out.tx.fates.taps;
                if taps.as_mut().is_some_and(|t| t.remove(id)) {
                    *taps = None;
                }
                self.answer(ticket, Answer::Done);
            }
        }
    }

    /// Gives away the queues whose packets are gone. Transmit buffers are empty.
    #[cold]
    pub(super) fn leave(&mut self) {
        let core = &self.core;
        let done = |l: &Leaving| {
            let unparked = core.unparked.get(usize::from(l.rx.slot)).copied().unwrap_or(u64::MAX);
            // without translations nothing ever leaves the park queue
            unparked >= l.until || core.flows.limits.translations == 0
        };
        let (gone, rest) = std::mem::take(&mut self.leaving).into_iter().partition(done);
        self.leaving = rest;
        let gone: Vec<Leaving> = gone;
        gone.into_iter().for_each(|l| self.gone(l));
    }

    fn gone(&mut self, leaving: Leaving) {
        self.answer(leaving.ticket, Answer::Rx(vec![(leaving.rx.number, leaving.rx.queue)]));
    }
}

/// The port that frames of management's own have in the datapath: none that a bridge could have.
const MANAGEMENT: PortNo = PortNo(u32::MAX);

impl super::Core {
    /// Has a frame of management's own go on where a translation stopped. It was received by nobody: like a copy, it has no
    /// fate.
    fn inject(&mut self, frame: Frame, recirc_id: u32) {
        let slot = self.open(MANAGEMENT, Arc::default());
        if self.flows.port(slot).is_some_and(|p| p.version != self.version) {
            self.catch_up(slot);
        }
        let meta = Meta { recirc_id, depth: 1, ..Meta::default() };
        self.single(Waiting { frame, slot, primary: false, meta }, false);
        self.recirculated();
    }

    /// The slot of a port that frames come from, a new one if need be.
    fn open(&mut self, port: PortNo, counters: Arc<PortCounters>) -> u16 {
        if let Some(slot) = self.flows.slot(port) {
            return slot;
        }
        let free = self.flows.ports.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.flows.ports.len());
        if free.is_none() {
            self.flows.ports.push(None);
            self.out.tx.fates.ports.push(None);
            self.out.tx.fates.numbers.push(port);
            self.park.push(VecDeque::new());
            self.budget.push(0);
            self.unparked.push(0);
            self.owed.push((0, 0));
        }
        if let (Some(p), Some(f)) = (self.flows.ports.get_mut(slot), self.out.tx.fates.ports.get_mut(slot)) {
            *p = Some(Box::new(PortCache::new(port, slot as u16, self.version)));
            *f = Some(counters);
        }
        if let Some(number) = self.out.tx.fates.numbers.get_mut(slot) {
            *number = port;
        }
        slot as u16
    }

    /// Forgets a port that frames came from: its parked packets are dropped, buffers sent. Its megaflows are still to be
    /// removed from the slot.
    fn close(&mut self, port: PortNo) -> Option<u16> {
        let slot = self.flows.slot(port)?;
        let at = usize::from(slot);
        if let Some(queue) = self.park.get_mut(at) {
            self.parked -= queue.len();
            if let Some(unparked) = self.unparked.get_mut(at) {
                *unparked += queue.len() as u64;
            }
            for waiting in queue.drain(..).filter(|w| w.primary) {
                self.out.tx.fates.lost(slot, DropReason::PortGone, &waiting.frame);
            }
        }
        self.out.tx.flush();
        if let Some(port) = self.flows.ports.get_mut(at).and_then(Option::as_deref_mut) {
            port.closing = true;
        }
        if let Some(counters) = self.out.tx.fates.ports.get(at).and_then(Option::as_deref) {
            counters.parked.set(0);
        }
        Some(slot)
    }

    pub(super) fn megaflow(&self, worker: usize, index: u32) -> Option<Megaflow> {
        let hot = self.flows.slab.get(index).filter(|hot| hot.live)?;
        let cold = self.flows.slab.cold(index)?;
        let actions = if hot.action & OUTPUT != 0 {
            vec![Action::Output(PortNo(hot.action & !OUTPUT))]
        } else {
            self.flows.programs.get(hot.action)?.0.clone()
        };
        let in_port = self.flows.port((hot.line[0] >> 16) as u16)?.port;
        let mut key = cold.key.clone();
        key.set(flow::layout::IN_PORT, u128::from(in_port.0));
        Some(Megaflow {
            worker,
            in_port,
            matching: Match::new(&key, &cold.mask),
            whole: cold.whole.clone(),
            actions,
            packets: cold.packets + hot.packets,
            bytes: cold.bytes + hot.bytes,
            first: cold.first,
            used: Instant::from_nanos(hot.used),
            created: Instant::from_nanos(cold.created),
            rate: self.rate(hot, cold),
            drop: cold.drop,
        })
    }
}
