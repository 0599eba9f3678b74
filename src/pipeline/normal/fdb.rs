//! Learned addresses: a persistent table that readers share, and the writer's books about it.
//!
//! Readers look up (VLAN, MAC) in the version they hold, and store in an entry when it was last used; everything else,
//! learning, aging, quotas, eviction, is the manager's ([`Learner`]). An entry that a reader finds is valid: aging
//! happens by publishing a version without it, so that megaflows follow.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::clock::{Instant, TimerQueue};
use openflow::OfPort;

use crate::snapshot::Settings;

/// VLAN and MAC address (48 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdbKey {
    pub vlan: u16,
    pub mac: u64,
}

/// A learned address. Its time of last use is shared by all versions that have it.
#[derive(Debug)]
pub struct Entry {
    pub key: FdbKey,
    pub port: OfPort,
    used: AtomicU64,
}

/// A refresh within this many nanoseconds of the last is not worth dirtying the cache line that other workers read.
const REFRESH_GRAIN: u64 = 100_000_000;

impl Entry {
    /// When a packet from that address was last seen.
    pub fn used(&self) -> Instant {
        Instant::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Put there by an operator: neither ages nor moves, and makes no room for others.
    pub fn is_static(&self) -> bool {
        self.used() == Instant::MAX
    }

    /// Notes that one was seen at `now`.
    pub fn touch(&self, now: Instant) {
        let old = self.used.load(Ordering::Relaxed);
        if now.as_nanos() > old.saturating_add(REFRESH_GRAIN) {
            self.used.fetch_max(now.as_nanos(), Ordering::Relaxed);
        }
    }
}

/// Branches of a node; two levels make 4096 leaves, two entries each at the default table size.
const FANOUT: usize = 64;
type Leaf = Arc<[Arc<Entry>]>;
type Node = [Option<Leaf>; FANOUT];

/// The table as readers see it. A copy shares everything; an edit copies one path.
#[derive(Clone, Debug)]
pub struct Fdb {
    root: Arc<[Option<Arc<Node>>; FANOUT]>,
    len: usize,
}

impl Default for Fdb {
    fn default() -> Self {
        Fdb { root: Arc::new([const { None }; FANOUT]), len: 0 }
    }
}

fn place(key: FdbKey) -> (usize, usize) {
    // Fibonacci hashing; addresses on a segment differ in their low bits, which the product spreads upwards.
    let h = (key.mac ^ u64::from(key.vlan) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((h >> 58) as usize % FANOUT, (h >> 52) as usize % FANOUT)
}

impl Fdb {
    /// How many addresses it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry of `key`.
    pub fn get(&self, key: FdbKey) -> Option<&Arc<Entry>> {
        let (a, b) = place(key);
        self.root[a].as_ref()?[b].as_ref()?.iter().find(|e| e.key == key)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.root.iter().flatten().flat_map(|n| n.iter().flatten()).flat_map(|l| l.iter())
    }

    /// Puts `entry` in, in place of one with its key.
    fn insert(&mut self, entry: Arc<Entry>) {
        self.edit(entry.key, Some(entry));
    }

    fn remove(&mut self, key: FdbKey) {
        self.edit(key, None);
    }

    fn edit(&mut self, key: FdbKey, entry: Option<Arc<Entry>>) {
        let (a, b) = place(key);
        let node = Arc::make_mut(&mut self.root)[a].get_or_insert_with(|| Arc::new([const { None }; FANOUT]));
        let leaf = &mut Arc::make_mut(node)[b];
        let before = leaf.as_ref().map_or(0, |l| l.len());
        let rest = leaf.iter().flat_map(|l| l.iter()).filter(|e| e.key != key).cloned();
        let new: Leaf = rest.chain(entry).collect();
        self.len = self.len - before + new.len();
        *leaf = (!new.is_empty()).then_some(new);
    }
}

/// What a learned address did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It was there, on that port.
    Known,
    /// New, or moved to another port. `evicted` had to go for it.
    Changed { evicted: Option<FdbKey> },
    /// The table's size or the quota is 0.
    Refused,
}

/// The writer's side of one bridge's table: who learned what, in which order, and when it ages.
#[derive(Debug, Default)]
pub struct Learner {
    ports: BTreeMap<OfPort, PortBook>,
    /// Entries that had to go for others, by their port.
    evictions: BTreeMap<OfPort, u64>,
    aging: TimerQueue<FdbKey>,
    events: Events,
}

/// What happened to a table so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    pub learned: u64,
    pub expired: u64,
    pub evicted: u64,
    /// Learned addresses that came by another port.
    pub moved: u64,
    /// Times that a static address was seen by another port than its own, which changes nothing.
    pub refused: u64,
}

impl Events {
    /// Those since `before`.
    pub fn since(&self, before: &Events) -> Events {
        Events {
            learned: self.learned.saturating_sub(before.learned),
            expired: self.expired.saturating_sub(before.expired),
            evicted: self.evicted.saturating_sub(before.evicted),
            moved: self.moved.saturating_sub(before.moved),
            refused: self.refused.saturating_sub(before.refused),
        }
    }

