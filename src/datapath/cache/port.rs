//! What a worker knows of the flows of one in_port: masks, their union, subtables, the class table of the simple match.

use base::clock::Instant;
use dpif::{Change, PortNo};
use flow::extract::Depth;
use flow::layout::{
    ETH_DST, ETH_SRC, ETH_TYPE, KEY_WORDS, NW_FRAG, PACKET_TYPE, PKT_MARK, TIERS_BITS, TIERS_WORD, VLAN_TCI, VLAN_TPID,
    VLAN1_TCI, VLAN1_TPID,
};
use flow::{Key, Mask, fields};

use super::NONE;
use super::hash::{self, Base, masked};
use super::index::DepIndex;
use super::slab::{ID_BITS, Slab};
use super::tuple::Subtable;

/// Classes of the simple match that are remembered.
const CLASSES: usize = 16;

/// Masks past the cap that cover what was looked at so far; then there is the one of all bits.
const SPARE: usize = 8;

/// A class of packets of the simple match: untagged, no fragment, of one ethertype.
#[derive(Clone, Copy, Default)]
struct Class {
    ethertype: u32,
    index: u32,
    generation: u32,
}

/// The megaflows of packets as received, or of recirculated ones.
pub(crate) struct Space {
    /// What any megaflow looks at in the first tier; word 0 is all of the id.
    pub(crate) union: Base,
    pub(crate) union_full: Mask,
    /// Tiers beyond the first that the union looks at.
    pub(crate) tiers: u64,
    /// How deep packets have to be parsed for that.
    pub(crate) depth: Depth,
    /// Only ethertype, VLAN tags and fragment bits matter.
    pub(crate) simple: bool,
    /// Only words 1 to 4 of the first tier have bits that can be other than 0, beside the id.
    narrow: bool,
    /// Of plain packets only words 3 and 4 matter.
    pub(crate) plain: bool,
    /// Mask numbers, busiest first.
    order: Vec<u16>,
    lookups: u32,
    classes: [Class; CLASSES],
}

impl Space {
    fn new() -> Space {
        let mut space = Space {
            union: [0; 8],
            union_full: Mask::default(),
            tiers: 0,
            depth: Depth::Simple,
            simple: true,
            narrow: true,
            plain: true,
            order: Vec::new(),
            lookups: 0,
            classes: [Class::default(); CLASSES],
        };
        space.set_union(Mask::default());
        space
    }

    fn set_union(&mut self, union: Mask) {
        self.union = std::array::from_fn(|i| union.w[i]);
        self.union[0] = ID_BITS;
        self.union[TIERS_WORD] &= !TIERS_BITS;
        self.tiers = hash::tiers(&union);
        self.depth = depth_of(&union, self.tiers);
        let simple = self.tiers == 0 && self.depth == Depth::Simple;
        if simple != self.simple {
            self.classes = [Class::default(); CLASSES];
        }
        self.simple = simple;
        // the ports there are carry Ethernet: PACKET_TYPE is 0 and need not be hashed
        let rest = [self.union[5], self.union[6] & !PACKET_TYPE.bits(), self.union[7]];
        self.narrow = self.tiers == 0 && rest == [0; 3];
        let macs = [self.union[1] & !ETH_TYPE.bits(), self.union[2] & !VLAN_TCI.bits()];
        self.plain = self.narrow && macs == [0; 2];
        self.union_full = union;
    }

    /// The hash of a packet in the signature cache.
    #[inline(always)]
    pub(crate) fn hash(&self, base: &Base, key: &Key, seed: u64) -> u64 {
        if self.narrow {
            return self.hash_of(base, seed);
        }
        let h = masked(base, &self.union, seed);
        if self.tiers == 0 {
            return h;
        }
        let tiers = self.tiers & key.tiers();
        if tiers == 0 { h } else { hash::higher(h, key, &self.union_full, tiers) }
    }

