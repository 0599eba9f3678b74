//! For tests: a scripted pipeline of one table with versions, and a datapath of dummy ports around it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base::clock::Instant;
use dpif::action::Userspace;
use dpif::{
    Action, Change, Deps, DropReason, Effect, FlowStats, Input, PortNo, Reader, RuleId, TableDep, TableKey, Translate,
    Translation,
};
use flow::layout::{ETH_TYPE, IN_PORT, NW_FRAG, PACKET_TYPE, RECIRC_ID};
use flow::{Flow, Mask, Match};
use packet::Frame;

use crate::control::{Happened, Queues, Serve};
use crate::dummy::DummyPort;
use crate::{Control, Limits, Worker};

pub(crate) const TABLE: TableKey = TableKey { bridge: 0, table: 0 };

/// A rule of the only table.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) priority: i32,
    pub(crate) matching: Arc<Match>,
    pub(crate) actions: Vec<Action>,
    pub(crate) stats: Arc<FlowStats>,
    pub(crate) effects: Vec<Effect>,
}

#[derive(Default)]
struct State {
    rules: Arc<Vec<Rule>>,
    version: u64,
    log: Arc<Vec<(u64, Change)>>,
    oldest: u64,
    next: u64,
    /// What rules counted that are gone.
    gone: Vec<Arc<FlowStats>>,
}

/// The pipeline: rules by priority, the mask of a lookup being the union of the masks of rules that were tried.
#[derive(Default)]
pub(crate) struct Script {
    state: Mutex<State>,
    pub(crate) translations: AtomicU64,
    pub(crate) upcalls: Mutex<Vec<(Userspace, Flow, Vec<u8>)>>,
    pub(crate) effects: Mutex<Vec<Effect>>,
    /// Refuse effects.
    pub(crate) refuse: std::sync::atomic::AtomicBool,
    /// Panic at the next translation.
    pub(crate) panic: std::sync::atomic::AtomicBool,
    /// Make each mask exact in these words too: near misses.
    pub(crate) wider: Mutex<Mask>,
}

impl Script {
    pub(crate) fn add(&self, priority: i32, matching: Match, actions: Vec<Action>) -> RuleId {
        self.add_with(priority, matching, actions, Vec::new())
    }

    pub(crate) fn add_with(
        &self,
        priority: i32,
        matching: Match,
        actions: Vec<Action>,
        effects: Vec<Effect>,
    ) -> RuleId {
        let mut s = self.state.lock().unwrap();
        s.next += 1;
        s.version += 1;
        let id = RuleId(s.next);
        let rule = Rule { id, priority, matching: Arc::new(matching.clone()), actions, stats: Arc::default(), effects };
        let rules = Arc::make_mut(&mut s.rules);
        rules.push(rule);
        rules.sort_by_key(|r| (std::cmp::Reverse(r.priority), r.id));
        let change = (s.version, Change::Added { table: TABLE, priority, matching });
        Arc::make_mut(&mut s.log).push(change);
        id
    }

    /// Other actions for a rule, as one change.
    pub(crate) fn modify(&self, id: RuleId, actions: Vec<Action>) {
        let mut s = self.state.lock().unwrap();
        s.version += 1;
        for rule in Arc::make_mut(&mut s.rules).iter_mut().filter(|r| r.id == id) {
            rule.actions.clone_from(&actions);
        }
        let change = (s.version, Change::Gone { table: TABLE, rule: id });
        Arc::make_mut(&mut s.log).push(change);
    }

    pub(crate) fn remove(&self, id: RuleId) {
        let mut s = self.state.lock().unwrap();
        s.version += 1;
        let gone: Vec<_> = s.rules.iter().filter(|r| r.id == id).map(|r| r.stats.clone()).collect();
        s.gone.extend(gone);
        Arc::make_mut(&mut s.rules).retain(|r| r.id != id);
        let change = (s.version, Change::Gone { table: TABLE, rule: id });
        Arc::make_mut(&mut s.log).push(change);
    }

    pub(crate) fn everything(&self) {
        let mut s = self.state.lock().unwrap();
        s.version += 1;
        let change = (s.version, Change::Everything);
        Arc::make_mut(&mut s.log).push(change);
    }

    /// Forgets the log.
    pub(crate) fn forget(&self) {
        let mut s = self.state.lock().unwrap();
        s.oldest = s.version;
        Arc::make_mut(&mut s.log).clear();
    }

    pub(crate) fn rules(&self) -> Arc<Vec<Rule>> {
        self.state.lock().unwrap().rules.clone()
    }

    /// Packets that all rules ever counted.
    pub(crate) fn counted(&self) -> u64 {
        let s = self.state.lock().unwrap();
        s.gone.iter().chain(s.rules.iter().map(|r| &r.stats)).map(|stats| stats.get().0).sum()
    }

