//! The sweep: a few megaflows per loop, so that each is visited twice a second: counters folded into the rules'
//! statistics, effects replayed, idle ones removed, stamps brought up to date.

use base::clock::Instant;

use super::Core;

/// A round over all megaflows takes this long, nanoseconds.
const ROUND: u64 = 400_000_000;
/// Slices come at this distance.
const SLICE: u64 = 1_000_000;
/// Most places visited in one slice.
const MOST: u64 = 4096;
/// Subtables that were empty for so long go.
const MASK_IDLE: u64 = 2_000_000_000;

#[derive(Default)]
pub(super) struct Sweep {
    last: u64,
    hand: u32,
}

impl Core {
    /// Visits as many megaflows as the time since the last slice asks for.
    #[inline]
    pub(crate) fn sweep(&mut self, now: Instant) {
        let passed = now.as_nanos().saturating_sub(self.sweep.last);
        if passed >= SLICE {
            self.slice(now, passed);
        }
    }

    #[cold]
    fn slice(&mut self, now: Instant, passed: u64) {
        self.sweep.last = now.as_nanos();
        let places = u64::from(self.flows.slab.places());
        self.flows.signatures.fit(self.flows.slab.len());
        let counters = &self.out.tx.fates.worker;
        counters.megaflows.set(self.flows.slab.len() as u64);
        counters.masks.set(self.flows.masks() as u64);
        counters.version.set(self.version);
        if places == 0 {
            self.round(now);
            return;
        }
        let count = (places.saturating_mul(passed.min(ROUND)) / ROUND + 1).min(MOST).min(places);
        for _ in 0..count {
            let at = self.sweep.hand;
            self.visit(at, now);
            self.sweep.hand += 1;
            if u64::from(self.sweep.hand) >= places {
                self.sweep.hand = 0;
                self.round(now);
                break;
            }
        }
    }

    /// Visits one megaflow.
    pub(super) fn visit(&mut self, index: u32, now: Instant) {
        let Some(hot) = self.flows.slab.get(index).filter(|hot| hot.live) else { return };
        let slot = (hot.line[0] >> 16) as u16;
        let (used, stamp) = (hot.used, hot.stamp);
        if self.flows.port(slot).is_some_and(|p| p.version != self.version) {
            self.catch_up(slot);
        }
        if self.flows.slab.get(index).is_none_or(|hot| !hot.live) {
            return;
        }
        if self.flows.fold(index)
            && let Some(cold) = self.flows.slab.cold(index)
        {
            for effect in &cold.effects {
                // not taken now, it comes again with the next packets
                let _ = self.out.reader.apply(effect, now);
            }
        }
        if now.as_nanos().saturating_sub(used) >= self.flows.limits.max_idle {
            self.flows.remove(index);
        } else if self.flows.port(slot).is_some_and(|p| p.pending.now() != stamp) {
            self.is_current(slot, index);
        }
    }

    /// All megaflows were visited since the last round: changes that were pending then are settled.
    fn round(&mut self, now: Instant) {
        for port in self.flows.ports.iter_mut().flatten() {
            port.recycle(now, MASK_IDLE);
            let pending = &mut port.pending;
            let settled = (pending.mark.saturating_sub(pending.first) as usize).min(pending.changes.len());
            pending.changes.drain(..settled);
            pending.first += settled as u64;
            pending.mark = pending.now();
        }
    }

    /// Folds everything now.
    pub(super) fn fold_all(&mut self, now: Instant) {
        for index in 0..self.flows.slab.places() {
            self.visit(index, now);
        }
    }
}
