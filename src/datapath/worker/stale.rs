//! Keeping megaflows true: what a new version changed is applied to a port's caches before its next packet is looked up.
//!
//! A change that names what it touches (a rule gone, an FDB entry) is looked up in the port's index. An added rule is
//! probed for in each subtable whose mask it covers: there one megaflow at most can be concerned. In others an index by
//! the bits that both masks have finds the megaflows in question. What is left (a mask's first rules, rules that concern
//! many megaflows, lookups of rewritten fields) waits in the port's list of pending changes, and a megaflow is checked
//! against it when it is hit.

use dpif::Change;
use flow::layout::{FRAG_ANY, FRAG_LATER, KEY_WORDS, NW_FRAG, PACKET_TYPE};
use flow::{Flow, Key, Match};

use super::Core;
use crate::cache::slab::{Cold, ID_BITS};
use crate::cache::tuple::Subtable;

/// Concerns all subtables.
const ALL: u16 = u16::MAX;
/// More megaflows than this are not removed at once but when they are hit.
const AT_ONCE: usize = 256;
/// More pending changes than this, and megaflows that were not checked are translated again.
const MOST_PENDING: usize = 1024;

impl Core {
    /// Applies what changed since the port last received.
    #[cold]
    pub(crate) fn catch_up(&mut self, slot: u16) {
        let Some(Some(port)) = self.flows.ports.get_mut(usize::from(slot)) else { return };
        let since = std::mem::replace(&mut port.version, self.version);
        if port.megaflows == 0 {
            return;
        }
        let mut changes = Vec::new();
        if !self.out.reader.changes(since, &mut |change| changes.push(change.clone())) {
            changes = vec![Change::Everything];
        }
        for change in changes {
            self.change(slot, change);
        }
    }

    fn change(&mut self, slot: u16, change: Change) {
        let Some(port) = self.flows.port(slot) else { return };
        let touched = match &change {
            Change::Everything => None,
            Change::Gone { table, .. } if !port.index.asked(table) => return,
            Change::Gone { rule, .. } => port.index.of_rule(*rule, &self.flows.slab, AT_ONCE),
            Change::Thing(thing) => port.index.of_thing(thing, &self.flows.slab, AT_ONCE),
            Change::Added { table, .. } if !port.index.asked(table) => return,
            Change::Added { .. } => {
                self.added(slot, &change);
                return;
            }
        };
        match touched {
            Some(touched) => touched.iter().for_each(|index| self.stale(*index)),
            None => self.pend(slot, ALL, change),
        }
    }

    fn stale(&mut self, index: u32) {
        self.out.tx.fates.worker.stale.add(1);
        self.flows.remove(index);
    }

    fn pend(&mut self, slot: u16, number: u16, change: Change) {
        let Some(Some(port)) = self.flows.ports.get_mut(usize::from(slot)) else { return };
        let pending = &mut port.pending;
        if pending.changes.len() >= MOST_PENDING || matches!(change, Change::Everything) {
            pending.first = pending.now() + 1;
            pending.changes.clear();
            pending.floor = pending.first;
        } else {
            pending.changes.push((number, change));
        }
    }

    /// A rule was added.
    fn added(&mut self, slot: u16, change: &Change) {
        let Change::Added { matching, .. } = change else { return };
        let subtables = self.flows.port(slot).map_or(0, |p| p.tables.len());
        for number in 0..subtables {
            let Some(port) = self.flows.port(slot) else { return };
            let Some(Some(table)) = port.tables.get(number) else { continue };
            if table.len() == 0 {
                continue;
            }
            let seed = self.flows.seed;
            let candidates = match probes(table, matching, port.id()) {
                Some(probes) => {
                    Some(probes.iter().map(|key| table.find(key.base(), key, seed, &self.flows.slab)).collect())
                }
                None if table.rewriters != 0 => None,
                None => {
                    let Some(Some(port)) = self.flows.ports.get_mut(usize::from(slot)) else { return };
                    let Some(Some(table)) = port.tables.get_mut(number) else { continue };
                    table.alike(matching, &self.flows.slab, AT_ONCE)
                }
            };
            let candidates: Vec<u32> = match candidates {
                Some(candidates) => candidates,
                None => {
                    self.pend(slot, number as u16, change.clone());
                    continue;
                }
            };
            for index in candidates {
                let touched = |c: &Cold| c.deps.touched_by(change, &c.key, &c.mask);
                if self.flows.slab.cold(index).is_some_and(touched) {
                    self.stale(index);
                }
            }
        }
    }

    /// Whether a megaflow outlived all changes that wait to be checked. If so it is stamped, else removed.
    #[cold]
    #[inline(never)]
    pub(super) fn is_current(&mut self, slot: u16, index: u32) -> bool {
        let Some(port) = self.flows.port(slot) else { return false };
        let (Some(hot), Some(cold)) = (self.flows.slab.get(index), self.flows.slab.cold(index)) else { return false };
        let (stamp, number) = (hot.stamp, hot.line[0] as u16);
        let pending = &port.pending;
        let skip = stamp.saturating_sub(pending.first) as usize;
        let touched = stamp < pending.floor
            || pending.changes.iter().skip(skip).any(|(subtable, change)| {
                (*subtable == ALL || *subtable == number) && cold.deps.touched_by(change, &cold.key, &cold.mask)
            });
        let now = pending.now();
        if touched {
            self.stale(index);
            return false;
        }
        if let Some(hot) = self.flows.slab.get_mut(index) {
            hot.stamp = now;
        }
        true
    }
}

/// The keys of the only megaflows of a subtable that a packet of the new rule can belong to; None when there is no short
/// list of them.
fn probes(table: &Subtable, rule: &Match, id: u64) -> Option<Vec<Key>> {
    if table.recirculated || table.rewriters != 0 {
        return None;
    }
    let mut key = Flow::default();
    let mut fragments = false;
    for (i, mask) in table.mask.w.iter().enumerate().take(KEY_WORDS).skip(1) {
        let pair = rule.word(i);
        let mut open = mask & !pair.mask;
        if i == usize::from(NW_FRAG.word) && open & NW_FRAG.bits() != 0 {
            fragments = true;
            open &= !NW_FRAG.bits();
        }
        if i == usize::from(PACKET_TYPE.word) {
            // all ports so far carry Ethernet frames
            open &= !PACKET_TYPE.bits();
        }
        if open != 0 {
            return None;
        }
        if let Some(w) = key.w.get_mut(i) {
            *w = pair.value & mask;
        }
    }
    if let Some(w) = key.w.first_mut() {
        *w = id & ID_BITS;
    }
    let values: &[u8] = if fragments { &[0, FRAG_ANY, FRAG_ANY | FRAG_LATER] } else { &[0] };
    let with = |v: &u8| {
        let mut key = key.clone();
        if fragments {
            let known = rule.word(usize::from(NW_FRAG.word)).mask & NW_FRAG.bits();
            let w = usize::from(NW_FRAG.word);
            if let Some(word) = key.w.get_mut(w) {
                let open = table.mask.w.get(w).copied().unwrap_or(0) & NW_FRAG.bits() & !known;
                *word = *word & !open | u64::from(*v) << NW_FRAG.shift & open;
            }
        }
        Key::from(&key)
    };
    Some(values.iter().map(with).collect())
}