    /// Packets that a rule counted.
    pub(crate) fn packets(&self, id: RuleId) -> u64 {
        self.rules().iter().find(|r| r.id == id).unwrap().stats.get().0
    }
}

/// What the table says of a flow: the naive twin of everything.
pub(crate) fn winner<'a>(rules: &'a [Rule], flow: &Flow) -> Option<&'a Rule> {
    rules.iter().find(|r| r.matching.matches(flow))
}

struct ScriptReader {
    script: Arc<Script>,
    version: u64,
    rules: Arc<Vec<Rule>>,
    log: Arc<Vec<(u64, Change)>>,
    oldest: u64,
}

pub(crate) struct Pipeline(pub(crate) Arc<Script>);

impl Translate for Pipeline {
    fn reader(&self, _name: &str) -> Box<dyn Reader> {
        let (rules, log) = Default::default();
        Box::new(ScriptReader { script: self.0.clone(), version: 0, rules, log, oldest: 0 })
    }
}

impl Reader for ScriptReader {
    fn refresh(&mut self) -> u64 {
        let s = self.script.state.lock().unwrap();
        if s.version != self.version {
            self.version = s.version;
            self.rules = s.rules.clone();
            self.log = s.log.clone();
            self.oldest = s.oldest;
        }
        self.version
    }

    fn offline(&mut self) {}

    fn changes(&self, since: u64, visit: &mut dyn FnMut(&Change)) -> bool {
        self.log.iter().filter(|(v, _)| *v > since).for_each(|(_, c)| visit(c));
        since >= self.oldest
    }

    fn translate(&mut self, input: &Input<'_>, out: &mut Translation) {
        self.script.translations.fetch_add(1, Ordering::Relaxed);
        if self.script.panic.swap(false, Ordering::Relaxed) {
            panic!("scripted");
        }
        *out = Translation { cacheable: true, ..Translation::default() };
        for slot in [RECIRC_ID, IN_PORT, ETH_TYPE, PACKET_TYPE, NW_FRAG] {
            out.mask.exact(slot);
        }
        out.mask.union(&self.script.wider.lock().unwrap());
        let mut found = None;
        for rule in self.rules.iter() {
            out.mask.union(&rule.matching.mask());
            if rule.matching.matches(input.flow) {
                found = Some(rule);
                break;
            }
        }
        let priority = found.map_or(-1, |r| r.priority);
        let dep = TableDep { table: TABLE, rule: found.map(|r| r.id), priority, rewritten: Box::default() };
        out.deps = Deps { tables: vec![dep], things: Vec::new() };
        match found {
            Some(rule) => {
                out.actions.clone_from(&rule.actions);
                out.stats.push(rule.stats.clone());
                out.effects.clone_from(&rule.effects);
            }
            None => out.drop = Some(dpif::DropReason::TableMiss),
        }
    }

    fn apply(&mut self, effect: &Effect, _now: Instant) -> bool {
        let refuse = self.script.refuse.load(Ordering::Relaxed);
        if !refuse {
            self.script.effects.lock().unwrap().push(effect.clone());
        }
        !refuse
    }

    fn upcall(&mut self, what: Userspace, flow: &Flow, frame: &[u8], _now: Instant) -> Result<(), DropReason> {
        if self.script.refuse.load(Ordering::Relaxed) {
            return Err(DropReason::NoController);
        }
        self.script.upcalls.lock().unwrap().push((what, flow.clone(), frame.to_vec()));
        Ok(())
    }

    fn port_known(&self, _port: PortNo) -> bool {
        true
    }
}

/// A datapath with one worker and dummy ports 1, 2, …, stepped by hand.
pub(crate) struct Rig {
    pub(crate) script: Arc<Script>,
    pub(crate) control: Control,
    pub(crate) workers: Vec<Worker>,
    pub(crate) ports: Vec<DummyPort>,
    pub(crate) now: Instant,
}

impl Rig {
    pub(crate) fn new(ports: u32, limits: Limits) -> Rig {
        Rig::with_workers(ports, 1, limits)
    }

    pub(crate) fn with_workers(ports: u32, workers: usize, limits: Limits) -> Rig {
        let script = Arc::new(Script::default());
        let mut control = Control::new(Arc::new(Pipeline(script.clone())), limits, 42).unwrap();
        let workers = (0..workers).map(|i| control.add_worker(&format!("pmd-{i}"), true).unwrap().1).collect();
        let mut rig = Rig { script, control, workers, ports: Vec::new(), now: Instant::from_millis(1) };
        for no in 1..=ports {
            rig.add_port(no, Serve::Fast);
        }
        rig.step();
        rig
    }

