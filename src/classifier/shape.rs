//! What all rules of a subtable share: the mask, cut into stages, and the address prefixes in it.
//!
//! A stage is a group of fields that a lookup hashes and compares together; when nothing is found after a stage, the
//! later ones were not looked at. The order is from what is coarse and shared by many packets to what is particular:
//! metadata (port, tunnel, registers, conntrack), then layer 2, layer 3, layer 4.

use flow::layout::{self, Slot, WORDS};
use flow::matching::bits;
use flow::{Flow, Mask, Match};

/// The stages, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Metadata,
    L2,
    L3,
    L4,
}

const STAGES: [Stage; 4] = [Stage::Metadata, Stage::L2, Stage::L3, Stage::L4];

/// The bits of word `word` that `stage` looks at. Every bit is in one stage.
const fn stage_bits(stage: Stage, word: usize) -> u64 {
    // The word's own stage, and bits in it that belong to another.
    let l4 = layout::TP_SRC.bits() | layout::TP_DST.bits();
    let (own, other, other_bits) = match word {
        0 | 6 | 7 | 20..=28 => (Stage::Metadata, Stage::Metadata, 0),
        1 | 2 | 18 => (Stage::L2, Stage::L2, 0),
        3 | 8..=11 | 14..=17 | 29..=31 => (Stage::L3, Stage::L3, 0),
        4 => (Stage::L3, Stage::L4, l4),
        5 => (Stage::L2, Stage::L4, layout::TCP_FLAGS.bits()),
        12 => (Stage::L3, Stage::L4, layout::IGMP_GROUP.bits()),
        13 => (Stage::L4, Stage::L4, 0),
        19 => (Stage::L2, Stage::Metadata, layout::DP_HASH.bits()),
        _ => (Stage::Metadata, Stage::Metadata, 0),
    };
    if other as u8 == own as u8 {
        if stage as u8 == own as u8 { u64::MAX } else { 0 }
    } else if stage as u8 == own as u8 {
        !other_bits
    } else if stage as u8 == other as u8 {
        other_bits
    } else {
        0
    }
}

/// The fields whose prefixes are tracked over all subtables, in the order in which they are asked. All are in stage L3.
pub(crate) const ADDRESSES: [Slot; 4] = [layout::NW_DST, layout::NW_SRC, layout::IPV6_DST, layout::IPV6_SRC];
/// The fields whose prefixes each subtable tracks for itself. All are in stage L4.
pub(crate) const PORTS: [Slot; 2] = [layout::TP_SRC, layout::TP_DST];

/// Some bits of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) mask: u64,
    pub(crate) word: u8,
}

impl Term {
    #[inline]
    fn of_flow(self, flow: &Flow) -> u64 {
        flow.w[usize::from(self.word)] & self.mask
    }

    #[inline]
    fn of_match(self, m: &Match) -> u64 {
        m.word(usize::from(self.word)).value & self.mask
    }
}

/// A stage that the mask has bits in: its terms end before `end`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Level {
    end: u8,
    /// Which tries to ask before it is looked at.
    pub(crate) tries: Tries,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tries {
    #[default]
    None,
    Addresses,
    Ports,
}

/// At most this many levels; a mask without bits has one, with nothing to look at.
pub(crate) const LEVELS: usize = STAGES.len();

/// The hashes of the levels, each over everything up to its end.
pub(crate) type Hashes = [u32; LEVELS];

/// A mask as lookups want it.
#[derive(Debug)]
pub(crate) struct Shape {
    /// In order of stage.
    terms: Box<[Term]>,
    levels: [Level; LEVELS],
    count: u8,
    /// Length of the prefix of each of [`ADDRESSES`]; 0 if the mask has no prefix there (nothing, or something else).
    pub(crate) address: [u8; ADDRESSES.len()],
    /// The same for [`PORTS`].
    pub(crate) port: [u8; PORTS.len()],
    /// Which words the mask has bits in.
    map: u128,
    seed: u64,
}

/// Folds a word into a running hash.
#[inline]
pub(crate) fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15_u128;
    (product as u64 ^ (product >> 64) as u64).wrapping_add(0x2545_f491_4f6c_dd1d)
}

