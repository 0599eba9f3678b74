//! Management's side of the datapath: workers, ports and their queues, limits, statistics, dumps.
//!
//! Commands go to workers by ring and are answered by events; [`Control::poll`] collects the answers. Nothing here waits.
//! Receive queues move between workers in [`queues`]; workers come and go in [`crew`].

mod crew;
mod queues;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use base::ring::{Ring, Waker};
use dpif::{DropReason, PortNo, RecircId, Translate};
use packet::Frame;
use packet::device::{RxQueue, TxQueue};

use crate::cache::flows::Limits;
use crate::stats::{Fates, PortCounters, TxCounters, WorkerCounters, add_drops};
#[cfg(doc)]
use crate::tap;
use crate::tap::{Capture, Selection, Tap};
use crate::tx::{MAX_PORTS, SharedTx, Sink};
use crate::worker::{Answer, Command, Event, Link};
pub use crate::worker::{Megaflow, Order, Wanted};
use queues::Home;
pub use queues::QueueView;

/// Commands and events that fit in a ring.
const RING: usize = 1024;
/// Frames on their way to one worker.
const HANDOFFS: usize = 4096;

/// Number of a worker, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub usize);

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// A capture under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaptureId(pub u64);

/// The queues of a port. With fewer transmit queues than workers, workers share them.
#[derive(Default)]
pub struct Queues {
    pub rx: Vec<Box<dyn RxQueue>>,
    pub tx: Vec<Box<dyn TxQueue>>,
}

/// Which workers serve a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// All of the pinned ones.
    Fast,
    /// One worker; the others hand it frames by ring.
    Only(WorkerId),
}

/// Why a port could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// There is a port of this number, or one is being removed.
    Exists,
    /// The number is not below [`MAX_PORTS`].
    OutOfRange,
    /// No worker can serve it.
    NoWorker,
}

impl std::fmt::Display for AddError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AddError::Exists => "port number in use",
            AddError::OutOfRange => "port number out of range",
            AddError::NoWorker => "no worker for the port",
        })
    }
}

impl std::error::Error for AddError {}

/// What happened since the last poll.
pub enum Happened {
    /// No worker holds the port's queues or frames for it any more; the queues may be closed.
    Removed { port: PortNo, queues: Queues },
    /// A flush, a collection or a synchronisation is done on all workers.
    Done(Ticket),
    /// The megaflows of all workers that were asked for.
    Megaflows(Ticket, Vec<Megaflow>),
    /// A worker that was to retire has nothing any more; its thread may end.
    Retired(WorkerId),
}

struct Port {
    serve: Serve,
    /// By worker, of all that ever received on it.
    rx: BTreeMap<usize, Arc<PortCounters>>,
    /// Receive queues by number.
    queues: BTreeMap<u32, Home>,
    tx: Vec<Way>,
    /// Sinks of workers that retired.
    spare: Vec<Sink>,
    /// The removal under way.
    removing: Option<u64>,
}

impl Port {
    /// Workers that have a sink of it rather than reach it by ring.
    fn owners(&self) -> impl Iterator<Item = usize> {
        self.tx.iter().filter(|way| way.current && way.via.is_none()).map(|way| way.worker)
    }

    /// The record of a worker that sends to the port from now on by a sink, or by the ring of another.
    fn way(&mut self, worker: usize, via: Option<usize>) -> Arc<TxCounters> {
        self.tx.iter_mut().filter(|way| way.worker == worker).for_each(|way| way.current = false);
        let known = self.tx.iter_mut().find(|way| way.worker == worker && way.via.is_none() == via.is_none());
        if let Some(way) = known {
            (way.current, way.via) = (true, via);
            return way.counters.clone();
        }
        let counters = Arc::new(TxCounters::default());
        self.tx.push(Way { worker, via, counters: counters.clone(), current: true });
        counters
    }
}

/// How a worker sends to a port, or did.
struct Way {
    worker: usize,
    /// The worker whose ring it uses; None for a sink of its own.
    via: Option<usize>,
    counters: Arc<TxCounters>,
    current: bool,
}

/// A port's figures, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortFigures {
    pub fates: Fates,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_dropped: u64,
    pub tx_errors: u64,
    /// What the port asked of others' share: see [`PortCounters`].
    pub misses: u64,
    pub over_budget: u64,
    pub masks_capped: u64,
    pub evictions: u64,
}

/// A request and what of it is still to come.
struct Request {
    waiting: usize,
    kind: Kind,
}

