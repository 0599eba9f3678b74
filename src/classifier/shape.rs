//! What all rules of a subtable share: the mask, cut into stages, and the address prefixes in it.
//!
//! A stage is a group of fields that a lookup hashes and compares together; when nothing is found after a stage, the
//! later ones were not looked at. The order is from what is coarse and shared by many packets to what is particular:
//! metadata (port, tunnel, registers, conntrack), then layer 2, layer 3, layer 4.

use std::sync::Arc;

use flow::layout::{self, Slot, WORDS};
use flow::matching::bits;
use flow::{Flow, Mask, Match, SparseMask};

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
    /// The same as matches have it.
    mask: Arc<SparseMask>,
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
    let start = mix(mix(seed, m.map() as u64), (m.map() >> 64) as u64);
    finish(m.iter().fold(start, |h, (_, p)| mix(h, p.mask)))
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
            mask: Arc::clone(m.sparse()),
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
        m.map() & !self.mask.map() == 0 && m.iter().all(|(i, p)| self.word(i) & p.mask == p.mask)
    }

    /// True if the mask is that of `m`.
    pub(crate) fn is_mask_of(&self, m: &Match) -> bool {
        *m.sparse() == self.mask
    }

    /// The mask as matches have it.
    pub(crate) fn sparse(&self) -> &Arc<SparseMask> {
        &self.mask
    }

    fn word(&self, i: usize) -> u64 {
        // a bit is in one stage, so in one term
        self.terms.iter().filter(|t| usize::from(t.word) == i).map(|t| t.mask).sum()
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
        for i in bits(shape.mask.map()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_word_changes_half_the_hash() {
        for hash in [0u64, 1, 0x517c_c1b7_2722_0a95, u64::MAX] {
            for word in [0u64, 1, 0x0a00_0001, 0x0123_4567_89ab_cdef, u64::MAX] {
                let (mixed, known) = (mix(hash, word), finish(mix(hash, word)));
                for bit in 0..64 {
                    // and so does every bit of what was hashed before
                    for other in [mix(hash, word ^ 1 << bit), mix(hash ^ 1 << bit, word)] {
                        let (a, b) = ((mixed ^ other).count_ones(), (known ^ finish(other)).count_ones());
                        // a word that equals the hash so far makes a product of 0
                        assert!((8..=56).contains(&a) && (4..=28).contains(&b), "{hash:x} {word:x} {bit}: {a} {b}");
                    }
                }
            }
        }
        let ones: u32 = (0..10_000u64).map(|i| mix(7, i).count_ones()).sum();
        assert!((310_000..330_000).contains(&ones), "{ones}");
    }

    #[test]
    fn masks_have_hashes_of_their_own() {
        let mut seen = std::collections::HashSet::new();
        // two of them differ in the upper half of the map of words only
        let high = [layout::METADATA, layout::CONJ_ID];
        let low = [layout::IN_PORT, layout::NW_SRC, layout::NW_DST, layout::TP_SRC, layout::TP_DST];
        let slots: Vec<Slot> = low.into_iter().chain(high).collect();
        for seed in [0x517c_c1b7_2722_0a95, 0x1234_5678_9abc_def1] {
            for (n, slot) in slots.iter().copied().enumerate() {
                for bit in 0..slot.width {
                    let one = Match::default().with(slot, 0, 1 << bit);
                    assert!(seen.insert(mask_hash(seed, &one)), "{slot:?} {bit}");
                    // values are not part of it
                    let valued = Match::default().with(slot, 1 << bit, 1 << bit);
                    assert_eq!(mask_hash(seed, &one), mask_hash(seed, &valued));
                    let two = one.with(slots[(n + 1) % slots.len()], 0, 1);
                    assert!(seen.insert(mask_hash(seed, &two)), "{slot:?} {bit} and another");
                }
            }
        }
    }

    #[test]
    fn lengths_of_prefixes() {
        for width in [1u16, 16, 32, 48, 128] {
            let all = u128::MAX >> (128 - width);
            assert_eq!(prefix_len(0, width), 0);
            for len in 1..=width {
                let mask = all << (width - len) & all;
                assert_eq!(prefix_len(mask, width), len as u8);
                // with a hole, or one bit further down, it is none
                for bit in 0..width {
                    let other = mask ^ 1 << bit;
                    let still = bit == width - len || width - len > 0 && bit == width - len - 1;
                    let want = if still { other.count_ones() as u8 } else { 0 };
                    assert_eq!(prefix_len(other, width), want, "{mask:x} {bit}");
                }
            }
        }
        assert_eq!(prefix_len(0, 0), 0);
    }

    #[test]
    fn what_masks_cover() {
        // one or two bits in fields of every stage, alone and together
        let bits = [(layout::IN_PORT, 1), (layout::IN_PORT, 3), (layout::ETH_TYPE, 2), (layout::NW_DST, 4)];
        let more = [(layout::NW_DST, 6), (layout::TP_DST, 1), (layout::IPV6_DST, 1 << 100), (layout::IPV6_DST, 1)];
        let all: Vec<Match> = (0..256u32)
            .map(|set| {
                let chosen = bits.iter().chain(&more).enumerate().filter(|(n, _)| set >> n & 1 == 1);
                chosen.fold(Match::default(), |m, (_, (slot, bits))| m.with(*slot, 0, m.get(*slot).1 | bits))
            })
            .collect();
        let within = |a: &Match, b: &Match| a.mask().w.iter().zip(&b.mask().w).all(|(a, b)| a & b == *a);
        for own in &all {
            let shape = Shape::new(1, own);
            assert_eq!(Mask::from(&shape), own.mask());
            for m in &all {
                assert_eq!(shape.covers(m), within(m, own), "{own:?} {m:?}");
                assert_eq!(shape.is_mask_of(m), own.mask() == m.mask(), "{own:?} {m:?}");
                let covered = |stage: Stage| {
                    (0..WORDS).all(|i| {
                        let bits = own.mask().w[i] & stage_bits(stage, i);
                        bits & m.mask().w[i] == bits
                    })
                };
                let used = |stage: &Stage| (0..WORDS).any(|i| own.mask().w[i] & stage_bits(*stage, i) != 0);
                let levels = STAGES.into_iter().filter(used).take_while(|s| covered(*s)).count();
                let empty = usize::from(own.map() == 0);
                assert_eq!(shape.covered_by(m), levels.max(empty), "{own:?} {m:?}");
            }
        }
    }

    #[test]
    fn every_bit_has_its_stage() {
        for (slot, stage) in [
            (layout::IN_PORT, Stage::Metadata),
            (layout::METADATA, Stage::Metadata),
            (layout::DP_HASH, Stage::Metadata),
            (layout::ETH_SRC, Stage::L2),
            (layout::ETH_DST, Stage::L2),
            (layout::ETH_TYPE, Stage::L2),
            (layout::VLAN_TCI, Stage::L2),
            (layout::NW_SRC, Stage::L3),
            (layout::NW_DST, Stage::L3),
            (layout::NW_PROTO, Stage::L3),
            (layout::IPV6_SRC, Stage::L3),
            (layout::TP_SRC, Stage::L4),
            (layout::TP_DST, Stage::L4),
            (layout::TCP_FLAGS, Stage::L4),
            (layout::IGMP_GROUP, Stage::L4),
        ] {
            for other in STAGES {
                let bits = stage_bits(other, usize::from(slot.word)) & slot.bits();
                assert_eq!(bits, if other == stage { slot.bits() } else { 0 }, "{slot:?} {other:?}");
            }
        }
    }
}
