//! A match: some bits of a flow and their values, stored sparsely (two words for each flow word it looks at).

use std::sync::Arc;

use smallvec::SmallVec;

use crate::layout::{Slot, WORDS};
use crate::words::{Flow, Mask};

/// One word of a match; `value` has no bit outside `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    pub value: u64,
    pub mask: u64,
}

/// The words of a mask that are not 0.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct SparseMask {
    map: u128,
    words: SmallVec<[u64; 6]>,
}

impl SparseMask {
    /// A bitmap of the words.
    pub fn map(&self) -> u128 {
        self.map
    }
}

/// Bits of a flow and their values. Equal matches compare equal: a word whose mask is 0 is never stored. A clone shares what
/// it has, and matches of one mask may share that ([`Match::share`]): a table of rules has many of a few masks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    mask: Arc<SparseMask>,
    /// As many as the mask has words.
    values: Arc<[u64]>,
}

impl Match {
    /// The match that `flow` under `mask` is.
    pub fn new(flow: &Flow, mask: &Mask) -> Match {
        let map = mask.map();
        let values = |i| flow.w[i] & mask.w[i];
        let count = map.count_ones() as usize;
        // an iterator that does not know its length would collect twice
        let mut some = [0; WORDS];
        some.iter_mut().zip(bits(map)).for_each(|(value, i)| *value = values(i));
        let words = bits(map).map(|i| mask.w[i]).collect();
        Match { mask: Arc::new(SparseMask { map, words }), values: some.get(..count).unwrap_or_default().into() }
    }

    /// Which bits it is about.
    pub fn sparse(&self) -> &Arc<SparseMask> {
        &self.mask
    }

    /// Has its mask in the same memory as another of the same mask; nothing happens when that is another.
    pub fn share(&mut self, mask: &Arc<SparseMask>) {
        if self.mask == *mask {
            self.mask = Arc::clone(mask);
        }
    }

    /// A bitmap of the words it looks at.
    pub fn map(&self) -> u128 {
        self.mask.map
    }

    /// True when it matches everything.
    pub fn is_any(&self) -> bool {
        self.mask.map == 0
    }

    /// Its words in order, each with its index.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Pair)> + '_ {
        let pairs = self.values.iter().zip(&self.mask.words).map(|(value, mask)| Pair { value: *value, mask: *mask });
        bits(self.mask.map).zip(pairs)
    }

    /// Word `i` of it; zeros when it does not look there.
    pub fn word(&self, i: usize) -> Pair {
        let map = self.mask.map;
        if i >= WORDS || map >> i & 1 == 0 {
            return Pair { value: 0, mask: 0 };
        }
        let at = (map & ((1u128 << i) - 1)).count_ones() as usize;
        match (self.values.get(at), self.mask.words.get(at)) {
            (Some(value), Some(mask)) => Pair { value: *value, mask: *mask },
            _ => Pair { value: 0, mask: 0 },
        }
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
        bits(self.mask.map & other.mask.map).all(|i| {
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
