//! Finding the best rule for a flow, and which bits of the flow that took.
//!
//! Every subtable that is passed over leaves a witness in the mask: bits of the flow such that no flow with the same
//! values there matches any of its rules. That is the stages up to the one where nothing was found, or so many leading
//! bits of an address or a port as tell it from every prefix of the subtable's length.

use std::sync::Arc;

use flow::layout::Slot;
use flow::{Flow, Mask};

use crate::shape::{ADDRESSES, PORTS, Tries, finish};
use crate::subtable::{Entry, Subtable, port_of};
use crate::trie::Hit;
use crate::{Classifier, Rule};

/// With so few subtables, asking the tries costs more than the hash lookups that it saves.
const FEW: usize = 8;

/// The bits of `slot` that are its first `bits`: the masks of its (one or two) words.
fn prefix(slot: Slot, bits: u32) -> (u64, u64) {
    let top = |n: u32| if n == 0 { 0 } else { u64::MAX << (64 - n.min(64)) };
    if slot.width <= 64 {
        (top(bits.min(slot.width.into())) >> (64 - slot.width) << slot.shift, 0)
    } else {
        (top(bits), top(bits.saturating_sub(64)))
    }
}

/// Makes the first `bits` bits of `slot` exact.
fn expose(wc: &mut Mask, slot: Slot, bits: u32) {
    let (first, second) = prefix(slot, bits);
    let i = usize::from(slot.word);
    wc.w[i] |= first;
    if second != 0 {
        wc.w[i + 1] |= second;
    }
}

/// True if the first `bits` bits of `slot` are exact.
fn is_exposed(wc: &Mask, slot: Slot, bits: u32) -> bool {
    let (first, second) = prefix(slot, bits);
    let i = usize::from(slot.word);
    wc.w[i] & first == first && (second == 0 || wc.w[i + 1] & second == second)
}

/// One lookup under way.
pub(crate) struct Search<'a, 'f, R> {
    of: &'a Classifier<R>,
    pub(crate) flow: &'f Flow,
    wc: Option<&'f mut Mask>,
    /// What the tries say about the flow's addresses, asked when first needed.
    hits: [Option<Hit>; ADDRESSES.len()],
    use_tries: bool,
    /// Addresses were missed once. Until then a hash lookup is tried first, because a flow that hits the first subtable
    /// that it comes to needs no trie; after that the tries' answers are at hand and save hash lookups.
    missed: bool,
}

impl<R: Rule> Classifier<R> {
    /// The highest-priority rule that `flow` matches. Every bit of the flow that the answer depends on becomes exact in
    /// `wc`: any other flow that agrees with `flow` in the exact bits of `wc` gets the same answer.
    ///
    /// Of several rules of the same priority one is found, always the same one for the same classifier and flow.
    pub fn lookup(&self, flow: &Flow, wc: &mut Mask) -> Option<&Arc<R>> {
        Search::new(self, flow, wc).run()
    }

    /// The same without telling what the answer depends on.
    pub fn lookup_fast(&self, flow: &Flow) -> Option<&Arc<R>> {
        let use_tries = self.order.len() > FEW;
        Search { of: self, flow, wc: None, hits: [None; ADDRESSES.len()], use_tries, missed: false }.run()
    }
}

impl<'a, 'f, R> Search<'a, 'f, R> {
    #[inline]
    pub(crate) fn new(of: &'a Classifier<R>, flow: &'f Flow, wc: &'f mut Mask) -> Self {
        Search { of, flow, wc: Some(wc), hits: [None; ADDRESSES.len()], use_tries: true, missed: false }
    }

    /// Another one with the same mask, for a flow with the same addresses.
    pub(crate) fn with<'s>(&'s mut self, flow: &'s Flow) -> Search<'a, 's, R> {
        Search { flow, wc: self.wc.as_deref_mut(), missed: false, ..*self }
    }
}

