//! Hashing of the masked first tier, and of the tiers above it where a mask looks there.

use flow::layout::{KEY_TIERS, TIER_WORDS};
use flow::{Key, Mask};

/// The first tier: what is hashed and compared for every packet.
pub(crate) type Base = [u64; TIER_WORDS];

/// Hash of the first tier under a mask.
pub(crate) use flow::hash::hash_masked as masked;

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

const K: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

/// The same for masks that have nothing in words 5 to 7: three multiplications.
#[inline(always)]
pub(crate) fn narrow(base: &Base, mask: &Base, seed: u64) -> u64 {
    let a = fold(base[1] & mask[1] ^ K[0], base[2] & mask[2] ^ K[1] ^ seed);
    let b = fold(base[3] & mask[3] ^ K[1], base[4] & mask[4] ^ K[0] ^ seed);
    fold(a ^ b.rotate_left(29) ^ K[1], base[0] & mask[0] ^ b ^ K[0])
}

/// What the hash of plain packets of one port begins with: their words 3 and 4 are all that they differ in.
#[derive(Clone, Copy)]
pub(crate) struct Plain {
    masks: (u64, u64),
    keys: (u64, u64),
}

impl Plain {
    /// For packets with these other words under the mask.
    #[inline(always)]
    pub(crate) fn new(base: &Base, mask: &Base, seed: u64) -> Plain {
        // 0 for plain packets
        let others = (base[1] & mask[1] ^ 0x0800).rotate_left(40) ^ (base[2] & mask[2]).rotate_left(20);
        let id = base[0] & mask[0] ^ others;
        Plain { masks: (mask[3], mask[4]), keys: (K[0] ^ seed, K[1] ^ seed.rotate_left(32) ^ id) }
    }

    /// Of a packet by its words 3 and 4.
    #[inline(always)]
    pub(crate) fn of(self, words: (u64, u64)) -> u64 {
        fold(words.0 & self.masks.0 ^ self.keys.0, words.1 & self.masks.1 ^ self.keys.1)
    }
}

/// The same for masks that have nothing but the ethertype in word 1, the tag in word 2, and words 3 and 4: one
/// multiplication.
#[inline(always)]
pub(crate) fn plain(base: &Base, mask: &Base, seed: u64) -> u64 {
    Plain::new(base, mask, seed).of((base[3], base[4]))
}

/// Goes on with the words of the tiers in `tiers` (bit n: tier n; bit 0 is ignored).
#[cold]
pub(crate) fn higher(mut h: u64, key: &Key, mask: &Mask, tiers: u64) -> u64 {
    for tier in 1..KEY_TIERS {
        if tiers >> tier & 1 == 0 {
            continue;
        }
        for i in tier * TIER_WORDS..(tier + 1) * TIER_WORDS {
            let w = mask.w.get(i).map_or(0, |m| key.word(i) & m);
            // a word of 0 counts the same as one in a tier that is not there
            if w != 0 {
                h = fold(h ^ K[0], w ^ K[1].rotate_left(i as u32));
            }
        }
    }
    h
}

/// Which tiers above the first `mask` looks at (bit n: tier n).
pub(crate) fn tiers(mask: &Mask) -> u64 {
    (1..KEY_TIERS)
        .filter(|t| mask.w.iter().skip(t * TIER_WORDS).take(TIER_WORDS).any(|w| *w != 0))
        .map(|t| 1 << t)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flipping_a_masked_bit_changes_half_the_hash_and_an_unmasked_one_nothing() {
        let base: Base = std::array::from_fn(|i| 0x0123_4567_89ab_cdef_u64.rotate_left(7 * i as u32));
        for word in 0..8 {
            for bit in 0..64 {
                let mut mask = [u64::MAX; 8];
                let mut other = base;
                other[word] ^= 1 << bit;
                let changed = (masked(&base, &mask, 7) ^ masked(&other, &mask, 7)).count_ones();
                assert!((10..=54).contains(&changed), "word {word} bit {bit}: {changed}");
                mask[word] = !(1 << bit);
                assert_eq!(masked(&base, &mask, 7), masked(&other, &mask, 7));
                if word == 3 || word == 4 {
                    assert_eq!(plain(&base, &mask, 7), plain(&other, &mask, 7));
                    let all = [u64::MAX; 8];
                    let changed = (plain(&base, &all, 7) ^ plain(&other, &all, 7)).count_ones();
                    assert!((10..=54).contains(&changed), "plain, word {word} bit {bit}: {changed}");
                }
                if word < 5 {
                    assert_eq!(narrow(&base, &mask, 7), narrow(&other, &mask, 7));
                    mask = [u64::MAX; 8];
                    let changed = (narrow(&base, &mask, 7) ^ narrow(&other, &mask, 7)).count_ones();
                    assert!((10..=54).contains(&changed), "narrow, word {word} bit {bit}: {changed}");
                }
            }
        }
    }

    #[test]
    fn sequential_addresses_spread_evenly() {
        let mask = [u64::MAX; 8];
        for hash in [masked, narrow] {
            for (word, shift) in [(1, 16), (2, 16), (3, 0), (3, 32), (4, 32), (4, 48)] {
                let mut buckets = vec![0u32; 1024];
                for i in 0..65536u64 {
                    let mut base: Base = [1 << 16, 0x0800, 0, 0x0a00_0001_0a00_0000, 0x0050_0050_1100_0000, 0, 0, 0];
                    base[word] = base[word].wrapping_add(i << shift);
                    let h = hash(&base, &mask, 3);
                    buckets[(h & 1023) as usize] += 1;
                    buckets[(h >> 32 & 1023) as usize] += 1;
                }
                let (least, most) = (buckets.iter().min().unwrap(), buckets.iter().max().unwrap());
                assert!(*least > 64 && *most < 210, "word {word} shift {shift}: {least} to {most}");
            }
        }
    }
}