enum Kind {
    Done,
    Dump(Vec<Megaflow>),
    /// Removal, first step: nobody receives on the port and nobody but owners sends to it.
    Quiet(PortNo, Vec<(u32, Box<dyn RxQueue>)>, Vec<Sink>),
    /// Second step: the owners are done with it too.
    Owners(PortNo, Vec<(u32, Box<dyn RxQueue>)>, Vec<Sink>),
    /// A receive queue on its way between workers.
    Move(PortNo, u32, Option<Box<dyn RxQueue>>),
    /// A worker's sink for a port, to be shared with another worker.
    Share(PortNo, usize, Option<SharedTx>),
    /// Nobody sends by the ring of a worker any more.
    Unreached(usize),
    /// The sink that a retiring worker had for a port.
    Release(PortNo, Option<Sink>),
    /// The last word of a retiring worker.
    Retire(usize),
}

/// Management's handle. One thread owns it.
pub struct Control {
    translate: Arc<dyn Translate>,
    links: Vec<Link>,
    fast: Vec<usize>,
    events: Arc<Ring<Event>>,
    ports: BTreeMap<PortNo, Port>,
    requests: HashMap<u64, Request>,
    tickets: u64,
    limits: Limits,
    seed: u64,
    /// Commands that found a worker's ring full, in order.
    backlog: Vec<(usize, Command)>,
    next_queue: usize,
    ticks: fn() -> u64,
    vlan_limit: Option<u8>,
    /// Queues of new ports wait for [`place`](Control::place).
    hold: bool,
    /// Where each worker is in its life, by number.
    lives: Vec<crew::Life>,
    /// Ports to remove when no worker is about to give back its sinks.
    deferred: Vec<PortNo>,
}

impl Control {
    /// A datapath without workers and ports. `seed` keeps hashes from being guessed. Fails when out of descriptors.
    pub fn new(translate: Arc<dyn Translate>, limits: Limits, seed: u64) -> io::Result<Control> {
        Ok(Control {
            translate,
            links: Vec::new(),
            fast: Vec::new(),
            events: Arc::new(Ring::new(RING)?),
            ports: BTreeMap::new(),
            requests: HashMap::new(),
            tickets: 0,
            limits,
            seed,
            backlog: Vec::new(),
            next_queue: 0,
            ticks: || 0,
            vlan_limit: None,
            hold: false,
            lives: Vec::new(),
            deferred: Vec::new(),
        })
    }

    /// Workers made from now on measure their work by this cycle counter. Without, all cycles are 0.
    pub fn measure(&mut self, ticks: fn() -> u64) {
        self.ticks = ticks;
    }

    /// Signals when there are events to [`poll`](Self::poll).
    pub fn waker(&self) -> &Arc<Waker> {
        self.events.waker()
    }

    /// Announces a wait for the waker; false when an event is there already. See [`base::ring`].
    pub fn prepare_sleep(&self) -> bool {
        self.events.prepare_sleep()
    }

    /// Names of the workers by number, with their counters; also those that retired, since what they counted counts.
    pub fn workers(&self) -> impl Iterator<Item = (WorkerId, &str, &WorkerCounters)> {
        self.links.iter().map(|l| (WorkerId(l.id), &*l.name, &*l.counters))
    }

    /// Frames waiting in a worker's ring from others, and how many it refused.
    pub fn handoffs(&self, worker: WorkerId) -> (usize, u64) {
        self.links.get(worker.0).map_or((0, 0), |l| (l.handoffs.len(), l.handoffs.full()))
    }

    fn send(&mut self, worker: usize, command: Command) {
        let Some(link) = self.links.get(worker) else { return };
        if self.backlog.iter().any(|(w, _)| *w == worker) {
            self.backlog.push((worker, command));
        } else if let Err(command) = link.commands.push(command) {
            self.backlog.push((worker, command));
        }
    }

    /// Lets `worker` send to `port` by the ring of `owner`.
    fn reach(&mut self, port: PortNo, worker: usize, owner: usize) {
        let (Some(link), Some(p)) = (self.links.get(owner), self.ports.get_mut(&port)) else { return };
        let counters = p.way(worker, Some(owner));
        let sink = Sink::Remote(link.handoffs.clone(), packet::device::TxCaps::ALL);
        self.send(worker, Command::AddTx { port, sink, counters });
    }