    pub(crate) fn add_port(&mut self, no: u32, serve: Serve) -> DummyPort {
        let port = DummyPort::new();
        let (rx, tx) = port.queues();
        let queues = Queues { rx: vec![rx], tx: vec![tx] };
        self.control.add_port(PortNo(no), queues, serve).map_err(|e| e.0).unwrap();
        self.ports.push(port.clone());
        port
    }

    pub(crate) fn port(&self, no: u32) -> &DummyPort {
        &self.ports[no as usize - 1]
    }

    /// One step of each worker, a microsecond later.
    pub(crate) fn step(&mut self) -> Vec<Happened> {
        self.now += std::time::Duration::from_micros(1);
        for worker in &mut self.workers {
            worker.step(self.now);
        }
        self.control.poll()
    }

    pub(crate) fn steps(&mut self, n: usize) {
        for _ in 0..n {
            self.step();
        }
    }

    /// Steps until nothing is left to do.
    pub(crate) fn drain(&mut self) {
        for _ in 0..100_000 {
            self.now += std::time::Duration::from_micros(1);
            let mut idle = self.ports.iter().all(|p| p.pending() == 0);
            for worker in &mut self.workers {
                idle &= worker.step(self.now).is_idle();
            }
            if idle {
                return;
            }
        }
        panic!("never idle");
    }

    /// Steps until the ticket is done.
    pub(crate) fn wait(&mut self, ticket: crate::control::Ticket) -> Vec<crate::control::Megaflow> {
        for _ in 0..10_000 {
            for happened in self.step() {
                match happened {
                    Happened::Done(t) if t == ticket => return Vec::new(),
                    Happened::Megaflows(t, flows) if t == ticket => return flows,
                    _ => {}
                }
            }
        }
        panic!("never done");
    }

    pub(crate) fn megaflows(&mut self) -> Vec<crate::control::Megaflow> {
        let ticket = self.control.dump(crate::Wanted::default());
        self.wait(ticket)
    }

    /// The same of the workers alone, when a port was removed.
    pub(crate) fn check_fates_of_totals(&self) {
        let t = self.control.totals();
        assert_eq!(t.received, t.forwarded + t.consumed + t.drops() + t.parked, "{t:?}");
    }

    /// Everything sent came from somewhere, and everything received came from a queue.
    fn check_matrix(&self) {
        let matrix = self.control.matrix();
        for (no, _) in self.control.ports() {
            let figures = self.control.port_figures(no).unwrap();
            let sent: u64 = matrix.iter().filter(|((_, to), _)| *to == no).map(|(_, n)| n).sum();
            assert!(sent <= figures.tx_packets + figures.tx_dropped, "port {no}: {matrix:?}");
            let queues = self.control.queues(no).map(|(_, q)| (q.packets.get(), q.bytes.get()));
            let queues = queues.fold((0, 0), |a, q| (a.0 + q.0, a.1 + q.1));
            assert_eq!(queues, (figures.fates.received, figures.fates.received_bytes), "port {no}");
        }
    }

    /// Every packet has one fate.
    pub(crate) fn check_fates(&self) {
        self.check_fates_of_totals();
        let t = self.control.totals();
        let mut sum = 0;
        for (no, _) in self.control.ports() {
            let f = self.control.port_figures(no).unwrap().fates;
            assert_eq!(f.received, f.forwarded + f.consumed + f.drops() + f.parked, "port {no}: {f:?}");
            sum += f.received;
        }
        assert!(sum <= t.received);
        self.check_matrix();
    }
}

/// A UDP over IPv4 frame of 60 bytes.
pub(crate) fn udp(src: u32, dst: u32, sport: u16, dport: u16) -> Frame {
    let mut b = vec![0u8; 60];
    b[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    b[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]);
    b[26..30].copy_from_slice(&src.to_be_bytes());
    b[30..34].copy_from_slice(&dst.to_be_bytes());
    let sum = !b[14..34].chunks(2).fold(0u32, |s, w| {
        let s = s + u32::from(u16::from_be_bytes([w[0], w[1]]));
        (s & 0xffff) + (s >> 16)
    });
    b[24..26].copy_from_slice(&(sum as u16).to_be_bytes());
    b[34..36].copy_from_slice(&sport.to_be_bytes());
    b[36..38].copy_from_slice(&dport.to_be_bytes());
    b[38..40].copy_from_slice(&26u16.to_be_bytes());
    Frame::from_slice(&b)
}

/// A match on bits of slots: (slot, value, mask).
pub(crate) fn matching(fields: &[(flow::Slot, u128, u128)]) -> Match {
    fields.iter().fold(Match::default(), |m, (slot, value, mask)| m.with(*slot, *value, *mask))
}
