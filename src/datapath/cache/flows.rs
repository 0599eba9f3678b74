//! All megaflows of a worker: making, finding, folding and removing them.

use std::io;

use base::clock::Instant;
use dpif::{PortNo, Translation};
use flow::layout::{IN_PORT, KEY_WORDS, RECIRC_ID, TIERS_BITS, TIERS_WORD};
use flow::{Flow, Key};

use super::NONE;
use super::hash::{self, Base};
use super::index::rewrites;
use super::port::PortCache;
use super::signature::SignatureCache;
use super::slab::{self, Cold, Hot, Rate, Slab};
use crate::program::{Program, Programs};
use crate::stats::WorkerCounters;

/// Settings of a worker, changeable at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most megaflows on a worker (`flow-limit`).
    pub megaflows: usize,
    /// Most masks per in_port; past it new megaflows take a superset.
    pub masks: usize,
    /// Idle megaflows go after so many nanoseconds (`max-idle`).
    pub max_idle: u64,
    /// Most frames that wait for translation per port.
    pub park: usize,
    /// Translations per port and loop; more packets of new flows wait.
    pub translations: u32,
    /// Cache megaflows at all. Off, every packet is translated: a twin to test the caches against.
    pub caches: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { megaflows: 200_000, masks: 64, max_idle: 10_000_000_000, park: 512, translations: 32, caches: true }
    }
}

/// Places that are looked at for one to evict.
const REACH: u32 = 1024;

pub(crate) struct Flows {
    pub(crate) slab: Slab,
    pub(crate) signatures: SignatureCache,
    /// By slot.
    pub(crate) ports: Vec<Option<Box<PortCache>>>,
    pub(crate) programs: Programs,
    pub(crate) limits: Limits,
    pub(crate) seed: u64,
    /// Number of the burst at hand.
    pub(crate) burst: u32,
    /// Next place that eviction looks at.
    hand: u32,
}

impl Flows {
    pub(crate) fn new(limits: Limits, seed: u64) -> io::Result<Flows> {
        Ok(Flows {
            slab: Slab::new(limits.megaflows)?,
            signatures: SignatureCache::new()?,
            ports: Vec::new(),
            programs: Programs::default(),
            limits,
            seed,
            burst: 0,
            hand: 0,
        })
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        if !limits.caches {
            self.flush();
        }
        self.slab.reserve(limits.megaflows);
        self.limits = limits;
    }

    #[inline(always)]
    pub(crate) fn port(&self, slot: u16) -> Option<&PortCache> {
        self.ports.get(usize::from(slot))?.as_deref()
    }

    /// The slot of a port.
    pub(crate) fn slot(&self, port: PortNo) -> Option<u16> {
        self.ports.iter().flatten().find(|p| p.port == port && !p.closing).map(|p| p.slot)
    }

