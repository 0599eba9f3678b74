//! Management's side of the datapath: workers, ports and their queues, limits, statistics, dumps.
//!
//! Commands go to workers by ring and are answered by events; [`Control::poll`] collects the answers. Nothing here waits.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use base::ring::{Ring, Waker};
use dpif::{DropReason, PortNo, Translate};
use packet::device::{RxQueue, TxQueue};

use crate::cache::flows::Limits;
use crate::stats::{Fates, PortCounters, QueueCounters, TxCounters, WorkerCounters, add_drops};
use crate::tx::{MAX_PORTS, Sink};
use crate::worker::{Answer, Command, Event, Link, Worker};
pub use crate::worker::{Megaflow, Order, Wanted};

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
}

struct Port {
    serve: Serve,
    rx: BTreeMap<usize, Arc<PortCounters>>,
    /// Receive queues by number: their worker and what came from them.
    queues: Vec<(usize, Arc<QueueCounters>)>,
    tx: BTreeMap<usize, Arc<TxCounters>>,
    /// Workers that own a sink of it rather than reach it by ring.
    owners: Vec<usize>,
    removing: bool,
}

/// A port's figures, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortFigures {
    pub fates: Fates,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_dropped: u64,
    pub tx_errors: u64,
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
    /// Received on ports that are gone, so that totals don't go back.
    next_queue: usize,
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
        })
    }

    /// Signals when there are events to [`poll`](Self::poll).
    pub fn waker(&self) -> &Arc<Waker> {
        self.events.waker()
    }

    /// Announces a wait for the waker; false when an event is there already. See [`base::ring`].
    pub fn prepare_sleep(&self) -> bool {
        self.events.prepare_sleep()
    }

    /// Makes a worker, for the caller to run. A `fast` one takes part in serving ports of [`Serve::Fast`].
    pub fn add_worker(&mut self, name: &str, fast: bool) -> io::Result<(WorkerId, Worker)> {
        let id = self.links.len();
        let waker = Arc::new(Waker::new()?);
        let link = Link {
            id,
            name: name.into(),
            commands: Arc::new(Ring::with_waker(RING, waker.clone())),
            handoffs: Arc::new(Ring::with_waker(HANDOFFS, waker)),
            events: self.events.clone(),
            counters: Arc::new(WorkerCounters::default()),
        };
        let reader = self.translate.reader(name);
        let seed = self.seed ^ (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let worker = Worker::new(link.clone(), reader, self.limits, seed)?;
        self.links.push(link);
        if fast {
            self.fast.push(id);
        }
        // ports that exist are reached by ring
        let ports: Vec<(PortNo, usize)> =
            self.ports.iter().filter_map(|(no, p)| Some((*no, *p.owners.first()?))).collect();
        for (port, owner) in ports {
            self.reach(port, id, owner);
        }
        Ok((WorkerId(id), worker))
    }

    /// Names of the workers by number, with their counters.
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
        let counters = Arc::new(TxCounters::default());
        p.tx.insert(worker, counters.clone());
        let sink = Sink::Remote(link.handoffs.clone(), packet::device::TxCaps::ALL);
        self.send(worker, Command::AddTx { port, sink, counters });
    }

    /// Adds a port; workers take it up with their next loop. Receive queues are dealt out in turn.
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
        self.ports.insert(
            port,
            Port {
                serve,
                rx: BTreeMap::new(),
                queues: Vec::new(),
                tx: BTreeMap::new(),
                owners: Vec::new(),
                removing: false,
            },
        );
        self.add_sinks(port, queues.tx, &servers);
        for (number, queue) in queues.rx.into_iter().enumerate() {
            let worker = servers.get(self.next_queue % servers.len()).copied().unwrap_or(0);
            self.next_queue += 1;
            let Some(p) = self.ports.get_mut(&port) else { continue };
            let counters = p.rx.entry(worker).or_default().clone();
            let received = Arc::new(QueueCounters::default());
            p.queues.push((worker, received.clone()));
            self.send(worker, Command::AddRx { port, number: number as u32, queue, counters, received });
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
            let counters = Arc::new(TxCounters::default());
            p.tx.insert(*worker, counters.clone());
            p.owners.push(*worker);
            self.send(*worker, Command::AddTx { port, sink, counters });
        }
        let Some(owner) = servers.first().copied() else { return };
        for worker in (0..self.links.len()).filter(|w| !servers.contains(w)) {
            self.reach(port, worker, owner);
        }
    }

    /// Removes a port; [`Happened::Removed`] follows. False when there is none, or it is being removed.
    pub fn remove_port(&mut self, port: PortNo) -> bool {
        let Some(p) = self.ports.get_mut(&port).filter(|p| !p.removing) else { return false };
        p.removing = true;
        let receivers: Vec<usize> = p.rx.keys().copied().collect();
        let others: Vec<usize> = p.tx.keys().copied().filter(|w| !p.owners.contains(w)).collect();
        let ticket = self.request(receivers.len() + others.len(), Kind::Quiet(port, Vec::new(), Vec::new()));
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
        let ticket = self.request(self.links.len(), kind);
        for worker in 0..self.links.len() {
            self.send(worker, command(ticket));
        }
        Ticket(ticket)
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

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Changes the limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        for worker in 0..self.links.len() {
            self.send(worker, Command::Limits(limits));
        }
    }

    /// How many VLAN tags keys have (`other_config:vlan-limit`); flushes.
    pub fn set_vlan_limit(&mut self, limit: u8) {
        for worker in 0..self.links.len() {
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
            (Answer::Tx(Some(sink)), Kind::Quiet(.., tx) | Kind::Owners(.., tx)) => tx.push(sink),
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
                let owners = self.ports.get(&port).map(|p| p.owners.clone()).unwrap_or_default();
                let none = owners.is_empty();
                let next = self.request(owners.len(), Kind::Owners(port, rx, tx));
                for worker in owners {
                    self.send(worker, Command::RemoveTx { port, ticket: next });
                }
                if none {
                    self.finish(next, happened);
                }
            }
            Kind::Owners(port, mut rx, tx) => {
                self.ports.remove(&port);
                rx.sort_by_key(|(number, _)| *number);
                let rx = rx.into_iter().map(|(_, queue)| queue).collect();
                happened.push(Happened::Removed { port, queues: Queues { rx, tx: take_queues(tx) } });
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
        p.rx.values().for_each(|c| sum.fates.add(c));
        // frames that went through another worker's ring were counted by both: the owners count what was sent
        for (worker, c) in &p.tx {
            if p.owners.contains(worker) {
                sum.tx_packets += c.packets.get();
                sum.tx_bytes += c.bytes.get();
            }
            sum.tx_dropped += c.dropped.get();
            sum.tx_errors += c.errors.get();
        }
        Some(sum)
    }

    /// A port's receive queues by number: the worker of each and what came from it.
    pub fn queues(&self, port: PortNo) -> impl Iterator<Item = (WorkerId, &QueueCounters)> {
        let queues = self.ports.get(&port).map_or(&[][..], |p| &p.queues);
        queues.iter().map(|(worker, counters)| (WorkerId(*worker), &**counters))
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