    /// Adds a port; workers take it up with their next loop. Receive queues are dealt out in turn,
    /// unless they wait to be placed ([`hold`](Self::hold)).
    pub fn add_port(&mut self, port: PortNo, queues: Queues, serve: Serve) -> Result<(), (AddError, Queues)> {
        if port.0 >= MAX_PORTS {
            return Err((AddError::OutOfRange, queues));
        }
        if self.ports.contains_key(&port) {
            return Err((AddError::Exists, queues));
        }
        let servers: Vec<usize> = match serve {
            Serve::Fast => self.fast.clone(),
            Serve::Only(worker) => self.links.get(worker.0).map(|l| l.id).into_iter().collect(),
        };
        if servers.is_empty() {
            return Err((AddError::NoWorker, queues));
        }
        let homes = (0..).zip(queues.rx.into_iter().map(Home::new)).collect();
        let new = Port { serve, rx: BTreeMap::new(), queues: homes, tx: Vec::new(), spare: Vec::new(), removing: None };
        let numbers: Vec<u32> = new.queues.keys().copied().collect();
        self.ports.insert(port, new);
        self.add_sinks(port, queues.tx, &servers);
        if self.hold && serve == Serve::Fast {
            return Ok(());
        }
        for number in numbers {
            let worker = servers.get(self.next_queue % servers.len()).copied().unwrap_or(0);
            self.next_queue += 1;
            self.place(port, number, Some(WorkerId(worker)));
        }
        Ok(())
    }

    fn add_sinks(&mut self, port: PortNo, tx: Vec<Box<dyn TxQueue>>, servers: &[usize]) {
        let mut sinks: Vec<Sink> = Vec::new();
        if tx.len() >= servers.len() {
            sinks.extend(tx.into_iter().map(Sink::Own));
        } else if !tx.is_empty() {
            let shared: Vec<_> = tx.into_iter().map(|queue| Arc::new(Mutex::new(queue))).collect();
            sinks.extend((0..servers.len()).filter_map(|i| shared.get(i % shared.len()).cloned()).map(Sink::Shared));
        }
        let mut sinks = sinks.into_iter();
        for worker in servers {
            let (Some(sink), Some(p)) = (sinks.next(), self.ports.get_mut(&port)) else { return };
            let counters = p.way(*worker, None);
            self.send(*worker, Command::AddTx { port, sink, counters });
        }
        if let Some(p) = self.ports.get_mut(&port) {
            p.spare.extend(sinks);
        }
        let Some(owner) = servers.first().copied() else { return };
        for worker in self.alive().filter(|w| !servers.contains(w)).collect::<Vec<_>>() {
            self.reach(port, worker, owner);
        }
    }

    /// Removes a port; [`Happened::Removed`] follows. False when there is none, or it is being removed.
    pub fn remove_port(&mut self, port: PortNo) -> bool {
        if self.releases() && self.ports.get(&port).is_some_and(|p| p.removing.is_none()) {
            let new = !self.deferred.contains(&port);
            self.deferred.extend(new.then_some(port));
            return new;
        }
        self.tickets += 1;
        let ticket = self.tickets;
        let lives = &self.lives;
        let alive = |w: &usize| lives.get(*w).is_some_and(|life| life.works());
        let Some(p) = self.ports.get_mut(&port).filter(|p| p.removing.is_none()) else { return false };
        p.removing = Some(ticket);
        let receivers: Vec<usize> = p.rx.keys().copied().filter(alive).collect();
        let by_ring = |way: &&Way| way.current && way.via.is_some();
        let others: Vec<usize> = p.tx.iter().filter(by_ring).map(|way| way.worker).filter(alive).collect();
        let mut idle = Vec::new();
        let moving = queues::collect(&mut p.queues, &mut idle);
        let waiting = receivers.len() + others.len() + moving;
        self.requests.insert(ticket, Request { waiting, kind: Kind::Quiet(port, idle, Vec::new()) });
        for worker in receivers {
            self.send(worker, Command::RemoveRx { port, ticket });
        }
        for worker in others {
            self.send(worker, Command::RemoveTx { port, ticket });
        }
        true
    }

    fn request(&mut self, waiting: usize, kind: Kind) -> u64 {
        self.tickets += 1;
        self.requests.insert(self.tickets, Request { waiting, kind });
        self.tickets
    }

    fn ask_all(&mut self, kind: Kind, command: impl Fn(u64) -> Command) -> Ticket {
        let workers: Vec<usize> = self.alive().collect();
        let ticket = self.request(workers.len(), kind);
        for worker in workers {
            self.send(worker, command(ticket));
        }
        Ticket(ticket)
    }