    /// Whether the packet belongs to megaflow `index`, which a hint named. Its whole key is asked for where a mask looks
    /// beyond the first tier.
    #[inline(always)]
    pub(crate) fn verify<'k>(&self, port: &PortCache, index: u32, base: &Base, key: impl FnOnce() -> &'k Key) -> bool {
        let Some(hot) = self.slab.get(index) else { return false };
        let Some(mask) = port.bases.get(hot.line[0] as usize & 0xffff) else { return false };
        slab::agrees(hot, base, mask)
            && (!hot.higher || self.slab.cold(index).is_some_and(|cold| slab::agrees_higher(cold, key())))
    }

    /// The same for a plain packet by its words 3 and 4.
    #[inline(always)]
    pub(crate) fn verify_plain(&self, port: &PortCache, index: u32, id: u64, words: (u64, u64)) -> bool {
        let Some(hot) = self.slab.get(index) else { return false };
        let Some(mask) = port.bases.get(hot.line[0] as usize & 0xffff) else { return false };
        slab::agrees_plain(hot, id, words, mask)
    }

    /// The megaflow of the packet by the tuple space; remembered in the signature cache.
    pub(crate) fn find(&mut self, slot: u16, base: &Base, key: &Key, counters: &WorkerCounters) -> u32 {
        let Some(Some(port)) = self.ports.get_mut(usize::from(slot)) else { return NONE };
        let recirculated = base[0] >> 32 != 0;
        let (index, visited) = port.find(recirculated, base, key, self.seed, &self.slab);
        counters.subtables.add(visited);
        if index != NONE {
            let hash = port.spaces[usize::from(recirculated)].hash(base, key, self.seed);
            self.signatures.insert(hash, index);
        }
        index
    }

    /// Makes a megaflow of a translation of a packet of `flow`. None when none can be freed for it.
    pub(crate) fn insert(
        &mut self,
        slot: u16,
        flow: &Flow,
        t: &mut Translation,
        program: &Program,
        now: Instant,
        counters: &WorkerCounters,
    ) -> Option<u32> {
        while self.slab.len() >= self.limits.megaflows || self.slab.is_full() {
            let victim = self.victim()?;
            self.remove(victim);
            counters.evicted.add(1);
        }
        let port = self.ports.get_mut(usize::from(slot))?.as_deref_mut()?;
        let mut mask = std::mem::take(&mut t.mask);
        mask.w.iter_mut().skip(KEY_WORDS).for_each(|w| *w = 0);
        mask.w[0] = RECIRC_ID.bits() | IN_PORT.bits();
        mask.w[TIERS_WORD] &= !TIERS_BITS;
        let recirculated = flow.get64(RECIRC_ID) != 0;
        let (number, capped) = port.number(recirculated, &mask, self.limits.masks);
        counters.masks_capped.add(u64::from(capped));
        let table = port.tables.get_mut(usize::from(number))?.as_deref_mut()?;
        if capped {
            mask = table.mask.clone();
        }
        let mut key = flow.clone();
        let beyond = flow.w.iter().zip(&mask.w).enumerate().filter(|(_, (k, m))| **m != 0 && *k & !*m != 0);
        let beyond = beyond.map(|(i, (k, _))| (i as u8, *k)).collect();
        key.w.iter_mut().zip(&mask.w).for_each(|(k, m)| *k &= m);
        let mut line: Base = std::array::from_fn(|i| key.w[i]);
        line[0] = flow.get64(RECIRC_ID) << 32 | u64::from(slot) << 16 | u64::from(number);
        let whole = Key::from(&key);
        let mut id = line;
        id[0] = line[0] & slab::ID_BITS;
        let hash = table.hash(&id, &whole, self.seed);
        let deps = std::mem::take(&mut t.deps);
        table.rewriters += u32::from(rewrites(&deps));
        let hot = Hot {
            line,
            packets: 0,
            bytes: 0,
            used: now.as_nanos(),
            stamp: port.pending.now(),
            action: self.programs.intern(program),
            burst: self.burst,
            generation: 0,
            higher: hash::tiers(&mask) != 0,
            plain: hash::tiers(&mask) == 0 && slab::is_plain(&line, &std::array::from_fn(|i| mask.w[i])),
            live: true,
            referenced: true,
        };
        let cold = Cold {
            key,
            mask,
            whole: beyond,
            deps,
            effects: std::mem::take(&mut t.effects),
            stats: std::mem::take(&mut t.stats),
            drop: t.drop,
            hash,
            packets: 0,
            bytes: 0,
            first: 0,
            created: now.as_nanos(),
            folded: now.as_nanos(),
            rate: Rate::new(now.as_nanos()),
        };
        let index = self.slab.insert(hot, Box::new(cold));
        table.insert(hash, index, &self.slab);
        if let (Some(hot), Some(cold)) = (self.slab.get(index), self.slab.cold(index)) {
            port.index.add(&cold.deps, index, hot.generation);
        }
        port.megaflows += 1;
        Some(index)
    }

    /// A megaflow to evict: the next that was not hit since the hand last passed, none of the burst at hand. The hand
    /// goes [`REACH`] places at most, so that a packet does not wait for milliseconds; where all were hit, the first goes.
    fn victim(&mut self) -> Option<u32> {
        let (places, burst) = (self.slab.places(), self.burst);
        let mut first = None;
        for _ in 0..(2 * places).min(REACH) {
            self.hand = if self.hand + 1 >= places { 0 } else { self.hand + 1 };
            let Some(hot) = self.slab.get_mut(self.hand) else { continue };
            if !hot.live || hot.burst == burst {
                continue;
            }
            if !std::mem::take(&mut hot.referenced) {
                return Some(self.hand);
            }
            first = first.or(Some(self.hand));
        }
        first
    }

    /// Its only packet so far made it: the next to be evicted unless others come, so that a storm of flows of one packet
    /// each drives out its own.
    pub(crate) fn is_new(&mut self, index: u32) {
        if let Some(hot) = self.slab.get_mut(index) {
            hot.referenced = false;
        }
    }

    /// Adds what a megaflow counted since it last was here to its totals and statistics. True when it had packets.
    pub(crate) fn fold(&mut self, index: u32) -> bool {
        let Some((hot, cold)) = self.slab.both_mut(index) else { return false };
        if hot.packets == 0 {
            return false;
        }
        let (packets, bytes) = (std::mem::take(&mut hot.packets), std::mem::take(&mut hot.bytes));
        cold.fold(packets, bytes, hot.used);
        for stats in &cold.stats {
            stats.add(packets, bytes, Instant::from_nanos(hot.used));
        }
        true
    }

    /// Folds and removes a megaflow.
    pub(crate) fn remove(&mut self, index: u32) {
        self.fold(index);
        let Some(hot) = self.slab.get(index).filter(|hot| hot.live) else { return };
        let (id, action) = (hot.line[0], hot.action);
        let Some(Some(port)) = self.ports.get_mut((id >> 16) as usize & 0xffff) else { return };
        if let Some(Some(table)) = port.tables.get_mut(id as usize & 0xffff)
            && let Some(cold) = self.slab.cold(index)
        {
            table.remove(cold.hash, index, &self.slab);
            table.rewriters -= u32::from(rewrites(&cold.deps));
        }
        if let Some((_, cold)) = self.slab.remove(index) {
            port.index.remove(&cold.deps, &self.slab);
            port.megaflows -= 1;
        }
        self.programs.release(action);
    }

    /// Folds and removes a megaflow when it is of the slot.
    pub(crate) fn remove_of(&mut self, index: u32, slot: u16) {
        if self.slab.get(index).is_some_and(|hot| hot.live && (hot.line[0] >> 16) as u16 == slot) {
            self.remove(index);
        }
    }

    /// Removes all megaflows at once. It takes its time: for changes after which none may match any more.
    pub(crate) fn flush(&mut self) {
        (0..self.slab.places()).for_each(|index| self.remove(index));
    }

    pub(crate) fn masks(&self) -> usize {
        self.ports.iter().flatten().map(|p| p.masks()).sum()
    }
}
