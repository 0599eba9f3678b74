//! What a packet needs to go on after the datapath did something that only it can do: frozen states, by number.
//!
//! States are interned by content, so all flows that stop at the same place for the same reason share a number. A
//! megaflow that recirculates holds its state's counters, and a state goes only when nobody holds them and it was not
//! used for a while: a packet on its way finds it. The same for what a controller is to be told with a packet.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use base::clock::Instant;
use base::ring::Ring;
use dpif::{DropReason, Effect, FlowStats, RecircId};
use flow::{Flow, Match};
use openflow::action::PacketInReason;
use openflow::flow_mod::FlowFlags;
use openflow::{Action, Cookie, OfPort};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::snapshot::Snapshot;
use crate::snapshot::table::{Rule, Table};

/// What is left of an action list in `table`, or, when nothing is, a lookup in `table`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    pub table: u8,
    pub actions: Arc<[Action]>,
}

/// A translation that stopped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frozen {
    pub bridge: u32,
    pub in_port: OfPort,
    /// Metadata and registers: the words beyond the datapath's key.
    pub registers: Box<[u64]>,
    pub stack: Vec<(u128, u16)>,
    pub action_set: Vec<Action>,
    /// Mirrors that have a copy.
    pub mirrors: u32,
    /// The actions are a controller's, of a packet that it sent.
    pub packet_out: bool,
    /// The tables that it goes on in, where those are not what all packets see.
    pub tables: Option<Tables>,
    /// Innermost first.
    pub frames: Vec<Frame>,
}

/// Tables as a bundle has them that is not committed.
#[derive(Clone)]
pub struct Tables(pub(crate) Arc<Snapshot>);

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

/// One version is like itself alone.
impl PartialEq for Tables {
    fn eq(&self, other: &Tables) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tables {}

impl Hash for Tables {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// What goes to controllers with a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PacketIn {
    pub bridge: u32,
    pub table: u8,
    pub in_port: OfPort,
    pub reason: PacketInReason,
    /// Of the flow that sends it; all ones where there is none.
    pub cookie: u64,
    /// That flow is its table's for packets that match no other.
    pub table_miss: bool,
    pub controller: u16,
    /// Bytes of the packet.
    pub max_len: u16,
    pub userdata: Vec<u8>,
    /// Where the packet goes on when the controller gives it back.
    pub resume: Option<RecircId>,
    pub registers: Box<[u64]>,
    /// What actions wrote beside the packet: words of its key, with masks.
    pub written: Vec<(u8, u64, u64)>,
}

/// A flow that a packet teaches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taught {
    pub bridge: u32,
    pub table: u8,
    pub matching: Match,
    pub priority: u16,
    pub cookie: Cookie,
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub send_flow_rem: bool,
    /// Flows of the table with this cookie at most; 0 is no limit.
    pub limit: u32,
    pub actions: Arc<[Action]>,
}

impl Taught {
    /// Whether a rule of its match and priority is all that it is.
    pub(crate) fn is(&self, rule: &Rule) -> bool {
        rule.cookie == self.cookie
            && (rule.idle_timeout, rule.hard_timeout) == (self.idle_timeout, self.hard_timeout)
            && rule.flags == self.flags()
            && *rule.actions == *self.actions
    }

    pub(crate) fn flags(&self) -> FlowFlags {
        FlowFlags { send_flow_rem: self.send_flow_rem, ..FlowFlags::default() }
    }

    /// Whether the limit leaves room for it: one that is there needs none.
    pub(crate) fn fits(&self, table: &Table) -> bool {
        let most = self.limit as usize;
        most == 0
            || table.rules.find_exact(&self.matching, self.priority.into()).is_some()
            || table.rules().filter(|r| r.cookie == self.cookie).take(most).count() < most
    }
}

/// A table from content to number and back, cut into shards so that workers rarely meet.
#[derive(Debug)]
struct Interner<T> {
    /// By content.
    numbers: [Mutex<FxHashMap<Arc<T>, u32>>; SHARDS],
    /// By number, whose remainder is the shard. Locked after the content's.
    states: [Mutex<FxHashMap<u32, Held<T>>>; SHARDS],
    /// The number to try next; that of other tables too.
    next: Arc<AtomicU32>,
}