    /// Sends a frame of management's own: it goes on where translation `recirc` stopped. No port received it, so it is in no
    /// port's account.
    pub fn inject(&mut self, frame: Frame, recirc: RecircId) {
        let first = self.alive().next();
        if let Some(worker) = first {
            self.send(worker, Command::Inject { frame, recirc });
        }
    }

    /// Removes all megaflows.
    pub fn flush(&mut self) -> Ticket {
        self.ask_all(Kind::Done, |ticket| Command::Flush { ticket })
    }

    /// Folds what megaflows counted into their rules' statistics.
    pub fn collect(&mut self) -> Ticket {
        self.ask_all(Kind::Done, |ticket| Command::Collect { ticket })
    }

    /// Answers when all workers have executed everything sent before.
    pub fn sync(&mut self) -> Ticket {
        self.ask_all(Kind::Done, |ticket| Command::Sync { ticket })
    }

    /// Asks for megaflows. Those of a worker that wants the best come in no order.
    pub fn dump(&mut self, wanted: Wanted) -> Ticket {
        let wanted = Arc::new(wanted);
        self.ask_all(Kind::Dump(Vec::new()), |ticket| Command::Dump { ticket, wanted: wanted.clone() })
    }

    /// Starts a capture. Workers that are made later take no part in it. Captures beyond [`tap::MOST`] copy nothing: the
    /// caller sees to that.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn tap(&mut self, selection: Selection) -> io::Result<(CaptureId, Capture)> {
        let (capture, lanes) = Capture::new(self.alive())?;
        self.tickets += 1;
        let id = self.tickets;
        for lane in lanes {
            self.send(lane.worker(), Command::Tap(Tap::new(id, selection.clone(), lane)));
        }
        Ok((CaptureId(id), capture))
    }

    /// Ends a capture; when it is done all copies are with its reader.
    pub fn untap(&mut self, id: CaptureId) -> Ticket {
        self.ask_all(Kind::Done, |ticket| Command::Untap { id: id.0, ticket })
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Changes the limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        for worker in self.alive().collect::<Vec<_>>() {
            self.send(worker, Command::Limits(limits));
        }
    }

    /// How many VLAN tags keys have (`other_config:vlan-limit`); flushes.
    pub fn set_vlan_limit(&mut self, limit: u8) {
        self.vlan_limit = Some(limit);
        for worker in self.alive().collect::<Vec<_>>() {
            self.send(worker, Command::VlanLimit(limit));
        }
    }

    /// Takes in what workers answered.
    pub fn poll(&mut self) -> Vec<Happened> {
        let mut happened = Vec::new();
        let backlog = std::mem::take(&mut self.backlog);
        for (worker, command) in backlog {
            self.send(worker, command);
        }
        // requests without anyone to wait for
        let ready: Vec<u64> = self.requests.iter().filter(|(_, r)| r.waiting == 0).map(|(t, _)| *t).collect();
        for ticket in ready {
            self.finish(ticket, &mut happened);
        }
        while let Some(event) = self.events.pop() {
            self.event(event, &mut happened);
        }
        self.retirements();
        happened
    }

    fn event(&mut self, event: Event, happened: &mut Vec<Happened>) {
        let Some(request) = self.requests.get_mut(&event.ticket) else { return };
        let mut part = false;
        match (event.answer, &mut request.kind) {
            (Answer::Megaflows(flows), Kind::Dump(all)) => {
                all.extend(flows);
                part = true;
            }
            (Answer::Rx(queues), Kind::Quiet(_, rx, _) | Kind::Owners(_, rx, _)) => rx.extend(queues),
            (Answer::Rx(mut queues), Kind::Move(.., queue)) => *queue = queues.pop().map(|(_, queue)| queue),
            (Answer::Tx(Some(sink)), Kind::Quiet(.., tx) | Kind::Owners(.., tx)) => tx.push(sink),
            (Answer::Tx(sink), Kind::Release(_, slot)) => *slot = sink,
            (Answer::Shared(shared), Kind::Share(.., slot)) => *slot = shared,
            _ => {}
        }
        if !part {
            request.waiting = request.waiting.saturating_sub(1);
            if request.waiting == 0 {
                self.finish(event.ticket, happened);
            }
        }
    }

    fn finish(&mut self, ticket: u64, happened: &mut Vec<Happened>) {
        let Some(request) = self.requests.remove(&ticket) else { return };
        match request.kind {
            Kind::Done => happened.push(Happened::Done(Ticket(ticket))),
            Kind::Dump(flows) => happened.push(Happened::Megaflows(Ticket(ticket), flows)),
            Kind::Quiet(port, rx, tx) => {
                let owners: Vec<usize> = self.ports.get(&port).map(|p| p.owners().collect()).unwrap_or_default();
                let none = owners.is_empty();
                let next = self.request(owners.len(), Kind::Owners(port, rx, tx));
                for worker in owners {
                    self.send(worker, Command::RemoveTx { port, ticket: next });
                }
                if none {
                    self.finish(next, happened);
                }
            }
            Kind::Owners(port, mut rx, mut tx) => {
                if let Some(gone) = self.ports.remove(&port) {
                    tx.extend(gone.spare);
                }
                // no worker sends there any more, and another port may get the number
                let counters = self.ports.values().flat_map(|p| p.rx.values());
                counters.for_each(|c| c.sent_to.clear(port.0));
                rx.sort_by_key(|(number, _)| *number);
                let rx = rx.into_iter().map(|(_, queue)| queue).collect();
                happened.push(Happened::Removed { port, queues: Queues { rx, tx: take_queues(tx) } });
            }
            Kind::Move(port, number, queue) => {
                if let Some(removal) = self.moved(port, number, queue) {
                    self.finish(removal, happened);
                }
            }
            Kind::Share(port, to, shared) => self.shared(port, to, shared),
            Kind::Release(port, sink) => {
                if let (Some(p), Some(sink)) = (self.ports.get_mut(&port), sink) {
                    p.spare.push(sink);
                }
            }
            Kind::Unreached(worker) => self.set_life(worker, crew::Life::Unreached),
            Kind::Retire(worker) => {
                self.set_life(worker, crew::Life::Retired);
                happened.push(Happened::Retired(WorkerId(worker)));
            }
        }
    }

    /// The ports there are.
    pub fn ports(&self) -> impl Iterator<Item = (PortNo, Serve)> {
        self.ports.iter().map(|(no, p)| (*no, p.serve))
    }

    /// A port's figures, all workers together.
    pub fn port_figures(&self, port: PortNo) -> Option<PortFigures> {
        let p = self.ports.get(&port)?;
        let mut sum = PortFigures::default();
        for c in p.rx.values() {
            sum.fates.add(c);
            sum.misses += c.misses.get();
            sum.over_budget += c.over_budget.get();
            sum.masks_capped += c.masks_capped.get();
            sum.evictions += c.evictions.get();
        }
        // frames that went through another worker's ring were counted by both: the owners count what was sent
        for Way { via, counters: c, .. } in &p.tx {
            if via.is_none() {
                sum.tx_packets += c.packets.get();
                sum.tx_bytes += c.bytes.get();
            }
            sum.tx_dropped += c.dropped.get();
            sum.tx_errors += c.errors.get();
        }
        Some(sum)
    }

    /// Who sends to whom: packets from one port to another, copies included, all workers together. A packet that goes by
    /// the ring of another worker counts when the ring takes it.
    pub fn matrix(&self) -> BTreeMap<(PortNo, PortNo), u64> {
        let mut sum = BTreeMap::new();
        for (from, port) in &self.ports {
            for (to, packets) in port.rx.values().flat_map(|c| c.sent_to.iter()) {
                *sum.entry((*from, PortNo(to))).or_default() += packets;
            }
        }
        sum
    }

    /// All workers' fates together.
    pub fn totals(&self) -> Fates {
        let mut sum = Fates::default();
        for link in &self.links {
            let c = &link.counters;
            sum.received += c.received.get();
            sum.forwarded += c.forwarded.get();
            sum.consumed += c.consumed.get();
            add_drops(&mut sum.dropped, &c.dropped);
        }
        for port in self.ports.values() {
            for c in port.rx.values() {
                sum.received_bytes += c.received_bytes.get();
                sum.parked += c.parked.get();
            }
        }
        sum
    }

    /// Dropped packets by reason, all workers together.
    pub fn drops(&self) -> Vec<(DropReason, u64)> {
        self.totals().dropped
    }
}

/// The queues of sinks that workers gave back; a shared one when its last holder gave it back.
fn take_queues(sinks: Vec<Sink>) -> Vec<Box<dyn TxQueue>> {
    let mut queues = Vec::new();
    for sink in sinks {
        match sink {
            Sink::Own(queue) => queues.push(queue),
            Sink::Shared(shared) => {
                if let Some(queue) = Arc::into_inner(shared) {
                    queues.push(queue.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
                }
            }
            Sink::Remote(..) => {}
        }
    }
    queues
}
