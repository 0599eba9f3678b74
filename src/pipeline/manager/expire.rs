//! What packets and time do to the tables: learning, aging, timeouts.

use std::sync::Arc;
use std::time::Duration;

use base::clock::Instant;
use dpif::{Change, Thing};
use openflow::OfPort;

use super::{Manager, RemovedReason};
use crate::normal::fdb::{FdbKey, Learned};

/// Effects taken in one go: bounds how long the owner loop is held.
const EFFECTS_AT_ONCE: usize = 4096;
/// How often frozen states are looked through.
const SWEEP: Duration = Duration::from_secs(1);

impl Manager {
    /// Applies what packets taught and what is due at `now`. True when something is to be published.
    pub fn process(&mut self, now: Instant) -> bool {
        let shared = self.shared.clone();
        for (effect, seen) in shared.effects.drain(EFFECTS_AT_ONCE) {
            self.carry_out(effect, seen);
        }
        self.carry_out_deferred();
        self.age(now);
        self.expire_rules(now);
        self.remove_orphans();
        if now >= self.swept + SWEEP {
            self.swept = now;
            self.shared.sweep(now);
        }
        self.is_dirty()
    }

    /// Until when [`Manager::process`] has nothing to do, if no packet teaches anything.
    pub fn deadline(&self) -> Option<Instant> {
        let aging = self.learners.iter().filter_map(|l| l.deadline());
        aging.chain(self.timeouts.deadline()).min()
    }

    pub(super) fn learn(&mut self, index: u32, key: FdbKey, port: OfPort, now: Instant) {
        let Some(bridge) = self.work.bridges.get_mut(index as usize).and_then(Option::as_mut) else { return };
        let Some(learner) = self.learners.get_mut(index as usize) else { return };
        if !bridge.ports.contains_key(&port) {
            return;
        }
        if let Some(entry) = bridge.fdb.get(key)
            && entry.port == port
            && (now != Instant::MAX || entry.is_static())
        {
            entry.touch(now);
            return;
        }
        // A megaflow tells of its packets some time after they came: others may have come by another port since.
        if bridge.fdb.get(key).is_some_and(|e| e.port != port && !e.is_static() && now < e.used()) {
            return;
        }
        let bridge = Arc::make_mut(bridge);
        let thing = |k: FdbKey| Change::Thing(Thing::Fdb { bridge: index, vlan: k.vlan, mac: k.mac });
        match learner.learn(&mut bridge.fdb, key, port, now, &bridge.settings) {
            Learned::Known => {}
            Learned::Changed { evicted } => {
                self.changes.push(thing(key));
                if let Some(gone) = evicted {
                    self.evictions += 1;
                    self.changes.push(thing(gone));
                }
            }
            Learned::Refused => self.evictions += 1,
        }
    }

    fn age(&mut self, now: Instant) {
        for (index, learner) in self.learners.iter_mut().enumerate() {
            if learner.deadline().is_none_or(|d| d > now) {
                continue;
            }
            let Some(bridge) = self.work.bridges.get_mut(index).and_then(Option::as_mut) else { continue };
            let bridge = Arc::make_mut(bridge);
            while let Some(gone) = learner.expire(&mut bridge.fdb, now, bridge.settings.mac_aging) {
                let thing = Thing::Fdb { bridge: index as u32, vlan: gone.vlan, mac: gone.mac };
                self.changes.push(Change::Thing(thing));
            }
        }
    }

    fn expire_rules(&mut self, now: Instant) {
        // a draft has copies of what expires now: it would bring them back
        if self.is_drafting() {
            return;
        }
        while let Some((index, table, id)) = self.timeouts.expired(now) {
            let Some(timed) = self.timed.get(&id) else { continue };
            let found = self.work.bridge(index).and_then(|b| b.table(table));
            let rule = found.and_then(|t| t.rules.find_exact(&timed.matching, timed.rank));
            // A rule that went otherwise is forgotten here and not there, so that a bundle can be undone.
            let Some(rule) = rule.filter(|r| r.id == id).cloned() else {
                self.timed.remove(&id);
                continue;
            };
            let used = Instant::from_nanos(rule.stats.get().2).max(rule.modified);
            let after =
                |from: Instant, seconds: u16| (seconds != 0).then(|| from + Duration::from_secs(seconds.into()));
            let (hard, idle) = (after(rule.renewed(), rule.hard_timeout), after(used, rule.idle_timeout));
            if hard.is_some_and(|at| at <= now) {
                self.timed.remove(&id);
                self.remove_rule(index, table, &rule, RemovedReason::Hard);
            } else if idle.is_some_and(|at| at <= now) {
                self.timed.remove(&id);
                self.remove_rule(index, table, &rule, RemovedReason::Idle);
            } else if let Some(next) = hard.into_iter().chain(idle).min() {
                self.timeouts.arm((index, table, id), next);
            }
        }
    }
}
