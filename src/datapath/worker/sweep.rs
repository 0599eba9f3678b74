//! The sweep: a few megaflows per loop, so that each is visited twice a second: counters folded into the rules'
//! statistics, effects replayed, idle ones removed, stamps brought up to date.

use base::clock::Instant;

use super::Core;

/// A round over all megaflows takes this long, nanoseconds.
const ROUND: u64 = 400_000_000;
/// Slices come at this distance while packets come.
const SLICE: u64 = 50_000;
/// Most places visited in one step: two million megaflows keep the round's time.
const MOST: u64 = 256;
/// Figures are shown at this distance.
const SHOW: u64 = 1_000_000;
/// Subtables that were empty for so long go.
const MASK_IDLE: u64 = 2_000_000_000;

#[derive(Default)]
pub(super) struct Sweep {
    last: u64,
    shown: u64,
    hand: u32,
    /// Visits that the time asked for and that are still to come.
    owed: u64,
}

impl Sweep {
    /// Whether visits are left that the next step should go on with.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.owed != 0
    }
}

impl Core {
    /// Visits megaflows as the time since the last slice asks for, some of them; how many.
    #[inline]
    pub(crate) fn sweep(&mut self, now: Instant, idle: bool) -> u32 {
        let passed = now.as_nanos().saturating_sub(self.sweep.last);
        if passed >= SLICE || idle && self.sweep.owed != 0 { self.slice(now, passed) } else { 0 }
    }

    #[cold]
    fn slice(&mut self, now: Instant, passed: u64) -> u32 {
        self.sweep.last = now.as_nanos();
        if now.as_nanos().saturating_sub(self.sweep.shown) >= SHOW {
            self.show(now);
        }
        let places = u64::from(self.flows.slab.places());
        if places == 0 {
            self.round(now);
            return 0;
        }
        // rounded up, for the few that a short time asks for
        let asked = (places.saturating_mul(passed.min(ROUND))).div_ceil(ROUND);
        self.sweep.owed = (self.sweep.owed + asked).min(places);
        let count = self.sweep.owed.min(MOST);
        self.sweep.owed -= count;
        for n in 0..count {
            let at = self.sweep.hand;
            self.sweep.hand += 1;
            self.visit(at, now);
            if u64::from(self.sweep.hand) >= places {
                self.sweep.hand = 0;
                self.round(now);
                self.sweep.owed = 0;
                return n as u32 + 1;
            }
        }
        count as u32
    }

    fn show(&mut self, now: Instant) {
        self.sweep.shown = now.as_nanos();
        self.flows.signatures.fit(self.flows.slab.len());
        let counters = &self.out.tx.fates.worker;
        counters.megaflows.set(self.flows.slab.len() as u64);
        counters.masks.set(self.flows.masks() as u64);
        counters.version.set(self.version);
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
                // As of its last packet, and before what was translated at that time. Not taken now, it comes again with
                // the next ones.
                let _ = self.out.reader.apply(effect, Instant::from_nanos(used.saturating_sub(1)));
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
}