    /// Those of both.
    pub fn plus(&self, other: &Events) -> Events {
        Events {
            learned: self.learned + other.learned,
            expired: self.expired + other.expired,
            evicted: self.evicted + other.evicted,
            moved: self.moved + other.moved,
            refused: self.refused + other.refused,
        }
    }
}

/// Entries of one port.
#[derive(Debug, Default)]
struct PortBook {
    count: usize,
    /// Roughly by time of last use, each with the time that it was put in with. May hold keys that are gone or moved.
    order: VecDeque<(FdbKey, Instant)>,
}

/// How many recently used entries an eviction passes over before it takes one all the same.
const SECOND_CHANCES: usize = 16;

impl Learner {
    /// Learns that `key` is on `port`; `Instant::MAX` makes it static.
    pub fn learn(&mut self, fdb: &mut Fdb, key: FdbKey, port: OfPort, now: Instant, settings: &Settings) -> Learned {
        let old = fdb.get(key);
        if let Some(old) = old
            && old.port == port
            && (now != Instant::MAX || old.is_static())
        {
            old.touch(now);
            return Learned::Known;
        }
        if now != Instant::MAX && old.is_some_and(|e| e.is_static()) {
            self.events.refused += 1;
            return Learned::Known;
        }
        let moved = old.map(|e| e.port);
        let quota = if settings.mac_quota == 0 { usize::MAX } else { settings.mac_quota };
        if settings.mac_table_size == 0 {
            return Learned::Refused;
        }
        match moved {
            _ if now == Instant::MAX => {}
            Some(_) => self.events.moved += 1,
            None => self.events.learned += 1,
        }
        if let Some(from) = moved {
            self.uncount(from);
        }
        let mut evicted = None;
        if self.count(port) >= quota {
            evicted = self.evict(fdb, port);
        } else if moved.is_none() && fdb.len() >= settings.mac_table_size {
            evicted = self.most_entries().and_then(|p| self.evict(fdb, p));
        }
        fdb.insert(Arc::new(Entry { key, port, used: AtomicU64::new(now.as_nanos()) }));
        let book = self.ports.entry(port).or_default();
        book.count += 1;
        book.order.push_back((key, now));
        if book.order.len() > 4 * book.count + 64 {
            book.order.retain(|(k, _)| fdb.get(*k).is_some_and(|e| e.port == port));
        }
        self.aging.arm(key, now + settings.mac_aging);
        Learned::Changed { evicted }
    }

    /// How many addresses are learned on `port`.
    pub fn count(&self, port: OfPort) -> usize {
        self.ports.get(&port).map_or(0, |b| b.count)
    }

    /// Addresses of each port that had to go because it had too many.
    pub fn evictions(&self) -> &BTreeMap<OfPort, u64> {
        &self.evictions
    }

    /// What happened so far.
    pub fn events(&self) -> &Events {
        &self.events
    }

    fn uncount(&mut self, port: OfPort) {
        if let Some(book) = self.ports.get_mut(&port) {
            book.count = book.count.saturating_sub(1);
            if book.count == 0 {
                self.ports.remove(&port);
            }
        }
    }

    fn most_entries(&self) -> Option<OfPort> {
        self.ports.iter().max_by_key(|(_, b)| b.count).map(|(p, _)| *p)
    }

    /// Removes an entry of `port` that was not used for long.
    fn evict(&mut self, fdb: &mut Fdb, port: OfPort) -> Option<FdbKey> {
        let book = self.ports.get_mut(&port)?;
        let mut chances = SECOND_CHANCES;
        while let Some((key, since)) = book.order.pop_front() {
            let Some(entry) = fdb.get(key).filter(|e| e.port == port) else { continue };
            if entry.is_static() {
                continue;
            }
            if entry.used() > since && chances > 0 {
                chances -= 1;
                book.order.push_back((key, entry.used()));
                continue;
            }
            self.forget(fdb, key);
            self.events.evicted += 1;
            *self.evictions.entry(port).or_default() += 1;
            return Some(key);
        }
        None
    }

    fn forget(&mut self, fdb: &mut Fdb, key: FdbKey) {
        if let Some(port) = fdb.get(key).map(|e| e.port) {
            fdb.remove(key);
            self.uncount(port);
            self.aging.cancel(&key);
        }
    }

    /// Removes an address that is due, if one is. Call until None.
    pub fn expire(&mut self, fdb: &mut Fdb, now: Instant, aging: Duration) -> Option<FdbKey> {
        while let Some(key) = self.aging.expired(now) {
            let Some(entry) = fdb.get(key) else { continue };
            let due = entry.used() + aging;
            if due > now {
                self.aging.arm(key, due);
                continue;
            }
            self.forget(fdb, key);
            self.events.expired += 1;
            return Some(key);
        }
        None
    }