    /// The same for a packet that has nothing beyond the first tier.
    #[inline(always)]
    pub(crate) fn hash_of(&self, base: &Base, seed: u64) -> u64 {
        match (self.plain, self.narrow) {
            (true, _) => hash::plain(base, &self.union, seed),
            (_, true) => hash::narrow(base, &self.union, seed),
            _ => masked(base, &self.union, seed),
        }
    }

    /// The megaflow of a class of the simple match.
    #[inline]
    pub(crate) fn class(&self, ethertype: u16, slab: &Slab) -> u32 {
        let class = &self.classes[usize::from(ethertype ^ ethertype >> 8) % CLASSES];
        if class.ethertype == u32::from(ethertype)
            && slab.get(class.index).is_some_and(|hot| hot.live && hot.generation == class.generation)
        {
            class.index
        } else {
            NONE
        }
    }

    /// Remembers it.
    pub(crate) fn learn_class(&mut self, ethertype: u16, index: u32, slab: &Slab) {
        if let Some(hot) = slab.get(index)
            && self.simple
        {
            let class = Class { ethertype: u32::from(ethertype), index, generation: hot.generation };
            self.classes[usize::from(ethertype ^ ethertype >> 8) % CLASSES] = class;
        }
    }
}

/// How deep a packet has to be parsed for `mask`.
fn depth_of(mask: &Mask, tiers: u64) -> Depth {
    let mut rest = mask.clone();
    rest.w[0] = 0;
    let mut without = |slots: &[flow::Slot]| {
        for slot in slots {
            rest.w[usize::from(slot.word)] &= !slot.bits();
        }
        rest.w.iter().take(flow::layout::TIER_WORDS).all(|w| *w == 0) && tiers == 0
    };
    let simple = [ETH_TYPE, VLAN_TCI, VLAN_TPID, VLAN1_TCI, VLAN1_TPID, NW_FRAG, PACKET_TYPE, PKT_MARK];
    if without(&simple) {
        Depth::Simple
    } else if without(&[ETH_DST, ETH_SRC]) {
        Depth::L2
    } else {
        Depth::L4
    }
}

/// Changes that no index could settle, for megaflows to be checked against when they are hit.
pub(crate) struct Pending {
    /// Number of the first change in `changes`; numbers only grow.
    pub(crate) first: u64,
    pub(crate) changes: Vec<(u16, Change)>,
    /// Megaflows with an older stamp are to be translated again.
    pub(crate) floor: u64,
    /// Changes before this one are settled at the end of the sweep's round.
    pub(crate) mark: u64,
}

impl Pending {
    /// The stamp of a megaflow that was checked against everything.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        self.first + self.changes.len() as u64
    }
}

/// All of one in_port.
pub(crate) struct PortCache {
    pub(crate) port: PortNo,
    pub(crate) slot: u16,
    /// By mask number; None where a number is free.
    pub(crate) tables: Vec<Option<Box<Subtable>>>,
    /// The first tiers of the masks, by number: what verification reads.
    pub(crate) bases: Vec<Base>,
    /// Packets as received, and recirculated ones.
    pub(crate) spaces: [Space; 2],
    /// Version up to which changes were taken in.
    pub(crate) version: u64,
    pub(crate) pending: Pending,
    pub(crate) index: DepIndex,
    /// Megaflows of this port.
    pub(crate) megaflows: usize,
    /// The port is gone from this slot; its megaflows go one by one.
    pub(crate) closing: bool,
}

impl PortCache {
    pub(crate) fn new(port: PortNo, slot: u16, version: u64) -> PortCache {
        PortCache {
            port,
            slot,
            tables: Vec::new(),
            bases: Vec::new(),
            spaces: [Space::new(), Space::new()],
            version,
            pending: Pending { first: 0, changes: Vec::new(), floor: 0, mark: 0 },
            index: DepIndex::default(),
            megaflows: 0,
            closing: false,
        }
    }

    /// Word 0 of its packets, recirculation id 0.
    #[inline(always)]
    pub(crate) fn id(&self) -> u64 {
        u64::from(self.slot) << 16
    }

    /// Masks in use.
    pub(crate) fn masks(&self) -> usize {
        self.tables.iter().flatten().count()
    }