impl<'a, R: Rule> Search<'a, '_, R> {
    #[inline]
    fn run(mut self) -> Option<&'a Arc<R>> {
        let mut best: Option<(&Arc<R>, i32)> = None;
        for place in self.of.order.iter() {
            if best.is_some_and(|(_, priority)| priority >= place.max) {
                break;
            }
            if let Some(rule) = self.subtable(&place.table) {
                let priority = rule.priority();
                if best.is_none_or(|(_, p)| priority > p) {
                    best = Some((rule, priority));
                }
            }
        }
        best.map(|(rule, _)| rule)
    }

    /// The best rule of one subtable.
    #[inline]
    pub(crate) fn subtable(&mut self, table: &'a Subtable<R>) -> Option<&'a Arc<R>> {
        let shape = &*table.shape;
        let (mut hash, mut map, mut alone) = (shape.seed(), &table.rules, None);
        let mut found = None;
        for (n, level) in shape.levels().iter().enumerate() {
            if level.tries == Tries::Addresses && self.missed && self.no_address(table, n) {
                return None;
            }
            if let Some(rule) = alone {
                let rule: &Arc<R> = rule;
                if !shape.agrees(n, self.flow, rule.matching()) {
                    return self.miss(table, n, level.tries);
                }
                continue;
            }
            hash = shape.hash_flow(n, hash, self.flow);
            match map.find(finish(hash), |_| true) {
                None => return self.miss(table, n, level.tries),
                Some(Entry::Deeper(_, next)) => map = next,
                Some(Entry::One(_, rule)) => {
                    // The hash said so; see that it is true. From here on there is only this rule to compare with.
                    if !shape.agrees_before(n + 1, self.flow, rule.matching()) {
                        return self.miss(table, n, level.tries);
                    }
                    alone = Some(rule);
                }
                Some(entry) => match Subtable::best(entry, self.flow) {
                    None => return self.miss(table, n, level.tries),
                    some => found = some,
                },
            }
        }
        if let Some(wc) = &mut self.wc {
            shape.expose(shape.last() + 1, wc);
        }
        found.or(alone)
    }

    /// Nothing in level `level`: its bits and those before it are the witness, or fewer of its addresses or ports.
    fn miss(&mut self, table: &Subtable<R>, level: usize, tries: Tries) -> Option<&'a Arc<R>> {
        if tries == Tries::Addresses && self.use_tries && !self.missed {
            self.missed = true;
            if self.wc.is_some() && self.no_address(table, level) {
                return None;
            }
        }
        let wc = self.wc.as_deref_mut()?;
        if tries == Tries::Ports {
            let mut why = None;
            for ((slot, trie), len) in PORTS.into_iter().zip(&table.ports).zip(table.shape.port) {
                if len == 0 {
                    continue;
                }
                if let Some(bits) = trie.find(port_of(self.flow, slot)).missing(len.into())
                    && (why.is_none() || is_exposed(wc, slot, bits))
                {
                    why = Some((slot, bits));
                }
            }
            if let Some((slot, bits)) = why {
                table.shape.expose(level, wc);
                expose(wc, slot, bits);
                return None;
            }
        }
        table.shape.expose(level + 1, wc);
        None
    }

    /// True if the tries say that no rule of the subtable has the flow's addresses; leaves the witness.
    #[inline]
    fn no_address(&mut self, table: &Subtable<R>, level: usize) -> bool {
        let mut why = None;
        for (i, len) in table.shape.address.into_iter().enumerate() {
            if len == 0 {
                continue;
            }
            let hit = match self.hits[i] {
                Some(hit) => hit,
                None => *self.hits[i].insert(self.of.ask(i, self.flow)),
            };
            let Some(bits) = hit.missing(len.into()) else { continue };
            let Some(wc) = &self.wc else { return true };
            // Of two reasons, better one that needs no more bits than are exact already.
            if why.is_none() || is_exposed(wc, ADDRESSES[i], bits) {
                why = Some((ADDRESSES[i], bits));
            }
        }
        let (Some((slot, bits)), Some(wc)) = (why, &mut self.wc) else { return false };
        table.shape.expose(level, wc);
        expose(wc, slot, bits);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::layout;

    /// The first `bits` bits of a field as the field's own value, one by one.
    fn slow(slot: Slot, bits: u32) -> Mask {
        let mut mask = Mask::default();
        let width = u32::from(slot.width);
        mask.set(slot, (0..bits.min(width)).fold(0, |v, n| v | 1 << (width - 1 - n)));
        mask
    }

    #[test]
    fn prefixes_of_fields() {
        for slot in ADDRESSES.into_iter().chain(PORTS).chain([layout::METADATA, layout::ETH_DST, layout::VLAN_TCI]) {
            for bits in 0..=u32::from(slot.width) {
                let want = slow(slot, bits);
                let mut got = Mask::default();
                expose(&mut got, slot, bits);
                assert_eq!(got, want, "{slot:?} {bits}");
                // what was exact stays
                let mut all = Mask { w: [0x5555_5555_5555_5555; layout::WORDS] };
                expose(&mut all, slot, bits);
                assert!(all.w.iter().zip(&want.w).all(|(a, w)| *a == 0x5555_5555_5555_5555 | w));
                for more in 0..=u32::from(slot.width) {
                    assert_eq!(is_exposed(&want, slot, more), more <= bits, "{slot:?} {bits} {more}");
                }
                // other bits of its words are not asked for, each of its own is
                let i = usize::from(slot.word);
                for word in i..=i + usize::from(slot.width > 64) {
                    for bit in 0..64 {
                        let own = want.w[word] >> bit & 1 == 1;
                        let mut mask = Mask { w: [u64::MAX; layout::WORDS] };
                        mask.w[word] ^= 1 << bit;
                        assert_eq!(is_exposed(&mask, slot, bits), !own, "{slot:?} {bits}: bit {bit} of {word}");
                    }
                }
            }
        }
    }
}