/// The 32 bits that a running hash is known by.
#[inline]
pub(crate) fn finish(hash: u64) -> u32 {
    (hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32
}

/// A hash of the mask of `m`.
pub(crate) fn mask_hash(seed: u64, m: &Match) -> u32 {
    finish(m.iter().fold(mix(seed, m.map() as u64 ^ (m.map() >> 64) as u64), |h, (_, p)| mix(h, p.mask)))
}

/// The length of the prefix that `mask` is, of a field `width` bits wide; 0 if it isn't one.
fn prefix_len(mask: u128, width: u16) -> u8 {
    let left = if width == 0 { 0 } else { mask << (128 - u32::from(width)) };
    let len = left.leading_ones();
    if len < 128 && left << len != 0 { 0 } else { len as u8 }
}

impl Shape {
    /// The shape of the mask of `m`.
    pub(crate) fn new(seed: u64, m: &Match) -> Shape {
        let (mut terms, mut levels, mut count) = (Vec::new(), [Level::default(); LEVELS], 0);
        for stage in STAGES {
            let before = terms.len();
            for (i, p) in m.iter() {
                let mask = p.mask & stage_bits(stage, i);
                if mask != 0 {
                    terms.push(Term { mask, word: i as u8 });
                }
            }
            if terms.len() > before {
                let tries = match stage {
                    Stage::L3 => Tries::Addresses,
                    Stage::L4 => Tries::Ports,
                    _ => Tries::None,
                };
                levels[count] = Level { end: terms.len() as u8, tries };
                count += 1;
            }
        }
        let prefix = |slot: Slot| prefix_len(m.get(slot).1, slot.width);
        Shape {
            terms: terms.into(),
            levels,
            count: count.max(1) as u8,
            address: ADDRESSES.map(prefix),
            port: PORTS.map(prefix),
            map: m.map(),
            seed,
        }
    }

    #[inline]
    pub(crate) fn levels(&self) -> &[Level] {
        self.levels.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// Index of the last level.
    #[inline]
    pub(crate) fn last(&self) -> usize {
        usize::from(self.count) - 1
    }

    /// The terms of level `level`.
    #[inline]
    fn terms(&self, level: usize) -> &[Term] {
        let start = if level == 0 { 0 } else { self.levels[level - 1].end };
        self.terms.get(usize::from(start)..usize::from(self.levels[level].end)).unwrap_or(&[])
    }

    /// What hashing starts from.
    #[inline]
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The running hash of `flow` after level `level`, `hash` being that after the level before.
    #[inline]
    pub(crate) fn hash_flow(&self, level: usize, hash: u64, flow: &Flow) -> u64 {
        self.terms(level).iter().fold(hash, |h, t| mix(h, t.of_flow(flow)))
    }

    /// The hashes of a match that has this mask (or a wider one: bits that it lacks count as 0).
    pub(crate) fn hash_match(&self, m: &Match) -> Hashes {
        let (mut all, mut hash) = ([0; LEVELS], self.seed);
        for (level, out) in all.iter_mut().enumerate().take(usize::from(self.count)) {
            hash = self.terms(level).iter().fold(hash, |h, t| mix(h, t.of_match(m)));
            *out = finish(hash);
        }
        all
    }

    /// True if `flow` has the values of `m` in level `level`.
    #[inline]
    pub(crate) fn agrees(&self, level: usize, flow: &Flow, m: &Match) -> bool {
        self.terms(level).iter().all(|t| t.of_flow(flow) == t.of_match(m))
    }

    /// True if `flow` has the values of `m` in the levels before `level`.
    #[inline]
    pub(crate) fn agrees_before(&self, level: usize, flow: &Flow, m: &Match) -> bool {
        (0..level).all(|l| self.agrees(l, flow, m))
    }

    /// Adds the mask's bits of the levels before `level` to `wc`.
    #[inline]
    pub(crate) fn expose(&self, level: usize, wc: &mut Mask) {
        let end = if level == 0 { 0 } else { self.levels[level - 1].end };
        for t in self.terms.get(..usize::from(end)).unwrap_or(&[]) {
            wc.w[usize::from(t.word)] |= t.mask;
        }
    }

    /// How many levels from the first on `m` has all bits of the mask in.
    pub(crate) fn covered_by(&self, m: &Match) -> usize {
        (0..usize::from(self.count))
            .take_while(|l| self.terms(*l).iter().all(|t| m.word(usize::from(t.word)).mask & t.mask == t.mask))
            .count()
    }

    /// True if the mask has all bits that `m` has.
    pub(crate) fn covers(&self, m: &Match) -> bool {
        m.map() & !self.map == 0 && m.iter().all(|(i, p)| self.word(i) & p.mask == p.mask)
    }

    /// True if the mask is that of `m`.
    pub(crate) fn is_mask_of(&self, m: &Match) -> bool {
        m.map() == self.map && m.iter().all(|(i, p)| self.word(i) == p.mask)
    }

    fn word(&self, i: usize) -> u64 {
        self.terms.iter().filter(|t| usize::from(t.word) == i).fold(0, |m, t| m | t.mask)
    }

    /// Bytes on the heap, this included.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Shape>() + size_of_val(&*self.terms)
    }
}

/// The mask as a dense one.
impl From<&Shape> for Mask {
    fn from(shape: &Shape) -> Mask {
        let mut mask = Mask::default();
        for i in bits(shape.map) {
            mask.w[i] = shape.word(i);
        }
        mask
    }
}

const _: () = {
    // Every bit of every word is in exactly one stage, and tracked fields are in the stage that asks their tries.
    let mut i = 0;
    while i < WORDS {
        let (mut all, mut s) = (0u64, 0);
        while s < STAGES.len() {
            assert!(all & stage_bits(STAGES[s], i) == 0);
            all |= stage_bits(STAGES[s], i);
            s += 1;
        }
        assert!(all == u64::MAX);
        i += 1;
    }
    let mut i = 0;
    while i < ADDRESSES.len() {
        let slot = ADDRESSES[i];
        assert!(stage_bits(Stage::L3, slot.word as usize) & slot.bits() == slot.bits());
        assert!(slot.width == if i < 2 { 32 } else { 128 });
        i += 1;
    }
    let mut i = 0;
    while i < PORTS.len() {
        let slot = PORTS[i];
        assert!(stage_bits(Stage::L4, slot.word as usize) & slot.bits() == slot.bits());
        i += 1;
    }
};
