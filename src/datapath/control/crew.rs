//! Workers that come and go while packets flow.
//!
//! One that comes gets a transmit queue of each port: a spare one, or it shares one. One that retires gives up its receive
//! queues first (whoever places them does that); then nobody sends by its ring any more; then it sends what is in the ring
//! and gives back its transmit queues. Nothing is lost on the way.

use std::io;
use std::sync::Arc;

use base::ring::{Ring, Waker};
use dpif::PortNo;

use super::{Control, HANDOFFS, Kind, RING, Serve, WorkerId};
use crate::stats::WorkerCounters;
use crate::tx::{SharedTx, Sink};
use crate::worker::{Command, Link, Worker};

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Works,
    /// It is to go when it has no receive queues any more.
    Retires,
    /// Others are told not to use its ring.
    Leaves,
    /// They know. Removals of ports that began before come first.
    Unreached,
    /// It gives up its sinks.
    Releases,
    Retired,
}

impl Life {
    /// It executes commands and may send to ports.
    pub(super) fn works(self) -> bool {
        !matches!(self, Life::Releases | Life::Retired)
    }

    pub(super) fn retires(self) -> bool {
        !matches!(self, Life::Works | Life::Retired)
    }
}

impl Control {
    /// Makes a worker, for the caller to run. A `fast` one takes part in serving ports of [`Serve::Fast`]. One of the name
    /// of a worker that retired goes on with its number and its counters.
    pub fn add_worker(&mut self, name: &str, fast: bool) -> io::Result<(WorkerId, Worker)> {
        let again = |id: &usize| {
            let named = self.links.get(*id).is_some_and(|l| &*l.name == name);
            named && self.lives.get(*id) == Some(&Life::Retired)
        };
        let known = (0..self.links.len()).find(again);
        let id = known.unwrap_or(self.links.len());
        let waker = Arc::new(Waker::new()?);
        let counters = known.and_then(|id| self.links.get(id)).map(|l| l.counters.clone());
        let link = Link {
            id,
            name: name.into(),
            commands: Arc::new(Ring::with_waker(RING, waker.clone())),
            handoffs: Arc::new(Ring::with_waker(HANDOFFS, waker)),
            events: self.events.clone(),
            counters: counters.unwrap_or_else(|| Arc::new(WorkerCounters::default())),
            ticks: self.ticks,
        };
        let reader = self.translate.reader(name);
        let seed = self.seed ^ (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let worker = Worker::new(link.clone(), reader, self.limits, seed)?;
        match (self.links.get_mut(id), self.lives.get_mut(id)) {
            (Some(old), Some(life)) => (*old, *life) = (link, Life::Works),
            _ => {
                self.links.push(link);
                self.lives.push(Life::Works);
            }
        }
        if fast {
            self.fast.push(id);
        }
        if let Some(limit) = self.vlan_limit {
            self.send(id, Command::VlanLimit(limit));
        }
        let ports: Vec<PortNo> = self.ports.keys().copied().collect();
        for port in ports {
            self.introduce(port, id, fast);
        }
        Ok((WorkerId(id), worker))
    }

    /// Lets a new worker send to a port.
    fn introduce(&mut self, port: PortNo, worker: usize, fast: bool) {
        let Some(p) = self.ports.get_mut(&port).filter(|p| p.removing.is_none()) else { return };
        let serves = fast && p.serve == Serve::Fast;
        if serves && let Some(sink) = p.spare.pop() {
            let counters = p.way(worker, None);
            self.send(worker, Command::AddTx { port, sink, counters });
            return;
        }
        // the one that is shared least: shares are equal when owners take turns
        let owners: Vec<usize> = p.owners().collect();
        let Some(owner) = owners.get(worker % owners.len().max(1)).copied() else { return };
        self.reach(port, worker, owner);
        if serves {
            let ticket = self.request(1, Kind::Share(port, worker, None));
            self.send(owner, Command::ShareTx { port, ticket });
        }
    }

    /// A worker shares its sink for a port with `worker`.
    pub(super) fn shared(&mut self, port: PortNo, worker: usize, shared: Option<SharedTx>) {
        let sends = self.alive().any(|w| w == worker);
        let Some(p) = self.ports.get_mut(&port).filter(|p| p.removing.is_none() && sends) else { return };
        if let Some(shared) = shared {
            let counters = p.way(worker, None);
            self.send(worker, Command::AddTx { port, sink: Sink::Shared(shared), counters });
        }
    }

    /// Has a fast worker retire, which [`super::Happened::Retired`] concludes. The caller places its queues elsewhere.
    /// False for the last of the fast workers, and for those that are none.
    pub fn retire(&mut self, worker: WorkerId) -> bool {
        if self.fast.len() < 2 || !self.fast.contains(&worker.0) {
            return false;
        }
        self.fast.retain(|w| *w != worker.0);
        self.set_life(worker.0, Life::Retires);
        true
    }

    /// The fast workers.
    pub fn fast(&self) -> impl Iterator<Item = (WorkerId, &str)> {
        self.fast.iter().filter_map(|id| self.links.get(*id)).map(|l| (WorkerId(l.id), &*l.name))
    }

    /// Whether a worker retired, and was not made again.
    pub fn is_retired(&self, worker: WorkerId) -> bool {
        self.lives.get(worker.0) == Some(&Life::Retired)
    }

    /// Workers that execute commands. One that gives back its sinks has got its last.
    pub(super) fn alive(&self) -> impl Iterator<Item = usize> {
        self.lives.iter().enumerate().filter(|(_, life)| life.works()).map(|(id, _)| id)
    }

    /// Takes workers that retire a step further, where nothing holds them.
    pub(super) fn retirements(&mut self) {
        for worker in 0..self.lives.len() {
            match self.lives.get(worker) {
                Some(Life::Retires) => {
                    let has = self.ports.values().flat_map(|p| p.queues.values()).any(|home| home.is_with(worker));
                    let sharing = self.requests.values().any(|r| matches!(r.kind, Kind::Share(..)));
                    if !has && !sharing {
                        self.set_life(worker, Life::Leaves);
                        self.unreach(worker);
                    }
                }
                Some(Life::Unreached) if self.ports.values().all(|p| p.removing.is_none()) => self.release(worker),
                _ => {}
            }
        }
        if !self.releases() {
            for port in std::mem::take(&mut self.deferred) {
                self.remove_port(port);
            }
        }
    }

    /// Whether a worker gives back its sinks: removals of ports wait until all are back.
    pub(super) fn releases(&self) -> bool {
        self.lives.contains(&Life::Releases)
    }

    pub(super) fn set_life(&mut self, worker: usize, new: Life) {
        if let Some(life) = self.lives.get_mut(worker) {
            *life = new;
        }
    }

    /// Those that send by its ring use that of another worker.
    fn unreach(&mut self, worker: usize) {
        let mut changes = Vec::new();
        for (port, p) in self.ports.iter().filter(|(_, p)| p.removing.is_none()) {
            let Some(other) = p.owners().find(|w| *w != worker && self.lives.get(*w) == Some(&Life::Works)) else {
                continue;
            };
            let users = p.tx.iter().filter(|way| way.current && way.via == Some(worker));
            changes.extend(users.map(|way| (*port, way.worker, other)));
        }
        for (port, user, other) in changes {
            self.reach(port, user, other);
        }
        let others: Vec<usize> = self.alive().filter(|w| *w != worker).collect();
        let ticket = self.request(others.len(), Kind::Unreached(worker));
        for other in others {
            self.send(other, Command::Sync { ticket });
        }
    }

    /// Takes back its sinks.
    fn release(&mut self, worker: usize) {
        self.set_life(worker, Life::Releases);
        let mut ports = Vec::new();
        for (port, p) in &mut self.ports {
            for way in p.tx.iter_mut().filter(|way| way.current && way.worker == worker) {
                way.current = false;
                ports.push(*port);
            }
        }
        for port in ports {
            let ticket = self.request(1, Kind::Release(port, None));
            self.send(worker, Command::RemoveTx { port, ticket });
        }
        // its last command
        let ticket = self.request(1, Kind::Retire(worker));
        self.send(worker, Command::Flush { ticket });
    }
}