    /// Searches the subtables, busiest first.
    pub(crate) fn find(&mut self, recirculated: bool, base: &Base, key: &Key, seed: u64, slab: &Slab) -> (u32, u64) {
        let Some(space) = self.spaces.get_mut(usize::from(recirculated)) else { return (NONE, 0) };
        space.lookups += 1;
        if space.lookups >= 8192 {
            space.lookups = 0;
            rank(&mut space.order, &mut self.tables);
        }
        let mut visited = 0;
        for number in &space.order {
            let Some(Some(table)) = self.tables.get_mut(usize::from(*number)) else { continue };
            visited += 1;
            let index = table.find(base, key, seed, slab);
            if index != NONE {
                table.hits += 1;
                return (index, visited);
            }
        }
        (NONE, visited)
    }

    /// The number of the subtable for megaflows of `mask`: its own, a new one, or past `cap` masks that of the least
    /// existing superset. Where there is none, one is made of all fields that any mask looked at; after [`SPARE`] such, of
    /// all bits. True when it is a superset.
    ///
    /// All bits at once would have every packet of the port parsed to the last header, for a few odd masks' sake.
    pub(crate) fn number(&mut self, recirculated: bool, mask: &Mask, cap: usize) -> (u16, bool) {
        let of = |t: &Subtable| t.recirculated == recirculated;
        let exact = self.tables.iter().position(|t| t.as_ref().is_some_and(|t| of(t) && t.mask == *mask));
        if let Some(number) = exact {
            return (number as u16, false);
        }
        if self.masks() < cap {
            return (self.add(mask.clone(), recirculated), false);
        }
        // an empty subtable makes room
        let empty = self.tables.iter().position(|t| t.as_ref().is_some_and(|t| t.len() == 0));
        if let Some(number) = empty {
            self.drop_table(number as u16);
            self.reunite();
            return (self.add(mask.clone(), recirculated), false);
        }
        let covers = |t: &Subtable| of(t) && t.mask.w.iter().zip(&mask.w).all(|(t, m)| t & m == *m);
        let weight = |t: &Subtable| t.mask.w.iter().map(|w| w.count_ones()).sum::<u32>();
        let least = self
            .tables
            .iter()
            .enumerate()
            .filter_map(|(n, t)| t.as_ref().filter(|t| covers(t)).map(|t| (weight(t), n)));
        match least.min() {
            Some((_, number)) => (number as u16, true),
            None if self.masks() < cap + SPARE => {
                let mut all = self.spaces[usize::from(recirculated)].union_full.clone();
                all.union(mask);
                (self.add(whole_fields(&all), recirculated), true)
            }
            None => (self.add(all_bits(), recirculated), true),
        }
    }

    fn add(&mut self, mask: Mask, recirculated: bool) -> u16 {
        let table = Subtable::new(mask, recirculated);
        let base = table.base;
        let number = match self.tables.iter().position(Option::is_none) {
            Some(n) => n,
            None => {
                self.tables.push(None);
                self.bases.push([0; 8]);
                self.tables.len() - 1
            }
        };
        if let (Some(t), Some(b)) = (self.tables.get_mut(number), self.bases.get_mut(number)) {
            let space = &mut self.spaces[usize::from(recirculated)];
            let mut union = space.union_full.clone();
            union.union(&table.mask);
            if union != space.union_full {
                space.set_union(union);
            }
            space.order.push(number as u16);
            *t = Some(Box::new(table));
            *b = base;
        }
        number as u16
    }

    fn drop_table(&mut self, number: u16) {
        if let Some(t) = self.tables.get_mut(usize::from(number)) {
            *t = None;
        }
        for space in &mut self.spaces {
            space.order.retain(|n| *n != number);
        }
    }

    /// Computes the unions again after subtables went.
    fn reunite(&mut self) {
        for (recirculated, space) in [false, true].into_iter().zip(&mut self.spaces) {
            let mut union = Mask::default();
            for table in self.tables.iter().flatten().filter(|t| t.recirculated == recirculated) {
                union.union(&table.mask);
            }
            if union != space.union_full {
                space.set_union(union);
            }
        }
    }