const SHARDS: usize = 16;
/// How long a state that no megaflow refers to stays: packets that were recirculated to it pass within a burst.
const LINGER: Duration = Duration::from_secs(10);
/// States, per kind, above which new ones are refused.
const MAX_STATES: usize = 1 << 20;

#[derive(Debug)]
struct Held<T> {
    state: Arc<T>,
    stats: Arc<FlowStats>,
    used: AtomicU64,
}

impl<T: Hash + Eq> Interner<T> {
    fn new(next: Arc<AtomicU32>) -> Self {
        Interner {
            numbers: std::array::from_fn(|_| Mutex::default()),
            states: std::array::from_fn(|_| Mutex::default()),
            next,
        }
    }

    fn states(&self, number: u32) -> MutexGuard<'_, FxHashMap<u32, Held<T>>> {
        self.states[number as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of `state`, new or not, and the counters to hold while it is referred to. None when there are too many.
    fn intern(&self, state: T, now: Instant) -> Option<(u32, Arc<FlowStats>)> {
        let i = FxBuildHasher.hash_one(&state) as usize % SHARDS;
        let mut numbers = self.numbers[i].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.get(&state).copied()
            && let Some(held) = self.states(number).get(&number)
        {
            held.used.fetch_max(now.as_nanos(), Ordering::Relaxed);
            return Some((number, held.stats.clone()));
        }
        if numbers.len() >= MAX_STATES / SHARDS {
            return None;
        }
        // 0 is nobody's; a number still in use after it wrapped is passed over
        let (mut states, number) = loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let states = self.states(n);
            if n != 0 && !states.contains_key(&n) {
                break (states, n);
            }
        };
        let (state, stats) = (Arc::new(state), Arc::<FlowStats>::default());
        numbers.insert(state.clone(), number);
        states.insert(number, Held { state, stats: stats.clone(), used: AtomicU64::new(now.as_nanos()) });
        Some((number, stats))
    }

    fn get(&self, number: u32) -> Option<Arc<T>> {
        self.states(number).get(&number).map(|h| h.state.clone())
    }

    /// Removes what nobody refers to and was not used for a while.
    fn sweep(&self, now: Instant) -> usize {
        let mut gone = 0;
        for numbers in &self.numbers {
            numbers.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, number| {
                let mut states = self.states(*number);
                let keep = states.get(number).is_some_and(|h| {
                    let used = Instant::from_nanos(h.used.load(Ordering::Relaxed).max(h.stats.get().2));
                    Arc::strong_count(&h.stats) > 1 || used + LINGER > now
                });
                if !keep {
                    states.remove(number);
                    gone += 1;
                }
                keep
            });
        }
        gone
    }

    fn len(&self) -> usize {
        (0..SHARDS as u32).map(|i| self.states(i).len()).sum()
    }
}

/// A packet on its way to controllers.
#[derive(Debug)]
pub struct Told {
    /// What goes with it.
    pub about: Arc<PacketIn>,
    /// Its key as it was sent; IN_PORT is a datapath port.
    pub flow: Box<Flow>,
    /// All of it, or what an action left of it.
    pub bytes: Box<[u8]>,
}

/// What workers and management share beside the published tables.
pub struct Shared {
    frozen: Interner<Frozen>,
    packet_ins: Interner<PacketIn>,
    taught: Interner<Taught>,
    /// What packets taught, on its way to the manager.
    pub effects: Ring<(Effect, Instant)>,
    /// Packets on their way to controllers.
    pub(crate) told: Ring<Told>,
    /// Bridges with controllers to tell.
    pub(crate) listening: RwLock<Vec<u32>>,
    /// Megaflows are made of whole keys (`upcall/disable-megaflows`, for finding faults).
    pub(crate) exact: AtomicBool,
}

/// Effects that may wait for the manager.
const EFFECTS: usize = 8192;
/// Packets that may wait for the manager on their way to controllers.
const TOLD: usize = 1024;