    /// When [`Learner::expire`] may have something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.aging.deadline()
    }

    /// Forgets one address; whether it was there.
    pub fn remove(&mut self, fdb: &mut Fdb, key: FdbKey) -> bool {
        let there = fdb.get(key).is_some();
        self.forget(fdb, key);
        there
    }

    /// Forgets the addresses of `port`, or all that were learned; returns them.
    pub fn flush(&mut self, fdb: &mut Fdb, port: Option<OfPort>) -> Vec<FdbKey> {
        let goes = |e: &Entry| port.map_or_else(|| !e.is_static(), |p| p == e.port);
        let gone = fdb.iter().filter(|e| goes(e)).map(|e| e.key).collect::<Vec<_>>();
        gone.iter().for_each(|key| self.forget(fdb, *key));
        gone
    }

    /// Starts the timers again after the aging time changed.
    pub fn rearm(&mut self, fdb: &Fdb, aging: Duration) {
        for entry in fdb.iter() {
            self.aging.arm(entry.key, entry.used() + aging);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Op {
        Learn(u16, u64, u32),
        Touch(u16, u64),
        Flush(u32),
        Wait(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => (0u16..3, 0u64..12, 1u32..5).prop_map(|(v, m, p)| Op::Learn(v, m, p)),
            2 => (0u16..3, 0u64..12).prop_map(|(v, m)| Op::Touch(v, m)),
            1 => (1u32..5).prop_map(Op::Flush),
            2 => (1u64..200).prop_map(Op::Wait),
        ]
    }

    proptest! {
           #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
           #[test]
           fn agrees_with_a_plain_map(ops in prop::collection::vec(op(), 1..60), size in 1usize..10, quota in 0usize..5) {
               let settings = Settings { mac_table_size: size, mac_quota: quota, ..Settings::default() };
               let (mut fdb, mut learner, mut now) = (Fdb::default(), Learner::default(), Instant::from_millis(1000));
               let mut naive: BTreeMap<FdbKey, (OfPort, Instant)> = BTreeMap::new();
               for op in ops {
                   let before = (fdb.clone(), naive.clone());
                   match op {
                       Op::Learn(vlan, mac, port) => {
                           let (key, port) = (FdbKey { vlan, mac }, OfPort(port));
                           let counts = |n: &BTreeMap<FdbKey, (OfPort, Instant)>, p| n.values().filter(|e| e.0 == p).count();
                           match learner.learn(&mut fdb, key, port, now, &settings) {
                               Learned::Known => prop_assert_eq!(naive.get(&key).map(|e| e.0), Some(port)),
                               Learned::Changed { evicted } => {
                                   prop_assert_ne!(naive.get(&key).map(|e| e.0), Some(port));
                                   let full = naive.len() >= size && !naive.contains_key(&key);
                                   let over = quota > 0 && counts(&naive, port) >= quota;
                                   prop_assert_eq!(evicted.is_some(), full || over);
                                   if let Some(e) = evicted {
                                       let victim = naive.get(&e).unwrap().0;
                                       if over {
                                           prop_assert_eq!(victim, port);
                                       } else {
                                           let most = naive.values().map(|e| counts(&naive, e.0)).max().unwrap();
                                           prop_assert_eq!(counts(&naive, victim), most);
                                       }
                                       naive.remove(&e);
                                   }
                                   naive.insert(key, (port, now));
                               }
                               Learned::Refused => prop_assert!(false),
                           }
                           if let Some(e) = naive.get_mut(&key)
    && now.as_nanos() > e.1.as_nanos() + REFRESH_GRAIN {
    e.1 = now;
    }
                       }
                       Op::Touch(vlan, mac) => {
                           let key = FdbKey { vlan, mac };
                           if let Some(e) = fdb.get(key) { e.touch(now); }
                           if let Some(e) = naive.get_mut(&key)
    && now.as_nanos() > e.1.as_nanos() + REFRESH_GRAIN {
    e.1 = now;
    }
                       }
                       Op::Flush(port) => {
                           learner.flush(&mut fdb, Some(OfPort(port)));
                           naive.retain(|_, e| e.0 != OfPort(port));
                       }
                       Op::Wait(s) => {
                           now += Duration::from_secs(s);
                           while learner.expire(&mut fdb, now, settings.mac_aging).is_some() {}
                           naive.retain(|_, e| e.1 + settings.mac_aging > now);
                       }
                   }
                   let all: BTreeMap<_, _> = fdb.iter().map(|e| (e.key, (e.port, e.used()))).collect();
                   prop_assert_eq!(&all, &naive);
                   prop_assert_eq!(fdb.len(), naive.len());
                   prop_assert!(naive.len() <= size);
                   for port in 1..5 {
                       let count = naive.values().filter(|e| e.0 == OfPort(port)).count();
                       prop_assert_eq!(learner.count(OfPort(port)), count);
                   }
                   // the copy that a reader may hold has not changed
                   let old: BTreeMap<_, _> = before.0.iter().map(|e| (e.key, e.port)).collect();
                   prop_assert_eq!(old, before.1.iter().map(|(k, e)| (*k, e.0)).collect::<BTreeMap<_, _>>());
               }
           }
       }
}
