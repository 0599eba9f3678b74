//! A match: some bits of a flow and their values, stored sparsely (two words for each flow word it looks at).

use crate::layout::{Slot, WORDS};
use crate::words::{Flow, Mask};

/// One word of a match; `value` has no bit outside `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    pub value: u64,
    pub mask: u64,
}

/// Bits of a flow and their values. Equal matches compare equal: a word whose mask is 0 is never stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    map: u128,
    words: Box<[Pair]>,
}

impl Match {
    /// The match that `flow` under `mask` is.
    pub fn new(flow: &Flow, mask: &Mask) -> Match {
        let map = mask.map();
        let mut words = Vec::with_capacity(map.count_ones() as usize);
        words.extend(bits(map).map(|i| Pair { value: flow.w[i] & mask.w[i], mask: mask.w[i] }));
        Match { map, words: words.into_boxed_slice() }
    }

    /// A bitmap of the words it looks at.
    pub fn map(&self) -> u128 {
        self.map
    }

    /// True when it matches everything.
    pub fn is_any(&self) -> bool {
        self.map == 0
    }

    /// Its words in order, each with its index.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Pair)> + '_ {
        bits(self.map).zip(self.words.iter().copied())
    }

    /// Word `i` of it; zeros when it does not look there.
    pub fn word(&self, i: usize) -> Pair {
        if i >= WORDS || self.map >> i & 1 == 0 {
            return Pair { value: 0, mask: 0 };
        }
        let at = (self.map & ((1u128 << i) - 1)).count_ones() as usize;
        self.words.get(at).copied().unwrap_or(Pair { value: 0, mask: 0 })
    }

    /// The value and mask of `slot`.
    pub fn get(&self, slot: Slot) -> (u128, u128) {
        let one = |i: usize| {
            let p = self.word(i);
            ((p.value & slot.bits()) >> slot.shift, (p.mask & slot.bits()) >> slot.shift)
        };
        let i = usize::from(slot.word);
        let (v, m) = one(i);
        if slot.width <= 64 {
            return (u128::from(v), u128::from(m));
        }
        let (v1, m1) = one(i + 1);
        (u128::from(v) << 64 | u128::from(v1), u128::from(m) << 64 | u128::from(m1))
    }

    /// The same match with the bits `mask` of `slot` having `value` (bits of `slot` outside `mask` become wildcards).
    pub fn with(&self, slot: Slot, value: u128, mask: u128) -> Match {
        let (mut flow, mut all) = self.expand();
        flow.set(slot, value & mask);
        all.set(slot, mask);
        Match::new(&flow, &all)
    }

    /// As a dense flow and mask.
    pub fn expand(&self) -> (Flow, Mask) {
        let (mut flow, mut mask) = (Flow::default(), Mask::default());
        for (i, p) in self.iter() {
            flow.w[i] = p.value;
            mask.w[i] = p.mask;
        }
        (flow, mask)
    }

    /// Its mask alone.
    pub fn mask(&self) -> Mask {
        self.expand().1
    }

    /// True when `flow` has the values it asks for.
    pub fn matches(&self, flow: &Flow) -> bool {
        self.iter().all(|(i, p)| flow.w[i] & p.mask == p.value)
    }

    /// True when some flow matches both.
    pub fn overlaps(&self, other: &Match) -> bool {
        bits(self.map & other.map).all(|i| {
            let (a, b) = (self.word(i), other.word(i));
            (a.value ^ b.value) & a.mask & b.mask == 0
        })
    }

    /// True when every flow that `self` matches, `other` matches too.
    pub fn is_within(&self, other: &Match) -> bool {
        other.iter().all(|(i, o)| {
            let s = self.word(i);
            s.mask & o.mask == o.mask && s.value & o.mask == o.value
        })
    }
}

/// The indexes of the bits set in `map`, ascending.
pub fn bits(map: u128) -> impl Iterator<Item = usize> {
    let mut rest = map;
    std::iter::from_fn(move || {
        (rest != 0).then(|| {
            let i = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            i
        })
    })
}