    /// Drops subtables that were empty for `idle` nanoseconds.
    pub(crate) fn recycle(&mut self, now: Instant, idle: u64) {
        let mut gone = Vec::new();
        for (number, table) in self.tables.iter_mut().enumerate() {
            let Some(table) = table else { continue };
            if table.len() != 0 {
                continue;
            }
            if table.empty_since == 0 {
                table.empty_since = now.as_nanos().max(1);
            } else if now.as_nanos().saturating_sub(table.empty_since) >= idle {
                gone.push(number as u16);
            }
        }
        if !gone.is_empty() {
            gone.iter().for_each(|number| self.drop_table(*number));
            self.reunite();
        }
    }
}

fn rank(order: &mut [u16], tables: &mut [Option<Box<Subtable>>]) {
    let hits = |n: &u16| tables.get(usize::from(*n)).and_then(|t| t.as_ref()).map_or(0, |t| t.hits);
    order.sort_by_key(|n| std::cmp::Reverse(hits(n)));
    for table in tables.iter_mut().flatten() {
        table.hits /= 2;
    }
}

/// Every field of which `mask` has a bit, whole.
fn whole_fields(mask: &Mask) -> Mask {
    let mut whole = mask.clone();
    for id in fields::ALL {
        let slot = id.row().slot;
        let words = usize::from(slot.word)..usize::from(slot.word) + slot.words();
        if slot.width != 0 && mask.w.get(words.clone()).is_some_and(|w| w.iter().any(|w| w & slot.bits() != 0)) {
            whole.w.iter_mut().take(KEY_WORDS.min(words.end)).skip(words.start).for_each(|w| *w |= slot.bits());
        }
    }
    whole.w[TIERS_WORD] &= !TIERS_BITS;
    whole
}

/// The mask that is always to be had: all bits of the datapath's key.
fn all_bits() -> Mask {
    let mut mask = Mask::default();
    mask.w.iter_mut().take(KEY_WORDS).for_each(|w| *w = u64::MAX);
    mask.w[TIERS_WORD] &= !TIERS_BITS;
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Slot;
    use flow::layout::{NW_SRC, TIER_WORDS, TP_DST, TP_SRC};

    fn prefix(slots: &[(Slot, u32)]) -> Mask {
        let mut mask = Mask::default();
        for (slot, bits) in slots {
            let whole = slot.bits();
            mask.w[usize::from(slot.word)] |= whole & !((whole >> bits) & whole);
        }
        mask
    }

    #[test]
    fn past_the_cap_masks_grow_by_fields_that_are_looked_at_and_stay_few() {
        let (mut port, slab) = (PortCache::new(PortNo(1), 0, 0), Slab::new(1024).unwrap());
        let narrow: Vec<_> = (1..=16).flat_map(|a| (1..=32).map(move |b| (a, b))).collect();
        for (a, b) in &narrow {
            let mask = prefix(&[(TP_DST, *a), (NW_SRC, *b), (TP_SRC, (a + b) % 16 + 1)]);
            let (number, superset) = port.number(false, &mask, 4);
            let table = port.tables[usize::from(number)].as_ref().unwrap();
            assert_eq!(superset, table.mask != mask);
            assert!(mask.w.iter().zip(&table.mask.w).all(|(m, t)| m & !t == 0));
            // in use, so that none makes room
            port.tables[usize::from(number)].as_mut().unwrap().insert(1, 0, &slab);
        }
        assert_eq!(port.masks(), 5);
        let space = &port.spaces[0];
        assert!(space.plain && space.tiers == 0);
        // other fields, until all bits are the answer
        for word in TIER_WORDS..KEY_WORDS {
            let mut mask = Mask::default();
            mask.w[word] = 1;
            let (number, _) = port.number(false, &mask, 4);
            port.tables[usize::from(number)].as_mut().unwrap().insert(1, 0, &slab);
        }
        assert!(port.masks() <= 4 + SPARE + 1);
        assert!(port.spaces[0].union_full.w[KEY_WORDS - 1] & 1 == 1);
    }
}
