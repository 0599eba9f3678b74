//! Where receive queues are, and how they get from one worker to another: the old one stops receiving, sends what it has
//! of the queue, parked packets included, and gives the queue back; only then the new one gets it. So no packet is lost,
//! and packets of one queue keep their order.

use std::collections::BTreeMap;
use std::sync::Arc;

use dpif::PortNo;
use packet::device::RxQueue;

use super::{Control, Kind, WorkerId};
use crate::stats::QueueCounters;
use crate::worker::Command;

/// A receive queue's whereabouts.
pub(super) struct Home {
    place: Place,
    wanted: Option<usize>,
    counters: Arc<QueueCounters>,
}

enum Place {
    At(usize),
    /// This worker was told to give it back.
    From(usize),
    /// Nobody polls it.
    Idle(Box<dyn RxQueue>),
    /// Given away: its port is being removed.
    Gone,
}

impl Home {
    pub(super) fn new(queue: Box<dyn RxQueue>) -> Home {
        Home { place: Place::Idle(queue), wanted: None, counters: Arc::default() }
    }

    /// Whether `worker` has it.
    pub(super) fn is_with(&self, worker: usize) -> bool {
        matches!(self.place, Place::At(w) | Place::From(w) if w == worker)
    }
}

/// Takes the idle queues of a port; returns how many are on their way between workers.
pub(super) fn collect(homes: &mut BTreeMap<u32, Home>, idle: &mut Vec<(u32, Box<dyn RxQueue>)>) -> usize {
    let mut moving = 0;
    for (number, home) in homes {
        match std::mem::replace(&mut home.place, Place::Gone) {
            Place::Idle(queue) => idle.push((*number, queue)),
            Place::From(worker) => {
                home.place = Place::From(worker);
                moving += 1;
            }
            Place::At(_) | Place::Gone => {}
        }
    }
    moving
}

/// A receive queue, its worker, and what it cost.
pub struct QueueView<'a> {
    pub port: PortNo,
    pub number: u32,
    /// None while nobody polls it.
    pub worker: Option<WorkerId>,
    pub counters: &'a QueueCounters,
}

impl Control {
    /// From now on the queues of new ports of [`super::Serve::Fast`] wait until they are placed.
    pub fn hold(&mut self) {
        self.hold = true;
    }

    /// All receive queues, by port and number, with the workers that have them or are about to.
    pub fn rx_queues(&self) -> impl Iterator<Item = QueueView<'_>> {
        self.ports.iter().flat_map(|(port, p)| {
            p.queues.iter().map(|(number, home)| QueueView {
                port: *port,
                number: *number,
                worker: home.wanted.map(WorkerId),
                counters: &home.counters,
            })
        })
    }

    /// A port's receive queues by number: the worker of each and what came from it.
    pub fn queues(&self, port: PortNo) -> impl Iterator<Item = (Option<WorkerId>, &QueueCounters)> {
        let homes = self.ports.get(&port).into_iter().flat_map(|p| p.queues.values());
        homes.map(|home| (home.wanted.map(WorkerId), &*home.counters))
    }

    /// Whether some queue is still on its way, or a worker about to retire.
    pub fn is_settling(&self) -> bool {
        let moves = |h: &Home| matches!(h.place, Place::From(_));
        self.ports.values().flat_map(|p| p.queues.values()).any(moves) || self.lives.iter().any(|life| life.retires())
    }

    /// Has a queue polled by a worker, or by nobody. It moves as soon as the worker that has it is done with its packets.
    pub fn place(&mut self, port: PortNo, number: u32, worker: Option<WorkerId>) {
        let worker = worker.filter(|w| self.alive().any(|s| s == w.0));
        let Some(p) = self.ports.get_mut(&port).filter(|p| p.removing.is_none()) else { return };
        let Some(home) = p.queues.get_mut(&number) else { return };
        home.wanted = worker.map(|w| w.0);
        self.settle(port, number);
    }

    fn settle(&mut self, port: PortNo, number: u32) {
        let Some(p) = self.ports.get_mut(&port).filter(|p| p.removing.is_none()) else { return };
        let Some(home) = p.queues.get_mut(&number) else { return };
        match std::mem::replace(&mut home.place, Place::Gone) {
            Place::Idle(queue) => {
                let Some(worker) = home.wanted else {
                    home.place = Place::Idle(queue);
                    return;
                };
                home.place = Place::At(worker);
                let received = home.counters.clone();
                let counters = p.rx.entry(worker).or_default().clone();
                self.send(worker, Command::AddRx { port, number, queue, counters, received });
            }
            Place::At(worker) if home.wanted != Some(worker) => {
                home.place = Place::From(worker);
                let ticket = self.request(1, Kind::Move(port, number, None));
                self.send(worker, Command::TakeRx { port, number, ticket });
            }
            other => home.place = other,
        }
    }

    /// A worker gave a queue back. Returns the removal of its port, where that waited for nothing else.
    pub(super) fn moved(&mut self, port: PortNo, number: u32, queue: Option<Box<dyn RxQueue>>) -> Option<u64> {
        let p = self.ports.get_mut(&port)?;
        let removing = p.removing;
        let home = p.queues.get_mut(&number)?;
        home.place = match queue {
            Some(queue) if removing.is_none() => Place::Idle(queue),
            queue => {
                let ticket = removing?;
                let request = self.requests.get_mut(&ticket)?;
                if let (Kind::Quiet(_, rx, _), Some(queue)) = (&mut request.kind, queue) {
                    rx.push((number, queue));
                }
                request.waiting = request.waiting.saturating_sub(1);
                let done = request.waiting == 0;
                home.place = Place::Gone;
                return done.then_some(ticket);
            }
        };
        self.settle(port, number);
        None
    }
}
