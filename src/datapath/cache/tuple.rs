//! One subtable of a tuple space: the megaflows of one mask in a flat open-addressing table of (hash, index).

use flow::{Key, Mask};

use super::hash::{self, Base};
use super::shape::Shape;
use super::slab::{self, ID_BITS, Slab};
use super::{NONE, hash::masked};

/// Megaflows that share a mask.
pub(crate) struct Subtable {
    /// The first tier of the mask, word 0 being [`ID_BITS`].
    pub(crate) base: Base,
    pub(crate) mask: Mask,
    /// Tiers beyond the first that the mask looks at.
    pub(crate) tiers: u64,
    /// Of recirculated packets.
    pub(crate) recirculated: bool,
    /// Hash in the upper half, index plus one in the lower; 0 is empty.
    table: Box<[u64]>,
    len: usize,
    /// Lookups that it answered since the last ranking.
    pub(crate) hits: u64,
    /// When it was seen empty by the sweep, nanoseconds; 0 when it is not.
    pub(crate) empty_since: u64,
    /// Megaflows in it with a table lookup of rewritten fields: no exact probe finds them.
    pub(crate) rewriters: u32,
    /// Ways in by bits that rules share with the mask.
    pub(crate) shapes: Vec<Shape>,
}

impl Subtable {
    pub(crate) fn new(mask: Mask, recirculated: bool) -> Subtable {
        let mut base: Base = std::array::from_fn(|i| mask.w[i]);
        base[0] = ID_BITS;
        base[flow::layout::TIERS_WORD] &= !flow::layout::TIERS_BITS;
        let tiers = hash::tiers(&mask);
        let table = vec![0; 16].into_boxed_slice();
        Subtable {
            base,
            mask,
            tiers,
            recirculated,
            table,
            len: 0,
            hits: 0,
            empty_since: 0,
            rewriters: 0,
            shapes: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The hash of a packet in this subtable.
    #[inline(always)]
    pub(crate) fn hash(&self, base: &Base, key: &Key, seed: u64) -> u64 {
        let h = masked(base, &self.base, seed);
        if self.tiers & key.tiers() == 0 { h } else { hash::higher(h, key, &self.mask, self.tiers & key.tiers()) }
    }

    /// The megaflow that the packet belongs to, or [`NONE`]. `base` is the first tier with the packet's id in word 0.
    #[inline]
    pub(crate) fn find(&self, base: &Base, key: &Key, seed: u64, slab: &Slab) -> u32 {
        let h = self.hash(base, key, seed);
        let last = self.table.len() - 1;
        let mut at = h as usize & last;
        while let Some(&entry) = self.table.get(at)
            && entry != 0
        {
            if entry >> 32 == h >> 32 {
                let index = (entry as u32).wrapping_sub(1);
                if let Some(hot) = slab.get(index)
                    && slab::agrees(hot, base, &self.base)
                    && (!hot.higher || slab.cold(index).is_some_and(|cold| slab::agrees_higher(cold, key)))
                {
                    return index;
                }
            }
            at = (at + 1) & last;
        }
        NONE
    }

    /// Adds a megaflow by its hash.
    pub(crate) fn insert(&mut self, hash: u64, index: u32, slab: &Slab) {
        if (self.len + 1) * 2 > self.table.len() {
            self.grow(slab);
        }
        self.place(hash, index);
        self.len += 1;
        self.empty_since = 0;
        self.shapes.iter_mut().for_each(|shape| shape.add(index, slab));
    }

    /// The indexes of its megaflows.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u32> + '_ {
        self.table.iter().filter(|e| **e != 0).map(|e| (*e as u32).wrapping_sub(1))
    }

    fn place(&mut self, hash: u64, index: u32) {
        let last = self.table.len() - 1;
        let mut at = hash as usize & last;
        while let Some(entry) = self.table.get_mut(at) {
            if *entry == 0 {
                *entry = (hash >> 32) << 32 | u64::from(index.wrapping_add(1));
                return;
            }
            at = (at + 1) & last;
        }
    }

    fn grow(&mut self, slab: &Slab) {
        let wider = vec![0; self.table.len() * 4].into_boxed_slice();
        let old = std::mem::replace(&mut self.table, wider);
        for entry in old.iter().filter(|e| **e != 0) {
            let index = (*entry as u32).wrapping_sub(1);
            if let Some(cold) = slab.cold(index) {
                self.place(cold.hash, index);
            }
        }
    }

    /// Removes a megaflow that has this hash; the entries behind it move up, each no further than its home.
    pub(crate) fn remove(&mut self, hash: u64, index: u32, slab: &Slab) -> bool {
        let last = self.table.len() - 1;
        let want = (hash >> 32) << 32 | u64::from(index.wrapping_add(1));
        let mut at = hash as usize & last;
        loop {
            match self.table.get(at) {
                Some(&entry) if entry == want => break,
                Some(0) | None => return false,
                Some(_) => at = (at + 1) & last,
            }
        }
        self.len -= 1;
        self.shapes.iter_mut().for_each(|shape| shape.remove(index, slab));
        let mut hole = at;
        loop {
            at = (at + 1) & last;
            let entry = self.table.get(at).copied().unwrap_or(0);
            if entry == 0 {
                break;
            }
            let home = slab.cold((entry as u32).wrapping_sub(1)).map_or(at, |c| c.hash as usize & last);
            // may move unless its home lies behind the hole, cyclically
            if (at.wrapping_sub(home) & last) >= (at.wrapping_sub(hole) & last) {
                if let Some(to) = self.table.get_mut(hole) {
                    *to = entry;
                }
                hole = at;
            }
        }
        if let Some(e) = self.table.get_mut(hole) {
            *e = 0;
        }
        true
    }
}