impl Shared {
    pub(crate) fn new() -> std::io::Result<Shared> {
        let effects = Ring::new(EFFECTS)?;
        let told = Ring::with_waker(TOLD, effects.waker().clone());
        let listening = RwLock::default();
        let next = Arc::new(AtomicU32::new(1));
        let (frozen, packet_ins) = (Interner::new(next.clone()), Interner::new(next.clone()));
        let taught = Interner::new(next);
        Ok(Shared { frozen, packet_ins, taught, effects, told, listening, exact: AtomicBool::new(false) })
    }

    /// Takes a copy of a packet for controllers.
    pub(crate) fn tell(&self, cookie: u32, flow: &Flow, bytes: &[u8]) -> Result<(), DropReason> {
        let about = self.packet_in_of(cookie).ok_or(DropReason::Recirculation)?;
        if !self.listening.read().unwrap_or_else(PoisonError::into_inner).contains(&about.bridge) {
            return Err(DropReason::NoController);
        }
        let told = Told { about, flow: Box::new(flow.clone()), bytes: bytes.into() };
        self.told.push(told).map_err(|_| DropReason::ControllerFull)
    }

    pub(crate) fn freeze(&self, state: Frozen, now: Instant) -> Option<(RecircId, Arc<FlowStats>)> {
        self.frozen.intern(state, now).map(|(n, stats)| (RecircId(n), stats))
    }

    pub(crate) fn frozen(&self, id: RecircId) -> Option<Arc<Frozen>> {
        self.frozen.get(id.0)
    }

    pub(crate) fn packet_in(&self, what: PacketIn, now: Instant) -> Option<(u32, Arc<FlowStats>)> {
        self.packet_ins.intern(what, now)
    }

    /// What goes with a packet that came as `Userspace::Controller(cookie)`.
    pub fn packet_in_of(&self, cookie: u32) -> Option<Arc<PacketIn>> {
        self.packet_ins.get(cookie)
    }

    /// The number of a flow that packets teach, and the counters to hold while it is referred to.
    pub(crate) fn taught(&self, what: Taught, now: Instant) -> Option<(u32, Arc<FlowStats>)> {
        self.taught.intern(what, now)
    }

    pub(crate) fn taught_of(&self, id: u32) -> Option<Arc<Taught>> {
        self.taught.get(id)
    }

    /// Forgets states that are no longer referred to. Returns how many.
    pub(crate) fn sweep(&self, now: Instant) -> usize {
        self.frozen.sweep(now) + self.packet_ins.sweep(now) + self.taught.sweep(now)
    }

    /// (frozen states, packet-in arguments)
    pub fn states(&self) -> (usize, usize) {
        (self.frozen.len(), self.packet_ins.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_shared_held_and_forgotten() {
        let shared = Shared::new().unwrap();
        let state = |bridge| Frozen {
            bridge,
            in_port: OfPort(1),
            registers: Box::default(),
            stack: vec![],
            action_set: vec![],
            mirrors: 0,
            packet_out: false,
            tables: None,
            frames: vec![],
        };
        let at = Instant::from_millis;
        let (a, held) = shared.freeze(state(1), at(0)).unwrap();
        let (b, _) = shared.freeze(state(1), at(5)).unwrap();
        let (c, _) = shared.freeze(state(2), at(5)).unwrap();
        assert!(a == b && a != c && a.0 != 0);
        assert_eq!(shared.frozen(c).unwrap().bridge, 2);
        assert_eq!((shared.sweep(at(10_004)), shared.states()), (0, (2, 0)));
        assert_eq!((shared.sweep(at(10_005)), shared.states()), (1, (1, 0)));
        assert!(shared.frozen(c).is_none() && shared.frozen(a).is_some());
        drop(held);
        assert_eq!((shared.sweep(at(10_005)), shared.states()), (1, (0, 0)));
        let (d, _) = shared.freeze(state(1), at(20_000)).unwrap();
        assert_ne!(a, d, "a number is not used again soon");
    }
}
