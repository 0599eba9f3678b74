//! The word arrays: a flow's values, its mask, and the datapath's key with lazily valid tiers.

use crate::layout::{KEY_TIERS, KEY_WORDS, Slot, TIER_WORDS, TIERS_BITS, TIERS_WORD, WORDS};

macro_rules! word_array {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        #[repr(C, align(64))]
        pub struct $name {
            pub w: [u64; WORDS],
        }

        impl Default for $name {
            fn default() -> Self {
                $name { w: [0; WORDS] }
            }
        }

        impl $name {
            /// The bits of `slot` as a number; of a slot wider than 128 bits the first 128.
            #[inline]
            pub fn get(&self, slot: Slot) -> u128 {
                let i = usize::from(slot.word);
                if slot.width <= 64 {
                    u128::from((self.w[i] & slot.bits()) >> slot.shift)
                } else {
                    u128::from(self.w[i]) << 64 | u128::from(self.w[i + 1])
                }
            }

            /// The bits of `slot`, at most 64 of them.
            #[inline]
            pub fn get64(&self, slot: Slot) -> u64 {
                (self.w[usize::from(slot.word)] & slot.bits()) >> slot.shift
            }

            /// Stores the low bits of `value` in `slot`.
            #[inline]
            pub fn set(&mut self, slot: Slot, value: u128) {
                let i = usize::from(slot.word);
                if slot.width <= 64 {
                    self.w[i] = self.w[i] & !slot.bits() | (value as u64) << slot.shift & slot.bits();
                } else {
                    self.w[i] = (value >> 64) as u64;
                    self.w[i + 1] = value as u64;
                }
            }

            /// A bitmap of the words that are not 0.
            pub fn map(&self) -> u128 {
                let half = |w: &[u64]| w.iter().enumerate().fold(0u64, |m, (i, w)| m | u64::from(*w != 0) << i);
                let (low, high) = self.w.split_at(64);
                u128::from(half(low)) | u128::from(half(high)) << 64
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_map().entries(self.w.iter().enumerate().filter(|(_, w)| **w != 0)).finish()
            }
        }
    };
}

word_array! {
    /// The values of all fields of one packet, registers included. Fields that a packet does not have are 0.
    Flow
}
word_array! {
    /// Which bits of a [`Flow`] matter: 1 is exact, 0 is wildcard.
    Mask
}

impl Mask {
    /// Makes all bits of `slot` exact.
    #[inline]
    pub fn exact(&mut self, slot: Slot) {
        let i = usize::from(slot.word);
        for w in &mut self.w[i..i + slot.words()] {
            *w |= slot.bits();
        }
    }

    /// Makes exact whatever `other` has exact.
    pub fn union(&mut self, other: &Mask) {
        for (a, b) in self.w.iter_mut().zip(&other.w) {
            *a |= b;
        }
    }
}

/// What the datapath looks packets up by: the first [`KEY_WORDS`] words of a flow. A tier beyond the first that its
/// bitmap does not name reads as 0 whatever its words hold, so extraction need not clear what a packet does not have.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Key {
    w: [u64; KEY_WORDS],
}

impl Default for Key {
    fn default() -> Self {
        Key { w: [0; KEY_WORDS] }
    }
}

impl Key {
    /// The first tier, its tier bitmap included (mask it before comparing).
    #[inline]
    pub fn base(&self) -> &[u64; TIER_WORDS] {
        // The first tier is always there: the array has KEY_WORDS >= TIER_WORDS words.
        self.w.first_chunk().unwrap_or(&[0; TIER_WORDS])
    }

    /// Starts over for a new packet: tier 0 is `base` (its tier bits must be 0), no other tier is valid.
    #[inline]
    pub fn start(&mut self, base: [u64; TIER_WORDS]) {
        if let Some(first) = self.w.first_chunk_mut() {
            *first = base;
        }
    }

    /// The bitmap of valid tiers beyond the first (bit n: tier n).
    #[inline]
    pub fn tiers(&self) -> u64 {
        self.w[TIERS_WORD] & TIERS_BITS
    }

    /// Word `i`; 0 when its tier is not valid or there is no such word.
    #[inline]
    pub fn word(&self, i: usize) -> u64 {
        let tier = i / TIER_WORDS;
        match self.w.get(i) {
            Some(w) if i == TIERS_WORD => w & !TIERS_BITS,
            Some(w) if tier == 0 || self.tiers() >> tier & 1 != 0 => *w,
            _ => 0,
        }
    }

    /// Puts tier 0 in place once the other tiers are: keeps the tier bitmap (the tier bits of `base` must be 0).
    #[inline]
    pub fn set_base(&mut self, base: [u64; TIER_WORDS]) {
        let tiers = self.tiers();
        self.start(base);
        self.w[TIERS_WORD] |= tiers;
    }

    /// The words of tier `tier` (1 to 9) for writing; made valid and zeroed first when it was not valid.
    #[inline]
    pub fn tier_mut(&mut self, tier: usize) -> &mut [u64; TIER_WORDS] {
        debug_assert!((1..KEY_TIERS).contains(&tier));
        let fresh = self.tiers() >> tier & 1 == 0;
        self.w[TIERS_WORD] |= 1 << tier;
        let words = &mut self.w.as_chunks_mut().0[tier];
        if fresh {
            *words = [0; TIER_WORDS];
        }
        words
    }

    /// The bits of `slot`; at most 128.
    #[inline]
    pub fn get(&self, slot: Slot) -> u128 {
        let i = usize::from(slot.word);
        if slot.width <= 64 {
            u128::from((self.word(i) & slot.bits()) >> slot.shift)
        } else {
            u128::from(self.word(i)) << 64 | u128::from(self.word(i + 1))
        }
    }

    /// Stores the low bits of `value` in `slot`.
    pub fn set(&mut self, slot: Slot, value: u128) {
        let i = usize::from(slot.word);
        if i >= TIER_WORDS {
            self.tier_mut(i / TIER_WORDS);
        }
        if slot.width <= 64 {
            self.w[i] = self.w[i] & !slot.bits() | (value as u64) << slot.shift & slot.bits();
        } else {
            self.w[i] = (value >> 64) as u64;
            self.w[i + 1] = value as u64;
        }
    }

    /// The whole as a [`Flow`], the words that only translation knows being 0.
    pub fn to_flow(&self) -> Flow {
        let mut flow = Flow::default();
        for (i, w) in flow.w.iter_mut().enumerate().take(KEY_WORDS) {
            *w = self.word(i);
        }
        flow
    }
}

impl From<&Flow> for Key {
    fn from(flow: &Flow) -> Key {
        let mut key = Key::default();
        for (i, w) in flow.w.iter().enumerate().take(KEY_WORDS) {
            if *w != 0 {
                if i >= TIER_WORDS {
                    key.tier_mut(i / TIER_WORDS);
                }
                key.w[i] |= *w;
            }
        }
        key
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_flow().fmt(f)
    }
}
