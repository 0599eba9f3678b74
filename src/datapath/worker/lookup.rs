//! One packet at a time: recirculated ones, parked ones, and those that no cache knew: translation and its budget.

use base::limit::Verdict;
use dpif::text::Actions;
use dpif::{DropReason, Input};
use flow::layout::IN_PORT;
use flow::text::odp::{format_megaflow, format_packet};

use super::Core;
use crate::action::Packet;
use crate::cache::NONE;
use crate::cache::slab::OUTPUT;
use crate::fate::COPY;
use crate::meta::{Waiting, extract_all};
use crate::program::Program;

impl Core {
    /// Looks up recirculated packets until there are none left. Actions append to the list; depth is bounded per packet.
    #[inline]
    pub(crate) fn recirculated(&mut self) {
        while let Some(waiting) = self.out.work.pop_front() {
            self.single(waiting, false);
        }
    }

    /// Looks up parked packets again, ports taking turns, as far as the budget for translations goes.
    #[inline(never)]
    pub(crate) fn serve_parked(&mut self) -> u32 {
        let mut served = 0;
        let mut at = (self.ticks)();
        for slot in 0..self.park.len() {
            if self.park.get(slot).is_none_or(|q| q.is_empty()) {
                continue;
            }
            self.flows.burst = self.flows.burst.wrapping_add(1);
            if self.flows.port(slot as u16).is_some_and(|p| p.version != self.version) {
                self.catch_up(slot as u16);
            }
            // Each of them once, in order: when the budget is used up, those go on that are of known flows by now, whatever
            // is before them: later packets of these would overtake them.
            for _ in 0..self.park.get(slot).map_or(0, |q| q.len()) {
                let Some(waiting) = self.park.get_mut(slot).and_then(|q| q.pop_front()) else { break };
                self.parked -= 1;
                if let Some(unparked) = self.unparked.get_mut(slot) {
                    *unparked += 1;
                }
                served += 1;
                self.single(waiting, true);
            }
            self.recirculated();
            self.count_parked(slot);
            let after = (self.ticks)();
            if let Some(owed) = self.owed.get_mut(slot) {
                owed.0 += after.saturating_sub(at);
                owed.1 += std::mem::take(&mut self.missing);
            }
            at = after;
        }
        served
    }

    fn count_parked(&self, slot: usize) {
        if let (Some(queue), Some(Some(port))) = (self.park.get(slot), self.out.tx.fates.ports.get(slot)) {
            port.parked.set(queue.len() as u64);
        }
    }

    /// Runs the program of a megaflow on a packet.
    pub(super) fn program(&mut self, action: u32, waiting: Waiting) {
        let Waiting { frame, slot, primary, meta } = waiting;
        let fate = if primary { slot } else { slot | COPY };
        if action & OUTPUT != 0 {
            self.out.tx.output(action & !OUTPUT, frame, fate);
            return;
        }
        let (Some(program), Some(port)) = (self.flows.programs.get(action), self.flows.port(slot)) else {
            self.out.tx.fates.lost(fate, DropReason::Internal, &frame);
            return;
        };
        let mut packet = Packet::new(slot, port.port, primary, meta);
        self.out.run(&program.0, frame, &mut packet, DropReason::Rule, self.now);
    }

    /// A packet on its own, from extraction on. `parked` says that it waited before.
    pub(super) fn single(&mut self, waiting: Waiting, parked: bool) {
        let slot = waiting.slot;
        let fate = if waiting.primary { slot } else { slot | COPY };
        let Some(port) = self.flows.port(slot) else {
            self.out.tx.fates.lost(fate, DropReason::PortGone, &waiting.frame);
            return;
        };
        let (id, number) = (port.id() as u32, port.port);
        let vlan_limit = self.out.vlan_limit;
        if extract_all(&waiting.frame, id, &waiting.meta, vlan_limit, &mut self.key, &mut self.layers).is_err() {
            self.out.tx.fates.lost(fate, DropReason::Runt, &waiting.frame);
            return;
        }
        let received = waiting.meta.recirc_id == 0;
        if self.flows.limits.caches {
            let index = self.find_one(slot);
            if index != NONE {
                if received {
                    self.learn_class(slot, Some(&waiting.frame), index);
                }
                self.hit(index, waiting);
                return;
            }
        }
        let budget = self.budget.get_mut(usize::from(slot));
        match budget {
            Some(budget) if *budget != 0 => *budget -= 1,
            _ => {
                if !parked && let Some(Some(port)) = self.out.tx.fates.ports.get(usize::from(slot)) {
                    port.over_budget.add(1);
                }
                self.park(waiting, parked);
                return;
            }
        }
        self.out.tx.fates.worker.miss.add(1);
        if let Some(Some(port)) = self.out.tx.fates.ports.get(usize::from(slot)) {
            port.misses.add(1);
        }
        *self.flow = self.key.to_flow();
        self.flow.set(IN_PORT, u128::from(number.0));
        if log::log_enabled!(target: "dpif", log::Level::Debug) && self.tells() {
            log::debug!(target: "dpif", "port {number}: miss upcall:\n{}", format_packet(&self.flow));
        }
        self.translate(waiting);
    }

