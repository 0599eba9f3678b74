//! Which core polls which receive queue: a pure function of cores, queues and what queues cost, with the policies of
//! ovs-vswitchd.conf.db(5), `other_config:pmd-rxq-assign`. Nothing here knows workers or time.
//!
//! [`plan`] decides, [`history`] remembers what queues cost, [`balance`] says when a new plan is worth it.

pub mod balance;
pub mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// How queues that are not pinned are spread over the cores of their memory node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Costliest first, in turns that go up and down the cores.
    #[default]
    Cycles,
    /// Costliest first, each to the core with the least load.
    Group,
    /// In the order of ports and queues, in turns.
    RoundRobin,
}

impl Policy {
    /// The word in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Cycles => "cycles",
            Policy::Group => "group",
            Policy::RoundRobin => "roundrobin",
        }
    }

    /// The policy of a word.
    pub fn named(word: &str) -> Option<Policy> {
        [Policy::Cycles, Policy::Group, Policy::RoundRobin].into_iter().find(|p| p.name() == word)
    }
}

/// A core that has a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    pub number: usize,
    /// Its memory node.
    pub node: u32,
}

/// A queue to be polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// The memory node of its device; None for devices without one.
    pub node: Option<u32>,
    /// The core that it is to be polled on (`pmd-rxq-affinity`).
    pub pin: Option<usize>,
    /// What it cost of late.
    pub cycles: u64,
}

/// Something to tell an operator about a queue, by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It is pinned to this core.
    Pinned(usize, usize),
    /// It is pinned to a core that has no worker.
    NoCore(usize, usize),
    /// Its node has no core for it; it goes to one of another.
    OtherNode(usize, u32),
    /// No core is left for it.
    Unpolled(usize),
    /// It goes to this core.
    Assigned(usize, usize),
}

/// Who polls what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By queue: its core, as a place in the list of cores. None: nobody polls it.
    pub places: Vec<Option<usize>>,
    /// By core: pinned queues keep it from getting others.
    pub isolated: Vec<bool>,
    pub notes: Vec<Note>,
}

impl Plan {
    /// The cycles of all queues of each core.
    pub fn loads(&self, queues: &[Queue]) -> Vec<u64> {
        let mut loads = vec![0u64; self.isolated.len()];
        for (place, queue) in self.places.iter().zip(queues) {
            if let Some(load) = place.and_then(|at| loads.get_mut(at)) {
                *load = load.saturating_add(queue.cycles);
            }
        }
        loads
    }
}

/// Turns over the cores of one node.
struct Turns {
    cores: Vec<usize>,
    at: usize,
    up: bool,
}

impl Turns {
    /// Up and down: 0 1 2 2 1 0 0 1 …
    fn zigzag(&mut self) -> Option<usize> {
        let core = self.cores.get(self.at).copied();
        match (self.up, self.at) {
            (true, at) if at + 1 < self.cores.len() => self.at += 1,
            (true, _) => self.up = false,
            (false, 0) => self.up = true,
            (false, _) => self.at -= 1,
        }
        core
    }

    /// Around: 0 1 2 0 1 2 …
    fn around(&mut self) -> Option<usize> {
        let core = self.cores.get(self.at).copied();
        self.at = (self.at + 1) % self.cores.len().max(1);
        core
    }
}

/// Assigns `queues`, which are in the order of their ports and numbers, to `cores`. A core with a pinned queue polls no
/// others when `isolate` is set.
pub fn plan(cores: &[Core], queues: &[Queue], policy: Policy, isolate: bool) -> Plan {
    let mut plan = Plan { places: vec![None; queues.len()], isolated: vec![false; cores.len()], notes: Vec::new() };
    let mut loads = vec![(0u64, 0usize); cores.len()];
    let mut open = Vec::new();
    for (i, queue) in queues.iter().enumerate() {
        let Some(pin) = queue.pin else {
            open.push(i);
            continue;
        };
        let Some(at) = cores.iter().position(|core| core.number == pin) else {
            plan.notes.push(Note::NoCore(i, pin));
            open.push(i);
            continue;
        };
        plan.notes.push(Note::Pinned(i, at));
        put(&mut plan, &mut loads, i, at, queue.cycles);
        if let Some(isolated) = plan.isolated.get_mut(at) {
            *isolated |= isolate;
        }
    }
    if policy != Policy::RoundRobin {
        // stable: equal ones stay in the order of ports and numbers
        open.sort_by_key(|i| std::cmp::Reverse(queues.get(*i).map_or(0, |q| q.cycles)));
    }
    let mut nodes: BTreeMap<u32, Turns> = BTreeMap::new();
    for (at, core) in cores.iter().enumerate().filter(|(at, _)| plan.isolated.get(*at) == Some(&false)) {
        nodes.entry(core.node).or_insert(Turns { cores: Vec::new(), at: 0, up: true }).cores.push(at);
    }
    let numbers: Vec<u32> = nodes.keys().copied().collect();
    let mut other = 0;
    for i in open {
        let Some(queue) = queues.get(i) else { continue };
        let local = queue.node.filter(|node| nodes.contains_key(node));
        let node = match (local, numbers.as_slice()) {
            (Some(node), _) => node,
            (None, []) => {
                plan.notes.push(Note::Unpolled(i));
                continue;
            }
            // queues without a node of their own take turns over all nodes
            (None, numbers) => {
                let node = numbers.get(other % numbers.len()).copied().unwrap_or(0);
                other += 1;
                if queue.node.is_some() {
                    plan.notes.push(Note::OtherNode(i, node));
                }
                node
            }
        };
        let Some(turns) = nodes.get_mut(&node) else { continue };
        let at = match policy {
            Policy::Cycles => turns.zigzag(),
            Policy::RoundRobin => turns.around(),
            Policy::Group => turns.cores.iter().copied().min_by_key(|at| loads.get(*at).copied()),
        };
        let Some(at) = at else { continue };
        plan.notes.push(Note::Assigned(i, at));
        put(&mut plan, &mut loads, i, at, queue.cycles);
    }
    plan
}

fn put(plan: &mut Plan, loads: &mut [(u64, usize)], queue: usize, at: usize, cycles: u64) {
    if let (Some(place), Some(load)) = (plan.places.get_mut(queue), loads.get_mut(at)) {
        *place = Some(at);
        *load = (load.0.saturating_add(cycles), load.1 + 1);
    }
}