    /// The megaflow of the packet whose key is in `self.key`, if it is current.
    fn find_one(&mut self, slot: u16) -> u32 {
        let worker = self.out.tx.fates.worker.clone();
        let Some(port) = self.flows.port(slot) else { return NONE };
        let base = self.key.base();
        let space = &port.spaces[usize::from(base[0] >> 32 != 0)];
        let mut index = self.flows.signatures.find(space.hash(base, &self.key, self.flows.seed));
        if self.flows.verify(port, index, base, || &self.key) {
            worker.hit_signature.add(1);
        } else {
            index = self.flows.find(slot, base, &self.key, &worker);
            worker.hit_tuple.add(u64::from(index != NONE));
        }
        let stamp = self.flows.port(slot).map_or(0, |p| p.pending.now());
        if self.flows.slab.get(index).is_some_and(|hot| hot.stamp != stamp) && !self.is_current(slot, index) {
            return NONE;
        }
        index
    }

    /// Counts a packet of a megaflow and runs its actions.
    fn hit(&mut self, index: u32, waiting: Waiting) {
        let Some(hot) = self.flows.slab.get_mut(index) else { return };
        hot.count(1, waiting.frame.len() as u64, self.now.as_nanos(), self.flows.burst);
        let action = hot.action;
        self.program(action, waiting);
    }

    /// Queues a packet until there is budget for its translation.
    #[cold]
    fn park(&mut self, waiting: Waiting, again: bool) {
        let slot = usize::from(waiting.slot);
        let most = self.flows.limits.park;
        match self.park.get_mut(slot) {
            Some(queue) if queue.len() < most => {
                if again && let Some(unparked) = self.unparked.get_mut(slot) {
                    *unparked = unparked.saturating_sub(1);
                }
                queue.push_back(waiting);
                self.parked += 1;
                self.count_parked(slot);
            }
            _ => {
                let fate = if waiting.primary { waiting.slot } else { waiting.slot | COPY };
                self.out.tx.fates.lost(fate, DropReason::Budget, &waiting.frame);
            }
        }
    }

    /// Asks the pipeline about the packet whose flow is in `self.flow`, caches the answer and acts on it.
    #[cold]
    fn translate(&mut self, waiting: Waiting) {
        let now = self.now;
        let start = (self.ticks)();
        let input = Input { flow: &self.flow, frame: Some(waiting.frame.data()), now };
        self.out.reader.translate(&input, &mut self.translation);
        let worker = self.out.tx.fates.worker.clone();
        worker.translations.add(1);
        let mut cacheable = self.translation.cacheable && self.flows.limits.caches;
        for effect in &self.translation.effects {
            if !self.out.reader.apply(effect, now) {
                worker.lost.add(1);
                cacheable = false;
            }
        }
        let program = Program::new(&self.translation.actions, self.translation.drop);
        if cacheable {
            let t = &mut self.translation;
            let before = (worker.masks_capped.get(), worker.evicted.get());
            let inserted = self.flows.insert(waiting.slot, &self.flow, t, &program, now, &worker);
            if let Some(Some(port)) = self.out.tx.fates.ports.get(usize::from(waiting.slot)) {
                port.masks_capped.add(worker.masks_capped.get() - before.0);
                port.evictions.add(worker.evicted.get() - before.1);
            }
            if let Some(index) = inserted {
                self.remember(waiting.slot, index);
                self.missed(start);
                if waiting.meta.recirc_id == 0 {
                    self.learn_class(waiting.slot, Some(&waiting.frame), index);
                }
                if let Some((_, cold)) = self.flows.slab.both_mut(index) {
                    cold.first = waiting.frame.len() as u64;
                }
                self.tell_added(index, &program);
                self.hit(index, waiting);
                self.flows.is_new(index);
                return;
            }
        }
        worker.uncached.add(1);
        self.missed(start);
        for stats in &self.translation.stats {
            stats.add(1, waiting.frame.len() as u64, now);
        }
        let Waiting { frame, slot, primary, meta } = waiting;
        let Some(port) = self.flows.port(slot) else { return };
        let mut packet = Packet::new(slot, port.port, primary, meta);
        self.out.run(&program.0, frame, &mut packet, DropReason::Rule, now);
    }

    /// Whether there may be one more line about misses.
    fn tells(&mut self) -> bool {
        match self.told.check(self.now) {
            Verdict::Deny => false,
            Verdict::Allow { suppressed } => {
                if let Some(suppressed) = suppressed {
                    log::debug!(target: "dpif_netdev", "{suppressed}");
                }
                true
            }
        }
    }

    /// Logs a new megaflow where somebody asked for that, bounded in time.
    fn tell_added(&mut self, index: u32, program: &Program) {
        if !log::log_enabled!(target: "dpif_netdev", log::Level::Debug) {
            return;
        }
        if self.tells()
            && let Some(cold) = self.flows.slab.cold(index)
        {
            // bits that do not decide are those of the packet that it was made for
            let key = format_megaflow(&self.flow, &cold.mask);
            log::debug!(target: "dpif_netdev", "flow_add: {key}, actions:{}", Actions(&program.0));
        }
    }

    /// Counts what a miss cost that began at `start`.
    fn missed(&mut self, start: u64) {
        let cycles = (self.ticks)().saturating_sub(start);
        self.missing += cycles;
        self.out.tx.fates.worker.miss_cycles.add(cycles, 1, cycles);
    }

    /// Enters the packet in `self.key` in the signature cache.
    fn remember(&mut self, slot: u16, index: u32) {
        let Some(port) = self.flows.port(slot) else { return };
        let base = self.key.base();
        let space = &port.spaces[usize::from(base[0] >> 32 != 0)];
        let hash = space.hash(base, &self.key, self.flows.seed);
        self.flows.signatures.insert(hash, index);
    }
}
